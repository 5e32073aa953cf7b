//! A socket, plain or under TLS, that can be ended in every way there is.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, HandshakeKind};
use socket2::{Domain, SockRef, Socket, Type};

use super::TlsSetup;
use crate::gateway::PATIENCE;

/// A connection of the test's own side.
pub struct ClientStream {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// Connects, from a chosen address of this machine if one is given.
///
/// # Panics
///
/// If the peer does not accept.
pub fn connect_from(source: Option<IpAddr>, address: SocketAddr) -> TcpStream {
    try_connect_from(source, address).expect("the peer accepts")
}

/// Connects to a peer that may not like that.
pub(crate) fn try_connect_from(source: Option<IpAddr>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&address.into(), PATIENCE)?;
    let tcp = TcpStream::from(socket);
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    Ok(tcp)
}

impl ClientStream {
    /// Without TLS, so far.
    pub fn plain(tcp: TcpStream) -> Self {
        Self { tcp, tls: None }
    }

    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Performs a handshake as TLS client.
    ///
    /// # Errors
    ///
    /// That of the handshake or the socket.
    pub fn start_tls(&mut self, setup: &TlsSetup) -> std::io::Result<()> {
        let mut connection = Box::new(setup.connection());
        while connection.is_handshaking() {
            connection.complete_io(&mut self.tcp)?;
        }
        self.tls = Some(connection);
        Ok(())
    }

    /// Performs a handshake as TLS client, and sends `bytes` together with the last message of it.
    ///
    /// # Errors
    ///
    /// That of the handshake or the socket.
    pub fn start_tls_saying(&mut self, setup: &TlsSetup, bytes: &[u8]) -> std::io::Result<()> {
        let mut connection = Box::new(setup.connection());
        while connection.is_handshaking() {
            while connection.wants_write() {
                connection.write_tls(&mut self.tcp)?;
            }
            connection.read_tls(&mut self.tcp)?;
            connection.process_new_packets().map_err(std::io::Error::other)?;
        }
        connection.writer().write_all(bytes)?;
        let mut flight = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut flight)?;
        }
        self.tcp.write_all(&flight)?;
        self.tls = Some(connection);
        Ok(())
    }

    /// Full or resumed.
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.tls.as_ref()?.handshake_kind()
    }

    /// Whether TLS is up.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// close_notify under TLS, then FIN.
    pub fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            while tls.wants_write() && tls.write_tls(&mut self.tcp).is_ok() {}
        }
        self.cut();
    }

    /// FIN alone.
    pub fn cut(&mut self) {
        // It fails only where the peer has gone first.
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// RST.
    pub fn reset(self) {
        SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).expect("a TCP socket lingers");
    }

    /// Whether nothing can be read for `moment`.
    pub fn is_silent_for(&mut self, moment: Duration) -> bool {
        self.tcp.set_read_timeout(Some(moment)).expect("not zero");
        let silent = match self.tcp.peek(&mut [0]) {
            Ok(_) => false,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        self.tcp.set_read_timeout(Some(PATIENCE)).expect("not zero");
        silent
    }
}

impl Read for ClientStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.tcp).read(buffer),
            None => self.tcp.read(buffer),
        }
    }
}

impl Write for ClientStream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.tcp).write(bytes),
            None => self.tcp.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.tcp).flush(),
            None => self.tcp.flush(),
        }
    }
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientStream").field("tcp", &self.tcp).field("tls", &self.is_tls()).finish()
    }
}
