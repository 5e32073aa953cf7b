//! The peer: ProFTPD with mod_proxy as a reverse FTPS proxy before a plain backend, or one under TLS.
//!
//! It is configured so that it does well: its usual log of transfers only, no lookups, one small CA file (the system's bundle costs it 20 ms
//! of every session), no delay engine.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ftpsgate_tests::gateway::target_directory;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A running ProFTPD; it ends when this is dropped.
pub(super) struct ModProxy {
    master: Child,
    address: SocketAddr,
    _directory: TempDir,
}

/// What it speaks with its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackendTls {
    /// Plain FTP.
    Off,
    /// AUTH TLS.
    Explicit,
}

/// What it shows its clients, in PEM.
pub(super) struct Identity<'pem> {
    /// The certificate.
    pub(super) chain: &'pem str,
    /// Its key.
    pub(super) key: &'pem str,
    /// Who issued it.
    pub(super) root: &'pem str,
}

impl ModProxy {
    /// Starts it in front of `backend`.
    pub(super) fn start(backend: SocketAddr, tls: BackendTls, identity: &Identity<'_>) -> io::Result<Self> {
        let root = root()?;
        let directory = tempfile::Builder::new().prefix("ftpsgate-bench-").tempdir()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("tables"))?;
        fs::write(path("chain.pem"), identity.chain)?;
        fs::write(path("root.pem"), identity.root)?;
        fs::write(path("key.pem"), identity.key)?;
        fs::set_permissions(path("key.pem"), std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        fs::write(path("proftpd.conf"), configuration(&root, directory.path(), address, backend, tls))?;

        let master = Command::new(root.join("usr/sbin/proftpd"))
            .args(["--nodaemon", "--quiet", "--config"])
            .arg(path("proftpd.conf"))
            .env("LD_LIBRARY_PATH", libraries(&root))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(path("stderr"))?)
            .spawn()?;
        let mut peer = Self { master, address, _directory: directory };
        let deadline = Instant::now() + START_PATIENCE;
        while TcpStream::connect(address).is_err() {
            if peer.master.try_wait()?.is_some() || Instant::now() > deadline {
                let complaint = fs::read_to_string(peer._directory.path().join("stderr"))?;
                return Err(io::Error::other(format!("proftpd does not start: {complaint}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its first process, parent of one process a session.
    pub(super) fn pid(&self) -> u32 {
        self.master.id()
    }
}

impl Drop for ModProxy {
    fn drop(&mut self) {
        // ProFTPD's sessions end with it, by its own signal handler.
        let _ = kill_process(Pid::from_child(&self.master), Signal::TERM);
        let _ = self.master.wait();
    }
}

/// The system's own ProFTPD if it has mod_proxy; else one that is unpacked below the target folder.
fn root() -> io::Result<PathBuf> {
    let module = "usr/lib/proftpd/mod_proxy.so";
    let folder = target_directory().join("peers-mod-proxy");
    let unpacked = folder.join("root");
    if let Some(root) = [Path::new("/"), &unpacked].into_iter().find(|root| root.join(module).is_file()) {
        return Ok(root.to_owned());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gateway/unpack-mod-proxy");
    if !Command::new(script).arg(&folder).status()?.success() || !unpacked.join(module).is_file() {
        return Err(io::Error::other("ProFTPD's mod_proxy is neither installed nor to be had by apt-get"));
    }
    Ok(unpacked)
}

/// `LD_LIBRARY_PATH`
fn libraries(root: &Path) -> String {
    let folders = fs::read_dir(root.join("usr/lib")).into_iter().flatten().flatten();
    let folders = folders.filter(|folder| folder.file_name().to_string_lossy().contains("-linux-"));
    let paths = folders.flat_map(|folder| [root.join("lib").join(folder.file_name()), folder.path()]);
    paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}

fn configuration(
    root: &Path,
    directory: &Path,
    address: SocketAddr,
    backend: SocketAddr,
    tls: BackendTls,
) -> String {
    let proxy_tls = match tls {
        BackendTls::Off => "off",
        BackendTls::Explicit => "on",
    };
    let (ip, port) = (address.ip(), address.port());
    let modules = root.join("usr/lib/proftpd");
    let (modules, directory) = (modules.display(), directory.display());
    let account = if rustix::process::geteuid().is_root() { "User nobody\nGroup nogroup\n" } else { "" };
    format!(
        "\
ServerName bench
ServerType standalone
DefaultAddress {ip}
SocketBindTight on
Port {port}
UseIPv6 off
UseReverseDNS off
{account}MaxInstances 1000
PidFile {directory}/pid
ScoreboardFile {directory}/scoreboard
DelayEngine off
WtmpLog off
TransferLog {directory}/transfers
SystemLog none
TimeoutIdle 0
TimeoutNoTransfer 0
ModulePath {modules}
LoadModule mod_tls.c
LoadModule mod_proxy.c
TLSEngine on
TLSProtocol TLSv1.2 TLSv1.3
TLSECCertificateFile {directory}/chain.pem
TLSECCertificateKeyFile {directory}/key.pem
TLSCACertificateFile {directory}/root.pem
TLSVerifyClient off
TLSLog none
ProxyEngine on
ProxyRole reverse
ProxyReverseServers ftp://{backend}
ProxyTables {directory}/tables
ProxyLog none
ProxyTLSEngine {proxy_tls}
ProxyTLSCACertificateFile {directory}/root.pem
"
    )
}

const START_PATIENCE: Duration = Duration::from_secs(15);
