//! A raw FTP client that can do everything wrong.
//!
//! It blocks, with a deadline on every read and write; it never retries and never hides a byte.
//! [`Client`] is the control connection, [`DataConnection`] one data connection, [`TlsSetup`] what both need
//! to share one TLS session. A session can be checked as a wire transcript with [`Client::transcript`].

mod data;
mod mode;
mod proxy;
mod reply;
mod stream;
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind;

pub use self::data::{DataConnection, End};
pub use self::mode::{DataListener, DataMode, PreparedData, port_command};
pub use self::proxy::{proxy_v1, proxy_v2};
pub use self::reply::Reply;
pub(crate) use self::stream::try_connect_from;
pub use self::stream::{ClientStream, connect_from};
pub use self::tls::{TlsSetup, TlsVersion};

use crate::gateway::{CANARY, Gateway, PATIENCE};

/// A control connection.
#[derive(Debug)]
pub struct Client {
    stream: ClientStream,
    /// Received and not yet taken.
    input: Vec<u8>,
    tls: Option<Arc<TlsSetup>>,
    /// Whether data connections are to be under TLS.
    private: bool,
}

impl Client {
    /// Connects; the greeting stays unread.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(connect_from(None, address))
    }

    /// Connects from a chosen address of this machine, such as 127.0.0.2.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        Self::over(connect_from(Some(source), address))
    }

    /// Connects, and says these bytes before anything else, such as a PROXY header.
    pub fn connect_saying(address: SocketAddr, bytes: &[u8]) -> Self {
        let mut client = Self::connect(address);
        client.send_bytes(bytes);
        client
    }

    /// Goes to any explicit listener: greeting, AUTH TLS, PBSZ, PROT P.
    pub fn secured_at(address: SocketAddr, tls: TlsSetup) -> Self {
        let mut client = Self::connect(address);
        client.greeting();
        client.auth_tls(tls);
        client.expect("PBSZ 0", 200);
        client.protect();
        client
    }

    /// Connects under TLS from the first byte; the greeting stays unread.
    pub fn connect_implicit(address: SocketAddr, tls: TlsSetup) -> Self {
        let mut client = Self::connect(address);
        client.start_tls(tls);
        client.private = true;
        client
    }

    /// Goes to the listener `explicit`: greeting, AUTH TLS, PBSZ, PROT P, login as `anna`.
    pub fn logged_in(gateway: &Gateway, tls: TlsSetup) -> Self {
        let mut client = Self::secured(gateway, tls);
        client.log_in();
        client
    }

    /// Goes to the listener `explicit`: greeting, AUTH TLS, PBSZ, PROT P.
    pub fn secured(gateway: &Gateway, tls: TlsSetup) -> Self {
        Self::secured_at(gateway.address("explicit"), tls)
    }

    /// Goes to the listener `plain` and logs in as `anna`.
    pub fn logged_in_plain(gateway: &Gateway) -> Self {
        let mut client = Self::connect(gateway.address("plain"));
        client.greeting();
        client.log_in();
        client
    }

    /// Reads the 220.
    pub fn greeting(&mut self) -> Reply {
        self.expect_reply(220)
    }

    /// AUTH TLS and the handshake.
    pub fn auth_tls(&mut self, tls: TlsSetup) {
        self.expect("AUTH TLS", 234);
        self.start_tls(tls);
    }

    /// PROT P; from now on data connections use TLS.
    pub fn protect(&mut self) {
        self.expect("PROT P", 200);
        self.private = true;
    }

    /// PROT C; from now on data connections use no TLS.
    pub fn unprotect(&mut self) {
        self.expect("PROT C", 200);
        self.private = false;
    }

    /// USER anna, PASS with the canary password.
    pub fn log_in(&mut self) {
        self.log_in_as("anna");
    }

    /// USER, PASS with the canary password.
    pub fn log_in_as(&mut self, user: &str) {
        self.expect(&format!("USER {user}"), 331);
        self.expect(&format!("PASS {CANARY}"), 230);
    }

    /// How a data connection ends cleanly.
    pub fn clean_end(&self) -> End {
        if self.private { End::CloseNotify } else { End::Fin }
    }

    /// The TLS handshake alone.
    ///
    /// # Panics
    ///
    /// If it fails, or plain bytes were left unread before it.
    pub fn start_tls(&mut self, tls: TlsSetup) {
        self.try_start_tls(tls).expect("the TLS handshake succeeds");
    }

    /// The TLS handshake alone, which may fail.
    ///
    /// # Errors
    ///
    /// That of the handshake.
    ///
    /// # Panics
    ///
    /// If plain bytes were left unread before it.
    pub fn try_start_tls(&mut self, tls: TlsSetup) -> std::io::Result<()> {
        assert!(self.input.is_empty(), "plain bytes before TLS: {:?}", self.input.escape_ascii().to_string());
        let tls = Arc::new(tls);
        self.stream.start_tls(&tls)?;
        self.tls = Some(tls);
        Ok(())
    }

    /// The TLS 1.3 handshake, with bytes in the same segment as its last message.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn start_tls_saying(&mut self, tls: TlsSetup, bytes: &[u8]) {
        let tls = Arc::new(tls);
        self.stream.start_tls_saying(&tls, bytes).expect("the TLS handshake succeeds");
        self.tls = Some(tls);
    }

    /// What the TLS of the control connection turned out to be.
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.stream.handshake_kind()
    }

    /// Sends a command line.
    pub fn send(&mut self, command: &str) {
        self.send_bytes(format!("{command}\r\n").as_bytes());
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// If they cannot be sent.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes).expect("the gateway takes what is sent");
    }

    /// Sends bytes as they are, to a peer that may be gone.
    ///
    /// # Errors
    ///
    /// That of the socket.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends every byte in a segment (and TLS record) of its own.
    pub fn send_slowly(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send_bytes(&[*byte]);
        }
    }

    /// Takes the next reply.
    ///
    /// # Panics
    ///
    /// If the connection ends, or none comes in time, or what comes is no reply.
    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("a reply comes")
    }

    /// Takes the next reply, or `None` where the connection ends before one begins.
    ///
    /// # Panics
    ///
    /// If none comes in time, it is cut off, or what comes is no reply.
    pub fn try_reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = Reply::take(&mut self.input) {
                return Some(reply);
            }
            match self.receive() {
                Received::Bytes => {}
                Received::End => {
                    assert!(self.input.is_empty(), "cut off: {:?}", self.input.escape_ascii().to_string());
                    return None;
                }
            }
        }
    }

    /// Takes the next reply and insists on its code.
    ///
    /// # Panics
    ///
    /// If it has another.
    pub fn expect_reply(&mut self, code: u16) -> Reply {
        let reply = self.reply();
        assert_eq!(reply.code, code, "{reply}");
        reply
    }

    /// Sends a command and takes its reply.
    pub fn command(&mut self, command: &str) -> Reply {
        self.send(command);
        self.reply()
    }

    /// Sends a command and insists on the code of its reply.
    ///
    /// # Panics
    ///
    /// If it has another.
    pub fn expect(&mut self, command: &str, code: u16) -> Reply {
        let reply = self.command(command);
        let shown = if command.starts_with("PASS") { "PASS …" } else { command };
        assert_eq!(reply.code, code, "{shown}: {reply}");
        reply
    }

    /// Plays a conversation: lines `> COMMAND` are sent, each line `< text` must be how the next reply begins,
    /// and `< (end)` is the end of the connection. Indentation and empty lines mean nothing.
    ///
    /// # Panics
    ///
    /// At the first line that does not hold.
    pub fn transcript(&mut self, conversation: &str) {
        for (number, line) in conversation.lines().enumerate() {
            let line = line.trim();
            let number = number + 1;
            if let Some(command) = line.strip_prefix("> ") {
                self.send(command);
            } else if line == "< (end)" {
                self.expect_end();
            } else if let Some(begin) = line.strip_prefix("< ") {
                let reply = self.try_reply().unwrap_or_else(|| panic!("line {number}: {line}: it ended"));
                assert!(reply.to_string().starts_with(begin), "line {number}: {line}: got {reply}");
            } else {
                assert!(line.is_empty(), "line {number} is no part of a transcript: {line}");
            }
        }
    }

    /// Insists that the gateway ends the connection and says nothing more.
    ///
    /// # Panics
    ///
    /// If it says something, or does not end it in time.
    pub fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "instead of the end: {:?}", rest.escape_ascii().to_string());
    }

    /// Everything until the connection ends, however it ends.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while matches!(self.receive(), Received::Bytes) {}
        std::mem::take(&mut self.input)
    }

    /// PASV; the address in the 227.
    ///
    /// # Panics
    ///
    /// If there is no 227, or no address in it.
    pub fn pasv(&mut self) -> SocketAddr {
        self.expect("PASV", 227).passive_address()
    }

    /// EPSV; the port of the 229 at the gateway's address.
    ///
    /// # Panics
    ///
    /// If there is no 229, or no port in it.
    pub fn epsv(&mut self) -> SocketAddr {
        let port = self.expect("EPSV", 229).extended_passive_port();
        SocketAddr::new(self.stream.tcp().peer_addr().expect("connected").ip(), port)
    }

    /// EPSV and the TCP connection; TLS begins with [`Client::secure`].
    pub fn open_data(&mut self) -> DataConnection {
        let address = self.epsv();
        DataConnection::connect(address)
    }

    /// EPSV, connect, the command, its 150 and, where PROT P was said, the data connection's handshake.
    pub fn begin_transfer(&mut self, command: &str) -> DataConnection {
        let data = self.open_data();
        self.expect(command, 150);
        self.secure(data)
    }

    /// The data connection's handshake, where PROT P was said.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn secure(&self, mut data: DataConnection) -> DataConnection {
        if let Some(tls) = self.tls.as_ref().filter(|_| self.private) {
            data.start_tls(tls).expect("the data connection's TLS handshake succeeds");
        }
        data
    }

    /// A whole download with its 226.
    pub fn download(&mut self, command: &str) -> Vec<u8> {
        let mut data = self.begin_transfer(command);
        let (content, end) = data.read_to_end();
        // Servers wait for this before they say 226.
        drop(data);
        assert_eq!(end, self.clean_end(), "the download's end");
        self.expect_reply(226);
        content
    }

    /// A whole upload with its 226.
    pub fn upload(&mut self, command: &str, content: &[u8]) {
        let mut data = self.begin_transfer(command);
        data.write(content);
        data.finish();
        self.expect_reply(226);
    }

    /// Sends all of `bytes` from a thread of its own while this one takes as many replies: what is needed to
    /// pipeline more than the gateway is willing to hold. Only without TLS.
    ///
    /// # Panics
    ///
    /// As [`Client::reply`].
    pub fn pipeline(&mut self, bytes: &[u8], replies: usize) -> Vec<Reply> {
        assert!(!self.stream.is_tls(), "a TLS connection cannot be split");
        let sender = self.stream.tcp().try_clone().expect("a descriptor is free");
        std::thread::scope(|scope| {
            scope.spawn(move || (&sender).write_all(bytes).expect("the gateway takes what is sent"));
            (0..replies).map(|_| self.reply()).collect()
        })
    }

    /// All replies until the connection ends.
    ///
    /// # Panics
    ///
    /// As [`Client::try_reply`].
    pub fn replies_to_end(&mut self) -> Vec<Reply> {
        std::iter::from_fn(|| self.try_reply()).collect()
    }

    /// Takes replies until one is final, that is not 1yz.
    ///
    /// # Panics
    ///
    /// As [`Client::reply`].
    pub fn final_reply(&mut self) -> Reply {
        loop {
            let reply = self.reply();
            if reply.code >= 200 {
                return reply;
            }
        }
    }

    /// The TLS setup of the control connection, for data connections that a test opens itself.
    ///
    /// # Panics
    ///
    /// Before TLS.
    pub fn tls(&self) -> &TlsSetup {
        self.tls.as_deref().expect("TLS is up")
    }

    /// The client's own address.
    ///
    /// # Panics
    ///
    /// If the socket is gone.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.tcp().local_addr().expect("connected")
    }

    /// Ends with a reset.
    pub fn reset(self) {
        self.stream.reset();
    }

    /// Ends the sending direction: close_notify under TLS, then FIN.
    pub fn finish_sending(&mut self) {
        self.stream.finish();
    }

    /// Ends the sending direction with a FIN alone.
    pub fn cut_sending(&mut self) {
        self.stream.cut();
    }

    /// Whether anything is there to read within `moment`; for what must *not* come.
    pub fn is_silent_for(&mut self, moment: Duration) -> bool {
        self.input.is_empty() && self.stream.is_silent_for(moment)
    }

    fn over(tcp: TcpStream) -> Self {
        Self { stream: ClientStream::plain(tcp), input: Vec::new(), tls: None, private: false }
    }

    fn receive(&mut self) -> Received {
        let mut buffer = [0; 8192];
        match self.stream.read(&mut buffer) {
            Ok(0) => Received::End,
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                Received::Bytes
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing within {PATIENCE:?}; so far: {:?}", self.input.escape_ascii().to_string())
            }
            // A reset, or an end without close_notify, is an end.
            Err(_) => Received::End,
        }
    }
}

enum Received {
    Bytes,
    End,
}
