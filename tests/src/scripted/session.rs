//! One session of a scripted server.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::{Happening, ServerData, Shared, commands};

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

/// One control connection, seen by the steps of a script.
#[derive(Debug)]
pub struct ScriptedSession {
    control: Arc<TcpStream>,
    /// Received and not yet taken.
    input: Vec<u8>,
    passive: Option<TcpListener>,
    /// Whether a command came already.
    has_begun: bool,
    /// Whether the gateway only asks for features here, before any client does: that is no session of a client's.
    is_probe: bool,
    pub(super) restart: usize,
    pub(super) rename_from: Option<Vec<u8>>,
    pub(super) shared: Arc<Shared>,
}

impl ScriptedSession {
    pub(super) fn run(control: Arc<TcpStream>, shared: Arc<Shared>) {
        shared.record.add(Happening::Connected);
        let mut session = Self {
            control,
            input: Vec::new(),
            passive: None,
            has_begun: false,
            is_probe: false,
            restart: 0,
            rename_from: None,
            shared: Arc::clone(&shared),
        };
        // The gateway may leave at any point: that is an end like any other.
        let _ = session.converse();
        let is_probe = session.is_probe;
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
        (&*self.control).write_all(bytes)
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
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        self.passive = Some(listener);
        Ok(port)
    }

    /// Accepts the data connection of the last port that was opened.
    ///
    /// # Errors
    ///
    /// No port is open, or nobody connects.
    pub fn accept_data(&mut self) -> Result<ServerData> {
        let listener = self.passive.take().ok_or_else(|| Error::other("no data port is open"))?;
        let (socket, _) = listener.accept()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        self.shared.record.add(Happening::DataConnected);
        Ok(ServerData::new(self.shared.adopt(socket)))
    }

    /// Accepts the data connection and says 150.
    ///
    /// # Errors
    ///
    /// As of [`ScriptedSession::accept_data`].
    pub fn start_transfer(&mut self) -> Result<ServerData> {
        let data = self.accept_data()?;
        self.reply("150 Here it comes")?;
        Ok(data)
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
        self.control.shutdown(Shutdown::Write)
    }

    /// Whether a data port is open.
    pub fn has_port(&self) -> bool {
        self.passive.is_some()
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
            match (&*self.control).read(&mut buffer)? {
                0 => return Ok(None),
                count => self.input.extend_from_slice(&buffer[..count]),
            }
        };
        let mut line: Vec<u8> = self.input.drain(..=end).collect();
        line.pop();
        if line.pop() != Some(b'\r') || line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            self.violation("a line that is not canonical", &line);
        }
        if !self.input.is_empty() {
            let input = self.input.clone();
            self.violation("bytes behind a command that was not answered yet", &input);
        }
        // A session of a client's begins with USER.
        if !std::mem::replace(&mut self.has_begun, true) && line == b"FEAT" {
            self.is_probe = true;
            self.shared.record.forget_session();
        }
        if !self.is_probe {
            self.shared.record.add(Happening::Command(line.clone()));
        }
        Ok(Some(line))
    }

    /// The control connection's socket.
    pub(super) fn control(&self) -> &TcpStream {
        &self.control
    }

    pub(super) fn violation(&self, what: &str, bytes: &[u8]) {
        let shown = &bytes[..bytes.len().min(80)];
        self.shared.record.add(Happening::Violation(format!("{what}: {}", shown.escape_ascii())));
    }

    fn converse(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.control.set_nodelay(true)?;
        self.control.set_read_timeout(Some(PATIENCE))?;
        self.control.set_write_timeout(Some(PATIENCE))?;
        self.send(&shared.script.greeting)?;
        while let Some(line) = self.take_line()? {
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
                Flow::Reset => return SockRef::from(&*self.control).set_linger(Some(Duration::ZERO)),
            }
        }
        Ok(())
    }
}

fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&byte| byte == b' ') {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, b""),
    }
}
