//! One port's expectations. Time is an argument; nothing here waits or does I/O.

use std::net::IpAddr;
use std::time::Duration;

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
    leased: Vec<Expectation>,
    resting: Vec<Rest>,
}

/// Whose connection the next one is.
pub(super) struct Expectation {
    pub(super) id: u64,
    pub(super) peers: Peers,
    pub(super) until: Instant,
    /// Taken when the connection comes. The lease stays until it is dropped, so that no other session gets this
    /// port while the client of this one might still connect to it.
    pub(super) waiter: Option<oneshot::Sender<DataSocket>>,
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

    /// The waiter for a connection from `peer`, if one is expected; it is expected no more then.
    pub(super) fn accept(&mut self, peer: IpAddr, now: Instant) -> Option<oneshot::Sender<DataSocket>> {
        self.leased
            .iter_mut()
            .find(|expectation| {
                expectation.waiter.is_some() && expectation.until > now && expectation.peers.contains(peer)
            })
            .and_then(|expectation| expectation.waiter.take())
    }

    /// Ends a lease. If nobody came, the port rests for those who were expected.
    pub(super) fn release(&mut self, id: u64, now: Instant) {
        self.resting.retain(|rest| rest.until > now);
        let Some(position) = self.leased.iter().position(|expectation| expectation.id == id) else { return };
        let expectation = self.leased.swap_remove(position);
        if expectation.waiter.is_some() {
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
