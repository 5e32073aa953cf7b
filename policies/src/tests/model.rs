//! The compiled decision against the explanation, which asks rule by rule, for random policies and requests.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::explain::{Because, Explanation};

/// Mostly nothing, else one or two of the choices.
fn some(choices: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![3 => Just(Vec::new()), 1 => subsequence(choices, 1..=2)]
}

fn owned(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

pub(crate) fn matchers() -> impl Strategy<Value = Matchers> {
    let who = (
        some(&["anna", "a*", "*", "b?b"]),
        some(&["partners", "office", "lab"]),
        some(&["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "192.0.2.1/32"]),
        some(&["CN=anna", "O=*", "san:*.example", "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]),
        some(&["ftps", "plain"]),
        some(&["legacy", "other"]),
        prop_oneof![3 => Just(None), 1 => select(vec!["=1.3", ">=1.2", "<1.3", "resumed", "none"]).prop_map(Some)],
    );
    let what = (
        prop_oneof![1 => Just(Vec::new()), 1 => subsequence(Operation::ALL.to_vec(), 1..=4)],
        some(&["STOR", "SITE CHMOD", "SITE", "NOOP"]),
        prop_oneof![
            1 => Just(Vec::new()),
            2 => vec(select(vec![
                "/**", "/a", "/a/**", "/a/*", "/A/b/**", "**/*.x", "/$user/**", "/a/[b-c]/**", "/a/**/c", "/?", "/{a,b}/c",
                "/*", "/b/$user", "/",
            ]), 1..=2),
        ],
        prop_oneof![4 => Just(None), 1 => select(vec![Some(10), Some(100)])],
        prop_oneof![4 => Just(None), 1 => select(vec![("Mon-Fri", "UTC"), ("07:00-19:00", "UTC"), ("Mon-Fri", "CET")]).prop_map(Some)],
    );
    (who, what).prop_map(|((users, groups, from, certificates, listeners, backends, tls), what)| {
        let (operations, commands, paths, larger_than_bytes, hours) = what;
        Matchers {
            users: globs(&users),
            groups: owned(groups),
            from: from.iter().map(|text| text.parse().unwrap()).collect(),
            certificates: certificates.iter().map(|text| CertificatePattern::parse(text).unwrap()).collect(),
            listeners: owned(listeners),
            backends: owned(backends),
            tls: tls.map(|text| TlsRequirement::parse(text).unwrap()),
            operations,
            commands: commands.iter().map(|text| CommandName::parse(text).unwrap()).collect(),
            paths: patterns(&paths),
            larger_than_bytes,
            hours: hours.map(|(hours, timezone)| Schedule {
                hours: Hours::parse(hours).unwrap(),
                timezone: timezone.to_owned(),
            }),
        }
    })
}

/// Rules that ask for two things at most: these often cover one another.
fn sparse_matchers() -> impl Strategy<Value = Matchers> {
    (matchers(), 0..12, 0..12).prop_map(|(full, one, other)| {
        let keeps = |field| field == one || field == other;
        let mut sparse = Matchers::default();
        if keeps(0) {
            sparse.users = full.users;
        }
        if keeps(1) {
            sparse.groups = full.groups;
        }
        if keeps(2) {
            sparse.from = full.from;
        }
        if keeps(3) {
            sparse.certificates = full.certificates;
        }
        if keeps(4) {
            sparse.listeners = full.listeners;
        }
        if keeps(5) {
            sparse.tls = full.tls;
        }
        if keeps(6) {
            sparse.operations = full.operations;
        }
        if keeps(7) {
            sparse.commands = full.commands;
        }
        if keeps(8) {
            sparse.larger_than_bytes = full.larger_than_bytes;
        }
        if keeps(9) {
            sparse.hours = full.hours;
        }
        if keeps(10) || keeps(11) {
            sparse.paths = full.paths;
        }
        sparse
    })
}

pub(crate) fn sparse_policy() -> impl Strategy<Value = Policy> {
    policy_of(sparse_matchers())
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    policy_of(matchers())
}

fn policy_of(matchers: impl Strategy<Value = Matchers>) -> impl Strategy<Value = Policy> {
    let action = || select(vec![Action::Allow, Action::Deny]);
    let mode = prop_oneof![5 => Just(Mode::Enforce), 1 => Just(Mode::Observe)];
    let one = (matchers, action(), mode.clone())
        .prop_map(|(matchers, action, mode)| Rule { mode, ..rule(action, matchers) });
    (vec(one, 0..12), action(), mode).prop_map(|(rules, default, mode)| {
        let rules = (1..).zip(rules);
        let rules = rules
            .map(|(line, rule)| Rule { name: format!("r{line}"), origin: origin(line), ..rule })
            .collect();
        Policy::compile(Definition { rules, groups: groups(), default, mode }).unwrap()
    })
}

pub(crate) fn subject() -> impl Strategy<Value = Subject> {
    (
        select(vec!["192.0.2.1", "192.0.2.2", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1"]),
        select(vec![None, Some("anna"), Some("bob"), Some("a*"), Some("a")]),
        select(vec!["ftps", "plain", "third"]),
        select(vec!["legacy", "other", ""]),
        select(vec![
            None,
            Some((TlsVersion::V12, false)),
            Some((TlsVersion::V13, true)),
            Some((TlsVersion::V13, false)),
        ]),
        any::<bool>(),
    )
        .prop_map(|(address, user, listener, backend, tls, has_certificate)| Subject {
            address: address.parse().unwrap(),
            user: user.map(|user| user.as_bytes().to_vec()),
            listener: listener.to_owned(),
            backend: backend.to_owned(),
            tls: tls.map(|(version, is_resumed)| Tls { version, is_resumed }),
            certificate: anna().certificate.filter(|_| has_certificate),
        })
}

pub(crate) fn some_path() -> impl Strategy<Value = CanonicalPath> {
    vec(select(vec!["a", "b", "c", "A", "B", "x.x", "X.X", "anna", "Anna", "a.", "q"]), 0..4)
        .prop_map(|names| path(&format!("/{}", names.join("/"))))
}

/// The accesses' operations and paths, with one place for paths that are not known and one for none.
pub(crate) type Owned = Vec<(Operation, Option<Option<CanonicalPath>>)>;

pub(crate) fn accesses() -> impl Strategy<Value = Owned> {
    let target = prop_oneof![8 => some_path().prop_map(|path| Some(Some(path))), 1 => Just(Some(None)), 1 => Just(None)];
    let operation = prop_oneof![1 => Just(Operation::Traverse), 2 => select(Operation::ALL.to_vec())];
    vec((operation, target), 0..3)
}

pub(crate) fn borrowed(accesses: &Owned) -> Vec<Access<'_>> {
    accesses
        .iter()
        .map(|(operation, target)| Access {
            operation: *operation,
            target: match target {
                None => Target::Nothing,
                Some(None) => Target::Unresolved,
                Some(Some(path)) => Target::Path(path),
            },
        })
        .collect()
}

fn name_of(explanation: &Explanation) -> Option<String> {
    let last = explanation.accesses.last().unwrap();
    last.rule.as_ref().map(|rule| rule.name().to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_explanation_is_the_decision(
        policy in prop_oneof![policy(), sparse_policy()],
        subject in subject(),
        accesses in accesses(),
        (verb, subcommand) in select(vec![("STOR", None), ("SITE", Some("chmod")), ("SITE", Some("x")), ("SITE", None), ("NOOP", None)]),
        size_bytes in select(vec![None, Some(5), Some(50), Some(500)]),
        times in select(vec![vec![], vec![(0, 600), (5, 600)], vec![(6, 1_300), (2, 10)]]),
    ) {
        let accesses = borrowed(&accesses);
        let times: Vec<LocalTime> = times.into_iter().map(|(day, minute)| LocalTime::new(day, minute).unwrap()).collect();
        let request = Request { subject: &subject, verb, subcommand, accesses: &accesses, size_bytes, times: &times };
        let explanation = policy.explain(&request);
        prop_assert_eq!(&explanation, &policy.explain(&request));
        let seen: Vec<String> = explanation
            .accesses
            .iter()
            .flat_map(|access| &access.passed)
            .filter(|passed| matches!(passed.because, Because::Observed(_)))
            .map(|passed| passed.rule.name().to_owned())
            .collect();
        match policy.authorize(&request) {
            Ok(permit) => {
                prop_assert!(explanation.is_allowed);
                let allowing = explanation.accesses.iter().filter(|access| access.action == Action::Allow);
                let first = allowing.filter_map(|access| access.rule.as_ref()).next();
                prop_assert_eq!(permit.rule_ref(), first);
                if !explanation.is_observed {
                    let observed: Vec<String> =
                        permit.observed().iter().filter_map(|seen| Some(seen.rule.as_ref()?.name().to_owned())).collect();
                    prop_assert_eq!(observed.as_slice(), &seen[..seen.len().min(16)]);
                }
            }
            Err(denial) => {
                prop_assert!(!explanation.is_allowed);
                prop_assert_eq!(denial.rule.map(|rule| rule.name().to_owned()), name_of(&explanation));
                prop_assert_eq!(denial.operation, explanation.accesses.last().unwrap().operation);
            }
        }
    }
}
