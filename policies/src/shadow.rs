//! Rules that can never decide, because an earlier one takes everything that they ask for.
//!
//! It compares rules two by two and matcher by matcher, and names a rule only where it is sure; a rule that several
//! earlier ones take together is not found. A rule's implied leave to enter directories is left aside: `deny /a/**`
//! before `allow /a/b/**` makes the second useless for what it was written.

use crate::compile::{Policy, RuleRef, names_operation};
use crate::glob::Glob;
use crate::index::canonical_network;
use crate::pattern::{Component, PathPattern, Token, matches_name};
use crate::request::{Operation, Tls, TlsVersion};
use crate::rule::{Action, CertificatePattern, CommandName, Matchers, Mode, TlsRequirement};

/// A rule that cannot decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// Which.
    pub rule: RuleRef,
    /// The first rule that takes all of it.
    pub by: RuleRef,
}

impl Policy {
    /// The rules that an earlier rule leaves nothing to decide.
    pub fn shadows(&self) -> Vec<Shadow> {
        let mut shadows = Vec::new();
        for (number, rule) in self.rules.iter().enumerate() {
            let earlier = self.rules[..number].iter().filter(|earlier| earlier.rule.mode == Mode::Enforce);
            let by = earlier.into_iter().find(|earlier| {
                let (one, other) = (&earlier.rule, &rule.rule);
                covers(&one.matchers, one.action, &other.matchers, other.action)
            });
            if let Some(by) = by {
                shadows.push(Shadow { rule: rule.reference.clone(), by: by.reference.clone() });
            }
        }
        shadows
    }
}

/// Whether every request that matches `inner` matches `outer`.
fn covers(outer: &Matchers, outer_action: Action, inner: &Matchers, inner_action: Action) -> bool {
    // What is not known (a path, an hour) matches where a rule denies, and not where it allows.
    let unknown_is_covered = (outer_action, inner_action) != (Action::Allow, Action::Deny);
    covers_subjects(outer, inner)
        && covers_commands(outer, inner)
        && (outer.paths.is_empty()
            || (unknown_is_covered
                && all(&outer.paths, &inner.paths, |one, other| {
                    covers_path(one, other, (outer_action, inner_action))
                })))
        && outer
            .larger_than_bytes
            .is_none_or(|outer| inner.larger_than_bytes.is_some_and(|inner| outer <= inner))
        && (outer.hours.is_none() || (unknown_is_covered && outer.hours == inner.hours))
}

/// Whether everybody whom `inner` is about is one whom `outer` is about.
pub(crate) fn covers_subjects(outer: &Matchers, inner: &Matchers) -> bool {
    all(&outer.users, &inner.users, covers_name)
        && all(&outer.groups, &inner.groups, |one, other| one == other)
        && all(&outer.from, &inner.from, |one, other| {
            canonical_network(*one).contains(&canonical_network(*other))
        })
        && all(&outer.certificates, &inner.certificates, covers_certificate)
        && all(&outer.listeners, &inner.listeners, |one, other| one == other)
        && all(&outer.backends, &inner.backends, |one, other| one == other)
        && outer.tls.is_none_or(|outer| inner.tls.is_some_and(|inner| covers_tls(outer, inner)))
}

/// Whether each inner element lies within some outer one; an empty list is everything.
fn all<T>(outer: &[T], inner: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    outer.is_empty()
        || (!inner.is_empty() && inner.iter().all(|inner| outer.iter().any(|outer| covers(outer, inner))))
}

fn covers_name(outer: &Glob, inner: &Glob) -> bool {
    if outer == inner || outer.as_str() == "*" {
        return true;
    }
    if inner.is_literal() {
        return outer.matches(inner.as_str().as_bytes());
    }
    // `acme-*` and whatever begins with the same letters.
    let begin = outer.as_str().strip_suffix('*');
    begin.is_some_and(|begin| {
        !begin.contains(['*', '?', '[', ']', '{', '}', '\\']) && inner.as_str().starts_with(begin)
    })
}

fn covers_certificate(outer: &CertificatePattern, inner: &CertificatePattern) -> bool {
    match (outer, inner) {
        // The pattern may mean the whole subject or an attribute: only what is plainly the same is compared.
        (CertificatePattern::Subject(outer), CertificatePattern::Subject(inner)) => outer == inner,
        (CertificatePattern::Name(outer), CertificatePattern::Name(inner)) => {
            outer == inner
                || outer.as_str() == "*"
                || (inner.is_literal() && outer.matches(inner.as_str().as_bytes()))
        }
        (CertificatePattern::Key(outer), CertificatePattern::Key(inner)) => outer == inner,
        (CertificatePattern::Subject(_) | CertificatePattern::Name(_) | CertificatePattern::Key(_), _) => {
            false
        }
    }
}

