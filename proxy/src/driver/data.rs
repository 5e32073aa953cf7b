//! The data side of one session: how the client's connection is to be had, how the backend's, and the relay between
//! them.
//!
//! Everything here is owned by the session's task, and ends with it. Whatever is dropped before a clean end was
//! decided ends so that it shows.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ftpsgate_ftp::session::{PortError, RelayOrder, RelayReport};
use tokio::net::TcpStream;
use tracing::{Instrument, debug, info_span};

use super::link::DataTarget;
use super::transfer::Transfer;
use crate::data::Leg;
use crate::data::passive::{DataSocket, Lease, LeaseEnded, NoPort};
use crate::data::relay::{self, Progress};
use crate::limits::Bounds;
use crate::service::Service;
use crate::tls::SessionTls;

/// What happened to the data side.
#[derive(Debug)]
pub(super) enum DataEvent {
    Leased(Result<SocketAddr, PortError>),
    LeaseExpired,
    BackendLeased(Result<SocketAddr, PortError>),
    Dialled(bool),
    RelayFinished(RelayReport),
    DownloadFinished(bool),
}

type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The data side.
pub(super) struct DataPlane {
    service: Arc<Service>,
    client: IpAddr,
    /// Our end of the client's control connection.
    local: SocketAddr,
    /// The address that the client dialled.
    dialled: SocketAddr,
    /// The client's session's TLS, once there is one.
    pub(super) tls: Option<Arc<SessionTls>>,
    /// The server's end of the data connections that are being made.
    target: Option<Arc<DataTarget>>,
    leasing: Option<Job<Result<(Lease, SocketAddr), PortError>>>,
    leasing_backend: Option<Job<Result<(Lease, SocketAddr), PortError>>>,
    dialling: Option<Job<io::Result<TcpStream>>>,
    client_end: Option<ClientEnd>,
    backend_end: Option<BackendEnd>,
    relay: Option<Job<(RelayReport, Option<Leg>)>>,
    /// Of the relay that runs, or ran last.
    progress: Option<Arc<Progress>>,
    /// A download's client leg: all bytes were written, its end was not.
    held: Option<Leg>,
    finishing: Option<Job<bool>>,
}

/// The client's data connection.
pub(super) enum ClientEnd {
    /// Passive: it has not come.
    Expected(Job<Result<DataSocket, LeaseEnded>>),
    /// Passive: it has come.
    Arrived(DataSocket),
    /// Active: it is to be dialled.
    Listening(SocketAddr),
}

/// The backend's data connection.
pub(super) enum BackendEnd {
    /// Passive: we dialled it.
    Connected(TcpStream),
    /// Active: it is to dial us.
    Expected(Lease),
}

impl DataPlane {
    pub(super) fn new(service: Arc<Service>, client: IpAddr, local: SocketAddr, dialled: SocketAddr) -> Self {
        Self {
            service,
            client,
            local,
            dialled,
            tls: None,
            target: None,
            leasing: None,
            leasing_backend: None,
            dialling: None,
            client_end: None,
            backend_end: None,
            relay: None,
            progress: None,
            held: None,
            finishing: None,
        }
    }

    /// What the relay has moved: the one that runs, or has just ended.
    pub(super) fn progress(&self) -> Option<&Progress> {
        self.progress.as_deref()
    }

    /// Passive, towards the client.
    pub(super) fn lease(&mut self) {
        let (service, client) = (Arc::clone(&self.service), self.client);
        let (local, dialled) = (self.local, self.dialled);
        self.leasing = Some(Box::pin(async move {
            let listener = &service.listener;
            let lease = service
                .registry
                .lease(
                    &service.ports,
                    local.ip(),
                    client,
                    listener.passive.peer,
                    listener.data_connect_timeout,
                )
                .await
                .map_err(none_free)?;
            let address = service.advertised(client, dialled).await?;
            let port = lease.port();
            Ok((lease, SocketAddr::new(address, port)))
        }));
    }

    /// Active, towards the client.
    pub(super) fn set_client_address(&mut self, address: SocketAddr) {
        self.client_end = Some(ClientEnd::Listening(address));
    }

    /// Passive, towards the backend.
    pub(super) fn dial(&mut self, target: &Arc<DataTarget>, port: u16) {
        let target = Arc::clone(self.target.insert(Arc::clone(target)));
        self.dialling = Some(Box::pin(async move { target.dial(port).await }));
    }

    /// Active, towards the backend.
    pub(super) fn lease_for_backend(&mut self, target: &Arc<DataTarget>) {
        let target = Arc::clone(self.target.insert(Arc::clone(target)));
        self.leasing_backend = Some(Box::pin(async move {
            let lease = target.lease().await.map_err(none_free)?;
            let port = lease.port();
            Ok((lease, SocketAddr::new(target.local.ip(), port)))
        }));
    }

