//! One session of a scripted server.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::manner::Manner;
use super::stream::ServerStream;
use super::tls::{ScriptTls, SessionTls};
use super::{Happening, ServerData, Shared, commands};
use crate::client::try_connect_from;

/// Longer than any deadline that a test gives the gateway.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a session does after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Reads the next command.
    Continue,
    /// Closes the control connection.
    Close,
    /// Resets the control connection.
    Reset,
}

/// How the next data connection is made.
#[derive(Debug)]
enum DataPlan {
    /// The gateway connects.
    Passive(TcpListener),
    /// The server connects.
    Active(SocketAddr),
}

/// One control connection, seen by the steps of a script.
#[derive(Debug)]
pub struct ScriptedSession {
    control: ServerStream,
    /// Received and not yet taken.
    input: Vec<u8>,
    data: Option<DataPlan>,
    tls: Option<SessionTls>,
    /// PROT P.
    pub(super) is_private: bool,
    /// Whether the last command was one that uploads.
    is_upload: bool,
    /// Command lines that came before it was clear whether this is a session of a client's; `None`: it is.
    early: Option<Vec<Vec<u8>>>,
    /// Whether the gateway only asks for features here, before any client does: that is no session of a client's.
    is_probe: bool,
    /// What PWD says; files do not care.
    pub(super) folder: Vec<u8>,
    pub(super) restart: usize,
    pub(super) rename_from: Option<Vec<u8>>,
    pub(super) shared: Arc<Shared>,
}

impl ScriptedSession {
    pub(super) fn run(control: Arc<TcpStream>, shared: Arc<Shared>) {
        shared.record.add(Happening::Connected);
        let mut session = Self {
            control: ServerStream::plain(control),
            input: Vec::new(),
            data: None,
            tls: shared.script.tls.as_ref().map(ScriptTls::session),
            is_private: false,
            is_upload: false,
            early: Some(Vec::new()),
            is_probe: false,
            folder: b"/".to_vec(),
            restart: 0,
            rename_from: None,
            shared: Arc::clone(&shared),
        };
        // The gateway may leave at any point: that is an end like any other.
        let _ = session.converse();
        let is_probe = session.is_probe;
        session.begin();
        drop(session);
        shared.record.add(if is_probe { Happening::Probed } else { Happening::Disconnected });
    }

    /// Sends one line.
    ///
    /// # Errors
    ///
    /// The gateway has gone.
    pub fn reply(&mut self, line: &str) -> Result<()> {
        self.send(format!("{line}\r\n").as_bytes())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// The gateway has gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.control.write_all(bytes)?;
        self.control.flush()
    }

