//! One data connection of a scripted server.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use crate::client::End;

/// A data connection that the gateway opened to the server.
#[derive(Debug)]
pub struct ServerData {
    socket: Arc<TcpStream>,
}

/// Why a transfer that behaves stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It is through, or the gateway ended it; how it ended.
    Ended(End),
    /// A command came first.
    Interrupted,
}

impl ServerData {
    pub(super) fn new(socket: Arc<TcpStream>) -> Self {
        Self { socket }
    }

    /// Sends.
    ///
    /// # Errors
    ///
    /// The gateway has ended the connection.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        (&*self.socket).write_all(bytes)
    }

    /// Receives exactly this much.
    ///
    /// # Errors
    ///
    /// Less came.
    pub fn receive(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut content = vec![0; count];
        (&*self.socket).read_exact(&mut content)?;
        Ok(content)
    }

    /// Receives everything, and how it ended.
    pub fn receive_to_end(&mut self) -> (Vec<u8>, End) {
        let mut content = Vec::new();
        let end = match (&*self.socket).read_to_end(&mut content) {
            Ok(_) => End::Fin,
            Err(_) => End::Reset,
        };
        (content, end)
    }

    /// Ends with a FIN.
    pub fn finish(self) {
        // It fails only where the gateway has gone first.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Ends with a reset.
    pub fn reset(self) {
        SockRef::from(&*self.socket).set_linger(Some(Duration::ZERO)).expect("a TCP socket lingers");
    }

    /// Sends while no command comes.
    pub(super) fn send_unless_interrupted(&mut self, control: &TcpStream, bytes: &[u8]) -> Result<Stopped> {
        self.socket.set_nonblocking(true)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.wait_or_command(control, PollFlags::OUT)? {
                return Ok(Stopped::Interrupted);
            }
            match (&*self.socket).write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Ok(Stopped::Ended(End::Reset)),
            }
        }
        self.socket.set_nonblocking(false)?;
        Ok(Stopped::Ended(End::Fin))
    }

    /// Receives to the end while no command comes.
    pub(super) fn receive_unless_interrupted(
        &mut self,
        control: &TcpStream,
        content: &mut Vec<u8>,
    ) -> Result<Stopped> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if self.wait_or_command(control, PollFlags::IN)? {
                return Ok(Stopped::Interrupted);
            }
            match (&*self.socket).read(&mut buffer) {
                Ok(0) => return Ok(Stopped::Ended(End::Fin)),
                Ok(count) => content.extend_from_slice(&buffer[..count]),
                Err(_) => return Ok(Stopped::Ended(End::Reset)),
            }
        }
    }

    /// Waits until the data connection is ready; whether a command came first. Data that is ready goes first, so
    /// that a command behind the end of a transfer does not look like one in the middle.
    fn wait_or_command(&self, control: &TcpStream, wanted: PollFlags) -> Result<bool> {
        let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
        let mut sockets = [
            PollFd::from_borrowed_fd(self.socket.as_fd(), wanted),
            PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN),
        ];
        if poll(&mut sockets, Some(&patience))? == 0 {
            return Err(Error::from(ErrorKind::TimedOut));
        }
        let data_ready = !sockets[0].revents().is_empty();
        let command_ready = !sockets[1].revents().is_empty();
        Ok(match wanted == PollFlags::OUT {
            // A connection that takes data without end would hide an ABOR for ever.
            true => command_ready,
            false => command_ready && !data_ready,
        })
    }
}
