//! What goes wrong on a leg.

use std::io;

/// Why bytes cannot be moved on a leg.
#[derive(Debug, thiserror::Error)]
pub enum LegError {
    /// The socket failed, or the peer reset the connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer sent a fatal alert, or broke the protocol.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl LegError {
    /// Whether the peer reset the connection.
    pub fn is_reset(&self) -> bool {
        match self {
            Self::Io(error) => {
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted)
            }
            Self::Tls(_) => false,
        }
    }
}

/// Why a clean end could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The peer takes nothing any more.
    #[error("peer does not take the end of the stream")]
    Stalled,
    /// The connection is gone.
    #[error(transparent)]
    Leg(#[from] LegError),
}
