//! One command, one fact: what the client asked for, what policy said, and what came of it.
//!
//! The record of a command is opened when the command is run, filled where it is judged, and closed with its last
//! reply, or with the session. One is open at a time: what is answered while data moves has a record of its own. Lines
//! that the session did not come to before it ended have none: nothing was done about them.

use std::time::Duration;

use ftpsgate_policies::{CanonicalPath, Denial, Observation, Operation, Permit, RuleRef};

use crate::codec::{Command, Reply, Verb};

use super::Session;
use super::authorize::{Deed, Place};
use super::event::{DataTls, Direction, Fact, RelayEnd};
use super::judge::{Findings, Item};

/// A command that is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandRecord {
    /// `None`: the line was no command. Of such a line nothing is kept: a password may have strayed into it.
    pub verb: Option<Verb>,
    /// The sub-command of SITE and OPTS.
    pub subcommand: Option<String>,
    /// As the client wrote it, where it is no secret.
    pub argument: Option<Vec<u8>>,
    /// Who the client was when the command was judged.
    pub user: Option<Vec<u8>>,
    /// Name of the backend that it was for; empty before USER.
    pub backend: String,
    /// What it would do, to what.
    pub accesses: Vec<AccessRecord>,
    /// Bytes of an upload that ALLO announced.
    pub announced_bytes: Option<u64>,
    /// What policy, the listener's rules or a limit said; `None`: nobody was asked.
    pub decision: Option<Decision>,
    /// The password was not accepted, or not tried.
    pub has_failed_login: bool,
    /// The limit that decided; `None` also where that is one on the size of files.
    pub limit: Option<String>,
    /// Of the last reply; `None`: there was none.
    pub code: Option<u16>,
    /// Where it was a transfer that policy allowed.
    pub transfer: Option<TransferRecord>,
}

/// One thing that a command would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRecord {
    /// What.
    pub operation: Operation,
    /// To what.
    pub target: AccessTarget,
    /// To all that is below it, too.
    pub is_below: bool,
}

/// What an access is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessTarget {
    /// Nothing that has a path.
    Nothing,
    /// Something, and nobody can say what.
    Unresolved,
    /// The path that was judged.
    Path(CanonicalPath),
    /// Policy needs no paths: this is where the client's words lead, if the server's directory is where its replies let
    /// us believe.
    Reckoned(CanonicalPath),
}

/// What was decided about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it was let through.
    pub is_allowed: bool,
    /// By whom.
    pub by: DecidedBy,
    /// What rules, or a policy, under observation would have decided.
    pub observed: Vec<Observation>,
}

/// Who decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecidedBy {
    /// This rule.
    Rule(RuleRef),
    /// No rule matched.
    Default,
    /// The listener's configuration or the protocol, whatever policy would say.
    Gateway,
    /// A limit.
    Limit,
}

/// One transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRecord {
    /// Where the bytes went.
    pub direction: Direction,
    /// How many.
    pub bytes: u64,
    /// From the transfer command to its last reply.
    pub duration: Duration,
    /// How the data ended; `None`: no data was moved.
    pub end: Option<RelayEnd>,
    /// The TLS of the client's leg.
    pub tls: Option<DataTls>,
    /// The TLS of the backend's leg.
    pub upstream_tls: Option<DataTls>,
    /// STOU: the name in the backend's 150.
    pub unique_name: Option<Vec<u8>>,
}

impl CommandRecord {
    /// The verb's name; empty for what is no command.
    pub fn verb_name(&self) -> &'static str {
        self.verb.map_or("", Verb::name)
    }

    /// Whether a limit decided of which the session knows no name.
    pub fn is_refused_by_unnamed_limit(&self) -> bool {
        self.limit.is_none() && self.decision.as_ref().is_some_and(|decision| decision.by == DecidedBy::Limit)
    }

    /// The first path that was judged.
    pub fn path(&self) -> Option<&CanonicalPath> {
        first_path(&self.accesses)
    }
}

/// The first path that was judged.
pub fn first_path(accesses: &[AccessRecord]) -> Option<&CanonicalPath> {
    accesses.iter().find_map(|access| match &access.target {
        AccessTarget::Path(path) => Some(path),
        AccessTarget::Nothing | AccessTarget::Unresolved | AccessTarget::Reckoned(_) => None,
    })
}

impl Decision {
    pub(super) fn permitted(permit: &Permit) -> Self {
        Self::policy(true, permit.rule_ref().cloned(), permit.observed().to_vec())
    }

    pub(super) fn denied(denial: &Denial) -> Self {
        Self::policy(false, denial.rule.clone(), denial.observed.clone())
    }

    pub(super) fn policy(is_allowed: bool, rule: Option<RuleRef>, observed: Vec<Observation>) -> Self {
        Self { is_allowed, by: rule.map_or(DecidedBy::Default, DecidedBy::Rule), observed }
    }

    fn refused(by: DecidedBy) -> Self {
        Self { is_allowed: false, by, observed: Vec::new() }
    }

