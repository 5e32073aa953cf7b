//! A plain FTP server that costs next to nothing: files are zeros from memory, uploads are discarded.
//!
//! `RETR zeros-N` sends N bytes. One thread a session with a small stack; all of it is on loopback.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A running server. It ends with the process.
pub(super) struct Backend {
    address: SocketAddr,
    sessions: Arc<AtomicUsize>,
}

impl Backend {
    /// Listens on a port of the kernel's choice.
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let backend = Self { address: listener.local_addr()?, sessions: Arc::default() };
        let sessions = Arc::clone(&backend.sessions);
        spawn(move || {
            for control in listener.incoming().flatten() {
                let place = Place::take(&sessions);
                spawn(move || {
                    let _place = place;
                    // A session ends by an error where its gateway leaves without QUIT.
                    let _ = Session::new(control).and_then(Session::serve);
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
    input: BufReader<TcpStream>,
    output: TcpStream,
    data: Option<TcpListener>,
}

impl Session {
    fn new(control: TcpStream) -> io::Result<Self> {
        control.set_nodelay(true)?;
        Ok(Self { input: BufReader::with_capacity(512, control.try_clone()?), output: control, data: None })
    }

    fn serve(mut self) -> io::Result<()> {
        self.reply("220 bench")?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
            match verb {
                "USER" => self.reply("331 password?")?,
                "PASS" => self.reply("230 welcome")?,
                "TYPE" | "NOOP" | "MODE" | "STRU" | "OPTS" | "CWD" | "ALLO" | "CLNT" => {
                    self.reply("200 ok")?
                }
                "SYST" => self.reply("215 UNIX Type: L8")?,
                "PWD" => self.reply("257 \"/\"")?,
                "FEAT" => self.reply("211-Features:\r\n EPSV\r\n PASV\r\n SIZE\r\n UTF8\r\n211 End")?,
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
                    self.transfer(|data| send_zeros(data, length.unwrap_or(0)))?;
                }
                "STOR" => self.transfer(discard)?,
                "QUIT" => return self.reply("221 bye"),
                _ => self.reply("500 unknown")?,
            }
        }
    }

    fn reply(&mut self, text: &str) -> io::Result<()> {
        self.output.write_all(format!("{text}\r\n").as_bytes())
    }

    fn listen(&mut self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        self.data = Some(listener);
        Ok(address)
    }

    fn transfer(&mut self, work: impl FnOnce(&mut TcpStream) -> io::Result<()>) -> io::Result<()> {
        let Some(listener) = self.data.take() else { return self.reply("425 PASV first") };
        let (mut data, _) = listener.accept()?;
        data.set_nodelay(true)?;
        self.reply("150 here it comes")?;
        let result = work(&mut data);
        drop(data);
        self.reply(if result.is_ok() { "226 done" } else { "426 broken" })
    }
}

fn send_zeros(data: &mut TcpStream, mut length: usize) -> io::Result<()> {
    while length > 0 {
        length -= data.write(&ZEROS[..length.min(ZEROS.len())])?;
    }
    Ok(())
}

fn discard(data: &mut TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 512 * 1024];
    while data.read(&mut buffer)? > 0 {}
    Ok(())
}

/// What every file consists of.
pub(super) static ZEROS: [u8; 512 * 1024] = [0; 512 * 1024];

/// Thousands of threads that mostly wait need little of a stack.
fn spawn(work: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(128 * 1024).spawn(work);
    drop(thread.expect("the system has room for a thread"));
}
