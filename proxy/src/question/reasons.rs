//! Why a rehearsed command came out as it did: the explanation by policy that agrees with it, and for every rule that
//! did not decide what it asks for and what there was.

use std::time::SystemTime;

use ftpsgate_ftp::codec::{Command, Verb};
use ftpsgate_ftp::session::{Context, Decision, Deed, Fact, Place, Standing, needs_paths};
use ftpsgate_policies::explain::{AccessExplanation, Because, Explanation, Matcher};
use ftpsgate_policies::hours::LocalTime;
use ftpsgate_policies::request::{Tls, TlsVersion};
use ftpsgate_policies::rule::{Action, CertificatePattern, Matchers};
use ftpsgate_policies::{
    Access, CanonicalPath, Extent, Links, Operation, PathProfile, Request, RuleRef, Subject, Target,
};

use super::rehearsal::Exchange;
use super::server::UNIQUE_NAME;
use super::{Cause, shown};
use crate::config::{Config, Question, format_size, local_times};

/// A command that was rehearsed.
pub(super) struct Case<'a> {
    pub(super) config: &'a Config,
    pub(super) question: &'a Question,
    /// What it was judged by.
    pub(super) standing: &'a Standing,
    /// `None`: the connection itself.
    pub(super) command: Option<&'a Command>,
    pub(super) exchange: &'a Exchange,
    /// Of the backend.
    pub(super) profile: PathProfile,
    pub(super) moment: SystemTime,
}

/// Who decided, and why.
pub(super) struct Verdict {
    pub(super) cause: Cause,
    /// `None`: policy was not asked.
    pub(super) judged: Option<Judged>,
}

/// What policy said.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    /// A denial was only recorded, because the whole policy is under observation.
    pub(super) is_observed: bool,
    pub(super) accesses: Vec<JudgedAccess>,
    /// What cannot be allowed for all that a directory could hold, and what for.
    pub(super) below: Option<(CanonicalPath, Operation)>,
    /// What policy would have said if it were the other way round with the file's being there.
    pub(super) otherwise: Option<Action>,
}

/// One access, and how it was decided.
#[derive(Debug, Clone)]
pub(super) struct JudgedAccess {
    pub(super) place: Option<Place>,
    pub(super) explanation: AccessExplanation,
    /// For each rule before: what it asks for, and what there was; `None` for one under observation.
    pub(super) mismatches: Vec<Option<Mismatch>>,
}

/// A matcher that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// As it would be written.
    pub(super) asks: String,
    /// What there was instead.
    pub(super) found: String,
}

/// One way in which a command may have been put to policy.
struct Candidate {
    operations: Vec<(Operation, Place)>,
    size_bytes: Option<u64>,
    replaces: bool,
}

/// Finds out who decided.
pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let refusal = case.refusal();
    let candidates = case.candidates();
    let found = candidates.iter().find_map(|candidate| {
        let explanation = case.explain(candidate);
        case.agrees(&explanation, refusal.as_ref()).then_some((candidate, explanation))
    });
    let Some((candidate, explanation)) = found else {
        return case.beside_accesses(refusal, &candidates);
    };
    let cause = match (&refusal, deciding(&explanation)) {
        (Some(Refusal { rule: Some(rule), .. }), _) => Cause::Rule(rule.clone()),
        (Some(Refusal { rule: None, .. }), _) => Cause::Default,
        (None, Some(rule)) => Cause::Rule(rule.clone()),
        (None, None) => Cause::Default,
    };
    let mirrored = candidates
        .iter()
        .find(|other| other.replaces != candidate.replaces && other.size_bytes == candidate.size_bytes)
        .map(|other| case.explain(other));
    let is_other = |other: &Explanation| {
        other.is_allowed != explanation.is_allowed || deciding(other) != deciding(&explanation)
    };
    let otherwise =
        mirrored.filter(is_other).map(|other| if other.is_allowed { Action::Allow } else { Action::Deny });
    let judged = case.judged(candidate, explanation, None, otherwise);
    Verdict { cause, judged: Some(judged) }
}

/// What the session recorded of a refusal.
struct Refusal {
    rule: Option<RuleRef>,
    code: u16,
}

fn refusal(decision: &Decision, code: u16) -> Option<Refusal> {
    (!decision.is_allowed).then(|| Refusal { rule: decision.rule().cloned(), code })
}

