//! One record, judged anew: what policy said then, and what another one says.
//!
//! The request is put together from the record as a session put it together from the command. Where the answer hangs on
//! something that no record tells, there is none.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use ftpsgate_ftp::codec::Command as Line;
use ftpsgate_ftp::session::{Context, Deed, needs_paths};
use ftpsgate_policies::hours::LocalTime;
use ftpsgate_policies::rule::Action;
use ftpsgate_policies::{
    Access, CanonicalPath, Extent, Links, Operation, PathProfile, Permit, Policy, Request, RuleRef, Target,
};
use jiff::{SignedDuration, Timestamp};

use crate::audit::record::{By, Command, Event, Record};
use crate::audit::text::unescape;
use crate::config::{Config, local_times};

use super::deed::{Done, Fault, LINE_BYTES_MAX, subject};

/// A policy that is tried out.
pub(super) struct Judge<'a> {
    policy: &'a Policy,
    profiles: HashMap<&'a str, PathProfile>,
    listeners: HashSet<&'a str>,
    needs_paths: bool,
    /// What is removed with all that is below it may be anywhere.
    links_lead_away: bool,
    /// Whether it matters if an upload replaces a file.
    tells_overwrites: bool,
}

/// What the clocks showed in the minute of the last record.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    minute: Option<i64>,
    times: Vec<LocalTime>,
}

/// What a record says, and what is to be said of it.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) record: Record<'a>,
    /// When it was over.
    pub(super) time: Timestamp,
    /// When policy was asked: a transfer's record comes at its end.
    pub(super) began: Timestamp,
    /// Whether the configuration has such a listener and backend.
    pub(super) is_at_home: bool,
    pub(super) finding: Finding,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is about something else than a command or a connection.
    OtherEvent,
    /// A command about which policy was not asked.
    NotAsked,
    /// The gateway decided for itself, whatever policy would say.
    ByGateway,
    /// A limit decided.
    ByLimit,
    /// It was judged anew.
    Judged(Judgement),
}

/// Then and now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) was_allowed: bool,
    pub(super) becomes: Result<Verdict, Doubt>,
    /// Rules under observation would deny what is allowed.
    pub(super) is_observed_denial: bool,
    /// An upload, judged as that of a new file; were it to replace one, the answer would be another.
    pub(super) hangs_on_new_file: bool,
}

/// What the policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) is_allowed: bool,
    pub(super) cause: Cause,
}

/// Why it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    Rule(RuleRef),
    /// `[policy] default`, or that no rule names a connection or login.
    Default,
    /// Not all that may be in a directory is allowed.
    Below,
    /// The words could mean several paths.
    Unclear,
}

/// What no record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Doubt {
    /// Which path was meant.
    Path,
    /// How large the upload would have been.
    Size,
    /// Whether it was a file or a directory.
    Kind,
}

impl<'a> Judge<'a> {
    pub(super) fn new(config: &'a Config, policy: &'a Policy) -> Self {
        Self {
            policy,
            profiles: config.backends.iter().map(|one| (one.name.as_str(), one.paths)).collect(),
            listeners: config.listeners.iter().map(|one| one.name.as_str()).collect(),
            needs_paths: needs_paths(policy),
            links_lead_away: policy.links() != Links::Harmless,
            tells_overwrites: policy.distinguishes(Operation::Upload, Operation::Overwrite),
        }
    }

