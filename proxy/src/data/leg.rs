//! One data connection and its protection: plain TCP, or TLS in either role.
//!
//! A leg never ends cleanly by accident. Dropping one resets its connection (RST, no close_notify), so a cancelled
//! transfer looks broken to both peers; only [`Leg::finish`] says "this was all of it", and a download's leg may be
//! finished only once the relay has delivered everything to it.
//!
//! RFC 8446 §6.1 and RFC 5246 §7.2.1 (closure alerts), RFC 959 §3.4 (end of file is the close of the connection).

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::sockopt::set_tcp_cork;
use rustls::{ClientConnection, Connection, Reader, ServerConnection};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::tls::{PendingIo, SameServer};

mod error;
mod lingering;

pub use error::{FinishError, LegError};
pub use lingering::Lingering;

/// One of a transfer's two data connections.
pub struct Leg {
    tcp: TcpStream,
    /// Boxed: a plain leg should not carry the size of a TLS connection.
    tls: Option<Box<Connection>>,
    reading: Reading,
    writing: Writing,
    /// Payload that came from a direction that has none.
    unsolicited: usize,
}

/// How far a leg's incoming stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Decrypted bytes may lie in the TLS connection; look there before the socket.
    Buffered,
    /// Nothing more without the socket.
    Socket,
    /// There will be nothing more.
    Ended(StreamEnd),
}

/// How far a leg's outgoing stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// Bytes are owed, or nothing says that they are not.
    Unfinished,
    /// The relay wrote everything that there was.
    Delivered,
    /// A clean end was written.
    Finished,
}

/// How a peer ended its stream without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// By close_notify, or by FIN on a plain leg.
    Clean,
    /// By FIN on a TLS leg: whoever sits in between could have sent that.
    WithoutCloseNotify,
}

/// What [`Leg::poll_fill`] got.
pub(super) enum Filled {
    /// This many bytes of payload stand at the start of the buffer; at least one.
    Bytes(usize),
    /// The stream is over.
    End(StreamEnd),
}

/// What [`Leg::poll_absorb`] came upon.
pub(super) enum Absorbed {
    /// The peer ended its stream, which carries nothing anyway.
    Ended,
    /// The peer keeps sending payload where there should be none.
    Violation,
}

impl Leg {
    /// A leg without protection.
    pub fn plain(tcp: TcpStream) -> Self {
        Self { tcp, tls: None, reading: Reading::Socket, writing: Writing::Unfinished, unsolicited: 0 }
    }

    /// A client's leg under TLS, after its handshake; payload that came with the handshake's last message is kept.
    pub fn tls(tcp: TcpStream, connection: ServerConnection) -> Self {
        Self::under_tls(tcp, connection)
    }

    /// A server's leg under TLS, which is the server of the control connection.
    pub fn towards_server(tcp: TcpStream, connection: ClientConnection, _proof: SameServer) -> Self {
        Self::under_tls(tcp, connection)
    }

    pub(super) fn under_tls(tcp: TcpStream, connection: impl Into<Connection>) -> Self {
        let mut connection = Box::new(connection.into());
        // The relay stages one chunk at a time and waits until it is written; a limit would only cut it up.
        connection.set_buffer_limit(None);
        Self {
            tcp,
            tls: Some(connection),
            reading: Reading::Buffered,
            writing: Writing::Unfinished,
            unsolicited: 0,
        }
    }

    /// Whether TLS protects this leg.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the peer sent close_notify.
    pub fn close_notify_seen(&self) -> bool {
        self.is_tls() && self.reading == Reading::Ended(StreamEnd::Clean)
    }

    /// Ends the connection by RST and without close_notify: the peer must not take what it has for complete.
    pub fn reset(self) {
        drop(self);
    }

    /// Says that this was all: close_notify where there is TLS, then FIN.
    ///
    /// # Errors
    /// The peer is gone, or took nothing for `patience`; the leg is reset.
    pub async fn finish(mut self, patience: Duration) -> Result<Lingering, FinishError> {
        self.write_end(patience).await?;
        Ok(Lingering::new(self))
    }

    pub(super) async fn write_end(&mut self, patience: Duration) -> Result<(), FinishError> {
        if let Some(connection) = &mut self.tls {
            connection.send_close_notify();
            // The FIN then takes close_notify along: one packet, one wake-up of the peer. Without it there are two.
            let _ = set_tcp_cork(&self.tcp, true);
        }
        let end = poll_fn(|context| {
            ready!(self.poll_flush(context, &mut 0))?;
            // Not tokio's own, which hides that there is no connection left to shut down.
            Poll::Ready(SockRef::from(&self.tcp).shutdown(Shutdown::Write).map_err(LegError::from))
        });
        timeout(patience, end).await.map_err(|_| FinishError::Stalled)??;
        self.writing = Writing::Finished;
        Ok(())
    }