fn covers_tls(outer: TlsRequirement, inner: TlsRequirement) -> bool {
    let versions = [TlsVersion::V12, TlsVersion::V13].into_iter();
    let connections =
        versions.flat_map(|version| [true, false].map(|is_resumed| Some(Tls { version, is_resumed })));
    connections.chain([None]).all(|tls| outer.matches(tls) || !inner.matches(tls))
}

fn covers_commands(outer: &Matchers, inner: &Matchers) -> bool {
    let covers_command = |inner: &CommandName| {
        outer.commands.iter().any(|outer| {
            outer.verb() == inner.verb()
                && outer.subcommand().is_none_or(|word| inner.subcommand() == Some(word))
        })
    };
    Operation::ALL
        .iter()
        .all(|&operation| !names_operation(inner, operation) || names_operation(outer, operation))
        && inner.commands.iter().all(covers_command)
}

fn covers_path(outer: &PathPattern, inner: &PathPattern, actions: (Action, Action)) -> bool {
    let each = |outer: &[Vec<Component>], inner: &[Vec<Component>]| {
        inner.iter().all(|inner| outer.iter().any(|outer| covers_components(outer, inner)))
    };
    match actions {
        (Action::Allow, Action::Allow) | (Action::Deny, Action::Allow) => each(&outer.exact, &inner.exact),
        // Both match exactly or folded.
        (Action::Deny, Action::Deny) => {
            each(&outer.exact, &inner.exact) && each(&outer.folded, &inner.folded)
        }
        (Action::Allow, Action::Deny) => false,
    }
}

/// Whether each path that matches the inner pattern matches the outer one. The inner pattern is walked as if it were
/// a path; its `**` is for the outer one's `**` alone, which takes any number of its components.
fn covers_components(outer: &[Component], inner: &[Component]) -> bool {
    let (mut at, mut taken) = (0, 0);
    // Where to go on when what follows the last `**` does not cover: it takes one component more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (outer.get(at), inner.get(taken)) {
            (Some(Component::Any), _) => {
                retry = Some((at + 1, taken));
                at += 1;
                continue;
            }
            (Some(Component::Name(one)), Some(Component::Name(other))) if covers_component(one, other) => {
                (at, taken) = (at + 1, taken + 1);
                continue;
            }
            (None, None) => return true,
            (Some(Component::Name(_)), _) | (None, Some(_)) => {}
        }
        match retry {
            Some((after, from)) if from < inner.len() => {
                retry = Some((after, from + 1));
                (at, taken) = (after, from + 1);
            }
            Some(_) | None => return false,
        }
    }
}

