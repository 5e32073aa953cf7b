//! A TCP relay between gateway and backend that shows what passes through it: the clear side of the wire.
//!
//! It changes no byte. Data connections do not pass here: the gateway opens those to the port that the backend names,
//! at the relay's own address, which is the backend's.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::wire::{self, Message, Replies, Requests, Side, Tap};

/// A relay that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Listens on a port that the kernel chooses.
    pub(super) async fn start(backend: SocketAddr, tap: Tap) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, backend, tap));
        Ok(Self { address, _tasks: tasks })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener, backend: SocketAddr, tap: Tap) {
    let mut connections = JoinSet::new();
    while let Ok((gateway, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(relay(gateway, backend, tap.clone()));
    }
}

async fn relay(gateway: TcpStream, backend: SocketAddr, tap: Tap) {
    // A connection that cannot be made is closed, which is what the gateway would see without a relay.
    let Ok(backend) = TcpStream::connect(backend).await else { return };
    let (from_gateway, to_gateway) = gateway.into_split();
    let (from_backend, to_backend) = backend.into_split();
    let mut requests = Requests::new(Side::Upstream);
    let mut replies = Replies::new(Side::Upstream);
    tokio::join!(
        pump(from_gateway, to_backend, |bytes| requests.read(bytes), &tap),
        pump(from_backend, to_gateway, |bytes| replies.read(bytes), &tap),
    );
}

/// Until either end closes. Messages are shown before they arrive, so that cause stands before effect.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut read: impl FnMut(&[u8]) -> Vec<Message>,
    tap: &Tap,
) {
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                wire::show(tap, read(&buffer[..count])).await;
                if to.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        }
    }
    // The peer may have gone first.
    let _ = to.shutdown().await;
}

const BUFFER_BYTES: usize = 4096;
