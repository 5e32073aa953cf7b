//! The TLS of one control connection and of all its data connections.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, ServerConnection};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::handshake::{Role, drive_handshake};
use super::resumption::{SameSession, SessionSecret, SessionStore, SessionTickets};
use super::{HandshakeError, Profile};
use crate::config::DataResumption;

/// Belongs to one session, and dies with it: tickets of another session, or of an earlier one, resume nothing here.
///
/// An idle session keeps a ticket key, a secret and its certificate, about 300 bytes; the configurations of data
/// connections are made when the first transfer needs them.
pub struct SessionTls {
    profile: Arc<Profile>,
    certificate: Arc<SessionCertificate>,
    secret: SessionSecret,
    /// None where `data_resumption` is off.
    resumption: Option<Resumption>,
    download: OnceLock<Arc<ServerConfig>>,
    upload: OnceLock<Arc<ServerConfig>>,
}

impl SessionTls {
    /// A session's TLS before its handshake; `certificates` chooses one by the client's SNI, once.
    pub fn new(
        profile: Arc<Profile>,
        certificates: Arc<dyn ResolvesServerCert>,
    ) -> Result<Self, HandshakeError> {
        let resumption = match profile.data_resumption() {
            DataResumption::Off => None,
            DataResumption::Prefer | DataResumption::Require => Some(Resumption {
                tickets: Arc::new(SessionTickets::random()?),
                store: Arc::new(SessionStore::default()),
            }),
        };
        Ok(Self {
            profile,
            certificate: Arc::new(SessionCertificate { certificates, chosen: OnceLock::new() }),
            secret: SessionSecret::random()?,
            resumption,
            download: OnceLock::new(),
            upload: OnceLock::new(),
        })
    }

    /// Shakes hands on the control connection. The future is boxed, so that sessions stay small once it is done.
    pub async fn accept_control(
        &self,
        tcp: TcpStream,
        deadline: Duration,
    ) -> Result<(TlsStream<TcpStream>, ControlTls), HandshakeError> {
        let acceptor = TlsAcceptor::from(Arc::new(self.server_config(CONTROL_TICKETS)));
        let handshake = Box::pin(acceptor.accept_with(tcp, |connection| self.secret.mark(connection)));
        let stream =
            timeout(deadline, handshake).await.map_err(|_| HandshakeError::Deadline)?.map_err(|error| {
                match error.downcast::<rustls::Error>() {
                    Ok(error) => HandshakeError::Tls(error),
                    Err(error) => HandshakeError::from_socket(error, true),
                }
            })?;
        let control = ControlTls::of(stream.get_ref().1);
        Ok((stream, control))
    }

    /// Shakes hands on a data connection, as TLS server whoever dialled (RFC 4217 §7).
    ///
    /// The parts come back separately, because the relay moves the bytes itself. Plaintext that came with the
    /// client's Finished is inside the [`ServerConnection`].
    pub async fn accept_data(
        &self,
        tcp: TcpStream,
        kind: DataKind,
        deadline: Duration,
    ) -> Result<(TcpStream, ServerConnection, DataTls), DataTlsError> {
        let mut connection = ServerConnection::new(self.data_config(kind)).map_err(HandshakeError::Tls)?;
        self.secret.mark(&mut connection);
        let handshake = Box::pin(async {
            let (mut tcp, mut connection) = (tcp, connection);
            drive_handshake(&mut tcp, &mut connection, Role::Server).await.map(|()| (tcp, connection))
        });
        let (tcp, connection) =
            timeout(deadline, handshake).await.map_err(|_| HandshakeError::Deadline)??;
        let same_session = self.secret.prove(&connection);
        if same_session.is_none() && self.profile.data_resumption() == DataResumption::Require {
            return Err(DataTlsError::NotResumed);
        }
        let data = DataTls { same_session, version: version(&connection), suite: suite(&connection) };
        Ok((tcp, connection, data))
    }

    fn data_config(&self, kind: DataKind) -> Arc<ServerConfig> {
        let (config, tickets) = match kind {
            DataKind::Download => (&self.download, DOWNLOAD_TICKETS),
            DataKind::Upload => (&self.upload, UPLOAD_TICKETS),
        };
        Arc::clone(config.get_or_init(|| Arc::new(self.server_config(tickets))))
    }

    fn server_config(&self, tickets: usize) -> ServerConfig {
        let mut config =
            self.profile.server_config(Arc::clone(&self.certificate) as Arc<dyn ResolvesServerCert>);
        if let Some(Resumption { tickets: ticketer, store }) = &self.resumption {
            config.ticketer = Arc::clone(ticketer) as _;
            config.session_storage = Arc::clone(store) as _;
            config.send_tls13_tickets = tickets;
        }
        config
    }
}

impl fmt::Debug for SessionTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SessionTls").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Which way the bytes of a data connection go; listings are downloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKind {
    /// To the client.
    Download,
    /// From the client.
    Upload,
}

/// What the control connection's handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlTls {
    /// The host name that the client asked for.
    pub sni: Option<String>,
    /// TLS 1.2 or 1.3.
    pub version: ProtocolVersion,
    /// The cipher suite.
    pub suite: CipherSuite,
    /// Whether it resumed an earlier session.
    pub resumed: bool,
    /// The client's own certificate, verified, where one was asked for and given.
    pub client_certificate: Option<CertificateDer<'static>>,
}

impl ControlTls {
    fn of(connection: &ServerConnection) -> Self {
        Self {
            sni: connection.server_name().map(str::to_owned),
            version: version(connection),
            suite: suite(connection),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            client_certificate: connection
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|leaf| leaf.clone().into_owned()),
        }
    }
}

/// What a data connection's handshake agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataTls {
    /// There if the connection resumed the session's TLS.
    pub same_session: Option<SameSession>,
    /// TLS 1.2 or 1.3.
    pub version: ProtocolVersion,
    /// The cipher suite.
    pub suite: CipherSuite,
}

/// Why a data connection is not to be used.
#[derive(Debug, thiserror::Error)]
pub enum DataTlsError {
    /// There is no TLS on it.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// It did not resume the session's TLS, and `data_resumption = "require"`.
    #[error("data connection does not resume the session's TLS")]
    NotResumed,
}

struct Resumption {
    tickets: Arc<SessionTickets>,
    store: Arc<SessionStore>,
}

/// The session's certificate: the first handshake chooses it, every later one gets the same, whatever a reload did
/// in between.
#[derive(Debug)]
struct SessionCertificate {
    certificates: Arc<dyn ResolvesServerCert>,
    chosen: OnceLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for SessionCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(chosen) = self.chosen.get() {
            return Some(Arc::clone(chosen));
        }
        let certificate = self.certificates.resolve(hello)?;
        Some(Arc::clone(self.chosen.get_or_init(|| certificate)))
    }
}

fn version(connection: &ServerConnection) -> ProtocolVersion {
    connection.protocol_version().expect("a finished handshake has a version")
}

fn suite(connection: &ServerConnection) -> CipherSuite {
    connection.negotiated_cipher_suite().expect("a finished handshake has a cipher suite").suite()
}

/// TLS 1.3 tickets are single-use in most clients: four let a client run four transfers before the first download
/// brings a new one.
const CONTROL_TICKETS: usize = 4;

/// A download replaces the ticket that it used.
const DOWNLOAD_TICKETS: usize = 1;

/// A client that closes an upload with a ticket unread makes its kernel send RST, and the tail of the file is lost
/// (measured: 49 to 98 KB of 1 MB arrived).
const UPLOAD_TICKETS: usize = 0;
