//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::socket::prepare_control;

/// A socket for a listener.
#[derive(Debug)]
pub enum BoundSocket {
    /// The listener has it already.
    Kept,
    /// Another listener has it and gives it up.
    Taken,
    /// It was opened for it, or inherited.
    New {
        /// The socket.
        socket: TcpListener,
        /// The address that it really has.
        address: SocketAddr,
        /// Whether somebody else opened it.
        is_inherited: bool,
    },
}

/// Opens a listening socket. IPv6 sockets take no IPv4 clients.
///
/// # Errors
///
/// The system's.
pub(super) fn bind(address: SocketAddr) -> io::Result<BoundSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    adopt(socket.into(), false)
}

/// Takes a socket that listens already.
///
/// # Errors
///
/// The system's.
pub(super) fn adopt(socket: StdTcpListener, is_inherited: bool) -> io::Result<BoundSocket> {
    socket.set_nonblocking(true)?;
    prepare_control(&socket)?;
    let address = socket.local_addr()?;
    Ok(BoundSocket::New { socket: TcpListener::from_std(socket)?, address, is_inherited })
}

/// Whether a default address may be left out: the machine has no such address family.
pub(super) fn is_missing_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Clients that wait to be accepted; the kernel may allow fewer.
const BACKLOG: i32 = 4096;