/// The rule that decides: that of the denial, else of the first access that a rule allows.
fn deciding(explanation: &Explanation) -> Option<&RuleRef> {
    let denied = explanation.accesses.last().filter(|_| !explanation.is_allowed);
    match denied {
        Some(access) => access.rule.as_ref(),
        None => {
            let allowed = |access: &&AccessExplanation| access.action == Action::Allow;
            explanation.accesses.iter().filter(allowed).find_map(|access| access.rule.as_ref())
        }
    }
}

impl Case<'_> {
    /// `None`: it was not refused.
    fn refusal(&self) -> Option<Refusal> {
        if !self.exchange.is_refused() {
            return None;
        }
        let recorded = self.exchange.facts.iter().rev().find_map(|fact| match fact {
            Fact::CommandFinished(record) => refusal(record.decision.as_ref()?, record.code?),
            Fact::Revoked { decision, code, .. } => refusal(decision, *code),
            Fact::Connected(decision) => refusal(decision, 421),
            _other => None,
        });
        let code = self.exchange.reply.as_ref().map_or(421, |reply| reply.code().value());
        Some(recorded.unwrap_or(Refusal { rule: None, code }))
    }

    /// Whether policy, asked so, says what happened.
    fn agrees(&self, explanation: &Explanation, refusal: Option<&Refusal>) -> bool {
        match refusal {
            None => explanation.is_allowed,
            Some(Refusal { rule: Some(rule), .. }) => {
                !explanation.is_allowed && deciding(explanation) == Some(rule)
            }
            // The gateway's own refusals have other codes than the default's.
            Some(Refusal { rule: None, code }) => {
                !explanation.is_allowed && deciding(explanation).is_none() && matches!(code, 550 | 552 | 553)
            }
        }
    }

    /// What was not decided by the command's own accesses: by what a directory could hold, or not by policy at all.
    fn beside_accesses(&self, refusal: Option<Refusal>, candidates: &[Candidate]) -> Verdict {
        let below = candidates.first().and_then(|candidate| self.mixed_below(candidate));
        match (refusal, below, candidates.first()) {
            (Some(Refusal { rule: None, code: 550 }), Some(below), Some(candidate)) => {
                let judged = self.judged(candidate, self.explain(candidate), Some(below.clone()), None);
                Verdict { cause: Cause::Below(below.0), judged: Some(judged) }
            }
            (Some(Refusal { rule: Some(rule), .. }), _, _) => {
                Verdict { cause: Cause::Rule(rule), judged: None }
            }
            (Some(Refusal { rule: None, .. }) | None, _, _) => {
                Verdict { cause: Cause::Gateway, judged: None }
            }
        }
    }

    fn deed(&self) -> Option<Deed> {
        let context = Context {
            held: self.standing.held.as_ref(),
            is_restarted: self.standing.is_restarted,
            has_chosen_names: self.standing.has_chosen_names,
        };
        self.command.map(|command| Deed::of(command, context))
    }

    /// The ways in which policy may have been asked: the likeliest first.
    fn candidates(&self) -> Vec<Candidate> {
        let Some(deed) = self.deed() else {
            let operations = vec![(Operation::Connect, Place::Nothing)];
            return vec![Candidate { operations, size_bytes: None, replaces: false }];
        };
        let mut operations = deed.accesses(self.profile, self.standing.directory.as_ref());
        if self.profile == PathProfile::Opaque {
            // Nothing rests on these paths, and the words say more.
            operations.iter_mut().for_each(|(_, place)| {
                if let Place::Unresolved(error) = place {
                    *error = None;
                }
            });
        }
        let writes = operations.iter().any(|(operation, _)| {
            matches!(operation, Operation::Upload | Operation::Overwrite | Operation::Append)
        });
        let announced = self.standing.announced_bytes.filter(|_| writes);
        let counted = self.question.size_bytes.filter(|_| writes);
        let may_replace = deed.objects.iter().any(|object| object.may_replace);
        let mut candidates = Vec::new();
        // Without a size of its own an upload is judged by what was announced, with one by both.
        for size_bytes in [counted.or(announced), announced] {
            for replaces in [self.question.exists, !self.question.exists] {
                if replaces && !may_replace {
                    continue;
                }
                let replaced = |operation| match operation {
                    Operation::Upload if replaces => Operation::Overwrite,
                    other => other,
                };
                let operations =
                    operations.iter().map(|(operation, place)| (replaced(*operation), place.clone()));
                candidates.push(Candidate { operations: operations.collect(), size_bytes, replaces });
            }
        }
        if self.command.is_some_and(|command| command.verb() == Verb::Stou)
            && let Some(directory) = &self.standing.directory
            && let Ok(path) = CanonicalPath::resolve(self.profile, Some(directory), UNIQUE_NAME.as_bytes())
        {
            let operations = vec![(Operation::Upload, Place::Path(path))];
            candidates.push(Candidate { operations, size_bytes: announced, replaces: false });
        }
        candidates
    }

    fn times(&self) -> Vec<LocalTime> {
        local_times(self.moment, self.config.policy.zones())
    }

    fn explain(&self, candidate: &Candidate) -> Explanation {
        let times = self.times();
        let accesses = accesses(candidate);
        let subcommand = self.command.and_then(Command::subcommand);
        self.config.policy.explain(&self.request(candidate, &accesses, subcommand.as_deref(), &times))
    }

    fn request<'b>(
        &'b self,
        candidate: &Candidate,
        accesses: &'b [Access<'b>],
        subcommand: Option<&'b str>,
        times: &'b [LocalTime],
    ) -> Request<'b> {
        Request {
            subject: &self.standing.subject,
            verb: self.command.map_or("", |command| command.verb().name()),
            subcommand,
            accesses,
            size_bytes: candidate.size_bytes,
            times,
        }
    }

    /// The first directory of which not all may be touched.
    fn mixed_below(&self, candidate: &Candidate) -> Option<(CanonicalPath, Operation)> {
        let policy = &self.config.policy;
        if !needs_paths(policy) || self.profile == PathProfile::Opaque {
            return None;
        }
        let times = self.times();
        let subcommand = self.command.and_then(Command::subcommand);
        let request = self.request(candidate, &[], subcommand.as_deref(), &times);
        let has_links = policy.links() != Links::Harmless;
        let below = self.deed()?.below(self.profile, self.standing.directory.as_ref(), has_links);
        let is_mixed = |operation: &Operation, path: &CanonicalPath| {
            policy.authorize_subtree(&request, *operation, path) != Extent::All
        };
        below
            .into_iter()
            .find(|(operation, path, _)| is_mixed(operation, path))
            .map(|(operation, path, _)| (path, operation))
    }

    fn judged(
        &self,
        candidate: &Candidate,
        explanation: Explanation,
        below: Option<(CanonicalPath, Operation)>,
        otherwise: Option<Action>,
    ) -> Judged {
        let is_observed = explanation.is_observed;
        let places = candidate.operations.iter().map(|(_, place)| Some(place)).chain([None]);
        let accesses = explanation.accesses.into_iter().zip(places).map(|(explanation, place)| {
            let mismatches = explanation
                .passed
                .iter()
                .map(|passed| match passed.because {
                    Because::Mismatch(matcher) => {
                        self.mismatch(&passed.rule, matcher, candidate, explanation.operation, place)
                    }
                    Because::Observed(_) => None,
                })
                .collect();
            JudgedAccess { place: place.cloned(), explanation, mismatches }
        });
        Judged { is_observed, accesses: accesses.collect(), below, otherwise }
    }

    /// What a rule asks for, and what there is.
    fn mismatch(
        &self,
        rule: &RuleRef,
        matcher: Matcher,
        candidate: &Candidate,
        operation: Option<Operation>,
        place: Option<&Place>,
    ) -> Option<Mismatch> {
        let rule = self.config.rules.rules.iter().find(|one| one.name == rule.name())?;
        let matchers = &rule.matchers;
        let subject = &self.standing.subject;
        let user = || subject.user.as_deref().map_or_else(|| "no user yet".to_owned(), shown);
        let (asks, found) = match matcher {
            Matcher::Listeners => (list("listeners", &matchers.listeners), subject.listener.clone()),
            Matcher::Backends => (list("backends", &matchers.backends), or(&subject.backend, "none yet")),
            Matcher::From => (list("from", &matchers.from), subject.address.to_string()),
            Matcher::Users => (list("users", &matchers.users), user()),
            Matcher::Groups => {
                (list("groups", &matchers.groups), format!("{} from {}", user(), subject.address))
            }
            Matcher::Certificates => {
                let patterns: Vec<String> = matchers.certificates.iter().map(certificate).collect();
                (list("certificates", &patterns), shown_certificate(subject))
            }
            Matcher::Tls => {
                let asked = matchers.tls.map(|tls| tls.to_string()).unwrap_or_default();
                (format!("tls = \"{asked}\""), shown_tls(subject.tls).to_owned())
            }
            Matcher::Hours => {
                let schedule = matchers.hours.as_ref()?;
                let asked = format!("hours = \"{}\" ({})", schedule.hours, schedule.timezone);
                let there = local_times(self.moment, std::slice::from_ref(&schedule.timezone));
                (asked, there.first().map_or_else(|| "unknown".to_owned(), ToString::to_string))
            }
            Matcher::Commands => (commands(matchers), self.shown_command(operation)),
            Matcher::Paths => (list("paths", &matchers.paths), shown_place(place)),
            Matcher::LargerThan => {
                let asked = format_size(matchers.larger_than_bytes.unwrap_or(0));
                let found =
                    candidate.size_bytes.map_or_else(|| "a size that was not told".to_owned(), format_size);
                (format!("larger_than = \"{asked}\""), found)
            }
        };
        Some(Mismatch { asks, found })
    }

    fn shown_command(&self, operation: Option<Operation>) -> String {
        match (operation, self.command) {
            (Some(operation), _) => operation.name().to_owned(),
            (None, Some(command)) => match command.subcommand() {
                Some(word) => format!("{} {word}", command.verb().name()),
                None => command.verb().name().to_owned(),
            },
            (None, None) => "connect".to_owned(),
        }
    }
}

