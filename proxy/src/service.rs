//! What the sessions of one listener are served with: one configuration, made ready.
//!
//! A session keeps the service it began with; a reload gives later sessions another.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_certs::{Certificates, Store, SubjectName};
use ftpsgate_ftp::session::{self, PortError, Settings};
use ftpsgate_policies::Policy;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::backend::Backend;
use crate::config::{Advertise, Config, Listener, Mode, Passive, RequireTls};
use crate::data::passive::{PortRegistry, PortSet};
use crate::tls::Profile;

/// One listener's service.
#[derive(Debug)]
pub struct Service {
    /// The listener, as configured.
    pub listener: Arc<Listener>,
    /// What the session machine needs of it.
    pub settings: Arc<Settings>,
    /// `None` on plain listeners.
    pub tls: Option<ServiceTls>,
    /// Where its sessions go.
    pub backend: Arc<Backend>,
    /// The process's passive ports…
    pub registry: Arc<PortRegistry>,
    /// …and those of this listener.
    pub ports: PortSet,
}

/// The TLS that a listener offers.
#[derive(Debug, Clone)]
pub struct ServiceTls {
    /// Versions, client certificates, resumption.
    pub profile: Arc<Profile>,
    /// What it shows.
    pub certificates: Arc<Certificates>,
}

impl Service {
    /// The session machine's view of a listener and its backend.
    pub fn settings(
        config: &Config,
        listener: &Listener,
        backend: &Backend,
        tls: Option<&ServiceTls>,
    ) -> Settings {
        let backend = backend.config();
        Settings {
            listener: listener.name.clone(),
            backend: backend.name.clone(),
            banner: config.gateway.banner.clone(),
            mode: match listener.mode {
                Mode::Explicit => session::Mode::Explicit,
                Mode::Implicit => session::Mode::Implicit,
                Mode::Plain => session::Mode::Plain,
            },
            require_tls: match listener.require_tls {
                RequireTls::Data => session::RequireTls::Data,
                RequireTls::Login => session::RequireTls::Login,
                RequireTls::No => session::RequireTls::No,
            },
            certificate_available: tls.is_some_and(|tls| tls.certificates.available()),
            login_attempts: listener.login_attempts,
            hosts: tls
                .and_then(|tls| tls.certificates.store())
                .map(|store| dns_names(store))
                .unwrap_or_default(),
            policy: Arc::new(Policy::allow_all()),
            login_timeout: listener.login_timeout,
            idle_timeout: listener.idle_timeout,
            connect_timeout: backend.connect_timeout,
            reply_timeout: backend.reply_timeout,
        }
    }

    /// The address that a client is told to dial for its data.
    ///
    /// # Errors
    ///
    /// A host name that has no address of the right family.
    pub async fn advertised(&self, client: IpAddr, dialled: SocketAddr) -> Result<IpAddr, PortError> {
        let Passive { advertise, advertise_for, .. } = &self.listener.passive;
        let exception = advertise_for
            .iter()
            .filter(|exception| exception.from.contains(&client))
            .max_by_key(|exception| exception.from.prefix_len());
        if let Some(exception) = exception {
            return Ok(exception.address);
        }
        match advertise {
            Advertise::Auto => Ok(dialled.ip().to_canonical()),
            Advertise::Address(address) => Ok(*address),
            Advertise::Host(name) => {
                let lookup = timeout(LOOKUP_TIMEOUT, lookup_host((name.as_str(), 0))).await;
                let mut addresses = lookup.ok().and_then(Result::ok).ok_or(PortError::NoAddress)?;
                let is_v4 = dialled.ip().to_canonical().is_ipv4();
                addresses
                    .find(|address| address.is_ipv4() == is_v4)
                    .map(|address| address.ip())
                    .ok_or(PortError::NoAddress)
            }
        }
    }
}

/// The names that HOST may give where the client sent no SNI.
fn dns_names(store: &Store) -> Vec<String> {
    let identities = store.identities();
    let names = identities.iter().flat_map(|identity| identity.names());
    names
        .filter_map(|name| match name {
            SubjectName::Dns(name) => Some(name.as_str().to_ascii_lowercase()),
            SubjectName::Address(_) => None,
        })
        .collect()
}

/// A PASV does not wait longer for a name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
