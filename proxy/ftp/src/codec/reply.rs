//! Replies: RFC 959 §4.2, read from a backend with all the oddities that servers have, written to a client with none.

use std::fmt;

use bytes::BytesMut;

/// A three-digit reply code, 100 to 659.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

/// What the first digit of a code means (RFC 959 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 1yz: another reply follows.
    Preliminary,
    /// 2yz: done.
    Completion,
    /// 3yz: more input is needed.
    Intermediate,
    /// 4yz: not now.
    TransientFailure,
    /// 5yz, and the 6yz that RFC 2228 adds.
    PermanentFailure,
}

impl Code {
    /// `None` unless `value` has a first digit from 1 to 6.
    pub const fn new(value: u16) -> Option<Self> {
        if value >= 100 && value <= 659 { Some(Self(value)) } else { None }
    }

    fn parse(digits: &[u8]) -> Option<Self> {
        let [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9'] = digits else { return None };
        Self::new(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
    }

    /// The number.
    pub fn value(self) -> u16 {
        self.0
    }

    /// The meaning of the first digit.
    pub fn kind(self) -> Kind {
        match self.0 / 100 {
            1 => Kind::Preliminary,
            2 => Kind::Completion,
            3 => Kind::Intermediate,
            4 => Kind::TransientFailure,
            _ => Kind::PermanentFailure,
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:03}", self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:03}", self.0)
    }
}

/// A whole reply. Its lines have no control bytes but TAB, and none of them can be taken for the end of a reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    code: Code,
    /// Never empty. The first and the last are texts without their code; those between are whole lines.
    lines: Vec<Vec<u8>>,
}

impl Reply {
    /// A reply of one line. Control bytes in `text` are replaced.
    ///
    /// # Panics
    ///
    /// If `code` is no reply code: codes of our own are literals.
    pub fn new(code: u16, text: impl AsRef<[u8]>) -> Self {
        let code = Code::new(code).expect("a literal reply code");
        Self { code, lines: vec![clean(text.as_ref())] }
    }

    /// A reply of several lines: a first text, whole lines between, and a last text.
    ///
    /// # Panics
    ///
    /// As [`Reply::new`].
    pub fn multiline<T: AsRef<[u8]>>(
        code: u16,
        first: &str,
        between: impl IntoIterator<Item = T>,
        last: &str,
    ) -> Self {
        let code = Code::new(code).expect("a literal reply code");
        let mut lines = vec![clean(first.as_bytes())];
        lines.extend(between.into_iter().map(|line| inner(clean(line.as_ref()))));
        lines.push(clean(last.as_bytes()));
        Self { code, lines }
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The meaning of the code's first digit.
    pub fn kind(&self) -> Kind {
        self.code.kind()
    }

    /// First text, lines between, last text.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(Vec::as_slice)
    }

    /// The first line's text, without the code.
    pub fn text(&self) -> &[u8] {
        self.lines.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// The last line's text, without the code; the first's, where there is only one.
    pub fn last_text(&self) -> &[u8] {
        self.lines.last().map(Vec::as_slice).unwrap_or_default()
    }

    /// The bytes for the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(self.lines.iter().map(|line| line.len() + 6).sum());
        let last = self.lines.len() - 1;
        for (index, line) in self.lines.iter().enumerate() {
            if index == last {
                wire.extend_from_slice(format!("{} ", self.code).as_bytes());
            } else if index == 0 {
                wire.extend_from_slice(format!("{}-", self.code).as_bytes());
            }
            wire.extend_from_slice(line);
            wire.extend_from_slice(b"\r\n");
        }
        wire
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.encode().trim_ascii_end().escape_ascii())
    }
}

/// Why a backend's bytes are no reply. The stream cannot be trusted afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line that should begin with a code does not.
    #[error("not a reply")]
    NoCode,
    /// More than 64 KiB.
    #[error("reply longer than {REPLY_BYTES_MAX} bytes")]
    TooLong,
    /// More than 500 lines.
    #[error("reply of more than {REPLY_LINES_MAX} lines")]
    TooManyLines,
}

