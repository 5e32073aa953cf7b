//! A handshake driven by hand, in either role, for connections whose bytes the relay will move itself.
//!
//! How a handshake fails matters on data connections: a client that closes before it has said a word, or half-way
//! through, may mean an empty upload, so those ends are told apart. Plaintext that came with the
//! peer's Finished stays inside the connection; whoever takes it reads that first.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use ftpsgate_certs::Refusal;
use rustix::net::sockopt::set_tcp_quickack;
use rustls::{ConnectionCommon, ProtocolVersion, SideData};
use tokio::net::TcpStream;

use super::PendingIo;

/// Why a TLS handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer closed the connection before its first byte.
    #[error("peer closed the connection before the TLS handshake began")]
    ClosedBefore,
    /// The peer closed the connection after some bytes.
    #[error("peer closed the connection during the TLS handshake")]
    ClosedDuring,
    /// The peer reset the connection: what it may have sent before is lost.
    #[error("peer reset the connection during the TLS handshake")]
    Reset,
    /// The peer sent an alert, or something that is not the TLS that we speak.
    #[error("TLS handshake failed: {}", reason(.0))]
    Tls(#[from] rustls::Error),
    /// The handshake took longer than it may.
    #[error("TLS handshake timed out")]
    Deadline,
    /// The socket failed on this machine.
    #[error("socket failed during the TLS handshake: {0}")]
    Io(#[source] io::Error),
}

/// Why a server's certificate is not believed has words for operators, which rustls would show as a debug form.
fn reason(error: &rustls::Error) -> &dyn fmt::Display {
    match Refusal::within(error) {
        Some(refusal) => refusal,
        None => error,
    }
}

impl HandshakeError {
    /// Sorts a socket's error by whether the peer had sent `received` anything yet.
    pub(super) fn from_socket(error: io::Error, received: bool) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof if received => Self::ClosedDuring,
            io::ErrorKind::UnexpectedEof => Self::ClosedBefore,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Self::Reset
            }
            _ => Self::Io(error),
        }
    }
}

/// Which part we play in a handshake; rustls knows and does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// Shakes hands until application data may flow.
///
/// Everything of ours that the peer waits for is written then. A server's tickets of TLS 1.3 may still be inside the
/// connection, to travel with the first data: a packet and a wake-up of the client less.
pub(super) async fn drive_handshake<S: SideData>(
    tcp: &mut TcpStream,
    connection: &mut ConnectionCommon<S>,
    role: Role,
) -> Result<(), HandshakeError> {
    let mut received = false;
    poll_fn(|context| poll_handshake(tcp, connection, role, &mut received, context)).await
}

/// A peer that has not turned Nagle's algorithm off (lftp) holds its Finished back until the segment before it is
/// acknowledged: a delayed acknowledgement would cost it 40 ms a file. The kernel forgets the wish whenever we send.
fn acknowledge_now(tcp: &TcpStream) {
    if let Err(error) = set_tcp_quickack(tcp, true) {
        tracing::debug!(%error, "quick acknowledgement");
    }
}

fn poll_handshake<S: SideData>(
    tcp: &mut TcpStream,
    connection: &mut ConnectionCommon<S>,
    role: Role,
    received: &mut bool,
    context: &mut Context<'_>,
) -> Poll<Result<(), HandshakeError>> {
    let mut io = PendingIo::new(tcp, context);
    loop {
        if has_only_tickets_left(connection, role) {
            return Poll::Ready(Ok(()));
        }
        let mut blocked = false;
        while connection.wants_write() {
            match connection.write_tls(&mut io) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    blocked = true;
                    break;
                }
                Err(error) => return Poll::Ready(Err(HandshakeError::from_socket(error, *received))),
            }
        }
        if !connection.is_handshaking() {
            return if blocked { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        match connection.read_tls(&mut io) {
            Ok(0) => {
                let end = io::ErrorKind::UnexpectedEof.into();
                return Poll::Ready(Err(HandshakeError::from_socket(end, *received)));
            }
            Ok(_) => *received = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                acknowledge_now(tcp);
                return Poll::Pending;
            }
            Err(error) => return Poll::Ready(Err(HandshakeError::from_socket(error, *received))),
        }
        if let Err(error) = connection.process_new_packets() {
            // The alert that names the reason, if the socket takes it now; the failure itself is already known.
            let _ = connection.write_tls(&mut io);
            return Poll::Ready(Err(HandshakeError::Tls(error)));
        }
    }
}

/// A TLS 1.3 server has said its Finished before the client's. On TLS 1.2 it may be the other way round.
fn has_only_tickets_left<S>(connection: &ConnectionCommon<S>, role: Role) -> bool {
    match role {
        Role::Client => false,
        Role::Server => {
            !connection.is_handshaking() && connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
        }
    }
}
