//! A scripted FTP server that can do everything wrong.
//!
//! By default it behaves: files in memory, EPSV, PASV, EPRT and PORT, REST, ABOR in mid-transfer, one reply for each
//! command; with [`Script::tls`] AUTH, PBSZ and PROT, or TLS from the first byte. A test alters one step with [`Script::on`], and reads afterwards what reached the server from its
//! [`Record`]. Two things are checked of every gateway on every command: that the line is canonical,
//! and that none is sent before the last one was answered.
//!
//! ```no_run
//! use ftpsgate_tests::scripted::{Flow, Script, ScriptedServer};
//!
//! let server = ScriptedServer::start(Script::new().on("NOOP", |session, _| {
//!     session.reply("200 Fine")?;
//!     session.reply("200 And again")?;
//!     Ok(Flow::Continue)
//! }));
//! ```

mod commands;
mod data;
mod manner;
mod record;
mod security;
mod session;
mod stream;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

pub use self::data::ServerData;
use socket2::SockRef;

use self::manner::Manner;
pub use self::record::{Happening, Record, Upload};
pub use self::session::{Flow, ScriptedSession};
pub use self::tls::ScriptTls;

/// What a step of a script is: the session and the command's argument in, and what comes next out.
type Step = Box<dyn Fn(&mut ScriptedSession, &[u8]) -> std::io::Result<Flow> + Send + Sync>;

/// How a server behaves.
pub struct Script {
    greeting: Vec<u8>,
    greeting_pause: Option<Duration>,
    tells_features: bool,
    manner: Manner,
    tls: Option<ScriptTls>,
    steps: HashMap<&'static str, Step>,
    is_ordered: bool,
    files: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
}

impl Script {
    /// A server that behaves.
    pub fn new() -> Self {
        Self {
            greeting: GREETING.to_vec(),
            greeting_pause: None,
            tells_features: true,
            manner: Manner::ORDINARY,
            tls: None,
            steps: HashMap::new(),
            is_ordered: true,
            files: Mutex::default(),
        }
    }

    /// Says this instead of `220 Ready`; lines as they are.
    pub fn greeting(mut self, bytes: &[u8]) -> Self {
        self.tells_features = false;
        self.greeting = bytes.to_vec();
        self
    }

    /// Says it byte by byte, with this pause before each.
    pub fn greeting_slowly(mut self, pause: Duration) -> Self {
        self.tells_features = false;
        self.greeting_pause = Some(pause);
        self
    }

    /// Speaks TLS.
    pub fn tls(mut self, tls: ScriptTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Has a file of this name and content.
    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.files_locked().insert(name.as_bytes().to_vec(), content.to_vec());
        self
    }

    /// Does this at a verb, which is in capitals.
    pub fn on<F>(mut self, verb: &'static str, step: F) -> Self
    where
        F: Fn(&mut ScriptedSession, &[u8]) -> std::io::Result<Flow> + Send + Sync + 'static,
    {
        self.steps.insert(verb, Box::new(step));
        self
    }

    /// Answers so falsely that a gateway may take one reply for another: that it sends a command before the last one
    /// was answered is not held against it.
    pub fn disordered(mut self) -> Self {
        self.is_ordered = false;
        self
    }

    /// Answers a verb with these bytes and does nothing.
    pub fn answer(self, verb: &'static str, bytes: &'static [u8]) -> Self {
        self.on(verb, move |session, _| {
            session.send(bytes)?;
            Ok(Flow::Continue)
        })
    }

    /// Whether a question for features comes to its end.
    fn answers_features(&self) -> bool {
        self.tells_features && !self.steps.contains_key("FEAT")
    }

    fn files_locked(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Vec<u8>>> {
        self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Script").field("steps", &self.steps.keys()).finish_non_exhaustive()
    }
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<(TcpListener, JoinHandle<()>)>,
}

#[derive(Debug)]
struct Shared {
    script: Script,
    record: Record,
    stopping: AtomicBool,
    is_frozen: Mutex<bool>,
    thawed: Condvar,
    /// Of every session, so that the end of the server ends them all.
    sockets: Mutex<Vec<Weak<TcpStream>>>,
}

impl ScriptedServer {
    /// Starts on a port of 127.0.0.1 that the kernel chooses.
    ///
    /// # Panics
    ///
    /// If the machine has no port or thread left.
    pub fn start(script: Script) -> Self {
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST), script)
    }

