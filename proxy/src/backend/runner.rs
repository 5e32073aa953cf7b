//! Carrying out a client's plan at one server: [`ftpsgate_ftp::client`] over sockets and TLS. Health checks and probes are
//! made of this; no client's session is.
//!
//! It does what a session would do: the same addresses, PROXY header, TLS profile and timeouts. What it saw is kept as
//! it comes, so that a visit that fails, or is cut short, still tells what worked.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ftpsgate_ftp::client::{Action, Client, Failure, Fault, Stage};
use ftpsgate_ftp::codec::{Protection, Reply, Verb};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::{Backend, Server, dial_data};
use crate::config::BackendTlsMode;
use crate::data::Leg;
use crate::proxy_protocol::{Version, write_header};
use crate::tls::{BackendProfileError, HandshakeError, UpstreamControl, UpstreamDataError, UpstreamTls};

/// What a visit has shown so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// The address that answered, and how long it took to connect.
    pub reached: Option<(SocketAddr, Duration)>,
    /// Of the control connection.
    pub tls: Option<UpstreamControl>,
    /// The 220.
    pub greeting: Option<Reply>,
    /// The answer to FEAT.
    pub features: Option<Reply>,
    /// The user was let in.
    pub is_logged_in: bool,
    /// What was answered with a port last: EPSV or PASV.
    pub opened_by: Option<Verb>,
    /// Data connections that came to their end.
    pub data: Vec<DataSeen>,
}

impl Seen {
    /// What opens data connections, as far as that is known: EPSV is tried first.
    pub fn opened_by(&self) -> Verb {
        self.opened_by.unwrap_or(Verb::Epsv)
    }
}

/// One data connection that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSeen {
    /// What opened it: EPSV or PASV.
    pub opened_by: Verb,
    /// Bytes that came.
    pub bytes: u64,
    /// Whether its TLS resumed the control connection's session; `None`: there was no TLS.
    pub is_resumed: Option<bool>,
}

/// Why a visit came to nothing.
#[derive(Debug)]
pub struct VisitError {
    /// Where it stood; `None`: before the greeting was waited for.
    pub stage: Option<Stage>,
    /// What happened.
    pub cause: VisitCause,
}

