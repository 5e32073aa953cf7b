//! A listening socket of a passive port, and the task that accepts on it.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::plan::PortKey;
use super::port::Origin;
use super::registry::Shared;
use crate::proxy_protocol::{Header, HeaderError, read_header};
use crate::socket::prepare;

/// Listens until it is dropped.
pub(super) struct Socket {
    pub(super) address: IpAddr,
    listener: Arc<TcpListener>,
    task: AbortHandle,
}

impl Socket {
    /// Accepts on `listener` in a task of its own, which hands connections to whoever expects them.
    pub(super) fn serve(listener: TcpListener, address: SocketAddr, shared: &Arc<Shared>) -> Self {
        let listener = Arc::new(listener);
        let key = PortKey::new(address.ip(), address.port());
        let task = tokio::spawn(accept(Arc::clone(&listener), key, Arc::downgrade(shared))).abort_handle();
        Self { address: address.ip(), listener, task }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // An aborted task is dropped some time later, but the port must be free for another socket now.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        self.task.abort();
    }
}

/// Binds and listens; port 0 lets the kernel choose.
pub(super) fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    prepare(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn accept(listener: Arc<TcpListener>, key: PortKey, shared: Weak<Shared>) {
    let mut pause = PAUSE_MIN;
    // Connections whose PROXY header is read; they end with this task.
    let mut readings = JoinSet::new();
    loop {
        let accepted = select! {
            // A connection that was not taken stays in the kernel's queue.
            accepted = listener.accept() => accepted,
            // One that has ended and was not taken out is taken out later.
            Some(_) = readings.join_next() => continue,
        };
        match accepted {
            Ok((tcp, peer)) => {
                pause = PAUSE_MIN;
                let Some(registry) = shared.upgrade() else { return };
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                if !registry.is_proxy(key, peer.ip()) {
                    give(&registry, key, tcp, Origin::direct(peer));
                } else if readings.len() < READINGS_MAX {
                    readings.spawn(take_proxied(Weak::clone(&shared), key, tcp, peer));
                } else {
                    refuse(&tcp, peer, key);
                }
            }
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    if pause == PAUSE_MIN {
                        tracing::warn!(port = key.port, %error, "data connections wait: out of resources");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                // The socket was shut down by its owner.
                Some(Errno::INVAL) => return,
                // One connection that died before it was accepted.
                Some(_) | None => {}
            },
        }
    }
}

fn give(registry: &Shared, key: PortKey, tcp: TcpStream, origin: Origin) {
    if let Err(tcp) = registry.hand_over(key, tcp, origin) {
        refuse(&tcp, origin.peer, key);
    }
}

/// Takes a connection from a balancer: who it is from stands in its header.
async fn take_proxied(shared: Weak<Shared>, key: PortKey, mut tcp: TcpStream, proxy: SocketAddr) {
    let peer = match read_header(&mut tcp, HEADER_TIMEOUT).await {
        Ok(Header::Proxied(ends)) => ends.client,
        Ok(Header::Local) => proxy,
        Err(HeaderError::Closed) => return,
        Err(error) => {
            tracing::warn!(event = "client.proxy_header", %proxy, port = key.port, %error, "protocol violation");
            return refuse(&tcp, proxy, key);
        }
    };
    if let Some(registry) = shared.upgrade() {
        give(&registry, key, tcp, Origin { peer, proxy: Some(proxy.ip()) });
    }
}

/// Closes a connection that nobody expects. By RST: it leaves nothing behind, and says nothing.
fn refuse(tcp: &TcpStream, peer: SocketAddr, key: PortKey) {
    tracing::debug!(peer = %peer.ip(), port = key.port, "unexpected data connection closed");
    let _ = tcp.set_zero_linger();
}

/// The kernel cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Connections on one socket whose PROXY header is awaited.
const READINGS_MAX: usize = 64;
/// For a PROXY header; a balancer sends it with its first packet.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
