//! The sink of JSON lines: a record is one line of a file.
//!
//! The file is appended to and never read, but for its last byte: where a crash left half a line, the next record
//! begins a new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::record::Record;
use super::writer::Store;

/// A record without its number, ready for any sink of lines. What peers said is text already, so that nothing in it can
/// end a line.
pub(super) fn line(mut record: Record<'_>) -> Option<Vec<u8>> {
    record.seq = 0;
    let mut line = Vec::with_capacity(LINE_BYTES);
    serde_json::to_writer(&mut line, &record).ok()?;
    debug_assert!(line.starts_with(NUMBER_AT) && !line.contains(&b'\n'));
    line.drain(..NUMBER_AT.len() + 1);
    line.push(b'\n');
    Some(line)
}

/// Puts a line with its number behind others.
pub(super) fn push_numbered(lines: &mut Vec<u8>, seq: u64, line: &[u8]) {
    lines.extend_from_slice(NUMBER_AT);
    write!(lines, "{seq}").expect("a Vec takes all that is written to it");
    lines.extend_from_slice(line);
}

/// Opens a file to append to; makes it, if need be.
///
/// # Errors
///
/// The system's.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)
}

impl Store for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn is_whole(&mut self) -> io::Result<bool> {
        let metadata = self.metadata()?;
        if !metadata.is_file() || metadata.len() == 0 {
            return Ok(true);
        }
        let mut last = [0];
        self.read_exact_at(&mut last, metadata.len() - 1)?;
        Ok(last == *b"\n")
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        let metadata = self.metadata()?;
        if metadata.is_file() { self.set_len(metadata.len().saturating_sub(bytes)) } else { Ok(()) }
    }
}

/// How each record begins; its number is its first field.
const NUMBER_AT: &[u8] = b"{\"seq\":";
/// Most records are shorter.
const LINE_BYTES: usize = 768;
/// For the gateway, and for a group that may read it.
const MODE: u32 = 0o640;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::record::Event;
    use super::super::testing::record;
    use super::*;

    #[test]
    fn a_line_is_a_record_with_its_number() {
        let record = record(Event::Command, "/a \\x0a\u{fc}\"b");
        let mut lines = Vec::new();
        push_numbered(&mut lines, 17, &line(record.clone()).unwrap());
        push_numbered(&mut lines, 18, &line(record.clone()).unwrap());
        let lines = String::from_utf8(lines).unwrap();
        let read: Vec<Record<'_>> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, [Record { seq: 17, ..record.clone() }, Record { seq: 18, ..record }]);
        assert!(lines.ends_with("}\n"));
    }

    #[test]
    fn a_file_is_made_for_the_gateway_and_its_group_and_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let mut file = open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o137, 0, "nobody else may read it");
        assert!(file.is_whole().unwrap());
        Store::write(&mut file, b"one\ntw").unwrap();
        let mut again = open(&path).unwrap();
        assert!(!again.is_whole().unwrap());
        again.cut(2).unwrap();
        assert!(again.is_whole().unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        assert!(open(&directory.path().join("no/audit.jsonl")).is_err());
    }

    #[test]
    fn what_is_no_file_has_no_end() {
        let mut null = open(Path::new("/dev/null")).unwrap();
        assert!(null.is_whole().unwrap());
        null.cut(5).unwrap();
    }
}
