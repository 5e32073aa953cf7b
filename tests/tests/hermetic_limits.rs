//! Limits, against the real binary: who gets 421, who is locked out, and for how long.

use std::time::{Duration, Instant};

use ftpsgate_tests::client::Client;
use ftpsgate_tests::gateway::{CANARY, GatewayOptions, PATIENCE, wait_until};
use ftpsgate_tests::scene::Scene;
use ftpsgate_tests::scripted::{Flow, Script};

/// A gateway under these limits. Health checks of the gateway's own do not count: they are no sessions.
fn limited(script: Script, limits: &str) -> Scene {
    Scene::start_with(script, |options| options.extra(limits))
}

/// A server that accepts no password but the canary.
fn strict() -> Script {
    Script::new().file("file", b"content").on("PASS", |session, argument| {
        if argument == CANARY.as_bytes() {
            return session.behave("PASS", argument);
        }
        session.reply("530 Wrong password")?;
        Ok(Flow::Continue)
    })
}

/// One attempt on a plain connection: the code of PASS, and how long it took.
fn attempt(scene: &Scene, user: &str, password: &str) -> (u16, Duration) {
    let mut client = Client::connect(scene.gateway.address("plain"));
    client.greeting();
    client.expect(&format!("USER {user}"), 331);
    let began = Instant::now();
    let code = client.command(&format!("PASS {password}")).code;
    (code, began.elapsed())
}

#[test]
fn connections_beyond_the_limit_get_421_instead_of_a_greeting() {
    let scene = limited(
        Script::new(),
        "[[limit]]\nname = 'knocking'\nper = 'address'\nconnections = '3/h'\nlisteners = ['plain', 'implicit']",
    );
    let plain = scene.gateway.address("plain");
    for _ in 0..3 {
        Client::connect(plain).expect_reply(220);
    }
    let mut refused = Client::connect(plain);
    assert!(refused.expect_reply(421).mentions("Too many connections"));
    refused.expect_end();
    // The same address at another listener: one count. There nothing can be said before TLS.
    Client::connect(scene.gateway.address("implicit")).expect_end();
    Client::connect(scene.gateway.address("explicit")).expect_reply(220);
    let event = scene.gateway.wait_named("refused by a limit", PATIENCE);
    assert_eq!((event.text("what"), event.text("limit")), ("connections", "knocking"));
}

#[test]
fn sessions_of_an_address_are_counted_at_once_and_given_back() {
    let scene =
        limited(Script::new(), "[[limit]]\nname = 'l'\nper = 'address'\nsessions = 2\nlisteners = ['plain']");
    let plain = scene.gateway.address("plain");
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(plain)).collect();
    clients.iter_mut().for_each(|client| drop(client.greeting()));
    Client::connect(plain).expect_reply(421);
    clients[0].expect("QUIT", 221);
    wait_until("a place is free", || Client::connect(plain).reply().code == 220);
}

#[test]
fn a_user_has_so_many_sessions_and_a_refused_one_leaves_no_trace() {
    let scene = limited(strict(), "[[limit]]\nname = 'l'\nper = 'user'\nsessions = 1");
    let mut first = scene.plain_client();
    let mut second = Client::connect(scene.gateway.address("plain"));
    second.greeting();
    second.expect("USER anna", 331);
    assert!(second.expect(&format!("PASS {CANARY}"), 421).mentions("Too many sessions"));
    second.expect_end();
    first.expect("NOOP", 200);
    drop(first);
    wait_until("the user may come again", || attempt(&scene, "anna", CANARY).0 == 230);
}

#[test]
fn failed_logins_lock_an_address_out_and_the_server_hears_nothing_more() {
    let scene = limited(
        strict(),
        "[[limit]]\nname = 'brute force'\nper = 'address'\nfailed_logins = '3/10min'\nlockout = '1h'",
    );
    for _ in 0..3 {
        let (code, took) = attempt(&scene, "anna", "wrong");
        assert_eq!(code, 530);
        assert!(took >= Duration::from_secs(1), "{took:?}");
    }
    let heard = scene.server.record().count("PASS");
    // The right password, too; and for a name that nobody has, the same.
    for user in ["anna", "nobody"] {
        let (code, took) = attempt(&scene, user, CANARY);
        assert_eq!(code, 530);
        assert!(took >= Duration::from_secs(1), "{took:?}");
    }
    assert_eq!(scene.server.record().count("PASS"), heard);
    assert_eq!(scene.gateway.wait_named("locked out", PATIENCE).text("key"), "127.0.0.1");
    // A reload forgives nothing.
    let mark = scene.gateway.log().mark();
    scene.gateway.rewrite_config(GatewayOptions::all_modes(scene.server.address()));
    scene.gateway.sighup();
    scene.gateway.log().wait_since(mark, |event| event.is("reloaded"), PATIENCE).expect("it reloads");
    assert_eq!(attempt(&scene, "anna", CANARY).0, 530);
}

#[test]
fn a_locked_user_is_locked_from_everywhere_and_others_are_not() {
    let scene = limited(strict(), "[[limit]]\nname = 'l'\nper = 'user'\nfailed_logins = '2/10min'");
    for _ in 0..2 {
        assert_eq!(attempt(&scene, "anna", "wrong").0, 530);
    }
    assert_eq!(attempt(&scene, "anna", CANARY).0, 530);
    assert_eq!(attempt(&scene, "berta", CANARY).0, 230);
}

#[test]
fn commands_beyond_the_limit_end_the_session() {
    let scene = limited(Script::new(), "[[limit]]\nname = 'l'\nper = 'session'\ncommands = '10/h'");
    let mut client = scene.plain_client();
    for _ in 0..8 {
        client.expect("NOOP", 200);
    }
    assert!(client.expect("NOOP", 421).mentions("Too many commands"));
    client.expect_end();
    // Each session has its own.
    scene.plain_client().expect("NOOP", 200);
}

#[test]
fn a_flood_of_refusals_leaves_a_bounded_log() {
    let scene = limited(
        Script::new(),
        "[[limit]]\nname = 'l'\nper = 'address'\nconnections = '1/h'\nlisteners = ['plain']",
    );
    let plain = scene.gateway.address("plain");
    for _ in 0..300 {
        drop(Client::connect(plain).reply());
    }
    let summary = scene.gateway.wait_named("more were refused by a limit", PATIENCE);
    let recorded = scene.gateway.events().iter().filter(|event| event.is("refused by a limit")).count();
    assert!(recorded <= 40, "{recorded} records of 299 refusals");
    assert!(summary.number("count").is_some_and(|count| count >= 200), "{summary:?}");
}
