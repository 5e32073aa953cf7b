//! The life of the process: start, reload, drain, stop, and what it tells a service manager.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use ftpsgate_tests::client::Client;
use ftpsgate_tests::gateway::{Gateway, GatewayOptions, ListenerOptions, PATIENCE, wait_until};
use ftpsgate_tests::scene::Scene;
use ftpsgate_tests::scripted::{Flow, Script, ScriptedServer};

/// A server whose `RETR held` sends half, waits for the test, and sends the rest.
fn held_download() -> (Sender<()>, Script) {
    let (open, waiting): (_, Receiver<()>) = mpsc::channel();
    let waiting = Mutex::new(waiting);
    let script = Script::new().file("file", b"content").on("RETR", move |session, argument| {
        if argument != b"held" {
            return session.behave("RETR", argument);
        }
        let mut data = session.start_transfer()?;
        data.send(b"first half, ")?;
        let _ = waiting.lock().expect("one session").recv();
        data.send(b"second half")?;
        data.finish();
        session.reply("226 Sent")?;
        Ok(Flow::Continue)
    });
    (open, script)
}

fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

/// A socket as systemd would read it, and its address for `NOTIFY_SOCKET`.
fn notify_socket(directory: &tempfile::TempDir) -> (UnixDatagram, std::path::PathBuf) {
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("the folder can be written");
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    (socket, path)
}

/// The next datagram that holds this assignment.
fn notification(socket: &UnixDatagram, assignment: &str) -> String {
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {assignment}: {error}"));
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.lines().any(|line| line == assignment) {
            return text;
        }
    }
}

#[test]
fn a_reload_adds_and_removes_listeners_and_keeps_sessions() {
    let scene = Scene::start(Script::new().file("file", b"content"));
    let mut client = scene.client();
    let (explicit, plain) = (scene.gateway.address("explicit"), scene.gateway.address("plain"));
    let mark = scene.gateway.log().mark();
    let fewer = GatewayOptions::explicit(scene.server.address()).listener(ListenerOptions::plain("added"));
    scene.gateway.rewrite_config(fewer);
    scene.gateway.sighup();
    let added = scene.gateway.address_since("added", mark);
    Client::connect(added).greeting();
    wait_until("the removed listener is closed", || refuses(plain));
    Client::connect(explicit).greeting();
    assert_eq!(client.download("RETR file"), b"content", "a running session goes on");
}

#[test]
fn a_reload_changes_what_new_sessions_see() {
    let scene = Scene::start(Script::new());
    let address = scene.gateway.address("explicit");
    let banner = |toml: &str| GatewayOptions::all_modes(scene.server.address()).gateway_keys(toml);
    scene.gateway.rewrite_config(banner("banner = \"another banner\""));
    scene.gateway.sighup();
    wait_until("the new banner", || Client::connect(address).reply().mentions("another banner"));
}

#[test]
fn a_reload_of_a_broken_file_changes_nothing() {
    let scene = Scene::start(Script::new().file("file", b"content"));
    let address = scene.gateway.address("explicit");
    // `ca root` reads the file, too.
    let tls = scene.tls();
    let mark = scene.gateway.log().mark();
    let broken = GatewayOptions::explicit(scene.server.address()).gateway_keys("bannner = \"typo\"");
    scene.gateway.rewrite_config(broken);
    scene.gateway.sighup();
    let complaint = scene.gateway.log().wait_since(mark, |event| event.text("level") == "ERROR", PATIENCE);
    assert!(complaint.is_some(), "nobody said why");
    Client::connect(address).greeting();
    Client::connect(scene.gateway.address("plain")).greeting();
    assert_eq!(Client::logged_in(&scene.gateway, tls).download("RETR file"), b"content");
}

#[test]
fn a_reload_that_cannot_bind_changes_nothing() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let scene = Scene::start(Script::new());
    let mark = scene.gateway.log().mark();
    let listener = ListenerOptions::plain("taken").bind(&taken.local_addr().unwrap().to_string());
    scene.gateway.rewrite_config(GatewayOptions::explicit(scene.server.address()).listener(listener));
    scene.gateway.sighup();
    let complaint = scene.gateway.log().wait_since(mark, |event| event.text("level") == "ERROR", PATIENCE);
    assert!(complaint.is_some(), "nobody said why");
    Client::connect(scene.gateway.address("plain")).greeting();
}

