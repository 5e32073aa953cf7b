//! From rules to a policy: every matcher becomes a set of rules that is found by the value it asks for, so that
//! a decision intersects sets instead of asking rule after rule.
//!
//! What the sets say is what `CompiledRule::judge` says of each rule alone; `explain` and the tests hold the
//! one against the other.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::automaton::Automaton;
use crate::glob::Glob;
use crate::hours::Hours;
use crate::index::{Bits, IdSet, NameIndex, NetworkIndex};
use crate::pattern::{Component, PathPattern, UserName};
use crate::request::{Operation, Request, Subject, Tls, TlsVersion};
use crate::route::attributes;
use crate::rule::{Action, CertificatePattern, CommandName, Group, Matchers, Mode, Origin, Rule};

/// What an admin wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// In their order: the first match counts.
    pub rules: Vec<Rule>,
    /// Who the rules' groups are.
    pub groups: Vec<Group>,
    /// What holds where no rule matches; not for connect and login, which are allowed then.
    pub default: Action,
    /// `Observe`: nothing is denied, and everything that would have been is recorded.
    pub mode: Mode,
}

/// A compiled policy.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) rules: Vec<CompiledRule>,
    pub(crate) groups: Vec<Group>,
    pub(crate) default: Action,
    pub(crate) mode: Mode,
    zones: Vec<String>,
    index: Index,
}

/// A rule, and what was resolved of it.
#[derive(Debug, Clone)]
pub(crate) struct CompiledRule {
    pub(crate) rule: Rule,
    pub(crate) reference: RuleRef,
    /// Places in the policy's list of groups.
    pub(crate) groups: Vec<usize>,
    /// Place of the schedule's zone in the policy's list.
    pub(crate) zone: Option<usize>,
    /// Whether it lets its subjects into the directories of, and above, its paths.
    pub(crate) implies_traverse: bool,
}

/// Names a rule: it is cheap to copy, and outlives its policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleRef(Arc<(String, Origin)>);

impl RuleRef {
    pub(crate) fn new(name: &str, origin: &Origin) -> Self {
        Self(Arc::new((name.to_owned(), origin.clone())))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.0
    }

    /// Where it stands.
    pub fn origin(&self) -> &Origin {
        &self.0.1
    }
}

impl fmt::Display for RuleRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.name(), self.origin())
    }
}

/// Why a definition is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct CompileError {
    /// The rule or group at fault.
    pub origin: Origin,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a rule or group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A rule names a group that is not there.
    #[error("there is no group `{0}`")]
    UnknownGroup(String),
    /// Two groups of one name.
    #[error("there are two groups `{0}`")]
    DuplicateGroup(String),
    /// A group without users and networks: it would hold everybody.
    #[error("group `{0}` has neither users nor networks")]
    EmptyGroup(String),
    /// A reply that no client would ever see.
    #[error("only a rule that denies has a reply")]
    ReplyWithoutDenial,
}

impl Policy {
    /// The policy of a configuration without rules.
    pub fn allow_all() -> Self {
        Self::build(Definition {
            rules: Vec::new(),
            groups: Vec::new(),
            default: Action::Allow,
            mode: Mode::Enforce,
        })
    }

    /// Compiles a definition.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, in the order of the definition.
    pub fn compile(definition: Definition) -> Result<Self, Vec<CompileError>> {
        let errors = problems(&definition);
        if errors.is_empty() { Ok(Self::build(definition)) } else { Err(errors) }
    }

    /// From a definition without problems.
    fn build(definition: Definition) -> Self {
        let Definition { rules, groups, default, mode } = definition;
        let mut zones: Vec<String> = Vec::new();
        let rules: Vec<CompiledRule> = rules
            .into_iter()
            .map(|rule| {
                let zone = rule.matchers.hours.as_ref().map(|schedule| {
                    zones.iter().position(|zone| *zone == schedule.timezone).unwrap_or_else(|| {
                        zones.push(schedule.timezone.clone());
                        zones.len() - 1
                    })
                });
                CompiledRule {
                    reference: RuleRef::new(&rule.name, &rule.origin),
                    groups: (0..groups.len())
                        .filter(|&group| rule.matchers.groups.contains(&groups[group].name))
                        .collect(),
                    zone,
                    implies_traverse: rule.action == Action::Allow && concerns_files(&rule.matchers),
                    rule,
                }
            })
            .collect();
        let index = Index::new(&rules, &groups);
        Self { rules, groups, default, mode, zones, index }
    }

