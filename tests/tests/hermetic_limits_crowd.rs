//! Two hundred clients at once, against every kind of limit: exactly those are refused who must be, and when they have
//! gone nothing of them is left.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ftpsgate_tests::client::{Client, DataConnection, Reply};
use ftpsgate_tests::gateway::{Gateway, PATIENCE, binary, wait_until};
use ftpsgate_tests::scene::{Scene, content};
use ftpsgate_tests::scripted::Script;

const ADDRESSES: u8 = 20;
const PER_ADDRESS: usize = 10;
const SESSIONS: usize = 6;
const USERS: usize = 30;
const PER_USER: usize = 3;
const TRANSFERS: usize = 40;
const COMMANDS: u32 = 40;
const FILE_BYTES: usize = 200_000;
const RATE: f64 = 20e6;

const LIMITS: &str = "
[[limit]]
name = 'sessions of an address'
per = 'address'
sessions = 6
connections = '8/h'
[[limit]]
name = 'sessions of a user'
per = 'user'
sessions = 3
[[limit]]
name = 'transfers'
per = 'gateway'
transfers = 40
download = '20MB/s'
[[limit]]
name = 'commands'
per = 'session'
commands = '40/h'
";

/// A client of the crowd, that counts what it says.
struct Guest {
    client: Client,
    source: IpAddr,
    said: u32,
}

impl Guest {
    fn say(&mut self, command: &str) -> Reply {
        self.said += 1;
        self.client.command(command)
    }

    /// PASV, the data connection, the command; the code, and with 150 the connection.
    fn begin(&mut self, command: &str) -> (u16, DataConnection) {
        let reply = self.say("PASV");
        assert_eq!(reply.code, 227, "{reply:?}");
        let data = DataConnection::connect_from(self.source, reply.passive_address());
        (self.say(command).code, data)
    }
}

/// What each guest comes to, all of them at the same time.
fn at_once<T: Send, R: Send>(guests: Vec<T>, act: impl Fn(T) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = guests.into_iter().map(|guest| scope.spawn(move || act(guest))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a guest does not panic")).collect()
    })
}

fn status(gateway: &Gateway) -> serde_json::Value {
    let mut command = Command::new(binary());
    let output = command.args(["status", "--json", "-c"]).arg(gateway.config_file()).output();
    serde_json::from_slice(&output.expect("the gateway's binary starts").stdout).expect("it is JSON")
}

/// How full what lasts is, by key.
fn lasting(status: &serde_json::Value, what: &str) -> BTreeMap<String, f64> {
    let fullest = status["fullest"].as_array().expect("a list").iter().filter(|fill| fill["what"] == what);
    fullest.map(|fill| (fill["key"].to_string(), fill["share"].as_f64().unwrap_or(9.0))).collect()
}

