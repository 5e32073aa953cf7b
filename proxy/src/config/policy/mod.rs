//! Policy: `[policy]` and the files that it names, `[[group]]`, `[[rule]]` and `[[test]]`.
//!
//! In reading order: `model` is what comes out; `files` finds and reads policy files; `trial` reads one that stands for
//! all; `rule` and `test` read tables;
//! `check` compares the tables of all files and compiles them; `zones` tells rules with hours what time it is.

mod check;
mod files;
mod model;
mod rule;
mod test;
mod trial;
mod zones;

use ftpsgate_policies::rule::{Action, Mode, Origin};

use super::diagnostic::{Source, Span};
use super::document::Located;
use super::table::Table;
use super::value::choice;

pub(super) use check::{Surroundings, assemble};
pub(super) use files::PolicyFile;
pub use model::{AskedCommand, AskedTime, CertificatePart, PolicyTest, Question, Rules};
pub use test::{parse_certificate, parse_command};
pub(super) use trial::{is_policy_file, read_trial};
pub use zones::{local_times, parse_local_time};

use rule::{GroupDraft, RuleDraft};
use test::TestDraft;

/// What the configuration file and its policy files say.
pub(super) struct PolicyDraft {
    /// `None`: not written.
    default: Located<Option<Action>>,
    mode: Mode,
    tables: Tables,
    pub(super) files: Vec<PolicyFile>,
}

/// The tables of one file.
pub(super) struct Tables {
    groups: Vec<GroupDraft>,
    rules: Vec<RuleDraft>,
    tests: Vec<TestDraft>,
}

/// Reads what stands in the configuration file, and the policy files.
pub(super) fn read(file: &Table<'_>) -> PolicyDraft {
    let policy = file.table("policy");
    PolicyDraft {
        default: policy.optional("default", choice),
        mode: policy.read("mode", choice).value,
        tables: tables(file),
        files: files::read(&policy),
    }
}

/// Reads the tables of a file.
fn tables(file: &Table<'_>) -> Tables {
    Tables {
        groups: file.tables("group").iter().map(rule::group).collect(),
        rules: file.tables("rule").iter().map(rule::rule).collect(),
        tests: file.tables("test").iter().map(test::test).collect(),
    }
}

/// How explanations call a place.
pub(super) fn origin(source: &Source, span: &Span) -> Origin {
    Origin {
        file: source.origin().into(),
        line: u32::try_from(source.line_of(span.start).0).unwrap_or(u32::MAX),
    }
}
