//! The policies that ship, and what tests say of one that is wrong.

use std::path::Path;

use crate::config::{self, MINIMAL};

use super::*;

const EXAMPLES: [&str; 6] =
    ["deny-executables", "drop-box", "office-hours", "pci", "read-only-partners", "vendor-per-directory"];

fn load(text: &str) -> Loaded {
    config::parse(text, "gate.toml", Path::new("/")).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

#[test]
fn every_example_passes_its_tests() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/examples");
    let mut files: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, EXAMPLES);
    for name in EXAMPLES {
        let file = directory.join(name).with_extension("toml");
        let policy = format!("[policy]\ndefault = 'deny'\nfiles = ['{}']\n", file.display());
        let strict = load(&format!("{MINIMAL}{policy}"));
        // Where the listener itself demands TLS, no rule about clear logins decides.
        let lenient = MINIMAL.replace("mode = \"explicit\"", "mode = \"explicit\"\nrequire_tls = \"no\"");
        let lenient = load(&format!("{lenient}{policy}"));
        for loaded in [&strict, &lenient] {
            assert_eq!(loaded.warnings, [], "{name}");
            assert!(loaded.config.rules.tests.len() >= 5, "{name}");
            let failures = failures(loaded);
            let shown =
                Diagnostics::new(failures.iter().map(|failure| failure.diagnostic(loaded))).render(false);
            assert!(failures.is_empty(), "{shown}");
        }
        for rule in &strict.config.rules.rules {
            let is_met = |loaded: &Loaded| {
                loaded.config.rules.tests.iter().any(|test| {
                    question::ask(&loaded.config, &test.question)
                        .is_ok_and(|answer| answer.rule().is_some_and(|one| one.name() == rule.name))
                })
            };
            assert!(is_met(&strict) || is_met(&lenient), "{name}: no test meets rule `{}`", rule.name);
        }
    }
}

#[test]
fn a_test_that_fails_is_shown_with_the_explanation() {
    let rules = "[policy]\nfiles = []\ndefault = 'deny'
[[rule]]\nname = 'reports'\nusers = ['p*']\noperations = ['download']\naction = 'allow'
[[test]]\nuser = 'p1'\nfrom = '10.0.0.1'\ncommand = 'STOR x'\nexpect = 'allow'
[[test]]\nuser = 'p1'\nfrom = '10.0.0.1'\ncommand = 'RETR x'\nexpect = 'allow'\nrule = 'default'
[[test]]\nuser = 'p1'\nfrom = '10.0.0.1'\ncommand = 'RETR x'\nexpect = 'allow'\n";
    let loaded = load(&format!("{MINIMAL}{rules}"));
    let failures = failures(&loaded);
    let shown: Vec<_> = failures
        .iter()
        .map(|failure| failure.diagnostic(&loaded))
        .map(|diagnostic| {
            (diagnostic.position(), diagnostic.message().to_owned(), diagnostic.hint().to_owned())
        })
        .collect();
    let [first, second] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!(first.0, Some((16, 1)));
    assert_eq!(first.1, "this test expects allow, and policy says deny");
    assert!(first.2.contains("upload"), "{}", first.2);
    assert!(
        first.2.contains("rule `reports` (gate.toml:11): operations = [\"download\"]; here it is upload"),
        "{}",
        first.2
    );
    assert_eq!(second.1, "this test expects allow by rule `default`, and policy says allow");
    assert!(second.2.contains("allowed by rule `reports` (gate.toml:11)"), "{}", second.2);
}
