//! Connecting to servers: names to addresses, our own address, socket options.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::config::ServerAddress;
use crate::socket;

/// Connects to a server within `patience`, from `source` if one is given.
///
/// # Errors
///
/// The name has no address that can be reached from `source`, or none of its addresses answers.
pub(super) async fn dial(
    server: &ServerAddress,
    source: Option<IpAddr>,
    patience: Duration,
) -> io::Result<TcpStream> {
    let deadline = Instant::now() + patience;
    let lookup = timeout_at(deadline, lookup_host((server.host.as_str(), server.port)));
    let addresses =
        lookup.await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "name lookup timed out"))??;
    let is_reachable =
        |address: &SocketAddr| source.is_none_or(|source| source.is_ipv4() == address.is_ipv4());
    let addresses: Vec<SocketAddr> = addresses.filter(is_reachable).take(ADDRESSES_MAX).collect();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address of our kind");
    for (index, &address) in addresses.iter().enumerate() {
        // An address that swallows packets leaves time for those behind it.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(1);
        match timeout_at(Instant::now() + share, connect(address, source)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::Error::new(io::ErrorKind::TimedOut, "no answer to the connection"),
        }
    }
    Err(failure)
}

/// Connects to a server's data port, from the address of the control connection: servers check it.
///
/// # Errors
///
/// The port does not answer within `patience`.
pub async fn dial_data(server: SocketAddr, local: IpAddr, patience: Duration) -> io::Result<TcpStream> {
    match timeout_at(Instant::now() + patience, connect(server, Some(local))).await {
        Ok(connected) => connected,
        Err(elapsed) => Err(elapsed.into()),
    }
}

async fn connect(server: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        // The kernel chooses the port at connect: a bind to port 0 would take one for every peer.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(server).await?;
    socket::prepare(&stream)?;
    Ok(stream)
}

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
