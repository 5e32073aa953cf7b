//! Each matcher, allowed and denied; order, defaults, observation, directories on the way, and what is explained.

use super::*;
use crate::compile::Problem;
use crate::explain::{Because, Matcher};

/// Whether a policy of one allowing rule, and a default of deny, allows.
fn allows(matchers: Matchers, change: impl Fn(&mut Subject), verb: &str, access: (Operation, &str)) -> bool {
    let policy = compile(vec![rule(Action::Allow, matchers)], Action::Deny);
    let mut subject = anna();
    change(&mut subject);
    let path = path(access.1);
    let accesses = [Access { operation: access.0, target: Target::Path(&path) }];
    let request = Request::new(&subject, verb, &accesses);
    let decision = policy.authorize(&request);
    let explanation = policy.explain(&request);
    assert_eq!(explanation.is_allowed, decision.is_ok());
    decision.is_ok()
}

const RETR: (Operation, &str) = (Operation::Download, "/reports/q1.csv");

#[test]
fn every_matcher_of_a_subject_is_needed() {
    type Case = (Matchers, fn(&mut Subject));
    let subject_matchers: [Case; 12] = [
        (Matchers { users: globs(&["bob", "an*"]), ..Matchers::default() }, |who| {
            who.user = Some(b"ANNA".to_vec())
        }),
        (Matchers { users: globs(&["*"]), ..Matchers::default() }, |who| who.user = None),
        (Matchers { groups: vec!["partners".into()], ..Matchers::default() }, |who| {
            who.user = Some(b"bob".to_vec())
        }),
        (Matchers { groups: vec!["lab".into(), "office".into()], ..Matchers::default() }, |who| {
            who.address = IpAddr::from([192, 0, 3, 1]);
        }),
        (Matchers { from: vec!["192.0.2.0/24".parse().unwrap()], ..Matchers::default() }, |who| {
            who.address = IpAddr::from([192, 0, 3, 0]);
        }),
        (
            Matchers {
                certificates: vec![CertificatePattern::parse("CN=an*").unwrap()],
                ..Matchers::default()
            },
            |who| {
                who.certificate = None;
            },
        ),
        (
            Matchers {
                certificates: vec![CertificatePattern::parse("san:*.ACME.example").unwrap()],
                ..Matchers::default()
            },
            |who| who.certificate.as_mut().unwrap().names.clear(),
        ),
        (
            Matchers {
                certificates: vec![
                    CertificatePattern::parse("sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").unwrap(),
                ],
                ..Matchers::default()
            },
            |who| who.certificate.as_mut().unwrap().key.clear(),
        ),
        (Matchers { listeners: vec!["ftps".into()], ..Matchers::default() }, |who| {
            who.listener = "plain".into()
        }),
        (Matchers { backends: vec!["legacy".into()], ..Matchers::default() }, |who| {
            who.backend = "other".into()
        }),
        (Matchers { tls: Some(TlsRequirement::parse(">=1.2").unwrap()), ..Matchers::default() }, |who| {
            who.tls = None
        }),
        (Matchers { tls: Some(TlsRequirement::parse("=1.2").unwrap()), ..Matchers::default() }, |who| {
            who.tls = Some(Tls { version: TlsVersion::V13, is_resumed: false });
        }),
    ];
    for (matchers, change) in subject_matchers {
        assert!(allows(matchers.clone(), |_| {}, "RETR", RETR), "{matchers:?}");
        assert!(!allows(matchers.clone(), change, "RETR", RETR), "{matchers:?}");
    }
}

#[test]
fn operations_and_commands_are_one_list() {
    let both = || Matchers {
        operations: vec![Operation::List],
        commands: vec![CommandName::parse("RETR").unwrap()],
        ..Matchers::default()
    };
    assert!(allows(both(), |_| {}, "RETR", RETR));
    assert!(allows(both(), |_| {}, "LIST", (Operation::List, "/")));
    assert!(!allows(both(), |_| {}, "STOR", (Operation::Upload, "/x")));
}

