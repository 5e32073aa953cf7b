//! Why a plan was not carried out: where it stood, and what happened there. The text is what an operator reads.

use std::fmt;

use crate::codec::{Reply, ReplyError, Verb};

/// A plan that ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {cause}")]
pub struct Failure {
    /// Where it stood.
    pub stage: Stage,
    /// What happened.
    pub cause: Cause,
}

/// What a client was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The 220.
    Greeting,
    /// The answer to a command; of a transfer, up to its last reply.
    Command(Verb),
    /// The TLS handshake after a 234.
    Handshake,
    /// A data connection to this port of the server.
    DataConnection {
        /// From the server's 229 or 227.
        port: u16,
    },
    /// Nothing: the plan was done.
    End,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greeting => formatter.write_str("greeting"),
            Self::Command(verb) => formatter.write_str(verb.name()),
            Self::Handshake => formatter.write_str("TLS handshake"),
            Self::DataConnection { port } => write!(formatter, "data connection to port {port}"),
            Self::End => formatter.write_str("end"),
        }
    }
}

/// What ended a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A 4yz or 5yz, or a 421 at any time.
    #[error("refused with \"{}\"", Text(.0))]
    Refused(Reply),
    /// A reply that has no meaning here.
    #[error("unexpected \"{}\"", Text(.0))]
    Unexpected(Reply),
    /// The server asks for an account (332) and the login has none.
    #[error("an account is wanted")]
    AccountWanted,
    /// A 229 or 227 without a port that may be dialled: 1024 or higher.
    #[error("no usable port in \"{}\"", Text(.0))]
    NoPort(Reply),
    /// Bytes that are no reply.
    #[error("{0}")]
    Malformed(#[from] ReplyError),
    /// More bytes where the server had nothing more to say: behind a 234 they may be injected (RFC 4217 §15), behind
    /// another reply every later answer would be taken for the wrong question's.
    #[error("bytes behind the reply")]
    Desynchronised,
    /// Preliminary replies without end.
    #[error("more than {PRELIMINARY_REPLIES_MAX} preliminary replies")]
    TooManyPreliminaries,
    /// What the driver met.
    #[error("{0}")]
    Fault(Fault),
}

/// What only the driver can see. It is told to the client, so that there is one [`Failure`] with the right stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The control connection ended, or broke.
    #[error("control connection closed")]
    ControlClosed,
    /// The handshake on the control connection failed.
    #[error("handshake failed")]
    HandshakeFailed,
    /// The data connection was refused, or its handshake failed.
    #[error("could not be opened")]
    DataRefused,
    /// The data connection broke before its end.
    #[error("data connection broke")]
    DataBroken,
    /// The driver's patience ended.
    #[error("timed out")]
    TimedOut,
}

/// 1yz replies to one command. RFC 959 §4.2 wants one.
pub(super) const PRELIMINARY_REPLIES_MAX: u8 = 16;

/// The last line of a reply: what a person would quote.
struct Text<'a>(&'a Reply);

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.0.last_text()[..self.0.last_text().len().min(TEXT_BYTES_MAX)];
        write!(formatter, "{} {}", self.0.code(), text.escape_ascii())
    }
}

/// Of a server's text in an error.
const TEXT_BYTES_MAX: usize = 200;
