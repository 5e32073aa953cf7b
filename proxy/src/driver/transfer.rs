//! One transfer, from the backend's 150 to the end of its data: both legs are made, put under TLS where they are to be,
//! and joined.
//!
//! Whatever ends here before its time ends by reset, on both legs: neither peer may take what it has for complete.
//!
//! RFC 4217 §7 (who is TLS server on a data connection: the FTP server, whoever dialled).

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use ftpsgate_ftp::codec::Protection;
use ftpsgate_ftp::session::{DataTls, Direction, RelayEnd, RelayOrder, RelayReport};
use rustls::ProtocolVersion;
use tokio::select;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::data::{BackendEnd, ClientEnd};
use super::link::DataTarget;
use crate::config::UploadEnd;
use crate::data::active;
use crate::data::relay::{self, Limits, Progress, Relayed};
use crate::data::{Leg, Side};
use crate::service::Service;
use crate::socket;
use crate::tls::{self, DataKind, DataTlsError, HandshakeError, SessionTls, UpstreamDataTls};

/// A transfer that is to run.
pub(super) struct Transfer {
    pub(super) service: Arc<Service>,
    /// Our end of the client's control connection: where data connections to it come from.
    pub(super) local: SocketAddr,
    /// Of the client's control connection.
    pub(super) tls: Option<Arc<SessionTls>>,
    pub(super) target: Arc<DataTarget>,
    pub(super) order: RelayOrder,
    pub(super) progress: Arc<Progress>,
}

/// Both legs' TLS, as far as they got.
#[derive(Default)]
struct Secured {
    downstream: Option<tls::DataTls>,
    upstream: Option<UpstreamDataTls>,
}

/// Why there is no leg to the client.
enum ClientFault {
    /// None that could be anything but a failure.
    Failed(RelayEnd),
    /// The client closed before its TLS stood, and the listener takes that for the end of an empty upload.
    EmptyUpload,
}

impl Transfer {
    /// Runs it. A complete download's client leg comes back: its end is still to be written.
    pub(super) async fn run(self, client: ClientEnd, backend: BackendEnd) -> (RelayReport, Option<Leg>) {
        // Both at once: some servers shake hands before they send or read anything, and so do some clients.
        let (client, backend) = {
            let mut client = pin!(self.reach_client(client));
            let mut backend = pin!(self.reach_backend(backend));
            select! {
                biased;
                client = &mut client => match client {
                    Err(ClientFault::Failed(end)) => return failed(end),
                    client @ (Ok(_) | Err(ClientFault::EmptyUpload)) => (client, backend.await),
                },
                backend = &mut backend => match backend {
                    Err(end) => return failed(end),
                    backend @ Ok(_) => (client.await, backend),
                },
            }
        };
        let (backend, upstream) = match backend {
            Ok(backend) => backend,
            Err(end) => return failed(end),
        };
        let (mut client, downstream) = match client {
            Ok(client) => client,
            Err(ClientFault::Failed(end)) => return failed(end),
            Err(ClientFault::EmptyUpload) => return failed(self.end_empty_upload(backend).await),
        };
        let secured = Secured { downstream, upstream };
        let limits = self.target.limits(&self.service);
        match self.order.direction {
            Direction::Download => {
                let relayed = relay::download(backend, &mut client, &limits, &self.progress).await;
                let held = relayed.end.is_complete().then_some(client);
                (self.report(&relayed, secured), held)
            }
            Direction::Upload => {
                let rule = self.service.listener.upload_end;
                let relayed = relay::upload(client, backend, &limits, rule, &self.progress).await;
                (self.report(&relayed, secured), None)
            }
        }
    }

    /// The client's connection, under TLS where it is private.
    async fn reach_client(&self, client: ClientEnd) -> Result<(Leg, Option<tls::DataTls>), ClientFault> {
        let listener = &self.service.listener;
        let tcp = match client {
            ClientEnd::Arrived(socket) => Some(socket.into_tcp()),
            ClientEnd::Expected(job) => job.await.ok().map(|socket| socket.into_tcp()),
            ClientEnd::Listening(address) => {
                let local = self.local.ip();
                let patience = listener.data_connect_timeout;
                let address = active::scoped_like(address, self.local);
                active::dial_client(address, local, listener.active_source_port, patience)
                    .await
                    .inspect_err(|error| debug!(%error, %address, "the client's data port cannot be reached"))
                    .ok()
            }
        };
        let tcp = tcp.ok_or(ClientFault::Failed(RelayEnd::NotConnected))?;
        socket::reset_on_drop(&tcp, false);
        match (self.order.protection, &self.tls) {
            (Protection::Clear, _) => Ok((Leg::plain(tcp), None)),
            (Protection::Private, Some(tls)) => {
                let kind = match self.order.direction {
                    Direction::Upload => DataKind::Upload,
                    Direction::Download => DataKind::Download,
                };
                match tls.accept_data(tcp, kind, listener.handshake_timeout).await {
                    Ok((tcp, connection, secured)) => Ok((Leg::tls(tcp, connection), Some(secured))),
                    Err(error) => Err(self.judge_handshake(&error)),
                }
            }
            (Protection::Private, None) => unreachable!("PROT P is accepted only under TLS"),
        }
    }