    /// Reads one line, and judges it.
    pub(super) fn read<'l>(&self, line: &'l [u8], clocks: &mut Clocks) -> Result<Entry<'l>, Fault> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let record: Record<'l> = serde_json::from_slice(line)?;
        let time: Timestamp = record.time.parse().map_err(|_| Fault::Field("time"))?;
        let began = match &record.transfer {
            Some(transfer) => {
                let duration = i64::try_from(transfer.duration_ms).unwrap_or(i64::MAX);
                time.checked_sub(SignedDuration::from_millis(duration)).unwrap_or(time)
            }
            None => time,
        };
        let finding = self.judge(&record, began, clocks)?;
        let is_at_home = record.listener.as_deref().is_none_or(|name| self.listeners.contains(name))
            && record.backend.as_deref().is_none_or(|name| self.profiles.contains_key(name));
        Ok(Entry { record, time, began, is_at_home, finding })
    }

    fn judge(&self, record: &Record<'_>, began: Timestamp, clocks: &mut Clocks) -> Result<Finding, Fault> {
        let command = match record.event {
            Event::Connect => None,
            Event::Command => Some(record.command.as_ref().ok_or(Fault::Missing("command"))?),
            Event::Revoked | Event::Symlink | Event::Violation | Event::Limit | Event::Disconnect => {
                return Ok(Finding::OtherEvent);
            }
        };
        let was_allowed = match &record.decision {
            Some(decision) => match decision.by {
                By::Rule | By::Default => decision.allowed,
                By::Gateway => return Ok(Finding::ByGateway),
                By::Limit => return Ok(Finding::ByLimit),
            },
            // A connection of which nothing was said was let in.
            None if command.is_none() => true,
            None => return Ok(Finding::NotAsked),
        };
        let subject = subject(record, command.is_some())?;
        let deed = Done::read(command, self.profile(record))?;
        // Of what is below a directory only all together is asked, and only once the command itself is allowed.
        let own = deed.accesses.iter().filter(|done| !done.is_below);
        let accesses: Vec<Access<'_>> = own.map(Access::from).collect();
        let request = Request {
            subject: &subject,
            verb: command.map_or("", |command| &command.verb),
            subcommand: command.and_then(|command| command.subcommand.as_deref()),
            accesses: &accesses,
            size_bytes: command.and_then(|command| command.size_bytes).filter(|_| deed.is_writing()),
            times: clocks.at(began, self.policy.zones()),
        };
        let is_unclear = command.is_some_and(|command| self.is_unclear(record, command));
        let mut judgement = if is_unclear {
            let verdict = Verdict { is_allowed: false, cause: Cause::Unclear };
            Judgement {
                was_allowed,
                becomes: Ok(verdict),
                is_observed_denial: false,
                hangs_on_new_file: false,
            }
        } else {
            self.weigh(&request, &deed, was_allowed)
        };
        if self.tells_overwrites && request.verb == "STOR" && judgement.becomes.is_ok() {
            let replacing: Vec<Access<'_>> = accesses
                .iter()
                .map(|&access| {
                    let is_new = access.operation == Operation::Upload;
                    Access {
                        operation: if is_new { Operation::Overwrite } else { access.operation },
                        ..access
                    }
                })
                .collect();
            let other = self.policy.authorize(&Request { accesses: &replacing, ..request });
            judgement.hangs_on_new_file = replacing != accesses
                && Ok(other.is_ok()) != judgement.becomes.as_ref().map(|one| one.is_allowed);
        }
        Ok(Finding::Judged(judgement))
    }

    fn profile(&self, record: &Record<'_>) -> PathProfile {
        let name = record.backend.as_deref().unwrap_or_default();
        self.profiles.get(name).copied().unwrap_or_default()
    }

    fn weigh(&self, request: &Request<'_>, deed: &Done, was_allowed: bool) -> Judgement {
        let answer = self.policy.authorize(request);
        let is_observed_denial = answer.as_ref().is_ok_and(would_be_denied);
        let becomes = if self.hangs_on_path(request, deed) {
            Err(Doubt::Path)
        } else if self.hangs_on_size(request, deed) {
            Err(Doubt::Size)
        } else {
            match &answer {
                Ok(permit) => self.weigh_below(request, deed, permit),
                Err(denial) => Ok(Verdict { is_allowed: false, cause: Cause::of(denial.rule.as_ref()) }),
            }
        };
        Judgement { was_allowed, becomes, is_observed_denial, hangs_on_new_file: false }
    }

    /// Directories are judged with all that may be in them.
    fn weigh_below(&self, request: &Request<'_>, deed: &Done, permit: &Permit) -> Result<Verdict, Doubt> {
        let denied = |cause| Ok(Verdict { is_allowed: false, cause });
        let root = CanonicalPath::root();
        let mut doubt = None;
        for done in deed.accesses.iter().filter(|done| done.is_below) {
            let Some(path) = done.path.as_ref().filter(|_| self.needs_paths && !done.is_unresolved) else {
                // Nobody can say what lies below, or no rule asks: it must be allowed wherever that is.
                let alone = [Access::from(done)];
                match self.policy.authorize(&Request { accesses: &alone, ..*request }) {
                    Ok(_) => continue,
                    Err(denial) => return denied(Cause::of(denial.rule.as_ref())),
                }
            };
            let path = if self.links_lead_away && follows_links(request) { &root } else { path };
            match self.policy.authorize_subtree(request, done.operation, path) {
                Extent::All => {}
                // The gateway asked the server whether it is a directory, and the record does not say.
                Extent::Mixed | Extent::None if spares_files(request) => doubt = Some(Doubt::Kind),
                Extent::Mixed | Extent::None => return denied(Cause::Below),
            }
        }
        let allowed = Verdict { is_allowed: true, cause: Cause::of(permit.rule_ref()) };
        doubt.map_or(Ok(allowed), Err)
    }

    /// Whether the answer is another for some paths than for others, and nobody knows the path.
    fn hangs_on_path(&self, request: &Request<'_>, deed: &Done) -> bool {
        let is_hanging = |done: &Access<'_>| {
            let alone = std::slice::from_ref(done);
            let is_allowed = self.policy.authorize(&Request { accesses: alone, ..*request }).is_ok();
            let everywhere = self.policy.authorize_subtree(request, done.operation, &CanonicalPath::root());
            match everywhere {
                Extent::All => !is_allowed,
                Extent::None => is_allowed,
                Extent::Mixed => true,
            }
        };
        let mut unresolved = deed.accesses.iter().filter(|done| done.is_unresolved).map(Access::from);
        if !self.policy.has_paths() || !unresolved.any(|access| is_hanging(&access)) {
            return false;
        }
        // What is known may be enough for a denial.
        let is_known = |access: &&Access<'_>| access.target != Target::Unresolved;
        let known: Vec<Access<'_>> = request.accesses.iter().filter(is_known).copied().collect();
        known.is_empty() || self.policy.authorize(&Request { accesses: &known, ..*request }).is_ok()
    }

    /// Whether a rule about sizes would decide about an upload of which no size is known.
    fn hangs_on_size(&self, request: &Request<'_>, deed: &Done) -> bool {
        request.size_bytes.is_none() && deed.is_writing() && {
            let small = self.policy.authorize(request).is_ok();
            let large = self.policy.authorize(&Request { size_bytes: Some(u64::MAX), ..*request }).is_ok();
            small != large
        }
    }

    /// Whether the words leave open which path is meant: where paths count, the gateway refuses them.
    fn is_unclear(&self, record: &Record<'_>, command: &Command<'_>) -> bool {
        let Some(argument) = &command.argument else { return false };
        if !self.needs_paths
            || self.profile(record) == PathProfile::Opaque
            || PLAIN_VERBS.contains(&&*command.verb)
        {
            return false;
        }
        let Some(argument) = unescape(argument) else { return false };
        let line = [command.verb.as_bytes(), b" ", &argument].concat();
        Line::parse(&line).is_ok_and(|line| Deed::of(&line, Context::default()).problem().is_some())
    }
}