#[test]
fn sub_commands_are_judged_one_by_one() {
    let deny = rule(
        Action::Deny,
        Matchers { commands: vec![CommandName::parse("SITE EXEC").unwrap()], ..Matchers::default() },
    );
    let policy = compile(vec![deny], Action::Allow);
    let subject = anna();
    let accesses = [Access { operation: Operation::Site, target: Target::Nothing }];
    let site = |subcommand| {
        policy.authorize(&Request { subcommand, ..Request::new(&subject, "SITE", &accesses) }).is_ok()
    };
    assert!(site(Some("CHMOD")) && site(None) && !site(Some("exec")));
}

#[test]
fn paths_are_matched_exactly_by_what_allows() {
    let reports = || Matchers { paths: patterns(&["/reports/**", "/home/$user/**"]), ..Matchers::default() };
    for (text, expected) in [
        ("/reports/q1.csv", true),
        ("/reports", true),
        ("/Reports/q1.csv", false),
        ("/reports./q1.csv", false),
        ("/home/anna/x", true),
        ("/home/bob/x", false),
        ("/x", false),
    ] {
        assert_eq!(allows(reports(), |_| {}, "RETR", (Operation::Download, text)), expected, "{text}");
    }
}

#[test]
fn paths_are_matched_in_every_spelling_by_what_denies() {
    let deny =
        rule(Action::Deny, Matchers { paths: patterns(&["/Secret/**", "**/*.exe"]), ..Matchers::default() });
    let policy = compile(vec![deny], Action::Allow);
    let subject = anna();
    for (text, expected) in [
        ("/Secret", false),
        ("/secret/x", false),
        ("/SECRET. /x", false),
        ("/ｓecret/x", false),
        ("/x/A.EXE", false),
        ("/x/a.exe.", false),
        ("/secrets/x", true),
        ("/x/exe", true),
    ] {
        let path = path(text);
        let accesses = [Access { operation: Operation::Download, target: Target::Path(&path) }];
        let request = Request::new(&subject, "RETR", &accesses);
        assert_eq!(policy.authorize(&request).is_ok(), expected, "{text}");
        assert_eq!(policy.explain(&request).is_allowed, expected, "{text}");
    }
}

#[test]
fn a_path_that_nobody_resolved_is_not_allowed_for_its_own_sake() {
    let subject = anna();
    let accesses = [Access { operation: Operation::Download, target: Target::Unresolved }];
    let request = Request::new(&subject, "RETR", &accesses);
    let with_paths = || Matchers { paths: patterns(&["/x/**"]), ..Matchers::default() };
    assert!(compile(vec![rule(Action::Allow, with_paths())], Action::Deny).authorize(&request).is_err());
    assert!(compile(vec![rule(Action::Deny, with_paths())], Action::Allow).authorize(&request).is_err());
    let policy = compile(vec![rule(Action::Allow, Matchers::default())], Action::Deny);
    assert!(policy.authorize(&request).is_ok() && !policy.has_paths());
}

#[test]
fn sizes_are_matched_when_they_are_known() {
    let large = rule(Action::Deny, Matchers { larger_than_bytes: Some(100), ..Matchers::default() });
    let policy = compile(vec![large], Action::Allow);
    let subject = anna();
    let accesses = [Access { operation: Operation::Upload, target: Target::Unresolved }];
    let upload = |size_bytes| {
        policy.authorize(&Request { size_bytes, ..Request::new(&subject, "STOR", &accesses) }).is_ok()
    };
    assert!(upload(None) && upload(Some(100)) && !upload(Some(101)));
}

