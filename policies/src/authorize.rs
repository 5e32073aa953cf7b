//! The decision: the first rule that matches, for each access of a command.
//!
//! [`Permit`] is made here and nowhere else: whoever holds one was allowed.

use crate::compile::{Policy, RuleRef, user_name};
use crate::index::Bits;
use crate::path::{CanonicalPath, components};
use crate::pattern::UserName;
use crate::request::{Access, Operation, Request, Target};
use crate::rule::{Action, Mode, RuleReply};

/// Proof that policy allowed a command: only [`Policy::authorize`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    rule: Option<RuleRef>,
    observed: Vec<Observation>,
}

impl Permit {
    /// Name of the rule that allowed, if a rule did; of several accesses the first that a rule decided.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_ref().map(RuleRef::name)
    }

    /// The same rule, with where it stands.
    pub fn rule_ref(&self) -> Option<&RuleRef> {
        self.rule.as_ref()
    }

    /// What was only observed: rules that would have decided, and denials that a policy under observation did not
    /// enforce.
    pub fn observed(&self) -> &[Observation] {
        &self.observed
    }
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The rule that denied; `None`: the default.
    pub rule: Option<RuleRef>,
    /// The access that was refused; `None`: the command, which has no operation.
    pub operation: Option<Operation>,
    /// The rule's own words.
    pub reply: Option<RuleReply>,
    /// Rules before it that would have decided, had they counted.
    pub observed: Vec<Observation>,
}

/// What would have been decided, and was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The rule; `None`: the default.
    pub rule: Option<RuleRef>,
    /// What it would have decided.
    pub action: Action,
    /// About what.
    pub operation: Option<Operation>,
}

/// What one access met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// `None`: the default.
    pub(crate) rule: Option<usize>,
    pub(crate) action: Action,
    /// Rules before it that matched, and do not count.
    pub(crate) observed: Vec<usize>,
}

/// Rules that are about one access, whatever the size of the file.
pub(crate) struct Matching {
    /// By what they say.
    pub(crate) own: Bits,
    /// Because they allow something in the directory, or below it.
    pub(crate) implied: Bits,
}

impl Policy {
    /// Decides one command.
    ///
    /// # Errors
    ///
    /// The denial of the first access that is not allowed.
    pub fn authorize(&self, request: &Request<'_>) -> Result<Permit, Denial> {
        let mut permit = Permit { rule: None, observed: Vec::new() };
        if self.rules.is_empty() && self.default == Action::Allow {
            return Ok(permit);
        }
        let of_subject = self.index().of_subject(request);
        let user = user_name(request.subject);
        let accesses = request.accesses.iter().copied().map(Some);
        let without_operation = request.accesses.is_empty().then_some(None);
        for access in accesses.chain(without_operation) {
            let operation = access.map(|access| access.operation);
            let verdict = self.decide(request, access, &of_subject, user.as_ref());
            let observed = verdict.observed.iter().map(|&number| &self.rules[number]).map(|rule| {
                Observation { rule: Some(rule.reference.clone()), action: rule.rule.action, operation }
            });
            let room = OBSERVATIONS_MAX.saturating_sub(permit.observed.len());
            permit.observed.extend(observed.take(room));
            let rule = verdict.rule.map(|number| &self.rules[number]);
            let reference = rule.map(|rule| rule.reference.clone());
            match (verdict.action, self.mode) {
                (Action::Allow, Mode::Enforce | Mode::Observe) => permit.rule = permit.rule.or(reference),
                (Action::Deny, Mode::Observe) => {
                    permit.observed.push(Observation { rule: reference, action: Action::Deny, operation });
                }
                (Action::Deny, Mode::Enforce) => {
                    return Err(Denial {
                        rule: reference,
                        operation,
                        reply: rule.and_then(|rule| rule.rule.reply.clone()),
                        observed: permit.observed,
                    });
                }
            }
        }
        Ok(permit)
    }

    /// Decides one access, or with `None` a command without any.
    pub(crate) fn decide(
        &self,
        request: &Request<'_>,
        access: Option<Access<'_>>,
        of_subject: &Bits,
        user: Option<&UserName>,
    ) -> Verdict {
        let index = self.index();
        let Matching { own, implied } = self.matching(request, access, of_subject, user);
        let is_larger = |number: usize| {
            let least = self.rules[number].rule.matchers.larger_than_bytes;
            least.is_none_or(|least| request.size_bytes.is_some_and(|size| size > least))
        };
        let mut observed = Vec::new();
        let mut matching = implied.clone();
        matching.union(&own);
        for number in matching.iter() {
            if !implied.contains(number) && !is_larger(number) {
                continue;
            }
            if index.observed.contains(number) {
                observed.push(number);
                continue;
            }
            return Verdict { rule: Some(number), action: self.rules[number].rule.action, observed };
        }
        let operation = access.map(|access| access.operation);
        Verdict { rule: None, action: self.default_for(operation), observed }
    }

    /// The rules that are about an access, whatever the size.
    pub(crate) fn matching(
        &self,
        request: &Request<'_>,
        access: Option<Access<'_>>,
        of_subject: &Bits,
        user: Option<&UserName>,
    ) -> Matching {
        let index = self.index();
        let operation = access.map(|access| access.operation);
        let target = access.map_or(Target::Nothing, |access| access.target);
        let mut own = of_subject.clone();
        index.narrow_to_command(request, operation, &mut own);
        let mut implied = index.none();
        if operation == Some(Operation::Traverse) {
            implied.union(of_subject);
            implied.intersect(&index.implies_traverse);
        }
        self.narrow_to_target(target, user, &mut own, &mut implied);
        Matching { own, implied }
    }

    /// What holds where no rule matches.
    pub(crate) fn default_for(&self, operation: Option<Operation>) -> Action {
        match operation {
            Some(operation) if !operation.is_admission() => self.default,
            Some(_) | None => Action::Allow,
        }
    }

    /// Keeps the rules whose paths match, and those that let into a directory.
    fn narrow_to_target(
        &self,
        target: Target<'_>,
        user: Option<&UserName>,
        own: &mut Bits,
        implied: &mut Bits,
    ) {
        let paths = &self.index().paths;
        if paths.asked.is_empty() {
            return;
        }
        let mut hits = self.index().none();
        match target {
            Target::Nothing => {}
            Target::Unresolved => hits.union(&paths.denying),
            Target::Path(path) => {
                let walk = paths.exact.walk(path.components(), user.map(UserName::exact));
                walk.matches(&mut hits);
                if !implied.is_empty() {
                    let mut reaching = self.index().none();
                    walk.reaches(&mut reaching);
                    implied.narrow(&paths.asked, &reaching);
                }
                self.add_folded(path, user, &mut hits);
            }
        }
        own.narrow(&paths.asked, &hits);
        match target {
            Target::Path(_) => {}
            Target::Nothing | Target::Unresolved => implied.narrow(&paths.asked, &self.index().none()),
        }
    }

    fn add_folded(&self, path: &CanonicalPath, user: Option<&UserName>, hits: &mut Bits) {
        let paths = &self.index().paths;
        if !paths.denying.is_empty() {
            paths.folded.walk(components(path.folded()), user.map(UserName::folded)).matches(hits);
        }
    }
}

/// A policy may hold thousands of rules under observation; a record holds the first of those that matched.
const OBSERVATIONS_MAX: usize = 16;