    /// Some clients end an empty upload by closing the connection before its TLS stands.
    fn judge_handshake(&self, error: &DataTlsError) -> ClientFault {
        debug!(%error, "no TLS on the data connection");
        ClientFault::Failed(match (error, self.order.direction) {
            (DataTlsError::NotResumed, Direction::Upload | Direction::Download) => RelayEnd::NotResumed,
            (
                DataTlsError::Handshake(HandshakeError::ClosedBefore | HandshakeError::ClosedDuring),
                Direction::Upload,
            ) => match self.service.listener.upload_end {
                UploadEnd::Strict => RelayEnd::Truncated,
                UploadEnd::Lenient => return ClientFault::EmptyUpload,
            },
            (DataTlsError::Handshake(HandshakeError::Reset), Direction::Upload) => RelayEnd::ClientFailed,
            (DataTlsError::Handshake(_), Direction::Upload | Direction::Download) => RelayEnd::TlsFailed,
        })
    }

    async fn end_empty_upload(&self, backend: Leg) -> RelayEnd {
        self.progress.set_source_ended();
        match backend.finish(self.target.limits(&self.service).stall_timeout).await {
            Ok(lingering) => {
                lingering.linger().await;
                RelayEnd::Complete
            }
            Err(_) => RelayEnd::BackendFailed,
        }
    }

    /// The backend's connection, under TLS where it is private.
    async fn reach_backend(&self, backend: BackendEnd) -> Result<(Leg, Option<UpstreamDataTls>), RelayEnd> {
        let tcp = match backend {
            BackendEnd::Connected(tcp) => tcp,
            BackendEnd::Expected(mut lease) => {
                // It has announced the transfer: now it has no more reason to take its time.
                match timeout(self.target.config().connect_timeout, lease.connected()).await {
                    Ok(Ok(socket)) => socket.into_tcp(),
                    Ok(Err(_)) | Err(_) => {
                        debug!("the server did not open its data connection");
                        return Err(RelayEnd::BackendFailed);
                    }
                }
            }
        };
        // A connection that is given up on the way must not look like the end of an empty upload; a leg sees to that by
        // itself.
        socket::reset_on_drop(&tcp, true);
        match (self.order.upstream_protection, &self.target.tls) {
            (Protection::Clear, _) => {
                socket::reset_on_drop(&tcp, false);
                Ok((Leg::plain(tcp), None))
            }
            (Protection::Private, Some(tls)) => {
                match tls.connect_data(tcp, self.target.config().connect_timeout).await {
                    Ok((tcp, connection, secured)) => {
                        socket::reset_on_drop(&tcp, false);
                        Ok((Leg::towards_server(tcp, connection, secured.peer), Some(secured)))
                    }
                    Err(error) => {
                        warn!(%error, "no TLS on the data connection to the server");
                        Err(RelayEnd::BackendTlsFailed)
                    }
                }
            }
            (Protection::Private, None) => unreachable!("a private data connection has a control connection"),
        }
    }

    fn report(&self, relayed: &Relayed, secured: Secured) -> RelayReport {
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
                let error = error.as_ref().map(tracing::field::display);
                debug!(%side, error, "the data connection was closed");
                broken(*side)
            }
            relay::RelayEnd::Stalled { .. } => RelayEnd::Stalled,
            relay::RelayEnd::TooSlow { .. } => RelayEnd::TooSlow,
            relay::RelayEnd::TooLarge => RelayEnd::TooLarge(self.order.direction),
            relay::RelayEnd::Violation { .. } => RelayEnd::Violation,
        };
        let is_source = |direction| self.order.direction == direction && relayed.close_notify_seen;
        RelayReport {
            bytes: relayed.bytes,
            end,
            tls: secured.downstream.map(|tls| DataTls {
                version: version_name(tls.version),
                suite: suite_name(tls.suite),
                resumed: tls.same_session.is_some(),
                close_notify: is_source(Direction::Upload),
            }),
            upstream_tls: secured.upstream.map(|tls| DataTls {
                version: version_name(tls.version),
                suite: suite_name(tls.suite),
                resumed: tls.resumed,
                close_notify: is_source(Direction::Download),
            }),
        }
    }
}

impl DataTarget {
    /// What the relay may not exceed.
    pub(super) fn limits(&self, service: &Service) -> Limits {
        Limits { stall_timeout: self.config().stall_timeout, min_rate: service.listener.min_rate }
    }
}

fn failed(end: RelayEnd) -> (RelayReport, Option<Leg>) {
    (RelayReport { bytes: 0, end, tls: None, upstream_tls: None }, None)
}

/// "1.2" or "1.3".
pub(super) fn version_name(version: ProtocolVersion) -> &'static str {
    if version == ProtocolVersion::TLSv1_3 { "1.3" } else { "1.2" }
}

/// The IANA name.
pub(super) fn suite_name(suite: rustls::CipherSuite) -> String {
    suite.as_str().unwrap_or("unknown").to_owned()
}
