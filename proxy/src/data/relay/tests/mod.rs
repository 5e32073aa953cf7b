//! Transfers over loopback: every end, in both directions, on every kind of leg.

mod backends;
mod downloads;
mod uploads;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::*;
use crate::config::{DataResumption, TlsVersion, UploadEnd};
use crate::data::Leg;
use crate::tls::DataKind;
use crate::tls::testing::server::BackendServer;
use crate::tls::testing::{ClientKind, SOON, TlsPair, data, tcp_pair};

/// Long enough never to matter.
const LAX: Limits = Limits { stall_timeout: SOON, min_rate: 0 };

/// Short enough to wait for.
const HASTY: Limits = Limits { stall_timeout: Duration::from_millis(200), min_rate: 0 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Plain,
    Tls12,
    Tls13,
}

impl Wire {
    const ALL: [Self; 3] = [Self::Plain, Self::Tls12, Self::Tls13];
    const TLS: [Self; 2] = [Self::Tls12, Self::Tls13];

    fn client_kind(self) -> Option<ClientKind> {
        match self {
            Self::Plain => None,
            Self::Tls12 => Some(ClientKind::Tls12Tickets),
            Self::Tls13 => Some(ClientKind::Tls13),
        }
    }

    /// A leg towards a client, and the client.
    async fn open(self, kind: DataKind) -> (Leg, Peer) {
        let Some(client_kind) = self.client_kind() else {
            let (near, far) = tcp_pair().await;
            return (Leg::plain(near), Peer::Plain(far));
        };
        let tls = TlsPair::new(DataResumption::Prefer);
        let client = Arc::new(tls.client(client_kind));
        let (tcp, connection, _, peer) = data(&tls.session(), &client, kind).await.unwrap();
        (Leg::under_tls(tcp, connection), Peer::Client(Box::new(peer)))
    }

    /// A leg towards a server, and the server: with TLS the gateway is its client, and resumes.
    async fn open_upstream(self) -> (Leg, Peer) {
        let version = match self {
            Self::Plain => {
                let (near, far) = tcp_pair().await;
                return (Leg::plain(near), Peer::Plain(far));
            }
            Self::Tls12 => TlsVersion::Tls12,
            Self::Tls13 => TlsVersion::Tls13,
        };
        let server = BackendServer::new(version);
        let tls = server.session();
        let _control = server.control(&tls, 1).await.unwrap();
        let (tcp, connection, agreed, peer) = server.data(&tls, 1).await.unwrap();
        assert!(agreed.resumed);
        (Leg::under_tls(tcp, connection), Peer::Server(Box::new(peer)))
    }
}

/// Legs for each pair of wires, the client's first.
fn pairs() -> impl Iterator<Item = (Wire, Wire)> {
    Wire::ALL.into_iter().flat_map(|downstream| Wire::ALL.map(|upstream| (downstream, upstream)))
}

/// The far end of a leg.
enum Peer {
    Plain(TcpStream),
    Client(Box<client::TlsStream<TcpStream>>),
    Server(Box<server::TlsStream<TcpStream>>),
}

impl Peer {
    fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Client(tls) => tls.get_mut().0,
            Self::Server(tls) => tls.get_mut().0,
        }
    }

    /// Closes with RST.
    fn reset(mut self) {
        self.tcp().set_zero_linger().unwrap();
    }

    /// FIN, with no close_notify before it.
    async fn close_bluntly(mut self) -> TcpStream {
        self.tcp().shutdown().await.unwrap();
        match self {
            Self::Plain(tcp) => tcp,
            Self::Client(tls) => tls.into_inner().0,
            Self::Server(tls) => tls.into_inner().0,
        }
    }

    /// Reads to an end, clean or not, with what came before.
    async fn read_out(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = Vec::new();
        let end = tokio::time::timeout(SOON, self.read_to_end(&mut bytes)).await.expect("an end");
        (bytes, end.map(|_| ()))
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Client(tls) => Pin::new(tls).poll_read(context, buffer),
            Self::Server(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Client(tls) => Pin::new(tls).poll_write(context, bytes),
            Self::Server(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Client(tls) => Pin::new(tls).poll_flush(context),
            Self::Server(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Client(tls) => Pin::new(tls).poll_shutdown(context),
            Self::Server(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}

/// Bytes that do not repeat in step with any buffer.
fn pattern(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(bytes)
    .collect()
}

/// Writes in pieces from one byte to more than a buffer.
async fn write_unevenly(peer: &mut Peer, mut bytes: &[u8]) {
    let sizes = [1, 2, 3, 700_000, 1, 16_384, 16_385, 5, 100_000, 1_000_000, 18_437, 1_300, 4_096];
    for size in sizes.into_iter().cycle() {
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        peer.write_all(piece).await.unwrap();
        peer.flush().await.unwrap();
        bytes = rest;
        if bytes.is_empty() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Reads to the end with small buffers, pausing for other tasks.
async fn read_slowly(peer: &mut Peer) -> (Vec<u8>, io::Result<()>) {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 50_000]);
    for size in [1, 17, 4_096, 50_000, 20_000].into_iter().cycle() {
        match peer.read(&mut buffer[..size]).await {
            Ok(0) => return (bytes, Ok(())),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => return (bytes, Err(error)),
        }
        tokio::task::yield_now().await;
    }
    unreachable!("the sizes cycle")
}

fn assert_same(left: &[u8], right: &[u8]) {
    assert_eq!(left.len(), right.len());
    assert!(left == right, "differs at {:?}", left.iter().zip(right).position(|(left, right)| left != right));
}

/// Fills whatever buffers lie between two sockets, so that the writer is stuck.
async fn fill_up(peer: &mut Peer) {
    let chunk = vec![0; 64 * 1024];
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(100), peer.write_all(&chunk)).await {}
}

/// A download that nobody watches.
async fn download(upstream: Leg, downstream: &mut Leg, limits: &Limits) -> Relayed {
    super::download(upstream, downstream, limits, &Progress::default()).await
}

/// An upload that nobody watches.
async fn upload(downstream: Leg, upstream: Leg, limits: &Limits, rule: UploadEnd) -> Relayed {
    super::upload(downstream, upstream, limits, rule, &Progress::default()).await
}
