//! The TLS of a scripted server. Each control connection has a key of its own for tickets: what resumes on a data
//! connection can only be its session.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;

use crate::authority::{Authority, Identity, roots};
use crate::client::TlsVersion;

/// What a server does about TLS.
#[derive(Debug, Clone)]
pub struct ScriptTls {
    pub(super) is_implicit: bool,
    pub(super) demands_reuse: bool,
    version: TlsVersion,
    identity: Identity,
    data_identity: Option<Identity>,
    client_root: Option<String>,
    tickets: Tickets,
}

/// How many tickets a server gives under TLS 1.3, on each kind of connection.
#[derive(Debug, Clone, Copy)]
struct Tickets {
    control: usize,
    download: usize,
    upload: usize,
}

/// What one session shows on its connections.
#[derive(Debug, Clone)]
pub(super) struct SessionTls {
    pub(super) control: Arc<ServerConfig>,
    pub(super) download: Arc<ServerConfig>,
    pub(super) upload: Arc<ServerConfig>,
}

impl ScriptTls {
    /// AUTH TLS, TLS 1.2, any data connection under TLS is good.
    pub fn explicit(authority: &Authority) -> Self {
        Self {
            is_implicit: false,
            demands_reuse: false,
            version: TlsVersion::Tls12,
            identity: authority.server(),
            data_identity: None,
            client_root: None,
            tickets: Tickets { control: 2, download: 1, upload: 0 },
        }
    }

    /// The same with the first byte.
    pub fn implicit(authority: &Authority) -> Self {
        Self { is_implicit: true, ..Self::explicit(authority) }
    }

    /// Speaks this version alone.
    pub fn version(self, version: TlsVersion) -> Self {
        Self { version, ..self }
    }

    /// Answers 522 to a transfer whose data connection does not resume the session of the control connection.
    pub fn demanding_reuse(self) -> Self {
        Self { demands_reuse: true, ..self }
    }

    /// Gives so many tickets on control connections, with each download and with each upload. TLS 1.3 only: under 1.2
    /// a session is good for ever.
    pub fn tickets(self, control: usize, download: usize, upload: usize) -> Self {
        Self { tickets: Tickets { control, download, upload }, ..self }
    }

    /// Shows this certificate.
    pub fn identity(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// Shows another certificate on data connections, and resumes nothing there.
    pub fn data_identity(self, identity: Identity) -> Self {
        Self { data_identity: Some(identity), ..self }
    }

    /// Wants a certificate of every client, by this authority.
    pub fn demanding_certificates(self, authority: &Authority) -> Self {
        Self { client_root: Some(authority.root_pem().to_owned()), ..self }
    }

    /// Whether TLS begins with the first byte.
    pub fn is_implicit(&self) -> bool {
        self.is_implicit
    }

    /// What the server shows.
    pub fn shown(&self) -> &Identity {
        &self.identity
    }

    /// For a new control connection.
    pub(super) fn session(&self) -> SessionTls {
        let mut control = self.config(&self.identity);
        control.ticketer = aws_lc_rs::Ticketer::new().expect("the system has randomness");
        let data = match &self.data_identity {
            None => control.clone(),
            Some(identity) => self.config(identity),
        };
        control.send_tls13_tickets = self.tickets.control;
        let with = |tickets| {
            let mut config = data.clone();
            config.send_tls13_tickets = tickets;
            Arc::new(config)
        };
        SessionTls {
            download: with(self.tickets.download),
            upload: with(self.tickets.upload),
            control: Arc::new(control),
        }
    }

    fn config(&self, identity: &Identity) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[self.version.supported()])
            .expect("the provider knows the version");
        let builder = match &self.client_root {
            None => builder.with_no_client_auth(),
            Some(root) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(root)), provider)
                    .build()
                    .expect("there is a root"),
            ),
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key())));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config
    }
}
