//! One port's expectations. Time is an argument; nothing here waits or does I/O.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::lease::DataSocket;
use super::peers::Peers;
use super::socket::Socket;

/// A port that listens.
#[derive(Default)]
pub(super) struct Port {
    pub(super) sockets: Vec<Socket>,
    /// False once the configuration names the port no more: it then lives until its last lease ends.
    pub(super) planned: bool,
    /// Whose connections begin with a PROXY header.
    pub(super) proxies: BTreeSet<IpNet>,
    leased: Vec<Expectation>,
    resting: Vec<Rest>,
}

/// Whose connection the next one is.
pub(super) struct Expectation {
    pub(super) id: u64,
    pub(super) peers: Peers,
    /// Who may dial for them, with a PROXY header.
    pub(super) proxies: Arc<[IpNet]>,
    pub(super) until: Instant,
    /// Taken when the connection comes. The lease stays until it is dropped, so that no other session gets this
    /// port while the client of this one might still connect to it.
    pub(super) waiter: Option<Waiter>,
}

/// Who is given the connection.
pub(super) struct Waiter {
    pub(super) sender: oneshot::Sender<DataSocket>,
    /// It is to end by RST if nobody takes it.
    pub(super) resets_on_drop: bool,
}

/// Who a connection is from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// By its PROXY header, where it has one.
    pub(super) peer: SocketAddr,
    /// Who said so.
    pub(super) proxy: Option<IpAddr>,
}

impl Origin {
    pub(super) fn direct(peer: SocketAddr) -> Self {
        Self { peer, proxy: None }
    }
}

/// How an expectation ended that nobody has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// A connection may still be on its way.
    Unmet,
    /// None will come.
    Withdrawn,
}

struct Rest {
    peers: Peers,
    until: Instant,
}

/// Whether a port may be leased for some peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vacancy {
    /// Now.
    Free,
    /// Not before then, and only if nobody takes it meanwhile.
    RestsUntil(Instant),
    /// When a lease ends.
    Leased,
    /// Never: the port is on its way out.
    Gone,
}

impl Port {
    pub(super) fn is_leased(&self) -> bool {
        !self.leased.is_empty()
    }

    pub(super) fn vacancy(&self, peers: Peers, now: Instant) -> Vacancy {
        if !self.planned {
            return Vacancy::Gone;
        }
        if self.leased.iter().any(|expectation| expectation.peers.overlap(peers)) {
            return Vacancy::Leased;
        }
        let resting = self.resting.iter().filter(|rest| rest.until > now && rest.peers.overlap(peers));
        resting.map(|rest| rest.until).max().map_or(Vacancy::Free, Vacancy::RestsUntil)
    }

    pub(super) fn expect(&mut self, expectation: Expectation) {
        self.leased.push(expectation);
    }

    /// Whether connections from `peer` begin with a PROXY header.
    pub(super) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(&peer))
    }

    /// The waiter for a connection from `origin`, if one is expected; it is expected no more then.
    pub(super) fn accept(&mut self, origin: Origin, now: Instant) -> Option<Waiter> {
        self.leased
            .iter_mut()
            .find(|expectation| {
                let is_trusted = |proxy| expectation.proxies.iter().any(|network| network.contains(&proxy));
                expectation.waiter.is_some()
                    && expectation.until > now
                    && expectation.peers.contains(origin.peer.ip())
                    && origin.proxy.is_none_or(is_trusted)
            })
            .and_then(|expectation| expectation.waiter.take())
    }

    /// Ends a lease. If nobody came, but still may, the port rests for those who were expected.
    pub(super) fn release(&mut self, id: u64, ending: Ending, now: Instant) {
        self.resting.retain(|rest| rest.until > now);
        let Some(position) = self.leased.iter().position(|expectation| expectation.id == id) else { return };
        let expectation = self.leased.swap_remove(position);
        if expectation.waiter.is_some() && ending == Ending::Unmet {
            if self.resting.len() == RESTING_MAX {
                self.resting.remove(0);
            }
            self.resting.push(Rest { peers: expectation.peers, until: now + REST });
        }
    }
}

/// A connection that was on its way when its expectation ended has long arrived after this.
const REST: Duration = Duration::from_secs(10);

/// Client addresses that one port remembers; sessions are bounded, so this is never near.
const RESTING_MAX: usize = 4096;
