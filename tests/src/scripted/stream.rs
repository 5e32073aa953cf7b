//! A connection of a scripted server, plain or under TLS.

use std::fmt;
use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use socket2::SockRef;

/// A connection on which the server is TLS server, whoever dialled.
pub(super) struct ServerStream {
    pub(super) tcp: Arc<TcpStream>,
    pub(super) tls: Option<Box<ServerConnection>>,
}

impl ServerStream {
    pub(super) fn plain(tcp: Arc<TcpStream>) -> Self {
        Self { tcp, tls: None }
    }

    /// Performs a handshake; whether it resumed a session.
    pub(super) fn start_tls(&mut self, config: Arc<ServerConfig>) -> Result<bool> {
        let mut connection = Box::new(ServerConnection::new(config).map_err(std::io::Error::other)?);
        while connection.is_handshaking() {
            connection.complete_io(&mut &*self.tcp)?;
        }
        // Tickets are a flight of their own.
        while connection.wants_write() {
            connection.write_tls(&mut &*self.tcp)?;
        }
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        self.tls = Some(connection);
        Ok(resumed)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// close_notify under TLS.
    pub(super) fn send_close_notify(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            while tls.wants_write() && tls.write_tls(&mut &*self.tcp).is_ok() {}
        }
    }

    /// FIN.
    pub(super) fn cut(&self) {
        // It fails only where the gateway has gone first.
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// RST, once the last handle is dropped.
    pub(super) fn reset(&self) {
        SockRef::from(&*self.tcp).set_linger(Some(Duration::ZERO)).expect("a TCP socket lingers");
    }
}

impl Read for ServerStream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut &*self.tcp).read(buffer),
            None => (&*self.tcp).read(buffer),
        }
    }
}

impl Write for ServerStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut &*self.tcp).write(bytes),
            None => (&*self.tcp).write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut &*self.tcp).flush(),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ServerStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServerStream").field("tcp", &self.tcp).field("tls", &self.is_tls()).finish()
    }
}