/// Splits a byte stream into replies.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    input: BytesMut,
    /// How much of `input` is known to have no LF.
    scanned: usize,
    open: Option<Open>,
    failed: Option<ReplyError>,
}

/// A reply whose last line has not come.
#[derive(Debug)]
struct Open {
    code: Code,
    lines: Vec<Vec<u8>>,
    bytes: usize,
}

impl ReplyDecoder {
    /// Takes bytes in.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.input.extend_from_slice(bytes);
        }
    }

    /// Whether nothing at all is held: no reply, no part of one.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.open.is_none() && self.failed.is_none()
    }

    /// The next reply; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// The same error for ever, once there was one.
    pub fn next_reply(&mut self) -> Option<Result<Reply, ReplyError>> {
        if let Some(error) = self.failed {
            return Some(Err(error));
        }
        loop {
            match self.next_line() {
                Err(error) => return Some(Err(self.fail(error))),
                Ok(None) => return None,
                Ok(Some(line)) => match self.take_line(line) {
                    Ok(None) => {}
                    Ok(Some(reply)) => return Some(Ok(reply)),
                    Err(error) => return Some(Err(self.fail(error))),
                },
            }
        }
    }

    fn fail(&mut self, error: ReplyError) -> ReplyError {
        *self = Self { failed: Some(error), ..Self::default() };
        error
    }

    /// LF ends a line; one CR before it belongs to the end.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, ReplyError> {
        let held = self.open.as_ref().map_or(0, |open| open.bytes);
        let Some(offset) = self.input[self.scanned..].iter().position(|&byte| byte == b'\n') else {
            self.scanned = self.input.len();
            if self.input.is_empty() {
                self.input = BytesMut::new();
            }
            return if held + self.scanned > REPLY_BYTES_MAX { Err(ReplyError::TooLong) } else { Ok(None) };
        };
        let end = self.scanned + offset;
        self.scanned = 0;
        if held + end + 1 > REPLY_BYTES_MAX {
            return Err(ReplyError::TooLong);
        }
        let raw = self.input.split_to(end + 1);
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        let raw = raw.strip_suffix(b"\r\n").unwrap_or(&raw[..end]);
        Ok(Some(clean(raw)))
    }

    fn take_line(&mut self, line: Vec<u8>) -> Result<Option<Reply>, ReplyError> {
        let code = line.get(..3).and_then(Code::parse);
        let separator = line.get(3).copied();
        let Some(mut open) = self.open.take() else {
            let code = code.ok_or(ReplyError::NoCode)?;
            return match separator {
                None | Some(b' ') => Ok(Some(Reply { code, lines: vec![text_of(line)] })),
                Some(b'-') => {
                    let bytes = line.len();
                    self.open = Some(Open { code, lines: vec![text_of(line)], bytes });
                    Ok(None)
                }
                Some(_) => Err(ReplyError::NoCode),
            };
        };
        if code == Some(open.code) && matches!(separator, None | Some(b' ')) {
            open.lines.push(text_of(line));
            return Ok(Some(Reply { code: open.code, lines: open.lines }));
        }
        // Two lines are kept for the first and the last.
        if open.lines.len() + 1 >= REPLY_LINES_MAX {
            return Err(ReplyError::TooManyLines);
        }
        open.bytes += line.len() + 2;
        open.lines.push(inner(line));
        self.open = Some(open);
        Ok(None)
    }
}

fn text_of(mut line: Vec<u8>) -> Vec<u8> {
    line.drain(..4.min(line.len()));
    line
}

/// Clients take any line that begins with three digits and a blank for the last one.
fn inner(mut line: Vec<u8>) -> Vec<u8> {
    let looks_final = line.len() >= 3
        && line[..3].iter().all(u8::is_ascii_digit)
        && matches!(line.get(3), None | Some(b' '));
    if looks_final {
        line.insert(0, b' ');
    }
    line
}

