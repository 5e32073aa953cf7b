//! How a client gets its data connections: it connects, or it listens and is connected to.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Client, DataConnection};
use crate::gateway::PATIENCE;

/// The command that prepares a data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataMode {
    /// RFC 959; IPv4 only.
    Pasv,
    /// RFC 2428.
    Epsv,
    /// RFC 959; IPv4 only.
    Port,
    /// RFC 2428.
    Eprt,
}

/// A data connection that was prepared.
#[derive(Debug)]
pub enum PreparedData {
    /// The gateway was connected to.
    Connected(DataConnection),
    /// The gateway will connect.
    Awaited(DataListener),
}

/// Where the gateway is to connect.
#[derive(Debug)]
pub struct DataListener {
    listener: TcpListener,
}

impl DataMode {
    /// All that a client of this family has.
    pub fn all_of(address: SocketAddr) -> &'static [Self] {
        match address {
            SocketAddr::V4(_) => &[Self::Pasv, Self::Epsv, Self::Port, Self::Eprt],
            SocketAddr::V6(_) => &[Self::Epsv, Self::Eprt],
        }
    }
}

impl DataListener {
    /// Listens on a port of this address that the kernel chooses.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn new(address: std::net::IpAddr) -> Self {
        Self { listener: TcpListener::bind((address, 0)).expect("a port is free") }
    }

    /// Where it listens.
    ///
    /// # Panics
    ///
    /// If the socket is gone.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound socket has an address")
    }

    /// The command that tells this address.
    ///
    /// # Panics
    ///
    /// If the mode is a passive one, or PORT with an IPv6 address.
    pub fn command(&self, mode: DataMode) -> String {
        port_command(mode, self.address())
    }

    /// The gateway's connection; TLS begins with [`Client::secure`].
    ///
    /// # Panics
    ///
    /// If it does not come in time.
    pub fn accept(self) -> DataConnection {
        let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let mut socket = [PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN)];
        let count = poll(&mut socket, Some(&patience)).expect("a socket can be polled");
        assert!(count > 0, "the gateway did not connect within {PATIENCE:?}");
        let (tcp, _) = self.listener.accept().expect("a connection is there");
        DataConnection::over(tcp)
    }

    /// Whether nobody has connected so far.
    ///
    /// # Panics
    ///
    /// If the socket is broken.
    pub fn is_alone(&self) -> bool {
        self.listener.set_nonblocking(true).expect("a socket can be non-blocking");
        match self.listener.accept() {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            Err(error) => panic!("{error}"),
        }
    }
}

/// PORT or EPRT with this address.
///
/// # Panics
///
/// If the mode is a passive one, or PORT with an IPv6 address.
pub fn port_command(mode: DataMode, address: SocketAddr) -> String {
    match (mode, address) {
        (DataMode::Port, SocketAddr::V4(address)) => {
            let [a, b, c, d] = address.ip().octets();
            let [high, low] = address.port().to_be_bytes();
            format!("PORT {a},{b},{c},{d},{high},{low}")
        }
        (DataMode::Eprt, SocketAddr::V4(address)) => format!("EPRT |1|{}|{}|", address.ip(), address.port()),
        (DataMode::Eprt, SocketAddr::V6(address)) => format!("EPRT |2|{}|{}|", address.ip(), address.port()),
        (DataMode::Port, SocketAddr::V6(_)) | (DataMode::Pasv | DataMode::Epsv, _) => {
            panic!("{mode:?} tells no {address}")
        }
    }
}

impl Client {
    /// PASV or EPSV and the TCP connection; or PORT or EPRT.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub fn prepare_data(&mut self, mode: DataMode) -> PreparedData {
        match mode {
            DataMode::Pasv => {
                let address = self.pasv();
                PreparedData::Connected(DataConnection::connect(address))
            }
            DataMode::Epsv => PreparedData::Connected(self.open_data()),
            DataMode::Port | DataMode::Eprt => {
                let listener = DataListener::new(self.local_address().ip());
                self.expect(&listener.command(mode), 200);
                PreparedData::Awaited(listener)
            }
        }
    }

    /// Prepares, sends the command, takes its 1yz, and secures the data connection where PROT P was said.
    ///
    /// # Panics
    ///
    /// If anything of that fails.
    pub fn begin_transfer_by(&mut self, mode: DataMode, command: &str) -> DataConnection {
        let data = self.prepare_data(mode);
        let reply = self.command(command);
        assert_eq!(reply.code / 100, 1, "{command}: {reply}");
        let data = match data {
            PreparedData::Connected(data) => data,
            PreparedData::Awaited(listener) => listener.accept(),
        };
        self.secure(data)
    }

    /// A whole download with its final reply, 226 or 250.
    ///
    /// # Panics
    ///
    /// If anything of that fails.
    pub fn download_by(&mut self, mode: DataMode, command: &str) -> Vec<u8> {
        let mut data = self.begin_transfer_by(mode, command);
        let (content, end) = data.read_to_end();
        // Servers wait for this before they say 226.
        drop(data);
        assert_eq!(end, self.clean_end(), "the end of {command}");
        let reply = self.reply();
        assert!(matches!(reply.code, 226 | 250), "{command}: {reply}");
        content
    }

    /// A whole upload with its final reply, 226 or 250.
    ///
    /// # Panics
    ///
    /// If anything of that fails.
    pub fn upload_by(&mut self, mode: DataMode, command: &str, content: &[u8]) {
        let mut data = self.begin_transfer_by(mode, command);
        data.write(content);
        data.finish();
        let reply = self.reply();
        assert!(matches!(reply.code, 226 | 250), "{command}: {reply}");
    }
}
