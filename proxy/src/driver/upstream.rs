//! The server's side of one session: the search for a server, the connection to it, and a second one while the session
//! logs in afresh.

use std::io;
use std::sync::Arc;

use ftpsgate_ftp::codec::{Command, Verb};
use ftpsgate_ftp::session::{DataTickets, Destination, UpstreamFailure, UpstreamInfo};

use super::FAREWELL;
use super::link::{self, Connecting, DataTarget, Link, Placing};
use crate::backend::{Attempt, Backend, Place, Server};
use crate::control::{ServerReply, Upstream};
use crate::proxy_protocol::Endpoints;
use crate::service::Service;

/// The server's side.
pub(super) struct UpstreamSide {
    service: Arc<Service>,
    /// Who is behind us.
    behind: Endpoints,
    /// The last search, and what for: servers that it has tried it does not try again.
    search: Option<(Destination, Arc<Attempt>)>,
    /// The server of the present connection, or of the last one that failed by itself.
    server: Option<Arc<Server>>,
    link: Option<Box<Link>>,
    /// The connection before the one that may replace it.
    aside: Option<Box<Link>>,
    job: Option<Job>,
}

/// What is under way.
enum Job {
    /// A place at a server of this backend.
    Place(usize, Placing),
    Link(Work, Connecting),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Connect,
    Renew,
    Secure,
}

/// What happened on the server's side.
pub(super) enum UpstreamEvent {
    Placed,
    Connected(UpstreamInfo),
    Secured,
    Failed(UpstreamFailure),
    Reply(ServerReply),
    Written(io::Result<()>),
}

impl UpstreamSide {
    /// Who is behind us.
    pub(super) fn behind(&self) -> &Endpoints {
        &self.behind
    }

    pub(super) fn new(service: Arc<Service>, behind: Endpoints) -> Self {
        Self { service, behind, search: None, server: None, link: None, aside: None, job: None }
    }

    /// Where the session was routed.
    pub(super) fn backend(&self) -> Option<&Arc<Backend>> {
        self.search.as_ref().map(|(destination, _)| &self.service.backends[destination.backend])
    }

    /// The server that the session has, or has just lost.
    pub(super) fn server(&self) -> Option<&Arc<Server>> {
        let linked = self.link.as_ref().or(self.aside.as_ref()).map(|link| &link.server);
        linked.or(self.server.as_ref())
    }

    /// Where data connections go.
    pub(super) fn target(&self) -> Option<&Arc<DataTarget>> {
        self.link.as_ref().map(|link| &link.target)
    }

    /// The stream of commands and replies.
    pub(super) fn lines(&mut self) -> Option<&mut Upstream> {
        self.link.as_mut().map(|link| &mut link.lines)
    }

    /// Whether the next data connection can prove where it belongs.
    pub(super) fn data_tickets(&self) -> DataTickets {
        self.link.as_ref().map_or(DataTickets::Available, |link| link.data_tickets())
    }

    /// Dials a server that this login has not tried.
    pub(super) fn connect(&mut self, destination: Destination) {
        self.link = None;
        self.server = None;
        let attempt = match &self.search {
            Some((last, attempt)) if *last == destination => Arc::clone(attempt),
            Some(_) | None => self.service.backends[destination.backend].attempt(),
        };
        self.search = Some((destination.clone(), Arc::clone(&attempt)));
        let backend = destination.backend;
        self.job = Some(Job::Place(backend, link::place(attempt, destination, self.behind)));
    }

    /// Dials the present server once more.
    pub(super) fn renew(&mut self) {
        if let Some(link) = &self.link {
            self.job = Some(Job::Link(Work::Renew, link.connect_again()));
        }
    }

    /// Ends a renewal: with the new connection, or with the old one.
    pub(super) fn settle(&mut self, with_new: bool) {
        self.job = None;
        let Some(old) = self.aside.take() else { return };
        if with_new {
            let mut lines = old.lines;
            if lines.send(&Command::bare(Verb::Quit)).is_ok() {
                // Its last words take a moment, which the transfer need not wait for; bounded by the patience.
                tokio::spawn(lines.close(FAREWELL));
            }
        } else {
            self.link = Some(old);
        }
    }

    /// After a 234.
    pub(super) fn secure(&mut self) {
        if let Some(link) = self.link.take() {
            self.job = Some(Job::Link(Work::Secure, link.secure()));
        }
    }

    /// The connection is gone; its server stays known.
    pub(super) fn lose(&mut self) {
        self.link = None;
    }

    /// The next thing that happens; replies only if `may_read`. May be cancelled.
    pub(super) async fn next_event(&mut self, may_read: bool) -> UpstreamEvent {
        match &mut self.job {
            Some(Job::Place(backend, job)) => {
                let (backend, placed) = (*backend, job.await);
                return self.dial(backend, placed);
            }
            Some(Job::Link(work, job)) => {
                let (work, connected) = (*work, job.await);
                self.job = None;
                return self.finish(work, connected);
            }
            None => {}
        }
        match &mut self.link {
            Some(link) if link.lines.has_output() => UpstreamEvent::Written(link.lines.flush().await),
            Some(link) if may_read => UpstreamEvent::Reply(link.lines.next_reply().await),
            Some(_) | None => std::future::pending().await,
        }
    }

    fn dial(&mut self, backend: usize, placed: Result<Place, UpstreamFailure>) -> UpstreamEvent {
        match placed {
            Ok(place) => {
                let job = link::connect(Arc::clone(&self.service), backend, place, self.behind);
                self.job = Some(Job::Link(Work::Connect, job));
                UpstreamEvent::Placed
            }
            Err(failure) => {
                self.job = None;
                UpstreamEvent::Failed(failure)
            }
        }
    }

    fn finish(&mut self, work: Work, connected: Result<Box<Link>, UpstreamFailure>) -> UpstreamEvent {
        match connected {
            Ok(link) => {
                let info = link.info();
                self.server = Some(Arc::clone(&link.server));
                let old = self.link.replace(link);
                match work {
                    Work::Connect => UpstreamEvent::Connected(info),
                    Work::Renew => {
                        self.aside = old;
                        UpstreamEvent::Connected(info)
                    }
                    Work::Secure => UpstreamEvent::Secured,
                }
            }
            Err(failure) => {
                // It was reported where it happened.
                self.server = None;
                UpstreamEvent::Failed(failure)
            }
        }
    }

    /// Says what is still to be said (a QUIT), and closes.
    pub(super) async fn close(self) {
        if let Some(link) = self.link {
            link.lines.close(FAREWELL).await;
        }
    }
}