fn accesses(candidate: &Candidate) -> Vec<Access<'_>> {
    candidate
        .operations
        .iter()
        .map(|(operation, place)| Access { operation: *operation, target: target(place) })
        .collect()
}

fn target(place: &Place) -> Target<'_> {
    match place {
        Place::Nothing => Target::Nothing,
        Place::Unresolved(_) => Target::Unresolved,
        Place::Here(path) | Place::Path(path) => Target::Path(path),
    }
}

/// As it stands in a configuration.
fn list<T: ToString>(key: &str, values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("\"{}\"", value.to_string())).collect();
    format!("{key} = [{}]", values.join(", "))
}

fn commands(matchers: &Matchers) -> String {
    let operations: Vec<&str> = matchers.operations.iter().copied().map(Operation::name).collect();
    let commands: Vec<String> = matchers
        .commands
        .iter()
        .map(|command| match command.subcommand() {
            None => command.verb().to_owned(),
            Some(word) => format!("{} {word}", command.verb()),
        })
        .collect();
    match (operations.is_empty(), commands.is_empty()) {
        (true, true) => "every operation on files".to_owned(),
        (false, true) => list("operations", &operations),
        (true, false) => list("commands", &commands),
        (false, false) => format!("{}, {}", list("operations", &operations), list("commands", &commands)),
    }
}

