//! The half of a start or reload that can fail: reading certificates, binding sockets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use ftpsgate_certs::{Authority, Certificates, ClientTrust, Refresh, Store, TrustRefresh};
use ftpsgate_policies::Policy;
use tokio::sync::watch;
use tracing::{info, warn};

use super::bind::{adopt, bind, is_missing_family};
use super::{BoundSocket, Inherited, State, ports};
use crate::audit::{Journal, OpenError, Opened};
use crate::backend::Backend;
use crate::config::{
    BackendTls, CertificateFallback, ClientCertificates, Config, Listener, Mode, TlsProfile,
};
use crate::data::passive::{BindError, PortRegistry, PortUser};
use crate::service::{Service, ServiceTls};
use crate::tls::{BackendProfile, BackendProfileError, Profile, ProfileError};

/// Everything that a configuration needs, ready to be put in place.
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) listeners: Vec<PreparedListener>,
    pub(super) backends: Vec<Arc<Backend>>,
    pub(super) authority: Option<Arc<Authority>>,
    pub(super) certificates: Vec<Arc<Certificates>>,
    pub(super) trusts: Vec<Arc<ClientTrust>>,
    pub(super) audit: Opened,
}

/// One listener's part of it.
pub(super) struct PreparedListener {
    pub(super) service: Arc<Service>,
    pub(super) sockets: Vec<(SocketAddr, BoundSocket)>,
}

/// Why a configuration cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Certificates, keys or authorities that cannot be used; all of them.
    #[error("{}", Lines(.0))]
    Certificates(Vec<ftpsgate_certs::Error>),
    /// A profile that rustls refuses.
    #[error("[tls.{profile}] cannot be used: {source}")]
    Profile {
        /// Which.
        profile: String,
        /// Why.
        source: ProfileError,
    },
    /// TLS towards a backend that cannot be spoken.
    #[error("backend `{backend}`: {source}")]
    BackendTls {
        /// Which.
        backend: String,
        /// Why.
        source: Box<BackendProfileError>,
    },
    /// A listener's address that cannot be had.
    #[error("listener `{listener}` cannot listen on {address}: {source}")]
    Bind {
        /// Which.
        listener: String,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// None of a listener's default addresses can be had.
    #[error("listener `{listener}` has no address to listen on")]
    NoAddress {
        /// Which.
        listener: String,
    },
    /// A port for clients' data connections cannot be used as their source.
    #[error(
        "listener `{listener}` cannot use active_source_port = {port}: {source}{hint}",
        hint = source_port_hint(source)
    )]
    SourcePort {
        /// Which.
        listener: String,
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// A file of the audit log.
    #[error(transparent)]
    Audit(#[from] OpenError),
    /// A port for data connections that cannot be had.
    #[error("{0}: {source}", source = .0.error)]
    Ports(#[from] BindError),
    /// A socket was inherited under a name that no listener has.
    #[error("a socket named `{name}` was passed to this service, but no listener has that name")]
    UnknownSocket {
        /// Its name.
        name: String,
    },
}

/// What to do about a source port that may not be used.
fn source_port_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE and \
             PrivateUsers=no), or the sysctl net.ipv4.ip_unprivileged_port_start"
        }
        _ => "",
    }
}

impl State {
    /// Does all that can fail. Nothing that runs is changed, but for passive ports that more listeners may use.
    pub(super) async fn prepare(
        &self,
        config: Config,
        mut inherited: Inherited,
        registry: &Arc<PortRegistry>,
        policies: &watch::Sender<Arc<Policy>>,
    ) -> Result<Prepared, StartError> {
        if let Some(name) =
            inherited.keys().find(|name| config.listeners.iter().all(|one| one.name != **name))
        {
            return Err(StartError::UnknownSocket { name: name.clone() });
        }
        let audit = Journal::open(&config.audit)?;
        let (tls, authority, trusts) = self.prepare_tls(&config)?;
        let backends = self.prepare_backends(&config)?;
        let mut sockets = Vec::new();
        let mut requests = Vec::new();
        for listener in &config.listeners {
            let bound = self.open_sockets(&config, listener, inherited.remove(&listener.name))?;
            let addresses = bound.iter().map(|(asked, socket)| match socket {
                BoundSocket::New { address, .. } => address.ip(),
                BoundSocket::Kept | BoundSocket::Taken => asked.ip(),
            });
            let addresses: Vec<_> = addresses.collect();
            ports::check_source_port(listener, &addresses)?;
            requests.push(ports::passive(listener, addresses));
            sockets.push(bound);
        }
        requests.extend(config.backends.iter().filter_map(|backend| ports::active(backend)));
        let own_ports = sockets.iter().flatten().map(|(asked, socket)| match socket {
            BoundSocket::New { address, .. } => address.port(),
            BoundSocket::Kept | BoundSocket::Taken => asked.port(),
        });
        let own_ports: Arc<BTreeSet<u16>> = Arc::new(own_ports.collect());
        let mut ports = registry.apply(&requests)?;
        let listeners = config
            .listeners
            .iter()
            .zip(sockets)
            .map(|(listener, sockets)| {
                let tls = match listener.mode {
                    Mode::Explicit | Mode::Implicit => tls.get(&listener.tls).cloned(),
                    Mode::Plain => None,
                };
                let names = Service::backend_names(&config, listener);
                let backends: Vec<_> = names.iter().map(|name| Arc::clone(&backends[*name])).collect();
                let settings = Service::settings(&config, listener, tls.as_ref().and_then(ServiceTls::hosts));
                let service = Service {
                    listener: Arc::clone(listener),
                    limits: Arc::clone(&self.limits),
                    settings: Arc::new(settings),
                    tls,
                    backend_ports: backends
                        .iter()
                        .map(|backend| PortUser::Backend(backend.config().name.clone()))
                        .map(|user| ports.get(&user).cloned().unwrap_or_default())
                        .collect(),
                    backends,
                    own_ports: Arc::clone(&own_ports),
                    registry: Arc::clone(registry),
                    policies: policies.subscribe(),
                    journal: Arc::clone(&self.journal),
                    gateway: config.gateway.name.clone(),
                    ports: ports.remove(&PortUser::Listener(listener.name.clone())).unwrap_or_default(),
                };
                PreparedListener { service: Arc::new(service), sockets }
            })
            .collect();
        let certificates = tls.into_values().map(|tls| tls.certificates).collect();
        let backends = backends.into_values().collect();
        Ok(Prepared { config, listeners, backends, authority, certificates, trusts, audit })
    }

