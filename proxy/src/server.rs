//! The gateway as a whole: listeners, their services, the sessions; reload, drain and stop.
//!
//! A configuration takes effect in two halves. The first can fail and changes nothing: certificates are read, sockets
//! bound. The second cannot fail: what is new is put in place, what is gone is closed. Sessions keep the service that
//! they began with.

mod bind;
mod ports;
mod prepare;

use std::collections::{BTreeMap, HashMap};
use std::net::{Shutdown, SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_certs::{Authority, Certificates, ClientTrust};
use ftpsgate_policies::Policy;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, interval, timeout};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{info, warn};

use crate::audit::Journal;
use crate::backend::Backend;
use crate::backend::check::look_after;
use crate::config::{Config, Mode};
use crate::data::passive::PortRegistry;
use crate::driver::Stage;
use crate::limits::SharedLimits;
use crate::listener::{self, Gate};

pub use bind::BoundSocket;
pub use prepare::StartError;

/// Sockets that were opened by somebody else (systemd), by listener name.
pub type Inherited = HashMap<String, Vec<StdTcpListener>>;

/// A running gateway. Dropping it stops accepting; [`Server::drain`] ends it in good order.
#[derive(Debug)]
pub struct Server {
    started: Instant,
    registry: Arc<PortRegistry>,
    limits: Arc<SharedLimits>,
    sessions: TaskTracker,
    stage: watch::Sender<Stage>,
    /// What running sessions are judged by.
    policies: watch::Sender<Arc<Policy>>,
    /// One reload at a time.
    state: Arc<Mutex<State>>,
    _chores: [AbortOnDropHandle<()>; 2],
}

/// What runs at a moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The gateway's name.
    pub name: String,
    /// Since when.
    pub uptime: Duration,
    /// By name.
    pub listeners: Vec<ListenerSnapshot>,
    /// By name.
    pub backends: Vec<Arc<Backend>>,
}

/// One listener at a moment.
#[derive(Debug)]
pub struct ListenerSnapshot {
    /// Its name.
    pub name: String,
    /// Explicit, implicit or plain.
    pub mode: Mode,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Sessions that came by it and are open.
    pub sessions: usize,
}

/// What the present configuration has put in place.
#[derive(Debug)]
struct State {
    config: Config,
    limits: Arc<SharedLimits>,
    listeners: BTreeMap<String, Listening>,
    backends: HashMap<String, Serving>,
    authority: Option<Arc<Authority>>,
    /// For the life of the process.
    journal: Arc<Journal>,
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

/// One socket and the task that accepts on it.
#[derive(Debug)]
struct Accepting {
    address: SocketAddr,
    /// It was opened by somebody else, and stays with its listener for as long as that is configured.
    is_inherited: bool,
    socket: Arc<TcpListener>,
    _task: AbortOnDropHandle<()>,
}

impl Accepting {
    /// Closes the socket now: an aborted task is dropped some time later. An inherited one is only let go of; who
    /// opened it goes on listening.
    fn close(self) {
        if !self.is_inherited
            && let Err(error) = SockRef::from(&*self.socket).shutdown(Shutdown::Both)
        {
            warn!(address = %self.address, %error, "a listening socket could not be shut down");
        }
    }
}

/// One backend, and the tasks that look after its servers.
#[derive(Debug)]
struct Serving {
    backend: Arc<Backend>,
    _checks: Vec<AbortOnDropHandle<()>>,
}

impl Server {
    /// Starts with a configuration. Must be called on a tokio runtime.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with certificates at once; otherwise the first socket that cannot be had.
    pub async fn start(config: Config, inherited: Inherited) -> Result<Self, StartError> {
        let registry = Arc::new(PortRegistry::new());
        let limits = Arc::new(SharedLimits::default());
        let sessions = TaskTracker::new();
        let stage = watch::Sender::new(Stage::Running);
        let policies = watch::Sender::new(Arc::clone(&config.policy));
        let mut state = State {
            config: config.clone(),
            limits: Arc::clone(&limits),
            listeners: BTreeMap::new(),
            backends: HashMap::new(),
            authority: None,
            journal: Arc::default(),
            certificates: Vec::new(),
            trusts: Vec::new(),
        };
        let prepared = state.prepare(config, inherited, &registry, &policies).await?;
        state.install(prepared, &sessions, &stage);
        let state = Arc::new(Mutex::new(state));
        let refresh = tokio::spawn(refresh_certificates(Arc::clone(&state)));
        let summaries = tokio::spawn(summarise_refusals(Arc::clone(&limits)));
        Ok(Self {
            started: Instant::now(),
            registry,
            limits,
            sessions,
            stage,
            policies,
            state,
            _chores: [refresh, summaries].map(AbortOnDropHandle::new),
        })
    }

    /// Puts another configuration in place of the present one, or changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn reload(&self, config: Config) -> Result<(), StartError> {
        let mut state = self.state.lock().await;
        let prepared = state.prepare(config, Inherited::new(), &self.registry, &self.policies).await?;
        state.install(prepared, &self.sessions, &self.stage);
        // Last: a session that begins meanwhile has the new one, or hears of it.
        self.policies.send_replace(Arc::clone(&state.config.policy));
        Ok(())
    }

    /// The limits, and what was counted.
    pub fn limits(&self) -> &SharedLimits {
        &self.limits
    }

