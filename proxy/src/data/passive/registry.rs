//! The process's ports for data connections that others open: which are open, and who may lease one.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::lease::{DataSocket, Lease, NoPort};
use super::peers::Peers;
use super::plan::{
    AutoKey, PlannedPort, PortKey, PortRequest, PortSet, PortUser, plan_auto, plan_ranges, wildcard,
};
use super::port::{Ending, Expectation, Origin, Port, Vacancy, Waiter};
use super::socket::{Socket, bind};
use crate::config::{PassivePeer, PassivePorts};
use crate::socket;

/// All such ports of the process; one per process, shared by its listeners and backends.
#[derive(Default)]
pub struct PortRegistry {
    shared: Arc<Shared>,
}

impl PortRegistry {
    /// Without any ports.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the open ports those that `requests` ask for, and answers the set of each of those who asked.
    ///
    /// New sockets are bound first; if one cannot be, nothing changes. Ports that nobody asks for any more close, those
    /// with a lease when it ends. Ports of the kernel's choice stay the same. Must be called on a tokio runtime.
    pub fn apply(&self, requests: &[PortRequest]) -> Result<HashMap<PortUser, PortSet>, BindError> {
        let mut state = self.shared.state();
        let mut planned = plan_ranges(requests);
        let mut opened = state.open_missing(&planned)?;

        let mut auto = BTreeMap::new();
        for (key, count) in plan_auto(requests) {
            let mut ports = state.auto.get(&key).cloned().unwrap_or_default();
            ports.truncate(usize::from(count));
            while ports.len() < usize::from(count) {
                let (listener, bound) = bind_auto(key.address).map_err(|error| {
                    let mut users = requests.iter().filter(|one| one.addresses.contains(&key.address));
                    let user = users.find(|one| AutoKey::new(&one.user, key.address) == key);
                    error.of(user.map(|request| &request.user))
                })?;
                ports.push(bound.port());
                opened.push((listener, bound));
            }
            auto.insert(key, ports);
        }
        let sets = port_sets(requests, &auto);
        for request in requests.iter().filter(|request| matches!(request.ports, PassivePorts::Auto(_))) {
            for (address, port) in sets[&request.user].iter() {
                planned.entry(PortKey::new(address, port)).or_default().add(request, address);
            }
        }
        state.swap_conflicting(&planned, &mut opened, &self.shared)?;

        // Nothing can fail from here on.
        state.auto = auto;
        for (listener, address) in opened {
            let key = PortKey::new(address.ip(), address.port());
            for user in planned[&key].users_of(address.ip()) {
                match user {
                    PortUser::Listener(listener) => {
                        tracing::info!(listener, %address, channel = "data", "listening");
                    }
                    PortUser::Backend(backend) => {
                        tracing::info!(backend, %address, channel = "data", "listening");
                    }
                }
            }
            state.ports.entry(key).or_default().sockets.push(Socket::serve(listener, address, &self.shared));
        }
        state.ports.retain(|key, port| {
            port.planned = planned.contains_key(key);
            if let Some(planned) = planned.get(key) {
                port.proxies.clone_from(&planned.proxies);
                port.sockets.retain(|socket| planned.addresses.contains(&socket.address));
            }
            port.planned || port.is_leased()
        });
        drop(state);
        self.shared.vacated.notify_waiters();
        Ok(sets)
    }

    /// Takes a free port of `set` for a session: its control connection was accepted on `local` and came from `client`.
    /// The client, or whoever `rule` lets stand for it, is expected for the time of `patience`.
    ///
    /// Where data connections come through a balancer, `local` is the gateway's own end of the control connection, not
    /// the address that the client dialled: the balancer's may be of another family.
    ///
    /// Waits up to two seconds for a port.
    pub async fn lease(
        &self,
        set: &PortSet,
        local: IpAddr,
        client: IpAddr,
        rule: PassivePeer,
        patience: Duration,
    ) -> Result<Lease, NoPort> {
        let peers = Peers::of(client, rule);
        let expected = Expected { peers, proxies: &set.proxies, resets_on_drop: false };
        self.lease_for(set, local, expected, patience).await
    }

