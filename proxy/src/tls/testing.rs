//! For tests of this crate: certificates made on the spot, TLS clients, connected sockets, and in [`server`] a server.

pub(crate) mod server;

use std::sync::Arc;
use std::time::Duration;

use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ControlTls, DataKind, DataTls, DataTlsError, HandshakeError, Profile, SessionTls};
use crate::config::{CertificateFallback, ClientCertificates, DataResumption, TlsProfile, TlsVersion};

/// Longer than any test needs, even on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A self-signed certificate for [`HOST`].
pub(crate) fn certified_key() -> Arc<CertifiedKey> {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], any_supported_type(&key).unwrap()))
}

/// A session's server half and clients that trust it.
pub(crate) struct TlsPair {
    pub(crate) profile: Arc<Profile>,
    pub(crate) key: Arc<CertifiedKey>,
}

impl TlsPair {
    pub(crate) fn new(data_resumption: DataResumption) -> Self {
        let configured = TlsProfile {
            name: "default".into(),
            certificates: Vec::new(),
            fallback: CertificateFallback::None,
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            require_ems: false,
            data_resumption,
            client_certificates: ClientCertificates::Off,
            client_ca: None,
            client_crl: None,
        };
        Self { profile: Arc::new(Profile::new(&configured, None).unwrap()), key: certified_key() }
    }

    pub(crate) fn session(&self) -> SessionTls {
        let one = SingleCertAndKey::from(CertifiedKey::clone(&self.key));
        self.session_with(Arc::new(one))
    }

    pub(crate) fn session_with(&self, certificates: Arc<dyn ResolvesServerCert>) -> SessionTls {
        SessionTls::new(Arc::clone(&self.profile), certificates).unwrap()
    }

    /// A client with a resumption store of its own.
    pub(crate) fn client(&self, kind: ClientKind) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.key.cert[0].clone()).unwrap();
        let (version, resumption) = match kind {
            ClientKind::Tls13 => (&rustls::version::TLS13, Tls12Resumption::Disabled),
            ClientKind::Tls12Tickets => (&rustls::version::TLS12, Tls12Resumption::SessionIdOrTickets),
            ClientKind::Tls12SessionId => (&rustls::version::TLS12, Tls12Resumption::SessionIdOnly),
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(32).tls12_resumption(resumption);
        config
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientKind {
    Tls13,
    Tls12Tickets,
    Tls12SessionId,
}

impl ClientKind {
    pub(crate) const ALL: [Self; 3] = [Self::Tls13, Self::Tls12Tickets, Self::Tls12SessionId];
}

/// Opens a control connection; the client has read the greeting, and with it the tickets that came before.
pub(crate) async fn control(
    session: &SessionTls,
    client: &Arc<ClientConfig>,
) -> (TlsStream<TcpStream>, ControlTls) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (near, far) = tcp_pair().await;
    let (accepted, connected) = tokio::join!(session.accept_control(near, SOON), connect(client, far));
    let ((mut server, control), mut client) = (accepted.unwrap(), connected.unwrap());
    server.write_all(b"2").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'2');
    (client, control)
}

/// Opens a data connection.
pub(crate) async fn data(
    session: &SessionTls,
    client: &Arc<ClientConfig>,
    kind: DataKind,
) -> Result<(TcpStream, rustls::ServerConnection, DataTls, TlsStream<TcpStream>), DataTlsError> {
    let (near, far) = tcp_pair().await;
    let (accepted, connected) = tokio::join!(session.accept_data(near, kind, SOON), connect(client, far));
    let (tcp, connection, data) = accepted?;
    Ok((tcp, connection, data, connected.unwrap()))
}

pub(crate) async fn connect(
    client: &Arc<ClientConfig>,
    tcp: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(HOST).unwrap();
    TlsConnector::from(Arc::clone(client)).connect(name, tcp).await
}

/// Two ends of one loopback connection.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (far, near) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (near, far) = (near.unwrap().0, far.unwrap());
    for tcp in [&near, &far] {
        tcp.set_nodelay(true).unwrap();
    }
    (near, far)
}

/// What certificates here are for.
pub(crate) const HOST: &str = "ftp.example.com";
