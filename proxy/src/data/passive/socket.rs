//! A listening socket of a passive port, and the task that accepts on it.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::plan::PortKey;
use super::registry::Shared;
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
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                pause = PAUSE_MIN;
                let Some(shared) = shared.upgrade() else { return };
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                if let Err(tcp) = shared.hand_over(key, tcp, peer) {
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

/// Closes a connection that nobody expects. By RST: it leaves nothing behind, and says nothing.
fn refuse(tcp: &TcpStream, peer: SocketAddr, key: PortKey) {
    tracing::debug!(peer = %peer.ip(), port = key.port, "unexpected data connection closed");
    let _ = tcp.set_zero_linger();
}

/// The kernel cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
