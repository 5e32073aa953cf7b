//! Clients behind a balancer that speaks the PROXY protocol, and balancers that do not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ftpsgate_tests::client::{Client, DataConnection, End, TlsSetup, TlsVersion, proxy_v1, proxy_v2};
use ftpsgate_tests::gateway::{Event, Gateway, GatewayOptions, ListenerOptions, PATIENCE};
use ftpsgate_tests::scene::{Scene, content};
use ftpsgate_tests::scripted::{Script, ScriptedServer};

/// The balancer: of 127.0.0.0/8 like everybody here.
const BALANCER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 9, 0, 1));
/// Its client, where it opens its data connections itself.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
/// A client that is no address of this machine.
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
/// What the client dialled: an address of the balancer's.
const FRONTEND: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

const TRUST: &str = "proxy_protocol_from = [\"127.9.0.0/16\"]\nhandshake_timeout = \"1s\"";
const HEADERS: [fn(SocketAddr, SocketAddr) -> Vec<u8>; 2] = [proxy_v1, proxy_v2];

fn header(version: fn(SocketAddr, SocketAddr) -> Vec<u8>, client: IpAddr) -> Vec<u8> {
    version(SocketAddr::new(client, 50_000), SocketAddr::new(FRONTEND, 21))
}

fn behind_balancer() -> Scene {
    Scene::start_with_listener_keys(Script::new().file("a", b"content"), TRUST)
}

/// A connection of the balancer's that begins so.
fn say(address: SocketAddr, bytes: &[u8]) -> Client {
    let mut client = Client::connect_from(BALANCER, address);
    client.send_bytes(bytes);
    client
}

fn is_violation(event: &Event) -> bool {
    event.text("message") == "protocol violation" && event.text("event") == "client.proxy_header"
}

#[test]
fn the_client_in_the_header_is_the_client() {
    let scene = behind_balancer();
    for (index, version) in HEADERS.into_iter().enumerate() {
        let mark = scene.gateway.log().mark();
        let mut client = say(scene.gateway.address("plain"), &header(version, CLIENT));
        client.greeting();
        client.log_in();
        let opened = scene.gateway.log().wait_since(mark, |event| event.is("session opened"), PATIENCE);
        let opened = opened.expect("a session is opened");
        assert_eq!(opened.address("client"), SocketAddr::new(CLIENT, 50_000), "version {}", index + 1);
        assert_eq!(opened.address("proxy").ip(), BALANCER);
        assert_eq!(opened.address("local"), SocketAddr::new(FRONTEND, 21));

        // The address that the client dialled is advertised, and the client alone may use the port.
        let advertised = client.pasv();
        assert_eq!(advertised.ip(), FRONTEND);
        let port = SocketAddr::new(scene.gateway.address("plain").ip(), advertised.port());
        assert!(DataConnection::steal(Some(BALANCER), port).is_empty());
        let mut data = DataConnection::connect_from(CLIENT, port);
        client.expect("RETR a", 150);
        assert_eq!(data.read_to_end(), (b"content".to_vec(), End::Fin));
        client.expect_reply(226);
    }
}

#[test]
fn a_header_comes_before_tls() {
    let scene = behind_balancer();
    let tls = || TlsSetup::new(&scene.gateway, TlsVersion::Tls13);
    let mut explicit = say(scene.gateway.address("explicit"), &header(proxy_v1, FAR));
    explicit.greeting();
    explicit.auth_tls(tls());
    explicit.expect("PBSZ 0", 200);
    explicit.log_in();
    let mut implicit = say(scene.gateway.address("implicit"), &header(proxy_v2, FAR));
    implicit.start_tls(tls());
    implicit.greeting();
    implicit.log_in();
    let is_from_far = |event: &Event| event.is("logged in") && event.address("client").ip() == FAR;
    scene.gateway.wait_event(is_from_far, PATIENCE);
}

#[test]
fn a_balancer_that_looks_whether_we_live_is_its_own_client() {
    let scene = behind_balancer();
    for local in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut client = say(scene.gateway.address("plain"), local);
        client.greeting();
        client.expect("QUIT", 221);
    }
    let opened = scene.gateway.wait_named("session opened", PATIENCE);
    assert_eq!(opened.address("client").ip(), BALANCER);
}

#[test]
fn a_balancer_without_a_header_is_closed_without_a_word() {
    let scene = behind_balancer();
    let others = [
        &b"USER anna\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 99999\r\n",
        // A Unix socket, and one that promises too much.
        b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\x04abcd",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        // Silence: closed at handshake_timeout.
        b"",
    ];
    for name in ["explicit", "implicit", "plain"] {
        for bytes in others {
            let mark = scene.gateway.log().mark();
            say(scene.gateway.address(name), bytes).expect_end();
            let event = scene.gateway.log().wait_since(mark, is_violation, PATIENCE);
            let event = event.unwrap_or_else(|| panic!("{name}: no event for {}", bytes.escape_ascii()));
            assert_eq!(event.address("proxy").ip(), BALANCER);
        }
    }
    let is_session = |event: &Event| event.is("session opened") || event.is("session closed");
    assert!(!scene.gateway.events().iter().any(is_session), "one event each, and no session");
}

