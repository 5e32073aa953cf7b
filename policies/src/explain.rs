//! Why a decision is what it is: for each rule before it, the first matcher that failed.
//!
//! It asks rule after rule, matcher after matcher, and uses none of the sets that the decision uses: so it is
//! also the model that the decision is tested against.

use std::fmt;

use crate::compile::{CompiledRule, Policy, RuleRef, names_operation, user_name};
use crate::index::holds;
use crate::pattern::UserName;
use crate::request::{Access, Operation, Request, Subject, Target};
use crate::rule::{Action, Group, Matchers, Mode};

/// A part of a rule that a request must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Matcher {
    /// `listeners`.
    Listeners,
    /// `backends`.
    Backends,
    /// `from`.
    From,
    /// `users`.
    Users,
    /// `groups`.
    Groups,
    /// `certificates`.
    Certificates,
    /// `tls`.
    Tls,
    /// `hours`.
    Hours,
    /// `operations` and `commands`.
    Commands,
    /// `paths`.
    Paths,
    /// `larger_than`.
    LargerThan,
}

impl Matcher {
    /// The key in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Matcher::Listeners => "listeners",
            Matcher::Backends => "backends",
            Matcher::From => "from",
            Matcher::Users => "users",
            Matcher::Groups => "groups",
            Matcher::Certificates => "certificates",
            Matcher::Tls => "tls",
            Matcher::Hours => "hours",
            Matcher::Commands => "operations",
            Matcher::Paths => "paths",
            Matcher::LargerThan => "larger_than",
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How a command is decided: access by access, until one is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What [`Policy::authorize`] answers.
    pub is_allowed: bool,
    /// Whether a denial was only recorded, because the whole policy is under observation.
    pub is_observed: bool,
    /// One for each access that was looked at, or one for a command without any.
    pub accesses: Vec<AccessExplanation>,
}

/// How one access is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessExplanation {
    /// `None`: the command has no operation.
    pub operation: Option<Operation>,
    /// What the rule, or the default, says.
    pub action: Action,
    /// The rule that decides; `None`: the default.
    pub rule: Option<RuleRef>,
    /// Whether it decides because the directory leads to its paths, and not because it names the access.
    pub is_implied: bool,
    /// Every rule before it, in order.
    pub passed: Vec<PassedRule>,
}

/// A rule that did not decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedRule {
    /// Which.
    pub rule: RuleRef,
    /// Why not.
    pub because: Because,
}

/// Why a rule did not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The first of its matchers that failed.
    Mismatch(Matcher),
    /// It matched and would have decided so, but is under observation.
    Observed(Action),
}

/// How a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// All that it asks for is there.
    Own,
    /// A directory of, or above, its paths is entered.
    Implied,
}

impl Policy {
    /// Explains a decision; asking twice gives the same.
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let user = user_name(request.subject);
        let mut explanation = Explanation { is_allowed: true, is_observed: false, accesses: Vec::new() };
        let accesses = request.accesses.iter().copied().map(Some);
        let without_operation = request.accesses.is_empty().then_some(None);
        for access in accesses.chain(without_operation) {
            let explained = self.explain_access(request, access, user.as_ref());
            let action = explained.action;
            explanation.accesses.push(explained);
            match (action, self.mode) {
                (Action::Allow, Mode::Enforce | Mode::Observe) => {}
                (Action::Deny, Mode::Observe) => explanation.is_observed = true,
                (Action::Deny, Mode::Enforce) => {
                    explanation.is_allowed = false;
                    break;
                }
            }
        }
        explanation
    }

    fn explain_access(
        &self,
        request: &Request<'_>,
        access: Option<Access<'_>>,
        user: Option<&UserName>,
    ) -> AccessExplanation {
        let operation = access.map(|access| access.operation);
        let mut passed = Vec::new();
        for rule in &self.rules {
            let because = match (rule.judge(&self.groups, request, access, user), rule.rule.mode) {
                (Err(matcher), Mode::Enforce | Mode::Observe) => Because::Mismatch(matcher),
                (Ok(_), Mode::Observe) => Because::Observed(rule.rule.action),
                (Ok(matched), Mode::Enforce) => {
                    let is_implied = matched == Match::Implied;
                    let (action, rule) = (rule.rule.action, Some(rule.reference.clone()));
                    return AccessExplanation { operation, action, rule, is_implied, passed };
                }
            };
            passed.push(PassedRule { rule: rule.reference.clone(), because });
        }
        let action = self.default_for(operation);
        AccessExplanation { operation, action, rule: None, is_implied: false, passed }
    }
}

