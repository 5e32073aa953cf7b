//! The client's control connection: command lines in, replies out, plain or under TLS.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ftpsgate_ftp::codec::{LineDecoder, LineError, Reply};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::READ_BYTES;
use super::output::Output;

/// The connection, as it stands.
#[derive(Debug)]
pub struct Downstream {
    stream: Stream,
    lines: LineDecoder,
    line_bytes_max: usize,
    output: Output,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Between two of them, or over.
    Gone,
}

/// What reading from the client gave.
#[derive(Debug)]
pub enum ClientLine {
    /// A line without its CRLF, or why it is none.
    Line(Result<Vec<u8>, LineError>),
    /// Some bytes, and the line is not complete (or, with `false`: nothing is held).
    Partial(bool),
    /// No more will come; the client may still listen.
    Ended,
    /// The connection is gone.
    Closed,
}

/// A plain connection in which nothing was waiting behind the last command: the only thing that can be put under TLS.
///
/// Whoever injects plaintext before the handshake is found out here (RFC 4217 §15.1; CVE-2011-0411 and its family).
#[derive(Debug)]
pub struct Drained {
    stream: TcpStream,
    output: Output,
}

impl Drained {
    /// Writes what waits and then `reply`, the last words in clear, and gives the socket for the handshake.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn say(mut self, reply: &Reply) -> io::Result<TcpStream> {
        self.output.push(&reply.encode());
        poll_fn(|context| self.output.poll_drain(&mut self.stream, context)).await?;
        Ok(self.stream)
    }
}

impl Downstream {
    /// A connection in clear.
    pub fn plain(stream: TcpStream, line_bytes_max: usize) -> Self {
        Self {
            stream: Stream::Plain(stream),
            lines: LineDecoder::new(line_bytes_max),
            line_bytes_max,
            output: Output::default(),
        }
    }

    /// Proves that nothing is buffered, here or in the kernel, and takes the socket out.
    ///
    /// # Errors
    ///
    /// Something is: the connection is not to be trusted any more.
    pub fn drain(&mut self) -> Result<Drained, PlaintextInjection> {
        if !self.lines.is_empty() {
            return Err(PlaintextInjection);
        }
        match std::mem::replace(&mut self.stream, Stream::Gone) {
            Stream::Plain(stream) => {
                // The kernel is asked, not tokio, which may not have heard yet of what has come.
                match SockRef::from(&stream).peek(&mut [MaybeUninit::uninit()]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        Ok(Drained { stream, output: std::mem::take(&mut self.output) })
                    }
                    Ok(_) | Err(_) => Err(PlaintextInjection),
                }
            }
            Stream::Tls(_) | Stream::Gone => Err(PlaintextInjection),
        }
    }

    /// Takes the socket out where TLS is the first thing to be spoken: nothing was read from it.
    pub fn take_unread(&mut self) -> Option<TcpStream> {
        match std::mem::replace(&mut self.stream, Stream::Gone) {
            Stream::Plain(stream) => Some(stream),
            Stream::Tls(_) | Stream::Gone => None,
        }
    }

    /// Goes on under TLS, with nothing left of what was before.
    pub fn secure(&mut self, stream: Box<TlsStream<TcpStream>>) {
        *self = Self { stream: Stream::Tls(stream), ..Self::gone(self.line_bytes_max) };
    }

    fn gone(line_bytes_max: usize) -> Self {
        Self {
            stream: Stream::Gone,
            lines: LineDecoder::new(line_bytes_max),
            line_bytes_max,
            output: Output::default(),
        }
    }

    /// The next thing that the client says. May be cancelled.
    pub async fn next_line(&mut self) -> ClientLine {
        poll_fn(|context| self.poll_line(context)).await
    }

    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<ClientLine> {
        if let Some(line) = self.lines.next_line() {
            return Poll::Ready(ClientLine::Line(line));
        }
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        match ready!(self.stream.poll_read(context, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => return Poll::Ready(ClientLine::Ended),
            Ok(()) => {}
            // A FIN without close_notify ends a control connection as well as one with it: what was said is said.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Poll::Ready(ClientLine::Ended);
            }
            Err(_) => return Poll::Ready(ClientLine::Closed),
        }
        self.lines.feed(buffer.filled());
        Poll::Ready(match self.lines.next_line() {
            Some(line) => ClientLine::Line(line),
            None => ClientLine::Partial(!self.lines.is_empty()),
        })
    }

    /// Whether part of a line is held.
    pub fn holds_partial_line(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Says something; [`Downstream::flush`] writes it.
    pub fn reply(&mut self, reply: &Reply) {
        self.output.push(&reply.encode());
    }

    /// Whether something waits to be written.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether so much waits that nothing more should be said.
    pub fn is_congested(&self) -> bool {
        self.output.len() > OUTPUT_BYTES_MAX
    }

    /// Writes what waits. May be cancelled.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| match &mut self.stream {
            Stream::Plain(stream) => self.output.poll_drain(stream, context),
            Stream::Tls(stream) => self.output.poll_drain(stream.as_mut(), context),
            Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        })
        .await
    }

    /// Writes what waits, says close_notify where there is TLS, and closes; gives up after `patience`.
    pub async fn close(mut self, patience: Duration) {
        let farewell = async {
            if self.has_output() {
                self.flush().await?;
            }
            match &mut self.stream {
                Stream::Plain(stream) => stream.shutdown().await?,
                Stream::Tls(stream) => stream.shutdown().await?,
                Stream::Gone => return Ok(()),
            }
            // What the client still sends would turn our FIN into a reset, and its last reply might be lost.
            self.discard_input().await
        };
        let _: Result<io::Result<()>, _> = timeout(patience, farewell).await;
    }

    async fn discard_input(&mut self) -> io::Result<()> {
        let mut bytes = 0;
        while bytes < DISCARD_BYTES_MAX {
            let count = poll_fn(|context| {
                let mut space = [MaybeUninit::uninit(); READ_BYTES];
                let mut buffer = ReadBuf::uninit(&mut space);
                self.stream.poll_read(context, &mut buffer).map_ok(|()| buffer.filled().len())
            })
            .await?;
            if count == 0 {
                break;
            }
            bytes += count;
        }
        Ok(())
    }
}

impl Stream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

/// Bytes were waiting behind an AUTH.
#[derive(Debug, thiserror::Error)]
#[error("plaintext behind AUTH")]
pub struct PlaintextInjection;

/// Two of the longest replies.
const OUTPUT_BYTES_MAX: usize = 128 * 1024;
/// What a client may still send after its last reply.
const DISCARD_BYTES_MAX: usize = 64 * 1024;
