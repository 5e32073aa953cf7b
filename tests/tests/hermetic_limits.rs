//! Limits, against the real binary: who gets 421, who is locked out, and for how long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
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
fn passwords_that_are_tried_at_once_cannot_outrun_the_lockout() {
    // It answers no password before as many are tried as may be.
    let tried = Arc::new(Barrier::new(3));
    let script = Script::new().on("PASS", move |session, _| {
        tried.wait();
        session.reply("530 Wrong password")?;
        Ok(Flow::Continue)
    });
    let scene = limited(script, "[[limit]]\nname = 'l'\nper = 'user'\nfailed_logins = '3/10min'");
    let ready = Barrier::new(12);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut client = Client::connect(scene.gateway.address("plain"));
                client.greeting();
                client.expect("USER anna", 331);
                ready.wait();
                client.expect("PASS wrong", 530);
            });
        }
    });
    assert_eq!(scene.server.record().count("PASS"), 3);
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
fn passwords_beyond_the_limit_end_the_session_and_the_server_hears_none_of_them() {
    let scene = limited(strict(), "[[limit]]\nname = 'l'\nper = 'address'\nlogins = '2/h'");
    assert_eq!(attempt(&scene, "anna", "wrong").0, 530);
    assert_eq!(attempt(&scene, "anna", CANARY).0, 230);
    let heard = scene.server.record().count("PASS");
    for user in ["anna", "nobody"] {
        let mut client = Client::connect(scene.gateway.address("plain"));
        client.greeting();
        client.expect(&format!("USER {user}"), 331);
        assert!(client.expect(&format!("PASS {CANARY}"), 421).mentions("Too many logins"));
        client.expect_end();
    }
    assert_eq!(scene.server.record().count("PASS"), heard);
    let event = scene.gateway.wait_named("refused by a limit", PATIENCE);
    assert_eq!((event.text("what"), event.text("limit")), ("logins", "l"));
}

#[test]
fn a_transfer_beyond_the_limit_gets_450_and_the_session_goes_on() {
    let script = Script::new().file("file", &[7; 64]).file("large", &vec![7; 32 << 20]);
    let scene = limited(script, "[[limit]]\nname = 'l'\nper = 'user'\ntransfers = 1");
    let (mut first, mut second) = (scene.client(), scene.client());
    let data = first.begin_transfer("RETR large");
    for command in ["RETR file", "STOR file", "LIST", "MLSD", "APPE file"] {
        second.epsv();
        second.expect(command, 450);
    }
    assert_eq!(scene.server.record().count("STOR"), 0);
    second.expect("NOOP", 200);
    data.reset();
    first.expect_reply(426);
    assert_eq!(second.download("RETR file"), [7; 64]);
    let event = scene.gateway.wait_named("refused by a limit", PATIENCE);
    assert_eq!((event.text("what"), event.text("user")), ("transfers", "anna"));
}

#[test]
fn sessions_under_tls_are_counted_from_the_handshake_on() {
    let limits = "[[limit]]\nname = 'l'\nper = 'gateway'\ntls = '>=1.2'\nsessions = 1";
    let scene = limited(Script::new(), limits);
    let _first = scene.client();
    let mut second = scene.newcomer();
    second.expect("AUTH TLS", 234);
    second.start_tls(scene.tls());
    assert!(second.expect_reply(421).mentions("Too many sessions"));
    second.expect_end();
    let mut third = Client::connect_implicit(scene.gateway.address("implicit"), scene.tls());
    assert_eq!(third.reply().code, 421, "instead of the greeting");
    third.expect_end();
    scene.plain_client().expect("NOOP", 200);
}

