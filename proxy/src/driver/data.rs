//! The data side of one session: a leased port, the backend's data connection, and the relay between them.
//!
//! Everything here is owned by the session's task, and ends with it. Whatever is dropped before a clean end was
//! decided ends so that it shows.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ftpsgate_ftp::codec::Protection;
use ftpsgate_ftp::session::{DataTls, Direction, PortError, RelayEnd, RelayOrder, RelayReport};
use rustls::ProtocolVersion;
use tokio::net::TcpStream;
use tracing::{Instrument, debug, info_span};

use crate::backend;
use crate::config::{self, UploadEnd};
use crate::data::passive::{DataSocket, Lease, LeaseEnded, NoPort};
use crate::data::relay::{self, Limits, Progress, Relayed};
use crate::data::{Leg, Side};
use crate::service::Service;
use crate::tls::{self, DataKind, DataTlsError, HandshakeError, SessionTls};

/// What happened to the data side.
#[derive(Debug)]
pub(super) enum DataEvent {
    Leased(Result<SocketAddr, PortError>),
    LeaseExpired,
    Dialled(bool),
    RelayFinished(RelayReport),
    DownloadFinished(bool),
}

type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The data side.
pub(super) struct DataPlane {
    service: Arc<Service>,
    client: IpAddr,
    /// The address that the client dialled.
    dialled: SocketAddr,
    /// Its session's TLS, once there is one.
    pub(super) tls: Option<Arc<SessionTls>>,
    /// Where the session was routed.
    pub(super) backend_config: Option<Arc<config::Backend>>,
    leasing: Option<Job<Result<(Lease, SocketAddr), PortError>>>,
    arrival: Option<Arrival>,
    dialling: Option<Job<io::Result<TcpStream>>>,
    backend: Option<Leg>,
    relay: Option<Job<(RelayReport, Option<Leg>)>>,
    /// Of the relay that runs, or ran last.
    progress: Option<Arc<Progress>>,
    /// A download's client leg: all bytes were written, its end was not.
    held: Option<Leg>,
    finishing: Option<Job<bool>>,
}

/// The client's data connection.
enum Arrival {
    Expected(Job<Result<DataSocket, LeaseEnded>>),
    Arrived(DataSocket),
}

impl DataPlane {
    pub(super) fn new(service: Arc<Service>, client: IpAddr, dialled: SocketAddr) -> Self {
        Self {
            service,
            client,
            dialled,
            tls: None,
            backend_config: None,
            leasing: None,
            arrival: None,
            dialling: None,
            backend: None,
            relay: None,
            progress: None,
            held: None,
            finishing: None,
        }
    }

    fn backend_config(&self) -> &Arc<config::Backend> {
        self.backend_config.as_ref().expect("who makes data connections was routed")
    }

    /// What the relay has moved: the one that runs, or has just ended.
    pub(super) fn progress(&self) -> Option<&Progress> {
        self.progress.as_deref()
    }

    pub(super) fn lease(&mut self) {
        let (service, client, dialled) = (Arc::clone(&self.service), self.client, self.dialled);
        self.leasing = Some(Box::pin(async move {
            let listener = &service.listener;
            let lease = service
                .registry
                .lease(
                    &service.ports,
                    dialled.ip(),
                    client,
                    listener.passive.peer,
                    listener.data_connect_timeout,
                )
                .await
                .map_err(|error| match error {
                    NoPort::Busy | NoPort::Unavailable => PortError::NoneFree,
                })?;
            let address = service.advertised(client, dialled).await?;
            let port = lease.port();
            Ok((lease, SocketAddr::new(address, port)))
        }));
    }

    pub(super) fn dial(&mut self, server: SocketAddr, local: IpAddr) {
        let patience = self.backend_config().connect_timeout;
        self.dialling = Some(Box::pin(backend::dial_data(server, local, patience)));
    }

