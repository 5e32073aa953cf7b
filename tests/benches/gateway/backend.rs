//! An FTP server that costs next to nothing: files are zeros from memory, uploads are discarded.
//!
//! `RETR zeros-N` sends N bytes. One thread a session with a small stack; all of it is on loopback. It speaks FTPS (AUTH
//! TLS) where it has a certificate, and what it spends on that is counted nowhere.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::mod_proxy::Identity;

/// A running server. It ends with the process.
pub(super) struct Backend {
    address: SocketAddr,
    sessions: Arc<AtomicUsize>,
}

impl Backend {
    /// Plain FTP, on a port of the kernel's choice.
    pub(super) fn start() -> io::Result<Self> {
        Self::serve(None)
    }

    /// FTPS, with TLS sessions that can be resumed.
    pub(super) fn start_with_tls(identity: &Identity<'_>) -> io::Result<Self> {
        Self::serve(Some(Tls::new(identity).map_err(io::Error::other)?))
    }

    fn serve(tls: Option<Tls>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let backend = Self { address: listener.local_addr()?, sessions: Arc::default() };
        let sessions = Arc::clone(&backend.sessions);
        spawn(move || {
            for control in listener.incoming().flatten() {
                let place = Place::take(&sessions);
                let tls = tls.clone();
                spawn(move || {
                    let _place = place;
                    // A session ends by an error where its gateway leaves without QUIT.
                    let _ = Session::new(control, tls).and_then(Session::serve);
                });
            }
        });
        Ok(backend)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many sessions are open.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }
}

/// The name of a file of `bytes` zeros.
pub(super) fn zeros(bytes: usize) -> String {
    format!("zeros-{bytes}")
}

/// Counts one open session.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(sessions: &Arc<AtomicUsize>) -> Self {
        sessions.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(sessions))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Session {
    control: BufReader<Stream>,
    tls: Option<Tls>,
    protects_data: bool,
    data: Option<TcpListener>,
}

/// A connection, under TLS or not.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    fn secured(self, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let Self::Plain(mut tcp) = self else { return Err(io::Error::other("TLS within TLS")) };
        let mut connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        connection.set_buffer_limit(None);
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, tcp))))
    }

    /// Says that this was all, and waits for the other side's end: it may send close_notify, which unread would make a
    /// reset of our close.
    fn finish(mut self) -> io::Result<()> {
        let tcp = match &mut self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                &mut stream.sock
            }
        };
        match tcp.shutdown(std::net::Shutdown::Write) {
            Ok(()) => while tcp.read(&mut [0; 256])? > 0 {},
            // An uploader that did not wait for our end: it has said its own.
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Session {
    fn new(control: TcpStream, tls: Option<Tls>) -> io::Result<Self> {
        control.set_nodelay(true)?;
        let control = BufReader::with_capacity(512, Stream::Plain(control));
        Ok(Self { control, tls, protects_data: false, data: None })
    }

    fn serve(mut self) -> io::Result<()> {
        self.reply("220 bench")?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.control.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
            match verb {
                "AUTH" => match self.tls.clone() {
                    Some(tls) => {
                        self.reply("234 go on")?;
                        let Self { control, protects_data, data, .. } = self;
                        let control = BufReader::with_capacity(512, control.into_inner().secured(&tls.sending)?);
                        self = Self { control, tls: Some(tls), protects_data, data };
                    }
                    None => self.reply("502 not here")?,
                },
                "PBSZ" => self.reply("200 PBSZ=0")?,
                "PROT" => {
                    self.protects_data = argument == "P";
                    self.reply("200 ok")?;
                }
                "USER" => self.reply("331 password?")?,
                "PASS" => self.reply("230 welcome")?,
                "TYPE" | "NOOP" | "MODE" | "STRU" | "OPTS" | "CWD" | "ALLO" | "CLNT" => {
                    self.reply("200 ok")?
                }
                "SYST" => self.reply("215 UNIX Type: L8")?,
                "PWD" => self.reply("257 \"/\"")?,
                "FEAT" => self.reply(
                    "211-Features:\r\n AUTH TLS\r\n EPSV\r\n PASV\r\n PBSZ\r\n PROT\r\n SIZE\r\n UTF8\r\n211 End",
                )?,
                "EPSV" => {
                    let port = self.listen()?.port();
                    self.reply(&format!("229 Entering Extended Passive Mode (|||{port}|)"))?;
                }
                "PASV" => {
                    let [high, low] = self.listen()?.port().to_be_bytes();
                    self.reply(&format!("227 Entering Passive Mode (127,0,0,1,{high},{low})"))?;
                }
                "RETR" => {
                    let length = argument.rsplit('-').next().and_then(|length| length.parse().ok());
                    let tls = self.tls.as_ref().map(|tls| Arc::clone(&tls.sending));
                    self.transfer(tls, |data| send_zeros(data, length.unwrap_or(0)))?;
                }
                "STOR" => {
                    let tls = self.tls.as_ref().map(|tls| Arc::clone(&tls.receiving));
                    self.transfer(tls, discard)?;
                }
                "QUIT" => return self.reply("221 bye"),
                _ => self.reply("500 unknown")?,
            }
        }
    }

    fn reply(&mut self, text: &str) -> io::Result<()> {
        let control = self.control.get_mut();
        control.write_all(format!("{text}\r\n").as_bytes())?;
        control.flush()
    }

    fn listen(&mut self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        self.data = Some(listener);
        Ok(address)
    }

    fn transfer(
        &mut self,
        tls: Option<Arc<ServerConfig>>,
        work: impl FnOnce(&mut Stream) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(listener) = self.data.take() else { return self.reply("425 PASV first") };
        let (data, _) = listener.accept()?;
        data.set_nodelay(true)?;
        self.reply("150 here it comes")?;
        let data = Stream::Plain(data);
        let secured = match tls {
            Some(tls) if self.protects_data => data.secured(&tls),
            Some(_) | None => Ok(data),
        };
        let result = secured.and_then(|mut data| work(&mut data).and_then(|()| data.finish()));
        self.reply(if result.is_ok() { "226 done" } else { "426 broken" })
    }
}

fn send_zeros(data: &mut Stream, mut length: usize) -> io::Result<()> {
    while length > 0 {
        length -= data.write(&ZEROS[..length.min(ZEROS.len())])?;
    }
    data.flush()
}

fn discard(data: &mut Stream) -> io::Result<()> {
    let mut buffer = vec![0; 512 * 1024];
    loop {
        match data.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Whether an end is clean is not what is measured.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// TLS sessions that resume as often as they are shown.
#[derive(Clone)]
struct Tls {
    /// Control connections and downloads: one ticket of TLS 1.3 for each.
    sending: Arc<ServerConfig>,
    /// Uploads: a client that leaves with a ticket unread would reset the connection, and lose what it sent last.
    receiving: Arc<ServerConfig>,
}

impl Tls {
    fn new(identity: &Identity<'_>) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = builder.with_single_cert(chain, key)?;
        config.ticketer = Ticketer::new()?;
        config.send_tls13_tickets = 1;
        let mut receiving = config.clone();
        receiving.send_tls13_tickets = 0;
        Ok(Self { sending: Arc::new(config), receiving: Arc::new(receiving) })
    }
}

/// What every file consists of.
pub(super) static ZEROS: [u8; 512 * 1024] = [0; 512 * 1024];

/// Thousands of threads that mostly wait need little of a stack.
fn spawn(work: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(128 * 1024).spawn(work);
    drop(thread.expect("the system has room for a thread"));
}
