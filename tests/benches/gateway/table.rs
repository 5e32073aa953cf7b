//! The results: a goal beside every figure, as a table or as JSON.

use std::fmt;

use serde_json::{Value, json};

/// What ftpsgate should reach, as a ratio to the peer in the same run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    /// Costs: the ratio is to be no higher.
    AtMost(f64),
    /// Rates: the ratio is to be no lower.
    AtLeast(f64),
    /// An amount of our own; there is nothing to compare it with.
    Own(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// What was done.
    pub(super) work: &'static str,
    /// What the figures count.
    pub(super) unit: &'static str,
    /// ftpsgate's figure.
    pub(super) ours: f64,
    /// The peer's; None if there was no peer.
    pub(super) theirs: Option<f64>,
    /// What should be reached.
    pub(super) goal: Goal,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.theirs.map(|theirs| self.ours / theirs)
    }

    /// None where the peer is missing.
    fn is_met(&self) -> Option<bool> {
        match self.goal {
            Goal::AtMost(goal) => self.ratio().map(|ratio| ratio <= goal),
            Goal::AtLeast(goal) => self.ratio().map(|ratio| ratio >= goal),
            Goal::Own(goal) => Some(self.ours <= goal),
        }
    }

    fn json(&self) -> Value {
        json!({
            "work": self.work,
            "unit": self.unit,
            "ftpsgate": self.ours,
            "peer": self.theirs,
            "ratio": self.ratio(),
            "goal": self.goal.to_string(),
            "met": self.is_met(),
        })
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(ratio) if *ratio < 0.1 => write!(formatter, "≤ 1/{:.0}", 1.0 / ratio),
            Self::AtMost(ratio) => write!(formatter, "≤ {ratio:.2}"),
            Self::AtLeast(ratio) => write!(formatter, "≥ {ratio:.1}"),
            Self::Own(amount) => write!(formatter, "≤ {amount:.0}"),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let theirs = self.theirs.map_or_else(|| "–".to_owned(), figure);
        let ratio = self.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}"));
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "–",
        };
        let (work, unit, ours, goal) = (self.work, self.unit, figure(self.ours), self.goal.to_string());
        write!(formatter, "{work:<36} {unit:<10} {ours:>9} {theirs:>10} {ratio:>8} {goal:>8}  {met}")
    }
}

/// Prints the line above the rows.
pub(super) fn print_header() {
    println!(
        "{:<36} {:<10} {:>9} {:>10} {:>8} {:>8}",
        "work", "unit", "ftpsgate", "mod_proxy", "ratio", "goal"
    );
}

/// Everything as one JSON document.
pub(super) fn json(rows: &[Row]) -> Value {
    Value::Array(rows.iter().map(Row::json).collect())
}

/// The middle one of several measurements.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
