//! TLS towards backends: the gateway is the client, on control and data connections, whoever dialled (RFC 4217 §7).
//!
//! [`BackendProfile`] is what all sessions with one backend share, and [`UpstreamTls`] is one control connection with
//! its data connections. Servers want to see that both belong together, and see it in a resumed TLS session: so
//! each control connection has a store of its own ([`store`]), and nothing in it outlives the connection or reaches
//! another. Resumed or not, the server must be the same, by its certificate ([`SameServer`]); one that is not leaves
//! nothing in the store that a later data connection could resume.
//!
//! There is no 0-RTT, and no way back to clear text.
//!
//! RFC 8446 §4.6.1 (tickets), RFC 5246 §7.3 (resumption), RFC 4217 §10 (data connections).

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ftpsgate_certs::{Fingerprint, Identity, Pin, ServerTrust, TrustedRoots};
use ftpsgate_ftp::session::DataTickets;
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::HandshakeError;
use super::handshake::{Role, drive_handshake};
use super::profile::{ALPN_FTP, versions};
use crate::config::{BackendCa, BackendTls};
use same_server::leaf;
use store::{DataStore, KeyExchangeHint, SessionStore};

mod advice;
mod same_server;
mod store;

#[cfg(test)]
mod tests;

pub use advice::advice;
pub use same_server::SameServer;

/// The TLS of one backend, ready for sessions. Long-lived and shared.
///
/// All its connections have one verifier and one client certificate, as values and as pointers: rustls resumes under
/// no others.
pub struct BackendProfile {
    /// Complete but for its resumption, which belongs to sessions.
    base: ClientConfig,
    /// `None`: the host that is dialled.
    server_name: Option<ServerName<'static>>,
    key_exchange: Arc<KeyExchangeHint>,
}

impl BackendProfile {
    /// Reads the files that `configured` names; this blocks on the file system.
    ///
    /// # Errors
    ///
    /// A file or the system's roots cannot be used, or the name is none.
    pub fn new(configured: &BackendTls) -> Result<Self, BackendProfileError> {
        let trust = trust(configured)?;
        // The provider is named, never the process default: whoever links this crate may have set another.
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&versions(configured.min_version..=configured.max_version))?
            .dangerous()
            .with_custom_certificate_verifier(trust.verifier());
        let mut base = match &configured.client_certificate {
            Some(pair) => {
                let key = Identity::load(&pair.chain, &pair.key)?.certified_key();
                let shown = SingleCertAndKey::from(CertifiedKey::clone(&key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
            None => builder.with_no_client_auth(),
        };
        base.alpn_protocols = vec![ALPN_FTP.to_vec()];
        base.require_ems = configured.require_ems;
        base.enable_early_data = false; // A replayed STOR is an upload that nobody asked for.
        base.resumption = Resumption::disabled();
        let server_name = configured.server_name.as_deref().map(server_name).transpose()?;
        Ok(Self { base, server_name, key_exchange: Arc::default() })
    }

    /// The TLS of one new control connection to `host`, a name or an address as it was configured: it is what the
    /// certificate must be for, unless `tls_server_name` says otherwise.
    ///
    /// # Errors
    ///
    /// `host` is neither.
    pub fn session(&self, host: &str) -> Result<UpstreamTls, BackendProfileError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host)?,
        };
        let store = Arc::new(SessionStore::new(Arc::clone(&self.key_exchange)));
        let mut config = self.base.clone();
        config.resumption = Resumption::store(Arc::clone(&store) as _);
        Ok(UpstreamTls { config: Arc::new(config), name, store, control: OnceLock::new() })
    }
}

impl fmt::Debug for BackendProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BackendProfile")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// A backend that TLS cannot be spoken with.
#[derive(Debug, thiserror::Error)]
pub enum BackendProfileError {
    /// A file is not usable, or the system has no roots.
    #[error(transparent)]
    Certificates(#[from] ftpsgate_certs::Error),
    /// What is asked for is not what TLS can do.
    #[error("TLS towards the backend cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// There is nothing that a certificate could be for.
    #[error("`{}` is neither a host name nor an address: write `tls_server_name`", .0.escape_debug())]
    ServerName(String),
}

/// The TLS of one control connection to a server, and of its data connections. It dies with the connection.
///
/// An idle session keeps a configuration, a session or some tickets, and a fingerprint.
pub struct UpstreamTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    store: Arc<SessionStore>,
    /// What the control connection's handshake left behind.
    control: OnceLock<Control>,
}

/// What data connections are compared with.
#[derive(Debug, Clone, Copy)]
struct Control {
    version: ProtocolVersion,
    /// Of the server's own certificate: equal SHA-256, equal bytes.
    certificate: Fingerprint,
}

