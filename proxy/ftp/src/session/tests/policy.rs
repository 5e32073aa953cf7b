//! Policies for transcripts, one rule a line.

use std::sync::Arc;

use ftpsgate_policies::hours::Hours;
use ftpsgate_policies::pattern::PathPattern;
use ftpsgate_policies::rule::{Action, CommandName, Matchers, Mode, Origin, Rule, RuleReply, Schedule};
use ftpsgate_policies::{Definition, Glob, Operation, Policy};

/// `deny download,upload /secret/**`: an action, operations or `*`, patterns; then perhaps `observe`, `from=…`,
/// `users=…`, `hours=…`, `larger=…` or `reply=…` (with `_` for blanks). `SITE_EXEC` is a command. The last line is the
/// default. Rules are called as they are written.
pub(super) fn policy(text: &str) -> Policy {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let (default, rules) = lines.split_last().unwrap();
    let rules = (1..).zip(rules).map(|(number, line)| rule(number, line)).collect();
    Policy::compile(Definition { rules, groups: Vec::new(), default: action(default), mode: Mode::Enforce })
        .unwrap()
}

/// The same, under observation as a whole.
pub(super) fn observed_policy(text: &str) -> Policy {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let (default, rules) = lines.split_last().unwrap();
    let rules = (1..).zip(rules).map(|(number, line)| rule(number, line)).collect();
    Policy::compile(Definition { rules, groups: Vec::new(), default: action(default), mode: Mode::Observe })
        .unwrap()
}

fn action(word: &str) -> Action {
    match word {
        "allow" => Action::Allow,
        "deny" => Action::Deny,
        _ => panic!("no action: {word}"),
    }
}

fn rule(number: u32, line: &str) -> Rule {
    let mut words = line.split(' ');
    let action = action(words.next().unwrap());
    let mut matchers = Matchers::default();
    let mut mode = Mode::Enforce;
    let mut reply = None;
    for name in words.next().unwrap().split(',').filter(|name| *name != "*") {
        match Operation::find(name) {
            Some(operation) => matchers.operations.push(operation),
            None => matchers.commands.push(CommandName::parse(&name.replace('_', " ")).unwrap()),
        }
    }
    for word in words {
        match word.split_once('=') {
            Some(("from", network)) => matchers.from.push(network.parse().unwrap()),
            Some(("users", name)) => matchers.users.push(Glob::exact_case(name).unwrap()),
            Some(("larger", bytes)) => matchers.larger_than_bytes = Some(bytes.parse().unwrap()),
            Some(("reply", text)) => reply = Some(RuleReply::parse(&text.replace('_', " ")).unwrap()),
            Some(("hours", hours)) => {
                let hours = Hours::parse(&hours.replace('_', " ")).unwrap();
                matchers.hours = Some(Schedule { hours, timezone: "UTC".into() });
            }
            Some(_) => panic!("no matcher: {word}"),
            None if word == "observe" => mode = Mode::Observe,
            None => matchers.paths.push(PathPattern::parse(word).unwrap()),
        }
    }
    let origin = Origin { file: Arc::from("rules"), line: number };
    Rule { name: line.to_owned(), origin, matchers, action, mode, reply }
}
