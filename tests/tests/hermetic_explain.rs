//! `explain` against what then really happens: random policies and routes, random questions, and the same commands
//! through the real gateway. Decision, rule and its place, and the reply on the wire must be what was said before.
//!
//! `FTPSGATE_EXPLAIN=N` tries N policies instead of the usual ones; a seed that failed is tried again with
//! `FTPSGATE_SEED=N`.

mod explain;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

use ftpsgate::config::{self, AskedCommand, CertificatePart, Question, parse_command};
use ftpsgate::question::{self, Answer};
use ftpsgate_ftp::codec;
use ftpsgate_policies::request::TlsVersion;
use ftpsgate_tests::client::Client;
use ftpsgate_tests::gateway::{Gateway, GatewayOptions, ListenerOptions, binary};
use ftpsgate_tests::libunftp::LibunftpServer;
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner};

use explain::questions::{Asked, Tls, asked};
use explain::rules::{Scenario, scenario};
use explain::world::{Truth, World, kind, moved};

/// Policies that are tried, with so many questions each.
const POLICIES: u32 = 60;
/// The same in `tests/run --deep`.
const POLICIES_DEEP: u32 = 1_500;
const QUESTIONS: usize = 40;

#[test]
fn explain_says_what_then_happens_for_thousands_of_random_questions() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let is_deep = std::env::var_os("FTPSGATE_DEEP").is_some();
    let usual = if is_deep { POLICIES_DEEP } else { POLICIES };
    let policies = number("FTPSGATE_EXPLAIN").map_or(usual, |count| u32::try_from(count).unwrap_or(u32::MAX));
    let seed = number("FTPSGATE_SEED").unwrap_or_else(fresh_seed);
    println!("FTPSGATE_SEED={seed}");
    let world = World::start();
    let counts = RefCell::new(BTreeMap::<&str, usize>::new());
    let begun = Instant::now();
    let runner = RunnerConfig {
        cases: policies,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..RunnerConfig::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(runner, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let strategy = (scenario(), proptest::collection::vec(asked(), QUESTIONS));
    let result = runner.run(&strategy, |(scenario, questions)| {
        world.change(&scenario);
        let loaded = config::load(world.gateway.config_file());
        let config = loaded.map_err(|error| TestCaseError::fail(error.to_string()))?.config;
        for asked in &questions {
            let truth = world.try_out(asked);
            let answer = question::ask(&config, &question(&scenario, asked)).map_err(TestCaseError::fail)?;
            if let Some(difference) = difference(&answer, &truth) {
                let said = answer.render();
                return Err(TestCaseError::fail(format!(
                    "{difference}\n{}\n{asked:?}\n{truth:?}\nwhere it was said:\n{said}",
                    scenario.toml
                )));
            }
            count(&mut counts.borrow_mut(), &truth);
        }
        Ok(())
    });
    let counts = counts.into_inner();
    println!("{counts:?} in {:?}", begun.elapsed());
    if let Err(error) = result {
        panic!("FTPSGATE_SEED={seed}: {error}");
    }
    assert!(counts["all"] >= policies as usize * QUESTIONS);
    for outcome in ["allowed", "denied by a rule", "denied otherwise", "stopped before"] {
        assert!(counts[outcome] * 50 > counts["all"], "hardly any question was {outcome}: {counts:?}");
    }
}

/// A gateway whose policy and routes ask about everything that a question can tell.
fn stage(server: &LibunftpServer) -> Gateway {
    let port = server.address().port();
    let listener = ListenerOptions::explicit("ftps").keys("require_tls = \"no\"\nbackend = \"legacy\"");
    let named = ListenerOptions::plain("named")
        .keys(&format!("backend = \"legacy\"\nuser_at_host = [\"localhost:{port}\"]"));
    Gateway::start(
        GatewayOptions::new(server.address())
            .listener(ListenerOptions::plain("plain").keys("backend = \"legacy\""))
            .listener(listener)
            .listener(named)
            .another_backend("mainframe", server.address(), "paths = \"opaque\"")
            .extra(POLICY),
    )
}

const POLICY: &str = r#"
[[route]]
hosts = ["zos.example.com", "localhost"]
rewrite_user = "batch"
backend = "mainframe"
[[route]]
sni = ["zos.*"]
backend = "mainframe"
[policy]
files = []
default = "deny"
[[rule]]
name = "nothing is replaced on the mainframe"
backends = ["mainframe"]
operations = ["overwrite"]
action = "deny"
reply = "553 It stays as it is"
[[rule]]
name = "the mainframe takes and gives"
backends = ["mainframe"]
operations = ["upload", "download", "traverse"]
action = "allow"
[[rule]]
name = "closed for the night"
users = ["night"]
hours = "22:00-06:00"
timezone = "Asia/Tokyo"
action = "deny"
reply = "450 Closed until six"
[[rule]]
name = "small files"
larger_than = "1KiB"
action = "deny"
reply = "552 Small files only"
[[rule]]
name = "a secret below"
paths = ["/in/secret/**"]
backends = ["legacy"]
action = "deny"
[[rule]]
name = "in"
paths = ["/in/**"]
backends = ["legacy"]
action = "allow"
"#;

/// Asks the binary, and returns its exit code, what it says to people, and to programs.
fn explain(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, String, serde_json::Value) {
    let run = |more: &[&str]| {
        let fixed = ["explain", "--from", "127.0.0.1", "-c"];
        let mut command = Command::new(binary());
        command.args(fixed).arg(gateway.config_file()).args(more).args(arguments);
        command.output().expect("the gateway's binary starts")
    };
    let (people, programs) = (run(&[]), run(&["--json"]));
    assert_eq!(people.status.code(), programs.status.code());
    let json = serde_json::from_slice(&programs.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&programs.stderr)));
    (people.status.code(), String::from_utf8_lossy(&people.stdout).into_owned(), json)
}

