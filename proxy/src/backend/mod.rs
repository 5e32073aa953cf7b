//! Backends: their servers, choosing one for a session, and knowing which can serve.
//!
//! In reading order: [`balance`] chooses, [`health`] knows who is up (both pure), [`Server`] remembers, [`Attempt`]
//! brings a session to a server. [`check`] looks after servers, by visits of the [`runner`]; [`probe`] makes
//! them for a person.

pub mod balance;
pub mod check;
mod dial;
pub mod health;
mod pool;
pub mod probe;
pub mod runner;
mod server;
#[cfg(test)]
pub(crate) mod testing;

use std::io;
use std::sync::Arc;

use ftpsgate_ftp::codec::FeatureSet;
use ftpsgate_ftp::session::RequestedServer;
use tokio::net::TcpStream;

use crate::config::{self, BackendTlsMode, ServerAddress};
use crate::tls::BackendProfile;

pub use dial::dial_data;
pub use pool::{Attempt, Place, Trial};
pub use server::Server;

use pool::Queue;

/// A configured destination: servers of which any can serve a session.
#[derive(Debug)]
pub struct Backend {
    config: Arc<config::Backend>,
    servers: Vec<Arc<Server>>,
    /// TLS towards them; `None`: plain FTP.
    tls: Option<Arc<BackendProfile>>,
    /// Sessions that wait for room.
    queue: Arc<Queue>,
}

impl Backend {
    /// A backend under a configuration; what is known of those servers that `old` has, too, is kept.
    /// `tls` is there if, and only if, the configuration has TLS.
    pub fn new(config: Arc<config::Backend>, tls: Option<Arc<BackendProfile>>, old: Option<&Self>) -> Self {
        let queue = old.map(|old| Arc::clone(&old.queue)).unwrap_or_default();
        let known = |address: &ServerAddress| {
            old.and_then(|old| old.servers.iter().find(|server| server.address() == address))
        };
        let servers = config
            .servers
            .iter()
            .map(|server| {
                let old = known(&server.address).map(|server| &**server);
                Arc::new(Server::new(server.clone(), &config, Arc::clone(&queue), old))
            })
            .collect();
        Self { config, servers, tls, queue }
    }

    /// Its configuration.
    pub fn config(&self) -> &Arc<config::Backend> {
        &self.config
    }

    /// TLS towards its servers.
    pub fn tls(&self) -> Option<&Arc<BackendProfile>> {
        self.tls.as_ref()
    }

    /// Its servers, as configured; at least one.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// What every server that was asked has said to FEAT: clients that ask before their login are told this.
    pub fn features(&self) -> Arc<FeatureSet> {
        let mut sets = self.servers.iter().filter_map(|server| server.features());
        let Some(first) = sets.next() else { return Arc::default() };
        sets.fold(first, |common, set| Arc::new(Arc::unwrap_or_clone(common).intersect(&set)))
    }

    /// The search for a server that begins with a login.
    pub fn attempt(self: &Arc<Self>) -> Arc<Attempt> {
        Arc::new(Attempt::new(Arc::clone(self)))
    }

    /// Connects to a server of this backend, without asking for a place: a session that has one may need a second
    /// connection. Takes `connect_timeout` at most.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub async fn dial(&self, server: &Server) -> io::Result<TcpStream> {
        dial::dial(server.address(), self.config.source, self.config.connect_timeout).await
    }

    /// The server that a client named. One that is not configured has no place in this backend, and is forgotten.
    fn requested(&self, requested: &RequestedServer) -> Arc<Server> {
        let is_meant = |address: &ServerAddress| {
            address.host.eq_ignore_ascii_case(&requested.host)
                && requested.port.is_none_or(|port| port == address.port)
        };
        if let Some(server) = self.servers.iter().find(|server| is_meant(server.address())) {
            return Arc::clone(server);
        }
        let port = requested.port.unwrap_or_else(|| match self.config.tls.as_ref().map(|tls| tls.mode) {
            Some(BackendTlsMode::Implicit) => PORT_IMPLICIT,
            Some(BackendTlsMode::Explicit) | None => PORT,
        });
        let address = ServerAddress { host: requested.host.clone(), port };
        let config = config::Server { address, weight: 1, backup: false };
        Arc::new(Server::new(config, &self.config, Arc::clone(&self.queue), None))
    }

    /// Sessions that each server may have.
    fn sessions_max(&self) -> usize {
        match self.config.max_sessions {
            0 => usize::MAX,
            limit => limit,
        }
    }
}

/// FTP's control port (RFC 959 §8).
const PORT: u16 = 21;
/// The control port where TLS begins at once (ftps, IANA).
const PORT_IMPLICIT: u16 = 990;