    /// The rule, if one decided.
    pub fn rule(&self) -> Option<&RuleRef> {
        match &self.by {
            DecidedBy::Rule(rule) => Some(rule),
            DecidedBy::Default | DecidedBy::Gateway | DecidedBy::Limit => None,
        }
    }
}

impl Session {
    /// A command is run: what becomes of it is recorded.
    pub(super) fn open_record(&mut self, command: &Command) {
        self.open = Some(Box::new(CommandRecord {
            verb: Some(command.verb()),
            subcommand: command.subcommand().filter(|_| matches!(command.verb(), Verb::Site | Verb::Opts)),
            argument: command.argument().filter(|_| !command.is_secret()).map(<[u8]>::to_vec),
            ..CommandRecord::default()
        }));
    }

    /// The same for a line that is no command, or lacks what its verb needs.
    pub(super) fn open_record_of_line(&mut self, verb: Option<Verb>) {
        self.open = Some(Box::new(CommandRecord { verb, ..CommandRecord::default() }));
    }

    /// What the command under way would do.
    pub(super) fn note_accesses(&mut self, items: &[Item], findings: Findings) {
        let announced_bytes = self.announced_bytes(items);
        if let Some(record) = &mut self.open {
            record.accesses = accesses(items, findings);
            record.announced_bytes = announced_bytes;
        }
    }

    /// What was decided about it.
    pub(super) fn note_decision(&mut self, decision: Decision) {
        // A denied USER leaves no name behind, and it is that name that was denied.
        let (user, backend) = (self.subject.user.clone(), self.subject.backend.clone());
        if let Some(record) = &mut self.open {
            record.decision = Some(decision);
            (record.user, record.backend) = (user, backend);
        }
    }

    /// The listener's rules refuse it.
    pub(super) fn note_refusal(&mut self, command: &Command) {
        let items = self.items(&Deed::of(command, self.context(None)));
        self.note_accesses(&items, Findings::default());
        self.note_decision(Decision::refused(DecidedBy::Gateway));
    }

    /// A limit refuses it.
    pub(super) fn note_limit(&mut self, limit: String) {
        self.note_decision(Decision::refused(DecidedBy::Limit));
        if let Some(record) = &mut self.open {
            record.limit = Some(limit);
        }
    }

    /// The size of its file refuses it. Which limit that is, is known to whoever told how large a file may be.
    pub(super) fn note_file_limit(&mut self) {
        self.note_decision(Decision::refused(DecidedBy::Limit));
    }

    /// The login that it was part of failed.
    pub(super) fn note_failed_login(&mut self) {
        if let Some(record) = &mut self.open {
            record.has_failed_login = true;
        }
    }

    /// Who the login that it was part of was for: the session forgets a name that was not let in.
    pub(super) fn note_login_user(&mut self, user: Option<&Vec<u8>>) {
        if let Some(record) = &mut self.open {
            record.user = user.cloned();
        }
    }

    /// The command under way gets its last reply.
    pub(super) fn conclude(&mut self, reply: Reply) {
        self.close_record(Some(reply.code().value()));
        self.reply(reply);
    }

    /// The command under way, if there is one, is over.
    pub(super) fn close_record(&mut self, code: Option<u16>) {
        let Some(mut record) = self.open.take() else { return };
        record.code = code;
        if record.decision.is_none() {
            if record.user.is_none() {
                record.user.clone_from(&self.subject.user);
            }
            record.backend.clone_from(&self.subject.backend);
        }
        self.facts.push_back(Fact::CommandFinished(record));
    }
}

/// What a command would do, as its items are known.
pub(super) fn accesses(items: &[Item], findings: Findings) -> Vec<AccessRecord> {
    let mut records = Vec::new();
    for item in items {
        let target = match (&item.place, &item.reckoned) {
            (Place::Here(path) | Place::Path(path), _) => AccessTarget::Path(path.clone()),
            (Place::Unresolved(_), Some(path)) => AccessTarget::Reckoned(path.clone()),
            (Place::Unresolved(_), None) => AccessTarget::Unresolved,
            (Place::Nothing, _) => AccessTarget::Nothing,
        };
        records.extend(item.operations.iter().map(|&operation| {
            let is_replaced =
                operation == Operation::Upload && item.may_replace && findings.replaces == Some(true);
            let operation = if is_replaced { Operation::Overwrite } else { operation };
            AccessRecord { operation, target: target.clone(), is_below: false }
        }));
        let is_replacing = item.may_replace && findings.replaces == Some(true);
        if is_replacing && item.operations.contains(&Operation::Rename) {
            let (operation, target) = (Operation::Overwrite, target.clone());
            records.push(AccessRecord { operation, target, is_below: false });
        }
        // No directory is written to, so of a resumed upload nothing is below.
        if !(item.is_resumed || item.spares_files && findings.is_file == Some(true)) {
            let below = item.below.iter();
            records.extend(below.map(|&operation| AccessRecord {
                operation,
                target: target.clone(),
                is_below: true,
            }));
        }
    }
    records
}
