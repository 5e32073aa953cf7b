//! Clients that attack data connections: stolen ports, truncation, resets, aborts.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ftpsgate_tests::client::{Client, DataConnection, End};
use ftpsgate_tests::scene::{Scene, content};
use ftpsgate_tests::scripted::{Flow, Script, ScriptedSession, ServerData};

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn scene() -> Scene {
    Scene::start(Script::new().file("file", b"content"))
}

fn lenient_scene() -> Scene {
    Scene::start_with_listener_keys(Script::new(), r#"upload_end = "lenient""#)
}

/// A server whose RETR sends a little and then waits for ABOR.
fn endless_download() -> Script {
    Script::new().file("file", b"content").on("RETR", |session, argument| {
        if argument == b"file" {
            return session.behave("RETR", argument);
        }
        let mut data = session.start_transfer()?;
        data.send(&[7; 1000])?;
        session.answer_abort(data)
    })
}

/// Sends until the gateway ends it, then says what a server says.
fn send_until_refused(session: &mut ScriptedSession, mut data: ServerData) -> std::io::Result<Flow> {
    while data.send(&[7; 64 * 1024]).is_ok() {}
    session.reply("426 Connection closed")?;
    Ok(Flow::Continue)
}

#[test]
fn a_stranger_on_a_passive_port_is_closed_and_uses_nothing_up() {
    let scene = scene();
    let mut client = scene.client();
    let address = client.epsv();
    for _ in 0..3 {
        assert!(DataConnection::steal(Some(STRANGER), address).is_empty());
    }
    let data = DataConnection::connect(address);
    client.expect("RETR file", 150);
    assert_eq!(client.secure(data).read_to_end(), (b"content".to_vec(), End::CloseNotify));
    client.expect_reply(226);
}

#[test]
fn a_stranger_during_the_transfer_gets_nothing() {
    let scene = scene();
    let mut client = scene.client();
    let address = client.epsv();
    client.expect("RETR file", 150);
    assert!(DataConnection::steal(Some(STRANGER), address).is_empty());
    let data = DataConnection::connect(address);
    assert_eq!(client.secure(data).read_to_end().0, b"content");
    client.expect_reply(226);
}

#[test]
fn nobody_is_served_on_a_port_that_no_session_expects() {
    let scene = scene();
    for port in scene.gateway.data_ports() {
        assert!(DataConnection::steal(None, (Ipv4Addr::LOCALHOST, port).into()).is_empty());
    }
}

#[test]
fn a_second_connection_to_one_expectation_is_closed() {
    let scene = scene();
    let mut client = scene.client();
    let address = client.epsv();
    let first = DataConnection::connect(address);
    client.expect("RETR file", 150);
    let mut first = client.secure(first);
    assert!(DataConnection::steal(None, address).is_empty());
    assert_eq!(first.read_to_end().0, b"content");
    client.expect_reply(226);
}

#[test]
fn a_second_epsv_closes_the_first_expectation() {
    let scene = scene();
    let mut client = scene.client();
    let first = client.epsv();
    let second = client.epsv();
    assert_ne!(first, second);
    assert!(DataConnection::steal(None, first).is_empty());
    let data = DataConnection::connect(second);
    client.expect("RETR file", 150);
    assert_eq!(client.secure(data).read_to_end().0, b"content");
    client.expect_reply(226);
}

#[test]
fn a_second_pasv_closes_a_data_connection_that_waits() {
    let scene = scene();
    let mut client = scene.client();
    let mut waiting = DataConnection::connect(client.pasv());
    let second = client.pasv();
    assert!(waiting.read_to_end().0.is_empty());
    let data = DataConnection::connect(second);
    client.expect("RETR file", 150);
    assert_eq!(client.secure(data).read_to_end().0, b"content");
    client.expect_reply(226);
}

#[test]
fn a_client_that_never_connects_gets_425() {
    let scene =
        Scene::start_with_listener_keys(Script::new().file("file", b"x"), r#"data_connect_timeout = "1s""#);
    let mut client = scene.client();
    client.epsv();
    client.send("RETR file");
    assert_eq!(client.final_reply().code, 425);
    assert_eq!(client.download("RETR file"), b"x");
}

#[test]
fn an_upload_without_close_notify_is_not_stored() {
    let scene = scene();
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR half");
    data.write(&content(100_000));
    data.cut();
    client.expect_reply(426);
    assert_eq!(
        scene.server.record().wait_upload().end,
        End::Reset,
        "the backend must not take it for complete"
    );
    client.transcript("> SIZE half\n< 550\n> NOOP\n< 200");
}

#[test]
fn an_upload_without_close_notify_is_stored_where_the_operator_wants_it() {
    let scene = lenient_scene();
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR whole");
    data.write(&content(100_000));
    data.cut();
    client.expect_reply(226);
    assert!(scene.server.record().wait_upload().content == content(100_000));
}

#[test]
fn an_empty_upload_without_close_notify_names_the_key_that_would_allow_it() {
    let scene = scene();
    let mut client = scene.client();
    client.begin_transfer("STOR empty").cut();
    let reply = client.expect_reply(426);
    assert!(reply.mentions("upload_end"), "{reply}");
    assert_eq!(scene.server.record().wait_upload().end, End::Reset);
}

#[test]
fn an_empty_upload_without_close_notify_is_stored_under_lenient() {
    let scene = lenient_scene();
    let mut client = scene.client();
    client.begin_transfer("STOR empty").cut();
    client.expect_reply(226);
    client.expect("SIZE empty", 213);
}

#[test]
fn an_empty_upload_that_ends_before_its_handshake_is_refused_under_strict() {
    let scene = scene();
    let mut client = scene.client();
    let data = client.open_data();
    client.expect("STOR empty", 150);
    data.cut();
    let reply = client.expect_reply(426);
    assert!(reply.mentions("upload_end"), "{reply}");
    assert_eq!(scene.server.record().wait_upload().end, End::Reset);
}

#[test]
fn an_empty_upload_that_ends_before_its_handshake_is_stored_under_lenient() {
    let scene = lenient_scene();
    let mut client = scene.client();
    let data = client.open_data();
    client.expect("STOR empty", 150);
    data.cut();
    client.expect_reply(226);
    client.expect("SIZE empty", 213);
}

#[test]
fn an_empty_upload_with_close_notify_is_stored() {
    let scene = scene();
    let mut client = scene.client();
    client.upload("STOR empty", b"");
    client.transcript("> SIZE empty\n< 213 0");
}

#[test]
fn an_upload_whose_client_closes_at_once_loses_nothing() {
    let scene = scene();
    let mut client = scene.client();
    for number in 0..10 {
        let sent = content(1_000_000 + number);
        let mut data = client.begin_transfer(&format!("STOR {number}"));
        data.write(&sent);
        data.finish_hastily();
        client.expect_reply(226);
        assert!(client.download(&format!("RETR {number}")) == sent, "upload {number} differs");
    }
}

#[test]
fn the_gateway_answers_an_uploads_close_notify_at_once() {
    let (allow, allowed) = std::sync::mpsc::channel();
    let allowed = std::sync::Mutex::new(allowed);
    let scene = Scene::start(Script::new().on("STOR", move |session, _| {
        session.start_transfer()?.receive_to_end();
        // Storing takes its time.
        let _ = allowed.lock().expect("one session").recv();
        session.reply("226 Stored")?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR file");
    data.write(b"content");
    assert_eq!(data.finish(), End::CloseNotify);
    assert!(client.is_silent_for(Duration::from_millis(100)), "226 before the backend said so");
    allow.send(()).expect("the server waits");
    client.expect_reply(226);
}

#[test]
fn a_client_that_resets_its_upload_gets_426() {
    let scene = scene();
    for mut client in [scene.client(), scene.plain_client()] {
        let mut data = client.begin_transfer("STOR half");
        data.write(&content(100_000));
        data.reset();
        client.expect_reply(426);
        assert_eq!(scene.server.record().wait_upload().end, End::Reset);
        client.transcript("> SIZE half\n< 550");
    }
}

#[test]
fn a_client_that_resets_its_download_gets_426_and_goes_on() {
    let scene = Scene::start(Script::new().file("file", b"content").on("LIST", |session, _| {
        let data = session.start_transfer()?;
        send_until_refused(session, data)
    }));
    for mut client in [scene.client(), scene.plain_client()] {
        let mut data = client.begin_transfer("LIST");
        data.read_exactly(1000);
        data.reset();
        client.expect_reply(426);
        assert_eq!(client.download("RETR file"), b"content");
    }
}

#[test]
fn a_client_that_leaves_its_download_early_gets_426_and_goes_on() {
    let scene = Scene::start(Script::new().file("file", b"content").on("LIST", |session, _| {
        let data = session.start_transfer()?;
        send_until_refused(session, data)
    }));
    let mut client = scene.client();
    let mut data = client.begin_transfer("LIST");
    data.read_exactly(1000);
    data.finish_hastily();
    client.expect_reply(426);
    assert_eq!(client.download("RETR file"), b"content");
}

#[test]
fn a_client_that_vanishes_in_mid_transfer_frees_the_backend() {
    let scene = scene();
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR half");
    data.write(&content(100_000));
    client.reset();
    assert_eq!(scene.server.record().wait_upload().end, End::Reset);
    scene.server.record().wait_disconnected(1);
}

#[test]
fn abor_in_mid_download_and_on() {
    let scene = Scene::start(endless_download());
    for mut client in [scene.client(), scene.plain_client()] {
        let mut data = client.begin_transfer("RETR endless");
        data.read_exactly(1000);
        client.transcript("> ABOR\n< 426\n< 226");
        assert_ne!(data.read_to_end().1, End::CloseNotify);
        client.expect("NOOP", 200);
        assert_eq!(client.download("RETR file"), b"content");
    }
}

#[test]
fn abor_in_mid_upload_and_on() {
    let scene = scene();
    for mut client in [scene.client(), scene.plain_client()] {
        let mut data = client.begin_transfer("STOR half");
        data.write(&content(100_000));
        client.transcript("> ABOR\n< 426\n< 226");
        data.read_to_end();
        client.transcript("> SIZE half\n< 550");
        client.upload("STOR whole", b"whole");
    }
}

#[test]
fn abor_with_telnet_interrupts_works_too() {
    let scene = Scene::start(endless_download());
    let mut client = scene.plain_client();
    client.begin_transfer("RETR endless").read_exactly(1000);
    client.send_bytes(b"\xff\xf4\xff\xf2ABOR\r\n");
    client.transcript("< 426\n< 226\n> NOOP\n< 200");
}

#[test]
fn noop_and_stat_in_mid_transfer_are_answered_by_the_gateway_at_once() {
    let scene = Scene::start(endless_download());
    let mut client = scene.client();
    let mut data = client.begin_transfer("RETR endless");
    data.read_exactly(1000);
    client.transcript("> NOOP\n< 200\n> STAT\n< 213\n> ABOR\n< 426\n< 226");
    let record = scene.server.record();
    assert!(!record.has_command("NOOP") && !record.has_command("STAT"));
}

#[test]
fn commands_in_mid_transfer_wait_for_its_end() {
    let scene = scene();
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR file");
    client.send("SIZE file");
    assert!(client.is_silent_for(Duration::from_millis(100)));
    data.write(b"12345");
    data.finish();
    client.transcript("< 226\n< 213 5");
}

#[test]
fn quit_in_mid_transfer_lets_it_finish() {
    let scene = scene();
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR file");
    data.write(b"half");
    client.send("QUIT");
    assert!(client.is_silent_for(Duration::from_millis(100)));
    data.write(b" whole");
    data.finish();
    client.transcript("< 226\n< 221\n< (end)");
    assert_eq!(scene.server.record().wait_upload().content, b"half whole");
}

#[test]
fn data_tls_that_fails_gets_522_and_keeps_the_session() {
    let scene = scene();
    let mut client = scene.client();
    let mut data = client.open_data();
    client.expect("RETR file", 150);
    data.write(b"this is no ClientHello, and long enough to be seen as none");
    data.read_to_end();
    client.expect_reply(522);
    assert_eq!(client.download("RETR file"), b"content");
}

#[test]
fn a_silent_data_handshake_ends_at_its_deadline() {
    let scene = Scene::start_with_listener_keys(
        Script::new().file("file", b"content"),
        r#"handshake_timeout = "2s""#,
    );
    let mut client = scene.client();
    let mut data = client.open_data();
    client.expect("RETR file", 150);
    client.expect_reply(522);
    data.read_to_end();
    assert_eq!(client.download("RETR file"), b"content");
}

#[test]
fn a_clear_upload_on_a_private_session_is_not_stored() {
    let scene = scene();
    let mut client: Client = scene.client();
    let mut data = client.open_data();
    client.expect("STOR file", 150);
    data.write(b"PLAIN TEXT THAT SHOULD HAVE BEEN TLS");
    data.cut();
    let reply = client.final_reply();
    assert!(matches!(reply.code, 426 | 522), "{reply}");
    assert_eq!(scene.server.record().wait_upload().end, End::Reset);
}