    /// Starts on a port of this address that the kernel chooses.
    ///
    /// # Panics
    ///
    /// If the machine has no such address, or no port or thread left.
    pub fn start_at(address: IpAddr, script: Script) -> Self {
        let shared = Arc::new(Shared {
            script,
            record: Record::default(),
            stopping: AtomicBool::new(false),
            is_frozen: Mutex::new(false),
            thawed: Condvar::new(),
            sockets: Mutex::default(),
        });
        let mut server = Self { address: SocketAddr::new(address, 0), shared, listening: None };
        server.resume();
        server
    }

    /// Dies: ends every session, and refuses connections from now on.
    pub fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.kill_sessions();
        if let Some((listener, thread)) = self.listening.take() {
            // Wakes `accept` also where nobody here could connect, as in a network of its own.
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
            drop(listener);
            let _ = thread.join();
        }
        self.kill_sessions();
    }

    /// Lives again, at the same address.
    ///
    /// # Panics
    ///
    /// If another took the port meanwhile.
    pub fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).expect("a port is free");
        self.address = listener.local_addr().expect("a bound socket has an address");
        self.shared.stopping.store(false, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        let handle = listener.try_clone().expect("a descriptor is free");
        let thread = std::thread::Builder::new()
            .name("scripted-server".into())
            .spawn(move || accept(&listener, &shared))
            .expect("a thread can be started");
        self.listening = Some((handle, thread));
    }

    /// Says nothing any more, neither to those who come nor to those who are there, as a stopped process does.
    pub fn freeze(&self) {
        *self.shared.is_frozen.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Goes on where it froze.
    pub fn thaw(&self) {
        *self.shared.is_frozen.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.shared.thawed.notify_all();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happened to it so far.
    pub fn record(&self) -> &Record {
        &self.shared.record
    }

    /// Waits until the gateway has asked for features, if this script lets it.
    ///
    /// # Panics
    ///
    /// If it does not in time.
    pub fn wait_probed(&self) {
        if self.shared.script.answers_features() {
            self.record().wait_probed();
        }
    }

    /// Ends every session at once, data connections included, as the death of the server's process does.
    pub fn kill_sessions(&self) {
        let mut sockets = self.shared.sockets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for socket in sockets.drain(..).filter_map(|socket| socket.upgrade()) {
            // A socket whose peer has gone first cannot be shut down any more.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.thaw();
        self.stop();
        let violations = self.record().violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "the gateway broke the rules towards its backend: {violations:?}");
        } else if !violations.is_empty() {
            eprintln!("the gateway broke the rules towards its backend: {violations:?}");
        }
    }
}

impl Shared {
    fn wait_thawed(&self) {
        let mut is_frozen = self.is_frozen.lock().unwrap_or_else(PoisonError::into_inner);
        while *is_frozen {
            is_frozen = self.thawed.wait(is_frozen).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Registers a socket, so that it ends with the server.
    fn adopt(&self, socket: TcpStream) -> Arc<TcpStream> {
        let socket = Arc::new(socket);
        let mut sockets = self.sockets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sockets.push(Arc::downgrade(&socket));
        socket
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let socket = shared.adopt(socket);
        let shared = Arc::clone(shared);
        std::thread::Builder::new()
            .name("scripted-session".into())
            .spawn(move || ScriptedSession::run(socket, shared))
            .expect("a thread can be started");
    }
}

const GREETING: &[u8] = b"220 Ready\r\n";