    /// The time zones of its rules: requests bring the time in each, in this order.
    pub fn zones(&self) -> &[String] {
        &self.zones
    }

    /// Whether any rule speaks of paths. If none does, requests need none.
    pub fn has_paths(&self) -> bool {
        !self.index.paths.asked.is_empty()
    }

    /// Whether some rule decides about one operation and not about the other.
    pub fn distinguishes(&self, one: Operation, other: Operation) -> bool {
        self.index.by_operation[one as usize] != self.index.by_operation[other as usize]
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }
}

/// Whether a rule that allows is about files, so that its subjects must get there.
fn concerns_files(matchers: &Matchers) -> bool {
    if matchers.operations.is_empty() && matchers.commands.is_empty() {
        return true;
    }
    matchers.operations.iter().any(|operation| !operation.is_admission())
        || (!matchers.commands.is_empty() && !matchers.paths.is_empty())
}

fn problems(definition: &Definition) -> Vec<CompileError> {
    let mut errors = Vec::new();
    for (index, group) in definition.groups.iter().enumerate() {
        let mut at = |problem| errors.push(CompileError { origin: group.origin.clone(), problem });
        if definition.groups[..index].iter().any(|other| other.name == group.name) {
            at(Problem::DuplicateGroup(group.name.clone()));
        }
        if group.users.is_empty() && group.from.is_empty() {
            at(Problem::EmptyGroup(group.name.clone()));
        }
    }
    for rule in &definition.rules {
        let mut at = |problem| errors.push(CompileError { origin: rule.origin.clone(), problem });
        for name in &rule.matchers.groups {
            if !definition.groups.iter().any(|group| group.name == *name) {
                at(Problem::UnknownGroup(name.clone()));
            }
        }
        if rule.reply.is_some() && rule.action == Action::Allow {
            at(Problem::ReplyWithoutDenial);
        }
    }
    errors
}

/// Sets of rules by what they ask for.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    rules: usize,
    groups: usize,
    listeners: NameIndex,
    backends: NameIndex,
    users: NameIndex,
    from: NetworkIndex,
    group_users: NameIndex,
    group_from: NetworkIndex,
    by_group: Asking<Vec<IdSet>>,
    certificates: CertificateIndex,
    /// By [`tls_level`].
    tls: Asking<[Bits; 5]>,
    hours: Asking<Vec<(Hours, usize, IdSet)>>,
    pub(crate) by_operation: Vec<Bits>,
    by_verb: HashMap<String, IdSet>,
    by_subcommand: HashMap<String, HashMap<String, IdSet>>,
    pub(crate) paths: PathIndex,
    /// Rules that let into directories.
    pub(crate) implies_traverse: Bits,
    /// Rules that do not count.
    pub(crate) observed: Bits,
    denies: Bits,
}

/// A matcher, and which rules have it.
#[derive(Debug, Clone)]
struct Asking<T> {
    asked: Bits,
    by: T,
}

#[derive(Debug, Clone)]
struct CertificateIndex {
    asked: Bits,
    subjects: NameIndex,
    /// Patterns of names do not look at case, so they are few or slow.
    names: Vec<(Glob, IdSet)>,
    keys: HashMap<String, IdSet>,
}

/// Which rules' paths match.
#[derive(Debug, Clone)]
pub(crate) struct PathIndex {
    pub(crate) asked: Bits,
    /// Rules that deny and speak of paths.
    pub(crate) denying: Bits,
    /// All patterns, on exact paths.
    pub(crate) exact: Automaton,
    /// The folded patterns of rules that deny, on folded paths.
    pub(crate) folded: Automaton,
}

