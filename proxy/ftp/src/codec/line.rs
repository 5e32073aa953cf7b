//! Command lines: bytes from a client become lines, or the reason why not.
//!
//! RFC 959 §5.3 ends a command with CRLF and nothing else. Servers disagree about everything that is nearly a CRLF,
//! so nearly is refused here. Telnet (RFC 854) is undone: `IAC IAC` is a byte, `IAC IP` and `IAC DM` are noise.
//! A line that is too long is discarded to its end, never cut into two.

use bytes::{Buf, BytesMut};

/// Why bytes are not a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than the limit; it was discarded, and the next line is sound.
    #[error("line too long")]
    TooLong,
    /// LF without CR before it.
    #[error("bare LF")]
    BareLineFeed,
    /// CR without LF after it.
    #[error("bare CR")]
    BareCarriageReturn,
    /// A NUL byte.
    #[error("NUL byte")]
    Nul,
    /// A Telnet command other than IP, DM and an escaped 255; the line was discarded, and the next line is sound.
    #[error("Telnet command inside a line")]
    Telnet,
    /// The first byte starts a TLS record: an implicit client on a listener that is not.
    #[error("TLS record where a command was expected")]
    TlsRecord,
    /// The first bytes are those of a header of the PROXY protocol, version 2.
    #[error("PROXY header where a command was expected")]
    ProxyHeader,
}

impl LineError {
    /// Whether what follows in the stream cannot be trusted.
    pub fn is_fatal(self) -> bool {
        match self {
            Self::TooLong | Self::Telnet => false,
            Self::BareLineFeed
            | Self::BareCarriageReturn
            | Self::Nul
            | Self::TlsRecord
            | Self::ProxyHeader => true,
        }
    }
}

/// Splits a byte stream into command lines.
///
/// Holds at most `line_bytes_max` bytes of a line; whoever feeds it stops while [`LineDecoder::next_line`] has lines to
/// give.
#[derive(Debug)]
pub struct LineDecoder {
    input: BytesMut,
    line: Vec<u8>,
    line_bytes_max: usize,
    state: State,
    first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    CarriageReturn,
    Iac,
    /// Until the end of a line that is refused, whose CR may just have been seen.
    Discard {
        error: LineError,
        carriage_return: bool,
    },
    Poisoned(LineError),
}

impl LineDecoder {
    /// `line_bytes_max` counts the CRLF.
    pub fn new(line_bytes_max: usize) -> Self {
        Self { input: BytesMut::new(), line: Vec::new(), line_bytes_max, state: State::Text, first: true }
    }

    /// Takes bytes in.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self.state {
            State::Poisoned(_) => {}
            State::Text | State::CarriageReturn | State::Iac | State::Discard { .. } => {
                self.input.extend_from_slice(bytes);
            }
        }
    }

    /// Whether nothing at all is held: no line, no part of one.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.line.is_empty() && self.state == State::Text
    }

    /// The next line without its CRLF; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// After a fatal [`LineError`] the same error is returned for ever.
    pub fn next_line(&mut self) -> Option<Result<Vec<u8>, LineError>> {
        if let State::Poisoned(error) = self.state {
            return Some(Err(error));
        }
        while let Some(&byte) = self.input.first() {
            if std::mem::take(&mut self.first) {
                if byte == TLS_HANDSHAKE {
                    return Some(Err(self.poison(LineError::TlsRecord)));
                }
                // One that comes in smaller pieces is what its bytes are: two empty lines and a NUL.
                if self.input.starts_with(PROXY_HEADER) {
                    return Some(Err(self.poison(LineError::ProxyHeader)));
                }
            }
            self.input.advance(1);
            match self.state {
                State::Poisoned(error) => return Some(Err(error)),
                State::Text => match byte {
                    b'\r' => self.state = State::CarriageReturn,
                    b'\n' => return Some(Err(self.poison(LineError::BareLineFeed))),
                    0 => return Some(Err(self.poison(LineError::Nul))),
                    IAC => self.state = State::Iac,
                    _ => self.push(byte),
                },
                State::CarriageReturn => {
                    if byte != b'\n' {
                        return Some(Err(self.poison(LineError::BareCarriageReturn)));
                    }
                    self.state = State::Text;
                    self.release();
                    return Some(Ok(std::mem::take(&mut self.line)));
                }
                State::Iac => match byte {
                    IAC => {
                        self.state = State::Text;
                        self.push(IAC);
                    }
                    INTERRUPT_PROCESS | DATA_MARK => self.state = State::Text,
                    _ => {
                        self.discard(LineError::Telnet);
                        // The byte after the IAC may already end the line.
                        if byte == b'\r' {
                            self.state = State::Discard { error: LineError::Telnet, carriage_return: true };
                        }
                    }
                },
                State::Discard { error, carriage_return } => match byte {
                    b'\n' if carriage_return => {
                        self.state = State::Text;
                        self.release();
                        return Some(Err(error));
                    }
                    b'\n' => return Some(Err(self.poison(LineError::BareLineFeed))),
                    0 => return Some(Err(self.poison(LineError::Nul))),
                    _ if carriage_return => return Some(Err(self.poison(LineError::BareCarriageReturn))),
                    _ => self.state = State::Discard { error, carriage_return: byte == b'\r' },
                },
            }
        }
        self.release();
        None
    }

    fn push(&mut self, byte: u8) {
        if self.line.len() + 2 >= self.line_bytes_max {
            self.discard(LineError::TooLong);
        } else {
            self.line.push(byte);
            self.state = State::Text;
        }
    }

    fn discard(&mut self, error: LineError) {
        self.line = Vec::new();
        self.state = State::Discard { error, carriage_return: false };
    }

    fn poison(&mut self, error: LineError) -> LineError {
        self.state = State::Poisoned(error);
        self.line = Vec::new();
        self.input = BytesMut::new();
        error
    }

    /// An idle session holds no buffer.
    fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }
}