#[test]
fn nobody_else_may_send_a_header() {
    let scene = behind_balancer();
    for version in HEADERS {
        let mark = scene.gateway.log().mark();
        let mut liar = Client::connect_saying(scene.gateway.address("plain"), &header(version, FAR));
        let said = liar.read_to_end();
        assert!(
            said.is_empty() || (said.starts_with(b"220 ") && said.len() < 100),
            "{}",
            said.escape_ascii()
        );
        let event = scene.gateway.log().wait_since(mark, is_violation, PATIENCE).expect("an event");
        assert!(event.address("client").ip().is_loopback());
    }
    // Who sends none is served.
    let mut client = scene.client();
    assert_eq!(client.download("RETR a"), b"content");
}

#[test]
fn places_are_bounded_while_headers_are_awaited() {
    let keys = "proxy_protocol_from = [\"127.9.0.0/16\"]\nmax_sessions = 2";
    let scene = Scene::start_with_listener_keys(Script::new(), keys);
    let address = scene.gateway.address("plain");
    let mute = [Client::connect_from(BALANCER, address), Client::connect_from(BALANCER, address)];
    let mut third = Client::connect_from(BALANCER, address);
    third.expect_reply(421);
    third.expect_end();
    drop(mute);
}

#[test]
fn data_connections_come_through_the_balancer() {
    let file = content(100_000);
    let server = ScriptedServer::start(Script::new().file("a", &file));
    let listener = ListenerOptions::explicit("explicit").keys(TRUST).passive_keys("proxy_protocol = true");
    let gateway = Gateway::start(GatewayOptions::new(server.address()).listener(listener));
    server.wait_probed();
    let mut client = say(gateway.address("explicit"), &header(proxy_v2, FAR));
    client.greeting();
    client.auth_tls(TlsSetup::new(&gateway, TlsVersion::Tls13));
    client.expect("PBSZ 0", 200);
    client.protect();
    client.log_in();
    for version in HEADERS {
        let port = client.epsv();
        // In another's name, with something else, and by somebody who is no balancer.
        for bytes in [header(version, CLIENT), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
            let mut stranger = DataConnection::connect_from(BALANCER, port);
            stranger.write(&bytes);
            assert_eq!(stranger.read_to_end().0, b"");
        }
        assert!(DataConnection::steal(Some(CLIENT), port).is_empty());

        let mut data = DataConnection::connect_from(BALANCER, port);
        data.write(&header(version, FAR));
        client.expect("RETR a", 150);
        let mut data = client.secure(data);
        let (received, end) = data.read_to_end();
        assert_eq!(end, End::CloseNotify);
        assert!(received == file, "{} bytes", received.len());
        drop(data);
        client.expect_reply(226);
    }
}

/// One gateway is the balancer of the other: what one writes the other reads, on control and on data connections.
#[test]
fn a_gateway_behind_a_gateway_knows_the_client() {
    let server = ScriptedServer::start(Script::new().file("a", b"content"));
    let trust = "proxy_protocol_from = [\"127.0.0.0/8\"]";
    let listener = ListenerOptions::plain("inner").keys(trust).passive_keys("proxy_protocol = true");
    let inner = Gateway::start(GatewayOptions::new(server.address()).listener(listener));
    server.wait_probed();
    let outer = GatewayOptions::new(inner.address("inner"))
        .listener(ListenerOptions::plain("outer"))
        .backend_keys("proxy_protocol = \"v2+data\"");
    let outer = Gateway::start(outer);
    let mut client = Client::connect_from(CLIENT, outer.address("outer"));
    client.greeting();
    client.log_in();
    let port = client.epsv();
    let mut data = DataConnection::connect_from(CLIENT, port);
    client.expect("RETR a", 150);
    assert_eq!(data.read_to_end().0, b"content");
    client.expect_reply(226);
    let opened = |event: &Event| event.is("logged in") && event.address("client").ip() == CLIENT;
    inner.wait_event(opened, PATIENCE);
    assert!(!inner.events().iter().any(is_violation), "its probes begin with a header, too");
}

#[test]
fn the_first_version_is_said_to_the_backend() {
    // The scripted server takes the header for a command, and more may stand behind it.
    let server = ScriptedServer::start(Script::new().answer("PROXY", b"").disordered());
    let options = GatewayOptions::new(server.address()).listener(ListenerOptions::plain("plain"));
    let gateway = Gateway::start(options.backend_keys("proxy_protocol = \"v1\""));
    let client = Client::logged_in_plain(&gateway);
    let (from, to) = (client.local_address(), gateway.address("plain"));
    let expected = format!("PROXY TCP4 {} {} {} {}", from.ip(), to.ip(), from.port(), to.port());
    assert!(server.record().commands().contains(&expected), "{expected}");
}
