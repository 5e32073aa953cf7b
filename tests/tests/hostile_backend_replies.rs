//! Backends that attack the control channel, or are not there at all.

use std::net::{Ipv4Addr, TcpListener};

use ftpsgate_tests::client::Client;
use ftpsgate_tests::gateway::{CANARY, Gateway, GatewayOptions};
use ftpsgate_tests::scene::Scene;
use ftpsgate_tests::scripted::{Flow, Script};

/// Logs in up to the answer to USER.
fn user(client: &mut Client, code: u16) {
    client.expect("USER anna", code);
}

#[test]
fn an_endless_reply_ends_the_session_and_costs_no_memory() {
    let scene = Scene::start(Script::new().on("SYST", |session, _| {
        session.reply("215-Begin")?;
        let block = b"215-and on and on and on and on and on and on and on and on\r\n".repeat(1000);
        while session.send(&block).is_ok() {}
        Ok(Flow::Close)
    }));
    let mut client = scene.client();
    let before = scene.gateway.resident_bytes();
    client.send("SYST");
    client.transcript("< 421\n< (end)");
    scene.server.record().wait_disconnected(1);
    let grown = scene.gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[test]
fn an_endless_line_ends_the_session() {
    let scene = Scene::start(Script::new().on("SYST", |session, _| {
        let block = [b'A'; 64 * 1024];
        session.send(b"215 ")?;
        while session.send(&block).is_ok() {}
        Ok(Flow::Close)
    }));
    scene.client().transcript("> SYST\n< 421\n< (end)");
}

#[test]
fn five_hundred_lines_are_a_reply_and_more_are_not() {
    let lines = |count: usize| {
        let mut reply = b"214-Help\r\n".to_vec();
        reply.extend(b" more help\r\n".repeat(count - 2));
        reply.extend(b"214 End\r\n");
        reply
    };
    let scene = Scene::start(Script::new().on("HELP", move |session, argument| {
        session.send(&lines(if argument.is_empty() { 500 } else { 501 }))?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    assert_eq!(client.expect("HELP", 214).lines.len(), 500);
    client.transcript("> HELP me\n< 421\n< (end)");
}

#[test]
fn an_extra_reply_is_never_the_answer_to_the_next_command() {
    let scene = Scene::start(Script::new().on("NOOP", |session, _| {
        session.send(b"200 Fine\r\n257 \"/forged\"\r\n")?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    client.expect("NOOP", 200);
    let _ = client.try_send_bytes(b"PWD\r\n");
    let rest = client.read_to_end();
    assert!(rest.is_empty() || rest.starts_with(b"421"), "{}", rest.escape_ascii());
}

#[test]
fn an_unsolicited_reply_while_idle_ends_the_session() {
    let scene = Scene::start(Script::new().on("NOOP", |session, _| {
        session.reply("200 Fine")?;
        session.reply("250 By the way")?;
        session.stall()
    }));
    let mut client = scene.client();
    client.expect("NOOP", 200);
    let rest = client.read_to_end();
    assert!(rest.is_empty() || rest.starts_with(b"421"), "{}", rest.escape_ascii());
    scene.server.record().wait_disconnected(1);
}

#[test]
fn an_unsolicited_421_reaches_the_client_even_where_a_command_is_about_to_be_sent() {
    let scene = Scene::start(Script::new().on("NOOP", |session, _| {
        session.send(b"200 Fine\r\n421 Going down\r\n")?;
        session.stall()
    }));
    let mut client = scene.client();
    client.send_bytes(b"NOOP\r\nPWD\r\n");
    client.transcript("< 200\n< 421 Going down\n< (end)");
    assert!(!scene.server.record().has_command("PWD"));
}

#[test]
fn a_backend_that_shuts_its_half_down_ends_the_session_behind_its_last_reply() {
    let scene = Scene::start(Script::new().on("PWD", |session, _| {
        session.reply("257 \"/\" is current")?;
        session.finish_sending()?;
        session.stall()
    }));
    scene.client().transcript("> PWD\n< 257\n< 421\n< (end)");
    scene.server.record().wait_disconnected(1);
}

#[test]
fn an_unsolicited_421_while_idle_reaches_the_client() {
    let scene = Scene::start(Script::new().on("NOOP", |session, _| {
        session.reply("200 Fine")?;
        session.reply("421 Going down")?;
        Ok(Flow::Close)
    }));
    scene.client().transcript("> NOOP\n< 200\n< 421\n< (end)");
}

#[test]
fn a_backend_that_ends_while_idle_ends_the_session_with_421() {
    let scene = Scene::start(Script::new().on("NOOP", |session, _| {
        session.reply("200 Fine")?;
        Ok(Flow::Close)
    }));
    scene.client().transcript("> NOOP\n< 200\n< 421\n< (end)");
}

#[test]
fn a_backend_that_ends_instead_of_answering_gives_421() {
    for flow in [Flow::Close, Flow::Reset] {
        let scene = Scene::start(Script::new().on("SYST", move |_, _| Ok(flow)));
        scene.client().transcript("> SYST\n< 421\n< (end)");
    }
}

#[test]
fn a_silent_backend_gives_421_at_the_reply_deadline() {
    let scene = Scene::start_with(Script::new().on("SYST", |session, _| session.stall()), |options| {
        options.backend_keys(r#"reply_timeout = "1s""#)
    });
    scene.client().transcript("> SYST\n< 421\n< (end)");
}

#[test]
fn a_silent_greeting_gives_421_at_the_connect_deadline() {
    let scene = Scene::start_with(Script::new().greeting(b""), |options| {
        options.backend_keys(r#"connect_timeout = "1s""#)
    });
    scene.stranger().transcript("> USER anna\n< 421\n< (end)");
}

#[test]
fn half_a_reply_gives_421_at_the_reply_deadline() {
    let script = Script::new().on("SYST", |session, _| {
        session.send(b"215-Begin\r\n and")?;
        session.stall()
    });
    let scene = Scene::start_with(script, |options| options.backend_keys(r#"reply_timeout = "1s""#));
    scene.client().transcript("> SYST\n< 421\n< (end)");
}

#[test]
fn a_line_that_is_no_reply_ends_the_session() {
    for nonsense in [&b"hello\r\n"[..], b"2\r\n", b"99 low\r\n", b"700 high\r\n", b"\r\n", b"2x0 odd\r\n"] {
        let scene = Scene::start(Script::new().answer("SYST", nonsense));
        let mut client = scene.client();
        client.send("SYST");
        let rest = client.read_to_end();
        assert!(rest.starts_with(b"421"), "{}: {}", nonsense.escape_ascii(), rest.escape_ascii());
    }
}

#[test]
fn odd_multi_line_replies_are_understood() {
    let scene = Scene::start(
        Script::new()
            .answer("HELP", b"214-One\r\n550 inside\r\n214-two\r\nno blank\r\n214 End\r\n")
            .answer("SYST", b"215-Bare\n line feeds\n215 End\n")
            .answer("STAT", b"211-All\r\n well\r\n211\r\n"),
    );
    let mut client = scene.client();
    assert!(client.expect("HELP", 214).mentions("no blank"));
    client.expect("SYST", 215);
    client.expect("STAT file", 211);
    client.expect("NOOP", 200);
}

#[test]
fn control_bytes_in_replies_do_not_reach_the_client() {
    let scene = Scene::start(
        Script::new()
            .answer("SYST", b"215-\x1b[31mred\x00\x07\r\n\xff\xf4 \x08\ttab\r\n215 \x1b]0;title\x07\r\n"),
    );
    let reply = scene.client().expect("SYST", 215);
    let bytes: Vec<u8> = reply.lines.concat();
    assert!(!bytes.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'), "{reply}");
    assert!(reply.mentions("red") && reply.mentions("\ttab"), "{reply}");
}

#[test]
fn a_carriage_return_inside_a_reply_line_splits_nothing() {
    let scene = Scene::start(Script::new().answer("SYST", b"215 one\r230 two\r\n"));
    let mut client = scene.client();
    let reply = client.expect("SYST", 215);
    assert_eq!(reply.lines.len(), 1, "{reply}");
    assert!(!reply.lines[0].contains(&b'\r'), "{reply}");
    client.expect("NOOP", 200);
}

#[test]
fn replies_byte_by_byte_are_replies() {
    let scene = Scene::start(Script::new().on("HELP", |session, _| {
        for byte in b"214-One\r\n 550 two\r\n214 End\r\n" {
            session.send(&[*byte])?;
        }
        Ok(Flow::Continue)
    }));
    scene.client().transcript("> HELP\n< 214-One\n> NOOP\n< 200");
}

#[test]
fn a_120_before_the_220_is_waited_out() {
    let scene =
        Scene::start(Script::new().greeting(b"120 In a moment\r\n220-Now\r\n ready\r\n220 Ready\r\n"));
    scene.client().expect("NOOP", 200);
}

#[test]
fn a_greeting_of_421_is_passed_on_at_user() {
    let scene = Scene::start(Script::new().greeting(b"421 Too many users\r\n"));
    scene.stranger().transcript("> USER anna\n< 421\n< (end)");
}

#[test]
fn a_greeting_of_another_kind_gives_421() {
    for greeting in [&b"530 Go away\r\n"[..], b"554 No SMTP here\r\n", b"HTTP/1.1 400 Bad Request\r\n"] {
        let scene = Scene::start(Script::new().greeting(greeting));
        scene.stranger().transcript("> USER anna\n< 421\n< (end)");
    }
}

#[test]
fn a_backend_that_is_down_gives_421() {
    // Bound and closed again: nobody listens there.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let gateway = Gateway::start(GatewayOptions::all_modes(address));
    let mut client = Client::connect(gateway.address("plain"));
    client.transcript("< 220\n> NOOP\n< 200\n> USER anna\n< 421\n< (end)");
}

#[test]
fn a_login_that_the_backend_refuses_at_user_can_be_tried_again() {
    let script = Script::new().on("USER", |session, argument| {
        session.reply(if argument == b"anna" { "331 Password" } else { "530 Unknown" })?;
        Ok(Flow::Continue)
    });
    let scene = Scene::start(script);
    let mut client = scene.stranger();
    client.expect("USER bert", 530);
    client.log_in();
}

#[test]
fn a_login_without_password_is_a_login() {
    let scene = Scene::start(Script::new().answer("USER", b"230 Come in\r\n"));
    let mut client = scene.stranger();
    user(&mut client, 230);
    client.expect("PWD", 257);
}

#[test]
fn a_login_may_ask_for_an_account() {
    let scene =
        Scene::start(Script::new().answer("PASS", b"332 Account\r\n").answer("ACCT", b"230 Come in\r\n"));
    let mut client = scene.stranger();
    user(&mut client, 331);
    client.expect(&format!("PASS {CANARY}"), 332);
    client.transcript("> ACCT x\n< 230\n> PWD\n< 257");
}

#[test]
fn a_backend_that_echoes_the_password_does_not_get_it_into_the_log() {
    let scene = Scene::start(Script::new().on("PASS", |session, argument| {
        session.reply(&format!("530 Wrong: {}", argument.escape_ascii()))?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.stranger();
    user(&mut client, 331);
    client.expect(&format!("PASS {CANARY}"), 530);
    client.transcript("> QUIT\n< 221\n< (end)");
    // Gateway's Drop searches the log.
}

#[test]
fn unknown_codes_are_passed_on_by_their_first_digit() {
    let scene = Scene::start(Script::new().answer("SYST", b"299 Odd\r\n").answer("HELP", b"599 Odd\r\n"));
    scene.client().transcript("> SYST\n< 299 Odd\n> HELP\n< 599 Odd\n> NOOP\n< 200");
}

#[test]
fn an_extra_reply_behind_the_greeting_ends_the_session() {
    let scene = Scene::start(Script::new().greeting(b"220 Ready\r\n331 Password\r\n"));
    scene.stranger().transcript("> USER anna\n< 421\n< (end)");
}