    /// What runs now.
    pub async fn snapshot(&self) -> Snapshot {
        let state = self.state.lock().await;
        let listeners = state.listeners.iter().map(|(name, listening)| ListenerSnapshot {
            name: name.clone(),
            mode: listening.gate.service.load().listener.mode,
            addresses: listening.sockets.iter().map(|(_, accepting)| accepting.address).collect(),
            sessions: listening.gate.sessions(),
        });
        let mut backends: Vec<_> =
            state.backends.values().map(|serving| Arc::clone(&serving.backend)).collect();
        backends.sort_by(|one, other| one.config().name.cmp(&other.config().name));
        Snapshot {
            name: state.config.gateway.name.clone(),
            uptime: self.started.elapsed(),
            listeners: listeners.collect(),
            backends,
        }
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

    /// Writes what is left of the audit log; to be called when no session is left.
    pub async fn finish_audit(&self) {
        let journal = Arc::clone(&self.state.lock().await.journal);
        let finish = tokio::task::spawn_blocking(move || journal.finish(AUDIT_TIMEOUT));
        if !matches!(timeout(AUDIT_TIMEOUT * 2, finish).await, Ok(Ok(()))) {
            warn!("the audit log was not written to its end");
        }
    }

    async fn close_listeners(&self) {
        close_all(std::mem::take(&mut self.state.lock().await.listeners));
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
                    let servers = backend.servers().iter();
                    let _checks = servers
                        .map(|server| look_after(Arc::clone(&backend), Arc::clone(server)))
                        .map(|task| AbortOnDropHandle::new(tokio::spawn(task)))
                        .collect();
                    Serving { backend, _checks }
                }
            };
            self.backends.insert(name, serving);
        }
        // Before anybody is served who is to be recorded.
        self.journal.install(prepared.audit);
        let (limits, groups) = (&prepared.config.limits, &prepared.config.rules.groups);
        self.limits
            .reload(limits.clone(), groups.clone())
            .expect("limits were checked with their configuration");
        self.install_listeners(prepared.listeners, sessions, stage);
        self.authority = prepared.authority;
        self.certificates = prepared.certificates;
        self.trusts = prepared.trusts;
        self.config = prepared.config;
    }
}

impl State {
    fn install_listeners(
        &mut self,
        prepared: Vec<prepare::PreparedListener>,
        sessions: &TaskTracker,
        stage: &watch::Sender<Stage>,
    ) {
        let serve = |socket, address, is_inherited, gate: &Arc<Gate>| {
            let accept =
                listener::accept(Arc::clone(&socket), Arc::clone(gate), sessions.clone(), stage.subscribe());
            let _task = AbortOnDropHandle::new(tokio::spawn(accept));
            Accepting { address, is_inherited, socket, _task }
        };
        let mut old = std::mem::take(&mut self.listeners);
        let mut moved = Vec::new();
        for listener in prepared {
            let name = listener.service.listener.name.clone();
            let gate = match old.get(&name) {
                Some(old) => {
                    old.gate.service.store(Arc::clone(&listener.service));
                    Arc::clone(&old.gate)
                }
                None => Arc::new(Gate::new(Arc::clone(&listener.service))),
            };
            let mut sockets = Vec::new();
            for (asked, bound) in listener.sockets {
                match bound {
                    BoundSocket::Kept => {
                        let kept = old.get_mut(&name).and_then(|old| old.take(asked));
                        sockets.extend(kept.map(|kept| (asked, kept)));
                    }
                    // Only once every listener has kept its own.
                    BoundSocket::Taken => moved.push((name.clone(), asked)),
                    BoundSocket::New { socket, address, is_inherited } => {
                        sockets.push((asked, serve(Arc::new(socket), address, is_inherited, &gate)));
                    }
                }
            }
            self.listeners.insert(name, Listening { gate, sockets });
        }
        for (name, asked) in moved {
            let taken = old.values_mut().find_map(|old| old.take(asked));
            if let (Some(taken), Some(listening)) = (taken, self.listeners.get_mut(&name)) {
                info!(listener = name, address = %taken.address, channel = "control", "listening");
                let serving = serve(taken.socket, taken.address, taken.is_inherited, &listening.gate);
                listening.sockets.push((asked, serving));
            }
        }
        close_all(old);
    }
}

impl Listening {
    /// Whether one of its sockets was asked for with this address, or has it.
    fn has(&self, address: SocketAddr) -> bool {
        self.position(address).is_some()
    }

    fn take(&mut self, address: SocketAddr) -> Option<Accepting> {
        let index = self.position(address)?;
        Some(self.sockets.swap_remove(index).1)
    }

    fn position(&self, address: SocketAddr) -> Option<usize> {
        self.sockets.iter().position(|(asked, socket)| *asked == address || socket.address == address)
    }
}

fn close_all(listeners: BTreeMap<String, Listening>) {
    for (name, listening) in listeners {
        for (_, accepting) in listening.sockets {
            info!(listener = name, address = %accepting.address, "no longer listening");
            accepting.close();
        }
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

/// Says now and then what limits have refused without a record of its own.
async fn summarise_refusals(limits: Arc<SharedLimits>) {
    let mut ticks = interval(SUMMARY_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        limits.summarise();
    }
}

/// Between two summaries of refusals.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at the certificate files.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// For the last records to be written.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(5);
/// For sessions to say their last words.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