/// What ended a visit.
#[derive(Debug, thiserror::Error)]
pub enum VisitCause {
    /// No connection.
    #[error("connect: {0}")]
    Connect(#[source] io::Error),
    /// The PROXY header could not be written.
    #[error("PROXY header: {0}")]
    ProxyHeader(#[source] io::Error),
    /// There is no name that a certificate could be for.
    #[error(transparent)]
    Name(#[from] BackendProfileError),
    /// No TLS on the control connection.
    #[error("TLS: {0}")]
    Handshake(#[from] HandshakeError),
    /// The server's data port cannot be reached.
    #[error("data connection to port {port}: {error}")]
    DataPort {
        /// Which the server had named.
        port: u16,
        /// Why.
        error: io::Error,
    },
    /// No TLS on the data connection.
    #[error("TLS of the data connection: {0}")]
    DataHandshake(#[from] UpstreamDataError),
    /// The data connection broke, ended without close_notify, or has no end.
    #[error("data connection: {0}")]
    Data(#[source] io::Error),
    /// The server did not do what the plan wanted.
    #[error("{0}")]
    Refused(#[from] Failure),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
}

impl fmt::Display for VisitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.cause, self.stage) {
            (VisitCause::TimedOut, Some(stage)) => write!(formatter, "{stage}: {}", self.cause),
            (cause, _) => write!(formatter, "{cause}"),
        }
    }
}

impl std::error::Error for VisitError {}

/// Visits a server. Connecting, implicit TLS and the 220 take `connect_timeout` at most, everything behind that
/// `reply_timeout`. May be cancelled.
///
/// # Errors
///
/// The first thing that did not work.
pub async fn visit(
    backend: &Backend,
    server: &Server,
    client: Client,
    seen: &mut Seen,
) -> Result<(), VisitError> {
    let config = backend.config();
    let mut visit = Visit {
        backend,
        client,
        control: Control::Gone,
        peer: None,
        tls: None,
        data: None,
        seen,
        cause: None,
    };
    let began = Instant::now();
    let greeted = timeout_at(began + config.connect_timeout, visit.begin(server)).await;
    match greeted {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => return Err(VisitError { stage: None, cause }),
        Err(_) => {
            let stage = visit.peer.map(|_| visit.client.stage());
            return Err(VisitError { stage, cause: VisitCause::TimedOut });
        }
    }
    let outcome = timeout_at(Instant::now() + config.reply_timeout, visit.run(|_| false)).await;
    let stage = Some(visit.client.stage());
    match outcome {
        Ok(result) => result.map_err(|cause| VisitError { stage, cause }),
        Err(_) => Err(VisitError { stage, cause: VisitCause::TimedOut }),
    }
}

/// Connects to a server, and that is all.
///
/// # Errors
///
/// It cannot be reached.
pub async fn knock(backend: &Backend, server: &Server, seen: &mut Seen) -> Result<(), VisitError> {
    let began = Instant::now();
    let dialled = backend.dial(server).await.and_then(|stream| stream.peer_addr());
    match dialled {
        Ok(peer) => {
            seen.reached = Some((peer, began.elapsed()));
            Ok(())
        }
        Err(error) => Err(VisitError { stage: None, cause: VisitCause::Connect(error) }),
    }
}

struct Visit<'a> {
    backend: &'a Backend,
    client: Client,
    control: Control,
    /// Both ends of the control connection.
    peer: Option<(SocketAddr, SocketAddr)>,
    tls: Option<UpstreamTls>,
    data: Option<TcpStream>,
    seen: &'a mut Seen,
    /// What is behind the last fault.
    cause: Option<VisitCause>,
}

enum Control {
    Gone,
    Clear(TcpStream),
    Private(Box<TlsStream<TcpStream>>),
}

impl Visit<'_> {
    /// Up to the greeting.
    async fn begin(&mut self, server: &Server) -> Result<(), VisitCause> {
        let began = Instant::now();
        let mut stream = self.backend.dial(server).await.map_err(VisitCause::Connect)?;
        let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
        let (local, peer) = ends.map_err(VisitCause::Connect)?;
        self.peer = Some((local, peer));
        self.seen.reached = Some((peer, began.elapsed()));
        if let Some(version) = Version::of_control(self.backend.config().proxy_protocol) {
            // Nobody else is behind this connection: its own ends.
            write_header(&mut stream, version, local, peer).await.map_err(VisitCause::ProxyHeader)?;
        }
        self.control = Control::Clear(stream);
        if let Some(profile) = self.backend.tls() {
            self.tls = Some(profile.session(&server.address().host)?);
        }
        let mode = self.backend.config().tls.as_ref().map(|tls| tls.mode);
        if mode == Some(BackendTlsMode::Implicit) {
            self.secure().await?;
        }
        self.run(|stage| stage != Stage::Greeting).await
    }

    /// Until the plan is done, or stands where it may rest.
    async fn run(&mut self, may_rest: impl Fn(Stage) -> bool) -> Result<(), VisitCause> {
        let mut buffer = [0; CONTROL_BYTES];
        loop {
            if may_rest(self.client.stage()) {
                return Ok(());
            }
            while let Some(action) = self.client.poll_action() {
                match action {
                    Action::Done(Ok(())) => return Ok(()),
                    Action::Done(Err(failure)) => {
                        return Err(self.cause.take().unwrap_or(VisitCause::Refused(failure)));
                    }
                    action => self.perform(action).await,
                }
            }
            match self.control.read(&mut buffer).await {
                Ok(0) | Err(_) => self.client.handle_fault(Fault::ControlClosed),
                Ok(count) => self.client.handle_bytes(&buffer[..count]),
            }
        }
    }

    async fn perform(&mut self, action: Action) {
        match action {
            Action::Send(command) => {
                if self.control.write(&command.encode()).await.is_err() {
                    self.client.handle_fault(Fault::ControlClosed);
                }
            }
            Action::SecureControl => match self.secure().await {
                Ok(()) => self.client.handle_secured(),
                Err(cause) => self.fault(Fault::HandshakeFailed, cause),
            },
            Action::OpenData { port } => match self.open_data(port).await {
                Ok(stream) => {
                    self.data = Some(stream);
                    self.client.handle_data_opened();
                }
                Err(error) => self.fault(Fault::DataRefused, VisitCause::DataPort { port, error }),
            },
            Action::ReceiveData(protection) => match self.receive(protection).await {
                Ok(()) => self.client.handle_data_finished(),
                Err(cause) => self.fault(Fault::DataBroken, cause),
            },
            // No check and no probe writes to a server.
            Action::SendData(_) => self.client.handle_fault(Fault::DataBroken),
            Action::Answered(stage, reply) => self.remember(stage, reply),
            Action::Done(_) => {}
        }
    }

    fn fault(&mut self, fault: Fault, cause: VisitCause) {
        self.cause = Some(cause);
        self.client.handle_fault(fault);
    }

    fn remember(&mut self, stage: Stage, reply: Reply) {
        match stage {
            Stage::Greeting => self.seen.greeting = Some(reply),
            Stage::Command(Verb::Feat) => self.seen.features = Some(reply),
            Stage::Command(Verb::User | Verb::Pass | Verb::Acct) => self.seen.is_logged_in = true,
            Stage::Command(verb @ (Verb::Epsv | Verb::Pasv)) => self.seen.opened_by = Some(verb),
            Stage::Command(_) | Stage::Handshake | Stage::DataConnection { .. } | Stage::End => {}
        }
    }

    async fn secure(&mut self) -> Result<(), VisitCause> {
        let not_there = || HandshakeError::Io(io::ErrorKind::NotConnected.into());
        let Control::Clear(stream) = std::mem::replace(&mut self.control, Control::Gone) else {
            return Err(not_there().into());
        };
        let tls = self.tls.as_ref().ok_or_else(not_there)?;
        let (stream, agreed) = tls.connect_control(stream, self.backend.config().connect_timeout).await?;
        self.control = Control::Private(Box::new(stream));
        self.seen.tls = Some(agreed);
        Ok(())
    }

    async fn open_data(&mut self, port: u16) -> io::Result<TcpStream> {
        let (local, peer) = self.peer.ok_or(io::ErrorKind::NotConnected)?;
        let config = self.backend.config();
        let to = SocketAddr::new(peer.ip(), port);
        let mut stream = dial_data(to, local.ip(), config.connect_timeout).await?;
        if let Some(version) = Version::of_data(config.proxy_protocol) {
            let own = stream.local_addr()?;
            write_header(&mut stream, version, own, to).await?;
        }
        Ok(stream)
    }

    async fn receive(&mut self, protection: Protection) -> Result<(), VisitCause> {
        let not_there = || VisitCause::Data(io::ErrorKind::NotConnected.into());
        let stream = self.data.take().ok_or_else(not_there)?;
        let (mut leg, is_resumed) = match protection {
            Protection::Clear => (Leg::plain(stream), None),
            Protection::Private => {
                let tls = self.tls.as_ref().ok_or_else(not_there)?;
                let patience = self.backend.config().connect_timeout;
                let (stream, connection, agreed) = tls.connect_data(stream, patience).await?;
                (Leg::towards_server(stream, connection, agreed.peer), Some(agreed.resumed))
            }
        };
        let bytes = leg.count_to_end(DATA_BYTES_MAX).await.map_err(VisitCause::Data)?;
        self.seen.data.push(DataSeen { opened_by: self.seen.opened_by(), bytes, is_resumed });
        // Servers withhold their 226 until they have our end.
        match leg.finish(self.backend.config().connect_timeout).await {
            Ok(lingering) => lingering.detach(),
            Err(error) => tracing::debug!(%error, "the server did not take the end of its listing"),
        }
        Ok(())
    }
}

impl Control {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gone => Ok(0),
            Self::Clear(stream) => stream.read(buffer).await,
            Self::Private(stream) => stream.read(buffer).await,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
            Self::Clear(stream) => stream.write_all(bytes).await,
            Self::Private(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }
}

const CONTROL_BYTES: usize = 4096;
/// Of one listing. A directory that lists longer than this is none to check.
const DATA_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;
