//! Sockets for data connections: shared passive ports ([`passive`]), one connection and its protection ([`Leg`]),
//! and the relay that moves a transfer's bytes from one leg to the other ([`relay`]).
//!
//! Nothing here speaks FTP: the session decides when a transfer begins, what its end means and which reply is due.
//! What this module guarantees is that no end is made to look clean that was not (PROTOCOL.md, "Ends of transfers").

use std::fmt;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

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

/// Gives a data socket, accepted or dialled, the options that all of them have.
///
/// Nagle's algorithm costs some peers 44 ms a file; a peer that vanished is noticed within a minute.
pub fn prepare_socket(tcp: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);
