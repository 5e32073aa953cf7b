//! One running gateway: the built `ftpsgate` binary under a configuration in a temporary folder.
//!
//! The log of the process is the only channel from it to a test: ports are learned from `listening` events,
//! and what happened is awaited with [`Gateway::wait_event`], always under a deadline. When a [`Gateway`] is
//! dropped its process ends, its folder goes, and its whole output is searched for [`CANARY`] and for panics. The
//! output itself stays in `target/test-logs/`, where a failed test's reader finds it.

mod binary;
mod log;
mod options;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tempfile::TempDir;

pub use self::binary::{binary, target_directory};
pub use self::log::{Event, Log};
pub use self::options::{GatewayOptions, ListenerOptions};

/// The password of every test login. It must never stand in anything that the gateway writes.
pub const CANARY: &str = "canary-5JqX0vRz-never-to-be-logged";

/// How long a test waits for what should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running gateway process.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    exit: Option<ExitStatus>,
    log: Log,
    directory: TempDir,
    config_file: PathBuf,
    ca_root: OnceLock<String>,
}

impl Gateway {
    /// Starts a gateway and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not become ready within [`PATIENCE`].
    pub fn start(options: impl Into<GatewayOptions>) -> Self {
        let gateway = Self::spawn(options);
        gateway.wait_named("ready", PATIENCE);
        gateway
    }

    /// Starts a gateway without waiting for anything, as for one whose start is meant to fail.
    ///
    /// # Panics
    ///
    /// If the process cannot be started at all.
    pub fn spawn(options: impl Into<GatewayOptions>) -> Self {
        let mut options = options.into();
        let directory =
            tempfile::Builder::new().prefix("ftpsgate-test-").tempdir().expect("a temporary folder");
        let config_file = directory.path().join("ftpsgate.toml");
        write_config(&config_file, &options.toml(directory.path()));

        let mut command = command(&config_file, std::mem::take(&mut options.sockets));
        command.stderr(Stdio::piped());
        for name in CLEARED_VARIABLES {
            command.env_remove(name);
        }
        command.envs(options.environment);
        let mut child = command.spawn().expect("the gateway's binary starts");
        let stderr = child.stderr.take().expect("standard error is piped");
        let stdout = child.stdout.take();
        let log = Log::collect(&log_file(), stderr, stdout);
        Self { child, exit: None, log, directory, config_file, ca_root: OnceLock::new() }
    }

    /// The address on which a listener, by its name, accepts control connections.
    ///
    /// # Panics
    ///
    /// If there is no such listener within [`PATIENCE`].
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.listening(listener, "control", 0)
    }

    /// The first address of a listener that was announced after [`Log::mark`] stood at `mark`; for reloads.
    ///
    /// # Panics
    ///
    /// If there is none within [`PATIENCE`].
    pub fn address_since(&self, listener: &str, mark: usize) -> SocketAddr {
        self.listening(listener, "control", mark)
    }

    /// All ports that the gateway holds ready for data connections so far.
    pub fn data_ports(&self) -> Vec<u16> {
        self.events()
            .iter()
            .filter(|event| event.is("listening") && event.text("channel") == "data")
            .map(|event| event.address("address").port())
            .collect()
    }

    /// The local CA's root certificate, PEM, as `ftpsgate ca root` prints it.
    ///
    /// # Panics
    ///
    /// If that verb fails.
    pub fn ca_root_pem(&self) -> &str {
        self.ca_root.get_or_init(|| {
            let output = Command::new(binary())
                .args(["ca", "root", "-c"])
                .arg(&self.config_file)
                .stdin(Stdio::null())
                .output()
                .expect("the gateway's binary starts");
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "`ca root` failed: {complaint}");
            String::from_utf8(output.stdout).expect("PEM is ASCII")
        })
    }

    /// Everything the process logged so far; the oldest are dropped where a test lets it log very much.
    pub fn events(&self) -> Vec<Event> {
        self.log.events()
    }

    /// The log itself, for [`Log::mark`] and [`Log::wait_since`].
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The first event that fulfils `predicate`, past or future.
    ///
    /// # Panics
    ///
    /// If none came within `patience`.
    pub fn wait_event(&self, predicate: impl Fn(&Event) -> bool, patience: Duration) -> Event {
        self.log.wait_since(0, predicate, patience).unwrap_or_else(|| {
            panic!("no such event within {patience:?}; the log ends so:\n{}", self.log.tail(40))
        })
    }

    /// The first event of this name, past or future.
    ///
    /// # Panics
    ///
    /// If none came within `patience`.
    pub fn wait_named(&self, name: &str, patience: Duration) -> Event {
        self.log.wait_since(0, |event| event.is(name), patience).unwrap_or_else(|| {
            panic!("no event `{name}` within {patience:?}; the log ends so:\n{}", self.log.tail(40))
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of the configuration, for certificates and the like.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration that the process reads, also on [`Gateway::sighup`].
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// Replaces the configuration; the process learns of it by [`Gateway::sighup`].
    ///
    /// # Panics
    ///
    /// If the file cannot be written.
    pub fn rewrite_config(&self, options: impl Into<GatewayOptions>) {
        write_config(&self.config_file, &options.into().toml(self.directory.path()));
    }

    /// Asks for a reload.
    pub fn sighup(&self) {
        self.signal(Signal::HUP);
    }

    /// Asks for a drain; the second time for an end.
    pub fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    /// The exit status, once the process has ended.
    ///
    /// # Panics
    ///
    /// If it did not end within `patience`.
    pub fn wait_exit(&mut self, patience: Duration) -> ExitStatus {
        if let Some(status) = self.exit {
            return status;
        }
        // The log ends when the process does: waiting for that needs no polling.
        let ended = self.log.wait_end(patience);
        assert!(
            ended,
            "the gateway did not end within {patience:?}; its log ends so:\n{}",
            self.log.tail(40)
        );
        let status = self.child.wait().expect("a child can be waited for");
        self.exit = Some(status);
        status
    }

    /// Resident memory of the process in bytes, without the pages of its binary.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process lives");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux says RssAnon");
        let kibibytes: u64 = line
            .split_ascii_whitespace()
            .nth(1)
            .expect("RssAnon has a value")
            .parse()
            .expect("RssAnon is a number");
        kibibytes * 1024
    }

    /// How many files and sockets the process has open.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn open_descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process lives").count()
    }

    /// How many files and sockets the process may have open from now on.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn limit_descriptors(&self, limit: usize) {
        let limit = Rlimit { current: Some(limit as u64), maximum: getrlimit(Resource::Nofile).maximum };
        prlimit(Some(self.process()), Resource::Nofile, limit).expect("our own child can be limited");
    }

    /// How large a file the process may write from now on; `None`: any.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn limit_file_size(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: getrlimit(Resource::Fsize).maximum };
        prlimit(Some(self.process()), Resource::Fsize, limit).expect("our own child can be limited");
    }

    /// Processor time that the process has used.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn processor_time(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the process lives");
        // proc(5): the name, which is the second field, may hold blanks; utime is the 14th and stime the 15th.
        let (_, behind_name) = text.rsplit_once(')').expect("stat has a name in parentheses");
        let ticks: u64 = behind_name
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().expect("times are numbers"))
            .sum();
        // USER_HZ is 100 wherever this runs.
        Duration::from_millis(ticks * 10)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).expect("our own child can be signalled");
    }

    fn process(&self) -> Pid {
        i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id is positive")
    }

    fn listening(&self, listener: &str, channel: &str, mark: usize) -> SocketAddr {
        let wanted = |event: &Event| {
            event.is("listening") && event.text("listener") == listener && event.text("channel") == channel
        };
        self.log
            .wait_since(mark, wanted, PATIENCE)
            .unwrap_or_else(|| {
                panic!("`{listener}` does not listen; the log ends so:\n{}", self.log.tail(40))
            })
            .address("address")
    }

    fn end(&mut self) {
        if self.exit.is_none() {
            // It may have ended by itself; then there is nothing to kill.
            let _ = self.child.kill();
            self.exit = self.child.wait().ok();
        }
        self.log.wait_end(Duration::from_secs(5));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- the gateway's log ({}) ends so:", self.log.path().display());
            eprintln!("{}", self.log.tail(60));
        } else {
            assert_no_secret(self);
            assert_no_panic(self);
        }
    }
}