    /// Forgets connections that nothing was moved over, since the server refused the transfer: it will not dial our port,
    /// which need not rest.
    pub(super) fn withdraw(&mut self) {
        if let Some(BackendEnd::Expected(lease)) = self.backend_end.take() {
            lease.withdraw();
        }
        self.discard();
    }

    /// Forgets everything, in whatever state it is.
    pub(super) fn discard(&mut self) {
        self.leasing = None;
        self.leasing_backend = None;
        self.dialling = None;
        self.client_end = None;
        self.backend_end = None;
        self.relay = None;
        self.progress = None;
        self.held = None;
        self.finishing = None;
    }

    /// Joins the two data connections.
    pub(super) fn start(&mut self, order: RelayOrder, bounds: Bounds) {
        let (Some(client), Some(backend), Some(target)) =
            (self.client_end.take(), self.backend_end.take(), self.target.clone())
        else {
            // The session starts a relay only over what it was told is there.
            unreachable!("a relay without its two connections");
        };
        if let ClientEnd::Arrived(socket) = &client {
            // From the 150 on an end that is not ours to make must not look like one.
            socket.reset_on_drop();
        }
        let progress = Arc::new(Progress::bounded(bounds));
        let span = info_span!(
            "transfer",
            verb = order.command.verb().name(),
            path = order.command.argument().map(|path| path.escape_ascii().to_string()),
        );
        let transfer = Transfer {
            service: Arc::clone(&self.service),
            local: self.local,
            tls: self.tls.clone(),
            target,
            order,
            progress: Arc::clone(&progress),
        };
        self.relay = Some(Box::pin(transfer.run(client, backend).instrument(span)));
        self.progress = Some(progress);
    }

    /// Ends a complete download.
    pub(super) fn finish(&mut self) {
        let (Some(leg), Some(target)) = (self.held.take(), &self.target) else {
            unreachable!("only a complete download is finished");
        };
        let limits = target.limits(&self.service);
        self.finishing = Some(Box::pin(async move {
            match relay::finish_download(leg, &limits).await {
                Ok(lingering) => {
                    lingering.detach();
                    true
                }
                Err(error) => {
                    debug!(%error, "the client did not take the end of its download");
                    false
                }
            }
        }));
    }

    /// The next thing that happens; pending for ever where nothing is under way. May be cancelled.
    pub(super) async fn next_event(&mut self) -> DataEvent {
        poll_fn(|context| self.poll_event(context)).await
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<DataEvent> {
        if let Some(leased) = poll_job(&mut self.leasing, context) {
            let leased = leased.map(|(mut lease, address)| {
                self.client_end = Some(ClientEnd::Expected(Box::pin(async move { lease.connected().await })));
                address
            });
            return Poll::Ready(DataEvent::Leased(leased));
        }
        if let Some(ClientEnd::Expected(job)) = &mut self.client_end
            && let Poll::Ready(arrived) = job.as_mut().poll(context)
        {
            match arrived {
                Ok(socket) => self.client_end = Some(ClientEnd::Arrived(socket)),
                Err(LeaseEnded::Expired | LeaseEnded::Over) => {
                    self.client_end = None;
                    return Poll::Ready(DataEvent::LeaseExpired);
                }
            }
        }
        if let Some(leased) = poll_job(&mut self.leasing_backend, context) {
            let leased = leased.map(|(lease, address)| {
                self.backend_end = Some(BackendEnd::Expected(lease));
                address
            });
            return Poll::Ready(DataEvent::BackendLeased(leased));
        }
        if let Some(dialled) = poll_job(&mut self.dialling, context) {
            let connected = dialled.is_ok();
            match dialled {
                Ok(stream) => self.backend_end = Some(BackendEnd::Connected(stream)),
                Err(error) => debug!(%error, "the server's data port cannot be reached"),
            }
            return Poll::Ready(DataEvent::Dialled(connected));
        }
        if let Some((report, held)) = poll_job(&mut self.relay, context) {
            self.held = held;
            return Poll::Ready(DataEvent::RelayFinished(report));
        }
        if let Some(is_clean) = poll_job(&mut self.finishing, context) {
            return Poll::Ready(DataEvent::DownloadFinished(is_clean));
        }
        Poll::Pending
    }
}

fn poll_job<T>(job: &mut Option<Job<T>>, context: &mut Context<'_>) -> Option<T> {
    match job.as_mut()?.as_mut().poll(context) {
        Poll::Ready(output) => {
            *job = None;
            Some(output)
        }
        Poll::Pending => None,
    }
}

fn none_free(error: NoPort) -> PortError {
    match error {
        NoPort::Busy | NoPort::Unavailable => PortError::NoneFree,
    }
}