    /// Reads to the peer's clean end and keeps nothing; answers how many bytes came. May be cancelled.
    ///
    /// # Errors
    ///
    /// The connection broke, ended without close_notify, or brought more than `bytes_max`.
    pub async fn count_to_end(&mut self, bytes_max: u64) -> io::Result<u64> {
        let mut buffer = vec![0; HEADROOM * 2];
        let mut bytes = 0;
        loop {
            match poll_fn(|context| self.poll_fill(context, &mut buffer)).await.map_err(io::Error::other)? {
                Filled::Bytes(count) => bytes += u64::try_from(count).unwrap_or(u64::MAX),
                Filled::End(StreamEnd::Clean) => return Ok(bytes),
                Filled::End(StreamEnd::WithoutCloseNotify) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "it ended without close_notify",
                    ));
                }
            }
            if bytes > bytes_max {
                return Err(io::Error::other(format!("more than {bytes_max} bytes came")));
            }
        }
    }

    /// The relay is about to write to this leg: until it is done, nobody may finish it.
    pub(super) fn expect_delivery(&mut self) {
        self.writing = Writing::Unfinished;
    }

    pub(super) fn set_delivered(&mut self) {
        self.writing = Writing::Delivered;
    }

    pub(super) fn is_delivered(&self) -> bool {
        self.writing == Writing::Delivered
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Closes a leg from which everything was read, as politely as its peer closed it.
    pub(super) fn close_after_end(mut self) {
        if let Some(connection) = &mut self.tls {
            connection.send_close_notify();
            let mut context = Context::from_waker(std::task::Waker::noop());
            // The peer has ended; whether it still takes our close_notify is its own affair.
            let _ = connection.write_tls(&mut PendingIo::new(&mut self.tcp, &mut context));
        }
        self.writing = Writing::Finished;
    }

    /// Ready as soon as [`Self::poll_fill`] has something to say. No buffer is needed to wait.
    pub(super) fn poll_fill_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        match self.reading {
            Reading::Buffered | Reading::Ended(_) => Poll::Ready(()),
            // An error shows again, and better, when the socket is read.
            Reading::Socket => self.tcp.poll_read_ready(context).map(|_| ()),
        }
    }

    /// Fills the start of `buffer` with payload, as much as one read of the socket gives.
    ///
    /// Under TLS, ciphertext is read behind [`HEADROOM`] and decrypted towards the start of the same buffer: the
    /// plaintext never catches up with the ciphertext, since records only shrink.
    pub(super) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Filled, LegError>> {
        if let Reading::Ended(end) = self.reading {
            return Poll::Ready(Ok(Filled::End(end)));
        }
        let Some(connection) = &mut self.tls else {
            let filled = ready!(poll_read(&mut self.tcp, context, buffer))?;
            return Poll::Ready(Ok(match filled {
                0 => self.ended(StreamEnd::Clean),
                bytes => Filled::Bytes(bytes),
            }));
        };

        let mut plain = 0;
        if self.reading == Reading::Buffered {
            self.reading = Reading::Socket;
            // Wherever the handshake stopped, its last packets may hold payload, or already the end.
            let state = connection.process_new_packets()?;
            plain = take_plaintext(connection.reader(), buffer)?;
            if plain > 0 {
                if plain == buffer.len() {
                    self.reading = Reading::Buffered;
                } else if state.peer_has_closed() {
                    self.reading = Reading::Ended(StreamEnd::Clean);
                }
                return Poll::Ready(Ok(Filled::Bytes(plain)));
            }
            if state.peer_has_closed() {
                return Poll::Ready(Ok(self.ended(StreamEnd::Clean)));
            }
        }

        loop {
            let received = ready!(poll_read(&mut self.tcp, context, &mut buffer[HEADROOM..]))?;
            if received == 0 {
                return Poll::Ready(Ok(self.ended(StreamEnd::WithoutCloseNotify)));
            }
            let (mut taken, end) = (HEADROOM, HEADROOM + received);
            let mut closed = false;
            while taken < end && !closed {
                taken += connection.read_tls(&mut &buffer[taken..end])?;
                closed = connection.process_new_packets()?.peer_has_closed();
                plain += take_plaintext(connection.reader(), &mut buffer[plain..taken])?;
            }
            if closed {
                // Whatever follows a closure alert is to be ignored (RFC 8446 §6.1).
                self.reading = Reading::Ended(StreamEnd::Clean);
            }
            write_pending(connection, &mut self.tcp, context);
            match (plain, self.reading) {
                // Part of a record, or no payload: the socket has been told to wake us when more comes.
                (0, Reading::Socket | Reading::Buffered) => {}
                (0, Reading::Ended(end)) => return Poll::Ready(Ok(Filled::End(end))),
                (bytes, _) => return Poll::Ready(Ok(Filled::Bytes(bytes))),
            }
        }
    }

    /// Seals `bytes` where there is TLS and keeps the records until [`Self::poll_flush`]; takes nothing otherwise.
    pub(super) fn stage<'bytes>(&mut self, bytes: &'bytes [u8]) -> Result<&'bytes [u8], LegError> {
        let Some(connection) = &mut self.tls else { return Ok(bytes) };
        let taken = connection.writer().write(bytes)?;
        Ok(&bytes[taken..])
    }

    /// Writes what TLS has staged and then `unsent`, adding to `written` what the socket took.
    pub(super) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        unsent: &mut &[u8],
        written: &mut u64,
    ) -> Poll<Result<(), LegError>> {
        ready!(self.poll_flush(context, written))?;
        while !unsent.is_empty() {
            let bytes = ready!(Pin::new(&mut self.tcp).poll_write(context, unsent))?;
            *unsent = &unsent[bytes..];
            *written += bytes as u64;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what TLS has staged, several records a system call.
    pub(super) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        written: &mut u64,
    ) -> Poll<Result<(), LegError>> {
        let Some(connection) = &mut self.tls else { return Poll::Ready(Ok(())) };
        while connection.wants_write() {
            match connection.write_tls(&mut PendingIo::new(&mut self.tcp, context)) {
                Ok(bytes) => *written += bytes as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what a peer sends that should only receive: alerts, tickets, key updates, its end. Payload is discarded
    /// up to [`UNSOLICITED_MAX`].
    pub(super) fn poll_absorb(&mut self, context: &mut Context<'_>) -> Poll<Result<Absorbed, LegError>> {
        loop {
            match self.reading {
                // Already told; nothing of interest can come.
                Reading::Ended(_) => return Poll::Pending,
                Reading::Buffered => {}
                Reading::Socket => ready!(self.tcp.poll_read_ready(context))?,
            }
            match ready!(self.poll_discard(context))? {
                ControlFlow::Break(()) => return Poll::Ready(Ok(Absorbed::Ended)),
                ControlFlow::Continue(()) if self.unsolicited > UNSOLICITED_MAX => {
                    return Poll::Ready(Ok(Absorbed::Violation));
                }
                ControlFlow::Continue(()) => {}
            }
        }
    }

    /// One read whose payload is only counted. Breaks at the end of the stream.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<Result<ControlFlow<()>, LegError>> {
        let mut scratch = [0; SCRATCH_BYTES];
        let Some(connection) = &mut self.tls else {
            let bytes = ready!(poll_read(&mut self.tcp, context, &mut scratch))?;
            if bytes == 0 {
                self.reading = Reading::Ended(StreamEnd::Clean);
                return Poll::Ready(Ok(ControlFlow::Break(())));
            }
            self.unsolicited += bytes;
            return Poll::Ready(Ok(ControlFlow::Continue(())));
        };
        let from_socket = self.reading != Reading::Buffered;
        self.reading = Reading::Socket;
        if from_socket {
            match connection.read_tls(&mut PendingIo::new(&mut self.tcp, context)) {
                Ok(0) => {
                    self.reading = Reading::Ended(StreamEnd::WithoutCloseNotify);
                    return Poll::Ready(Ok(ControlFlow::Break(())));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let state = connection.process_new_packets()?;
        while let bytes @ 1.. = take_plaintext(connection.reader(), &mut scratch)? {
            self.unsolicited += bytes;
        }
        if state.peer_has_closed() {
            self.reading = Reading::Ended(StreamEnd::Clean);
            return Poll::Ready(Ok(ControlFlow::Break(())));
        }
        // Tickets that the handshake left behind wait for the first data.
        if from_socket {
            write_pending(connection, &mut self.tcp, context);
        }
        Poll::Ready(Ok(ControlFlow::Continue(())))
    }

    fn ended(&mut self, end: StreamEnd) -> Filled {
        self.reading = Reading::Ended(end);
        Filled::End(end)
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        match self.writing {
            Writing::Finished => {}
            Writing::Unfinished | Writing::Delivered => {
                // Fails only on a socket that has no connection left to reset.
                let _ = self.tcp.set_zero_linger();
            }
        }
    }
}

impl std::fmt::Debug for Leg {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Leg")
            .field("tls", &self.is_tls())
            .field("reading", &self.reading)
            .field("writing", &self.writing)
            .finish_non_exhaustive()
    }
}

fn poll_read(tcp: &mut TcpStream, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(tcp).poll_read(context, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Moves decrypted bytes to the start of `buffer`, as many as there are and fit.
fn take_plaintext(mut plaintext: Reader<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < buffer.len() {
        match plaintext.read(&mut buffer[taken..]) {
            Ok(0) => break, // close_notify
            Ok(bytes) => taken += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

/// Writes answers to post-handshake messages. What does not fit goes out with the next round; what cannot be written
/// must not cost the payload that is still to be read, and a connection that is gone shows when it is read.
fn write_pending(connection: &mut Connection, tcp: &mut TcpStream, context: &mut Context<'_>) {
    while connection.wants_write() && connection.write_tls(&mut PendingIo::new(tcp, context)).is_ok() {}
}

/// Where ciphertext starts in a buffer that plaintext takes from its start. rustls holds back at most one incomplete
/// record (18,437 bytes) between two reads; this is more.
pub(super) const HEADROOM: usize = 20 * 1024;

/// Payload from a direction that has none, before the transfer ends over it.
const UNSOLICITED_MAX: usize = 64 * 1024;

/// For bytes that nobody wants.
const SCRATCH_BYTES: usize = 2 * 1024;