    /// An unchanged one stays; a changed one keeps what is known of the servers that stay. One with TLS is always made
    /// anew: the files that it names may have changed.
    fn prepare_backends(&self, config: &Config) -> Result<HashMap<String, Arc<Backend>>, StartError> {
        let mut backends = HashMap::new();
        for backend in &config.backends {
            let old = self.backends.get(&backend.name).map(|serving| &serving.backend);
            let made = match (&backend.tls, old) {
                (None, Some(old)) if old.config() == backend => Arc::clone(old),
                (tls, old) => {
                    let tls = tls.as_ref().map(|tls| prepare_backend_tls(&backend.name, tls)).transpose()?;
                    Arc::new(Backend::new(Arc::clone(backend), tls, old.map(|old| &**old)))
                }
            };
            backends.insert(backend.name.clone(), made);
        }
        Ok(backends)
    }

    /// The profiles that listeners use.
    #[allow(clippy::type_complexity)]
    fn prepare_tls(
        &self,
        config: &Config,
    ) -> Result<(BTreeMap<String, ServiceTls>, Option<Arc<Authority>>, Vec<Arc<ClientTrust>>), StartError>
    {
        let is_used = |profile: &&Arc<TlsProfile>| {
            config.listeners.iter().any(|one| one.mode != Mode::Plain && one.tls == profile.name)
        };
        let profiles: Vec<&Arc<TlsProfile>> = config.tls.values().filter(is_used).collect();
        let mut errors = Vec::new();
        let mut authority = None;
        if profiles.iter().any(|profile| profile.fallback == CertificateFallback::LocalCa) {
            // One authority for the life of the process: clients would have to trust another one anew.
            let is_same = self.config.gateway.state_dir == config.gateway.state_dir;
            authority = self.authority.clone().filter(|_| is_same);
            if authority.is_none() {
                match Authority::open_or_create(&config.gateway.state_dir) {
                    Ok(opened) => authority = Some(Arc::new(opened)),
                    Err(error) => errors.push(error),
                }
            }
        }
        let mut services = BTreeMap::new();
        let mut trusts = Vec::new();
        for profile in profiles {
            match prepare_profile(profile, authority.as_ref(), &mut trusts) {
                Ok((certificates, Ok(built))) => {
                    let service =
                        ServiceTls { profile: Arc::new(built), certificates: Arc::new(certificates) };
                    services.insert(profile.name.clone(), service);
                }
                Ok((_, Err(source))) => {
                    return Err(StartError::Profile { profile: profile.name.clone(), source });
                }
                Err(found) => errors.extend(found),
            }
        }
        if errors.is_empty() {
            Ok((services, authority, trusts))
        } else {
            Err(StartError::Certificates(errors))
        }
    }

