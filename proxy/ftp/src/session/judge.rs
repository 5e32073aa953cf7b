//! What policy says of a deed: here a command's objects become paths, and every one of them is asked about.
//!
//! Only this file asks policy about commands. A denial is answered and recorded here, too, and what a rule under
//! observation would have decided is recorded.

use std::sync::Arc;

use ftpsgate_policies::hours::LocalTime;
use ftpsgate_policies::rule::Action;
use ftpsgate_policies::{
    Access, CanonicalPath, Denial, Extent, Links, Observation, Operation, PathProfile, Permit, Policy,
    Request, Subject, Target,
};

use crate::codec::{Command, Reply, Verb};

use super::Session;
use super::authorize::{Context, Deed, Object, Place};
use super::event::{Fact, Now};
use super::record::Decision;

/// An object, and where it is.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) place: Place,
    /// What stands behind the path and is a pattern to the server.
    pub(super) pattern: Option<String>,
    pub(super) operations: &'static [Operation],
    pub(super) may_replace: bool,
    pub(super) below: &'static [Operation],
    pub(super) spares_files: bool,
    pub(super) is_resumed: bool,
    pub(super) follows_links: bool,
    pub(super) is_changed: bool,
    pub(super) makes_parents: bool,
    pub(super) is_split: bool,
    pub(super) is_listed: bool,
    /// For records, where policy needs no paths: where this is, if the client is where it seems to be.
    pub(super) reckoned: Option<CanonicalPath>,
}

/// What the server has said about a command's objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Whether an upload replaces a file.
    pub(super) replaces: Option<bool>,
    /// Whether the first object is a file.
    pub(super) is_file: Option<bool>,
}

/// What only the server can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Whether an upload replaces a file.
    Replaces,
    /// Whether the first object is a file.
    IsFile,
}

/// What policy says, once all is known; or what is not.
#[derive(Debug)]
pub(super) enum Judgement {
    Allowed(Permit),
    Unclear(Doubt),
    Denied(Refusal),
}

/// A denial, and how the client is told.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) denial: Denial,
    pub(super) reply: Reply,
}

/// What a command would be judged by besides its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who asks.
    pub subject: Subject,
    /// The client's directory, where paths count and it is known.
    pub directory: Option<CanonicalPath>,
    /// RNFR or SITE CPFR, held for its second half.
    pub held: Option<Command>,
    /// REST with another offset than 0 is held.
    pub is_restarted: bool,
    /// STOU was sent.
    pub has_chosen_names: bool,
    /// Bytes that ALLO announced.
    pub announced_bytes: Option<u64>,
}

/// What is asked besides the objects.
struct Question<'a> {
    policy: &'a Policy,
    subject: &'a Subject,
    verb: &'a str,
    subcommand: Option<&'a str>,
    size_bytes: Option<u64>,
    times: &'a [LocalTime],
}

impl Question<'_> {
    fn ask(&self, accesses: &[Access<'_>]) -> Result<Permit, Denial> {
        self.policy.authorize(&self.request(accesses))
    }

    fn request<'b>(&'b self, accesses: &'b [Access<'b>]) -> Request<'b> {
        Request {
            subject: self.subject,
            verb: self.verb,
            subcommand: self.subcommand,
            accesses,
            size_bytes: self.size_bytes,
            times: self.times,
        }
    }

    /// Whether an operation is allowed on all that may be in a directory.
    fn holds_below(&self, operation: Operation, directory: &CanonicalPath) -> bool {
        self.policy.authorize_subtree(&self.request(&[]), operation, directory) == Extent::All
    }
}

impl Session {
    /// What the next command would be judged by; for explanations.
    pub fn standing(&self) -> Standing {
        Standing {
            subject: self.subject.clone(),
            directory: self.view.as_ref().and_then(|view| view.working_directory()).cloned(),
            held: self.rename_from.as_deref().cloned(),
            is_restarted: self.restart.is_some(),
            has_chosen_names: self.has_chosen_names,
            announced_bytes: self.announced,
        }
    }