#[test]
fn a_reload_that_renames_a_listener_hands_its_socket_over() {
    let scene = Scene::start(Script::new().file("file", b"content"));
    let mut client = scene.plain_client();
    let address = scene.gateway.address("plain");
    let mark = scene.gateway.log().mark();
    let renamed = ListenerOptions::plain("renamed").bind(&address.to_string()).keys("max_sessions = 1");
    scene.gateway.rewrite_config(GatewayOptions::explicit(scene.server.address()).listener(renamed));
    scene.gateway.sighup();
    assert_eq!(scene.gateway.address_since("renamed", mark), address);
    assert_eq!(client.download("RETR file"), b"content", "a running session goes on");
    // A task that accepted for the old listener may have been about to take one more client.
    wait_until("the new listener serves", || {
        let mut first = Client::connect(address);
        first.greeting();
        Client::connect(address).reply().code == 421
    });
}

#[test]
fn a_reload_that_changes_the_backend_leaves_running_sessions_where_they_are() {
    let scene = Scene::start(Script::new().file("file", b"old"));
    let other = ScriptedServer::start(Script::new().file("file", b"new"));
    let mut client = scene.client();
    let mark = scene.gateway.log().mark();
    scene.gateway.rewrite_config(GatewayOptions::all_modes(other.address()));
    scene.gateway.sighup();
    scene.gateway.log().wait_since(mark, |event| event.is("reloaded"), PATIENCE).expect("it reloads");
    assert_eq!(scene.client().download("RETR file"), b"new");
    assert_eq!(client.download("RETR file"), b"old");
}

#[test]
fn a_session_outlives_its_listener() {
    let scene = Scene::start(Script::new().file("file", b"content"));
    let mut client = scene.plain_client();
    let plain = scene.gateway.address("plain");
    scene.gateway.rewrite_config(GatewayOptions::explicit(scene.server.address()));
    scene.gateway.sighup();
    wait_until("the removed listener is closed", || refuses(plain));
    assert_eq!(client.download("RETR file"), b"content");
    client.transcript("> QUIT\n< 221\n< (end)");
}

