//! What the sessions of one listener are served with: one configuration, made ready.
//!
//! A session keeps the service it began with; a reload gives later sessions another.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_certs::{Certificates, Store, SubjectName};
use ftpsgate_ftp::codec::{FeatureSet, Protection};
use ftpsgate_ftp::session::{
    self, LocalClock, PortError, Settings, UpstreamData, UpstreamSettings, UpstreamTls,
};
use ftpsgate_policies::Policy;
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::audit::Journal;
use crate::backend::Backend;
use crate::config::{
    self, Advertise, BackendData, BackendTlsMode, Config, Listener, Mode, Passive, RequireTls, TlsVersion,
};
use crate::data::passive::{PortRegistry, PortSet};
use crate::limits::SharedLimits;
use crate::tls::Profile;

/// One listener's service.
#[derive(Debug)]
pub struct Service {
    /// The listener, as configured.
    pub listener: Arc<Listener>,
    /// The process's limits.
    pub limits: Arc<SharedLimits>,
    /// What the session machine needs of it.
    pub settings: Arc<Settings>,
    /// `None` on plain listeners.
    pub tls: Option<ServiceTls>,
    /// Where its sessions go, in the order of [`Settings::backends`].
    pub backends: Vec<Arc<Backend>>,
    /// Ports on which this gateway listens for sessions.
    pub own_ports: Arc<BTreeSet<u16>>,
    /// The process's ports for data connections…
    pub registry: Arc<PortRegistry>,
    /// …those of this listener…
    pub ports: PortSet,
    /// …and those of its backends, in the order of [`Service::backends`]; empty where data connections to a backend are
    /// passive.
    pub backend_ports: Vec<PortSet>,
    /// Keeps what happened.
    pub journal: Arc<Journal>,
    /// `[gateway] name`, for the journal.
    pub gateway: String,
    /// Brings sessions a policy that is newer than that of their settings.
    pub policies: watch::Receiver<Arc<Policy>>,
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
    /// Names of the backends that a listener's sessions may come to, in the order of [`Settings::backends`].
    pub fn backend_names<'a>(config: &'a Config, listener: &'a Listener) -> BTreeSet<&'a String> {
        listener.backend.iter().chain(config.routes.iter().map(|route| &route.backend)).collect()
    }

    /// The session machine's view of a listener and its backends. `hosts` are the names of the certificates that are to
    /// be shown; `None`: there is none.
    pub fn settings(config: &Config, listener: &Listener, hosts: Option<Vec<String>>) -> Settings {
        let names = Self::backend_names(config, listener);
        let backends: Vec<_> =
            names.iter().filter_map(|name| config.backends.iter().find(|one| one.name == ***name)).collect();
        Settings {
            listener: listener.name.clone(),
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
            certificate_available: hosts.is_some(),
            login_attempts: listener.login_attempts,
            failed_login_delay: FAILED_LOGIN_DELAY,
            hosts: hosts.unwrap_or_default(),
            policy: Arc::clone(&config.policy),
            is_audited: !config.audit.is_empty(),
            clock: LocalClock::new(config::local_times),
            login_timeout: listener.login_timeout,
            idle_timeout: listener.idle_timeout,
            active: listener.active,
            routes: config.routes.clone(),
            default_backend: listener
                .backend
                .as_ref()
                .and_then(|name| backends.iter().position(|one| one.name == *name)),
            user_at_host: listener.user_at_host.clone(),
            backends: backends.iter().map(|backend| Arc::new(upstream_settings(backend))).collect(),
        }
    }

    /// What every backend that a session may come to has said to FEAT.
    pub fn common_features(&self) -> Arc<FeatureSet> {
        match self.backends.as_slice() {
            [only] => only.features(),
            several => {
                let sets = several.iter().map(|backend| FeatureSet::clone(&backend.features()));
                Arc::new(sets.reduce(|common, features| common.intersect(&features)).unwrap_or_default())
            }
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

impl ServiceTls {
    /// The names that HOST may give where the client sent no SNI; `None`: there is no certificate at all.
    pub fn hosts(&self) -> Option<Vec<String>> {
        let names = || self.certificates.store().map(|store| dns_names(store)).unwrap_or_default();
        self.certificates.available().then(names)
    }
}

/// The session machine's view of a backend.
fn upstream_settings(backend: &config::Backend) -> UpstreamSettings {
    let tls = backend.tls.as_ref();
    UpstreamSettings {
        name: backend.name.clone(),
        tls: match tls.map(|tls| tls.mode) {
            None => UpstreamTls::Off,
            Some(BackendTlsMode::Explicit) => UpstreamTls::Explicit,
            Some(BackendTlsMode::Implicit) => UpstreamTls::Implicit,
        },
        protection: match tls {
            Some(tls) if tls.protects_data => Protection::Private,
            Some(_) | None => Protection::Clear,
        },
        data: match backend.data {
            BackendData::Passive => UpstreamData::Passive,
            BackendData::Active(_) => UpstreamData::Active,
        },
        paths: backend.paths,
        // Only TLS 1.3 tickets are used up.
        may_renew: tls.is_some_and(|tls| tls.protects_data && tls.max_version == TlsVersion::Tls13),
        tries: u32::try_from(backend.servers.len()).unwrap_or(TRIES_MAX).min(TRIES_MAX),
        connect_timeout: backend.connect_timeout,
        reply_timeout: backend.reply_timeout,
    }
}

/// A failed login says nothing sooner, whatever the server found out how fast.
const FAILED_LOGIN_DELAY: Duration = Duration::from_secs(1);

/// Servers that one login tries.
const TRIES_MAX: u32 = 3;

/// The names of certificates, in lower case.
pub fn dns_names(store: &Store) -> Vec<String> {
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
