//! `[[audit]]`: where the audit log is written.

use std::path::{Component, PathBuf};

use super::choice::Choice;
use super::diagnostic::Span;
use super::document::Document;
use super::model::{Audit, AuditKind};
use super::syntax::{SyntaxError, quoted};
use super::table::Table;
use super::value::{choice, parsed, path};

/// A sink, and where its path stands.
pub(super) struct AuditDraft {
    path: Span,
    pub(super) audit: Audit,
}

/// Reads every sink.
pub(super) fn read(file: &Table<'_>) -> Vec<AuditDraft> {
    let drafts: Vec<_> = file.tables("audit").iter().map(draft).collect();
    check(file.document, &drafts);
    drafts
}

fn draft(table: &Table<'_>) -> AuditDraft {
    let kind = table.read("kind", |value, kind| {
        parsed(value, kind, |text| match LATER_KINDS.contains(&text) {
            true => Err(SyntaxError::new(
                format!("{} is not available in this version", quoted(text)),
                format!("write kind = \"{}\"; each of its lines is one record", AuditKind::Json.word()),
            )),
            false => Ok(()),
        })?;
        choice(value, kind)
    });
    let path = table.read("path", path);
    let audit = Audit { kind: kind.value, path: table.document.base_dir.join(path.value) };
    AuditDraft { path: path.span, audit }
}

/// Two sinks that write to one file would tear each other's lines.
fn check(document: &Document, drafts: &[AuditDraft]) {
    for (index, draft) in drafts.iter().enumerate() {
        let first = drafts[..index].iter().find(|other| plain(&other.audit) == plain(&draft.audit));
        if let Some(first) = first {
            document.conflict(
                &draft.path,
                "two [[audit]] write to the same file",
                "give each a `path` of its own, or remove one of them",
                (&first.path, "the first"),
            );
        }
    }
}

/// A path without the components that mean nothing.
fn plain(audit: &Audit) -> PathBuf {
    audit.path.components().filter(|component| *component != Component::CurDir).collect()
}

/// Kinds of later versions.
const LATER_KINDS: [&str; 3] = ["xferlog", "syslog", "journald"];
