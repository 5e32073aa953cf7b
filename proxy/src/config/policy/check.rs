//! What must hold between the policy tables of all files, and the compiled policy that they make.
//!
//! A name that leads nowhere is an error at its own place, and so are two of one name. What no request can ever meet is a
//! warning, and so is a limit that is never reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use ftpsgate_policies::limit::Limit;
use ftpsgate_policies::request::{Tls, TlsVersion};
use ftpsgate_policies::rule::{Action, Rule};
use ftpsgate_policies::{Definition, Operation, PathProfile, Policy, RuleRef};

use super::super::diagnostic::Span;
use super::super::document::{Basis, Document, Located};
use super::super::spelling::{nearest, printable};
use super::limit::LimitDraft;
use super::rule::{DEFAULT, GroupDraft, RuleDraft};
use super::who::Who;
use super::{PolicyDraft, PolicyFile, Rules, Tables, idle, origin, shown};

/// What rules and tests may refer to.
pub(in super::super) struct Surroundings {
    /// `None`: not to be compared with, because something about them is wrong.
    pub(in super::super) listeners: Option<Vec<String>>,
    /// With what their paths are; `None` as above.
    pub(in super::super) backends: Option<Vec<(String, PathProfile)>>,
    /// Whether any listener asks clients for certificates.
    pub(in super::super) asks_for_certificates: bool,
}

/// What the policy tables of all files come to.
pub(in super::super) struct Assembled {
    pub(in super::super) policy: Arc<Policy>,
    pub(in super::super) rules: Rules,
    pub(in super::super) limits: Vec<Limit>,
}

/// One file's tables, and where to report.
type Part<'a> = (&'a Document, &'a Tables);

/// Checks all tables and compiles the rules. The result is of use only if no error has been reported.
pub(in super::super) fn assemble(
    document: &Document,
    draft: &PolicyDraft,
    surroundings: &Surroundings,
) -> Assembled {
    let PolicyDraft { default, mode, tables, files } = draft;
    let parts: Vec<Part<'_>> = std::iter::once((document, tables))
        .chain(files.iter().map(|PolicyFile { document, tables, .. }| (document, tables)))
        .collect();
    let is_whole = parts.iter().all(|(document, _)| !document.is_repaired());
    unique_names(&parts);
    default_is_written(document, default, &parts);
    if is_whole {
        names_lead_somewhere(&parts, surroundings);
    }
    for (document, rule) in rules(&parts) {
        check_paths(document, rule, surroundings);
        warn_of_who_is_never_met(document, "rule", &rule.who, surroundings);
        warn_of_what_is_never_met(document, rule);
    }
    let rules = Rules {
        default: default.value.unwrap_or(Action::Allow),
        mode: *mode,
        groups: groups(&parts).filter_map(|(_, draft)| draft.group.clone()).collect(),
        rules: rules(&parts).filter_map(|(_, draft)| draft.rule.clone()).collect(),
        tests: parts
            .iter()
            .flat_map(|(_, tables)| &tables.tests)
            .filter_map(|draft| draft.test.clone())
            .collect(),
    };
    let policy = compile(document, &rules);
    warn_of_shadows(&parts, &policy);
    for (document, limit) in limits(&parts) {
        warn_of_who_is_never_met(document, "limit", &limit.who, surroundings);
        idle::counts_something(document, limit, &rules.groups);
    }
    idle::warn_of_idle_ones(&limits(&parts).collect::<Vec<_>>());
    let limits = limits(&parts).filter_map(|(_, draft)| draft.limit.clone()).collect();
    Assembled { policy: Arc::new(policy), rules, limits }
}

fn rules<'a>(parts: &'a [Part<'a>]) -> impl Iterator<Item = (&'a Document, &'a RuleDraft)> {
    parts.iter().flat_map(|&(document, tables)| tables.rules.iter().map(move |rule| (document, rule)))
}

fn limits<'a>(parts: &'a [Part<'a>]) -> impl Iterator<Item = (&'a Document, &'a LimitDraft)> {
    parts.iter().flat_map(|&(document, tables)| tables.limits.iter().map(move |limit| (document, limit)))
}

fn groups<'a>(parts: &'a [Part<'a>]) -> impl Iterator<Item = (&'a Document, &'a GroupDraft)> {
    parts.iter().flat_map(|&(document, tables)| tables.groups.iter().map(move |group| (document, group)))
}

