//! Clients that attack the control channel: smuggling, flooding, other protocols, plaintext before TLS.

use ftpsgate_tests::client::Client;
use ftpsgate_tests::gateway::PATIENCE;
use ftpsgate_tests::scene::Scene;
use ftpsgate_tests::scripted::{Flow, Script};

fn scene() -> Scene {
    Scene::start(Script::new().file("file", b"content"))
}

/// Sends bytes in which a DELE hides; it must not reach the backend, and the session must end.
fn smuggle(bytes: &[u8]) {
    let scene = scene();
    for mut client in [scene.client(), scene.plain_client()] {
        client.send_bytes(bytes);
        client.expect_reply(500);
        client.expect_end();
    }
    scene.server.record().wait_disconnected(2);
    assert!(!scene.server.record().has_command("DELE"), "{:?}", scene.server.record().commands());
}

#[test]
fn plaintext_behind_auth_is_never_interpreted() {
    let scene = scene();
    let mut client = scene.newcomer();
    client.send_bytes(b"AUTH TLS\r\nUSER mallory\r\nFEAT\r\n");
    let answer = client.read_to_end();
    assert!(
        !answer.windows(5).any(|window| matches!(window, b"331 P" | b"530 U" | b"211-F")),
        "{}",
        answer.escape_ascii()
    );
    scene.gateway.wait_named("tls.plaintext_injection", PATIENCE);
    assert_eq!(scene.server.record().sessions(), 0);
}

#[test]
fn a_part_of_a_line_behind_auth_is_an_injection_too() {
    let scene = scene();
    let mut client = scene.newcomer();
    client.send_bytes(b"AUTH TLS\r\nU");
    client.read_to_end();
    scene.gateway.wait_named("tls.plaintext_injection", PATIENCE);
}

#[test]
fn plaintext_instead_of_a_handshake_ends_the_session() {
    let scene = scene();
    let mut client = scene.newcomer();
    client.expect("AUTH TLS", 234);
    client.send_bytes(b"USER mallory\r\nPASS x\r\n");
    let answer = client.read_to_end();
    assert!(!answer.starts_with(b"331") && !answer.starts_with(b"530"), "{}", answer.escape_ascii());
    assert_eq!(scene.server.record().sessions(), 0);
}

#[test]
fn a_bare_line_feed_smuggles_nothing() {
    smuggle(b"CWD x\nDELE file\r\n");
}

#[test]
fn a_bare_carriage_return_smuggles_nothing() {
    smuggle(b"CWD x\rDELE file\r\n");
}

#[test]
fn a_nul_smuggles_nothing() {
    smuggle(b"CWD x\0DELE file\r\n");
}

#[test]
fn a_line_feed_alone_is_no_line_end() {
    smuggle(b"DELE file\n\r\n");
}

#[test]
fn empty_lines_and_leading_blanks_get_500_here() {
    let scene = scene();
    let mut client = scene.client();
    let before = scene.server.record().commands().len();
    for line in ["", " NOOP", "\tNOOP", "\x0bNOOP"] {
        client.expect(line, 500);
    }
    assert_eq!(scene.server.record().commands().len(), before);
    client.expect("NOOP", 200);
}

#[test]
fn a_tab_behind_the_verb_is_no_blank() {
    let scene = scene();
    let mut client = scene.client();
    client.expect("DELE\tfile", 500);
    assert!(!scene.server.record().has_command("DELE"));
    client.expect("SIZE file", 213);
}

#[test]
fn telnet_interrupts_around_abor_are_stripped() {
    let scene = scene();
    let mut client = scene.client();
    client.send_bytes(b"\xff\xf4\xff\xf2ABOR\r\n");
    client.expect_reply(226);
    client.send_bytes(b"\xff\xf4NO\xff\xf2OP\r\n");
    client.expect_reply(200);
}

#[test]
fn an_escaped_telnet_byte_in_a_name_stays_one_byte_of_the_name() {
    let scene = scene();
    let mut client = scene.client();
    client.send_bytes(b"DELE a\xff\xffb\r\n");
    client.expect_reply(550);
    let commands = scene.server.record().commands();
    // On its own Telnet line the gateway escapes it again.
    assert!(
        commands.iter().any(|command| command == r"DELE a\xff\xffb" || command == r"DELE a\xffb"),
        "{commands:?}"
    );
}

#[test]
fn a_telnet_command_inside_a_name_smuggles_nothing() {
    let scene = scene();
    let mut client = scene.client();
    client.send_bytes(b"DELE a\xff\xf1b\r\n");
    client.final_reply();
    let commands = scene.server.record().commands();
    assert!(!commands.iter().any(|command| command.contains(r"\xf1")), "{commands:?}");
}

#[test]
fn a_line_of_a_megabyte_costs_one_500_and_three_end_the_session() {
    let scene = scene();
    let mut client = scene.client();
    let mut line = vec![b'A'; 1 << 20];
    line.extend_from_slice(b"\r\n");
    for _ in 0..2 {
        client.send_bytes(&line);
        client.expect_reply(500);
        client.expect("NOOP", 200);
    }
    // The third end may come before all is sent.
    let _ = client.try_send_bytes(&line);
    let rest = client.read_to_end();
    assert!(rest.is_empty() || rest.starts_with(b"500"), "{}", rest.escape_ascii());
    assert!(!scene.server.record().commands().iter().any(|command| command.contains("AAAA")));
}