    async fn lease_for(
        &self,
        set: &PortSet,
        local: IpAddr,
        expected: Expected<'_>,
        patience: Duration,
    ) -> Result<Lease, NoPort> {
        let local = local.to_canonical();
        let ports = set.for_local(local).filter(|ports| !ports.is_empty()).ok_or(NoPort::Unavailable)?;
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            // Registered before the look at the ports: a port that is freed in between is not missed.
            let vacated = self.shared.vacated.notified();
            let now = Instant::now();
            let wake = match self.shared.try_lease(ports, local, expected, now + patience, now) {
                Ok(lease) => return Ok(lease),
                Err(_) if now >= deadline => return Err(NoPort::Busy),
                Err(rested) => rested.map_or(deadline, |rested| rested.min(deadline)),
            };
            // Either a port was vacated, or one has rested, or time is up: the next round tells.
            let _ = timeout_at(wake, vacated).await;
        }
    }

    /// Takes a free port of a backend's `set` for its `server` to dial: `local` is our end of the control connection to
    /// it. The server alone is expected, for the time of `patience`.
    ///
    /// All sessions of a server compete for its ports: a lease is to be dropped as soon as it has given its connection,
    /// and to be withdrawn where the server refused the transfer. Its connection is reset if nobody takes it: a server
    /// must not take an upload that never began for an empty file.
    ///
    /// Waits up to two seconds for a port.
    pub async fn lease_for_backend(
        &self,
        set: &PortSet,
        local: IpAddr,
        server: IpAddr,
        patience: Duration,
    ) -> Result<Lease, NoPort> {
        let peers = Peers::of(server, PassivePeer::Exact);
        let expected = Expected { peers, proxies: &set.proxies, resets_on_drop: true };
        self.lease_for(set, local, expected, patience).await
    }
}

impl Drop for PortRegistry {
    fn drop(&mut self) {
        // Leases hold the shared half; the sockets close now.
        self.shared.state().ports.clear();
    }
}

impl std::fmt::Debug for PortRegistry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PortRegistry").field("ports", &self.shared.state().ports.len()).finish()
    }
}

/// A port that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{user} cannot listen on {address} for {mode} data connections", mode = self.mode())]
pub struct BindError {
    /// For whom.
    pub user: PortUser,
    /// Where; port 0 stands for any.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub error: io::Error,
}

impl BindError {
    fn mode(&self) -> &'static str {
        match self.user {
            PortUser::Listener(_) => "passive",
            PortUser::Backend(_) => "active",
        }
    }
}

/// Whom a lease is for.
#[derive(Clone, Copy)]
struct Expected<'a> {
    peers: Peers,
    proxies: &'a Arc<[IpNet]>,
    resets_on_drop: bool,
}

/// What the registry shares with its leases and sockets.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    vacated: Notify,
}

impl Shared {
    /// Held for moments only, never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection from `peer` begins with a PROXY header.
    pub(super) fn is_proxy(&self, key: PortKey, peer: IpAddr) -> bool {
        self.state().ports.get(&key).is_some_and(|port| port.is_proxy(peer))
    }

    /// Gives a connection to whoever expects it; a stranger's comes back.
    pub(super) fn hand_over(&self, key: PortKey, tcp: TcpStream, origin: Origin) -> Result<(), TcpStream> {
        let waiter = self.state().ports.get_mut(&key).and_then(|port| port.accept(origin, Instant::now()));
        let Some(waiter) = waiter else { return Err(tcp) };
        if waiter.resets_on_drop {
            socket::reset_on_drop(&tcp, true);
        }
        // The lease may have been dropped just now; then nobody wants the connection.
        waiter.sender.send(DataSocket::new(tcp, origin.peer)).map_err(DataSocket::into_tcp)
    }