#[test]
fn all_that_a_session_takes_into_account_can_be_asked() {
    let server = LibunftpServer::start();
    let gateway = stage(&server);
    let user = |more: &[&'static str]| [&["--user", "anna"], more].concat();
    let night = |more: &[&'static str]| [&["--user", "night"], more].concat();
    let cases: Vec<(Vec<&str>, i32, &str, &str)> = vec![
        // Routes, and what they make of the user.
        (
            user(&["--host", "zos.example.com", "RETR 'A.B'"]),
            0,
            "the mainframe takes and gives",
            "known as batch",
        ),
        (
            user(&["--host", "other.example.com", "RETR 'A.B'"]),
            4,
            "",
            "HOST other.example.com is refused: 504",
        ),
        (
            user(&["--listener", "ftps", "--sni", "zos.example.com", "RETR 'A.B'"]),
            0,
            "the mainframe takes and gives",
            "backend mainframe",
        ),
        (
            user(&["--listener", "ftps", "RETR /in/a"]),
            0,
            "in",
            "assuming: the client names no server in its TLS",
        ),
        (
            vec!["--listener", "named", "--user", "anna@localhost", "RETR 'A.B'"],
            0,
            "the mainframe takes and gives",
            "server localhost:",
        ),
        (
            vec!["--listener", "named", "--user", "anna@example.com", "RETR /in/a"],
            4,
            "",
            "it does not come to that: USER anna@example.com is refused",
        ),
        // Where nobody can look, both must be allowed.
        (
            user(&["--host", "zos.example.com", "STOR 'A.B'"]),
            4,
            "nothing is replaced on the mainframe",
            "553 It stays as it is",
        ),
        // Times, in the rule's zone.
        (
            night(&["--at", "2026-11-22T14:00:00+01:00", "RETR /in/a"]),
            4,
            "closed for the night",
            "450 Closed until six",
        ),
        (night(&["--at", "2026-11-22T13:59:00Z", "RETR /in/a"]), 4, "closed for the night", "450"),
        (
            night(&["--at", "2026-11-22T12:59:00Z", "RETR /in/a"]),
            0,
            "in",
            "hours = \"22:00-06:00\" (Asia/Tokyo); here it is Sun 21:59",
        ),
        // Sizes, announced and counted.
        (user(&["ALLO 2000", "STOR /in/a"]), 4, "small files", "552 Small files only"),
        (user(&["--size", "2KiB", "STOR /in/a"]), 4, "small files", "552 Small files only"),
        (user(&["--size", "1KiB", "STOR /in/a"]), 0, "in", "larger_than = \"1KiB\"; here it is 1KiB"),
        // Directories, pairs, offsets.
        (user(&["--directory", "/in", "RETR a"]), 0, "in", "download /in/a"),
        (user(&["CWD /in", "RETR a"]), 0, "in", "download /in/a"),
        (user(&["CWD /out", "RETR a"]), 4, "", "before it, CWD /out is refused: 550"),
        (user(&["RNTO /in/b"]), 4, "", "503 RNFR comes before RNTO."),
        (user(&["RNFR /in", "RNTO /in/b"]), 0, "in", "assuming: it is a file (a directory: --is-directory)"),
        (
            user(&["--is-directory", "RNFR /in", "RNTO /in/b"]),
            4,
            "",
            "for not all that /in could hold may be touched",
        ),
        (user(&["REST 5", "STOR /in/a"]), 0, "in", "overwrite /in/a"),
        // What a listener says before policy does.
        (user(&["--tls", "1.3", "NOOP"]), 4, "", "AUTH TLS is refused"),
        (vec!["RETR /in/a"], 4, "", "530 Log in first."),
        (user(&["QUIT", "RETR /in/a"]), 4, "", "QUIT"),
    ];
    for (arguments, code, rule, words) in cases {
        let (exit, text, json) = explain(&gateway, &arguments);
        assert_eq!(exit, Some(code), "{arguments:?}\n{text}");
        assert!(text.contains(words), "{arguments:?}: no `{words}` in\n{text}");
        assert_eq!(json["rule"]["name"].as_str().unwrap_or_default(), rule, "{arguments:?}\n{json:#}");
        assert_eq!(json["decision"], if code == 0 { "allow" } else { "deny" });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with(if code == 0 { "allowed: " } else { "denied: " }), "{text}");
        if !rule.is_empty() {
            let place = format!("{}:{}", json["rule"]["file"].as_str().unwrap(), json["rule"]["line"]);
            assert!(lines[1].contains(rule) && lines[1].contains(&place), "{text}");
        }
    }
}

#[test]
fn a_size_that_is_counted_is_refused_as_explained() {
    let server = LibunftpServer::start();
    std::fs::create_dir(server.path("in")).expect("the folder can be written");
    let gateway = stage(&server);
    for (size, more) in [(1024, 0), (1025, 4)] {
        let (exit, text, json) = explain(
            &gateway,
            &["--user", "anna", "--size", &format!("{size}B"), "--directory", "/in", "STOR new"],
        );
        assert_eq!(exit, Some(more), "{text}");
        let mut client = Client::connect(gateway.address("plain"));
        client.greeting();
        client.log_in();
        client.expect("CWD /in", 250);
        let mut data = client.begin_transfer("STOR new");
        data.write(&vec![0; size]);
        data.finish();
        let reply = client.reply();
        match json["code"].as_u64() {
            Some(code) => assert_eq!(code, u64::from(reply.code), "{text}"),
            None => assert_eq!(reply.code, 226, "{text}"),
        }
    }
}

/// What was said and is not so.
fn difference(answer: &Answer, truth: &Truth) -> Option<String> {
    if answer.is_allowed() == truth.is_refused {
        return Some("the decision is another".to_owned());
    }
    if answer.stopped_at().is_none() != truth.is_asked_for {
        return Some("the command is another that decides".to_owned());
    }
    let rule = answer.rule().filter(|_| truth.is_refused);
    let rule = rule.map(|rule| (rule.name().to_owned(), rule.origin().to_string()));
    if rule != truth.rule {
        return Some(format!("the rule is another: {rule:?}"));
    }
    let reply = answer.reply().map(|(code, text)| (code, text.to_owned()));
    let is_same = match (&reply, &truth.reply) {
        (Some((code, text)), Some((true_code, true_text))) => {
            // What a good reply says may hold ports, and what servers offer.
            code == true_code && (!truth.is_refused || text == true_text)
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    (!is_same).then(|| format!("the reply is another: {reply:?}"))
}

fn question(scenario: &Scenario, asked: &Asked) -> Question {
    let command = |text: &str| match parse_command(text) {
        Ok(AskedCommand::Command(command)) => command,
        other => panic!("{text}: {other:?}"),
    };
    let before: Vec<codec::Command> = asked.before.iter().map(|text| command(text)).collect();
    Question {
        user: asked.user.map(str::to_owned),
        from: asked.from.parse().expect("an address"),
        listener: Some(asked.listener.to_owned()),
        backend: None,
        sni: asked.sni.map(str::to_owned),
        host: asked.host.map(str::to_owned),
        tls: Some(match asked.tls {
            Tls::None => None,
            Tls::V12 => Some(TlsVersion::V12),
            Tls::V13 => Some(TlsVersion::V13),
        }),
        certificates: if asked.has_certificate {
            vec![CertificatePart("CN=acme-7".to_owned())]
        } else {
            Vec::new()
        },
        at: None,
        directory: scenario.home.to_owned(),
        size_bytes: None,
        exists: last_word(&asked.command).is_some_and(|word| kind(&word).is_some()),
        is_directory: held(asked)
            .and_then(|held| last_word(held))
            .is_some_and(|word| kind(&word) == Some("dir")),
        before,
        command: AskedCommand::Command(command(&asked.command)),
    }
}

/// The first half of a pair, which names what is renamed or copied; only the second half is about it.
fn held(asked: &Asked) -> Option<&String> {
    let is_second = asked.command.starts_with("RNTO") || asked.command.starts_with("SITE CPTO");
    if !is_second {
        return None;
    }
    asked.before.iter().rev().find(|command| command.starts_with("RNFR") || command.starts_with("SITE CPFR"))
}

/// The path that a command names, without what leads nowhere.
fn last_word(command: &str) -> Option<String> {
    let words = command.strip_prefix("SITE ").unwrap_or(command);
    let (_, path) = words.split_once(' ')?;
    String::from_utf8(moved(b"/", path.as_bytes())).ok()
}

fn count(counts: &mut BTreeMap<&'static str, usize>, truth: &Truth) {
    let outcome = match truth {
        Truth { is_asked_for: false, .. } => "stopped before",
        Truth { is_refused: false, .. } => "allowed",
        Truth { rule: Some(_), .. } => "denied by a rule",
        Truth { rule: None, .. } => "denied otherwise",
    };
    *counts.entry(outcome).or_default() += 1;
    *counts.entry("all").or_default() += 1;
}

fn fresh_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs()
}
