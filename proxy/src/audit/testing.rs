//! Records for tests, and what became of them.

use std::path::Path;

use super::record::{Event, Record};

/// A record that says little more than this.
pub(super) fn record(event: Event, reason: &str) -> Record<'_> {
    Record {
        seq: 0,
        time: "2026-11-22T15:00:00.000001Z".into(),
        gateway: "gw1".into(),
        event,
        session: None,
        client: None,
        dialled: None,
        listener: None,
        tls: None,
        certificate: None,
        user: None,
        backend: None,
        server: None,
        command: None,
        decision: None,
        code: None,
        transfer: None,
        reason: Some(reason.into()),
    }
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
