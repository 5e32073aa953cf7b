//! Bringing a session to a server: choosing one, waiting for room, and telling the server's health what came of it.
//!
//! A session that waits is handed the next place that becomes free, so that none overtakes it. Everything here may be
//! cancelled at any time: a place is given back when it is dropped.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ftpsgate_ftp::session::{RequestedServer, UpstreamFailure};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::balance::{self, Candidate, Choice, Key};
use super::{Backend, Server};

/// One login's search for a server: it remembers which were tried. Cheap; shared with the job that dials.
#[derive(Debug)]
pub struct Attempt {
    backend: Arc<Backend>,
    tried: Mutex<Vec<Arc<Server>>>,
}

/// One session's place at a server; dropping it makes room for another.
#[derive(Debug)]
pub struct Place {
    /// `None` only while it is being dropped.
    server: Option<Arc<Server>>,
}

impl Attempt {
    pub(super) fn new(backend: Arc<Backend>) -> Self {
        Self { backend, tried: Mutex::default() }
    }

    /// Chooses a server that this login has not tried yet, and waits for room there: half of `connect_timeout` at most.
    /// The server counts as tried. `requested` is taken whatever its health, and no other server.
    ///
    /// # Errors
    ///
    /// [`UpstreamFailure::NoServer`]: none is left. [`UpstreamFailure::Full`]: none had room in time.
    pub async fn place(
        &self,
        client: IpAddr,
        user: &[u8],
        requested: Option<&RequestedServer>,
    ) -> Result<Place, UpstreamFailure> {
        let place = match requested {
            Some(requested) => self.place_at(self.backend.requested(requested)).await?,
            None => self.place_at_any(Key { client: client.to_canonical(), user }).await?,
        };
        self.tried().push(Arc::clone(place.server()));
        Ok(place)
    }

    /// For room. The session itself waits a little longer, and is to hear that there was none.
    fn patience(&self) -> Duration {
        self.backend.config().connect_timeout / 2
    }

    /// A place at one of the backend's servers.
    async fn place_at_any(&self, key: Key<'_>) -> Result<Place, UpstreamFailure> {
        let deadline = Instant::now() + self.patience();
        loop {
            let waiting = match self.choose(key) {
                Chosen::Place(place) => return Ok(place),
                Chosen::Nobody => return Err(UpstreamFailure::NoServer),
                Chosen::Wait(waiting) => waiting,
            };
            match waiting.place(deadline).await {
                Waited::Place(place) => return Ok(place),
                // A server's state has changed.
                Waited::ChooseAgain => {}
                Waited::TooLong => return Err(UpstreamFailure::Full),
            }
        }
    }

    /// A place at this very server.
    async fn place_at(&self, server: Arc<Server>) -> Result<Place, UpstreamFailure> {
        if self.tried().iter().any(|tried| tried.is_same(&server) || tried.address() == server.address()) {
            return Err(UpstreamFailure::NoServer);
        }
        let deadline = Instant::now() + self.patience();
        let limit = self.backend.sessions_max();
        loop {
            let waiting = {
                let mut waiters = server.queue.waiters();
                if server.sessions() < limit {
                    return Ok(Place::new(server.clone()));
                }
                server.queue.wait(&mut waiters, vec![Arc::clone(&server)], limit)
            };
            match waiting.place(deadline).await {
                Waited::Place(place) => return Ok(place),
                Waited::ChooseAgain => {}
                Waited::TooLong => return Err(UpstreamFailure::Full),
            }
        }
    }

    /// Chooses, and takes the place or a number in the queue, in one step.
    fn choose(&self, key: Key<'_>) -> Chosen {
        let now = Instant::now();
        let limit = self.backend.sessions_max();
        let servers = self.backend.servers();
        let tried = self.tried();
        let mut waiters = self.backend.queue.waiters();
        let mut candidates: Vec<Candidate<'_>> = servers
            .iter()
            .map(|server| server.candidate(now, limit, tried.iter().any(|tried| tried.is_same(server))))
            .collect();
        let choice = balance::choose(self.backend.config().balance, &mut candidates, key);
        for (server, candidate) in servers.iter().zip(&candidates) {
            server.set_credit(candidate.credit);
        }
        match choice {
            Choice::Server(index) => Chosen::Place(Place::new(Arc::clone(&servers[index]))),
            Choice::Full(indices) => {
                let wanted = indices.into_iter().map(|index| Arc::clone(&servers[index])).collect();
                Chosen::Wait(self.backend.queue.wait(&mut waiters, wanted, limit))
            }
            Choice::Nobody => Chosen::Nobody,
        }
    }

    fn tried(&self) -> MutexGuard<'_, Vec<Arc<Server>>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Chosen {
    Place(Place),
    Wait(Waiting),
    Nobody,
}

