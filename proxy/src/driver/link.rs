//! A session's connection to a server: how it is made, put under TLS, and what its data connections need of it.
//!
//! RFC 4217 §4 (AUTH), §9 (implicit TLS).

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use ftpsgate_ftp::session::{DataTickets, Destination, UpstreamFailure, UpstreamInfo};
use tokio::net::TcpStream;
use tracing::{info, warn};

use super::transfer::{suite_name, version_name};
use crate::backend::{self, Attempt, Backend, Place, Server, ServerConnection};
use crate::config::{self, BackendTlsMode};
use crate::control::Upstream;
use crate::data::passive::{Lease, NoPort};
use crate::proxy_protocol::{Endpoints, Version, write_header};
use crate::service::Service;
use crate::socket;
use crate::tls::{HandshakeError, UpstreamControl, UpstreamTls, advice};

/// The connection. Dropping it closes it, and makes room at the server.
pub(super) struct Link {
    pub(super) lines: Upstream,
    pub(super) server: Arc<Server>,
    pub(super) target: Arc<DataTarget>,
    /// The session's place at the server; a session that logs in afresh has two connections and one place.
    place: Arc<Place>,
}

/// A connection under way. Dropping it closes the connection.
pub(super) type Connecting = Pin<Box<dyn Future<Output = Result<Box<Link>, UpstreamFailure>> + Send>>;

/// The server's end of a session's data connections.
#[derive(Debug, Clone)]
pub(super) struct DataTarget {
    service: Arc<Service>,
    /// Which of the service's backends the server belongs to.
    index: usize,
    /// What each data connection must prove to belong to.
    pub(super) tls: Option<Arc<UpstreamTls>>,
    /// The server's address on the control connection.
    server: SocketAddr,
    /// Ours: servers check that data connections come from there.
    pub(super) local: SocketAddr,
    /// Who is behind us, where the server wants to know.
    behind: Endpoints,
}

/// Dials a server that `attempt` has not tried yet, with everything before its 220.
pub(super) fn connect(
    service: Arc<Service>,
    attempt: Arc<Attempt>,
    destination: Destination,
    behind: Endpoints,
) -> Connecting {
    Box::pin(async move {
        let Destination { backend: index, server, user } = destination;
        let connection = attempt.connect(behind.client.ip().to_canonical(), &user, server.as_ref()).await?;
        let ServerConnection { stream, server, place } = connection;
        establish(stream, server, Arc::new(place), (service, index), behind).await
    })
}

impl Link {
    /// Dials the same server once more.
    pub(super) fn connect_again(&self) -> Connecting {
        let (server, place) = (Arc::clone(&self.server), Arc::clone(&self.place));
        let target = Arc::clone(&self.target);
        Box::pin(async move {
            match target.backend().dial(&server).await {
                Ok(stream) => {
                    let home = (Arc::clone(&target.service), target.index);
                    establish(stream, server, place, home, target.behind).await
                }
                Err(error) => Err(unusable(&server, error)),
            }
        })
    }

    /// After a 234: TLS, if nothing else was said.
    pub(super) fn secure(self: Box<Self>) -> Connecting {
        Box::pin(async move {
            let Self { lines, server, target, place } = *self;
            let silent = lines.silent().map_err(|error| unusable(&server, error))?;
            let backend = target.backend();
            let tls = new_tls(&server, backend)?;
            let secured = silent.secure(&tls, backend.config().connect_timeout).await;
            let (lines, control) = secured.map_err(|error| not_secured(&server, &error))?;
            record_tls(&control, &server, backend);
            Ok(Box::new(Self { lines, target: Arc::new(target.secured(Arc::new(tls))), server, place }))
        })
    }

    /// What the session machine must know.
    pub(super) fn info(&self) -> UpstreamInfo {
        UpstreamInfo { server: self.target.server, prefer_pasv: self.server.prefers_pasv() }
    }

    /// Whether the next data connection can prove where it belongs.
    pub(super) fn data_tickets(&self) -> DataTickets {
        self.target.tls.as_ref().map_or(DataTickets::Available, |tls| tls.tickets())
    }
}