const IAC: u8 = 255;
const INTERRUPT_PROCESS: u8 = 244;
const DATA_MARK: u8 = 242;
/// ContentType handshake, RFC 8446 §5.1.
const TLS_HANDSHAKE: u8 = 0x16;
/// The first bytes of the PROXY protocol's signature, version 2: no client says them.
const PROXY_HEADER: &[u8] = b"\r\n\r\n\0";

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Result<Vec<u8>, LineError>> {
        let mut decoder = LineDecoder::new(64);
        decoder.feed(bytes);
        let mut lines = Vec::new();
        while let Some(line) = decoder.next_line() {
            let fatal = matches!(line, Err(error) if error.is_fatal());
            lines.push(line);
            if fatal {
                break;
            }
        }
        lines
    }

    fn text(line: &str) -> Result<Vec<u8>, LineError> {
        Ok(line.as_bytes().to_vec())
    }

    #[test]
    fn lines_end_with_crlf_and_nothing_else() {
        assert_eq!(decode(b"NOOP\r\nPWD\r\n"), [text("NOOP"), text("PWD")]);
        assert_eq!(decode(b"NOOP\nPWD\r\n"), [Err(LineError::BareLineFeed)]);
        assert_eq!(decode(b"STOR a\rDELE b\r\n"), [Err(LineError::BareCarriageReturn)]);
        assert_eq!(decode(b"STOR a\r\r\n"), [Err(LineError::BareCarriageReturn)]);
        assert_eq!(decode(b"STOR a\0b\r\n"), [Err(LineError::Nul)]);
        assert_eq!(decode(b"\r\n"), [text("")]);
        assert_eq!(decode(b"NOOP"), []);
    }

    #[test]
    fn telnet_is_undone() {
        assert_eq!(decode(b"\xff\xf4\xff\xf2ABOR\r\n"), [text("ABOR")]);
        assert_eq!(decode(b"STOR \xff\xffx\r\n"), [Ok(b"STOR \xffx".to_vec())]);
        assert_eq!(decode(b"STOR \xff\xfbx\r\nPWD\r\n"), [Err(LineError::Telnet), text("PWD")]);
        assert_eq!(decode(b"STOR \xff\r\nPWD\r\n"), [Err(LineError::Telnet), text("PWD")]);
    }

    #[test]
    fn a_long_line_is_discarded_whole() {
        let mut long = vec![b'a'; 62];
        long.extend_from_slice(b"\r\n");
        assert_eq!(decode(&long), [Ok(vec![b'a'; 62])]);
        let mut longer = vec![b'a'; 1000];
        longer.extend_from_slice(b" DELE x\r\nPWD\r\n");
        assert_eq!(decode(&longer), [Err(LineError::TooLong), text("PWD")]);
        let mut smuggled = vec![b'a'; 1000];
        smuggled.extend_from_slice(b"\nDELE x\r\n");
        assert_eq!(decode(&smuggled), [Err(LineError::BareLineFeed)]);
    }

    #[test]
    fn an_implicit_client_on_an_explicit_listener_is_recognised_by_its_first_byte() {
        assert_eq!(decode(b"\x16\x03\x01\x02"), [Err(LineError::TlsRecord)]);
    }

    #[test]
    fn a_proxy_header_is_recognised_where_a_connection_begins() {
        assert_eq!(decode(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"), [Err(LineError::ProxyHeader)]);
        assert_eq!(decode(b"\r\n\r\nPWD\r\n"), [text(""), text(""), text("PWD")]);
        assert_eq!(decode(b"PWD\r\n\r\n\r\n\0"), [text("PWD"), text(""), text(""), Err(LineError::Nul)]);
    }

    #[test]
    fn an_error_that_is_fatal_stays() {
        let mut decoder = LineDecoder::new(64);
        decoder.feed(b"A\nB\r\n");
        for _ in 0..3 {
            assert_eq!(decoder.next_line(), Some(Err(LineError::BareLineFeed)));
        }
    }

    #[test]
    fn memory_is_bounded_by_the_line_limit() {
        let mut decoder = LineDecoder::new(64);
        for _ in 0..10_000 {
            decoder.feed(&[b'x'; 100]);
            assert_eq!(decoder.next_line(), None);
        }
        assert!(decoder.line.capacity() <= 128 && decoder.input.capacity() <= 256);
    }
}
