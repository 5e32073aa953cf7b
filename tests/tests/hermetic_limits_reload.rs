//! Limits change a thousand times while clients work: none of them notices, and nothing is counted twice or lost.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};

use ftpsgate_tests::client::Client;
use ftpsgate_tests::gateway::{CANARY, Gateway, GatewayOptions, PATIENCE, wait_until};
use ftpsgate_tests::scene::{Scene, content};
use ftpsgate_tests::scripted::{Flow, Script};

const CLIENTS: usize = 50;
const RELOADS: usize = 1000;

/// Asks the gateway over its admin socket.
fn ask(socket: &Path, verb: &str) -> serde_json::Value {
    let mut stream = UnixStream::connect(socket).expect("the socket is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    writeln!(stream, "{{\"version\":1,\"verb\":\"{verb}\"}}").expect("it is read");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("it is answered");
    serde_json::from_str(&answer).expect("it is JSON")
}

fn socket(gateway: &Gateway) -> PathBuf {
    gateway.wait_named("admin socket", PATIENCE).text("path").into()
}

/// Everything may change from one reload to the next, but for `kept` and `brute force`. Nobody comes near a limit.
fn limits(number: usize) -> String {
    let (sessions, rate) = (100 + number % 7, 50 + number % 13);
    let per = ["gateway", "address", "listener", "user"][number % 4];
    let matcher = ["groups = ['all']", "from = ['127.0.0.0/8']", "", "listeners = ['plain']"][number % 4];
    let mut text = format!(
        "[[group]]\nname = 'all'\nusers = ['*']\n\
         [[limit]]\nname = 'changed'\nper = '{per}'\n{matcher}\nsessions = {sessions}\ntransfers = {sessions}\n\
         commands = '{sessions}000000/s'\nlogins = '{sessions}000/s'\nupload = '{rate}MB/s'\ndownload = '{rate}MB/s'\n\
         file_size = '1GB'\n\
         [[limit]]\nname = 'kept'\nper = 'address'\nlisteners = ['implicit']\nconnections = '2/h'\n"
    );
    if number.is_multiple_of(3) {
        text += "[[limit]]\nname = 'now and then'\nper = 'session'\nfile_size = '1MB'\n";
    }
    text + "[[limit]]\nname = 'brute force'\nper = 'user'\nfailed_logins = '1/h'\nlockout = '1h'\n"
}

fn options(scene_server: std::net::SocketAddr, limits: &str) -> GatewayOptions {
    GatewayOptions::all_modes(scene_server).extra(limits)
}

#[test]
fn a_thousand_reloads_disturb_nobody_and_lose_no_count() {
    let file = content(20_000);
    let script = Script::new().file("file", &file).on("PASS", |session, argument| {
        if argument == CANARY.as_bytes() {
            return session.behave("PASS", argument);
        }
        session.reply("530 Wrong password")?;
        Ok(Flow::Continue)
    });
    let scene = Scene::start_with(script, |options| options.extra(&limits(0)));
    let socket = socket(&scene.gateway);
    let plain = scene.gateway.address("plain");
    let attempt = |user: &str| {
        let mut client = Client::connect(plain);
        client.greeting();
        client.expect(&format!("USER {user}"), 331);
        client
    };
    attempt("mallory").expect("PASS wrong", 530);
    let knock = || scene.gateway.address("implicit");
    drop(Client::connect_implicit(knock(), scene.tls()));

    // Each reload is one more thing to do for everybody, while the next one comes; each tenth a transfer.
    let round = (Mutex::new(0), Condvar::new());
    let clients: Vec<Client> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = scene.plain_client();
                    for number in 1..=RELOADS {
                        let reached = round.0.lock().expect("nobody panics");
                        drop(
                            round.1.wait_while(reached, |reached| *reached < number).expect("nobody panics"),
                        );
                        if number % 10 == 0 {
                            assert!(client.download("RETR file") == file, "every byte of it");
                        } else {
                            client.expect("NOOP", 200);
                        }
                    }
                    client
                })
            })
            .collect();
        for number in 1..=RELOADS {
            let is_bad = number % 100 == 0;
            let text = if is_bad { limits(number).replace("sessions", "sesions") } else { limits(number) };
            scene.gateway.rewrite_config(options(scene.server.address(), &text));
            *round.0.lock().expect("nobody panics") = number;
            round.1.notify_all();
            let answer = ask(&socket, "reload");
            assert_eq!(answer["ok"], !is_bad, "{answer}");
        }
        threads.into_iter().map(|thread| thread.join().expect("nobody is disturbed")).collect()
    });

    // Lockouts last, and so does what an unchanged limit has counted.
    attempt("mallory").expect(&format!("PASS {CANARY}"), 530);
    drop(Client::connect_implicit(knock(), scene.tls()));
    Client::connect(knock()).expect_end();
    wait_until("the others are gone", || ask(&socket, "status")["sessions"] == CLIENTS);
    assert_eq!(ask(&socket, "status")["transfers"], 0);

    // Sessions that are open are counted once each, for all the limits that came and went.
    let one_more = format!("[[limit]]\nname = 'l'\nper = 'gateway'\nsessions = {}\n", CLIENTS + 1);
    scene.gateway.rewrite_config(options(scene.server.address(), &one_more));
    assert_eq!(ask(&socket, "reload")["ok"], true);
    let mut last = Client::connect(plain);
    assert_eq!(last.reply().code, 220);
    Client::connect(plain).expect_reply(421);
    drop((last, clients));
    wait_until("nobody is left", || {
        let status = ask(&socket, "status");
        let lasts = |fill: &serde_json::Value| fill["what"] == "sessions" || fill["what"] == "transfers";
        let is_counted = status["fullest"].as_array().is_some_and(|all| all.iter().any(lasts));
        status["sessions"] == 0 && status["transfers"] == 0 && !is_counted
    });
}