#[test]
fn hours_are_matched_in_their_zone() {
    let office = |timezone: &str| Matchers {
        hours: Some(Schedule {
            hours: Hours::parse("Mon-Fri 07:00-19:00").unwrap(),
            timezone: timezone.to_owned(),
        }),
        ..Matchers::default()
    };
    let at = |weekday, hour: u16| LocalTime::new(weekday, hour * 60).unwrap();
    let subject = anna();
    let accesses = [Access { operation: Operation::Upload, target: Target::Unresolved }];
    let decide = |policy: &Policy, times: &[LocalTime]| {
        let request = Request { times, ..Request::new(&subject, "STOR", &accesses) };
        assert_eq!(policy.explain(&request).is_allowed, policy.authorize(&request).is_ok());
        policy.authorize(&request).is_ok()
    };
    let rules = vec![rule(Action::Deny, office("Asia/Tokyo")), rule(Action::Allow, office("Europe/Berlin"))];
    let policy = compile(rules, Action::Deny);
    assert_eq!(policy.zones(), ["Asia/Tokyo", "Europe/Berlin"]);
    assert!(decide(&policy, &[at(0, 20), at(0, 12)]));
    assert!(!decide(&policy, &[at(0, 19), at(0, 6)]), "before the office opens");
    assert!(!decide(&policy, &[at(0, 18), at(0, 10)]), "the first match counts");
    assert!(!decide(&policy, &[]), "an unknown hour is no office hour");
    assert!(!decide(&compile(vec![rule(Action::Deny, office("UTC"))], Action::Allow), &[]), "and denies");
}

#[test]
fn connections_and_logins_are_allowed_unless_named() {
    let subject = Subject { user: None, certificate: None, tls: None, ..anna() };
    let ask = |policy: &Policy, operation| {
        let accesses = [Access { operation, target: Target::Nothing }];
        policy.authorize(&Request::new(&subject, "USER", &accesses)).map_err(|denial| denial.operation)
    };
    let nobody = compile(vec![rule(Action::Deny, Matchers::default())], Action::Deny);
    assert!(ask(&nobody, Operation::Connect).is_ok() && ask(&nobody, Operation::Login).is_ok());
    let named = |operation| Matchers {
        operations: vec![operation],
        from: vec!["192.0.2.0/24".parse().unwrap()],
        ..Matchers::default()
    };
    let no_connect = compile(vec![rule(Action::Deny, named(Operation::Connect))], Action::Allow);
    assert_eq!(ask(&no_connect, Operation::Connect).unwrap_err(), Some(Operation::Connect));
    assert!(ask(&no_connect, Operation::Login).is_ok());
    let no_login = compile(vec![rule(Action::Deny, named(Operation::Login))], Action::Allow);
    assert!(ask(&no_login, Operation::Login).is_err() && ask(&no_login, Operation::Connect).is_ok());
    let weak = Matchers { tls: Some(TlsRequirement::parse("<1.3").unwrap()), ..named(Operation::Connect) };
    assert!(
        ask(&compile(vec![rule(Action::Deny, weak)], Action::Allow), Operation::Connect).is_ok(),
        "TLS comes later"
    );
}

#[test]
fn a_command_without_operation_is_judged_by_commands_alone() {
    let subject = anna();
    let request = Request::new(&subject, "NOOP", &[]);
    assert!(compile(vec![rule(Action::Deny, Matchers::default())], Action::Deny).authorize(&request).is_ok());
    let noop = Matchers { commands: vec![CommandName::parse("NOOP").unwrap()], ..Matchers::default() };
    let denial = compile(vec![rule(Action::Deny, noop)], Action::Allow).authorize(&request).unwrap_err();
    assert_eq!(denial.operation, None);
}

#[test]
fn the_first_match_counts_and_every_access_must_be_allowed() {
    let outbox = Matchers { paths: patterns(&["/in/**"]), ..Matchers::default() };
    let policy = compile(vec![rule(Action::Allow, outbox)], Action::Deny);
    let (inside, outside) = (path("/in/a"), path("/out/a"));
    let subject = anna();
    let rename = |from, to| {
        let accesses =
            [from, to].map(|path| Access { operation: Operation::Rename, target: Target::Path(path) });
        policy.authorize(&Request::new(&subject, "RNTO", &accesses)).is_ok()
    };
    assert!(rename(&inside, &inside));
    assert!(!rename(&inside, &outside) && !rename(&outside, &inside));
}

