//! The gateway as a whole: listeners, their services, the sessions; reload, drain and stop.
//!
//! A configuration takes effect in two halves. The first can fail and changes nothing: certificates are read, sockets
//! bound. The second cannot fail: what is new is put in place, what is gone is closed. Sessions keep the service that
//! they began with.

mod bind;
mod prepare;

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_certs::{Authority, Certificates, ClientTrust};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{info, warn};

use crate::backend::{Backend, learn_features};
use crate::config::Config;
use crate::data::passive::PortRegistry;
use crate::driver::Stage;
use crate::listener::{self, Gate};

pub use bind::BoundSocket;
pub use prepare::{StartError, check_certificates};

/// Sockets that were opened by somebody else (systemd), by listener name.
pub type Inherited = HashMap<String, Vec<StdTcpListener>>;

/// A running gateway. Dropping it stops accepting; [`Server::drain`] ends it in good order.
#[derive(Debug)]
pub struct Server {
    registry: Arc<PortRegistry>,
    sessions: TaskTracker,
    stage: watch::Sender<Stage>,
    /// One reload at a time.
    state: Arc<Mutex<State>>,
    _refresh: AbortOnDropHandle<()>,
}

/// What the present configuration has put in place.
#[derive(Debug)]
struct State {
    config: Config,
    listeners: BTreeMap<String, Listening>,
    backends: HashMap<String, Serving>,
    authority: Option<Arc<Authority>>,
    /// To be looked at again and again.
    certificates: Vec<Arc<Certificates>>,
    trusts: Vec<Arc<ClientTrust>>,
}

/// One listener.
#[derive(Debug)]
struct Listening {
    gate: Arc<Gate>,
    /// The address that was asked for, and what became of it.
    sockets: Vec<(SocketAddr, Accepting)>,
}

#[derive(Debug)]
struct Accepting {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One backend, and the task that asks for its features.
#[derive(Debug)]
struct Serving {
    backend: Arc<Backend>,
    _probe: AbortOnDropHandle<()>,
}

impl Server {
    /// Starts with a configuration. Must be called on a tokio runtime.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with certificates at once; otherwise the first socket that cannot be had.
    pub async fn start(config: Config, inherited: Inherited) -> Result<Self, StartError> {
        let registry = Arc::new(PortRegistry::new());
        let sessions = TaskTracker::new();
        let stage = watch::Sender::new(Stage::Running);
        let mut state = State {
            config: config.clone(),
            listeners: BTreeMap::new(),
            backends: HashMap::new(),
            authority: None,
            certificates: Vec::new(),
            trusts: Vec::new(),
        };
        let prepared = state.prepare(config, inherited, &registry).await?;
        state.install(prepared, &sessions, &stage);
        let state = Arc::new(Mutex::new(state));
        let refresh = tokio::spawn(refresh_certificates(Arc::clone(&state)));
        Ok(Self { registry, sessions, stage, state, _refresh: AbortOnDropHandle::new(refresh) })
    }

    /// Puts another configuration in place of the present one, or changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn reload(&self, config: Config) -> Result<(), StartError> {
        let mut state = self.state.lock().await;
        let prepared = state.prepare(config, Inherited::new(), &self.registry).await?;
        state.install(prepared, &self.sessions, &self.stage);
        Ok(())
    }

    /// Where a listener listens.
    pub async fn addresses(&self, listener: &str) -> Vec<SocketAddr> {
        let state = self.state.lock().await;
        let sockets = state.listeners.get(listener).map(|listening| &listening.sockets);
        sockets.into_iter().flatten().map(|(_, accepting)| accepting.address).collect()
    }

    /// The local CA, where some listener uses it.
    pub async fn authority(&self) -> Option<Arc<Authority>> {
        self.state.lock().await.authority.clone()
    }

    /// How long sessions may go on after the gateway was told to end.
    pub async fn drain_timeout(&self) -> Duration {
        self.state.lock().await.config.gateway.drain_timeout
    }

    /// Accepts nobody any more, lets transfers finish for `patience` at most, then ends what is left.
    pub async fn drain(&self, patience: Duration) {
        self.close_listeners().await;
        self.stage.send_replace(Stage::Draining);
        self.sessions.close();
        if timeout(patience, self.sessions.wait()).await.is_err() {
            warn!(sessions = self.sessions.len(), "drain timeout: ending what is left");
            self.stop().await;
        }
    }

    /// Ends every session now.
    pub async fn stop(&self) {
        self.close_listeners().await;
        self.stage.send_replace(Stage::Stopping);
        self.sessions.close();
        if timeout(STOP_TIMEOUT, self.sessions.wait()).await.is_err() {
            warn!(sessions = self.sessions.len(), "some sessions did not end");
        }
    }

    async fn close_listeners(&self) {
        self.state.lock().await.listeners.clear();
    }
}

impl State {
    /// The half that cannot fail.
    fn install(&mut self, prepared: prepare::Prepared, sessions: &TaskTracker, stage: &watch::Sender<Stage>) {
        let mut old_backends = std::mem::take(&mut self.backends);
        for backend in prepared.backends {
            let name = backend.config().name.clone();
            let serving = match old_backends.remove(&name) {
                Some(old) if Arc::ptr_eq(&old.backend, &backend) => old,
                Some(_) | None => {
                    let probe = tokio::spawn(learn_features(Arc::clone(&backend)));
                    Serving { backend, _probe: AbortOnDropHandle::new(probe) }
                }
            };
            self.backends.insert(name, serving);
        }
        let mut old_listeners = std::mem::take(&mut self.listeners);
        for listener in prepared.listeners {
            let name = listener.service.listener.name.clone();
            let (gate, mut old_sockets) = match old_listeners.remove(&name) {
                Some(old) => {
                    old.gate.service.store(Arc::clone(&listener.service));
                    (old.gate, old.sockets)
                }
                None => (Arc::new(Gate::new(Arc::clone(&listener.service))), Vec::new()),
            };
            let mut sockets = Vec::new();
            for (asked, bound) in listener.sockets {
                let accepting = match bound {
                    BoundSocket::Kept => {
                        let index = old_sockets.iter().position(|(address, _)| *address == asked);
                        index.map(|index| old_sockets.swap_remove(index).1)
                    }
                    BoundSocket::New(socket, address) => {
                        let accept =
                            listener::accept(socket, Arc::clone(&gate), sessions.clone(), stage.subscribe());
                        Some(Accepting { address, task: tokio::spawn(accept) })
                    }
                };
                sockets.extend(accepting.map(|accepting| (asked, accepting)));
            }
            self.listeners.insert(name, Listening { gate, sockets });
        }
        for name in old_listeners.keys() {
            info!(listener = name, "no longer listening");
        }
        self.authority = prepared.authority;
        self.certificates = prepared.certificates;
        self.trusts = prepared.trusts;
        self.config = prepared.config;
    }
}

/// Notices changed certificate files.
async fn refresh_certificates(state: Arc<Mutex<State>>) {
    let mut ticks = interval(REFRESH_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (certificates, trusts) = {
            let state = state.lock().await;
            (state.certificates.clone(), state.trusts.clone())
        };
        let refreshed = tokio::task::spawn_blocking(move || prepare::refresh(&certificates, &trusts)).await;
        if let Err(error) = refreshed {
            warn!(%error, "certificate files could not be looked at");
        }
    }
}

/// Between two looks at the certificate files.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// For sessions to say their last words.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