    /// What counts for the next command; `held` is the first half of its pair.
    pub(super) fn context<'a>(&self, held: Option<&'a Command>) -> Context<'a> {
        Context { held, is_restarted: self.restart.is_some(), has_chosen_names: self.has_chosen_names }
    }

    /// The objects of a deed, seen from where the client is.
    pub(super) fn items(&self, deed: &Deed) -> Vec<Item> {
        deed.objects.iter().map(|object| self.item(object)).collect()
    }

    fn item(&self, object: &Object) -> Item {
        let profile = self.routed.as_ref().map_or(PathProfile::Opaque, |routed| routed.settings.paths);
        let place = match &self.view {
            Some(view) => object.name.resolve(profile, view.working_directory()),
            // Nobody keeps account of directories, for policy needs no paths here. A later one may. That is nothing
            // to tell the client about.
            None => match object.name.resolve(profile, None) {
                Place::Unresolved(_) => Place::Unresolved(None),
                place @ (Place::Nothing | Place::Here(_) | Place::Path(_)) => place,
            },
        };
        let mut item = Item {
            place,
            pattern: None,
            operations: object.operations,
            // Without rules about paths nobody asks what is there before a rename.
            may_replace: object.may_replace
                && (self.needs_paths || !object.operations.contains(&Operation::Rename)),
            below: object.below,
            spares_files: object.spares_files,
            is_resumed: object.is_resumed,
            follows_links: object.follows_links,
            is_changed: object.is_changed,
            makes_parents: object.makes_parents,
            is_split: object.is_split,
            is_listed: object.is_listed,
            reckoned: None,
        };
        if let (Place::Unresolved(_), Some(directory)) = (&item.place, &self.directory) {
            let (place, is_pattern) = object.place(profile, Some(directory));
            item.reckoned = place.path().cloned();
            if is_pattern {
                item.below = item.operations;
            }
        }
        if let (Place::Path(path), true) = (&item.place, object.is_pattern)
            && let Some((directory, pattern)) = split_pattern(path)
        {
            item.place = Place::Path(directory);
            item.pattern = Some(pattern);
            item.below = item.operations;
            item.is_listed = false;
        }
        item
    }

    /// Asks about a command whose objects are known.
    pub(super) fn judge(
        &self,
        command: &Command,
        items: &[Item],
        findings: Findings,
        size_bytes: Option<u64>,
        now: Now,
    ) -> Judgement {
        let subcommand = command.subcommand();
        let times = self.times(now);
        let mut question = Question {
            policy: &self.policy,
            subject: &self.subject,
            verb: command.verb().name(),
            subcommand: subcommand.as_deref(),
            size_bytes,
            times: &times,
        };
        let refuse = |denial, question: &mut Question<'_>, accesses: &[Access<'_>]| {
            let is_too_large = size_bytes.is_some() && {
                question.size_bytes = None;
                question.ask(accesses).is_ok()
            };
            let reply = refusal(&denial, items, is_too_large);
            Judgement::Denied(Refusal { denial, reply })
        };
        let may_replace = items.iter().any(|item| item.may_replace);
        let accesses = accesses(items, findings.replaces == Some(true));
        let permit = match (question.ask(&accesses), may_replace, findings.replaces) {
            (Ok(permit), true, None) => {
                let replacing = self::accesses(items, true);
                match question.ask(&replacing) {
                    Ok(other) if other.observed() == permit.observed() => permit,
                    Ok(_) | Err(_) => return Judgement::Unclear(Doubt::Replaces),
                }
            }
            (Err(denial), true, None) => {
                return match question.ask(&self::accesses(items, true)) {
                    Ok(_) => Judgement::Unclear(Doubt::Replaces),
                    Err(_) => refuse(denial, &mut question, &accesses),
                };
            }
            (Ok(permit), _, _) => permit,
            (Err(denial), _, _) => return refuse(denial, &mut question, &accesses),
        };
        // Without rules about paths nobody asks the server what it has: its own ways to lose a directory stay its own.
        let is_asked = |item: &&Item| !item.below.is_empty() && (self.needs_paths || !item.is_resumed);
        for item in items.iter().filter(is_asked) {
            let Some(path) = item.place.path().filter(|_| self.needs_paths) else {
                // Nobody can say what lies below, or no rule asks: then each operation must be allowed wherever that is.
                let target = target(&item.place);
                let below: Vec<_> =
                    item.below.iter().map(|&operation| Access { operation, target }).collect();
                match question.ask(&below) {
                    Ok(_) => continue,
                    Err(denial) => return refuse(denial, &mut question, &below),
                }
            };
            let root = CanonicalPath::root();
            let path = if item.follows_links && self.links != Links::Harmless { &root } else { path };
            let mixed = item.below.iter().find(|&&operation| !question.holds_below(operation, path));
            let Some(&operation) = mixed else { continue };
            match (item.spares_files, findings.is_file) {
                (true, Some(true)) => {}
                (true, None) => return Judgement::Unclear(Doubt::IsFile),
                (true, Some(false)) | (false, _) => {
                    let denial = Denial {
                        rule: None,
                        operation: Some(operation),
                        reply: None,
                        observed: permit.observed().to_vec(),
                    };
                    let reply = Reply::new(550, "Not allowed by policy for all that is in this directory.");
                    return Judgement::Denied(Refusal { denial, reply });
                }
            }
        }
        Judgement::Allowed(permit)
    }

    /// The same where nobody can look: allowed is what is allowed whatever the server would have said.
    pub(super) fn judge_unseen(
        &self,
        command: &Command,
        items: &[Item],
        findings: Findings,
        size_bytes: Option<u64>,
        now: Now,
    ) -> Result<Permit, Refusal> {
        let suppose = |findings| self.judge_unseen(command, items, findings, size_bytes, now);
        match self.judge(command, items, findings, size_bytes, now) {
            Judgement::Allowed(permit) => Ok(permit),
            Judgement::Denied(refusal) => Err(refusal),
            // Neither is the harmless one: a rule may deny new files, or files that replace others.
            Judgement::Unclear(Doubt::Replaces) => {
                let creating = suppose(Findings { replaces: Some(false), ..findings })?;
                let replacing = suppose(Findings { replaces: Some(true), ..findings })?;
                Ok(if replacing.observed().is_empty() { creating } else { replacing })
            }
            // What is allowed for all that may be in a directory is allowed for a file.
            Judgement::Unclear(Doubt::IsFile) => suppose(Findings { is_file: Some(false), ..findings }),
        }
    }

    /// Asks about one operation on one path, for the sake of a command.
    pub(super) fn judge_path(
        &self,
        command: &Command,
        operation: &'static [Operation],
        place: Place,
        now: Now,
    ) -> Result<(), Refusal> {
        let item = Item {
            place,
            pattern: None,
            operations: operation,
            may_replace: false,
            below: &[],
            spares_files: false,
            is_resumed: false,
            follows_links: false,
            is_changed: false,
            makes_parents: false,
            is_split: false,
            is_listed: false,
            reckoned: None,
        };
        match self.judge(command, &[item], Findings::default(), None, now) {
            Judgement::Denied(refusal) => Err(refusal),
            Judgement::Allowed(_) | Judgement::Unclear(_) => Ok(()),
        }
    }

    /// Whether a client may connect at all.
    pub(super) fn judge_connection(&self, now: Now) -> Result<Permit, Denial> {
        let times = self.times(now);
        let accesses = [Access { operation: Operation::Connect, target: Target::Nothing }];
        let request = Request { times: &times, ..Request::new(&self.subject, "", &accesses) };
        self.policy.authorize(&request)
    }

    /// Whether the login would still be allowed.
    pub(super) fn judge_login(&self, now: Now) -> Result<(), Refusal> {
        self.judge_path(&Command::bare(Verb::Pass), &[Operation::Login], Place::Nothing, now)
    }

    /// Asks about a command of which nothing is to be found out; a denial is answered.
    pub(super) fn permit(&mut self, command: &Command, now: Now) -> Option<Permit> {
        let items = self.items(&Deed::of(command, self.context(None)));
        self.permit_items(command, &items, now)
    }

    pub(super) fn permit_items(&mut self, command: &Command, items: &[Item], now: Now) -> Option<Permit> {
        self.note_accesses(items, Findings::default());
        match self.judge_unseen(command, items, Findings::default(), self.announced_bytes(items), now) {
            Ok(permit) => {
                self.note_decision(Decision::permitted(&permit));
                self.observe(command, items, permit.observed());
                Some(permit)
            }
            Err(refusal) => {
                self.deny(command, items, refusal);
                None
            }
        }
    }

    /// Bytes that ALLO announced, where they are for this command.
    pub(super) fn announced_bytes(&self, items: &[Item]) -> Option<u64> {
        let is_written = |item: &Item| {
            item.operations.iter().any(|operation| {
                matches!(operation, Operation::Upload | Operation::Overwrite | Operation::Append)
            })
        };
        self.announced.filter(|_| items.iter().any(is_written))
    }

    /// Refuses a command by the listener's rules.
    pub(super) fn refuse(&mut self, command: &Command, reply: Reply) {
        self.note_refusal(command);
        self.conclude(reply);
    }

    /// Refuses a command by policy.
    pub(super) fn deny(&mut self, command: &Command, items: &[Item], refusal: Refusal) {
        self.note_denial(command, items, &refusal);
        self.conclude(refusal.reply);
    }

    pub(super) fn note_denial(&mut self, command: &Command, items: &[Item], refusal: &Refusal) {
        self.observe(command, items, &refusal.denial.observed);
        self.note_decision(Decision::denied(&refusal.denial));
    }

    /// Records what would have been decided.
    pub(super) fn observe(&mut self, command: &Command, items: &[Item], observed: &[Observation]) {
        for observation in observed {
            self.facts.push_back(Fact::Observed {
                verb: command.verb(),
                argument: shown_argument(command),
                path: first_path(items),
                rule: observation.rule.clone(),
                is_denial: match observation.action {
                    Action::Allow => false,
                    Action::Deny => true,
                },
            });
        }
    }

    /// The most bytes that policy allows an upload; `None`: any number. Of what nobody looked at, both kinds count.
    pub(super) fn upload_bytes_max(
        &self,
        command: &Command,
        items: &[Item],
        findings: Findings,
        now: Now,
    ) -> Option<u64> {
        let subcommand = command.subcommand();
        let times = self.times(now);
        let question = Question {
            policy: &self.policy,
            subject: &self.subject,
            verb: command.verb().name(),
            subcommand: subcommand.as_deref(),
            size_bytes: None,
            times: &times,
        };
        let kinds = findings.replaces.map_or(vec![false, true], |replaces| vec![replaces]);
        let denied_from = kinds.into_iter().filter_map(|replaces| {
            self.policy.denied_from_bytes(&question.request(&accesses(items, replaces)))
        });
        denied_from.min().map(|bytes| bytes.saturating_sub(1))
    }

    /// The time in each of the policy's zones.
    fn times(&self, now: Now) -> Vec<LocalTime> {
        let zones = self.policy.zones();
        if zones.is_empty() { Vec::new() } else { self.settings.clock.times(now.wall, zones) }
    }

    pub(super) fn set_policy(&mut self, policy: Arc<Policy>) {
        self.needs_paths = needs_paths(&policy);
        self.links = policy.links();
        self.policy = policy;
    }
}