impl Index {
    fn new(rules: &[CompiledRule], groups: &[Group]) -> Self {
        let count = rules.len();
        let matchers = || rules.iter().map(|rule| &rule.rule.matchers);
        let select = |test: &dyn Fn(&CompiledRule) -> bool| {
            let mut bits = Bits::none(count);
            (0..count).filter(|&rule| test(&rules[rule])).for_each(|rule| bits.insert(rule));
            bits
        };
        let by_group = (0..groups.len())
            .map(|group| {
                let owners = (0_u32..).zip(rules).filter(|(_, rule)| rule.groups.contains(&group));
                IdSet::from_numbers(owners.map(|(number, _)| number).collect(), count)
            })
            .collect();
        let tls = TLS_LEVELS.map(|tls| {
            select(&|rule| rule.rule.matchers.tls.is_some_and(|requirement| requirement.matches(tls)))
        });
        let (by_verb, by_subcommand) = by_command(rules);
        Self {
            rules: count,
            groups: groups.len(),
            listeners: NameIndex::of_literals(
                count,
                matchers().map(|matchers| matchers.listeners.as_slice()),
            ),
            backends: NameIndex::of_literals(count, matchers().map(|matchers| matchers.backends.as_slice())),
            users: NameIndex::new(count, matchers().map(|matchers| matchers.users.as_slice())),
            from: NetworkIndex::new(count, matchers().map(|matchers| matchers.from.as_slice())),
            group_users: NameIndex::new(groups.len(), groups.iter().map(|group| group.users.as_slice())),
            group_from: NetworkIndex::new(groups.len(), groups.iter().map(|group| group.from.as_slice())),
            by_group: Asking { asked: select(&|rule| !rule.rule.matchers.groups.is_empty()), by: by_group },
            certificates: CertificateIndex::new(rules),
            tls: Asking { asked: select(&|rule| rule.rule.matchers.tls.is_some()), by: tls },
            hours: Asking { asked: select(&|rule| rule.rule.matchers.hours.is_some()), by: schedules(rules) },
            by_operation: Operation::ALL
                .iter()
                .map(|&operation| select(&|rule| names_operation(&rule.rule.matchers, operation)))
                .collect(),
            by_verb,
            by_subcommand,
            paths: PathIndex::new(rules),
            implies_traverse: select(&|rule| rule.implies_traverse),
            observed: select(&|rule| rule.rule.mode == Mode::Observe),
            denies: select(&|rule| rule.rule.action == Action::Deny),
        }
    }

    /// The rules that are about a subject, at this time, on its connection.
    pub(crate) fn of_subject(&self, request: &Request<'_>) -> Bits {
        let subject = request.subject;
        let mut candidates = Bits::all(self.rules);
        let mut hits = Bits::none(self.rules);
        let mut narrow = |asked: &Bits, find: &dyn Fn(&mut Bits)| {
            if !asked.is_empty() {
                hits.clear();
                find(&mut hits);
                candidates.narrow(asked, &hits);
            }
        };
        narrow(&self.from.asked, &|hits| self.from.find(subject.address, hits));
        narrow(&self.users.asked, &|hits| {
            if let Some(user) = &subject.user {
                self.users.find(user, hits);
            }
        });
        narrow(&self.by_group.asked, &|hits| {
            self.groups_of(subject).iter().for_each(|group| self.by_group.by[group].add_to(hits));
        });
        narrow(&self.listeners.asked, &|hits| self.listeners.find(subject.listener.as_bytes(), hits));
        narrow(&self.backends.asked, &|hits| self.backends.find(subject.backend.as_bytes(), hits));
        narrow(&self.certificates.asked, &|hits| self.certificates.find(subject, hits));
        narrow(&self.tls.asked, &|hits| hits.union(&self.tls.by[tls_level(subject.tls)]));
        narrow(&self.hours.asked, &|hits| {
            for (hours, zone, set) in &self.hours.by {
                match request.times.get(*zone) {
                    Some(&time) if !hours.contains(time) => {}
                    Some(_) => set.add_to(hits),
                    // Nobody knows what time it is: nothing is allowed for the hour's sake, all is denied.
                    None => {
                        let mut denying = Bits::none(self.rules);
                        set.add_to(&mut denying);
                        denying.intersect(&self.denies);
                        hits.union(&denying);
                    }
                }
            }
        });
        candidates
    }

