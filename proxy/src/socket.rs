//! Options that every socket of a session has.
//!
//! Sockets that are accepted have those of the socket that listened (Linux copies them all), so that it costs a
//! session or a transfer nothing to set them.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// No Nagle; a peer that is gone is found out within about 90 s, and one that takes no bytes within 60 s.
///
/// # Errors
///
/// The connection is gone.
pub fn prepare(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// The same for clients' control connections, where urgent data (Telnet's Synch, RFC 959 §4.1.3) is read in line.
///
/// # Errors
///
/// The connection is gone.
pub fn prepare_control(socket: &impl AsFd) -> io::Result<()> {
    prepare(socket)?;
    SockRef::from(socket).set_out_of_band_inline(true)
}

/// Whether the connection ends by RST where it is dropped: a server must not take an upload that never began for an
/// empty file, as it does when the connection ends by FIN.
pub fn reset_on_drop(socket: &impl AsFd, resets: bool) {
    if let Err(error) = SockRef::from(socket).set_linger(resets.then_some(Duration::ZERO)) {
        // Only a socket that is gone refuses, and that one has no end to make.
        tracing::debug!(%error, "linger");
    }
}

const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);
const USER_TIMEOUT: Duration = Duration::from_secs(60);