impl Clocks {
    fn at(&mut self, time: Timestamp, zones: &[String]) -> &[LocalTime] {
        if zones.is_empty() {
            return &[];
        }
        let minute = time.as_second().div_euclid(60);
        if self.minute != Some(minute) {
            self.times = local_times(SystemTime::from(time), zones);
            self.minute = Some(minute);
        }
        &self.times
    }
}

impl Cause {
    fn of(rule: Option<&RuleRef>) -> Self {
        rule.map_or(Self::Default, |rule| Self::Rule(rule.clone()))
    }
}

fn would_be_denied(permit: &Permit) -> bool {
    permit.observed().iter().any(|one| one.action == Action::Deny)
}

/// Whether what is below is reached by links, too: what removes a directory with all that is in it.
fn follows_links(request: &Request<'_>) -> bool {
    matches!((request.verb, request.subcommand), ("RMDA", _) | ("SITE", Some("RMDIR")))
}

/// Whether what is below does not count where the path is that of a file.
fn spares_files(request: &Request<'_>) -> bool {
    matches!((request.verb, request.subcommand), ("RNTO", _) | ("SITE", Some("CPTO")))
}

/// Their whole argument is one path.
const PLAIN_VERBS: [&str; 12] =
    ["RETR", "STOR", "APPE", "CWD", "MKD", "RMD", "DELE", "RNFR", "RNTO", "SIZE", "USER", "TYPE"];