    /// Ends a lease; a second time does nothing.
    pub(super) fn release(&self, key: PortKey, id: u64, ending: Ending) {
        let mut state = self.state();
        let Some(port) = state.ports.get_mut(&key) else { return };
        port.release(id, ending, Instant::now());
        if !port.planned && !port.is_leased() {
            state.ports.remove(&key);
        }
        drop(state);
        self.vacated.notify_waiters();
    }

    /// Leases one of `ports`, or says when the first of those that rest has rested.
    fn try_lease(
        self: &Arc<Self>,
        ports: &[u16],
        local: IpAddr,
        expected: Expected<'_>,
        until: Instant,
        now: Instant,
    ) -> Result<Lease, Option<Instant>> {
        let Expected { peers, proxies, resets_on_drop } = expected;
        let mut state = self.state();
        let key = state.draw(ports, local, peers, now)?;
        let (waiter, arrival) = oneshot::channel();
        state.leases += 1;
        let id = state.leases;
        state.last_used = Some(key);
        let port = state.ports.get_mut(&key).expect("a port that was drawn is open");
        let waiter = Some(Waiter { sender: waiter, resets_on_drop });
        port.expect(Expectation { id, peers, proxies: Arc::clone(proxies), until, waiter });
        Ok(Lease { shared: Arc::clone(self), key, id, until, arrival: Some(arrival) })
    }
}

#[derive(Default)]
struct State {
    ports: HashMap<PortKey, Port>,
    /// Ports of the kernel's choice.
    auto: BTreeMap<AutoKey, Vec<u16>>,
    /// How many leases there ever were; names the next one.
    leases: u64,
    last_used: Option<PortKey>,
}

impl State {
    /// Binds what `planned` wants and is not open, save where an open socket stands in the way.
    fn open_missing(
        &self,
        planned: &BTreeMap<PortKey, PlannedPort>,
    ) -> Result<Vec<(TcpListener, SocketAddr)>, BindError> {
        let mut opened = Vec::new();
        for (key, planned) in planned {
            for &address in &planned.addresses {
                let open = self.ports.get(key).map_or(&[][..], |port| &port.sockets);
                if !open.iter().any(|socket| socket.address == address || conflict(socket.address, address)) {
                    let socket = bind_at(SocketAddr::new(address, key.port));
                    opened.push(socket.map_err(|error| error.of(planned.users_of(address).next()))?);
                }
            }
        }
        Ok(opened)
    }

