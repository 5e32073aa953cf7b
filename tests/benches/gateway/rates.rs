//! How exactly rates of limits hold on the wire: what was asked for, and what a client saw.
//!
//! Each figure is one transfer of five seconds' bytes, from its command to its last reply, or three at once. A machine that
//! cannot move as much without a limit (`free`) cannot with one either; such rows say nothing about limits.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use ftpsgate_tests::gateway::{Gateway, GatewayOptions, ListenerOptions};
use rustls::ProtocolVersion;

use super::backend::Backend;
use super::client::{Client, Protection};
use super::work::Direction;

/// Measures them all, and prints a line for each.
pub(super) fn run() -> Result<(), Box<dyn Error>> {
    let backend = Backend::start()?;
    let free = Subject::start(&backend, None);
    println!("{HEADER}");
    for (protection, direction, sessions) in kinds() {
        let free_rate = free.rate(protection, direction, sessions, FREE_BYTES)? / MEGA;
        for asked in RATES {
            let limited = Subject::start(&backend, Some(asked));
            let length = asked * SECONDS * MEGA as usize;
            let seen = limited.rate(protection, direction, sessions, length)? / MEGA;
            let off = (seen / asked as f64 - 1.0) * 100.0;
            let (way, data) =
                (name(direction), if protection == Protection::Private { "TLS" } else { "plain" });
            println!("{way:<9} {data:<6} {sessions:>8} {asked:>6} {seen:>8.2} {off:>+7.2} {free_rate:>8.0}");
        }
    }
    Ok(())
}

/// A gateway, and where it listens: with PROT P, and where PROT C may be.
struct Subject {
    _gateway: Gateway,
    private: SocketAddr,
    clear: SocketAddr,
}

impl Subject {
    fn start(backend: &Backend, megabytes: Option<usize>) -> Self {
        let limit = megabytes.map_or_else(String::new, |rate| {
            format!("[[limit]]\nname = 'l'\nper = 'gateway'\nupload = '{rate}MB/s'\ndownload = '{rate}MB/s'")
        });
        let clear = ListenerOptions::explicit("clear").keys("require_tls = \"login\"");
        let options = GatewayOptions::explicit(backend.address()).listener(clear).extra(&limit);
        let gateway = Gateway::start(options);
        let (private, clear) = (gateway.address("explicit"), gateway.address("clear"));
        Self { _gateway: gateway, private, clear }
    }

    /// Bytes a second, all sessions together.
    fn rate(
        &self,
        protection: Protection,
        direction: Direction,
        sessions: usize,
        length: usize,
    ) -> io::Result<f64> {
        let address = match protection {
            Protection::Private => self.private,
            Protection::Clear => self.clear,
        };
        let each = length / sessions;
        let login = || Client::login(address, ProtocolVersion::TLSv1_3, protection);
        let mut clients = (0..sessions).map(|_| login()).collect::<io::Result<Vec<_>>>()?;
        let began = Instant::now();
        thread::scope(|scope| {
            let work: Vec<_> = clients
                .iter_mut()
                .map(|client| scope.spawn(move || direction.transfer(client, each)))
                .collect();
            work.into_iter().try_for_each(|work| work.join().expect("a client does not panic"))
        })?;
        let seconds = began.elapsed().as_secs_f64();
        clients.into_iter().try_for_each(Client::quit)?;
        Ok((each * sessions) as f64 / seconds)
    }
}

fn kinds() -> impl Iterator<Item = (Protection, Direction, usize)> {
    let protections = [Protection::Clear, Protection::Private].into_iter();
    let directions = |protection| [Direction::Download, Direction::Upload].map(|way| (protection, way));
    protections
        .flat_map(directions)
        .flat_map(|(protection, direction)| [1, 3].map(|sessions| (protection, direction, sessions)))
}

fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Download => "download",
        Direction::Upload => "upload",
    }
}

const HEADER: &str = "way       data   sessions   MB/s     seen   off %     free";
/// In MB/s.
const RATES: [usize; 5] = [1, 10, 50, 200, 1000];
const MEGA: f64 = 1e6;
const SECONDS: usize = 5;
const FREE_BYTES: usize = 2 << 30;