impl CompiledRule {
    /// Whether the rule is about an access; `None`: about a command that has no operation.
    pub(crate) fn judge(
        &self,
        groups: &[Group],
        request: &Request<'_>,
        access: Option<Access<'_>>,
        user: Option<&UserName>,
    ) -> Result<Match, Matcher> {
        let matchers = &self.rule.matchers;
        let operation = access.map(|access| access.operation);
        let target = access.map_or(Target::Nothing, |access| access.target);
        matchers.judge_subject(request.subject, |name| {
            groups.iter().any(|group| group.name == *name && group.holds(request.subject))
        })?;
        self.judge_hours(request)?;
        let own = || {
            if operation == Some(Operation::Connect) && matchers.tls.is_some() {
                return Err(Matcher::Tls);
            }
            let is_named = operation.is_some_and(|operation| names_operation(matchers, operation))
                || matchers.commands.iter().any(|command| command.matches(request.verb, request.subcommand));
            if !is_named {
                return Err(Matcher::Commands);
            }
            let is_path = |path: &_| match (self.rule.action, target) {
                (Action::Allow, Target::Path(target)) => {
                    crate::pattern::PathPattern::matches(path, target, user)
                }
                (Action::Deny, Target::Path(target)) => path.matches_folded(target, user),
                (Action::Deny, Target::Unresolved) => true,
                (Action::Allow, Target::Unresolved) | (Action::Allow | Action::Deny, Target::Nothing) => {
                    false
                }
            };
            if !matchers.paths.is_empty() && !matchers.paths.iter().any(is_path) {
                return Err(Matcher::Paths);
            }
            match matchers.larger_than_bytes {
                Some(least) if request.size_bytes.is_none_or(|size| size <= least) => {
                    Err(Matcher::LargerThan)
                }
                Some(_) | None => Ok(Match::Own),
            }
        };
        own().or_else(|failed| {
            let leads_there = match target {
                Target::Path(path) => matchers.paths.iter().any(|pattern| pattern.reaches_into(path, user)),
                Target::Nothing | Target::Unresolved => false,
            };
            let is_implied = operation == Some(Operation::Traverse)
                && self.implies_traverse
                && (matchers.paths.is_empty() || leads_there);
            if is_implied { Ok(Match::Implied) } else { Err(failed) }
        })
    }

    fn judge_hours(&self, request: &Request<'_>) -> Result<(), Matcher> {
        let Some(schedule) = &self.rule.matchers.hours else { return Ok(()) };
        let is_within = match self.zone.and_then(|zone| request.times.get(zone)) {
            Some(&time) => schedule.hours.contains(time),
            None => self.rule.action == Action::Deny,
        };
        if is_within { Ok(()) } else { Err(Matcher::Hours) }
    }
}

impl Matchers {
    /// Judges what does not change between the commands of a session.
    pub(crate) fn judge_subject(
        &self,
        subject: &Subject,
        is_member: impl Fn(&String) -> bool,
    ) -> Result<(), Matcher> {
        let user = subject.user.as_deref();
        let certificate = subject.certificate.as_ref();
        let is_user = || user.is_some_and(|user| self.users.iter().any(|glob| glob.matches(user)));
        let has_part =
            || certificate.is_some_and(|one| self.certificates.iter().any(|part| part.matches(one)));
        let checks: [(Matcher, bool); 7] = [
            (Matcher::Listeners, self.listeners.is_empty() || self.listeners.contains(&subject.listener)),
            (Matcher::Backends, self.backends.is_empty() || self.backends.contains(&subject.backend)),
            (
                Matcher::From,
                self.from.is_empty() || self.from.iter().any(|&network| holds(network, subject.address)),
            ),
            (Matcher::Users, self.users.is_empty() || is_user()),
            (Matcher::Groups, self.groups.is_empty() || self.groups.iter().any(is_member)),
            (Matcher::Certificates, self.certificates.is_empty() || has_part()),
            (Matcher::Tls, self.tls.is_none_or(|requirement| requirement.matches(subject.tls))),
        ];
        checks.into_iter().find(|(_, is_match)| !is_match).map_or(Ok(()), |(matcher, _)| Err(matcher))
    }
}

impl Group {
    /// Whether a subject is a member.
    pub fn holds(&self, subject: &Subject) -> bool {
        let user = subject.user.as_deref();
        (self.users.is_empty() || user.is_some_and(|user| self.users.iter().any(|glob| glob.matches(user))))
            && (self.from.is_empty() || self.from.iter().any(|&network| holds(network, subject.address)))
    }
}
