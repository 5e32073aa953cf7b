//! A backend's server: the TLS of its control and data connections.

use ftpsgate_certs::Pin;
use rustls::SupportedProtocolVersion;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ServerConfig, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server;

use super::*;
use crate::config::{BackendCa, BackendTls, BackendTlsMode};
use crate::tls::{BackendProfile, UpstreamControl, UpstreamDataError, UpstreamDataTls, UpstreamTls};

/// A server whose control and data connections resume each other's sessions.
pub(crate) struct BackendServer {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) config: ServerConfig,
}

/// What ends a handshake with [`BackendServer`] leaves, ours first.
pub(crate) type DataEnds =
    (TcpStream, rustls::ClientConnection, UpstreamDataTls, server::TlsStream<TcpStream>);

impl BackendServer {
    pub(crate) fn new(version: TlsVersion) -> Self {
        Self::with_key(version, certified_key())
    }

    pub(crate) fn with_key(version: TlsVersion, key: Arc<CertifiedKey>) -> Self {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[supported(version)])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&key))));
        config.ticketer = Ticketer::new().unwrap();
        config.session_storage = ServerSessionMemoryCache::new(1024);
        Self { key, config }
    }

    /// Asks for a certificate of the one who signs himself `client`.
    pub(crate) fn asking(version: TlsVersion, client: &CertifiedKey) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(client.cert[0].clone()).unwrap();
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let key = certified_key();
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[supported(version)])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&key))));
        config.ticketer = Ticketer::new().unwrap();
        Self { key, config }
    }

    /// A configuration that believes this server, by its key.
    pub(crate) fn believed(&self) -> BackendTls {
        BackendTls {
            pins: vec![*Pin::of(&self.key.cert[0]).unwrap().as_bytes()],
            ca: BackendCa::PinsAlone,
            max_version: TlsVersion::Tls13,
            ..backend_tls()
        }
    }

    /// The TLS of a new control connection to it.
    pub(crate) fn session(&self) -> UpstreamTls {
        BackendProfile::new(&self.believed()).unwrap().session(HOST).unwrap()
    }

    /// Opens a control connection; we have read the first reply, and with it the `tickets` that came before.
    pub(crate) async fn control(
        &self,
        tls: &UpstreamTls,
        tickets: usize,
    ) -> Result<(TlsStream<TcpStream>, UpstreamControl, server::TlsStream<TcpStream>), HandshakeError> {
        use tokio::io::AsyncReadExt;

        let (near, far) = tcp_pair().await;
        let accepted = async {
            let mut server = self.accept(far, tickets).await?;
            server.write_all(b"2").await?;
            server.flush().await?;
            std::io::Result::Ok(server)
        };
        let (connected, accepted) = tokio::join!(tls.connect_control(near, SOON), accepted);
        let (mut client, control) = connected?;
        let server = accepted.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'2');
        Ok((client, control, server))
    }

    /// Opens a data connection on which the server gives `tickets`.
    pub(crate) async fn data(
        &self,
        tls: &UpstreamTls,
        tickets: usize,
    ) -> Result<DataEnds, UpstreamDataError> {
        let (near, far) = tcp_pair().await;
        let (connected, accepted) = tokio::join!(tls.connect_data(near, SOON), self.accept(far, tickets));
        let (tcp, connection, data) = connected?;
        Ok((tcp, connection, data, accepted.unwrap()))
    }

    pub(crate) async fn accept(
        &self,
        tcp: TcpStream,
        tickets: usize,
    ) -> std::io::Result<server::TlsStream<TcpStream>> {
        let mut config = self.config.clone();
        config.send_tls13_tickets = tickets;
        TlsAcceptor::from(Arc::new(config)).accept(tcp).await
    }
}

/// The defaults of `[[backend]]` with `tls = "explicit"`.
pub(crate) fn backend_tls() -> BackendTls {
    BackendTls {
        mode: BackendTlsMode::Explicit,
        protects_data: true,
        ca: BackendCa::System,
        pins: Vec::new(),
        server_name: None,
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls12,
        danger_accept_invalid_certificates: false,
        client_certificate: None,
        require_ems: false,
    }
}

fn supported(version: TlsVersion) -> &'static SupportedProtocolVersion {
    match version {
        TlsVersion::Tls12 => &TLS12,
        TlsVersion::Tls13 => &TLS13,
    }
}