    /// The groups that a subject is in.
    fn groups_of(&self, subject: &Subject) -> Bits {
        let mut members = Bits::all(self.groups);
        let mut hits = Bits::none(self.groups);
        if let Some(user) = &subject.user {
            self.group_users.find(user, &mut hits);
        }
        members.narrow(&self.group_users.asked, &hits);
        hits.clear();
        self.group_from.find(subject.address, &mut hits);
        members.narrow(&self.group_from.asked, &hits);
        members
    }

    /// Keeps the rules that name a command's operation, or the command.
    pub(crate) fn narrow_to_command(
        &self,
        request: &Request<'_>,
        operation: Option<Operation>,
        candidates: &mut Bits,
    ) {
        let mut hits = operation.map_or_else(
            || Bits::none(self.rules),
            |operation| self.by_operation[operation as usize].clone(),
        );
        if let Some(set) = self.by_verb.get(request.verb) {
            set.add_to(&mut hits);
        }
        if let (Some(by_word), Some(word)) = (self.by_subcommand.get(request.verb), request.subcommand)
            && let Some(set) = by_word.get(word.to_ascii_uppercase().as_str())
        {
            set.add_to(&mut hits);
        }
        candidates.intersect(&hits);
        self.narrow_to_stage(operation, candidates);
    }

    /// TLS has not begun when a connection is judged: no rule that asks for some is about it.
    pub(crate) fn narrow_to_stage(&self, operation: Option<Operation>, candidates: &mut Bits) {
        if operation == Some(Operation::Connect) {
            candidates.narrow(&self.tls.asked, &Bits::none(self.rules));
        }
    }

    /// No rules, of all that there are.
    pub(crate) fn none(&self) -> Bits {
        Bits::none(self.rules)
    }
}

impl CertificateIndex {
    fn new(rules: &[CompiledRule]) -> Self {
        let count = rules.len();
        let mut asked = Bits::none(count);
        let mut subjects: Vec<Vec<Glob>> = vec![Vec::new(); count];
        let mut names: HashMap<String, (Glob, Vec<u32>)> = HashMap::new();
        let mut keys: HashMap<String, Vec<u32>> = HashMap::new();
        for (number, rule) in (0_u32..).zip(rules) {
            for pattern in &rule.rule.matchers.certificates {
                asked.insert(number as usize);
                match pattern {
                    CertificatePattern::Subject(glob) => subjects[number as usize].push(glob.clone()),
                    CertificatePattern::Name(glob) => {
                        let entry = names.entry(glob.as_str().to_owned());
                        entry.or_insert_with(|| (glob.clone(), Vec::new())).1.push(number);
                    }
                    CertificatePattern::Key(key) => keys.entry(key.clone()).or_default().push(number),
                }
            }
        }
        Self {
            asked,
            subjects: NameIndex::new(count, subjects.iter().map(Vec::as_slice)),
            names: names
                .into_values()
                .map(|(glob, numbers)| (glob, IdSet::from_numbers(numbers, count)))
                .collect(),
            keys: keys.into_iter().map(|(key, numbers)| (key, IdSet::from_numbers(numbers, count))).collect(),
        }
    }

    fn find(&self, subject: &Subject, hits: &mut Bits) {
        let Some(certificate) = &subject.certificate else { return };
        self.subjects.find(certificate.subject.as_bytes(), hits);
        for attribute in attributes(&certificate.subject) {
            self.subjects.find(attribute.trim_start().as_bytes(), hits);
        }
        for (glob, set) in &self.names {
            if certificate.names.iter().any(|name| glob.matches(name.as_bytes())) {
                set.add_to(hits);
            }
        }
        if let Some(set) = self.keys.get(&certificate.key) {
            set.add_to(hits);
        }
    }
}

