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

/// How long a download of so many bytes by each of these clients takes, from the first byte to the last.
fn download_time(clients: Vec<Client>, bytes: usize) -> Vec<Duration> {
    let threads = clients.into_iter().map(|mut client| {
        std::thread::spawn(move || {
            let mut data = client.begin_transfer("RETR file");
            // What a bucket and a chunk hold is not measured.
            data.read_exactly(1 << 20);
            let began = Instant::now();
            data.read_exactly(bytes);
            began.elapsed()
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().map(|thread| thread.join().expect("it downloads")).collect()
}

fn assert_rate(bytes: usize, took: Duration, expected: f64) {
    let rate = bytes as f64 / took.as_secs_f64();
    assert!((rate / expected - 1.0).abs() <= 0.03, "{rate:.0} B/s instead of {expected:.0}");
}

const RATE: f64 = 20e6;
const FIVE_SECONDS: usize = 100_000_000;

/// A gateway that gives downloads 20 MB/s, all of them together.
fn throttled() -> Scene {
    let script = Script::new().file("file", &vec![7; FIVE_SECONDS + (2 << 20)]);
    limited(script, "[[limit]]\nname = 'l'\nper = 'gateway'\ndownload = '20MB/s'\nupload = '20MB/s'")
}

#[test]
fn one_session_gets_the_rate_in_clear_and_under_tls() {
    let scene = throttled();
    for client in [scene.plain_client(), scene.client()] {
        let took = download_time(vec![client], FIVE_SECONDS);
        assert_rate(FIVE_SECONDS, took[0], RATE);
    }
}

#[test]
fn three_sessions_share_the_rate() {
    let scene = throttled();
    let clients = (0..3).map(|_| scene.client()).collect();
    let each = FIVE_SECONDS / 3;
    let took = download_time(clients, each);
    let slowest = took.iter().max().expect("there are three");
    assert_rate(each * 3, *slowest, RATE);
    for took in &took {
        let share = each as f64 / took.as_secs_f64() / (RATE / 3.0);
        assert!((0.9..1.1).contains(&share), "{share}");
    }
}

#[test]
fn an_upload_is_held_to_its_rate_and_never_stalls_for_that() {
    let limits = "[[limit]]\nname = 'l'\nper = 'session'\nupload = '40KB/s'";
    let scene = Scene::start_with(Script::new(), |options| {
        options
            .extra(limits)
            .backend_keys("stall_timeout = \"200ms\"")
            .all_listener_keys("min_rate = \"1MB/s\"")
    });
    let mut client = scene.client();
    let began = Instant::now();
    client.upload("STOR file", &vec![7; 80_000]);
    let took = began.elapsed();
    assert!((Duration::from_millis(1700)..Duration::from_millis(3000)).contains(&took), "{took:?}");
    assert_eq!(scene.server.record().wait_upload().content.len(), 80_000);
}

#[test]
fn a_reload_changes_the_rate_of_a_transfer_that_runs() {
    let scene = limited(
        Script::new().file("file", &vec![7; 4 << 20]),
        "[[limit]]\nname = 'l'\nper = 'gateway'\ndownload = '10KB/s'",
    );
    let mut client = scene.client();
    let mut data = client.begin_transfer("RETR file");
    data.read_exactly(4096);
    let mark = scene.gateway.log().mark();
    scene.gateway.rewrite_config(GatewayOptions::all_modes(scene.server.address()));
    scene.gateway.sighup();
    scene.gateway.log().wait_since(mark, |event| event.is("reloaded"), PATIENCE).expect("it reloads");
    let began = Instant::now();
    let (rest, _) = data.read_to_end();
    assert_eq!(rest.len() + 4096, 4 << 20);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    client.expect_reply(226);
}

#[test]
fn a_file_that_is_too_large_is_not_stored_and_not_fetched() {
    let scene = limited(
        Script::new().file("file", &[7; 100_000]).file("small", &[7; 50_000]),
        "[[limit]]\nname = 'l'\nper = 'user'\nfile_size = '50KB'",
    );
    let mut client = scene.client();
    client.upload("STOR exact", &[7; 50_000]);
    let mut data = client.begin_transfer("STOR large");
    let _ = data.try_write(&[7; 50_001]);
    client.expect_reply(552);
    drop(data);
    assert_eq!(client.download("RETR small").len(), 50_000);
    let mut data = client.begin_transfer("RETR file");
    let (got, end) = data.read_to_end();
    assert!(got.len() <= 50_000 && end != client.clean_end(), "{} bytes", got.len());
    client.expect_reply(426);
    client.expect("NOOP", 200);
}
