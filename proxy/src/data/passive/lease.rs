//! A session's hold on a port, and the connection that comes of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::plan::PortKey;
use super::port::Ending;
use super::registry::Shared;
use crate::socket;

/// A port on which one session's client, or its server, is expected. Dropping it ends the expectation.
pub struct Lease {
    pub(super) shared: Arc<Shared>,
    pub(super) key: PortKey,
    pub(super) id: u64,
    pub(super) until: Instant,
    /// None once it has given its connection, or ended.
    pub(super) arrival: Option<oneshot::Receiver<DataSocket>>,
}

impl Lease {
    /// The port to name in the 227 or 229, or in PORT or EPRT.
    pub fn port(&self) -> u16 {
        self.key.port
    }

    /// Waits for the connection. A connection that came earlier was kept.
    ///
    /// Cancel-safe: a connection that arrives while nobody waits is kept for the next call.
    pub async fn connected(&mut self) -> Result<DataSocket, LeaseEnded> {
        let Some(arrival) = &mut self.arrival else { return Err(LeaseEnded::Over) };
        let arrived = timeout_at(self.until, arrival).await;
        self.arrival = None;
        match arrived {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(_)) => Err(LeaseEnded::Over),
            Err(_) => {
                self.shared.release(self.key, self.id, Ending::Unmet);
                Err(LeaseEnded::Expired)
            }
        }
    }

    /// Ends the expectation of a peer that has said that it will not connect, as a server does that refuses the
    /// transfer before it dialled: the port need not rest.
    pub fn withdraw(self) {
        self.shared.release(self.key, self.id, Ending::Withdrawn);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.release(self.key, self.id, Ending::Unmet);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lease").field("port", &self.key.port).finish_non_exhaustive()
    }
}

/// A data connection whose peer is one that the session expected. Only the registry makes one.
#[derive(Debug)]
pub struct DataSocket {
    tcp: TcpStream,
    peer: SocketAddr,
}

impl DataSocket {
    /// `peer` was found among the expected ones.
    pub(super) fn new(tcp: TcpStream, peer: SocketAddr) -> Self {
        Self { tcp, peer }
    }

    /// The peer's address, IPv4-mapped ones as IPv4; that of the client where a balancer dialled for it.
    pub fn peer(&self) -> IpAddr {
        self.peer.ip()
    }

    /// The connection ends by RST if it is dropped.
    pub fn reset_on_drop(&self) {
        socket::reset_on_drop(&self.tcp, true);
    }

    /// The connection itself.
    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }
}

/// Why a lease brings no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaseEnded {
    /// Nobody who was expected connected in time.
    #[error("the data connection was not opened in time")]
    Expired,
    /// The lease has given its connection already, or the registry is gone.
    #[error("no connection is expected any more")]
    Over,
}

/// Why there is no port for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPort {
    /// All are taken, or rest, for this peer.
    #[error("no passive port is free")]
    Busy,
    /// The listener or backend has none in the family of the control connection.
    #[error("no passive port listens in this address family")]
    Unavailable,
}