impl PathIndex {
    fn new(rules: &[CompiledRule]) -> Self {
        let count = rules.len();
        let mut asked = Bits::none(count);
        let mut denying = Bits::none(count);
        for (number, rule) in
            rules.iter().enumerate().filter(|(_, rule)| !rule.rule.matchers.paths.is_empty())
        {
            asked.insert(number);
            match rule.rule.action {
                Action::Deny => denying.insert(number),
                Action::Allow => {}
            }
        }
        fn choices<'a>(
            rules: &'a [CompiledRule],
            of: fn(&'a PathPattern) -> &'a Vec<Vec<Component>>,
        ) -> impl Iterator<Item = (usize, &'a [Component])> {
            rules.iter().enumerate().flat_map(move |(number, rule)| {
                let patterns = rule.rule.matchers.paths.iter();
                patterns.flat_map(of).map(move |choice| (number, choice.as_slice()))
            })
        }
        let exact = Automaton::new(count, choices(rules, |pattern| &pattern.exact));
        let folded =
            choices(rules, |pattern| &pattern.folded).filter(|&(number, _)| denying.contains(number));
        let folded = Automaton::new(count, folded);
        Self { asked, denying, exact, folded }
    }
}

/// Whether the operations, or their absence, name an operation.
pub(crate) fn names_operation(matchers: &Matchers, operation: Operation) -> bool {
    if matchers.operations.is_empty() && matchers.commands.is_empty() {
        !operation.is_admission()
    } else {
        matchers.operations.contains(&operation)
    }
}

type ByVerb = HashMap<String, IdSet>;

fn by_command(rules: &[CompiledRule]) -> (ByVerb, HashMap<String, ByVerb>) {
    let mut verbs: HashMap<&CommandName, Vec<u32>> = HashMap::new();
    for (number, rule) in (0_u32..).zip(rules) {
        rule.rule.matchers.commands.iter().for_each(|command| verbs.entry(command).or_default().push(number));
    }
    let (mut by_verb, mut by_subcommand) = (HashMap::new(), HashMap::<String, ByVerb>::new());
    for (command, numbers) in verbs {
        let set = IdSet::from_numbers(numbers, rules.len());
        match command.subcommand() {
            None => by_verb.insert(command.verb().to_owned(), set),
            Some(word) => {
                by_subcommand.entry(command.verb().to_owned()).or_default().insert(word.to_owned(), set)
            }
        };
    }
    (by_verb, by_subcommand)
}

/// Each distinct stretch of hours in a zone, and who asks for it.
fn schedules(rules: &[CompiledRule]) -> Vec<(Hours, usize, IdSet)> {
    let mut owners: HashMap<(&Hours, usize), Vec<u32>> = HashMap::new();
    for (number, rule) in (0_u32..).zip(rules) {
        if let (Some(schedule), Some(zone)) = (&rule.rule.matchers.hours, rule.zone) {
            owners.entry((&schedule.hours, zone)).or_default().push(number);
        }
    }
    let sets = owners.into_iter();
    sets.map(|((hours, zone), numbers)| (hours.clone(), zone, IdSet::from_numbers(numbers, rules.len())))
        .collect()
}

fn tls_level(tls: Option<Tls>) -> usize {
    match tls {
        None => 0,
        Some(Tls { version: TlsVersion::V12, is_resumed }) => 1 + usize::from(is_resumed),
        Some(Tls { version: TlsVersion::V13, is_resumed }) => 3 + usize::from(is_resumed),
    }
}

/// Every connection that there can be, in the order of [`tls_level`].
const TLS_LEVELS: [Option<Tls>; 5] = [
    None,
    Some(Tls { version: TlsVersion::V12, is_resumed: false }),
    Some(Tls { version: TlsVersion::V12, is_resumed: true }),
    Some(Tls { version: TlsVersion::V13, is_resumed: false }),
    Some(Tls { version: TlsVersion::V13, is_resumed: true }),
];

/// The name that `$user` stands for.
pub(crate) fn user_name(subject: &Subject) -> Option<UserName> {
    subject.user.as_deref().and_then(UserName::new)
}