fn covers_component(outer: &[Token], inner: &[Token]) -> bool {
    match inner {
        _ if outer == inner || *outer == [Token::Star] => true,
        [Token::Literal(text)] => !outer.contains(&Token::User) && matches_name(outer, text, None),
        _several => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hours::Hours;
    use crate::rule::{Rule, Schedule};
    use crate::tests::{compile, globs, model, path, patterns, rule};
    use crate::{Access, Request, Target};

    fn shadowed(rules: Vec<Rule>) -> Vec<u32> {
        compile(rules, Action::Deny).shadows().iter().map(|shadow| shadow.rule.origin().line).collect()
    }

    fn on(paths: &[&str]) -> Matchers {
        Matchers { paths: patterns(paths), ..Matchers::default() }
    }

    #[test]
    fn the_usual_mistakes_are_found() {
        use Action::{Allow, Deny};
        let users = |names: &[&str]| Matchers { users: globs(names), ..Matchers::default() };
        let operations =
            |operations: &[Operation]| Matchers { operations: operations.to_vec(), ..Matchers::default() };
        let from = |text: &str| Matchers { from: vec![text.parse().unwrap()], ..Matchers::default() };
        for (first, second, is_shadowed) in [
            ((Allow, Matchers::default()), (Deny, on(&["/x/**"])), true),
            ((Deny, Matchers::default()), (Allow, users(&["anna"])), true),
            ((Deny, on(&["/x/**"])), (Allow, on(&["/x/y/**", "/x/*.csv", "/x"])), true),
            ((Deny, on(&["/x/**"])), (Allow, on(&["/x/y/**", "/y"])), false),
            ((Deny, on(&["/x/*"])), (Allow, on(&["/x/a?"])), true),
            ((Deny, on(&["/x/*"])), (Allow, on(&["/x/**"])), false),
            ((Deny, on(&["**/*.exe"])), (Allow, on(&["/in/*.exe"])), true),
            ((Deny, on(&["**/*.exe"])), (Allow, on(&["/in/setup.exe"])), true),
            ((Deny, on(&["/**/x"])), (Allow, on(&["/**/x/y"])), false),
            ((Deny, on(&["/h/$user"])), (Allow, on(&["/h/$user"])), true),
            ((Deny, on(&["/h/$user"])), (Allow, on(&["/h/anna"])), false),
            ((Allow, on(&["/x/**"])), (Deny, on(&["/x/y"])), false),
            ((Deny, on(&["/X/**"])), (Deny, on(&["/X/y"])), true),
            ((Allow, users(&["acme-*"])), (Allow, users(&["acme-7", "acme-x*"])), true),
            ((Allow, users(&["acme-*"])), (Allow, users(&["a*"])), false),
            ((Allow, users(&["acme-*"])), (Allow, Matchers::default()), false),
            ((Allow, from("10.0.0.0/8")), (Deny, from("::ffff:10.1.0.0/112")), true),
            ((Allow, from("10.1.0.0/16")), (Deny, from("10.0.0.0/8")), false),
            (
                (Allow, operations(&[Operation::List, Operation::Site])),
                (Deny, operations(&[Operation::List])),
                true,
            ),
            ((Allow, Matchers::default()), (Deny, operations(&[Operation::Login])), false),
        ] {
            let rules = vec![rule(first.0, first.1.clone()), rule(second.0, second.1.clone())];
            assert_eq!(!shadowed(rules).is_empty(), is_shadowed, "{first:?} {second:?}");
        }
    }

    #[test]
    fn hours_and_sizes_are_compared() {
        let office = || Matchers {
            hours: Some(Schedule { hours: Hours::parse("Mon-Fri").unwrap(), timezone: "UTC".to_owned() }),
            ..Matchers::default()
        };
        let large = |bytes| Matchers { larger_than_bytes: Some(bytes), ..Matchers::default() };
        let two = |one, other| shadowed(vec![rule(Action::Deny, one), rule(Action::Allow, other)]).len();
        assert_eq!((two(office(), office()), two(office(), Matchers::default())), (1, 0));
        assert_eq!(
            (two(large(5), large(6)), two(large(6), large(5)), two(large(5), Matchers::default())),
            (1, 0, 0)
        );
    }

    #[test]
    fn a_rule_under_observation_shadows_nothing() {
        let watch = Rule { mode: Mode::Observe, ..rule(Action::Deny, Matchers::default()) };
        assert_eq!(shadowed(vec![watch, rule(Action::Allow, Matchers::default())]), [0_u32; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_500))]

        #[test]
        fn no_rule_that_decides_is_called_shadowed(
            policy in model::sparse_policy(),
            subjects in proptest::collection::vec(model::subject(), 8),
            paths in proptest::collection::vec(model::some_path(), 8),
            operation in proptest::sample::select(Operation::ALL.to_vec()),
        ) {
            let shadows = policy.shadows();
            if shadows.is_empty() {
                return Ok(());
            }
            for (subject, path) in subjects.iter().flat_map(|subject| paths.iter().map(move |path| (subject, path))) {
                for target in [Target::Path(path), Target::Unresolved, Target::Nothing] {
                    let accesses = [Access { operation, target }];
                    for (verb, subcommand) in [("STOR", None), ("SITE", Some("CHMOD"))] {
                        let request = Request { subcommand, size_bytes: Some(500), ..Request::new(subject, verb, &accesses) };
                        let explained = &policy.explain(&request).accesses[0];
                        let decides = explained.rule.as_ref().filter(|_| !explained.is_implied);
                        prop_assert!(!shadows.iter().any(|shadow| Some(&shadow.rule) == decides), "{path} {decides:?}");
                    }
                }
            }
        }

        #[test]
        fn a_pattern_that_covers_another_matches_its_paths(
            outer in "(/(a|\\*|\\*\\*|a\\*|\\?|\\{a,b\\}|\\[ab\\])){1,4}",
            inner in "(/(a|\\*|\\*\\*|a\\*|\\?|\\{a,b\\}|\\[ab\\])){1,4}",
            names in proptest::collection::vec(proptest::sample::select(vec!["a", "b", "ab", "A"]), 0..6),
        ) {
            let [outer, inner] = [outer, inner].map(|text| PathPattern::parse(&text).unwrap());
            let path = path(&format!("/{}", names.join("/")));
            if covers_path(&outer, &inner, (Action::Allow, Action::Allow)) && inner.matches(&path, None) {
                prop_assert!(outer.matches(&path, None));
            }
            if covers_path(&outer, &inner, (Action::Deny, Action::Deny)) && inner.matches_folded(&path, None) {
                prop_assert!(outer.matches_folded(&path, None));
            }
        }
    }
}
