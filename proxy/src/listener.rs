//! Accepting clients: admit, spawn, never wait for one of them.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use ftpsgate_ftp::codec::Reply;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::field::display;
use tracing::{Instrument, Span, debug, info_span, warn};
use uuid::Uuid;

use crate::config::Mode;
use crate::driver::{self, Stage, audit};
use crate::limits::{Refusal, Refused, Ticket};
use crate::proxy_protocol::{Endpoints, Header, HeaderError, read_header};
use crate::service::Service;

/// What all sockets of one listener share.
#[derive(Debug)]
pub struct Gate {
    /// What new sessions are served with; a reload replaces it.
    pub service: ArcSwap<Service>,
    /// Sessions that are open.
    sessions: AtomicUsize,
}

impl Gate {
    /// A gate without sessions.
    pub fn new(service: Arc<Service>) -> Self {
        Self { service: ArcSwap::new(service), sessions: AtomicUsize::new(0) }
    }

    /// Sessions that are open.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Takes a place for one more session, if there is one.
    fn admit(self: &Arc<Self>, sessions_max: usize) -> Option<Place> {
        let taken = self.sessions.fetch_update(Ordering::AcqRel, Ordering::Acquire, |sessions| {
            (sessions < sessions_max).then_some(sessions + 1)
        });
        taken.is_ok().then(|| Place(Arc::clone(self)))
    }
}

/// One session's place; dropping it frees it.
struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Accepts clients until the task is dropped or the socket is shut down. What it needs it has from the start, not from
/// its first poll.
pub fn accept(
    socket: Arc<TcpListener>,
    gate: Arc<Gate>,
    sessions: TaskTracker,
    stage: watch::Receiver<Stage>,
) -> impl Future<Output = ()> + Send {
    let mut spare = Spare::take(&socket);
    let mut is_exhausted = false;
    async move {
        loop {
            match socket.accept().await {
                Ok((stream, client)) => {
                    // A client that is turned away is recorded, too.
                    let service = gate.service.load_full();
                    if !service.journal.has_room() {
                        service.journal.room().await;
                    }
                    drop(service);
                    admit(stream, client, &gate, &sessions, &stage);
                    is_exhausted = false;
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        if !is_exhausted {
                            warn!(%error, "out of resources: clients are turned away");
                            is_exhausted = true;
                        }
                        spare.turn_one_away(&socket, gate.service.load().listener.mode);
                        // What is open must get a chance to close.
                        tokio::time::sleep(PAUSE).await;
                        spare = Spare::take(&socket);
                    }
                    // The socket was shut down by its owner.
                    Some(Errno::INVAL) => return,
                    // Everything else concerns one client that has gone already.
                    Some(_) | None => {}
                },
            }
        }
    }
}

/// A descriptor that is given up when there is no other, so that a client learns why it is not served.
struct Spare(Option<OwnedFd>);

impl Spare {
    fn take(socket: &TcpListener) -> Self {
        Self(socket.as_fd().try_clone_to_owned().ok())
    }

    fn turn_one_away(self, socket: &TcpListener, mode: Mode) {
        drop(self.0);
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok((stream, _))) = socket.poll_accept(&mut context) {
            turn_away(&stream, mode);
        }
    }
}

fn admit(
    stream: TcpStream,
    client: SocketAddr,
    gate: &Arc<Gate>,
    sessions: &TaskTracker,
    stage: &watch::Receiver<Stage>,
) {
    let service = gate.service.load_full();
    let Ok(dialled) = stream.local_addr() else { return };
    let ends = Endpoints { client, dialled };
    if !has_descriptors_behind(&stream) {
        warn!(listener = service.listener.name, %client, "too few file descriptors for another session");
        audit::turned_away(&service, ends, "descriptors");
        return turn_away(&stream, service.listener.mode);
    }
    let Some(place) = gate.admit(service.listener.max_sessions) else {
        warn!(listener = service.listener.name, %client, "too many sessions");
        audit::turned_away(&service, ends, "max_sessions");
        return turn_away(&stream, service.listener.mode);
    };
    let is_proxied = is_balancer(&service, client);
    let ticket = match (!is_proxied).then(|| admit_client(&service, ends)).transpose() {
        Ok(ticket) => ticket,
        Err(refusal) => return refuse(&stream, service.listener.mode, refusal),
    };
    let id = Uuid::now_v7();
    let span = info_span!(
        "session",
        id = %id.simple(),
        listener = service.listener.name,
        client = (!is_proxied).then(|| display(shown(client))),
        proxy = is_proxied.then(|| display(shown(client))),
    );
    let stage = stage.clone();
    // A place is held while a header is waited for, so that there is a bound to these, too.
    let session = async move {
        match ticket {
            Some(ticket) => driver::run(service, ticket, stream, (id, ends), stage).await,
            // Boxed, so that no other session has to be as large as this.
            None => Box::pin(serve_proxied(service, stream, (id, ends), stage)).await,
        }
        drop(place);
    };
    sessions.spawn(session.instrument(span));
}

