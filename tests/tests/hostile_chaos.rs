//! Clients and servers that do everything in any order, from a fixed seed. Nothing is expected of any one session; the
//! gateway must survive them all, lose nothing, and serve the next client.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ftpsgate_tests::gateway::wait_until;
use ftpsgate_tests::scene::Scene;
use ftpsgate_tests::scripted::{Flow, Script, ScriptedSession};
use socket2::SockRef;

const SEED: u64 = 0x5EED_0F7B_0001;
const SESSIONS: u64 = 160;

/// What servers say that is no reply.
const NONSENSE: &[&[u8]] = &[b"\r\n", b"999 No\r\n", b"2\n", b"230-\xff\x00\r\n", b"150 \r\n150 \r\n"];

/// What clients say.
const LINES: &[&[u8]] = &[
    b"EPSV\r\n",
    b"PASV\r\n",
    b"EPSV\r\n",
    b"EPSV ALL\r\n",
    b"RETR file\r\n",
    b"RETR large\r\n",
    b"STOR up\r\n",
    b"LIST\r\n",
    b"ABOR\r\n",
    b"\xff\xf4\xff\xf2ABOR\r\n",
    b"REST 3\r\n",
    b"RNFR a\r\n",
    b"RNTO b\r\n",
    b"TYPE I\r\nSIZE file\r\nMDTM file\r\nCWD x\r\nNOOP\r\nNOOP\r\n",
    b"NOOP\r\n",
    b"PWD\r\n",
    b"STAT\r\n",
    b"FEAT\r\n",
    b"QUIT\r\n",
    b"AUTH TLS\r\n",
    b"USER bert\r\n",
    b"US",
    b"\n",
    b"\xff",
    b"\r\n",
];

/// xorshift64*
struct Dice(u64);

impl Dice {
    fn new(number: u64) -> Self {
        Self((SEED ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1)
    }

    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % count
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.below(choices.len() as u64);
        choices[usize::try_from(index).expect("an index")]
    }
}

/// A server that behaves most of the time.
fn moody(verb: &'static str, moods: &'static AtomicU64) -> impl Fn(&mut ScriptedSession, &[u8]) -> Reaction {
    move |session, argument| {
        let mut dice = Dice::new(moods.fetch_add(1, Ordering::Relaxed));
        match dice.below(12) {
            0 => {
                session.send(dice.of(NONSENSE))?;
                Ok(Flow::Continue)
            }
            1 => {
                session.reply(dice.of(&[
                    "421 Bye",
                    "530 No",
                    "350 More?",
                    "226 Done",
                    "150 Soon",
                    "227 (1,2,3)",
                ]))?;
                Ok(Flow::Continue)
            }
            2 => Ok(dice.of(&[Flow::Close, Flow::Reset])),
            3 => {
                let flow = session.behave(verb, argument)?;
                session.reply("200 By the way")?;
                Ok(flow)
            }
            _ => session.behave(verb, argument),
        }
    }
}

type Reaction = std::io::Result<Flow>;

/// A client that does not wait for answers, or only now and then.
fn rave(number: u64, control: SocketAddr) {
    let mut dice = Dice::new(number);
    let mut client = TcpStream::connect(control).expect("the gateway accepts");
    client.set_read_timeout(Some(Duration::from_millis(20))).expect("not zero");
    let mut heard = Vec::new();
    let mut data: Vec<TcpStream> = Vec::new();
    let steps = 4 + dice.below(30);
    for step in 0..steps {
        let line: &[u8] = if step < 2 && dice.below(4) > 0 {
            if step == 0 { b"USER anna\r\n" } else { b"PASS x\r\n" }
        } else {
            dice.of(LINES)
        };
        if client.write_all(line).is_err() {
            break;
        }
        if dice.below(3) > 0 {
            let mut buffer = [0; 4096];
            match client.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => heard.extend_from_slice(&buffer[..count]),
                Err(_) => {}
            }
        }
        if let Some(port) = announced_port(&heard)
            && dice.below(4) > 0
        {
            heard.clear();
            data.extend(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        }
        if dice.below(3) == 0
            && let Some(mut data) = data.pop()
        {
            match dice.below(4) {
                0 => drop(data.write_all(&[7; 50_000])),
                1 => drop(SockRef::from(&data).set_linger(Some(Duration::ZERO))),
                2 => drop(
                    data.set_read_timeout(Some(Duration::from_millis(20)))
                        .and_then(|()| data.read(&mut [0; 1000])),
                ),
                _ => drop(data.shutdown(Shutdown::Write)),
            }
        }
    }
    match dice.below(3) {
        0 => drop(SockRef::from(&client).set_linger(Some(Duration::ZERO))),
        1 => drop(client.shutdown(Shutdown::Write)),
        _ => {}
    }
}

/// The port of the last 229 or 227.
fn announced_port(heard: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(heard);
    if let Some((_, rest)) = text.rsplit_once("(|||") {
        return rest.split_once('|')?.0.parse().ok();
    }
    let (_, rest) = text.rsplit_once("(127,0,0,1,")?;
    let (high, low) = rest.split_once(')')?.0.split_once(',')?;
    Some(u16::from_be_bytes([high.parse().ok()?, low.parse().ok()?]))
}

#[test]
fn nothing_that_many_sessions_do_at_random_harms_the_gateway() {
    static MOODS: AtomicU64 = AtomicU64::new(1 << 32);
    let mut script = Script::new().disordered().file("file", b"content").file("large", &vec![7; 3 << 20]);
    for verb in
        ["USER", "PASS", "EPSV", "PASV", "RETR", "STOR", "LIST", "NOOP", "PWD", "REST", "RNFR", "ABOR"]
    {
        script = script.on(verb, moody(verb, &MOODS));
    }
    let scene = Scene::start_with(script, |options| {
        options
            .backend_keys("reply_timeout = \"1s\"\nstall_timeout = \"1s\"")
            .all_listener_keys("data_connect_timeout = \"1s\"\nlogin_timeout = \"2s\"\nidle_timeout = \"1s\"")
    });
    let baseline = scene.gateway.open_descriptors();
    let (plain, explicit) = (scene.gateway.address("plain"), scene.gateway.address("explicit"));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for number in (thread..SESSIONS).step_by(8) {
                    rave(number, if number % 8 == 7 { explicit } else { plain });
                }
            });
        }
    });
    wait_until("every session has ended", || scene.gateway.open_descriptors() <= baseline);
    let sessions = |name| scene.gateway.events().iter().filter(|event| event.is(name)).count();
    assert_eq!(sessions("session opened"), sessions("session closed"));
}