/// Insists that nothing in the process has panicked so far: nothing that a peer does may trip it.
fn assert_no_panic(gateway: &Gateway) {
    let output = std::fs::read(gateway.log.path()).expect("the log file stays");
    let found = output.windows(PANICKED.len()).any(|window| window == PANICKED);
    assert!(!found, "a panic stands in {}", gateway.log.path().display());
}

const PANICKED: &[u8] = b"panicked at";

/// Searches everything that this gateway wrote so far for [`CANARY`].
///
/// # Panics
///
/// If it is found.
pub fn assert_no_secret(gateway: &Gateway) {
    let output = std::fs::read(gateway.log.path()).expect("the log file stays");
    let found = output.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
    assert!(!found, "a password stands in {}", gateway.log.path().display());
}

/// Waits until `condition` holds, for what no event announces (a peer's record, a counter in `/proc`).
///
/// # Panics
///
/// If it does not hold within [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// What a service manager or a developer's shell may have set, and would change a test.
const CLEARED_VARIABLES: [&str; 7] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "RUST_LOG",
];

/// The command line; with `sockets` (at most two) they become descriptors 3 and 4, as a service manager
/// hands them over, and `LISTEN_PID` is right.
fn command(config_file: &Path, sockets: Vec<OwnedFd>) -> Command {
    let count = sockets.len();
    let mut sockets = sockets.into_iter();
    let mut command = if count == 0 {
        let mut command = Command::new(binary());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    } else {
        assert!(count <= 2, "two sockets at most travel as standard input and output");
        let mut command = Command::new("sh");
        let script = if count == 1 {
            r#"LISTEN_PID=$$ exec "$0" "$@" 3<&0 0</dev/null"#
        } else {
            r#"LISTEN_PID=$$ exec "$0" "$@" 3<&0 4<&1 0</dev/null 1>/dev/null"#
        };
        command.args(["-c", script]).arg(binary());
        command.stdin(Stdio::from(sockets.next().expect("counted above")));
        command.stdout(sockets.next().map_or_else(Stdio::null, Stdio::from));
        command
    };
    command.args(["run", "-c"]).arg(config_file);
    command
}

fn write_config(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the temporary folder can be written");
}

/// `target/test-logs/TEST-PID-NUMBER.log`
fn log_file() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let directory = target_directory().join("test-logs");
    std::fs::create_dir_all(&directory).expect("the target folder can be written");
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed").replace("::", ".");
    directory.join(format!("{test}-{}-{number}.log", std::process::id()))
}