impl Place {
    /// One more session there. Under the queue's lock.
    fn new(server: Arc<Server>) -> Self {
        server.add_session();
        Self { server: Some(server) }
    }

    /// Where it is.
    pub fn server(&self) -> &Arc<Server> {
        self.server.as_ref().expect("a place has its server until it is dropped")
    }
}

impl Drop for Place {
    /// The place goes to who has waited longest for this server; else it is free.
    fn drop(&mut self) {
        // Given back already: its grant was not taken.
        let Some(own) = self.server.take() else { return };
        let mut waiters = own.queue.waiters();
        own.remove_session();
        while let Some(waiter) = waiters.next_for(&own) {
            let Some(server) = waiter.wanted.into_iter().find(|server| server.is_same(&own)) else { return };
            let Err(mut refused) = waiter.grant.send(Place::new(server)) else { return };
            // Who waited has just given up.
            refused.server = None;
            own.remove_session();
        }
    }
}

/// The sessions that wait for room at a backend's servers.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiters: Mutex<Waiters>,
}

impl Queue {
    /// Lets all who wait choose again: a server's state has changed.
    pub(super) fn reconsider(&self) {
        self.waiters().list.clear();
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a number.
    fn wait(self: &Arc<Self>, waiters: &mut Waiters, wanted: Vec<Arc<Server>>, limit: usize) -> Waiting {
        let (grant, granted) = oneshot::channel();
        let number = waiters.next_number;
        waiters.next_number += 1;
        waiters.list.push_back(Waiter { number, wanted, limit, grant });
        Waiting { queue: Arc::clone(self), number, granted }
    }
}

/// Who waits, the longest first. As many as there are sessions, which listeners bound.
#[derive(Debug, Default)]
struct Waiters {
    list: VecDeque<Waiter>,
    next_number: u64,
}

impl Waiters {
    /// Who has waited longest for a server that has room.
    fn next_for(&mut self, server: &Server) -> Option<Waiter> {
        let sessions = server.sessions();
        let is_next = |waiter: &Waiter| {
            sessions < waiter.limit && waiter.wanted.iter().any(|wanted| wanted.is_same(server))
        };
        let index = self.list.iter().position(is_next)?;
        self.list.remove(index)
    }
}

/// One session in the queue.
#[derive(Debug)]
struct Waiter {
    number: u64,
    wanted: Vec<Arc<Server>>,
    /// Sessions that each of them may have.
    limit: usize,
    grant: oneshot::Sender<Place>,
}

/// A number in the queue, given back when it is dropped; with it a place that has just been granted.
struct Waiting {
    queue: Arc<Queue>,
    number: u64,
    granted: oneshot::Receiver<Place>,
}

enum Waited {
    Place(Place),
    ChooseAgain,
    TooLong,
}

impl Waiting {
    async fn place(mut self, deadline: Instant) -> Waited {
        match timeout_at(deadline, &mut self.granted).await {
            Ok(Ok(place)) => Waited::Place(place),
            Ok(Err(_)) => Waited::ChooseAgain,
            Err(_) => Waited::TooLong,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.waiters().list.retain(|waiter| waiter.number != self.number);
    }
}

/// A connection that a session makes to a server, from the dial to where the server may speak: how it ends is what the
/// server's health hears of it.
///
/// A server that had its time and did not answer has failed, even if the session's own deadline came a moment before
/// ours and the trial was dropped; a client that went away says nothing about the server.
#[derive(Debug)]
pub struct Trial {
    server: Arc<Server>,
    since: Instant,
    patience: Duration,
    is_over: bool,
    is_excused: bool,
}

impl Trial {
    /// Begins now.
    pub fn new(backend: &Backend, server: Arc<Server>) -> Self {
        let patience = backend.config().connect_timeout.mul_f64(PATIENCE_SHARE);
        Self { server, since: Instant::now(), patience, is_over: false, is_excused: false }
    }

    /// From here on the server knows whom we come for. It may turn away that client alone, who must not take it away from
    /// all others: a failure is only logged.
    pub fn excuse(&mut self) {
        self.is_excused = true;
    }

    /// The server did what it was to do so far.
    pub fn succeed(mut self) {
        self.is_over = true;
    }

    /// It did not.
    pub fn fail(mut self, reason: impl fmt::Display) -> UpstreamFailure {
        self.is_over = true;
        self.report(reason);
        UpstreamFailure::Unreachable
    }

    fn report(&self, reason: impl fmt::Display) {
        if self.is_excused {
            warn!(backend = self.server.backend(), server = %self.server, %reason, "the server turned a client away");
        } else {
            self.server.report_failure(reason);
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.is_over && self.since.elapsed() >= self.patience {
            self.report("no answer in time");
        }
    }
}

/// Of `connect_timeout`.
const PATIENCE_SHARE: f64 = 0.9;

#[cfg(test)]
mod tests;