    /// A listener's sockets: inherited ones instead of all others, kept ones where nothing changed, those that another
    /// listener gives up, new ones.
    fn open_sockets(
        &self,
        config: &Config,
        listener: &Listener,
        inherited: Option<Vec<std::net::TcpListener>>,
    ) -> Result<Vec<(SocketAddr, BoundSocket)>, StartError> {
        let failed = |address, source| StartError::Bind { listener: listener.name.clone(), address, source };
        let mut sockets = Vec::new();
        if let Some(inherited) = inherited {
            for socket in inherited {
                let address = socket.local_addr().map_err(|error| failed(UNSPECIFIED, error))?;
                let bound = adopt(socket, true).map_err(|error| failed(address, error))?;
                sockets.push((address, announced(listener, bound)));
            }
            return Ok(sockets);
        }
        let old = self.listeners.get(&listener.name);
        if let Some(old) = old.filter(|old| old.sockets.iter().any(|(_, socket)| socket.is_inherited)) {
            return Ok(old.sockets.iter().map(|(asked, _)| (*asked, BoundSocket::Kept)).collect());
        }
        for &address in &listener.bind {
            if old.is_some_and(|old| old.has(address)) {
                sockets.push((address, BoundSocket::Kept));
                continue;
            }
            if self.is_given_up(address, config) {
                sockets.push((address, BoundSocket::Taken));
                continue;
            }
            match bind(address) {
                Ok(bound) => sockets.push((address, announced(listener, bound))),
                Err(error) if !listener.bind_written && is_missing_family(&error) => {
                    warn!(listener = listener.name, %address, %error, "this address is left out");
                }
                Err(error) => return Err(failed(address, error)),
            }
        }
        if sockets.is_empty() {
            return Err(StartError::NoAddress { listener: listener.name.clone() });
        }
        Ok(sockets)
    }

    /// Whether a listener that is gone, or listens elsewhere under `config`, has a socket on this very address.
    fn is_given_up(&self, address: SocketAddr, config: &Config) -> bool {
        let is_wanted = |name: &str| {
            config.listeners.iter().any(|listener| listener.name == name && listener.bind.contains(&address))
        };
        let mut others = self.listeners.iter().filter(|(name, _)| !is_wanted(name));
        address.port() != 0
            && others.any(|(_, old)| old.has(address) && old.sockets.iter().all(|(_, one)| !one.is_inherited))
    }
}

fn announced(listener: &Listener, bound: BoundSocket) -> BoundSocket {
    if let BoundSocket::New { address, .. } = &bound {
        info!(listener = listener.name, %address, channel = "control", "listening");
    }
    bound
}

fn prepare_backend_tls(name: &str, configured: &BackendTls) -> Result<Arc<BackendProfile>, StartError> {
    if configured.danger_accept_invalid_certificates {
        warn!(
            backend = name,
            "danger_accept_invalid_certificates: whoever answers for this backend's servers is believed"
        );
    }
    let profile = BackendProfile::new(configured)
        .map_err(|source| StartError::BackendTls { backend: name.to_owned(), source: Box::new(source) })?;
    Ok(Arc::new(profile))
}

type PreparedProfile = (Certificates, Result<Profile, ProfileError>);

fn prepare_profile(
    profile: &TlsProfile,
    authority: Option<&Arc<Authority>>,
    trusts: &mut Vec<Arc<ClientTrust>>,
) -> Result<PreparedProfile, Vec<ftpsgate_certs::Error>> {
    let pairs: Vec<_> =
        profile.certificates.iter().map(|pair| (pair.chain.clone(), pair.key.clone())).collect();
    let store = Store::load(&pairs)?;
    for identity in store.identities() {
        for warning in identity.warnings(SystemTime::now()) {
            warn!(file = %identity.chain_file().display(), %warning, "certificate");
        }
    }
    let verifier = match (profile.client_certificates, &profile.client_ca) {
        (ClientCertificates::Off, _) | (_, None) => None,
        (asked @ (ClientCertificates::Request | ClientCertificates::Require), Some(ca)) => {
            let trust = ClientTrust::load(ca, profile.client_crl.as_deref()).map_err(|error| vec![error])?;
            let verifier =
                if asked == ClientCertificates::Require { trust.require() } else { trust.request() };
            trusts.push(Arc::new(trust));
            Some(verifier)
        }
    };
    let mints = profile.fallback == CertificateFallback::LocalCa;
    let certificates = Certificates::new(Some(Arc::new(store)), authority.filter(|_| mints).cloned());
    Ok((certificates, Profile::new(profile, verifier)))
}

/// Looks at the certificate files once, and says what changed.
pub(super) fn refresh(certificates: &[Arc<Certificates>], trusts: &[Arc<ClientTrust>]) {
    let stores = certificates.iter().filter_map(|certificates| certificates.store());
    for change in stores.flat_map(|store| store.refresh()) {
        match change {
            Refresh::Reloaded { identity } => {
                info!(file = %identity.chain_file().display(), fingerprint = %identity.fingerprint(), "certificate reloaded");
            }
            Refresh::Failed { kept, error } => {
                warn!(file = %kept.chain_file().display(), %error, "certificate not reloaded; the old one stays");
            }
        }
    }
    for change in trusts.iter().filter_map(|trust| trust.refresh()) {
        match change {
            TrustRefresh::Reloaded { file } => info!(file = %file.display(), "revocation list reloaded"),
            TrustRefresh::Failed { error } => {
                warn!(%error, "revocation list not reloaded; the old one stays");
            }
        }
    }
}

/// Errors, one a line.
struct Lines<'a>(&'a [ftpsgate_certs::Error]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{error}")?;
        }
        Ok(())
    }
}

const UNSPECIFIED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
