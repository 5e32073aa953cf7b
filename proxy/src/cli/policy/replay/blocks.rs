//! A log, read in blocks of whole lines: memory stays the same however long the log, or one of its lines, is.

use std::io::{self, Read};

/// A log, from its beginning.
pub(super) struct Blocks<R> {
    input: R,
    buffer: Vec<u8>,
    /// What is in the buffer, and how much of it was given out.
    filled: usize,
    given: usize,
    /// Of the next line, counted from 1.
    line: u64,
    is_within_long_line: bool,
}

/// Some of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block<'a> {
    /// Whole lines; the last one of a log may lack its end.
    Lines {
        /// Of the first of them, counted from 1.
        line: u64,
        bytes: &'a [u8],
    },
    /// A line that is longer than a block; it is passed over.
    TooLong {
        /// Counted from 1.
        line: u64,
    },
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(input: R, block_bytes: usize) -> Self {
        let buffer = vec![0; block_bytes];
        Self { input, buffer, filled: 0, given: 0, line: 1, is_within_long_line: false }
    }

    /// The next block; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Block<'_>>> {
        loop {
            self.buffer.copy_within(self.given..self.filled, 0);
            self.filled -= self.given;
            self.given = 0;
            let is_at_end = self.fill()?;
            let content = &self.buffer[..self.filled];
            let end = if is_at_end { Some(self.filled) } else { last_end(content) };
            if self.is_within_long_line {
                let rest = content.iter().position(|&byte| byte == b'\n');
                self.is_within_long_line = rest.is_none() && !is_at_end;
                self.given = rest.map_or(self.filled, |rest| rest + 1);
                if rest.is_some() {
                    self.line += 1;
                }
                if is_at_end && self.given == self.filled {
                    return Ok(None);
                }
                continue;
            }
            let Some(end) = end else {
                self.is_within_long_line = true;
                self.given = self.filled;
                return Ok(Some(Block::TooLong { line: self.line }));
            };
            if end == 0 {
                return Ok(None);
            }
            self.given = end;
            let line = self.line;
            self.line += lines(&self.buffer[..end]);
            return Ok(Some(Block::Lines { line, bytes: &self.buffer[..end] }));
        }
    }

    /// Fills the buffer, and says whether the log ends in it.
    fn fill(&mut self) -> io::Result<bool> {
        while self.filled < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Ok(true),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// How many lines end in these bytes.
pub(super) fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|&byte| u64::from(byte == b'\n')).sum()
}

/// Parts of about one size, each of whole lines, each with the number of its first line.
pub(super) fn parts(mut bytes: &[u8], mut line: u64, count: usize) -> Vec<(u64, &[u8])> {
    let mut parts = Vec::new();
    for left in (1..=count).rev() {
        let end = match left {
            1 => bytes.len(),
            _ => last_end(&bytes[..bytes.len() / left]).unwrap_or(0),
        };
        let (part, rest) = bytes.split_at(end);
        if !part.is_empty() {
            parts.push((line, part));
            line += lines(part);
        }
        bytes = rest;
    }
    parts
}

/// Where the last whole line ends.
fn last_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|&byte| byte == b'\n').map(|newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines as they come, with their numbers; `None`: too long.
    fn read(text: &[u8], block_bytes: usize, count: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut blocks = Blocks::new(text, block_bytes);
        let mut read = Vec::new();
        while let Some(block) = blocks.next().unwrap() {
            match block {
                Block::TooLong { line } => read.push((line, None)),
                Block::Lines { line, bytes } => {
                    for (first, part) in parts(bytes, line, count) {
                        let lines = part.split_inclusive(|&byte| byte == b'\n');
                        let whole = lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec());
                        read.extend((first..).zip(whole.map(Some)));
                    }
                }
            }
        }
        read
    }

    #[test]
    fn a_line_that_is_longer_than_a_block_is_passed_over() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(read(b"ab\ncdefghijklmno\npq\n", 4, 1), [(1, some("ab")), (2, None), (3, some("pq"))]);
        assert_eq!(read(b"abcdefghijkl", 4, 1), [(1, None)]);
        assert_eq!(read(b"", 4, 1), []);
    }

    proptest! {
        #[test]
        fn no_line_is_lost_or_cut(
            text in proptest::collection::vec(proptest::sample::select(b"ab\n".to_vec()), 0..200),
            block_bytes in 1..40_usize,
            count in 1..4_usize,
        ) {
            let lines = text.split_inclusive(|&byte| byte == b'\n');
            let whole: Vec<Vec<u8>> =
                lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec()).collect();
            let read = read(&text, block_bytes, count);
            prop_assert_eq!(read.len(), whole.len());
            for ((number, line), (index, whole)) in read.iter().zip(whole.iter().enumerate()) {
                prop_assert_eq!(*number, index as u64 + 1);
                match line {
                    Some(line) => prop_assert_eq!(line, whole),
                    None => prop_assert!(whole.len() >= block_bytes),
                }
            }
        }
    }
}
