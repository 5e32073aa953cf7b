//! Replies as a client reads them, RFC 959 §4.2.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

/// One whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// All of its lines with their codes and without line ends.
    pub lines: Vec<Vec<u8>>,
}

impl Reply {
    /// Takes the first whole reply out of `input`, if there is one.
    ///
    /// # Panics
    ///
    /// If the first line is no reply, or a line does not end with CRLF: the gateway must never send such.
    pub(super) fn take(input: &mut Vec<u8>) -> Option<Self> {
        let mut lines = Vec::new();
        let mut rest = input.as_slice();
        loop {
            let end = rest.iter().position(|&byte| byte == b'\n')?;
            let line =
                rest[..end].strip_suffix(b"\r").unwrap_or_else(|| panic!("bare LF in {}", shown(rest)));
            rest = &rest[end + 1..];
            lines.push(line.to_vec());
            let first = &lines[0];
            assert!(
                first.len() >= 3 && first[..3].iter().all(u8::is_ascii_digit),
                "no reply: {}",
                shown(first)
            );
            let ends = line.starts_with(&first[..3]) && line.get(3).is_none_or(|&byte| byte == b' ');
            if ends {
                let code = first[..3].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
                let taken = input.len() - rest.len();
                input.drain(..taken);
                return Some(Self { code, lines });
            }
        }
    }

    /// Whether any line holds this text.
    pub fn mentions(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// Whether an inner line, such as one of FEAT, is exactly this text after its leading space.
    pub fn has_line(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.strip_prefix(b" ") == Some(text.as_bytes()))
    }

    /// The address in a 227.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn passive_address(&self) -> SocketAddr {
        let text = self.to_string();
        let inner = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inner, _)| inner);
        let numbers: Vec<u8> =
            inner.into_iter().flat_map(|inner| inner.split(',')).map_while(|n| n.parse().ok()).collect();
        let [a, b, c, d, high, low] = numbers[..] else { panic!("no six numbers: {self}") };
        SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])))
    }

    /// The port in a 229.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn extended_passive_port(&self) -> u16 {
        let text = self.to_string();
        let inner =
            text.split_once("(|||").and_then(|(_, rest)| rest.split_once("|)")).map(|(inner, _)| inner);
        inner.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port: {self}"))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.lines.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{}", line.escape_ascii())?;
        }
        Ok(())
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_taken_only_when_it_is_whole() {
        let mut input = b"211-Features\r\n211 is not the end".to_vec();
        assert_eq!(Reply::take(&mut input), None);
        input = b"211-Features\r\n PBSZ\r\n211 End\r\n200 next\r\n".to_vec();
        let reply = Reply::take(&mut input).unwrap();
        assert_eq!((reply.code, reply.lines.len()), (211, 3));
        assert!(reply.has_line("PBSZ"));
        assert_eq!(Reply::take(&mut input).unwrap().code, 200);
        assert!(input.is_empty());
    }

    #[test]
    fn addresses_are_read_from_passive_replies() {
        let reply = Reply::take(&mut b"227 Entering (127,0,0,1,4,1).\r\n".to_vec()).unwrap();
        assert_eq!(reply.passive_address(), SocketAddr::from(([127, 0, 0, 1], 1025)));
        let reply = Reply::take(&mut b"229 Extended (|||1025|)\r\n".to_vec()).unwrap();
        assert_eq!(reply.extended_passive_port(), 1025);
    }
}
