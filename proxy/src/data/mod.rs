//! Sockets for data connections: shared passive ports ([`passive`]), dialling clients that listen ([`active`]), one
//! connection and its protection ([`Leg`]), and the relay that moves a transfer's bytes from one leg to the other
//! ([`relay`]).
//!
//! Nothing here speaks FTP: the session decides when a transfer begins, what its end means and which reply is due.
//! What this module guarantees is that no end is made to look clean that was not.

use std::fmt;

pub mod active;
mod leg;
pub mod passive;
pub mod relay;

pub use leg::{FinishError, Leg, LegError, Lingering};

/// Which of a session's two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client.
    Downstream,
    /// The backend's server.
    Upstream,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
        })
    }
}