/// Whether a policy is to be asked with paths: some rule speaks of them, or the server must be asked whether an upload
/// replaces a file, which takes a path.
pub fn needs_paths(policy: &Policy) -> bool {
    policy.has_paths() || policy.distinguishes(Operation::Upload, Operation::Overwrite)
}

fn accesses(items: &[Item], replaces: bool) -> Vec<Access<'_>> {
    let mut accesses = Vec::new();
    for item in items {
        let target = target(&item.place);
        accesses.extend(item.operations.iter().map(|&operation| {
            let is_replaced = operation == Operation::Upload && item.may_replace && replaces;
            let operation = if is_replaced { Operation::Overwrite } else { operation };
            Access { operation, target }
        }));
        if replaces && item.may_replace && item.operations.contains(&Operation::Rename) {
            accesses.push(Access { operation: Operation::Overwrite, target });
        }
    }
    accesses
}

fn target(place: &Place) -> Target<'_> {
    match place {
        Place::Nothing => Target::Nothing,
        Place::Unresolved(_) => Target::Unresolved,
        Place::Here(path) | Place::Path(path) => Target::Path(path),
    }
}

/// The deepest directory above the first component that is a pattern, and the rest.
pub(super) fn split_pattern(path: &CanonicalPath) -> Option<(CanonicalPath, String)> {
    let is_pattern = |component: &str| component.contains(['*', '?', '[', '{']);
    let depth = path.components().position(is_pattern)?;
    let pattern: Vec<&str> = path.components().skip(depth).collect();
    let mut directory = path.clone();
    for _ in 0..pattern.len() {
        directory = directory.parent();
    }
    Some((directory, pattern.join("/")))
}