/// Rules that name an unknown group are left out: the error has been reported.
fn compile(document: &Document, rules: &Rules) -> Policy {
    let is_known = |rule: &&Rule| {
        let known = |name: &String| rules.groups.iter().any(|group| group.name == *name);
        rule.matchers.groups.iter().all(known)
    };
    let mut groups = rules.groups.clone();
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|group| seen.insert(group.name.clone()));
    let definition = Definition {
        rules: rules.rules.iter().filter(is_known).cloned().collect(),
        groups,
        default: rules.default,
        mode: rules.mode,
    };
    Policy::compile(definition).unwrap_or_else(|errors| {
        for error in errors {
            document.error(Basis::Whole, &(0..0), error.to_string(), "repair the rule that is named");
        }
        Policy::allow_all()
    })
}

fn unique_names(parts: &[Part<'_>]) {
    unique("rule", rules(parts).map(|(document, rule)| (document, &rule.name)));
    unique("limit", limits(parts).map(|(document, limit)| (document, &limit.name)));
    unique("group", groups(parts).map(|(document, group)| (document, &group.name)));
}

fn unique<'a>(noun: &str, names: impl Iterator<Item = (&'a Document, &'a Located<Option<String>>)>) {
    let mut first_by_name: BTreeMap<&str, (&Document, &Span)> = BTreeMap::new();
    for (document, name) in names {
        let Some(text) = name.value.as_deref() else { continue };
        let Some(&(first, span)) = first_by_name.get(text) else {
            first_by_name.insert(text, (document, &name.span));
            continue;
        };
        let message = format!("two {noun}s are called `{}`", printable(text));
        if std::ptr::eq(first, document) {
            document.conflict(&name.span, message, "give this one another name", (span, "the first"));
        } else {
            let hint = format!("the first is {}; give this one another name", origin(&first.source, span));
            document.error(Basis::Whole, &name.span, message, hint);
        }
    }
}