    /// Forgets everything, in whatever state it is.
    pub(super) fn discard(&mut self) {
        self.leasing = None;
        self.arrival = None;
        self.dialling = None;
        self.backend = None;
        self.relay = None;
        self.progress = None;
        self.held = None;
        self.finishing = None;
    }

    /// Joins the two data connections.
    pub(super) fn start(&mut self, order: RelayOrder) {
        let (Some(arrival), Some(backend)) = (self.arrival.take(), self.backend.take()) else {
            // The session starts a relay only over what it was told is there.
            unreachable!("a relay without its two connections");
        };
        let progress = Arc::new(Progress::default());
        let span = info_span!(
            "transfer",
            verb = order.command.verb().name(),
            path = order.command.argument().map(|path| path.escape_ascii().to_string()),
        );
        let transfer = Transfer {
            service: Arc::clone(&self.service),
            backend_config: Arc::clone(self.backend_config()),
            tls: self.tls.clone(),
            order,
            progress: Arc::clone(&progress),
        };
        self.relay = Some(Box::pin(transfer.run(arrival, backend).instrument(span)));
        self.progress = Some(progress);
    }

    /// Ends a complete download.
    pub(super) fn finish(&mut self) {
        let Some(leg) = self.held.take() else { unreachable!("only a complete download is finished") };
        let limits = limits(&self.service, self.backend_config());
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
                self.arrival = Some(Arrival::Expected(Box::pin(async move { lease.connected().await })));
                address
            });
            return Poll::Ready(DataEvent::Leased(leased));
        }
        if let Some(Arrival::Expected(job)) = &mut self.arrival
            && let Poll::Ready(arrived) = job.as_mut().poll(context)
        {
            match arrived {
                Ok(socket) => self.arrival = Some(Arrival::Arrived(socket)),
                Err(LeaseEnded::Expired | LeaseEnded::Over) => {
                    self.arrival = None;
                    return Poll::Ready(DataEvent::LeaseExpired);
                }
            }
        }
        if let Some(dialled) = poll_job(&mut self.dialling, context) {
            let connected = dialled.is_ok();
            match dialled {
                Ok(stream) => self.backend = Some(Leg::plain(stream)),
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

/// One transfer, from the backend's 150 to the end of its data.
struct Transfer {
    service: Arc<Service>,
    backend_config: Arc<config::Backend>,
    tls: Option<Arc<SessionTls>>,
    order: RelayOrder,
    progress: Arc<Progress>,
}

impl Transfer {
    /// A leg that is dropped on the way is reset.
    async fn run(self, arrival: Arrival, backend: Leg) -> (RelayReport, Option<Leg>) {
        let arrived = match arrival {
            Arrival::Arrived(socket) => Ok(socket),
            Arrival::Expected(job) => job.await,
        };
        let Ok(socket) = arrived else { return failed(RelayEnd::NotConnected) };
        let (client, data_tls) = match self.protect(socket.into_tcp()).await {
            Ok(protected) => protected,
            Err(error) => return self.judge_handshake(error, backend).await,
        };
        let limits = limits(&self.service, &self.backend_config);
        let (relayed, held) = match self.order.direction {
            Direction::Download => {
                let mut client = client;
                let relayed = relay::download(backend, &mut client, &limits, &self.progress).await;
                let held = relayed.end.is_complete().then_some(client);
                (relayed, held)
            }
            Direction::Upload => {
                let rule = self.service.listener.upload_end;
                (relay::upload(client, backend, &limits, rule, &self.progress).await, None)
            }
        };
        (report(&relayed, data_tls), held)
    }

    /// TLS on the client's leg, where it is private.
    async fn protect(&self, socket: TcpStream) -> Result<(Leg, Option<tls::DataTls>), DataTlsError> {
        match (self.order.protection, &self.tls) {
            (Protection::Clear, _) => Ok((Leg::plain(socket), None)),
            (Protection::Private, Some(tls)) => {
                let kind = match self.order.direction {
                    Direction::Upload => DataKind::Upload,
                    Direction::Download => DataKind::Download,
                };
                let patience = self.service.listener.handshake_timeout;
                let (socket, connection, data_tls) = tls.accept_data(socket, kind, patience).await?;
                Ok((Leg::tls(socket, connection), Some(data_tls)))
            }
            (Protection::Private, None) => unreachable!("PROT P is accepted only under TLS"),
        }
    }

    /// Some clients end an empty upload by closing the connection before its TLS stands.
    async fn judge_handshake(&self, error: DataTlsError, backend: Leg) -> (RelayReport, Option<Leg>) {
        debug!(%error, "no TLS on the data connection");
        let end = match (&error, self.order.direction) {
            (DataTlsError::NotResumed, _) => RelayEnd::NotResumed,
            (
                DataTlsError::Handshake(HandshakeError::ClosedBefore | HandshakeError::ClosedDuring),
                Direction::Upload,
            ) => match self.service.listener.upload_end {
                UploadEnd::Strict => RelayEnd::Truncated,
                UploadEnd::Lenient => {
                    self.progress.set_source_ended();
                    match backend.finish(limits(&self.service, &self.backend_config).stall_timeout).await {
                        Ok(lingering) => {
                            lingering.linger().await;
                            RelayEnd::Complete
                        }
                        Err(_) => RelayEnd::BackendFailed,
                    }
                }
            },
            (DataTlsError::Handshake(HandshakeError::Reset), Direction::Upload) => RelayEnd::ClientFailed,
            (DataTlsError::Handshake(_), Direction::Upload | Direction::Download) => RelayEnd::TlsFailed,
        };
        failed(end)
    }
}

fn limits(service: &Service, backend: &config::Backend) -> Limits {
    Limits { stall_timeout: backend.stall_timeout, min_rate: service.listener.min_rate }
}

fn failed(end: RelayEnd) -> (RelayReport, Option<Leg>) {
    (RelayReport { bytes: 0, end, tls: None, upstream_tls: None }, None)
}

fn report(relayed: &Relayed, data_tls: Option<tls::DataTls>) -> RelayReport {
    let broken = |side: Side| match side {
        Side::Downstream => RelayEnd::ClientFailed,
        Side::Upstream => RelayEnd::BackendFailed,
    };
    let end = match &relayed.end {
        relay::RelayEnd::Complete => RelayEnd::Complete,
        relay::RelayEnd::Truncated { side: Side::Downstream } => RelayEnd::Truncated,
        relay::RelayEnd::Truncated { side: Side::Upstream } => RelayEnd::BackendFailed,
        relay::RelayEnd::SourceFailed { side, error } => {
            debug!(%side, %error, "the data connection broke");
            broken(*side)
        }
        relay::RelayEnd::SinkFailed { side, error } => {
            debug!(%side, error = error.as_ref().map(tracing::field::display), "the data connection was closed");
            broken(*side)
        }
        relay::RelayEnd::Stalled { .. } => RelayEnd::Stalled,
        relay::RelayEnd::TooSlow { .. } => RelayEnd::TooSlow,
        relay::RelayEnd::Violation { .. } => RelayEnd::Violation,
    };
    let tls = data_tls.map(|data_tls| DataTls {
        version: version_name(data_tls.version),
        suite: suite_name(data_tls.suite),
        resumed: data_tls.same_session.is_some(),
        close_notify: relayed.close_notify_seen,
    });
    RelayReport { bytes: relayed.bytes, end, tls, upstream_tls: None }
}

/// "1.2" or "1.3".
pub(super) fn version_name(version: ProtocolVersion) -> &'static str {
    if version == ProtocolVersion::TLSv1_3 { "1.3" } else { "1.2" }
}

/// The IANA name.
pub(super) fn suite_name(suite: rustls::CipherSuite) -> String {
    suite.as_str().unwrap_or("unknown").to_owned()
}
