//! Records for tests, and what became of them.

use std::path::Path;
use std::time::SystemTime;

use super::record::{Event, Record};

/// A record that says little more than this.
pub(super) fn record(event: Event, reason: &str) -> Record<'_> {
    Record { reason: Some(reason.into()), ..Record::new(event, "gw1", SystemTime::UNIX_EPOCH) }
}

/// The numbers of a file's records.
pub(super) fn sequence(path: &Path) -> Vec<u64> {
    numbers(&std::fs::read(path).expect("the file is there"))
}

/// The numbers of records; every line is one.
pub(super) fn numbers(lines: &[u8]) -> Vec<u64> {
    let text = std::str::from_utf8(lines).expect("records are text");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn");
    text.lines().map(|line| serde_json::from_str::<Record<'_>>(line).expect(line).seq).collect()
}
