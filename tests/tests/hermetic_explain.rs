//! `explain` against what then really happens: random policies and routes, random questions, and the same commands
//! through the real gateway. Decision, rule and its place, and the reply on the wire must be what was said before.
//!
//! `FTPSGATE_EXPLAIN=N` tries N policies instead of the usual ones; a seed that failed is tried again with
//! `FTPSGATE_SEED=N`.

mod explain;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use ftpsgate::config::{
    self, AskedCommand, CertificatePart, Question, parse_command,
};
use ftpsgate::question::{self, Answer};
use ftpsgate_ftp::codec::Command;
use ftpsgate_policies::request::TlsVersion;
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner};

use explain::questions::{Asked, Tls, asked};
use explain::rules::{Scenario, scenario};
use explain::world::{Truth, World, kind, moved};

/// Policies that are tried, with so many questions each.
const POLICIES: u32 = 75;
const QUESTIONS: usize = 40;

#[test]
fn explain_says_what_then_happens_for_thousands_of_random_questions() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let policies = number("FTPSGATE_EXPLAIN").map_or(POLICIES, |count| u32::try_from(count).unwrap_or(u32::MAX));
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
    let before: Vec<Command> = asked.before.iter().map(|text| command(text)).collect();
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
        is_directory: held(asked).and_then(|held| last_word(held)).is_some_and(|word| kind(&word) == Some("dir")),
        before,
        command: AskedCommand::Command(command(&asked.command)),
    }
}

/// The first half of a pair, which names what is renamed or copied.
fn held(asked: &Asked) -> Option<&String> {
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