fn certificate(pattern: &CertificatePattern) -> String {
    match pattern {
        CertificatePattern::Subject(glob) => glob.to_string(),
        CertificatePattern::Name(glob) => format!("san:{glob}"),
        CertificatePattern::Key(key) => key.clone(),
    }
}

fn shown_certificate(subject: &Subject) -> String {
    match &subject.certificate {
        None => "no certificate".to_owned(),
        Some(certificate) => {
            let names = certificate.names.iter().map(|name| format!("san:{name}"));
            let parts: Vec<String> = [certificate.subject.clone()]
                .into_iter()
                .chain(names)
                .chain([certificate.key.clone()])
                .collect();
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
        }
    }
}

/// The TLS of the control connection, in words.
pub(super) fn shown_tls(tls: Option<Tls>) -> &'static str {
    match tls.map(|tls| tls.version) {
        None => "no TLS",
        Some(TlsVersion::V12) => "TLS 1.2",
        Some(TlsVersion::V13) => "TLS 1.3",
    }
}

fn shown_place(place: Option<&Place>) -> String {
    match place {
        Some(Place::Here(path) | Place::Path(path)) => path.to_string(),
        Some(Place::Unresolved(Some(error))) => format!("no path ({error})"),
        Some(Place::Unresolved(None)) => "a path that cannot be told".to_owned(),
        Some(Place::Nothing) | None => "no path".to_owned(),
    }
}

fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
}