    /// Puts the control connection under TLS; implicit servers begin with it.
    ///
    /// # Errors
    ///
    /// The handshake failed, or this script has no TLS.
    pub fn start_tls(&mut self) -> Result<()> {
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            self.violation("bytes behind AUTH", &input);
        }
        let tls = self.tls.as_ref().ok_or_else(|| Error::other("a script without TLS"))?;
        self.control.start_tls(Arc::clone(&tls.control)).map(drop)
    }

    /// What PWD says.
    pub fn folder(&self) -> &[u8] {
        &self.folder
    }

    /// Lets PWD say this from now on.
    pub fn enter(&mut self, folder: &[u8]) {
        self.folder = folder.to_vec();
    }

    /// Whether the control connection is under TLS.
    pub fn is_secured(&self) -> bool {
        self.control.is_tls()
    }

    /// The server's own address.
    pub fn local_ip(&self) -> IpAddr {
        self.control.tcp.local_addr().expect("connected").ip()
    }

    /// Does what a server that behaves does at this command.
    ///
    /// # Errors
    ///
    /// The gateway has gone.
    pub fn behave(&mut self, verb: &str, argument: &[u8]) -> Result<Flow> {
        commands::behave(self, verb, argument)
    }

    /// Opens a port for the next data connection.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub fn open_port(&mut self) -> Result<u16> {
        let listener = TcpListener::bind((self.local_ip(), 0))?;
        let port = listener.local_addr()?.port();
        self.data = Some(DataPlan::Passive(listener));
        Ok(port)
    }

    /// Closes the last port that was opened.
    pub fn close_port(&mut self) {
        self.data = None;
    }

    /// Will connect to the gateway for the next data connection.
    pub fn open_towards(&mut self, address: SocketAddr) {
        self.data = Some(DataPlan::Active(address));
    }

    /// Accepts the data connection of the last port that was opened, or makes it. It is not under TLS yet.
    ///
    /// # Errors
    ///
    /// No port is open, or nobody connects.
    pub fn accept_data(&mut self) -> Result<ServerData> {
        let socket = match self.data.take() {
            None => return Err(Error::other("no data port is open")),
            Some(DataPlan::Passive(listener)) => self.accept(&listener)?,
            Some(DataPlan::Active(address)) => try_connect_from(Some(self.local_ip()), address)?,
        };
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        self.shared.record.add(Happening::DataConnected);
        Ok(ServerData::new(self.shared.adopt(socket)))
    }

    /// Accepts the data connection, says 150, and puts it under TLS where PROT P was said.
    ///
    /// # Errors
    ///
    /// As of [`ScriptedSession::accept_data`], and a handshake that was refused.
    pub fn start_transfer(&mut self) -> Result<ServerData> {
        self.open_transfer()?.ok_or_else(|| Error::other("the data connection's TLS was refused"))
    }

    /// The same, but what has to be refused is answered.
    pub(super) fn open_transfer(&mut self) -> Result<Option<ServerData>> {
        let mut data = self.accept_data()?;
        self.send(self.manner().opening)?;
        let Some(tls) = self.tls.as_ref().filter(|_| self.is_private) else { return Ok(Some(data)) };
        let config = Arc::clone(if self.is_upload { &tls.upload } else { &tls.download });
        let Ok(resumed) = data.start_tls(config) else {
            self.reply("522 No TLS on the data connection")?;
            return Ok(None);
        };
        self.shared.record.add(Happening::DataSecured { resumed });
        if !resumed && self.tls().is_some_and(|tls| tls.demands_reuse) {
            data.reset();
            self.reply("522 TLS session of the data connection was not resumed")?;
            return Ok(None);
        }
        Ok(Some(data))
    }

    /// Waits for the next command, which has to be ABOR, and answers it as RFC 959 says.
    ///
    /// # Errors
    ///
    /// The gateway did not end the connection cleanly.
    pub fn answer_abort(&mut self, data: ServerData) -> Result<Flow> {
        let Some(line) = self.take_line()? else { return Ok(Flow::Close) };
        data.reset();
        if line == b"ABOR" {
            self.reply("426 Transfer aborted")?;
            self.reply("226 Abort successful")?;
        } else {
            self.violation("a command in mid-transfer", &line);
            self.reply("503 Not now")?;
        }
        Ok(Flow::Continue)
    }

    /// Ends the sending direction of the control connection, and goes on to listen.
    ///
    /// # Errors
    ///
    /// The gateway has gone.
    pub fn finish_sending(&mut self) -> Result<()> {
        self.control.send_close_notify();
        self.control.cut();
        Ok(())
    }

    /// Whether a data port is open.
    pub fn has_port(&self) -> bool {
        self.data.is_some()
    }

    /// Says nothing and does nothing until the gateway ends the control connection.
    ///
    /// # Errors
    ///
    /// The gateway did not end it cleanly.
    pub fn stall(&mut self) -> Result<Flow> {
        while self.take_line()?.is_some() {}
        Ok(Flow::Close)
    }

    /// Takes whatever comes, of any protocol, until the gateway ends the control connection.
    ///
    /// # Errors
    ///
    /// The gateway did not end it cleanly.
    pub fn swallow(&mut self) -> Result<Flow> {
        let mut buffer = [0; 4096];
        while self.control.read(&mut buffer)? > 0 {}
        Ok(Flow::Close)
    }

    /// The next command line, recorded; `None` where the connection ends.
    ///
    /// # Errors
    ///
    /// The gateway did not end it cleanly.
    pub fn take_line(&mut self) -> Result<Option<Vec<u8>>> {
        let end = loop {
            if let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
                break end;
            }
            let mut buffer = [0; 4096];
            match self.control.read(&mut buffer)? {
                0 => return Ok(None),
                count => self.input.extend_from_slice(&buffer[..count]),
            }
        };
        let mut line: Vec<u8> = self.input.drain(..=end).collect();
        line.pop();
        if line.pop() != Some(b'\r') || line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            self.violation("a line that is not canonical", &line);
        }
        if !self.input.is_empty() && self.shared.script.is_ordered {
            let input = self.input.clone();
            self.violation("bytes behind a command that was not answered yet", &input);
        }
        self.take_down(&line);
        Ok(Some(line))
    }

    /// Records a command line. Who asks for features before a login is no client, but a gateway that prepares itself.
    fn take_down(&mut self, line: &[u8]) {
        let verb = split(line).0;
        self.is_upload = matches!(verb, b"STOR" | b"APPE" | b"STOU");
        match &mut self.early {
            Some(early) if matches!(verb, b"AUTH" | b"PBSZ" | b"PROT") => early.push(line.to_vec()),
            Some(_) if verb == b"FEAT" => {
                self.is_probe = true;
                self.early = None;
                self.shared.record.forget_session();
            }
            Some(_) | None => {
                self.begin();
                if !self.is_probe {
                    self.shared.record.add(Happening::Command(line.to_vec()));
                }
            }
        }
    }

    /// It is a session of a client's.
    fn begin(&mut self) {
        for line in self.early.take().into_iter().flatten() {
            self.shared.record.add(Happening::Command(line));
        }
    }

    /// The control connection's socket.
    pub(super) fn control(&self) -> &TcpStream {
        &self.control.tcp
    }

    pub(super) fn tls(&self) -> Option<&ScriptTls> {
        self.shared.script.tls.as_ref()
    }

    pub(super) fn manner(&self) -> Manner {
        self.shared.script.manner
    }

    /// Accepts, unless the gateway leaves first or nobody comes.
    fn accept(&self, listener: &TcpListener) -> Result<TcpStream> {
        let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
        let mut sockets = [
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.control.tcp.as_fd(), PollFlags::RDHUP),
        ];
        poll(&mut sockets, Some(&patience))?;
        if sockets[0].revents().is_empty() {
            return Err(Error::from(ErrorKind::TimedOut));
        }
        listener.accept().map(|(socket, _)| socket)
    }

    pub(super) fn violation(&self, what: &str, bytes: &[u8]) {
        let shown = &bytes[..bytes.len().min(80)];
        self.shared.record.add(Happening::Violation(format!("{what}: {}", shown.escape_ascii())));
    }

    fn converse(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.control.tcp.set_nodelay(true)?;
        self.control.tcp.set_read_timeout(Some(PATIENCE))?;
        self.control.tcp.set_write_timeout(Some(PATIENCE))?;
        shared.wait_thawed();
        if self.tls().is_some_and(|tls| tls.is_implicit) {
            self.start_tls()?;
        }
        self.greet(&shared.script)?;
        while let Some(line) = self.take_line()? {
            shared.wait_thawed();
            let (verb, argument) = split(&line);
            let verb =
                std::str::from_utf8(verb).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
            let flow = match shared.script.steps.get(verb) {
                Some(step) => step(self, argument)?,
                None => self.behave(verb, argument)?,
            };
            match flow {
                Flow::Continue => {}
                Flow::Close => return Ok(()),
                Flow::Reset => {
                    self.control.reset();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Says 220, each byte after the script's pause; the end of the pause is all that is waited for, or the gateway's.
    fn greet(&mut self, script: &super::Script) -> Result<()> {
        let Some(pause) = script.greeting_pause else { return self.send(&script.greeting) };
        let pause = Timespec::try_from(pause).expect("a short time");
        for byte in &script.greeting {
            let mut gone = [PollFd::from_borrowed_fd(self.control.tcp.as_fd(), PollFlags::RDHUP)];
            if poll(&mut gone, Some(&pause))? > 0 {
                return Err(Error::from(ErrorKind::ConnectionAborted));
            }
            self.control.write_all(&[*byte])?;
        }
        self.control.flush()
    }
}

fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&byte| byte == b' ') {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, b""),
    }
}
