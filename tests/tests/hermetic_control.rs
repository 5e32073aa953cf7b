//! The control connection's own mechanics: what comes together, what ends by halves, what is not read.

use ftpsgate_tests::client::{Client, DataConnection, End};
use ftpsgate_tests::scene::Scene;
use ftpsgate_tests::scripted::{Flow, Script};

fn scene() -> Scene {
    Scene::start(Script::new().file("file", b"content"))
}

#[test]
fn commands_in_the_segment_of_the_finished_are_answered() {
    let scene = scene();
    let mut client = scene.newcomer();
    client.expect("AUTH TLS", 234);
    client.start_tls_saying(scene.tls(), b"PBSZ 0\r\nPROT P\r\nUSER anna\r\n");
    client.transcript("< 200\n< 200\n< 331");
    let mut client = Client::connect(scene.gateway.address("implicit"));
    client.start_tls_saying(scene.tls(), b"NOOP\r\nUSER anna\r\n");
    client.transcript("< 220\n< 200\n< 331");
}

#[test]
fn garbage_instead_of_implicit_tls_ends_the_session_without_a_word() {
    let scene = scene();
    for garbage in [&b"USER anna\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff\xff", &[0; 5000]]
    {
        let mut client = Client::connect(scene.gateway.address("implicit"));
        client.send_bytes(garbage);
        client.cut_sending();
        let rest = client.read_to_end();
        // At most a TLS alert.
        assert!(rest.is_empty() || rest.starts_with(&[0x15, 3]), "{}", rest.escape_ascii());
    }
    let mut client = Client::connect_implicit(scene.gateway.address("implicit"), scene.tls());
    client.greeting();
}

#[test]
fn a_client_that_shuts_its_half_down_gets_all_answers() {
    let scene = scene();
    for end in [Client::cut_sending, Client::finish_sending] {
        for mut client in [scene.client(), scene.plain_client()] {
            client.send_bytes(b"NOOP\r\nPWD\r\nQUIT\r\n");
            end(&mut client);
            client.transcript("< 200\n< 257\n< 221\n< (end)");
            let mut client = scene.plain_client();
            client.send_bytes(b"NOOP\r\nPWD\r\n");
            end(&mut client);
            client.transcript("< 200\n< 257\n< (end)");
        }
    }
}

#[test]
fn a_whole_session_in_one_segment_is_answered() {
    let scene = scene();
    let mut client = Client::connect(scene.gateway.address("plain"));
    client.send_bytes(b"USER anna\r\nPASS x\r\nTYPE I\r\nSIZE file\r\nQUIT\r\n");
    client.cut_sending();
    client.transcript("< 220\n< 331\n< 230\n< 200\n< 213 7\n< 221\n< (end)");
}

#[test]
fn a_quit_and_the_end_behind_a_transfer_let_it_finish() {
    let scene = scene();
    for mut client in [scene.client(), scene.plain_client()] {
        let mut data = client.begin_transfer("STOR up");
        data.write(b"half");
        client.send("QUIT");
        client.cut_sending();
        data.write(b" whole");
        data.finish();
        client.transcript("< 226\n< 221\n< (end)");
    }
    assert_eq!(scene.server.record().wait_upload().content, b"half whole");
}

#[test]
fn the_end_alone_in_mid_transfer_aborts_it() {
    let scene = scene();
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR up");
    data.write(b"half");
    client.finish_sending();
    assert_eq!(scene.server.record().wait_upload().end, End::Reset);
    client.transcript("< 426\n< (end)");
    scene.server.record().wait_disconnected(1);
}

/// What ends an upload for which the client has not connected yet.
#[test]
fn an_upload_that_ends_before_its_client_connects_is_reset_at_the_backend() {
    type Ending = fn(Client);
    let endings: [Ending; 4] = [
        |mut client| client.transcript("< 425\n> SIZE up\n< 550"),
        |mut client| client.transcript("> ABOR\n< 426\n< 226\n> SIZE up\n< 550"),
        Client::reset,
        drop,
    ];
    for ending in endings {
        let scene = Scene::start_with_listener_keys(Script::new(), r#"data_connect_timeout = "1s""#);
        let mut client = scene.client();
        client.epsv();
        client.expect("STOR up", 150);
        ending(client);
        assert_eq!(scene.server.record().wait_upload().end, End::Reset);
    }
}

#[test]
fn a_150_that_comes_after_the_leases_end_is_425() {
    let script = Script::new().file("file", b"content").on("RETR", |session, argument| {
        if argument == b"file" {
            return session.behave("RETR", argument);
        }
        let data = session.accept_data()?;
        // The ABOR shows that the gateway does not wait any longer.
        let line = session.take_line()?;
        session.reply("150 At last")?;
        drop((data, line));
        session.reply("426 Aborted")?;
        session.reply("226 Done")?;
        Ok(Flow::Continue)
    });
    let scene = Scene::start_with_listener_keys(script, r#"data_connect_timeout = "1s""#);
    let mut client = scene.client();
    client.epsv();
    client.expect("RETR slow", 425);
    assert_eq!(client.download("RETR file"), b"content");
}

#[test]
fn a_data_connection_that_waits_for_its_command_outlives_the_connect_deadline() {
    let scene =
        Scene::start_with_listener_keys(Script::new().file("file", b"x"), r#"data_connect_timeout = "1s""#);
    let mut client = scene.client();
    let data = DataConnection::connect(client.epsv());
    assert!(client.is_silent_for(std::time::Duration::from_millis(1500)));
    client.expect("RETR file", 150);
    assert_eq!(client.secure(data).read_to_end().0, b"x");
    client.expect_reply(226);
}