#[test]
fn a_drain_ends_idle_sessions_with_421_and_the_process_with_0() {
    let mut scene = Scene::start(Script::new());
    let mut idle = scene.client();
    let mut stranger = scene.newcomer();
    scene.gateway.sigterm();
    idle.transcript("< 421\n< (end)");
    stranger.transcript("< 421\n< (end)");
    drop((idle, stranger));
    assert_eq!(scene.gateway.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_drain_waits_for_no_handshake_and_no_login() {
    let mut scene = Scene::start(Script::new());
    let mut silent = Client::connect(scene.gateway.address("implicit"));
    let mut half_way = scene.newcomer();
    half_way.expect("AUTH TLS", 234);
    let mut anonymous = scene.stranger();
    anonymous.expect("USER anna", 331);
    let mut prepared = scene.client();
    let _data = prepared.open_data();
    scene.gateway.sigterm();
    silent.expect_end();
    half_way.expect_end();
    anonymous.transcript("< 421\n< (end)");
    prepared.transcript("< 421\n< (end)");
    drop((anonymous, prepared));
    assert_eq!(scene.gateway.wait_exit(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn a_drain_lets_a_running_transfer_finish() {
    let (open, script) = held_download();
    let mut scene = Scene::start(script);
    let address = scene.gateway.address("explicit");
    let mut idle = scene.client();
    let mut client = scene.client();
    let mut data = client.begin_transfer("RETR held");
    data.read_exactly(b"first half, ".len());
    scene.gateway.sigterm();
    idle.transcript("< 421\n< (end)");
    wait_until("new sessions are refused", || refuses(address));
    open.send(()).expect("the server waits");
    assert_eq!(data.read_to_end().0, b"second half");
    client.transcript("< 226\n< 421\n< (end)");
    drop((idle, client));
    assert_eq!(scene.gateway.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_drain_ends_at_its_timeout() {
    let (_open, script) = held_download();
    let mut scene = Scene::start_with(script, |options| options.gateway_keys("drain_timeout = \"1s\""));
    let mut client = scene.client();
    let mut data = client.begin_transfer("RETR held");
    data.read_exactly(b"first half, ".len());
    scene.gateway.sigterm();
    let codes: Vec<u16> = client.replies_to_end().iter().map(|reply| reply.code).collect();
    assert!(!codes.contains(&226), "{codes:?}");
    drop(client);
    scene.gateway.wait_exit(PATIENCE);
}

#[test]
fn a_second_sigterm_stops_at_once() {
    let (_open, script) = held_download();
    let mut scene = Scene::start(script);
    let mut idle = scene.client();
    let mut client = scene.client();
    let mut data = client.begin_transfer("RETR held");
    data.read_exactly(b"first half, ".len());
    scene.gateway.sigterm();
    idle.transcript("< 421\n< (end)");
    drop(idle);
    scene.gateway.sigterm();
    client.transcript("< 426\n< 421\n< (end)");
    drop(client);
    scene.gateway.wait_exit(Duration::from_secs(5));
}

#[test]
fn a_socket_from_the_service_manager_replaces_the_bind_of_its_listener() {
    let server = ScriptedServer::start(Script::new().file("file", b"content"));
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    // The address in the file cannot be bound: 203.0.113.1 is nobody's.
    let plain = ListenerOptions::plain("plain").bind("203.0.113.1:21");
    let options = GatewayOptions::explicit(server.address()).listener(plain).socket("plain", socket);
    let gateway = Gateway::start(options);
    assert_eq!(gateway.address("plain"), address);
    assert_eq!(Client::logged_in_plain(&gateway).download("RETR file"), b"content");
}

#[test]
fn a_reload_keeps_the_sockets_of_the_service_manager() {
    let server = ScriptedServer::start(Script::new());
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let manager = socket.try_clone().unwrap();
    let options = |banner: &str| {
        let plain = ListenerOptions::plain("plain").bind("203.0.113.1:21");
        GatewayOptions::explicit(server.address()).listener(plain).gateway_keys(banner)
    };
    let mut gateway = Gateway::start(options("").socket("plain", socket));
    gateway.rewrite_config(options("banner = \"another banner\""));
    gateway.sighup();
    wait_until("the new banner", || Client::connect(address).reply().mentions("another banner"));
    gateway.sigterm();
    gateway.wait_exit(PATIENCE);
    assert!(!refuses(address), "the service manager's own socket goes on listening");
    drop(manager);
}

#[test]
fn two_sockets_from_the_service_manager_find_their_listeners_by_name() {
    let server = ScriptedServer::start(Script::new());
    let sockets = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let addresses = [&sockets[0], &sockets[1]].map(|socket| socket.local_addr().unwrap());
    let [first, second] = sockets;
    let options =
        GatewayOptions::all_modes(server.address()).socket("implicit", first).socket("explicit", second);
    let gateway = Gateway::start(options);
    assert_eq!([gateway.address("implicit"), gateway.address("explicit")], addresses);
}

#[test]
fn a_socket_of_no_listener_fails_the_start() {
    let server = ScriptedServer::start(Script::new());
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut gateway = Gateway::spawn(GatewayOptions::explicit(server.address()).socket("nobody", socket));
    assert!(!gateway.wait_exit(PATIENCE).success());
    assert!(gateway.log().tail(20).contains("nobody"), "{}", gateway.log().tail(20));
}

#[test]
fn the_service_manager_is_told_of_ready_reload_and_stop() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, path) = notify_socket(&directory);
    let server = ScriptedServer::start(Script::new());
    let mut gateway =
        Gateway::start(GatewayOptions::explicit(server.address()).environment("NOTIFY_SOCKET", path));
    notification(&socket, "READY=1");
    gateway.sighup();
    let reloading = notification(&socket, "RELOADING=1");
    let stamp = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(stamp.is_some_and(|stamp| stamp.parse::<u64>().is_ok()), "{reloading}");
    notification(&socket, "READY=1");
    gateway.sigterm();
    notification(&socket, "STOPPING=1");
    assert!(gateway.wait_exit(PATIENCE).success());
}

#[test]
fn the_watchdog_is_fed() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, path) = notify_socket(&directory);
    let server = ScriptedServer::start(Script::new());
    let options = GatewayOptions::explicit(server.address())
        .environment("NOTIFY_SOCKET", path)
        .environment("WATCHDOG_USEC", "500000");
    let _gateway = Gateway::start(options);
    notification(&socket, "WATCHDOG=1");
    notification(&socket, "WATCHDOG=1");
}

#[test]
fn a_broken_configuration_ends_with_78() {
    let server = ScriptedServer::start(Script::new());
    let mut gateway =
        Gateway::spawn(GatewayOptions::explicit(server.address()).gateway_keys("bannner = \"typo\""));
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(78));
    assert!(gateway.log().tail(20).contains("bannner"), "{}", gateway.log().tail(20));
}

#[test]
fn a_port_that_is_taken_fails_the_start() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listener = ListenerOptions::plain("plain").bind(&taken.local_addr().unwrap().to_string());
    let server = ScriptedServer::start(Script::new());
    let mut gateway = Gateway::spawn(GatewayOptions::new(server.address()).listener(listener));
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(1));
}