#[test]
fn directories_on_the_way_to_a_pattern_may_be_entered() {
    let deny = Matchers { paths: patterns(&["/in/secret/**"]), ..Matchers::default() };
    let allow = Matchers {
        operations: vec![Operation::Download],
        paths: patterns(&["/in/*/reports/*.csv", "/home/$user/**"]),
        ..Matchers::default()
    };
    let policy = compile(vec![rule(Action::Deny, deny), rule(Action::Allow, allow)], Action::Deny);
    let subject = anna();
    for (text, expected) in [
        ("/", true),
        ("/in", true),
        ("/in/acme", true),
        ("/in/acme/reports", true),
        ("/in/acme/other", false),
        ("/in/secret", false),
        ("/in/Secret/reports", false),
        ("/home", true),
        ("/home/anna/x/y", true),
        ("/home/bob", false),
        ("/out", false),
    ] {
        let path = path(text);
        let accesses = [Access { operation: Operation::Traverse, target: Target::Path(&path) }];
        let request = Request::new(&subject, "CWD", &accesses);
        assert_eq!(policy.authorize(&request).is_ok(), expected, "{text}");
        assert_eq!(policy.explain(&request).is_allowed, expected, "{text}");
    }
    let noop = Matchers { commands: vec![CommandName::parse("NOOP").unwrap()], ..Matchers::default() };
    let policy = compile(vec![rule(Action::Allow, noop)], Action::Deny);
    let root = CanonicalPath::root();
    let accesses = [Access { operation: Operation::Traverse, target: Target::Path(&root) }];
    assert!(policy.authorize(&Request::new(&subject, "CWD", &accesses)).is_err(), "NOOP leads nowhere");
}

#[test]
fn observed_rules_are_recorded_and_passed() {
    let watch = Rule {
        name: "watch".to_owned(),
        mode: Mode::Observe,
        ..rule(Action::Deny, Matchers { operations: vec![Operation::Delete], ..Matchers::default() })
    };
    let policy = compile(vec![watch, rule(Action::Allow, Matchers::default())], Action::Deny);
    let subject = anna();
    let accesses = [Access { operation: Operation::Delete, target: Target::Unresolved }];
    let request = Request::new(&subject, "DELE", &accesses);
    let permit = policy.authorize(&request).unwrap();
    assert_eq!(permit.rule(), Some("allow"));
    assert_eq!(permit.rule_ref().unwrap().origin().to_string(), "rules.toml:2");
    let observed: Vec<_> = permit.observed().iter().map(|seen| seen.rule.as_ref().unwrap().name()).collect();
    assert_eq!(observed, ["watch"]);
    let explained = &policy.explain(&request).accesses[0];
    assert_eq!(explained.passed[0].because, Because::Observed(Action::Deny));
}

#[test]
fn a_policy_under_observation_denies_nothing_and_records_it() {
    let deny = Definition {
        rules: vec![rule(
            Action::Deny,
            Matchers { operations: vec![Operation::Delete], ..Matchers::default() },
        )],
        groups: Vec::new(),
        default: Action::Allow,
        mode: Mode::Observe,
    };
    let policy = Policy::compile(deny).unwrap();
    let subject = anna();
    let accesses = [Access { operation: Operation::Delete, target: Target::Unresolved }];
    let request = Request::new(&subject, "DELE", &accesses);
    let permit = policy.authorize(&request).unwrap();
    assert_eq!((permit.observed()[0].action, permit.rule()), (Action::Deny, None));
    let explanation = policy.explain(&request);
    assert!(explanation.is_allowed && explanation.is_observed);
}