    /// Replaces a wildcard by addresses or the other way round: the kernel refuses to listen on both at once, so the
    /// old socket has to go first. Expectations belong to the port and stay.
    fn swap_conflicting(
        &mut self,
        planned: &BTreeMap<PortKey, PlannedPort>,
        opened: &mut Vec<(TcpListener, SocketAddr)>,
        shared: &Arc<Shared>,
    ) -> Result<(), BindError> {
        let mut closed = Vec::new();
        let before = opened.len();
        for (key, planned) in planned {
            let Some(port) = self.ports.get_mut(key) else { continue };
            let in_the_way = |open: IpAddr| planned.addresses.iter().any(|&wanted| conflict(open, wanted));
            let old: Vec<_> = port.sockets.extract_if(.., |socket| in_the_way(socket.address)).collect();
            if old.is_empty() {
                continue;
            }
            closed.extend(old.iter().map(|socket| SocketAddr::new(socket.address, key.port)));
            drop(old);
            for &address in &planned.addresses {
                match bind_at(SocketAddr::new(address, key.port)) {
                    Ok(socket) => opened.push(socket),
                    Err(error) => {
                        opened.truncate(before);
                        self.reopen(closed, shared);
                        return Err(error.of(planned.users_of(address).next()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes back a swap that failed.
    fn reopen(&mut self, closed: Vec<SocketAddr>, shared: &Arc<Shared>) {
        for address in closed {
            match bind_at(address) {
                Ok((listener, address)) => {
                    let port = self.ports.entry(PortKey::new(address.ip(), address.port())).or_default();
                    port.sockets.push(Socket::serve(listener, address, shared));
                }
                Err(error) => tracing::error!(%address, error = %error.error, "data port lost in a reload"),
            }
        }
    }

    /// A port that `peers` may use, at random; the one used last only if there is no other.
    fn draw(
        &self,
        ports: &[u16],
        local: IpAddr,
        peers: Peers,
        now: Instant,
    ) -> Result<PortKey, Option<Instant>> {
        let vacancy =
            |key: &PortKey| self.ports.get(key).map_or(Vacancy::Gone, |port| port.vacancy(peers, now));
        for _ in 0..DRAWS_MAX {
            let key = PortKey::new(local, ports[random_below(ports.len())]);
            if self.last_used != Some(key) && vacancy(&key) == Vacancy::Free {
                return Ok(key);
            }
        }
        // Few are free, or none: look at all of them.
        let (mut free, mut rested) = (Vec::new(), None::<Instant>);
        for &port in ports {
            let key = PortKey::new(local, port);
            match vacancy(&key) {
                Vacancy::Free => free.push(key),
                Vacancy::RestsUntil(until) => rested = Some(rested.map_or(until, |first| first.min(until))),
                Vacancy::Leased | Vacancy::Gone => {}
            }
        }
        if free.len() > 1 {
            free.retain(|key| self.last_used != Some(*key));
        }
        match free.len() {
            0 => Err(rested),
            count => Ok(free[random_below(count)]),
        }
    }
}

fn port_sets(requests: &[PortRequest], auto: &BTreeMap<AutoKey, Vec<u16>>) -> HashMap<PortUser, PortSet> {
    let sets = requests.iter().map(|request| {
        let mut set = PortSet::new(Arc::clone(&request.proxies));
        match &request.ports {
            PassivePorts::Range(range) => {
                let ports: Arc<[u16]> = range.clone().collect();
                request.addresses.iter().for_each(|&address| set.insert(address, Arc::clone(&ports)));
            }
            PassivePorts::Auto(count) => {
                for &address in &request.addresses {
                    let ports = &auto[&AutoKey::new(&request.user, address)];
                    set.insert(address, ports[..usize::from(*count)].into());
                }
            }
        }
        (request.user.clone(), set)
    });
    sets.collect()
}

/// Whether the kernel refuses to listen on both: one is the wildcard of the other's family.
fn conflict(open: IpAddr, wanted: IpAddr) -> bool {
    open != wanted && (wildcard(open) == wanted || wildcard(wanted) == open)
}

/// A port that could not be opened, before it is known for whom.
struct Unbound {
    address: SocketAddr,
    error: io::Error,
}

impl Unbound {
    fn of(self, user: Option<&PortUser>) -> BindError {
        let user = user.expect("a port is opened for somebody").clone();
        BindError { user, address: self.address, error: self.error }
    }
}

fn bind_at(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Unbound> {
    bind(address).map_err(|error| Unbound { address, error })
}

/// The kernel may name a port that another socket takes before we listen.
fn bind_auto(address: IpAddr) -> Result<(TcpListener, SocketAddr), Unbound> {
    let address = SocketAddr::new(address, 0);
    let mut tries = 0..AUTO_TRIES;
    loop {
        match bind_at(address) {
            Err(taken) if taken.error.kind() == io::ErrorKind::AddrInUse && tries.next().is_some() => {}
            result => return result,
        }
    }
}

/// A uniform index from the CSPRNG. The bias of 64 random bits over a port range is below 2⁻⁴⁸.
fn random_below(count: usize) -> usize {
    let mut bytes = [0; size_of::<u64>()];
    rand::fill(&mut bytes).expect("the system has a random source");
    ((u128::from(u64::from_ne_bytes(bytes)) * count as u128) >> u64::BITS) as usize
}

/// How long a session waits for a port before its client gets 425.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Draws before all ports are looked at one by one.
const DRAWS_MAX: usize = 16;

const AUTO_TRIES: usize = 8;
