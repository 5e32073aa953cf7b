//! One data connection of a scripted server.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ServerConfig;

use super::stream::ServerStream;
use crate::client::End;

/// A data connection between the gateway and the server, whoever dialled.
#[derive(Debug)]
pub struct ServerData {
    stream: ServerStream,
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
    pub(super) fn new(tcp: Arc<TcpStream>) -> Self {
        Self { stream: ServerStream::plain(tcp) }
    }

    /// The handshake; whether it resumed a session.
    pub(super) fn start_tls(&mut self, config: Arc<ServerConfig>) -> Result<bool> {
        self.stream.start_tls(config)
    }

    /// Whether this is how a whole upload ends here.
    pub fn is_whole(&self, end: End) -> bool {
        end == if self.stream.is_tls() { End::CloseNotify } else { End::Fin }
    }

    /// Sends.
    ///
    /// # Errors
    ///
    /// The gateway has ended the connection.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Receives exactly this much.
    ///
    /// # Errors
    ///
    /// Less came.
    pub fn receive(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut content = vec![0; count];
        self.stream.read_exact(&mut content)?;
        Ok(content)
    }

    /// Receives everything, and how it ended.
    pub fn receive_to_end(&mut self) -> (Vec<u8>, End) {
        let mut content = Vec::new();
        let end = match self.stream.read_to_end(&mut content) {
            Ok(_) if self.stream.is_tls() => End::CloseNotify,
            Ok(_) => End::Fin,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => End::Fin,
            Err(_) => End::Reset,
        };
        (content, end)
    }

    /// Ends as the RFCs say: close_notify under TLS, then a FIN. Under TLS it then waits until the gateway has ended its
    /// side, as vsftpd and ProFTPD do.
    pub fn finish(mut self) {
        self.stream.send_close_notify();
        self.stream.cut();
        if self.stream.is_tls() {
            self.receive_to_end();
        }
    }

    /// Answers the end of a whole upload with one of its own.
    pub(super) fn finish_upload(mut self) {
        self.stream.send_close_notify();
        self.stream.cut();
    }

    /// Ends with a FIN alone: under TLS a truncation.
    pub fn cut(self) {
        self.stream.cut();
    }

    /// Ends with a reset.
    pub fn reset(self) {
        self.stream.reset();
    }

    /// Waits for the FIN or RST of the gateway, and says nothing.
    pub fn wait_closed(self) {
        let mut buffer = [0; 1024];
        while let Ok(1..) = (&*self.stream.tcp).read(&mut buffer) {}
    }

    /// Sends while no command comes.
    pub(super) fn send_unless_interrupted(&mut self, control: &TcpStream, bytes: &[u8]) -> Result<Stopped> {
        self.stream.tcp.set_nonblocking(true)?;
        let stopped = self.send_in_turns(control, bytes);
        self.stream.tcp.set_nonblocking(false)?;
        stopped
    }

    fn send_in_turns(&mut self, control: &TcpStream, bytes: &[u8]) -> Result<Stopped> {
        let mut rest = bytes;
        loop {
            if let Some(tls) = &mut self.stream.tls {
                // As much as it is willing to hold.
                rest = &rest[tls.writer().write(rest)?..];
            }
            let is_through = match &self.stream.tls {
                Some(tls) => !tls.wants_write(),
                None => rest.is_empty(),
            };
            if is_through {
                return Ok(Stopped::Ended(End::Fin));
            }
            if self.wait_or_command(control, PollFlags::OUT)? {
                return Ok(Stopped::Interrupted);
            }
            let mut tcp = &*self.stream.tcp;
            let written = match &mut self.stream.tls {
                Some(tls) => tls.write_tls(&mut tcp),
                None => tcp.write(rest).inspect(|&count| rest = &rest[count..]),
            };
            match written {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Ok(Stopped::Ended(End::Reset)),
            }
        }
    }

    /// Receives to the end while no command comes.
    pub(super) fn receive_unless_interrupted(
        &mut self,
        control: &TcpStream,
        content: &mut Vec<u8>,
    ) -> Result<Stopped> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(tls) = &mut self.stream.tls {
                match tls.reader().read(&mut buffer) {
                    Ok(0) => return Ok(Stopped::Ended(End::CloseNotify)),
                    Ok(count) => {
                        content.extend_from_slice(&buffer[..count]);
                        continue;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                        return Ok(Stopped::Ended(End::Fin));
                    }
                    Err(_) => return Ok(Stopped::Ended(End::Reset)),
                }
            }
            if self.wait_or_command(control, PollFlags::IN)? {
                return Ok(Stopped::Interrupted);
            }
            let mut tcp = &*self.stream.tcp;
            match &mut self.stream.tls {
                Some(tls) => {
                    if tls.read_tls(&mut tcp).is_err() || tls.process_new_packets().is_err() {
                        return Ok(Stopped::Ended(End::Reset));
                    }
                }
                None => match tcp.read(&mut buffer) {
                    Ok(0) => return Ok(Stopped::Ended(End::Fin)),
                    Ok(count) => content.extend_from_slice(&buffer[..count]),
                    Err(_) => return Ok(Stopped::Ended(End::Reset)),
                },
            }
        }
    }

    /// Waits until the data connection is ready; whether a command came first. Data that is ready goes first, so
    /// that a command behind the end of a transfer does not look like one in the middle.
    fn wait_or_command(&self, control: &TcpStream, wanted: PollFlags) -> Result<bool> {
        let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
        let mut sockets = [
            PollFd::from_borrowed_fd(self.stream.tcp.as_fd(), wanted),
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
