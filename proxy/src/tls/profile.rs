//! What all sessions of one `[tls.NAME]` share: versions, cipher suites, ALPN, client certificates.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use crate::config::{DataResumption, TlsProfile, TlsVersion};

/// A `[tls.NAME]` ready for sessions. Long-lived and shared.
pub struct Profile {
    /// Complete but for its certificates and resumption, which belong to sessions.
    base: ServerConfig,
    data_resumption: DataResumption,
}

impl Profile {
    /// Builds the profile; clients are asked for certificates where `client_certificates` judges them.
    pub fn new(
        configured: &TlsProfile,
        client_certificates: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Self, ProfileError> {
        // The provider is named, never the process default: whoever links this crate may have set another.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(configured.min_version..=configured.max_version))?;
        let builder = match client_certificates {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut base = builder.with_cert_resolver(Arc::new(NoCertificate));
        base.require_ems = configured.require_ems;
        base.alpn_protocols = vec![ALPN_FTP.to_vec()];
        base.session_storage = Arc::new(NoServerSessionStorage {});
        base.send_tls13_tickets = 0;
        base.max_early_data_size = 0; // A replayed STOR is an upload that nobody asked for.
        Ok(Self { base, data_resumption: configured.data_resumption })
    }

    /// Whether data connections must, may or cannot resume the control connection's TLS session.
    pub fn data_resumption(&self) -> DataResumption {
        self.data_resumption
    }

    /// A copy for one session; it resumes nothing until it is given the session's tickets and store.
    pub(super) fn server_config(&self, certificate: Arc<dyn ResolvesServerCert>) -> ServerConfig {
        let mut config = self.base.clone();
        config.cert_resolver = certificate;
        config
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Profile")
            .field("data_resumption", &self.data_resumption)
            .finish_non_exhaustive()
    }
}

/// A profile that TLS cannot be spoken with.
#[derive(Debug, thiserror::Error)]
#[error("TLS profile cannot be used")]
pub struct ProfileError(#[from] rustls::Error);

/// The best first. None at all for an empty range, which the configuration refuses, and rustls as well.
pub(super) fn versions(allowed: RangeInclusive<TlsVersion>) -> Vec<&'static SupportedProtocolVersion> {
    [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)]
        .into_iter()
        .filter(|(version, _)| allowed.contains(version))
        .map(|(_, supported)| supported)
        .collect()
}

/// Stands in the shared base, which itself never serves a handshake.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// The IANA-registered protocol name of FTP.
pub(super) const ALPN_FTP: &[u8] = b"ftp";
