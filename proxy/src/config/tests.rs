//! Whole files in; whole configurations, or everything that is wrong with them, out.

mod checks;
mod defaults;
mod diagnostics;
mod documentation;
mod limits;
mod policy;
mod round_trip;
mod routes;
mod upstream;

use std::path::Path;

use super::*;

const BASE: &str = "/etc/ftpsgate";

fn read(text: &str) -> Result<Loaded, Diagnostics> {
    parse(text, "gate.toml", Path::new(BASE))
}

/// The configuration of a file that is right.
fn right(text: &str) -> Loaded {
    read(text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// What is wrong, one `line:column: message` each.
fn wrong(text: &str) -> Vec<String> {
    let diagnostics = read(text).expect_err("the file is wrong");
    diagnostics.errors().iter().map(brief).collect()
}

/// What is doubtful about a file that is right.
fn doubtful(text: &str) -> Vec<String> {
    right(text).warnings.iter().map(brief).collect()
}

/// Asserts that one thing is wrong: where, what, and a part of what to do about it.
fn only_error(text: &str, wanted: &str, hint: &str) {
    let diagnostics = read(text).expect_err(wanted);
    only(diagnostics.errors(), wanted, hint);
}

/// The same of what is doubtful about a file that is right.
fn only_warning(text: &str, wanted: &str, hint: &str) {
    only(&right(text).warnings, wanted, hint);
}

fn only(all: &[Diagnostic], wanted: &str, hint: &str) {
    let briefs: Vec<_> = all.iter().map(brief).collect();
    assert_eq!(briefs, [wanted]);
    assert!(all[0].hint().contains(hint), "{wanted}: {}", all[0].hint());
}

fn brief(diagnostic: &Diagnostic) -> String {
    let (line, column) = diagnostic.position().unwrap_or_default();
    format!("{line}:{column}: {}", diagnostic.message())
}