impl UpstreamTls {
    /// Shakes hands on the control connection. The future is boxed, so that sessions stay small once it is done.
    ///
    /// # Errors
    ///
    /// There is no TLS, or the server is not believed; [`advice`] says what to do about it.
    pub async fn connect_control(
        &self,
        tcp: TcpStream,
        patience: Duration,
    ) -> Result<(TlsStream<TcpStream>, UpstreamControl), HandshakeError> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let handshake = Box::pin(connector.connect(self.name.clone(), tcp));
        let stream =
            timeout(patience, handshake).await.map_err(|_| HandshakeError::Deadline)?.map_err(|error| {
                match error.downcast::<rustls::Error>() {
                    Ok(error) => HandshakeError::Tls(error),
                    Err(error) => HandshakeError::from_socket(error, true),
                }
            })?;
        let connection = stream.get_ref().1;
        let certificate = leaf(connection).ok_or(rustls::Error::NoCertificatesPresented)?.clone();
        let agreed = UpstreamControl { version: version(connection), suite: suite(connection), certificate };
        let certificate = Fingerprint::of(&agreed.certificate);
        // The first connection stays the one that others are compared with.
        self.control.get_or_init(|| Control { version: agreed.version, certificate });
        Ok((stream, agreed))
    }

    /// Shakes hands on a data connection, as TLS client whoever dialled.
    ///
    /// The parts come back separately, because the relay moves the bytes itself. Plaintext that came with the
    /// server's Finished is inside the [`ClientConnection`]. On TLS 1.3 this uses up a ticket.
    ///
    /// # Errors
    ///
    /// There is no TLS, or it is another server's.
    pub async fn connect_data(
        &self,
        tcp: TcpStream,
        patience: Duration,
    ) -> Result<(TcpStream, ClientConnection, UpstreamDataTls), UpstreamDataError> {
        let (connection, store) = self.begin_data().map_err(HandshakeError::Tls)?;
        let handshake = Box::pin(async {
            let (mut tcp, mut connection) = (tcp, connection);
            drive_handshake(&mut tcp, &mut connection, Role::Client).await.map(|()| (tcp, connection))
        });
        let (tcp, connection) =
            timeout(patience, handshake).await.map_err(|_| HandshakeError::Deadline)??;
        let peer = self.prove_same_server(&connection).ok_or(UpstreamDataError::OtherServer)?;
        store.accept(peer);
        let agreed = UpstreamDataTls {
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            version: version(&connection),
            suite: suite(&connection),
            peer,
        };
        Ok((tcp, connection, agreed))
    }

    /// A data connection that has not spoken yet, and what it may resume.
    fn begin_data(&self) -> Result<(ClientConnection, Arc<DataStore>), rustls::Error> {
        self.store.data_begins();
        let store = Arc::new(DataStore::new(Arc::clone(&self.store)));
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::store(Arc::clone(&store) as _);
        Ok((ClientConnection::new(Arc::new(config), self.name.clone())?, store))
    }

    fn prove_same_server(&self, connection: &ClientConnection) -> Option<SameServer> {
        SameServer::prove(self.control.get()?.certificate, connection)
    }

    /// Whether the next data connection can resume this session, as far as the server wants that.
    ///
    /// A TLS 1.2 session resumes any number of times. A TLS 1.3 ticket works once; a server that gave none before the
    /// first data connection cannot ask for one.
    pub fn tickets(&self) -> DataTickets {
        match self.control.get() {
            Some(Control { version: ProtocolVersion::TLSv1_3, .. }) => self.store.tickets(),
            Some(_) | None => DataTickets::Available,
        }
    }
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UpstreamTls")
            .field("name", &self.name)
            .field("tickets", &self.tickets())
            .finish_non_exhaustive()
    }
}

/// What the control connection's handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamControl {
    /// TLS 1.2 or 1.3.
    pub version: ProtocolVersion,
    /// The cipher suite.
    pub suite: CipherSuite,
    /// The server's own certificate, believed.
    pub certificate: CertificateDer<'static>,
}

/// What a data connection's handshake agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamDataTls {
    /// Whether a session was resumed that the same server had agreed to before.
    pub resumed: bool,
    /// TLS 1.2 or 1.3.
    pub version: ProtocolVersion,
    /// The cipher suite.
    pub suite: CipherSuite,
    /// Who is at the other end.
    pub peer: SameServer,
}

/// Why a data connection to a server is not to be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamDataError {
    /// There is no TLS on it.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Who answers is believed, and is not the server of the control connection.
    #[error(
        "the data connection shows another certificate than the control connection: \
         either the server gives its data connections a certificate of their own, or somebody else has answered"
    )]
    OtherServer,
}

fn trust(configured: &BackendTls) -> Result<ServerTrust, ftpsgate_certs::Error> {
    let pins = configured.pins.iter().copied().map(Pin::from).collect();
    if configured.danger_accept_invalid_certificates {
        return Ok(ServerTrust::danger_any(pins));
    }
    match &configured.ca {
        BackendCa::System => ServerTrust::by_roots(&TrustedRoots::System, pins),
        BackendCa::File(file) => ServerTrust::by_roots(&TrustedRoots::File(file.clone()), pins),
        BackendCa::PinsAlone => ServerTrust::by_pins(pins),
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, BackendProfileError> {
    ServerName::try_from(host.to_owned()).map_err(|_| BackendProfileError::ServerName(host.to_owned()))
}

fn version(connection: &ClientConnection) -> ProtocolVersion {
    connection.protocol_version().expect("a finished handshake has a version")
}

fn suite(connection: &ClientConnection) -> CipherSuite {
    connection.negotiated_cipher_suite().expect("a finished handshake has a cipher suite").suite()
}