/// Whether connections from this address begin with a PROXY header.
fn is_balancer(service: &Service, peer: SocketAddr) -> bool {
    let peer = peer.ip().to_canonical();
    service.listener.proxy_protocol_from.iter().any(|network| network.contains(&peer))
}

/// Serves the client in whose name a balancer connected. Without its header the connection ends without a word.
async fn serve_proxied(
    service: Arc<Service>,
    mut stream: TcpStream,
    (id, own): (Uuid, Endpoints),
    mut stage: watch::Receiver<Stage>,
) {
    let patience = service.listener.handshake_timeout;
    let header = tokio::select! {
        header = read_header(&mut stream, patience) => header,
        // Nobody is served any more: there is nothing to finish.
        _ = stage.wait_for(|stage| *stage > Stage::Running) => return,
    };
    match header {
        Ok(header) => {
            let ends = match header {
                Header::Proxied(ends) => ends,
                Header::Local => own,
            };
            Span::current().record("client", display(shown(ends.client)));
            match admit_client(&service, ends) {
                Ok(ticket) => driver::run(service, ticket, stream, (id, ends), stage).await,
                Err(refusal) => refuse(&stream, service.listener.mode, refusal),
            }
        }
        // That is how balancers look whether a port is open.
        Err(error @ HeaderError::Closed) => debug!(%error, "connection closed"),
        Err(error) => {
            audit::violated(&service, own, "client.proxy_header");
            warn!(event = "client.proxy_header", %error, "protocol violation");
        }
    }
}

/// An IPv4-mapped address as IPv4.
fn shown(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Asks the limits. A refusal is recorded.
fn admit_client(service: &Service, ends: Endpoints) -> Result<Ticket, Refusal> {
    service.limits.admit(&service.listener.name, ends.client.ip()).map_err(|Refused { refusal, limit }| {
        audit::turned_away(service, ends, &limit);
        refusal
    })
}

fn refuse(stream: &TcpStream, mode: Mode, refusal: Refusal) {
    match refusal {
        Refusal::Sessions => turn_away(stream, mode),
        Refusal::Connections => say_goodbye(stream, mode, "Too many connections; try again later."),
    }
}

fn turn_away(stream: &TcpStream, mode: Mode) {
    say_goodbye(stream, mode, "Too many sessions; try again later.");
}

/// 421 where it can be said without a handshake; a socket that was just accepted takes a line without waiting.
fn say_goodbye(stream: &TcpStream, mode: Mode, text: &'static str) {
    match mode {
        Mode::Explicit | Mode::Plain => {
            let reply = Reply::new(421, text);
            if let Err(error) = stream.try_write(&reply.encode()) {
                tracing::debug!(%error, "the client has gone already");
            }
        }
        Mode::Implicit => {}
    }
}

/// Whether enough descriptors are left for a new session and for the data connections of those that run. The kernel
/// gives the lowest free number, so the number of the newest socket tells how many are taken.
fn has_descriptors_behind(stream: &TcpStream) -> bool {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return true };
    let kept = (limit / DESCRIPTORS_KEPT_DIVISOR).max(DESCRIPTORS_KEPT_MIN);
    u64::try_from(stream.as_raw_fd()).is_ok_and(|number| number + kept < limit)
}

/// One descriptor in so many is kept for sessions that are open…
const DESCRIPTORS_KEPT_DIVISOR: u64 = 8;
/// …and at least so many.
const DESCRIPTORS_KEPT_MIN: u64 = 8;
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(200);
