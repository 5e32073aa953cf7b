//! One data connection of the raw client.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use rustls::HandshakeKind;

use super::stream::{ClientStream, connect_from, try_connect_from};
use super::tls::TlsSetup;
use crate::gateway::PATIENCE;

/// A data connection that the test opened.
#[derive(Debug)]
pub struct DataConnection {
    stream: ClientStream,
}

/// How the peer ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// TLS close_notify.
    CloseNotify,
    /// FIN; under TLS that is a truncation.
    Fin,
    /// RST, or a fatal TLS alert.
    Reset,
}

impl DataConnection {
    /// Connects without TLS.
    pub fn connect(address: SocketAddr) -> Self {
        Self { stream: ClientStream::plain(connect_from(None, address)) }
    }

    /// A connection that the gateway made.
    pub(super) fn over(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).expect("a TCP socket");
        tcp.set_read_timeout(Some(PATIENCE)).expect("not zero");
        tcp.set_write_timeout(Some(PATIENCE)).expect("not zero");
        Self { stream: ClientStream::plain(tcp) }
    }

    /// The gateway's address.
    ///
    /// # Panics
    ///
    /// If the connection is gone.
    pub fn peer(&self) -> SocketAddr {
        self.stream.tcp().peer_addr().expect("connected")
    }

    /// Connects from a chosen address of this machine, such as 127.0.0.2.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        Self { stream: ClientStream::plain(connect_from(Some(source), address)) }
    }

    /// What somebody gets, from this or a chosen address of this machine, who connects where nobody expects it. Such a
    /// connection may be reset before the system call that makes it returns.
    ///
    /// # Panics
    ///
    /// If it cannot be made for another reason, or does not end.
    pub fn steal(source: Option<IpAddr>, address: SocketAddr) -> Vec<u8> {
        match try_connect_from(source, address) {
            Ok(tcp) => Self { stream: ClientStream::plain(tcp) }.read_to_end().0,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Vec::new(),
            Err(error) => panic!("the port is closed: {error}"),
        }
    }

    /// The handshake.
    ///
    /// # Errors
    ///
    /// That of the handshake or the socket.
    pub fn start_tls(&mut self, setup: &TlsSetup) -> std::io::Result<()> {
        self.stream.start_tls(setup)
    }

    /// Whether the handshake resumed a session.
    pub fn is_resumed(&self) -> bool {
        self.stream.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Sends.
    ///
    /// # Panics
    ///
    /// If the gateway does not take it.
    pub fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).expect("the gateway takes what is sent");
    }

    /// Sends to a peer that may be gone.
    ///
    /// # Errors
    ///
    /// That of the socket.
    pub fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends every byte in a segment (and TLS record) of its own.
    pub fn write_slowly(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write(&[*byte]);
        }
    }

    /// Receives exactly this much.
    ///
    /// # Panics
    ///
    /// If less comes.
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut content = vec![0; count];
        self.stream.read_exact(&mut content).expect("so much comes");
        content
    }

    /// Receives everything, and how it ended.
    ///
    /// # Panics
    ///
    /// If it does not end in time.
    pub fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let mut content = Vec::new();
        let end = match self.stream.read_to_end(&mut content) {
            Ok(_) if self.stream.is_tls() => End::CloseNotify,
            Ok(_) => End::Fin,
            Err(error) => match error.kind() {
                ErrorKind::UnexpectedEof => End::Fin,
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                    panic!("the data connection did not end within {PATIENCE:?}")
                }
                _ => End::Reset,
            },
        };
        (content, end)
    }

    /// Ends as the RFC says: close_notify under TLS, FIN, then reads until the peer has ended, too.
    pub fn finish(mut self) -> End {
        self.stream.finish();
        self.read_to_end().1
    }

    /// Ends with a FIN and without close_notify; then reads until the peer has ended.
    pub fn cut(mut self) -> End {
        self.stream.cut();
        self.read_to_end().1
    }

    /// close_notify and an immediate close, as of a client that never reads what is left.
    pub fn finish_hastily(mut self) {
        self.stream.finish();
    }

    /// RST.
    pub fn reset(self) {
        self.stream.reset();
    }
}
