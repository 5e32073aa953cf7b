//! A session's connection to a server: how it is made, put under TLS, and what its data connections need of it.
//!
//! RFC 4217 §4 (AUTH), §9 (implicit TLS).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use ftpsgate_ftp::session::{DataTickets, Destination, UpstreamFailure, UpstreamInfo};
use tokio::net::TcpStream;
use tracing::{info, warn};

use super::transfer::{suite_name, version_name};
use crate::backend::{self, Attempt, Backend, Place, Server, Trial};
use crate::config::{self, BackendTlsMode};
use crate::control::Upstream;
use crate::data::passive::{Lease, NoPort};
use crate::proxy_protocol::{Endpoints, Version, write_header};
use crate::service::Service;
use crate::socket;
use crate::tls::{BackendProfileError, HandshakeError, UpstreamControl, UpstreamTls, advice};

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

/// A search for a place under way. Dropping it gives the place, or the number in the queue, back.
pub(super) type Placing = Pin<Box<dyn Future<Output = Result<Place, UpstreamFailure>> + Send>>;

/// Takes a place at a server that `attempt` has not tried yet.
pub(super) fn place(attempt: Arc<Attempt>, destination: Destination, behind: Endpoints) -> Placing {
    Box::pin(async move {
        let client = behind.client.ip().to_canonical();
        attempt.place(client, &destination.user, destination.server.as_ref()).await
    })
}

/// Dials the server where the session has its place, with everything before its 220.
pub(super) fn connect(service: Arc<Service>, index: usize, place: Place, behind: Endpoints) -> Connecting {
    Box::pin(async move {
        let server = Arc::clone(place.server());
        let trial = Trial::new(&service.backends[index], Arc::clone(&server));
        match service.backends[index].dial(&server).await {
            Ok(stream) => establish(stream, server, Arc::new(place), (service, index), behind, trial).await,
            Err(error) => Err(trial.fail(format_args!("connect: {error}"))),
        }
    })
}

impl Link {
    /// Dials the same server once more: by its address, since its name may mean another machine with other files.
    pub(super) fn connect_again(&self) -> Connecting {
        let (server, place) = (Arc::clone(&self.server), Arc::clone(&self.place));
        let target = Arc::clone(&self.target);
        Box::pin(async move {
            let trial = Trial::new(target.backend(), Arc::clone(&server));
            let patience = target.config().connect_timeout;
            match backend::dial_data(target.server, target.local.ip(), patience).await {
                Ok(stream) => {
                    let home = (Arc::clone(&target.service), target.index);
                    establish(stream, server, place, home, target.behind, trial).await
                }
                Err(error) => Err(trial.fail(format_args!("connect: {error}"))),
            }
        })
    }

    /// After a 234: TLS, if nothing else was said.
    pub(super) fn secure(self: Box<Self>) -> Connecting {
        Box::pin(async move {
            let Self { lines, server, target, place } = *self;
            let backend = target.backend();
            let mut trial = Trial::new(backend, Arc::clone(&server));
            if Version::of_control(backend.config().proxy_protocol).is_some() {
                trial.excuse();
            }
            let silent = match lines.silent() {
                Ok(silent) => silent,
                Err(error) => return Err(trial.fail(error)),
            };
            let tls = match new_tls(&server, backend) {
                Ok(tls) => tls,
                Err(error) => return Err(trial.fail(error)),
            };
            let (lines, control) = match silent.secure(&tls, backend.config().connect_timeout).await {
                Ok(secured) => secured,
                Err(error) => return Err(not_secured(trial, &error)),
            };
            trial.succeed();
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

    /// A port of ours that the server alone may dial. It has the time of the reply that announces the transfer: some
    /// fetch a file from afar before they dial.
    pub(super) async fn lease(&self) -> Result<Lease, NoPort> {
        let Service { registry, backend_ports, .. } = &*self.service;
        let patience = self.config().reply_timeout + self.config().connect_timeout;
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
    mut trial: Trial,
) -> Result<Box<Link>, UpstreamFailure> {
    let backend = Arc::clone(&service.backends[index]);
    let ends = stream.peer_addr().and_then(|peer| Ok((peer, stream.local_addr()?)));
    let (peer, local) = match ends {
        // A name may lead back to us; `USER a@gateway@gateway@…` would nest a session for each.
        Ok((peer, local)) if peer.ip() == local.ip() && service.own_ports.contains(&peer.port()) => {
            return Err(trial.fail(format_args!("{peer} is this gateway itself")));
        }
        Ok(ends) => ends,
        Err(error) => return Err(trial.fail(error)),
    };
    if let Some(version) = Version::of_control(backend.config().proxy_protocol) {
        if let Err(error) = write_header(&mut stream, version, behind.client, behind.dialled).await {
            return Err(trial.fail(error));
        }
        trial.excuse();
    }
    let target = DataTarget { service, index, tls: None, server: peer, local, behind };
    let (lines, target) = match backend.config().tls.as_ref().map(|tls| tls.mode) {
        Some(BackendTlsMode::Implicit) => {
            let tls = match new_tls(&server, &backend) {
                Ok(tls) => tls,
                Err(error) => return Err(trial.fail(error)),
            };
            let (stream, control) = match tls.connect_control(stream, backend.config().connect_timeout).await
            {
                Ok(secured) => secured,
                Err(error) => return Err(not_secured(trial, &error)),
            };
            record_tls(&control, &server, &backend);
            (Upstream::tls(stream), target.secured(Arc::new(tls)))
        }
        Some(BackendTlsMode::Explicit) | None => (Upstream::plain(stream), target),
    };
    trial.succeed();
    Ok(Box::new(Link { lines, server, target: Arc::new(target), place }))
}

/// The TLS of one connection and its data connections.
fn new_tls(server: &Server, backend: &Backend) -> Result<UpstreamTls, BackendProfileError> {
    let profile = backend.tls().expect("a backend under TLS has a profile");
    profile.session(&server.address().host)
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

fn not_secured(trial: Trial, error: &HandshakeError) -> UpstreamFailure {
    match advice(error) {
        Some(advice) => trial.fail(format_args!("{error}; {advice}")),
        None => trial.fail(error),
    }
}
