//! What was wrong with a server before it was of use, in words for records. It decides nothing but whether other
//! sessions would have met the same.

use std::fmt;

use crate::codec::Reply;

use super::event::{UpstreamFailure, Violation};

/// Why a server could not be used, as far as the session knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamFault {
    /// The driver's word; what was in the way it has said itself.
    NotReached(UpstreamFailure),
    /// There was no connection in time.
    NoConnection,
    /// It was reached, and said nothing in time.
    NoGreeting,
    /// It began with a reply that sends clients away.
    BadGreeting {
        /// Of the reply.
        code: u16,
        /// Of its first line, shortened. Nobody had told the server a secret.
        text: Vec<u8>,
    },
    /// AUTH TLS was answered with this code.
    AuthRefused(u16),
    /// The handshake after the 234 failed; why the driver has said.
    TlsFailed,
    /// PROT P was answered with this code, before anybody logged in.
    ProtRefused(u16),
    /// PROT P was answered with this code, after a login that was accepted.
    ProtRefusedAfterLogin(u16),
    /// It said 421 after its greeting.
    Goodbye,
    /// It closed the connection, or that broke.
    Closed,
    /// It did not answer in time.
    Timeout,
    /// It broke a rule that nobody can go on after.
    Violation(Violation),
}

impl UpstreamFault {
    pub(super) fn bad_greeting(reply: &Reply) -> Self {
        let text = reply.text();
        let text = text[..text.len().min(TEXT_BYTES_MAX)].to_vec();
        Self::BadGreeting { code: reply.code().value(), text }
    }

    /// The word in records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotReached(UpstreamFailure::Unreachable) => "unreachable",
            Self::NotReached(UpstreamFailure::NoServer) => "no_server",
            Self::NotReached(UpstreamFailure::Full) => "full",
            Self::NoConnection => "no_connection",
            Self::NoGreeting => "no_greeting",
            Self::BadGreeting { .. } => "bad_greeting",
            Self::AuthRefused(_) => "auth_refused",
            Self::TlsFailed => "tls_failed",
            Self::ProtRefused(_) => "prot_refused",
            Self::ProtRefusedAfterLogin(_) => "prot_refused_after_login",
            Self::Goodbye => "goodbye",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Violation(_) => "violation",
        }
    }

    /// Whether it is the server's, whoever comes; else it may be this user's alone, or nobody's.
    pub fn concerns_all_users(&self) -> bool {
        match self {
            Self::NotReached(UpstreamFailure::NoServer | UpstreamFailure::Full)
            | Self::ProtRefusedAfterLogin(_) => false,
            Self::NotReached(UpstreamFailure::Unreachable)
            | Self::NoConnection
            | Self::NoGreeting
            | Self::BadGreeting { .. }
            | Self::AuthRefused(_)
            | Self::TlsFailed
            | Self::ProtRefused(_)
            | Self::Goodbye
            | Self::Closed
            | Self::Timeout
            | Self::Violation(_) => true,
        }
    }

    /// How to go on.
    pub(super) fn failure(&self) -> UpstreamFailure {
        match self {
            Self::NotReached(failure) => *failure,
            Self::NoConnection
            | Self::NoGreeting
            | Self::BadGreeting { .. }
            | Self::AuthRefused(_)
            | Self::TlsFailed
            | Self::ProtRefused(_)
            | Self::ProtRefusedAfterLogin(_)
            | Self::Goodbye
            | Self::Closed
            | Self::Timeout
            | Self::Violation(_) => UpstreamFailure::Unreachable,
        }
    }
}

/// A sentence about the server, without its name; one line, whatever the server said.
impl fmt::Display for UpstreamFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReached(UpstreamFailure::Unreachable) => formatter.write_str("it cannot be reached"),
            Self::NotReached(UpstreamFailure::NoServer) => formatter.write_str("no server is left to try"),
            Self::NotReached(UpstreamFailure::Full) => formatter.write_str("all servers are full"),
            Self::NoConnection => formatter.write_str("there was no connection to it in time"),
            Self::NoGreeting => formatter.write_str("it did not greet in time"),
            Self::BadGreeting { code, text } => {
                write!(formatter, "its greeting was {code} \"{}\"", text.escape_ascii())
            }
            Self::AuthRefused(code) => write!(formatter, "it refuses AUTH TLS with {code}"),
            Self::TlsFailed => formatter.write_str("the TLS handshake with it failed"),
            Self::ProtRefused(code) => write!(formatter, "it refuses PROT P with {code}"),
            Self::ProtRefusedAfterLogin(code) => {
                write!(formatter, "it refuses PROT P after login, with {code}")
            }
            Self::Goodbye => formatter.write_str("it said 421"),
            Self::Closed => formatter.write_str("it closed the connection"),
            Self::Timeout => formatter.write_str("it did not answer in time"),
            Self::Violation(violation) => {
                write!(formatter, "it does not follow the protocol ({})", violation.name())
            }
        }
    }
}

/// Of a greeting: as much as tells an operator why, and no more of a peer's text than that.
const TEXT_BYTES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_one_user_does_not_concern_all() {
        assert!(UpstreamFault::ProtRefused(534).concerns_all_users());
        assert!(!UpstreamFault::ProtRefusedAfterLogin(534).concerns_all_users());
        assert!(!UpstreamFault::NotReached(UpstreamFailure::Full).concerns_all_users());
    }

    #[test]
    fn a_greeting_is_shown_in_one_short_line() {
        let greeting = |text: &[u8]| UpstreamFault::bad_greeting(&Reply::new(530, text)).to_string();
        assert_eq!(greeting(b"Not you"), "its greeting was 530 \"Not you\"");
        let lying = UpstreamFault::BadGreeting { code: 530, text: b"\"\xff\n".to_vec() };
        assert_eq!(lying.to_string(), "its greeting was 530 \"\\\"\\xff\\n\"");
        assert_eq!(greeting(&[b'x'; 101]), format!("its greeting was 530 \"{}\"", "x".repeat(100)));
    }
}