#[test]
fn a_limit_of_a_policy_file_counts_the_users_of_a_group() {
    let limits = "[[group]]\nname = 'guests'\nusers = ['guest-*']";
    let scene = limited(Script::new(), limits);
    let folder = scene.gateway.directory().join("policies.d");
    std::fs::create_dir(&folder).expect("the folder can be written");
    let text = "[[limit]]\nname = 'l'\nper = 'gateway'\ngroups = ['guests']\nsessions = 1\n";
    std::fs::write(folder.join("10.toml"), text).expect("the folder can be written");
    let mark = scene.gateway.log().mark();
    scene.gateway.sighup();
    scene.gateway.log().wait_since(mark, |event| event.is("reloaded"), PATIENCE).expect("it reloads");
    let enter = |user: &str| {
        let mut client = Client::connect(scene.gateway.address("plain"));
        client.greeting();
        client.expect(&format!("USER {user}"), 331);
        let code = client.command("PASS x").code;
        (code, client)
    };
    let first = enter("guest-1");
    assert_eq!((first.0, enter("guest-2").0, enter("anna").0), (230, 421, 230));
    let event = scene.gateway.wait_named("refused by a limit", PATIENCE);
    assert!(event.text("origin").ends_with("policies.d/10.toml:1"), "{event:?}");
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

const RATE: f64 = 20e6;
const TWO_SECONDS: usize = 40_000_000;

/// A gateway that gives 20 MB/s to downloads and as much to uploads, each all together.
fn throttled() -> Scene {
    let script = Script::new().file("file", &vec![7; TWO_SECONDS]);
    limited(script, "[[limit]]\nname = 'l'\nper = 'gateway'\ndownload = '20MB/s'\nupload = '20MB/s'")
}

/// What holds on any machine, however busy: buckets start empty, so never has more come than the rate gives. That it is
/// no less is seen where time is virtual (`policies/src/limit/bandwidth.rs`) and by the benchmark `rates`.
fn assert_held(bytes: usize, since: Instant) {
    let most = RATE * since.elapsed().as_secs_f64();
    assert!(bytes as f64 <= most, "{bytes} bytes, and {most:.0} could have come");
}

#[test]
fn one_session_is_held_to_the_rate_in_clear_and_under_tls() {
    let scene = throttled();
    for mut client in [scene.plain_client(), scene.client()] {
        let since = Instant::now();
        let mut data = client.begin_transfer("RETR file");
        for part in 1..=8 {
            data.read_exactly(TWO_SECONDS / 8);
            assert_held(TWO_SECONDS / 8 * part, since);
        }
        let since = Instant::now();
        client.expect_reply(226);
        drop(data);
        client.upload("STOR copy", &vec![7; TWO_SECONDS]);
        assert_held(TWO_SECONDS, since);
    }
}

#[test]
fn three_sessions_share_the_rate() {
    let scene = throttled();
    let each = TWO_SECONDS / 2;
    let clients: Vec<_> = (0..3).map(|_| scene.client()).collect();
    let had: [AtomicUsize; 3] = Default::default();
    let start = Barrier::new(3);
    let total = || had.iter().map(|had| had.load(Ordering::Relaxed)).sum::<usize>();
    let since = Instant::now();
    let at_first_end = std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .zip(&had)
            .map(|(mut client, own)| {
                let (start, had) = (&start, &had);
                scope.spawn(move || {
                    let mut data = client.begin_transfer("RETR file");
                    data.read_exactly(1);
                    start.wait();
                    for _ in 0..100 {
                        data.read_exactly(each / 100);
                        own.fetch_add(each / 100, Ordering::Relaxed);
                        assert_held(total(), since);
                    }
                    (Instant::now(), had.each_ref().map(|had| had.load(Ordering::Relaxed)))
                })
            })
            .collect();
        let ends = threads.into_iter().map(|thread| thread.join().expect("it downloads"));
        ends.min_by_key(|(ended, _)| *ended).expect("there are three").1
    });
    // A busy machine may keep one of them from taking its part, which then is the others'; but not most of it.
    assert!(at_first_end.iter().all(|&had| had >= each / 2), "{at_first_end:?} of {each}");
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
    assert!(took >= Duration::from_secs(2), "{took:?}");
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
    let _data = client.open_data();
    client.expect("RETR file", 550);
    assert_eq!(scene.server.record().count("RETR"), 1, "it was asked for its size alone");
    client.expect("ALLO 50001", 202);
    let stored = scene.server.record().count("STOR");
    client.expect("STOR announced", 552);
    assert_eq!(scene.server.record().count("STOR"), stored);
    client.expect("NOOP", 200);
}

#[test]
fn a_file_of_unknown_size_is_counted_while_it_is_fetched() {
    let script = Script::new().file("file", &[7; 100_000]).answer("SIZE", b"502 What?\r\n");
    let scene = limited(script, "[[limit]]\nname = 'l'\nper = 'user'\nfile_size = '50KB'");
    let mut client = scene.client();
    let mut data = client.begin_transfer("RETR file");
    let (got, end) = data.read_to_end();
    assert!(got.len() <= 50_000 && end != client.clean_end(), "{} bytes", got.len());
    client.expect_reply(426);
    client.expect("NOOP", 200);
}

#[test]
fn no_size_is_asked_for_where_no_limit_for_files_holds() {
    let script = Script::new().file("file", b"content");
    let scene = limited(script, "[[limit]]\nname = 'l'\nper = 'user'\nusers = ['bob']\nfile_size = '1B'");
    assert_eq!(scene.client().download("RETR file"), b"content");
    assert!(!scene.server.record().has_command("SIZE"));
}

#[test]
fn a_download_that_is_refused_for_its_size_gives_its_place_back() {
    let script = Script::new().file("file", &[7; 100_000]).file("small", &[7; 50_000]);
    let scene = limited(script, "[[limit]]\nname = 'l'\nper = 'user'\nfile_size = '50KB'\ntransfers = 1");
    let mut client = scene.client();
    let data = client.open_data();
    client.expect("RETR file", 550);
    drop(data);
    assert_eq!(client.download("RETR small").len(), 50_000);
    // Another session of the user has one, too.
    assert_eq!(scene.client().download("RETR small").len(), 50_000);
}