#[test]
fn a_line_that_never_ends_is_not_kept_in_memory() {
    let scene = scene();
    let mut client = scene.client();
    let before = scene.gateway.resident_bytes();
    let block = vec![b'A'; 1 << 20];
    for _ in 0..32 {
        client.send_bytes(&block);
    }
    let grown = scene.gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    client.send_bytes(b"\r\n");
    client.expect_reply(500);
}

#[test]
fn the_longest_line_is_accepted_and_one_byte_more_is_not() {
    let scene = Scene::start_with_listener_keys(Script::new(), r#"max_line = "1KiB""#);
    let mut client = scene.client();
    let longest = format!("DELE {}", "x".repeat(1024 - "DELE \r\n".len()));
    client.expect(&longest, 550);
    client.expect(&format!("{longest}x"), 500);
    client.expect("NOOP", 200);
}

#[test]
fn a_dripped_login_ends_at_its_deadline() {
    let scene = Scene::start_with_listener_keys(Script::new(), r#"login_timeout = "2s""#);
    let mut client = scene.newcomer();
    // Each byte is activity; the deadline is of the login as a whole.
    let mut sent = 0;
    while client.is_silent_for(std::time::Duration::from_millis(100)) {
        assert!(sent < 100, "the login deadline passed and nothing happened");
        let _ = client.try_send_bytes(b"U");
        sent += 1;
    }
    let rest = client.read_to_end();
    assert!(rest.is_empty() || rest.starts_with(b"421"), "{}", rest.escape_ascii());
}

#[test]
fn other_protocols_get_no_conversation() {
    let scene = scene();
    let client_hello: &[u8] = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n";
    for first in [
        &b"GET /<script> HTTP/1.1\r\nHost: victim\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\n\r\nUSER mallory\r\nPASS x\r\n",
        b"EHLO victim.example\r\n",
        b"HELO victim.example\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        client_hello,
    ] {
        let mut client = scene.newcomer();
        client.send_bytes(first);
        let answer = client.read_to_end();
        let text = String::from_utf8_lossy(&answer);
        let echoes =
            ["script", "victim", "HTTP", "OpenSSH", "331", "530"].iter().any(|word| text.contains(word));
        assert!(!echoes, "{}: {text:?}", first.escape_ascii());
    }
    assert_eq!(scene.server.record().sessions(), 0);
}

#[test]
fn ten_thousand_pipelined_commands_are_all_answered_in_order() {
    let counter = std::sync::atomic::AtomicUsize::new(0);
    let scene = Scene::start(Script::new().on("SIZE", move |session, _| {
        let number = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        session.reply(&format!("213 {number}"))?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.plain_client();
    let replies = client.pipeline(&b"SIZE file\r\nCCC\r\n".repeat(5000), 10_000);
    for (number, pair) in replies.chunks(2).enumerate() {
        assert_eq!(pair[0].to_string(), format!("213 {number}"));
        assert!(pair[1].code >= 500, "{}", pair[1]);
    }
    client.expect("NOOP", 200);
}

#[test]
fn ten_thousand_pipelined_noops_are_all_answered() {
    let scene = scene();
    let mut client = scene.plain_client();
    let replies = client.pipeline(&b"NOOP\r\n".repeat(10_000), 10_000);
    assert!(replies.iter().all(|reply| reply.code == 200));
}

#[test]
fn a_session_byte_by_byte_is_a_session() {
    let scene = scene();
    for mut client in [scene.client(), scene.plain_client()] {
        client.send_slowly(b"TYPE I\r\n");
        client.expect_reply(200);
        client.send_slowly(b"EPSV\r\n");
        let port = client.expect_reply(229).extended_passive_port();
        let data = ftpsgate_tests::client::DataConnection::connect(([127, 0, 0, 1], port).into());
        client.send_slowly(b"STOR slow\r\n");
        client.expect_reply(150);
        let mut data = client.secure(data);
        data.write_slowly(&b"0123456789".repeat(30));
        data.finish();
        client.expect_reply(226);
        assert_eq!(client.download("RETR slow"), b"0123456789".repeat(30));
    }
}

#[test]
fn a_login_byte_by_byte_is_a_login() {
    let scene = scene();
    let mut client = Client::connect(scene.gateway.address("explicit"));
    client.greeting();
    client.send_slowly(b"AUTH TLS\r\n");
    client.expect_reply(234);
    client.start_tls(scene.tls());
    client.send_slowly(b"PBSZ 0\r\n");
    client.expect_reply(200);
    client.log_in();
}

#[test]
fn control_bytes_in_names_do_not_reach_the_log_raw() {
    let scene = scene();
    let mut client = scene.client();
    client.send_bytes(b"DELE \x1b[2Jred\x07\xe2\x80\xae\r\n");
    client.final_reply();
    client.transcript("> QUIT\n< 221\n< (end)");
    let log = std::fs::read(scene.gateway.log().path()).expect("the log file stays");
    assert!(!log.iter().any(|&byte| matches!(byte, 0x1b | 0x07)), "control bytes in the log");
}