impl DataTarget {
    fn backend(&self) -> &Arc<Backend> {
        &self.service.backends[self.index]
    }

    /// Its backend's configuration.
    pub(super) fn config(&self) -> &config::Backend {
        self.backend().config()
    }

    /// Connects to a port of the server, from the address of the control connection.
    pub(super) async fn dial(&self, port: u16) -> io::Result<TcpStream> {
        let config = self.config();
        let address = SocketAddr::new(self.server.ip(), port);
        let mut stream = backend::dial_data(address, self.local.ip(), config.connect_timeout).await?;
        socket::reset_on_drop(&stream, true);
        if let Some(version) = Version::of_data(config.proxy_protocol) {
            write_header(&mut stream, version, self.behind.client, self.behind.dialled).await?;
        }
        Ok(stream)
    }

    /// A port of ours that the server alone may dial.
    pub(super) async fn lease(&self) -> Result<Lease, NoPort> {
        let Service { registry, backend_ports, .. } = &*self.service;
        let patience = self.config().connect_timeout;
        registry
            .lease_for_backend(&backend_ports[self.index], self.local.ip(), self.server.ip(), patience)
            .await
    }

    fn secured(&self, tls: Arc<UpstreamTls>) -> Self {
        Self { tls: Some(tls), ..self.clone() }
    }
}

/// PROXY header and implicit TLS: what comes before the 220.
async fn establish(
    mut stream: TcpStream,
    server: Arc<Server>,
    place: Arc<Place>,
    (service, index): (Arc<Service>, usize),
    behind: Endpoints,
) -> Result<Box<Link>, UpstreamFailure> {
    let backend = Arc::clone(&service.backends[index]);
    let ends = async {
        if let Some(version) = Version::of_control(backend.config().proxy_protocol) {
            write_header(&mut stream, version, behind.client, behind.dialled).await?;
        }
        Ok::<_, io::Error>((stream.peer_addr()?, stream.local_addr()?))
    };
    let (peer, local) = ends.await.map_err(|error| unusable(&server, error))?;
    let target = DataTarget { service, index, tls: None, server: peer, local, behind };
    let (lines, target) = match backend.config().tls.as_ref().map(|tls| tls.mode) {
        Some(BackendTlsMode::Implicit) => {
            let tls = new_tls(&server, &backend)?;
            let secured = tls.connect_control(stream, backend.config().connect_timeout).await;
            let (stream, control) = secured.map_err(|error| not_secured(&server, &error))?;
            record_tls(&control, &server, &backend);
            (Upstream::tls(stream), target.secured(Arc::new(tls)))
        }
        Some(BackendTlsMode::Explicit) | None => (Upstream::plain(stream), target),
    };
    Ok(Box::new(Link { lines, server, target: Arc::new(target), place }))
}

/// The TLS of one connection and its data connections.
fn new_tls(server: &Server, backend: &Backend) -> Result<UpstreamTls, UpstreamFailure> {
    let profile = backend.tls().expect("a backend under TLS has a profile");
    profile.session(&server.address().host).map_err(|error| unusable(server, error))
}

fn record_tls(control: &UpstreamControl, server: &Server, backend: &Backend) {
    info!(
        server = %server,
        tls_version = version_name(control.version),
        tls_suite = suite_name(control.suite),
        "tls to the server established"
    );
    if backend.config().tls.as_ref().is_some_and(|tls| tls.danger_accept_invalid_certificates) {
        warn!(
            backend = backend.config().name,
            server = %server,
            "the server's certificate is not verified (danger_accept_invalid_certificates)"
        );
    }
}

fn not_secured(server: &Server, error: &HandshakeError) -> UpstreamFailure {
    match advice(error) {
        Some(advice) => unusable(server, format_args!("{error}; {advice}")),
        None => unusable(server, error),
    }
}

/// Remembers, and logs, that a server could not be used.
fn unusable(server: &Server, reason: impl fmt::Display) -> UpstreamFailure {
    server.report_failure(reason);
    UpstreamFailure::Unreachable
}
