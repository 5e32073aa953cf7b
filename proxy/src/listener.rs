//! Accepting clients: admit, spawn, never wait for one of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use ftpsgate_ftp::codec::Reply;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info_span, warn};
use uuid::Uuid;

use crate::config::Mode;
use crate::driver::{self, Stage};
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

/// Accepts clients until the task is dropped.
pub async fn accept(
    socket: TcpListener,
    gate: Arc<Gate>,
    sessions: TaskTracker,
    stage: watch::Receiver<Stage>,
) {
    loop {
        match socket.accept().await {
            Ok((stream, client)) => admit(stream, client, &gate, &sessions, &stage),
            Err(error) => {
                // Out of descriptors or memory: what is open must get a chance to close. Everything else concerns
                // one client that has gone already.
                if is_exhaustion(&error) {
                    warn!(%error, "cannot accept clients; pausing");
                    tokio::time::sleep(PAUSE).await;
                }
            }
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
    let Some(place) = gate.admit(service.listener.max_sessions) else {
        warn!(listener = service.listener.name, %client, "too many sessions");
        return turn_away(&stream, service.listener.mode);
    };
    let span = info_span!(
        "session",
        id = %Uuid::now_v7().simple(),
        listener = service.listener.name,
        client = %SocketAddr::new(client.ip().to_canonical(), client.port()),
    );
    let stage = stage.clone();
    let session = async move {
        driver::run(service, stream, client, dialled, stage).await;
        drop(place);
    };
    sessions.spawn(session.instrument(span));
}

/// 421 where it can be said without a handshake; a socket that was just accepted takes a line without waiting.
fn turn_away(stream: &TcpStream, mode: Mode) {
    match mode {
        Mode::Explicit | Mode::Plain => {
            let reply = Reply::new(421, "Too many sessions; try again later.");
            if let Err(error) = stream.try_write(&reply.encode()) {
                tracing::debug!(%error, "the client has gone already");
            }
        }
        Mode::Implicit => {}
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
}

const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();
const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();
const ENOMEM: i32 = rustix::io::Errno::NOMEM.raw_os_error();

/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(200);
