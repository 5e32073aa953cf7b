//! Measures ftpsgate and ProFTPD's mod_proxy side by side, as explicit FTPS in front of the same backend: plain FTP, and
//! for some rows FTPS.
//!
//! `cargo bench -p ftpsgate-tests --bench gateway [-- [--quick] [--json] [WORK…]]`
//!
//! Rounds are interleaved and medians compared, so that a busy machine disturbs both alike; CPU seconds are those
//! of the gateways' processes only. WORK is a part of a row's name. Nothing is asserted: the table says what was met.
//! The one WORK `rates` has a table of its own: how exactly the rates of limits hold.

mod backend;
mod client;
mod mod_proxy;
mod plain_copy;
mod process;
mod rates;
mod table;
mod work;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ftpsgate_certs::{Authority, SubjectName};
use ftpsgate_tests::gateway::{Gateway, GatewayOptions, ListenerOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use backend::Backend;
use client::Protection;
use mod_proxy::{BackendTls, Identity, ModProxy};
use plain_copy::PlainCopy;
use table::{Goal, Row, median};
use work::{Direction, Subject};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [plain_copy::ARGUMENT, source] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return Ok(plain_copy::serve(source.parse()?)?);
    }
    let mut plan = Plan::FULL;
    let (mut is_json, mut wanted) = (false, Vec::new());
    for argument in arguments {
        match argument.as_str() {
            "--quick" => plan = Plan::QUICK,
            "--json" => is_json = true,
            "--bench" => {} // from cargo
            "--help" | "-h" => {
                println!("gateway [--quick] [--json] [WORK...]");
                return Ok(());
            }
            work if work.starts_with('-') => return Err(format!("unknown option {work}").into()),
            _ => wanted.push(argument),
        }
    }
    raise_descriptor_limit()?;
    if wanted == ["rates"] {
        return rates::run();
    }

    let mut bench = Bench { contest: Contest::start()?, plan, wanted, is_json, rows: Vec::new() };
    if !is_json {
        table::print_header();
    }
    bench.transfers()?;
    bench.ftps_backend()?;
    bench.logins()?;
    bench.files()?;
    bench.round_trips()?;
    bench.clear()?;
    bench.memory()?;
    if is_json {
        println!("{:#}", table::json(&bench.rows));
    }
    Ok(())
}

/// How much is done.
struct Plan {
    rounds: usize,
    /// Bytes of one large transfer; each of four streams moves half.
    large: usize,
    logins: usize,
    login_time: Duration,
    /// Sessions of a hundred small files each.
    file_sessions: usize,
    round_trips: usize,
    sessions: usize,
    peer_sessions: usize,
}

impl Plan {
    const FULL: Self = Self {
        rounds: 5,
        large: 1 << 30,
        logins: 200,
        login_time: Duration::from_secs(3),
        file_sessions: 5,
        round_trips: 10_000,
        sessions: 1000,
        peer_sessions: 100,
    };
    const QUICK: Self = Self {
        rounds: 3,
        large: 256 << 20,
        logins: 100,
        login_time: Duration::from_secs(1),
        file_sessions: 2,
        round_trips: 2000,
        sessions: 500,
        peer_sessions: 20,
    };
}

/// Both gateways, in front of one backend.
struct Contest {
    backend: Backend,
    identity: ftpsgate_certs::Issued,
    authority: Authority,
    gateway: Gateway,
    /// Of our listeners: the log that told them keeps the latest lines only.
    private: SocketAddr,
    clear: SocketAddr,
    peer: Option<ModProxy>,
    state: tempfile::TempDir,
}

impl Contest {
    fn start() -> Result<Self, Box<dyn Error>> {
        let backend = Backend::start()?;
        let state = tempfile::tempdir()?;
        let authority = Authority::open_or_create(state.path())?;
        let identity = authority.issue(&[SubjectName::address([127, 0, 0, 1].into())], 7)?;
        let pem = Identity {
            chain: &identity.chain_pem,
            key: identity.key_pem.expose(),
            root: authority.root_pem(),
        };
        let peer = ModProxy::start(backend.address(), BackendTls::Off, &pem)
            .inspect_err(|error| eprintln!("no peer to compare with: {error}"));
        let clear = ListenerOptions::explicit(CLEAR).keys("require_tls = \"login\"");
        let gateway = Gateway::start(GatewayOptions::explicit(backend.address()).listener(clear));
        let (private, clear) = (gateway.address("explicit"), gateway.address(CLEAR));
        Ok(Self { private, clear, gateway, peer: peer.ok(), backend, identity, authority, state })
    }