fn first_path(items: &[Item]) -> Option<CanonicalPath> {
    items.iter().find_map(|item| item.place.path()).cloned()
}

fn shown_argument(command: &Command) -> Option<Vec<u8>> {
    command.argument().filter(|_| !command.is_secret()).map(<[u8]>::to_vec)
}

fn refusal(denial: &Denial, items: &[Item], is_too_large: bool) -> Reply {
    if let Some(reply) = &denial.reply {
        return Reply::new(reply.code(), reply.text());
    }
    if is_too_large {
        return Reply::new(552, "Larger than policy allows.");
    }
    let unresolved = items.iter().find_map(|item| match item.place {
        Place::Unresolved(error) => error,
        Place::Nothing | Place::Here(_) | Place::Path(_) => None,
    });
    let text = unresolved
        .map_or_else(|| "Not allowed by policy.".to_owned(), |error| format!("Not allowed: {error}."));
    match denial.operation {
        Some(Operation::Connect) => Reply::new(421, "Connections from here are not allowed."),
        Some(Operation::Login) => Reply::new(530, "Login not allowed."),
        Some(
            Operation::Upload
            | Operation::Overwrite
            | Operation::Append
            | Operation::Mkdir
            | Operation::Rename,
        ) => Reply::new(553, text),
        Some(
            Operation::List
            | Operation::Download
            | Operation::Delete
            | Operation::Rmdir
            | Operation::Traverse
            | Operation::Metadata
            | Operation::Site,
        )
        | None => Reply::new(550, text),
    }
}