/// Replaces control bytes (but TAB) and Telnet's 255.
fn clean(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|&byte| if matches!(byte, 0..=8 | 10..=31 | 127 | 255) { b'?' } else { byte }).collect()
}

/// Bytes of a reply, all its lines together.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;
/// Lines of a reply.
pub const REPLY_LINES_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Result<Reply, ReplyError>> {
        let mut decoder = ReplyDecoder::default();
        decoder.feed(bytes);
        let mut replies = Vec::new();
        while let Some(reply) = decoder.next_reply() {
            let failed = reply.is_err();
            replies.push(reply);
            if failed {
                break;
            }
        }
        replies
    }

    fn rewritten(bytes: &[u8]) -> String {
        decode(bytes)
            .into_iter()
            .map(|reply| String::from_utf8_lossy(&reply.unwrap().encode()).into_owned())
            .collect()
    }

    #[test]
    fn replies_of_rfc_959_and_of_real_servers() {
        for (wire, expected) in [
            ("220 ready\r\n", "220 ready\r\n"),
            ("220 ready\n", "220 ready\r\n"),
            ("220\r\n", "220 \r\n"),
            (
                "123-First line\r\nSecond line\r\n 234 A line beginning with numbers\r\n123 The last line\r\n",
                "123-First line\r\nSecond line\r\n 234 A line beginning with numbers\r\n123 The last line\r\n",
            ),
            // Pure-FTPd repeats the code; IIS indents nothing.
            ("220-a\r\n220-b\r\n220 c\r\n", "220-a\r\n220-b\r\n220 c\r\n"),
            ("211-Features\r\nSIZE\r\n211 End\r\n", "211-Features\r\nSIZE\r\n211 End\r\n"),
            // A line that a client would take for the end.
            ("230-a\r\n226 not yet\r\n230 b\r\n", "230-a\r\n 226 not yet\r\n230 b\r\n"),
            ("230-a\r\n226\r\n230\r\n", "230-a\r\n 226\r\n230 \r\n"),
            // NUL, ESC and IAC in texts.
            ("220 a\0b\x1b[31mc\td\r\n", "220 a?b?[31mc\td\r\n"),
        ] {
            assert_eq!(rewritten(wire.as_bytes()), expected);
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for wire in
            [&b"hello\r\n"[..], b"\r\n", b"22\r\n", b"099 x\r\n", b"700 x\r\n", b"220x\r\n", b" 220 x\r\n"]
        {
            assert_eq!(decode(wire), [Err(ReplyError::NoCode)], "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn an_endless_reply_ends_at_its_bounds() {
        let mut many = b"215-x\r\n".to_vec();
        many.extend(b"y\r\n".repeat(600));
        assert_eq!(decode(&many), [Err(ReplyError::TooManyLines)]);
        let mut decoder = ReplyDecoder::default();
        decoder.feed(b"215-");
        let mut fed = 0;
        let error = loop {
            decoder.feed(&[b'x'; 1024]);
            fed += 1024;
            if let Some(reply) = decoder.next_reply() {
                break reply;
            }
        };
        assert_eq!(error, Err(ReplyError::TooLong));
        assert!(fed <= REPLY_BYTES_MAX + 2048);
        assert!(!decoder.is_empty());
    }

    #[test]
    fn pieces_left_over_are_seen() {
        let mut decoder = ReplyDecoder::default();
        decoder.feed(b"220 a\r\n2");
        assert!(decoder.next_reply().unwrap().is_ok());
        assert!(!decoder.is_empty());
        assert_eq!(decoder.next_reply(), None);
        decoder.feed(b"21 b\r\n");
        assert_eq!(decoder.next_reply().unwrap().unwrap().code().value(), 221);
        assert!(decoder.is_empty());
    }
}