    fn ours(&self) -> Subject {
        Subject { address: self.private, pid: self.gateway.pid() }
    }

    fn theirs(&self) -> Option<Subject> {
        self.peer.as_ref().map(|peer| Subject { address: peer.address(), pid: peer.pid() })
    }
}

struct Bench {
    contest: Contest,
    plan: Plan,
    wanted: Vec<String>,
    is_json: bool,
    rows: Vec<Row>,
}

/// One round's figure of one subject.
type Work<'work, T> = &'work dyn Fn(Subject) -> io::Result<T>;

impl Bench {
    fn transfers(&mut self) -> io::Result<()> {
        let large = self.plan.large;
        for (work, direction, streams, length, goal) in [
            ("download, 1 stream", Direction::Download, 1, large, 0.70),
            ("upload, 1 stream", Direction::Upload, 1, large, 0.35),
            ("download, 4 streams", Direction::Download, 4, large / 2, 0.80),
            ("upload, 4 streams", Direction::Upload, 4, large / 2, 0.45),
        ] {
            if self.wants(work) {
                let transfer =
                    |subject: Subject| subject.transfer(direction, streams, length, Protection::Private);
                let (ours, theirs) = self.compare(&transfer)?;
                self.row(work, "CPU s/GiB", ours, theirs, Goal::AtMost(goal), |cost| *cost);
            }
        }
        Ok(())
    }

    /// TLS on both sides, in processes of their own.
    fn ftps_backend(&mut self) -> Result<(), Box<dyn Error>> {
        let works = [
            ("FTPS backend, download", Direction::Download, 0.65),
            ("FTPS backend, upload", Direction::Upload, 0.45),
        ];
        if !works.iter().any(|(work, ..)| self.wants(work)) {
            return Ok(());
        }
        let Contest { identity, authority, state, .. } = &self.contest;
        let (chain, key) = (&*identity.chain_pem, identity.key_pem.expose());
        let identity = Identity { chain, key, root: authority.root_pem() };
        let backend = Backend::start_with_tls(&identity)?;
        let root = state.path().join("backend-root.pem");
        std::fs::write(&root, authority.root_pem())?;
        let keys = format!("tls = \"explicit\"\ntls_ca = {root:?}");
        let gateway = Gateway::start(GatewayOptions::explicit(backend.address()).backend_keys(&keys));
        let ours = Subject { address: gateway.address("explicit"), pid: gateway.pid() };
        let peer = match self.contest.peer {
            Some(_) => Some(ModProxy::start(backend.address(), BackendTls::Explicit, &identity)?),
            None => None,
        };
        let theirs = peer.as_ref().map(|peer| Subject { address: peer.address(), pid: peer.pid() });
        let large = self.plan.large;
        for (work, direction, goal) in works {
            if self.wants(work) {
                let transfer = |subject: Subject| subject.transfer(direction, 1, large, Protection::Private);
                let (ours, theirs) = compare(self.plan.rounds, ours, theirs, &transfer)?;
                self.row(work, "CPU s/GiB", ours, theirs, Goal::AtMost(goal), |cost| *cost);
            }
        }
        Ok(())
    }

    fn logins(&mut self) -> io::Result<()> {
        let (count, duration) = (self.plan.logins, self.plan.login_time);
        if self.wants("login, CPU") {
            let (ours, theirs) = self.compare(&|subject| subject.login_cpu(count))?;
            self.row("login, CPU", "ms", ours, theirs, Goal::AtMost(0.10), |cost| *cost);
        }
        if self.wants("logins, 32 clients") {
            let (ours, theirs) = self.compare(&|subject| subject.login_rate(duration))?;
            self.row("logins, 32 clients", "1/s", ours, theirs, Goal::AtLeast(10.0), |rate| *rate);
        }
        Ok(())
    }

    fn files(&mut self) -> io::Result<()> {
        let count = self.plan.file_sessions;
        for (cpu, rate, direction) in [
            ("4 KiB get, resumed, CPU", "4 KiB get, resumed, rate", Direction::Download),
            ("4 KiB put, resumed (TLS 1.2), CPU", "4 KiB put, resumed (TLS 1.2), rate", Direction::Upload),
        ] {
            if self.wants(cpu) || self.wants(rate) {
                let (ours, theirs) = self.compare(&|subject| subject.files(direction, count))?;
                self.row(cpu, "ms", ours.clone(), theirs.clone(), Goal::AtMost(0.45), |files| files.cpu_ms);
                self.row(rate, "1/s", ours, theirs, Goal::AtLeast(1.4), |files| files.rate);
            }
        }
        Ok(())
    }

