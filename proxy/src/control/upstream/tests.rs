//! Servers that answer, and servers that speak out of turn.

use tokio::io::AsyncReadExt;
use tokio_rustls::server;

use super::*;
use crate::config::TlsVersion;
use crate::tls::testing::server::BackendServer;
use crate::tls::testing::{SOON, tcp_pair};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

fn command(line: &[u8]) -> Command {
    Command::parse(line).unwrap()
}

/// The server's end.
struct Server {
    stream: server::TlsStream<TcpStream>,
}

impl Server {
    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn hear(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 100];
        let count = self.stream.read(&mut bytes).await.unwrap();
        bytes.truncate(count);
        bytes
    }
}

/// A control connection after its handshake, the tickets of which we have not read.
async fn pair(version: TlsVersion) -> (Upstream, Server, UpstreamTls) {
    pair_with(&BackendServer::new(version)).await
}

async fn pair_with(server: &BackendServer) -> (Upstream, Server, UpstreamTls) {
    let tls = server.session();
    let (near, far) = tcp_pair().await;
    let silent = Upstream::plain(near).silent().unwrap();
    let (secured, accepted) = tokio::join!(silent.secure(&tls, SOON), server.accept(far, 2));
    (secured.unwrap().0, Server { stream: accepted.unwrap() }, tls)
}

#[tokio::test]
async fn commands_and_replies_pass_under_tls() {
    for version in VERSIONS {
        let (mut upstream, mut server, _tls) = pair(version).await;
        assert!(upstream.is_tls());
        for _ in 0..3 {
            upstream.send(&command(b"NOOP")).unwrap();
            upstream.flush().await.unwrap();
            assert!(!upstream.has_output());
            assert_eq!(server.hear().await, b"NOOP\r\n");
            server.say(b"200-so\r\n200 be it\r\n").await;
            let reply = upstream.next_reply().await.unwrap().unwrap();
            assert_eq!(reply.code().value(), 200);
        }
        upstream.send(&command(b"QUIT")).unwrap();
        let farewell = upstream.close(SOON);
        let server = async {
            assert_eq!(server.hear().await, b"QUIT\r\n");
            // A clean end: without close_notify this would be an error.
            assert_eq!(server.hear().await, b"");
        };
        tokio::join!(farewell, server);
    }
}

/// The kernel is asked: nothing is awaited between the server's word and ours.
#[tokio::test]
async fn what_was_not_asked_for_is_found_before_the_reactor_has_heard_of_it() {
    for version in VERSIONS {
        let (mut upstream, mut server, _tls) = pair(version).await;
        server.say(b"226 Done\r\n").await;
        let refused = upstream.send(&command(b"NOOP")).unwrap_err();
        assert!(refused.goodbye.is_none());

        let (mut upstream, mut server, _tls) = pair(version).await;
        server.say(b"421 Too long\r\n").await;
        let refused = upstream.send(&command(b"NOOP")).unwrap_err();
        assert_eq!(refused.goodbye.unwrap().code().value(), 421);

        let (mut upstream, mut server, _tls) = pair(version).await;
        server.say(b"200 part of one and").await;
        assert!(upstream.send(&command(b"NOOP")).unwrap_err().goodbye.is_none());
    }
}

#[tokio::test]
async fn a_second_reply_that_came_with_the_first_is_found() {
    let (mut upstream, mut server, _tls) = pair(TlsVersion::Tls13).await;
    server.say(b"200 one\r\n257 \"/forged\"\r\n").await;
    assert_eq!(upstream.next_reply().await.unwrap().unwrap().code().value(), 200);
    assert!(upstream.send(&command(b"PWD")).is_err());
}

/// Two tickets are waiting in the kernel when the first command is sent: they are taken in, and the command goes out.
#[tokio::test]
async fn tickets_are_no_word() {
    let server = BackendServer::new(TlsVersion::Tls13);
    let (mut upstream, mut peer, tls) = pair_with(&server).await;
    upstream.send(&command(b"NOOP")).unwrap();
    upstream.flush().await.unwrap();
    assert_eq!(peer.hear().await, b"NOOP\r\n");
    for expected in [true, true, false] {
        assert_eq!(server.data(&tls, 0).await.unwrap().2.resumed, expected);
    }
}

#[tokio::test]
async fn a_goodbye_of_tls_is_a_word() {
    for version in VERSIONS {
        let (mut upstream, mut server, _tls) = pair(version).await;
        server.stream.shutdown().await.unwrap();
        assert!(upstream.send(&command(b"NOOP")).unwrap_err().goodbye.is_none());
        assert!(upstream.next_reply().await.is_none());
    }
}

#[tokio::test]
async fn garbage_under_tls_is_a_word() {
    for version in VERSIONS {
        let (mut upstream, mut server, _tls) = pair(version).await;
        server.stream.get_mut().0.write_all(&[0x17, 3, 3, 0, 20]).await.unwrap();
        server.stream.get_mut().0.write_all(&[7; 20]).await.unwrap();
        assert!(upstream.send(&command(b"NOOP")).is_err());
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_an_end() {
    for version in VERSIONS {
        let (mut upstream, mut server, _tls) = pair(version).await;
        server.say(b"221 Bye\r\n221 half of").await;
        server.stream.get_mut().0.shutdown().await.unwrap();
        assert_eq!(upstream.next_reply().await.unwrap().unwrap().code().value(), 221);
        assert!(upstream.next_reply().await.is_none(), "half a reply is none");
    }
}

#[tokio::test]
async fn a_reply_in_clear_behind_the_234_is_found_before_the_reactor_has_heard_of_it() {
    let (near, mut far) = tcp_pair().await;
    let mut upstream = Upstream::plain(near);
    far.write_all(b"234 Go\r\n").await.unwrap();
    assert_eq!(upstream.next_reply().await.unwrap().unwrap().code().value(), 234);
    far.write_all(b"230 Logged in\r\n").await.unwrap();
    assert!(matches!(upstream.silent(), Err(NotSilent::PlaintextInjection)));

    // In one segment with the 234.
    let (near, mut far) = tcp_pair().await;
    let mut upstream = Upstream::plain(near);
    far.write_all(b"234 Go\r\n230").await.unwrap();
    assert_eq!(upstream.next_reply().await.unwrap().unwrap().code().value(), 234);
    assert!(matches!(upstream.silent(), Err(NotSilent::PlaintextInjection)));

    let (near, far) = tcp_pair().await;
    drop(far);
    assert!(matches!(Upstream::plain(near).silent(), Err(NotSilent::Unready)));
}

#[tokio::test]
async fn what_waits_to_be_written_in_clear_is_not_carried_over() {
    let (near, _far) = tcp_pair().await;
    let mut upstream = Upstream::plain(near);
    upstream.send(&command(b"AUTH TLS")).unwrap();
    assert!(matches!(upstream.silent(), Err(NotSilent::Unready)));
    let (upstream, _server, _tls) = pair(TlsVersion::Tls12).await;
    assert!(matches!(upstream.silent(), Err(NotSilent::Unready)), "TLS inside TLS");
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_left_in_time() {
    let (upstream, _server, _tls) = pair(TlsVersion::Tls13).await;
    // The server never reads: close_notify goes into its kernel's buffer, and that is enough.
    tokio::time::timeout(SOON, upstream.close(Duration::from_millis(50))).await.unwrap();
}

#[test]
fn the_connection_is_small_in_a_session() {
    assert!(size_of::<Upstream>() <= 192, "{}", size_of::<Upstream>());
}