#[test]
fn of_200_clients_exactly_those_beyond_each_limit_are_refused() {
    let began = Instant::now();
    let file = content(FILE_BYTES);
    // No transfer begins before all have asked for one: who is through leaves a place to others.
    let are_all_asked = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&are_all_asked);
    let script = Script::new().file("file", &file).on("RETR", move |session, argument| {
        let deadline = Instant::now() + PATIENCE;
        while !gate.load(Ordering::Acquire) && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        session.behave("RETR", argument)
    });
    let scene = Scene::start_with(script, |options| options.extra(LIMITS));
    let plain = scene.gateway.address("plain");

    let sources: Vec<IpAddr> = (0..ADDRESSES)
        .flat_map(|number| [IpAddr::V4(Ipv4Addr::new(127, 0, 9, number + 1)); PER_ADDRESS])
        .collect();
    assert_eq!(sources.len(), 200);
    let came = at_once(sources, |source| {
        let mut client = Client::connect_from(source, plain);
        let code = client.reply().code;
        (code, Guest { client, source, said: 0 })
    });
    let (guests, refused): (Vec<_>, Vec<_>) = came.into_iter().partition(|(code, _)| *code == 220);
    assert_eq!(guests.len(), usize::from(ADDRESSES) * SESSIONS);
    assert!(refused.iter().all(|(code, _)| *code == 421));
    for source in 1..=ADDRESSES {
        let of_source = |(_, guest): &&(u16, Guest)| guest.source.to_string() == format!("127.0.9.{source}");
        assert_eq!(guests.iter().filter(of_source).count(), SESSIONS);
    }
    drop(refused);

    // Four sessions of each user, of which three may be.
    let guests = guests.into_iter().enumerate().map(|(number, (_, guest))| (number % USERS, guest)).collect();
    let logged_in = at_once(guests, |(user, mut guest)| {
        assert_eq!(guest.say(&format!("USER user-{user}")).code, 331);
        (user, guest.say("PASS x").code, guest)
    });
    let (guests, refused): (Vec<_>, Vec<_>) = logged_in.into_iter().partition(|(_, code, _)| *code == 230);
    assert_eq!(guests.len(), USERS * PER_USER);
    assert!(refused.iter().all(|(_, code, _)| *code == 421));
    for user in 0..USERS {
        assert_eq!(guests.iter().filter(|(of, _, _)| *of == user).count(), PER_USER);
    }
    drop(refused);
    wait_until("who was refused is gone", || status(&scene.gateway)["sessions"] == guests.len());

    let since = Instant::now();
    let guests: Vec<Guest> = guests.into_iter().map(|(_, _, guest)| guest).collect();
    let refusals = AtomicUsize::new(0);
    let (begun, now) = std::thread::scope(|scope| {
        let begun = scope.spawn(|| {
            at_once(guests, |mut guest| {
                let (code, data) = guest.begin("RETR file");
                refusals.fetch_add(usize::from(code == 450), Ordering::Relaxed);
                (code, data, guest)
            })
        });
        let wanted = USERS * PER_USER - TRANSFERS;
        wait_until("all others are refused", || refusals.load(Ordering::Relaxed) == wanted);
        let now = status(&scene.gateway);
        are_all_asked.store(true, Ordering::Release);
        (begun.join().expect("no guest panics"), now)
    });
    assert_eq!(now["transfers"], TRANSFERS);
    assert_eq!(lasting(&now, "transfers"), BTreeMap::from([("\"gateway\"".to_owned(), 1.0)]));
    let (running, refused): (Vec<_>, Vec<_>) = begun.into_iter().partition(|(code, _, _)| *code == 150);
    assert_eq!((running.len(), refused.len()), (TRANSFERS, USERS * PER_USER - TRANSFERS));
    assert!(refused.iter().all(|(code, _, _)| *code == 450));

    let mut guests = at_once(running, |(_, mut data, mut guest)| {
        assert!(data.read_to_end().0 == file, "every byte of it");
        guest.client.expect_reply(226);
        guest
    });
    // A place is free as soon as a last reply was heard: who was refused comes again, as many at a time as may.
    let mut refused: Vec<Guest> = refused.into_iter().map(|(_, _, guest)| guest).collect();
    while !refused.is_empty() {
        let wave = refused.drain(..refused.len().min(TRANSFERS)).collect();
        guests.extend(at_once(wave, |mut guest: Guest| {
            let (code, mut data) = guest.begin("RETR file");
            assert_eq!(code, 150);
            assert!(data.read_to_end().0 == file, "every byte of it");
            guest.client.expect_reply(226);
            guest
        }));
    }
    let bytes = guests.len() * FILE_BYTES;
    let most = RATE * since.elapsed().as_secs_f64();
    assert!(bytes as f64 <= most, "{bytes} bytes, and at most {most:.0} could have come");

    let ends = at_once(guests, |mut guest| {
        while guest.said < COMMANDS {
            let reply = guest.say("NOOP");
            assert_eq!(reply.code, 200, "command {} of {COMMANDS}", guest.said);
        }
        let reply = guest.say("NOOP");
        guest.client.expect_end();
        reply.code
    });
    assert_eq!(ends, vec![421; USERS * PER_USER]);

    wait_until("nobody is left", || status(&scene.gateway)["sessions"] == 0);
    let now = status(&scene.gateway);
    assert_eq!(now["transfers"], 0);
    assert_eq!((lasting(&now, "sessions").len(), lasting(&now, "transfers").len()), (0, 0));
    assert_eq!(now["backends"][0]["servers"][0]["sessions"], 0);
    // Six of eight connections were counted for each address; those that were refused were not.
    let codes = [0; 3].map(|_| Client::connect_from(Ipv4Addr::new(127, 0, 9, 1).into(), plain).reply().code);
    assert_eq!(codes, [220, 220, 421]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