    fn round_trips(&mut self) -> io::Result<()> {
        if self.wants("NOOP") {
            let count = self.plan.round_trips;
            let (ours, theirs) = self.compare(&|subject| subject.round_trips(count))?;
            let (p50, p99) = (Goal::AtMost(0.6), Goal::AtMost(0.8));
            self.row("NOOP, p50", "µs", ours.clone(), theirs.clone(), p50, |times| times.p50);
            self.row("NOOP, p99", "µs", ours, theirs, p99, |times| times.p99);
        }
        Ok(())
    }

    /// PROT C; its peer is no gateway but a copy.
    fn clear(&mut self) -> io::Result<()> {
        const WORK: &str = "download, PROT C (peer: plain copy)";
        if !self.wants(WORK) {
            return Ok(());
        }
        let large = self.plan.large;
        let copy = PlainCopy::start(large)?;
        let gateway = Subject { address: self.contest.clear, ..self.contest.ours() };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.plan.rounds {
            ours.push(gateway.transfer(Direction::Download, 1, large, Protection::Clear)?);
            let before = process::cpu_seconds(copy.pid())?;
            let received = copy.get()?;
            let seconds = process::cpu_seconds(copy.pid())? - before;
            theirs.push(seconds / received as f64 * (1u64 << 30) as f64);
        }
        self.row(WORK, "CPU s/GiB", ours, Some(theirs), Goal::AtMost(0.65), |cost| *cost);
        Ok(())
    }

    /// In processes of their own: what a process has done before shows in its memory.
    fn memory(&mut self) -> Result<(), Box<dyn Error>> {
        if !self.wants("memory") {
            return Ok(());
        }
        let Contest { backend, identity, authority, .. } = &self.contest;
        let gateway = Gateway::start(GatewayOptions::explicit(backend.address()));
        let subject = Subject { address: gateway.address("explicit"), pid: gateway.pid() };
        let ours = subject.memory(backend, self.plan.sessions)?;
        let mut theirs = None;
        if self.contest.peer.is_some() {
            let (chain, key) = (&*identity.chain_pem, identity.key_pem.expose());
            let peer = ModProxy::start(
                backend.address(),
                BackendTls::Off,
                &Identity { chain, key, root: authority.root_pem() },
            )?;
            let subject = Subject { address: peer.address(), pid: peer.pid() };
            theirs = Some(vec![subject.memory(backend, self.plan.peer_sessions)?.idle]);
        }
        let (idle, kept) = (Goal::AtMost(1.0 / 64.0), Goal::Own(4.0));
        self.row("memory, PSS of an idle session", "KiB", vec![ours.idle], theirs, idle, |kib| *kib);
        self.row("memory, kept of a closed session", "KiB", vec![ours.kept], None, kept, |kib| *kib);
        Ok(())
    }

    fn wants(&self, work: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| work.contains(wanted.as_str()))
    }

    fn compare<T>(&self, work: Work<'_, T>) -> io::Result<(Vec<T>, Option<Vec<T>>)> {
        compare(self.plan.rounds, self.contest.ours(), self.contest.theirs(), work)
    }

    fn row<T>(
        &mut self,
        work: &'static str,
        unit: &'static str,
        ours: Vec<T>,
        theirs: Option<Vec<T>>,
        goal: Goal,
        figure: impl Fn(&T) -> f64,
    ) {
        let middle = |figures: Vec<T>| median(figures.iter().map(&figure).collect());
        let row = Row { work, unit, ours: middle(ours), theirs: theirs.map(middle), goal };
        if !self.is_json {
            println!("{row}");
        }
        self.rows.push(row);
    }
}

/// Rounds by turns, so that neither always goes first.
fn compare<T>(
    rounds: usize,
    ours: Subject,
    theirs: Option<Subject>,
    work: Work<'_, T>,
) -> io::Result<(Vec<T>, Option<Vec<T>>)> {
    let (mut our_figures, mut their_figures) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for turn in [round % 2, 1 - round % 2] {
            match (turn, theirs) {
                (0, _) => our_figures.push(work(ours)?),
                (_, Some(theirs)) => their_figures.push(patiently(|| work(theirs))?),
                (_, None) => {}
            }
        }
    }
    Ok((our_figures, theirs.map(|_| their_figures)))
}

/// ProFTPD's sessions crash now and then; that is not to end the measurement.
fn patiently<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    (1..PATIENCE).find_map(|_| work().ok()).map_or_else(work, Ok)
}

const PATIENCE: usize = 5;

/// The listener on which data may go in clear.
const CLEAR: &str = "clear";

/// Every session of the memory measurement has two sockets here and two in its gateway.
fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}
