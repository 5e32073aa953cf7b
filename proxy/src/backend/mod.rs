//! Servers: dialling them, and what is remembered of them.

mod probe;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use ftpsgate_ftp::codec::FeatureSet;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use crate::config;
use crate::socket;

pub use probe::learn_features;

/// A configured destination, and what its server has shown of itself.
#[derive(Debug)]
pub struct Backend {
    config: Arc<config::Backend>,
    /// What the server last said to FEAT; clients that ask before their login are told this.
    features: ArcSwap<FeatureSet>,
    /// The server refused EPSV before.
    prefers_pasv: AtomicBool,
}

impl Backend {
    /// A backend of which nothing is known.
    pub fn new(config: Arc<config::Backend>) -> Self {
        Self { config, features: ArcSwap::default(), prefers_pasv: AtomicBool::new(false) }
    }

    /// Its configuration.
    pub fn config(&self) -> &Arc<config::Backend> {
        &self.config
    }

    /// What the server last said to FEAT.
    pub fn features(&self) -> Arc<FeatureSet> {
        self.features.load_full()
    }

    /// The server answered FEAT.
    pub fn remember_features(&self, features: FeatureSet) {
        self.features.store(Arc::new(features));
    }

    /// Whether to send PASV at once.
    pub fn prefers_pasv(&self) -> bool {
        self.prefers_pasv.load(Ordering::Relaxed)
    }

    /// The server refused EPSV.
    pub fn remember_epsv_refused(&self) {
        self.prefers_pasv.store(true, Ordering::Relaxed);
    }

    /// Connects to the server. The session's own deadline ends this.
    ///
    /// # Errors
    ///
    /// The name has no address, or none of its addresses answers.
    pub async fn dial(&self) -> io::Result<TcpStream> {
        let server = self.config.servers.first().expect("a checked backend has a server");
        let server = &server.address;
        let addresses = lookup_host((server.host.as_str(), server.port)).await?;
        let addresses: Vec<SocketAddr> = addresses.take(ADDRESSES_MAX).collect();
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for (index, address) in addresses.iter().enumerate() {
            // An address that swallows packets leaves time for those behind it.
            let patience = self.config.connect_timeout / u32::try_from(addresses.len() - index).unwrap_or(1);
            match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    socket::prepare(&stream)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = error,
                Err(elapsed) => failure = elapsed.into(),
            }
        }
        Err(failure)
    }
}

/// Connects to a server's data port, from the address of the control connection: servers check it.
///
/// # Errors
///
/// The port does not answer within `patience`.
pub async fn dial_data(server: SocketAddr, local: IpAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The kernel chooses the port at connect: a bind to port 0 would take one for every peer.
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(SocketAddr::new(local, 0))?;
    let stream = timeout(patience, socket.connect(server)).await??;
    socket::prepare(&stream)?;
    Ok(stream)
}

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
