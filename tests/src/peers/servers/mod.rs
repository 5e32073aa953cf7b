//! The three FTP servers, run unmodified, plain or under TLS, on a port of the kernel's choice.
//!
//! Each runs in the foreground as the first process of a mount and process namespace of its own (see
//! `tests/peers/supervise`): its account exists only there, and when the [`Server`] is dropped, or the test
//! process dies, the kernel ends it with all its children. Its folder goes with it.

mod proftpd;
mod pure_ftpd;
mod vsftpd;

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::packages;
use crate::authority::Authority;
use crate::client::{ClientStream, TlsSetup, TlsVersion};
use crate::gateway::target_directory;

/// The user who may log in.
pub const USER: &str = "tester";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// vsftpd 3.0, by Chris Evans.
    Vsftpd,
    /// ProFTPD 1.3.
    ProFtpd,
    /// Pure-FTPd 1.0.
    PureFtpd,
}

/// What the server itself offers: everything or nothing under TLS, as strictly as the server can be told. Which version
/// is spoken is up to who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTls {
    /// Plain FTP.
    Off,
    /// AUTH TLS; logins in clear are refused, and on vsftpd and ProFTPD data connections that do not resume.
    Explicit,
    /// The same with the first byte. Pure-FTPd has it not.
    Implicit,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    kind: ServerKind,
    tls: ServerTls,
    address: SocketAddr,
    supervisor: Child,
    directory: TempDir,
}

impl ServerKind {
    /// The server's program, within [`packages::root`].
    pub fn program(self) -> &'static str {
        match self {
            Self::Vsftpd => "usr/sbin/vsftpd",
            Self::ProFtpd => "usr/sbin/proftpd",
            Self::PureFtpd => "usr/sbin/pure-ftpd",
        }
    }

    /// What it can offer.
    pub fn offers(self) -> &'static [ServerTls] {
        match self {
            Self::Vsftpd | Self::ProFtpd => &[ServerTls::Off, ServerTls::Explicit, ServerTls::Implicit],
            Self::PureFtpd => &[ServerTls::Off, ServerTls::Explicit],
        }
    }

    /// Whether it knows MLSD.
    pub fn lists_facts(self) -> bool {
        match self {
            Self::Vsftpd => false,
            Self::ProFtpd | Self::PureFtpd => true,
        }
    }

    /// A word of its greeting.
    fn greeting(self) -> &'static str {
        match self {
            Self::Vsftpd => "vsFTPd",
            Self::ProFtpd => "ProFTPD",
            Self::PureFtpd => "Pure-FTPd",
        }
    }

    /// Writes the configuration, and gives the command line.
    fn configure(self, tls: ServerTls, site: &Site<'_>) -> Command {
        match self {
            Self::Vsftpd => vsftpd::configure(tls, site),
            Self::ProFtpd => proftpd::configure(tls, site),
            Self::PureFtpd => pure_ftpd::configure(tls, site),
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Vsftpd => "vsftpd",
            Self::ProFtpd => "proftpd",
            Self::PureFtpd => "pure-ftpd",
        })
    }
}

impl Server {
    /// Starts a server and waits for its greeting.
    ///
    /// # Panics
    ///
    /// If it does not greet on any of the ports that were tried.
    pub fn start(kind: ServerKind, tls: ServerTls, password: &str) -> Self {
        (0..START_ATTEMPTS)
            .find_map(|_| Self::try_start(kind, tls, password))
            .unwrap_or_else(|| panic!("{kind} did not start in {START_ATTEMPTS} attempts"))
    }

    /// The plain server that the tests of one process share; it ends with the last who holds it.
    pub fn shared(kind: ServerKind, password: &str) -> Arc<Self> {
        Self::shared_with(kind, ServerTls::Off, password)
    }

