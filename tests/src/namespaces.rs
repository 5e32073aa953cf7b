//! Networks that only a test can see: network namespaces, joined by pairs of virtual cards.
//!
//! A namespace lives as long as its [`Namespace`], or a process or socket in it: nothing has a name on the machine,
//! and nothing is left when a test panics or is killed. A thread enters with [`Namespace::enter`]; the threads and
//! processes that it starts, a gateway for instance, are inside too.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// One network.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// A network with nothing but a loopback card.
    ///
    /// # Panics
    ///
    /// If this is not root's process, or the kernel does not let it; see [`prepare`].
    pub fn new() -> Self {
        let namespace = try_new().expect("`prepare` has seen that namespaces can be made");
        namespace.run("ip", &["link", "set", "lo", "up"]);
        // An address may be used at once, without the search for another who has it.
        namespace.run("sysctl", &["-qw", "net.ipv6.conf.default.accept_dad=0"]);
        namespace
    }

    /// Joins two networks by one cable; `here` and `there` are the addresses of its ends, `ADDRESS/BITS`, any number
    /// on each end and of any family. The cards have the name `name` on both ends.
    ///
    /// # Panics
    ///
    /// If `ip` does not do it.
    pub fn join(&self, other: &Self, name: &str, here: &[&str], there: &[&str]) {
        let path = format!("/proc/{}/fd/{}", std::process::id(), other.handle.as_raw_fd());
        self.run("ip", &["link", "add", name, "type", "veth", "peer", "name", name, "netns", &path]);
        for (namespace, addresses) in [(self, here), (other, there)] {
            for address in addresses {
                match address.contains(':') {
                    true => namespace.run("ip", &["addr", "add", address, "dev", name, "nodad"]),
                    false => namespace.run("ip", &["addr", "add", address, "dev", name]),
                }
            }
            namespace.run("ip", &["link", "set", name, "up"]);
        }
    }

    /// Does something inside, on a thread of its own.
    ///
    /// # Panics
    ///
    /// If `work` panics.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("namespace").to_owned();
        std::thread::scope(|scope| {
            let inside = std::thread::Builder::new().name(name).spawn_scoped(scope, || {
                move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter its own namespace");
                work()
            });
            match inside.expect("a thread can be started").join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Sets nftables rules, in place of all that are there.
    ///
    /// # Panics
    ///
    /// If `nft` refuses them.
    pub fn firewall(&self, rules: &str) {
        let status = self.enter(|| {
            let mut nft =
                Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft starts");
            let mut stdin = nft.stdin.take().expect("standard input is piped");
            write!(stdin, "flush ruleset\n{rules}\n").expect("nft reads its rules");
            drop(stdin);
            nft.wait().expect("a child can be waited for")
        });
        assert!(status.success(), "nft refuses {rules}");
    }

    /// Lets new TCP connections through to this port only; what is open stays open.
    ///
    /// # Panics
    ///
    /// As [`Namespace::firewall`].
    pub fn firewall_all_but(&self, port: u16) {
        self.firewall(&format!(
            "table inet test {{ chain input {{ type filter hook input priority 0; policy accept;
             tcp flags & (syn | ack) == syn tcp dport != {port} drop; }}\n}}"
        ));
    }

    /// Lets everything through again.
    ///
    /// # Panics
    ///
    /// As [`Namespace::firewall`].
    pub fn open_firewall(&self) {
        self.firewall("");
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.enter(|| {
            Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("the program starts")
        });
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {complaint}");
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether namespaces can be made here. Where they cannot, one line on standard error says which test was skipped, and
/// why: `tests/run` counts those lines.
pub fn prepare() -> bool {
    let reason = match missing() {
        None => return true,
        Some(reason) => reason,
    };
    crate::peers::skip(&reason);
    false
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root, for network namespaces".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = |program: &&str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if let Some(absent) = ["ip", "nft", "sysctl", "unshare"].iter().find(|program| !on_path(program)) {
        return Some(format!("{absent} is not installed; run tests/run"));
    }
    try_new().err().map(|error| format!("needs the right to make network namespaces: {error}"))
}

/// A process makes the namespace; the open file keeps it when that process has ended.
fn try_new() -> std::io::Result<Namespace> {
    let mut maker = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo made; read _"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = String::new();
    let read = BufReader::new(maker.stdout.take().expect("standard output is piped")).read_line(&mut line);
    let handle = match read {
        Ok(1..) => File::open(format!("/proc/{}/ns/net", maker.id())),
        Ok(0) => Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied)),
        Err(error) => Err(error),
    };
    drop(maker.stdin.take());
    maker.wait()?;
    Ok(Namespace { handle: handle? })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn two_namespaces_see_each_other_and_nobody_else() {
        if !prepare() {
            return;
        }
        let (one, other) = (Namespace::new(), Namespace::new());
        one.join(&other, "cable", &["10.9.0.1/24", "fd09::1/64"], &["10.9.0.2/24", "fd09::2/64"]);
        for address in ["10.9.0.2:0", "[fd09::2]:0"] {
            let listener = other.enter(|| TcpListener::bind(address).unwrap());
            let address = listener.local_addr().unwrap();
            assert!(one.enter(|| TcpStream::connect(address)).is_ok());
            other.firewall_all_but(address.port());
            assert!(one.enter(|| TcpStream::connect(address)).is_ok());
            other.open_firewall();
        }
        assert!(TcpListener::bind("10.9.0.2:0").is_err(), "the machine itself has no such address");
    }
}
