//! Sockets that the service manager opened (LISTEN_FDS): the one place with `unsafe`.

#![allow(unsafe_code)]

use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::server::Inherited;

/// Takes the sockets that were passed to this process, by name. To be called once, at the start.
///
/// # Errors
///
/// The environment is malformed, or a descriptor is no listening TCP socket.
pub fn take_sockets() -> io::Result<Inherited> {
    let mut inherited = Inherited::new();
    for (descriptor, name) in sd_notify::listen_fds_with_names()? {
        // SAFETY: the service manager passed this descriptor to this process (LISTEN_PID is checked), nothing else
        // here knows its number, and it is taken once.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let socket = socket2::Socket::from(descriptor);
        if !socket.is_listener()? || socket.local_addr()?.as_socket().is_none() {
            let text =
                format!("the socket named `{name}` that was passed to this service is no TCP listener");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        inherited.entry(name).or_default().push(TcpListener::from(socket));
    }
    Ok(inherited)
}
