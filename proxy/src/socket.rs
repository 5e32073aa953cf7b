//! Options that every socket of a session has.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// No Nagle; a peer that is gone is found out within about 90 s, and one that takes no bytes within 60 s.
///
/// # Errors
///
/// The connection is gone.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// The same for a client's control connection, where urgent data (Telnet's Synch, RFC 959 §4.1.3) is read in line.
///
/// # Errors
///
/// The connection is gone.
pub fn prepare_control(stream: &TcpStream) -> io::Result<()> {
    prepare(stream)?;
    SockRef::from(stream).set_out_of_band_inline(true)
}

const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);
const USER_TIMEOUT: Duration = Duration::from_secs(60);
