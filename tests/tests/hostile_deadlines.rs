//! Clients that wait, and clients that are too many.

use std::time::Duration;

use ftpsgate_tests::client::Client;
use ftpsgate_tests::gateway::wait_until;
use ftpsgate_tests::scene::Scene;
use ftpsgate_tests::scripted::{Flow, Script};

#[test]
fn an_idle_session_ends_with_421() {
    let scene = Scene::start_with_listener_keys(Script::new(), r#"idle_timeout = "1s""#);
    let mut client = scene.client();
    client.transcript("< 421\n< (end)");
    scene.server.record().wait_disconnected(1);
}

#[test]
fn the_idle_deadline_pauses_during_a_transfer() {
    let (open, waiting) = std::sync::mpsc::channel();
    let waiting = std::sync::Mutex::new(waiting);
    let script = Script::new().on("RETR", move |session, _| {
        let mut data = session.start_transfer()?;
        let _ = waiting.lock().expect("one session").recv();
        data.send(b"late")?;
        data.finish();
        session.reply("226 Sent")?;
        Ok(Flow::Continue)
    });
    let scene = Scene::start_with_listener_keys(script, r#"idle_timeout = "1s""#);
    let mut client = scene.client();
    let mut data = client.begin_transfer("RETR file");
    assert!(client.is_silent_for(Duration::from_secs(2)), "the session ended in mid-transfer");
    open.send(()).expect("the server waits");
    assert_eq!(data.read_to_end().0, b"late");
    client.transcript("< 226\n> NOOP\n< 200");
}

#[test]
fn commands_put_the_idle_deadline_off() {
    let scene = Scene::start_with_listener_keys(Script::new(), r#"idle_timeout = "2s""#);
    let mut client = scene.client();
    for _ in 0..4 {
        assert!(client.is_silent_for(Duration::from_secs(1)));
        client.expect("NOOP", 200);
    }
}

#[test]
fn a_login_that_never_completes_ends_at_its_deadline() {
    let scene = Scene::start_with_listener_keys(Script::new(), r#"login_timeout = "1s""#);
    let mut in_clear = scene.newcomer();
    let mut under_tls = scene.stranger();
    under_tls.expect("USER anna", 331);
    in_clear.transcript("< 421\n< (end)");
    under_tls.transcript("< 421\n< (end)");
}

#[test]
fn a_completed_login_has_no_login_deadline() {
    let scene = Scene::start_with_listener_keys(Script::new(), r#"login_timeout = "1s""#);
    let mut client = scene.client();
    assert!(client.is_silent_for(Duration::from_secs(2)));
    client.expect("NOOP", 200);
}

#[test]
fn a_silent_handshake_ends_at_its_deadline() {
    let scene = Scene::start_with_listener_keys(Script::new(), r#"handshake_timeout = "1s""#);
    let mut explicit = scene.newcomer();
    explicit.expect("AUTH TLS", 234);
    let mut implicit = Client::connect(scene.gateway.address("implicit"));
    explicit.expect_end();
    implicit.expect_end();
}

#[test]
fn a_silent_handshake_keeps_nobody_else_waiting() {
    let scene = Scene::start(Script::new());
    let silent: Vec<Client> = (0..20).map(|_| Client::connect(scene.gateway.address("implicit"))).collect();
    let mut client = Client::connect_implicit(scene.gateway.address("implicit"), scene.tls());
    client.greeting();
    client.log_in();
    drop(silent);
}

#[test]
fn one_session_too_many_gets_421_and_room_is_made_when_one_leaves() {
    let scene = Scene::start_with_listener_keys(Script::new(), "max_sessions = 1");
    let mut first = scene.client();
    let address = scene.gateway.address("explicit");
    Client::connect(address).transcript("< 421\n< (end)");
    first.transcript("> NOOP\n< 200\n> QUIT\n< 221\n< (end)");
    wait_until("room for a session", || Client::connect(address).reply().code == 220);
}

#[test]
fn one_implicit_session_too_many_is_turned_away() {
    let scene = Scene::start_with_listener_keys(Script::new(), "max_sessions = 1");
    let address = scene.gateway.address("implicit");
    let mut first = Client::connect_implicit(address, scene.tls());
    first.greeting();
    let mut second = Client::connect(address);
    let rest = second.read_to_end();
    assert!(!rest.starts_with(b"220"), "{}", rest.escape_ascii());
    first.expect("NOOP", 200);
}

#[test]
fn fifty_sessions_at_once_are_fifty_sessions() {
    let scene = Scene::start(Script::new().file("file", b"content"));
    let mut clients: Vec<Client> = (0..50).map(|_| scene.plain_client()).collect();
    for client in &mut clients {
        assert_eq!(client.download("RETR file"), b"content");
    }
    assert_eq!(scene.server.record().sessions(), 50);
}
