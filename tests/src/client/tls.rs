//! What a test client brings to a TLS handshake.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};

use crate::authority::{self, Identity};
use crate::gateway::Gateway;

/// The versions that the gateway speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246
    Tls12,
    /// RFC 8446
    Tls13,
}

impl TlsVersion {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    pub(crate) fn supported(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls12 => &rustls::version::TLS12,
            Self::Tls13 => &rustls::version::TLS13,
        }
    }
}

/// One client's TLS: its configuration, its memory of sessions, and the name that it asks for.
#[derive(Debug, Clone)]
pub struct TlsSetup {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsSetup {
    /// Trusts the gateway's local CA, speaks one version, resumes sessions, and asks for `localhost`.
    ///
    /// # Panics
    ///
    /// If the CA's root is no certificate.
    pub fn new(gateway: &Gateway, version: TlsVersion) -> Self {
        Self::trusting(gateway.ca_root_pem(), version)
    }

    /// Trusts these PEM certificates.
    ///
    /// # Panics
    ///
    /// If they are none.
    pub fn trusting(pem: &str, version: TlsVersion) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version.supported()])
            .expect("the provider knows the version")
            .with_root_certificates(authority::roots(pem))
            .with_no_client_auth();
        Self { config: Arc::new(config), name: name("localhost") }
    }

    /// Asks for another name, or verifies an address and sends no name.
    pub fn named(mut self, server_name: &str) -> Self {
        self.name = name(server_name);
        self
    }

    /// Shows a certificate.
    pub fn showing(self, identity: &Identity) -> Self {
        let certified = SingleCertAndKey::from(identity.certified_key());
        self.altered(|config| config.client_auth_cert_resolver = Arc::new(certified))
    }

    /// Never resumes.
    pub fn without_resumption(self) -> Self {
        self.altered(|config| config.resumption = Resumption::disabled())
    }

    /// Forgets all sessions: a new client with the same trust.
    pub fn forgetful(&self) -> Self {
        self.clone().altered(|config| config.resumption = Resumption::in_memory_sessions(32))
    }

    /// Offers these protocols.
    pub fn alpn(self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self.altered(|config| config.alpn_protocols = protocols)
    }

    /// Changes the configuration in any way.
    pub fn altered(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// The configuration, for other TLS clients.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// A connection that has not begun.
    ///
    /// # Panics
    ///
    /// If the configuration was altered into one that cannot be used.
    pub fn connection(&self) -> ClientConnection {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone()).expect("a usable configuration")
    }
}

fn name(text: &str) -> ServerName<'static> {
    ServerName::try_from(text.to_owned()).expect("a host name or an address")
}
