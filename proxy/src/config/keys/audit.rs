//! The keys of `[[audit]]`.

use super::super::choice::Choice;
use super::super::model::AuditKind;
use super::super::schema::Default::Toml;
use super::super::schema::{Kind, Section};
use super::{key, later};

/// `[[audit]]`
pub(in super::super) static AUDIT: Section = Section {
    header: "[[audit]]",
    summary: "Where the audit log is written: one record for each command, denial and session. What is in it: audit.md.",
    keys: &[
        key("kind", Kind::OneOf(AuditKind::words), Toml("\"json\""), "`json`: a file of JSON lines."),
        key(
            "path",
            Kind::Path,
            Toml("\"/var/log/ftpsgate/audit.jsonl\""),
            "The file. Its directory must be there; records are appended, and a reload opens it anew.",
        ),
        later("chain", "records are numbered; that each holds the hash of the one before it is to come"),
        later("on_failure", "sessions wait while records cannot be written, and none is dropped"),
    ],
};