#[test]
fn a_denial_says_which_rule_and_in_whose_words() {
    let deny = Rule {
        name: "reports only".to_owned(),
        reply: Some(RuleReply::parse("550 Reports only").unwrap()),
        ..rule(Action::Deny, Matchers::default())
    };
    let policy = compile(vec![deny], Action::Allow);
    let subject = anna();
    let accesses = [Access { operation: Operation::Upload, target: Target::Unresolved }];
    let denial = policy.authorize(&Request::new(&subject, "STOR", &accesses)).unwrap_err();
    assert_eq!(denial.rule.unwrap().to_string(), "reports only (rules.toml:1)");
    assert_eq!((denial.operation, denial.reply.unwrap().text()), (Some(Operation::Upload), "Reports only"));
    let by_default =
        compile(vec![], Action::Deny).authorize(&Request::new(&subject, "STOR", &accesses)).unwrap_err();
    assert_eq!(by_default.rule, None);
}

#[test]
fn an_explanation_names_the_first_matcher_that_failed() {
    let users = |name: &str| Matchers { users: globs(&[name]), ..Matchers::default() };
    let rules = vec![
        rule(Action::Allow, users("bob")),
        rule(Action::Allow, Matchers { operations: vec![Operation::List], ..users("anna") }),
        rule(Action::Allow, Matchers { paths: patterns(&["/y"]), ..users("anna") }),
        rule(Action::Allow, Matchers { larger_than_bytes: Some(5), ..Matchers::default() }),
        rule(Action::Deny, Matchers::default()),
        rule(Action::Allow, Matchers::default()),
    ];
    let policy = compile(rules, Action::Allow);
    let subject = anna();
    let path = path("/x");
    let accesses = [Access { operation: Operation::Upload, target: Target::Path(&path) }];
    let explanation = policy.explain(&Request::new(&subject, "STOR", &accesses));
    let explained = &explanation.accesses[0];
    let because: Vec<_> = explained.passed.iter().map(|passed| passed.because).collect();
    let expected =
        [Matcher::Users, Matcher::Commands, Matcher::Paths, Matcher::LargerThan].map(Because::Mismatch);
    assert_eq!(because, expected);
    assert_eq!(explained.rule.as_ref().unwrap().origin().line, 5);
    assert!(!explanation.is_allowed);
}

#[test]
fn all_that_is_wrong_with_a_definition_is_said_at_once() {
    let group = |name: &str, users: &[&str]| Group {
        name: name.into(),
        origin: origin(7),
        users: globs(users),
        from: vec![],
    };
    let stranger = Matchers { groups: vec!["x".into()], ..Matchers::default() };
    let reply = Some(RuleReply::parse("550 No").unwrap());
    let errors = Policy::compile(Definition {
        rules: vec![rule(Action::Deny, stranger), Rule { reply, ..rule(Action::Allow, Matchers::default()) }],
        groups: vec![group("a", &["*"]), group("a", &[])],
        default: Action::Deny,
        mode: Mode::Enforce,
    })
    .unwrap_err();
    let problems: Vec<Problem> = errors.into_iter().map(|error| error.problem).collect();
    assert_eq!(
        problems,
        [
            Problem::DuplicateGroup("a".into()),
            Problem::EmptyGroup("a".into()),
            Problem::UnknownGroup("x".into()),
            Problem::ReplyWithoutDenial,
        ]
    );
}

#[test]
fn a_policy_says_what_the_gateway_must_look_at() {
    let deny = || rule(Action::Deny, Matchers { paths: patterns(&["/x/**"]), ..Matchers::default() });
    let allow =
        || rule(Action::Allow, Matchers { operations: vec![Operation::Upload], ..Matchers::default() });
    let policy = compile(vec![allow()], Action::Deny);
    assert!(policy.distinguishes(Operation::Upload, Operation::Overwrite) && !policy.has_paths());
    assert!(!compile(vec![deny()], Action::Allow).distinguishes(Operation::Upload, Operation::Overwrite));
}