    /// The same with TLS of its own.
    pub fn shared_with(kind: ServerKind, tls: ServerTls, password: &str) -> Arc<Self> {
        static SHARED: Mutex<[Weak<Server>; 9]> = Mutex::new([const { Weak::new() }; 9]);
        // A test that failed while it started a server leaves nothing half made behind.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut shared[kind as usize * 3 + tls as usize];
        slot.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start(kind, tls, password));
            *slot = Arc::downgrade(&server);
            server
        })
    }

    /// Which server this is.
    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// What it offers.
    pub fn tls(&self) -> ServerTls {
        self.tls
    }

    /// The root that its certificate leads to, for `tls_ca`.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Stops all of its processes (SIGSTOP). Those that a session begins at the very moment may escape.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        for pid in descendants(self.supervisor.id()) {
            // A process that serves one session may have ended since it was seen.
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, signal));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder that its user sees as `/`.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Makes a folder that the server's user owns, and gives its name below [`Server::root`].
    ///
    /// # Panics
    ///
    /// If the folder cannot be made.
    pub fn make_folder(&self) -> String {
        let folder = tempfile::Builder::new().prefix("test-").tempdir_in(self.root()).expect("a folder");
        give_away(folder.path());
        let path = folder.keep();
        path.file_name().and_then(|name| name.to_str()).expect("a name of ASCII letters").to_owned()
    }

    fn try_start(kind: ServerKind, tls: ServerTls, password: &str) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("ftpsgate-server-").tempdir().expect("a folder");
        let address = free_address();
        let site = Site { directory: directory.path(), address, hash: hash(password) };
        site.furnish();
        site.certify();
        let command = kind.configure(tls, &site);
        let supervisor = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .arg(packages::script("supervise"))
            .arg(directory.path())
            .arg(command.get_program())
            .args(command.get_args())
            .env("LD_LIBRARY_PATH", packages::library_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log_file(kind))
            .spawn()
            .expect("unshare is a part of every Debian system");
        let mut server = Self { kind, tls, address, supervisor, directory };
        server.wait_greeting().then_some(server)
    }

    /// Whether the server greets; not so if it ended, as it does where another took its port.
    fn wait_greeting(&mut self) -> bool {
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            if self.supervisor.try_wait().expect("a child can be asked").is_some() {
                return false;
            }
            if greeting(self.address, self.tls).is_some_and(|line| line.contains(self.kind.greeting())) {
                return true;
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.thaw();
        // The end of its standard input is what the first process of the namespace waits for.
        drop(self.supervisor.stdin.take());
        // A failure would mean that it has been waited for.
        let _ = self.supervisor.wait();
    }
}

/// The folder that one server is given.
struct Site<'a> {
    directory: &'a Path,
    address: SocketAddr,
    /// The password as `crypt` hashes it.
    hash: String,
}

impl Site<'_> {
    /// The path of `name` in the folder, as configuration files write it.
    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Writes a file that root alone may read, as servers ask of their password files.
    fn write(&self, name: &str, text: &str) {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().expect("the path is within the folder")).expect("a folder");
        fs::write(&path, text).expect("the folder can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is our own file");
    }

    /// A line of `passwd` with `password` in the second field.
    fn account(&self, password: &str) -> String {
        format!("{USER}:{password}:{USER_ID}:{USER_ID}::{}:/bin/sh\n", self.path("root"))
    }

    /// `ca.pem`, `server.pem`, `server.key`, and both of the server's in `both.pem`.
    fn certify(&self) {
        let identity = authority().server();
        self.write("ca.pem", authority().root_pem());
        self.write("server.pem", identity.certificate_pem());
        self.write("server.key", identity.key_pem());
        self.write("both.pem", &format!("{}{}", identity.key_pem(), identity.certificate_pem()));
    }

    fn furnish(&self) {
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.directory, everybody).expect("it is our own folder");
        let root = self.directory.join("root");
        fs::create_dir(&root).expect("the folder can be written");
        give_away(&root);
    }
}

/// An id that no package claims.
const USER_ID: u32 = 47_021;

/// For lost races about ports.
const START_ATTEMPTS: u32 = 5;

const START_PATIENCE: Duration = Duration::from_secs(15);

fn give_away(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is our own folder");
    give_entry(path);
}

/// Makes the servers' user the owner of a file, a folder, or a link itself.
pub(crate) fn give_entry(path: &Path) {
    lchown(path, Some(USER_ID), Some(USER_ID)).expect("root may give things away");
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    listener.local_addr().expect("a bound socket has an address")
}

/// `target/test-logs/SERVER-PID-NUMBER.log`
fn log_file(kind: ServerKind) -> File {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let folder = target_directory().join("test-logs");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{kind}-{}-{number}.log", std::process::id()));
    File::create(path).expect("the target folder can be written")
}

/// Of all real servers.
fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(Authority::new)
}

/// The children of a process, and theirs; not the process itself.
fn descendants(pid: u32) -> Vec<u32> {
    let tasks = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(tasks).unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child: u32| std::iter::once(child).chain(descendants(child))).collect()
}

fn greeting(address: SocketAddr, tls: ServerTls) -> Option<String> {
    let stream = TcpStream::connect_timeout(&address, START_PATIENCE).ok()?;
    stream.set_read_timeout(Some(START_PATIENCE)).expect("a timeout above zero");
    let mut stream = ClientStream::plain(stream);
    if tls == ServerTls::Implicit {
        stream.start_tls(&TlsSetup::trusting(authority().root_pem(), TlsVersion::Tls12)).ok()?;
    }
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line)
}

/// The hash of a password, as all three servers understand it.
fn hash(password: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["passwd", "-6", "-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is installed, `packages::missing` has seen it");
    let mut stdin = openssl.stdin.take().expect("standard input is piped");
    stdin.write_all(password.as_bytes()).expect("openssl reads the password");
    drop(stdin);
    let output = openssl.wait_with_output().expect("openssl ends");
    String::from_utf8(output.stdout).expect("a hash is ASCII").trim().to_owned()
}
