//! `policy test`: what the `[[test]]` tables expect, held against what policy says; `policy replay` is in `replay`.

mod replay;

use clap::{Args, Subcommand};
use ftpsgate_policies::RuleRef;
use ftpsgate_policies::rule::Action;
use serde_json::json;

use crate::config::{self, Choice, Diagnostic, Diagnostics, Loaded, PolicyTest, Severity};
use crate::logging::color_on_stderr;
use crate::question::{self, Answer};

use super::output::{print, print_json, say};
use super::{CliError, ConfigFile, Exit};

/// Arguments of `policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// What can be done with a policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Try every [[test]] of a configuration and its policy files
    #[command(after_help = TEST_AFTER_HELP)]
    Test(TestArgs),
    /// Say what another policy would change for the commands of an audit log
    Replay(replay::ReplayArgs),
}

/// Arguments of `policy test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Where the policy comes from.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Write {ok, passed, failed: [{file, line, expected, explanation}]} to standard output; of an invalid configuration
    /// what `check --json` says
    #[arg(long)]
    pub json: bool,
}

/// A test that did not come out as expected.
pub(super) struct Failure<'a> {
    test: &'a PolicyTest,
    /// Or why there is none.
    answer: Result<Answer, String>,
}

/// Does what was asked for.
///
/// # Errors
///
/// An invalid configuration, or standard output that cannot be written.
pub fn run(args: &PolicyArgs) -> Result<Exit, CliError> {
    match &args.command {
        PolicyCommand::Test(args) => run_tests(args),
        PolicyCommand::Replay(args) => replay::run(args),
    }
}

fn run_tests(args: &TestArgs) -> Result<Exit, CliError> {
    let loaded = match config::load(&args.file.path) {
        Ok(loaded) => loaded,
        Err(found) if args.json => {
            print_json(&found.to_json())?;
            return Ok(Exit::Configuration);
        }
        Err(found) => return Err(found.into()),
    };
    let failures = failures(&loaded);
    let count = loaded.config.rules.tests.len();
    if args.json {
        print_json(&json!({
            "ok": failures.is_empty(),
            "passed": count - failures.len(),
            "failed": failures.iter().map(Failure::to_json).collect::<Vec<_>>(),
        }))?;
    } else {
        let findings = failures.iter().map(|failure| failure.diagnostic(&loaded));
        say(&Diagnostics::new(loaded.warnings.iter().cloned().chain(findings)).render(color_on_stderr()));
        print(&format!("{} of {count} tests passed\n", count - failures.len()))?;
    }
    Ok(if failures.is_empty() { Exit::Success } else { Exit::Failure })
}

/// Every test that does not come out as expected.
pub(super) fn failures(loaded: &Loaded) -> Vec<Failure<'_>> {
    let tests = loaded.config.rules.tests.iter();
    tests
        .map(|test| Failure { test, answer: question::ask(&loaded.config, &test.question) })
        .filter(|tried| !tried.is_as_expected())
        .collect()
}

impl Failure<'_> {
    fn is_as_expected(&self) -> bool {
        self.answer.as_ref().is_ok_and(|answer| {
            let is_rule = |wanted: &String| answer.rule().map_or("default", RuleRef::name) == wanted;
            answer.action() == self.test.expect && self.test.rule.as_ref().is_none_or(is_rule)
        })
    }

    /// With the explanation as its hint.
    pub(super) fn diagnostic(&self, loaded: &Loaded) -> Diagnostic {
        let expected = match &self.test.rule {
            None => self.test.expect.word().to_owned(),
            Some(rule) => format!("{} by rule `{rule}`", self.test.expect.word()),
        };
        let (message, hint) = match &self.answer {
            Ok(answer) => {
                let found: Action = answer.action();
                (format!("this test expects {expected}, and policy says {}", found.word()), answer.render())
            }
            Err(error) => (format!("this test cannot be tried: {error}"), "repair the test".to_owned()),
        };
        loaded.diagnostic_at(Severity::Error, &self.test.origin, message, hint.trim_end())
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "file": &*self.test.origin.file,
            "line": self.test.origin.line,
            "expected": self.test.expect.word(),
            "expected_rule": self.test.rule,
            "explanation": self.answer.as_ref().ok().map(Answer::to_json),
            "error": self.answer.as_ref().err(),
        })
    }
}

const TEST_AFTER_HELP: &str = "\
For each test that fails, its place and the explanation of what policy says go to standard error.
`ftpsgate check` tries the tests, too.

Exit codes: 0 if all tests passed; 1 if one failed; 78 if the configuration is invalid.";

#[cfg(test)]
mod tests;
