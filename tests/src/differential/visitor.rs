//! One session that says lines of any kind, moves the data of those that have some, and keeps every byte that it gets.

use std::net::SocketAddr;

use crate::client::{Client, DataConnection, Reply};
use crate::peers::servers::USER;

/// A logged-in session.
#[derive(Debug)]
pub struct Visitor {
    client: Client,
    address: SocketAddr,
    /// Everything that was received, replies with addresses of data connections apart.
    received: Vec<u8>,
    uses_extended: bool,
    is_open: bool,
    /// Programs that it has played.
    pub(super) programs: usize,
}

/// What became of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The code of its final reply; `None`: the session had ended.
    pub code: Option<u16>,
    /// What came over the data connection, or stood in a reply of several lines.
    pub shown: Vec<u8>,
}

impl Answer {
    /// Leaves out what need not be the same: the exact code, the order of names, and how long ago their files were made.
    /// RNFR is held, and fails with its RNTO. vsftpd has an empty list for names in directories that are not there.
    pub(super) fn generalise(&mut self, line: &str) {
        let is_list = line.starts_with("LIST") || line.starts_with("NLST");
        self.code = match self.code {
            _ if line.starts_with("RNFR") => None,
            Some(400..) => Some(5),
            Some(_) if is_list && self.shown.is_empty() => Some(5),
            code => code.map(|code| code / 100),
        };
        let text = String::from_utf8_lossy(&self.shown).replace('\0', "");
        let mut names: Vec<&str> = text.lines().filter_map(|line| line.rsplit([' ', '/']).next()).collect();
        names.sort_unstable();
        self.shown = names.join("\n").into_bytes();
    }
}

impl Visitor {
    /// Connects and logs in.
    ///
    /// # Panics
    ///
    /// If the login fails.
    pub fn log_in(address: SocketAddr) -> Self {
        let mut client = Client::connect(address);
        client.greeting();
        client.log_in_as(USER);
        Self { client, address, received: Vec::new(), uses_extended: true, is_open: true, programs: 0 }
    }

    /// Whether the session goes on.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Everything that was received since the last time.
    pub fn take_received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    /// Says a line, and waits for its final reply.
    ///
    /// # Panics
    ///
    /// If none comes in time, or what comes is no reply.
    pub fn say(&mut self, line: &str) -> Answer {
        if !self.is_open {
            return Answer { code: None, shown: Vec::new() };
        }
        let data = if moves_data(line) { self.open_data() } else { None };
        self.send(&[line]);
        self.finish(line, data)
    }

    /// Says lines of which none moves data, all at once, and waits for their final replies.
    ///
    /// # Panics
    ///
    /// As [`Visitor::say`].
    pub fn say_together(&mut self, lines: &[String]) -> Vec<Answer> {
        if self.is_open {
            self.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        }
        lines.iter().map(|line| self.finish(line, None)).collect()
    }

    /// Says QUIT: its reply comes next and nothing after it, so every line before it had one final reply.
    ///
    /// # Errors
    ///
    /// What came instead.
    pub fn leave(mut self) -> Result<(), String> {
        if !self.is_open {
            return Ok(());
        }
        self.send(&["QUIT"]);
        let replies = self.client.replies_to_end();
        match replies.as_slice() {
            [reply] if reply.code == 221 => Ok(()),
            other => Err(format!("to QUIT came {other:?}")),
        }
    }

    fn send(&mut self, lines: &[&str]) {
        let bytes: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
        // The end of the session shows when it is read.
        let _ = self.client.try_send_bytes(&bytes);
    }

    fn finish(&mut self, line: &str, mut data: Option<DataConnection>) -> Answer {
        let mut shown = Vec::new();
        loop {
            let Some(reply) = self.reply() else { return Answer { code: None, shown } };
            self.keep(&reply);
            if reply.lines.len() > 2 {
                reply.lines[1..reply.lines.len() - 1].iter().for_each(|line| {
                    shown.extend_from_slice(line);
                    shown.extend_from_slice(b"\r\n");
                });
            }
            if reply.code >= 200 {
                return Answer { code: Some(reply.code), shown };
            }
            if let Some(mut data) = data.take() {
                if is_upload(line) {
                    // What was wrong with it is in the reply.
                    let _ = data.try_write(UPLOADED);
                    data.finish();
                } else {
                    let (content, _) = data.read_to_end();
                    self.received.extend_from_slice(&content);
                    shown.extend_from_slice(&content);
                }
            }
        }
    }

    /// EPSV and PASV in turns.
    fn open_data(&mut self) -> Option<DataConnection> {
        self.uses_extended = !self.uses_extended;
        self.send(&[if self.uses_extended { "EPSV" } else { "PASV" }]);
        let reply = self.reply()?;
        let address = match reply.code {
            227 => reply.passive_address(),
            229 => SocketAddr::new(self.address.ip(), reply.extended_passive_port()),
            _ => return None,
        };
        Some(DataConnection::connect(address))
    }

    fn reply(&mut self) -> Option<Reply> {
        let reply = if self.is_open { self.client.try_reply() } else { None };
        self.is_open = reply.is_some();
        reply
    }

    fn keep(&mut self, reply: &Reply) {
        for line in &reply.lines {
            self.received.extend_from_slice(line);
            self.received.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether a line needs a data connection.
fn moves_data(line: &str) -> bool {
    let verb = line.split(' ').next().unwrap_or_default();
    is_upload(line) || ["RETR", "LIST", "NLST", "MLSD"].contains(&verb)
}

fn is_upload(line: &str) -> bool {
    let verb = line.split(' ').next().unwrap_or_default();
    ["STOR", "APPE", "STOU"].contains(&verb)
}

/// What every upload holds.
const UPLOADED: &[u8] = b"uploaded by the test\n";
