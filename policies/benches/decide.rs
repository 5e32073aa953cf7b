//! What one decision costs, with 10, 1,000 and 10,000 rules of four kinds: `cargo bench -p ftpsgate-policies`.
//!
//! Prints nanoseconds per decision; nothing is checked. The aim is 2 µs at 1,000 rules.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use ftpsgate_policies::pattern::PathPattern;
use ftpsgate_policies::rule::{Action, Matchers, Mode, Origin, Rule};
use ftpsgate_policies::{
    Access, CanonicalPath, Definition, Glob, Operation, PathProfile, Policy, Request, Subject, Target,
};

fn main() {
    type Kind = (&'static str, fn(usize) -> Rule);
    let kinds: [Kind; 5] = [
        ("partners, each its users, network and directory", partner),
        ("directories, for everybody", |n| {
            rule(n, Matchers { paths: paths(&format!("/data/dir{n}/**")), ..Matchers::default() })
        }),
        ("globs in the middle, for everybody", |n| {
            rule(n, Matchers { paths: paths(&format!("/data/*/area{n}/*.csv")), ..Matchers::default() })
        }),
        ("extensions, for everybody, denied", |n| Rule {
            action: Action::Deny,
            ..rule(n, Matchers { paths: paths(&format!("**/*.ext{n}")), ..Matchers::default() })
        }),
        ("names with wildcards, for everybody, denied", |n| Rule {
            action: Action::Deny,
            ..rule(n, Matchers { paths: paths(&format!("**/?tmp{n}_*")), ..Matchers::default() })
        }),
    ];
    println!("{:<50} {:>10} {:>10} {:>10}", "ns per decision", 10, 1_000, 10_000);
    for (name, make) in kinds {
        let costs: Vec<String> =
            [10, 1_000, 10_000].map(|count| format!("{:>10.0}", measure(count, make))).into();
        println!("{name:<50} {}", costs.join(" "));
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn measure(count: usize, make: fn(usize) -> Rule) -> f64 {
    let rules = (0..count).map(make).collect();
    let definition = Definition { rules, groups: Vec::new(), default: Action::Allow, mode: Mode::Enforce };
    let policy = Policy::compile(definition).expect("the rules are right");
    // Requests that meet early rules, late ones, and none.
    let requests: Vec<(Subject, CanonicalPath)> = (0..64)
        .map(|n| {
            let number = n * count / 60;
            let third = u8::try_from(number / 256 % 256).expect("below 256");
            let subject = Subject {
                address: IpAddr::from([10, third, u8::try_from(number % 256).expect("below 256"), 7]),
                user: Some(format!("partner{number}-7").into_bytes()),
                listener: "ftps".to_owned(),
                backend: "legacy".to_owned(),
                tls: None,
                certificate: None,
            };
            let text = match n % 4 {
                0 => format!("/data/dir{number}/in/file.csv"),
                1 => format!("/data/acme/area{number}/file.csv"),
                2 => format!("/data/acme/in/file.ext{number}"),
                _ => format!("/data/acme/in/xtmp{number}_file"),
            };
            let path =
                CanonicalPath::resolve(PathProfile::Unix, None, text.as_bytes()).expect("the path is right");
            (subject, path)
        })
        .collect();
    let rounds = 2_000_usize.div_ceil(1 + count / 1_000);
    let mut best = f64::MAX;
    for _ in 0..3 {
        let begin = Instant::now();
        for _ in 0..rounds {
            for (subject, path) in &requests {
                let accesses = [Access { operation: Operation::Download, target: Target::Path(path) }];
                let _ = black_box(policy.authorize(black_box(&Request::new(subject, "RETR", &accesses))));
            }
        }
        #[expect(clippy::cast_precision_loss)]
        let cost = begin.elapsed().as_nanos() as f64 / (rounds * requests.len()) as f64;
        best = best.min(cost);
    }
    best
}

fn partner(n: usize) -> Rule {
    let matchers = Matchers {
        users: vec![Glob::exact_case(&format!("partner{n}-*")).expect("the glob is right")],
        from: vec![format!("10.{}.{}.0/24", n / 256 % 256, n % 256).parse().expect("the network is right")],
        operations: vec![Operation::List, Operation::Download],
        paths: paths(&format!("/data/dir{n}/**")),
        ..Matchers::default()
    };
    rule(n, matchers)
}

fn rule(n: usize, matchers: Matchers) -> Rule {
    Rule {
        name: format!("rule {n}"),
        origin: Origin { file: "rules.toml".into(), line: 1 },
        matchers,
        action: Action::Allow,
        mode: Mode::Enforce,
        reply: None,
    }
}

fn paths(pattern: &str) -> Vec<PathPattern> {
    vec![PathPattern::parse(pattern).expect("the pattern is right")]
}