/// What holds where no rule matches must be a decision of the operator's.
fn default_is_written(document: &Document, default: &Located<Option<Action>>, parts: &[Part<'_>]) {
    if default.value.is_some() || !default.is_sound() {
        return;
    }
    if let Some((of_rule, rule)) = rules(parts).next() {
        of_rule.error(
            Basis::Whole,
            &rule.span,
            "there are rules, and nobody says what holds where none matches",
            format!(
                "write `[policy]` with `default = \"deny\"` (or \"allow\") in {}",
                document.source.origin()
            ),
        );
    }
}

fn names_lead_somewhere(parts: &[Part<'_>], surroundings: &Surroundings) {
    let of_groups: Option<Vec<String>> = groups(parts).map(|(_, group)| group.name.value.clone()).collect();
    let rule_names: Option<Vec<String>> = rules(parts).map(|(_, rule)| rule.name.value.clone()).collect();
    let backends: Option<Vec<String>> =
        surroundings.backends.as_ref().map(|all| all.iter().map(|(name, _)| name.clone()).collect());
    let of_rules = rules(parts).map(|(document, rule)| (document, &rule.who));
    for (document, who) in of_rules.chain(limits(parts).map(|(document, limit)| (document, &limit.who))) {
        for name in &who.groups {
            exists(document, "group", &name.value, &name.span, of_groups.as_deref());
        }
        for name in &who.listeners {
            exists(document, "listener", &name.value, &name.span, surroundings.listeners.as_deref());
        }
        for name in &who.backends {
            exists(document, "backend", &name.value, &name.span, backends.as_deref());
        }
    }
    for &(document, tables) in parts {
        for test in &tables.tests {
            for (noun, name, known) in [
                ("listener", &test.listener, surroundings.listeners.as_deref()),
                ("backend", &test.backend, backends.as_deref()),
                ("rule", &test.rule, rule_names.as_deref()),
            ] {
                let is_default = noun == "rule" && name.value.as_deref() == Some(DEFAULT);
                if let (Some(text), false) = (&name.value, is_default) {
                    exists(document, noun, text, &name.span, known);
                }
            }
        }
    }
}

fn exists(document: &Document, noun: &str, name: &str, span: &Span, known: Option<&[String]>) {
    let Some(known) = known else { return };
    if known.iter().any(|known| known == name) {
        return;
    }
    let names = || known.iter().map(String::as_str);
    let hint = match nearest(name, names()) {
        Some(nearest) => format!("did you mean `{}`?", printable(nearest)),
        None if known.is_empty() => format!("there is no {noun} at all"),
        None => format!("there are {}", printable(&names().collect::<Vec<_>>().join(", "))),
    };
    document.error(Basis::Whole, span, format!("there is no {noun} `{}`", printable(name)), hint);
}

/// Nobody can judge what an opaque backend makes of a path.
fn check_paths(document: &Document, draft: &RuleDraft, surroundings: &Surroundings) {
    let (Some(rule), Some(backends)) = (&draft.rule, &surroundings.backends) else { return };
    if rule.matchers.paths.is_empty() {
        return;
    }
    let is_meant = |name: &String| rule.matchers.backends.is_empty() || rule.matchers.backends.contains(name);
    for (name, profile) in backends.iter().filter(|(name, _)| is_meant(name)) {
        match profile {
            PathProfile::Unix | PathProfile::Windows => {}
            PathProfile::Opaque => document.error(
                Basis::Whole,
                &draft.paths,
                format!("a rule with `paths` cannot be about backend `{}`: its paths are opaque", printable(name)),
                "name the other backends in `backends`, or write `paths = \"unix\"` or \"windows\" in that [[backend]] \
                 if that is what it has",
            ),
        }
    }
}

/// A rule or a limit that is about clients who cannot be.
fn warn_of_who_is_never_met(document: &Document, noun: &str, who: &Who, surroundings: &Surroundings) {
    let matchers = &who.matchers;
    if !matchers.certificates.is_empty() && !surroundings.asks_for_certificates {
        document.warning(
            &who.certificates,
            format!("this {noun} never matches: no listener asks clients for certificates"),
            "write `client_certificates = \"request\"` or \"require\" in the TLS profile, or remove `certificates`",
        );
    }
    let levels = [None, Some(TlsVersion::V12), Some(TlsVersion::V13)];
    let full = |version: Option<TlsVersion>| version.map(|version| Tls { version, is_resumed: false });
    if matchers.tls.is_some_and(|tls| !levels.iter().any(|&version| tls.matches(full(version)))) {
        document.warning(
            &who.tls,
            format!("this {noun} never matches: each control connection makes a full handshake"),
            "write a version such as \">=1.2\"; for data connections see `data_resumption` of the TLS profile",
        );
    }
}

/// A rule that asks for what no request can show.
fn warn_of_what_is_never_met(document: &Document, draft: &RuleDraft) {
    let Some(rule) = &draft.rule else { return };
    let matchers = &rule.matchers;
    let grows = [Operation::Upload, Operation::Overwrite, Operation::Append];
    if rule.matchers.larger_than_bytes.is_some()
        && matchers.commands.is_empty()
        && !matchers.operations.is_empty()
        && !matchers.operations.iter().any(|operation| grows.contains(operation))
    {
        document.warning(
            &draft.operations,
            "this rule never matches: only uploads have a size that `larger_than` could ask for",
            "name `upload`, `overwrite` or `append`, or remove `larger_than`",
        );
    }
    let is_admission =
        !matchers.operations.is_empty() && matchers.operations.iter().all(|one| one.is_admission());
    if is_admission && matchers.commands.is_empty() && !matchers.paths.is_empty() {
        document.warning(
            &draft.paths,
            "this rule never matches: `connect` and `login` have no path",
            "remove `paths`, or name other operations",
        );
    }
    let is_too_early = !matchers.users.is_empty()
        || !matchers.backends.is_empty()
        || !matchers.certificates.is_empty()
        || matchers.tls.is_some();
    if matchers.operations == [Operation::Connect] && matchers.commands.is_empty() && is_too_early {
        document.warning(
            &draft.operations,
            "this rule never matches: a connection is judged before there is TLS, a certificate or a user",
            "`connect` knows `from` and `listeners` alone; `login` knows the others, too",
        );
    }
}

fn warn_of_shadows(parts: &[Part<'_>], policy: &Policy) {
    for shadow in policy.shadows() {
        let Some((document, draft)) = find(parts, &shadow.rule) else { continue };
        let by = shadow.by.origin();
        document.warning(
            &draft.span,
            format!(
                "no request comes to rule `{}`: an earlier one takes them all",
                printable(shadow.rule.name())
            ),
            format!(
                "rule `{}` ({}) does; put the narrower rule first",
                printable(shadow.by.name()),
                shown(by)
            ),
        );
    }
}

fn find<'a>(parts: &'a [Part<'a>], wanted: &RuleRef) -> Option<(&'a Document, &'a RuleDraft)> {
    rules(parts).find(|(_, draft)| {
        draft.rule.as_ref().is_some_and(|rule| rule.name == wanted.name() && rule.origin == *wanted.origin())
    })
}
