//! Whole files in; whole configurations, or everything that is wrong with them, out.

mod checks;
mod defaults;
mod diagnostics;
mod documentation;
mod round_trip;

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

fn brief(diagnostic: &Diagnostic) -> String {
    let (line, column) = diagnostic.position().unwrap_or_default();
    format!("{line}:{column}: {}", diagnostic.message())
}
