//! What a gateway is made to do, and what that cost it.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ProtocolVersion;

use super::backend::Backend;
use super::client::{Client, Protection};
use super::process::{cpu_seconds, descendants, pss_kib};

/// A gateway under measurement, whichever it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The process whose family is counted.
    pub(super) pid: u32,
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// RETR
    Download,
    /// STOR
    Upload,
}

impl Direction {
    /// One file.
    pub(super) fn transfer(self, client: &mut Client, length: usize) -> io::Result<()> {
        match self {
            Self::Download => client.get(length),
            Self::Upload => client.put(length),
        }
    }
}

/// Small files of one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files {
    /// CPU milliseconds a file.
    pub(super) cpu_ms: f64,
    /// Files a second.
    pub(super) rate: f64,
}

/// Round trips of NOOP, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrips {
    /// Half of them are faster.
    pub(super) p50: f64,
    /// One of a hundred is slower.
    pub(super) p99: f64,
}

/// Memory around idle sessions, in KiB a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// While they are open.
    pub(super) idle: f64,
    /// After all of them, as many again, were closed.
    pub(super) kept: f64,
}

impl Subject {
    /// CPU seconds a GiB; `length` bytes on each of `streams` at once, each in a session of its own.
    pub(super) fn transfer(
        self,
        direction: Direction,
        streams: usize,
        length: usize,
        protection: Protection,
    ) -> io::Result<f64> {
        let mut clients = (0..streams).map(|_| self.login(protection)).collect::<io::Result<Vec<_>>>()?;
        let before = cpu_seconds(self.pid)?;
        thread::scope(|scope| {
            let work: Vec<_> = clients
                .iter_mut()
                .map(|client| scope.spawn(move || direction.transfer(client, length)))
                .collect();
            work.into_iter().try_for_each(|work| work.join().expect("a client does not panic"))
        })?;
        let seconds = cpu_seconds(self.pid)? - before;
        clients.into_iter().try_for_each(Client::quit)?;
        Ok(seconds / (streams * length) as f64 * GIB)
    }

    /// CPU milliseconds a login: connect, AUTH TLS, USER, PASS, PBSZ, PROT, TYPE, QUIT.
    pub(super) fn login_cpu(self, count: usize) -> io::Result<f64> {
        self.wait_idle()?;
        let before = cpu_seconds(self.pid)?;
        for _ in 0..count {
            self.login(Protection::Private)?.quit()?;
        }
        self.wait_idle()?;
        Ok((cpu_seconds(self.pid)? - before) / count as f64 * 1e3)
    }

    /// Logins a second with 32 clients at once.
    pub(super) fn login_rate(self, duration: Duration) -> io::Result<f64> {
        let started = Instant::now();
        let logins = thread::scope(|scope| {
            let work = || {
                let mut logins = 0;
                while started.elapsed() < duration {
                    // A gateway that turns clients away under load gets no credit for them.
                    logins += usize::from(self.login(Protection::Private).and_then(Client::quit).is_ok());
                }
                logins
            };
            let clients: Vec<_> = (0..32).map(|_| scope.spawn(work)).collect();
            let joined = clients.into_iter().map(|client| client.join().expect("a client does not panic"));
            joined.sum::<usize>()
        });
        let rate = logins as f64 / started.elapsed().as_secs_f64();
        self.wait_idle()?;
        Ok(rate)
    }

    /// Files of 4 KiB, one after the other, a hundred to a session: ProFTPD may crash in a longer one.
    ///
    /// # Errors
    ///
    /// Also if a data connection did not resume the session's TLS.
    pub(super) fn files(self, direction: Direction, sessions: usize) -> io::Result<Files> {
        let (mut cpu_seconds, mut seconds) = (0.0, 0.0);
        for _ in 0..sessions {
            let (cpu, time) = self.session_of_files(direction)?;
            cpu_seconds += cpu;
            seconds += time;
        }
        let count = (sessions * SESSION_FILES) as f64;
        Ok(Files { cpu_ms: cpu_seconds / count * 1e3, rate: count / seconds })
    }

    /// CPU seconds and seconds of one session's files.
    fn session_of_files(self, direction: Direction) -> io::Result<(f64, f64)> {
        // rustls as a client uses a ticket of TLS 1.3 once, and uploads bring no new ones. On TLS 1.2 one session
        // serves any number of data connections.
        let version = match direction {
            Direction::Download => ProtocolVersion::TLSv1_3,
            Direction::Upload => ProtocolVersion::TLSv1_2,
        };
        let mut client = Client::login(self.address, version, Protection::Private)?;
        // What the first transfer sets up is not a matter of every file.
        direction.transfer(&mut client, FILE_BYTES)?;
        let before = cpu_seconds(self.pid)?;
        let started = Instant::now();
        for _ in 0..SESSION_FILES {
            direction.transfer(&mut client, FILE_BYTES)?;
        }
        let time = started.elapsed().as_secs_f64();
        let cpu = cpu_seconds(self.pid)? - before;
        if client.resumed < client.transfers {
            let (resumed, transfers) = (client.resumed, client.transfers);
            return Err(io::Error::other(format!("{resumed} of {transfers} data connections resumed")));
        }
        client.quit()?;
        Ok((cpu, time))
    }

    /// NOOP, `count` times in one session.
    pub(super) fn round_trips(self, count: usize) -> io::Result<RoundTrips> {
        let mut client = self.login(Protection::Private)?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let started = Instant::now();
            client.noop()?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        client.quit()?;
        times.sort_by(f64::total_cmp);
        Ok(RoundTrips { p50: times[count / 2], p99: times[count * 99 / 100] })
    }

    /// Memory of `count` idle sessions, and what stays of it after twice as many were open at once.
    pub(super) fn memory(self, backend: &Backend, count: usize) -> io::Result<Memory> {
        // What the first sessions of a process set up for all is not theirs.
        for _ in 0..WARM_UP {
            let mut client = self.login(Protection::Private)?;
            client.get(FILE_BYTES)?;
            client.quit()?;
        }
        self.settle(|| backend.sessions() == 0)?;
        let before = pss_kib(self.pid)?;
        let mut clients = self.crowd(count)?;
        self.settle(|| true)?;
        let idle = (pss_kib(self.pid)? - before) / count as f64;
        clients.extend(self.crowd(count)?);
        clients.into_iter().try_for_each(Client::quit)?;
        self.settle(|| backend.sessions() == 0)?;
        let kept = (pss_kib(self.pid)? - before) / (2 * count) as f64;
        Ok(Memory { idle, kept })
    }

    fn login(self, protection: Protection) -> io::Result<Client> {
        Client::login(self.address, ProtocolVersion::TLSv1_3, protection)
    }

    fn crowd(self, count: usize) -> io::Result<Vec<Client>> {
        (0..count).map(|_| self.login(Protection::Private)).collect()
    }

    /// Waits until there are no processes of sessions: only then is their time counted as their parent's.
    fn wait_idle(self) -> io::Result<()> {
        self.settle_within(Duration::ZERO, || descendants(self.pid).is_ok_and(|count| count == 0))
    }

    /// Waits for `condition`, and then a second more: closing takes its time, and the kernel counts in ticks.
    fn settle(self, condition: impl FnMut() -> bool) -> io::Result<()> {
        self.settle_within(Duration::from_secs(1), condition)
    }

    fn settle_within(self, rest: Duration, mut condition: impl FnMut() -> bool) -> io::Result<()> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        while !condition() {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(rest);
        Ok(())
    }
}

const GIB: f64 = (1u64 << 30) as f64;
const FILE_BYTES: usize = 4096;
const SESSION_FILES: usize = 100;
const WARM_UP: usize = 40;
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
