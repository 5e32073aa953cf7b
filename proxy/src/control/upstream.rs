//! A backend's control connection: commands out, replies in, plain or under TLS.
//!
//! TLS that ends without close_notify is an end like any other here: a reply is whole or it is none.

use std::future::poll_fn;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ftpsgate_ftp::codec::{Command, Kind, Reply, ReplyDecoder, ReplyError};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tracing::{debug, info};

use super::READ_BYTES;
use super::output::Output;
use crate::tls::{HandshakeError, UpstreamControl, UpstreamTls, advice};

/// The connection.
#[derive(Debug)]
pub struct Upstream {
    stream: Stream,
    replies: ReplyDecoder,
    output: Output,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    /// Boxed: sessions with plain backends should not carry the size of a TLS connection.
    Tls(Box<TlsStream<TcpStream>>),
}

/// What reading from the backend gave.
pub type ServerReply = Option<Result<Reply, ReplyError>>;

/// Bytes of the backend were waiting where none were asked for.
#[derive(Debug, thiserror::Error)]
#[error("unsolicited bytes from the server")]
pub struct Unsolicited {
    /// What they say, if they begin with a whole 421: that may come at any time.
    pub goodbye: Option<Reply>,
}

/// A plain connection in which nothing was waiting behind the last reply: the only thing that can be put under TLS.
///
/// A reply that somebody has injected behind the 234 would else be taken for one that came under TLS (CVE-2011-0411
/// and its family, seen from the client).
#[derive(Debug)]
pub struct Silent {
    stream: TcpStream,
}

impl Silent {
    /// Puts the connection under TLS; nothing is left of what was before. May be cancelled, which closes it.
    ///
    /// # Errors
    ///
    /// The handshake failed; the connection is closed.
    pub async fn secure(
        self,
        tls: &UpstreamTls,
        patience: Duration,
    ) -> Result<(Upstream, UpstreamControl), HandshakeError> {
        let (stream, agreed) = tls.connect_control(self.stream, patience).await?;
        Ok((Upstream::tls(stream), agreed))
    }
}

/// Why a connection cannot be put under TLS.
#[derive(Debug, thiserror::Error)]
pub enum NotSilent {
    /// Bytes were waiting behind the 234: the connection is not to be trusted any more.
    #[error("the server, or somebody in its name, sent bytes in clear behind its 234")]
    PlaintextInjection,
    /// It is gone, or something of ours still waits to be written.
    #[error("the connection to the server is not ready for TLS")]
    Unready,
}

impl Upstream {
    /// A connection in clear.
    pub fn plain(stream: TcpStream) -> Self {
        Self::new(Stream::Plain(stream))
    }

    /// A connection under TLS, after its handshake.
    pub fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::new(Stream::Tls(Box::new(stream)))
    }

    fn new(stream: Stream) -> Self {
        Self { stream, replies: ReplyDecoder::default(), output: Output::default() }
    }

    /// Whether TLS protects it.
    pub fn is_tls(&self) -> bool {
        match self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(_) => true,
        }
    }

    /// Proves that nothing is buffered behind the last reply, here or in the kernel, and gives what can be put under
    /// TLS.
    ///
    /// # Errors
    ///
    /// Something is, or the connection is not one that can.
    pub fn silent(self) -> Result<Silent, NotSilent> {
        if !self.replies.is_empty() {
            return Err(NotSilent::PlaintextInjection);
        }
        match self.stream {
            Stream::Plain(stream) if self.output.is_empty() => {
                // The kernel is asked, not tokio, which may not have heard yet of what has come.
                match SockRef::from(&stream).peek(&mut [MaybeUninit::uninit()]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Silent { stream }),
                    Ok(1..) => Err(NotSilent::PlaintextInjection),
                    Ok(0) | Err(_) => Err(NotSilent::Unready),
                }
            }
            Stream::Plain(_) | Stream::Tls(_) => Err(NotSilent::Unready),
        }
    }

    /// The server's address.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.stream.tcp().peer_addr()
    }

    /// Our address towards the server; its data connections must come from there.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.tcp().local_addr()
    }

    /// The next reply; `None` when the backend has closed, or the connection is broken. May be cancelled.
    pub async fn next_reply(&mut self) -> ServerReply {
        poll_fn(|context| self.poll_reply(context)).await
    }

    fn poll_reply(&mut self, context: &mut Context<'_>) -> Poll<ServerReply> {
        loop {
            if let Some(reply) = self.replies.next_reply() {
                if matches!(&reply, Ok(reply) if reply.kind() == Kind::Preliminary) {
                    self.acknowledge();
                }
                return Poll::Ready(Some(reply));
            }
            if !self.replies.is_empty() {
                self.acknowledge();
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut space);
            match ready!(self.stream.poll_read(context, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(None),
                Ok(()) => {}
                Err(error) => {
                    tell(&error);
                    return Poll::Ready(None);
                }
            }
            self.replies.feed(buffer.filled());
        }
    }

    /// Acknowledges what has come where more is to come. Many servers leave Nagle's algorithm on: they send the 226, or
    /// the rest of a long reply, only once what is before it is acknowledged, and we have nothing to say that could carry
    /// that. Measured: 40 ms a file.
    fn acknowledge(&self) {
        // Only speed is lost where this fails.
        let _ = self.stream.tcp().set_quickack(true);
    }

    /// Sends a command into silence: it is an error if the backend has said anything that was not read. Under TLS that
    /// is what it has said inside; tickets and other business of TLS are taken in here.
    ///
    /// # Errors
    ///
    /// It has: its next reply would be taken for the answer to this command. Or it has said goodbye to TLS.
    pub fn send(&mut self, command: &Command) -> Result<(), Unsolicited> {
        let mut space = [0; READ_BYTES];
        // The kernel is asked, not tokio, which may not have heard yet of what has come. A backend that has closed is
        // noticed by the next read.
        let mut is_over = false;
        match &mut self.stream {
            Stream::Plain(stream) => {
                if let Ok(count @ 1..) = (&*SockRef::from(&*stream)).read(&mut space) {
                    self.replies.feed(&space[..count]);
                }
            }
            Stream::Tls(stream) => {
                let Heard { plaintext, closed } = hear(stream, &mut space);
                self.replies.feed(&space[..plaintext]);
                is_over = closed;
            }
        }
        if is_over || !self.replies.is_empty() {
            let reply = self.replies.next_reply().and_then(Result::ok);
            return Err(Unsolicited { goodbye: reply.filter(|reply| reply.code().value() == 421) });
        }
        self.send_regardless(command);
        Ok(())
    }

    /// Sends a command whatever the backend is saying: ABOR.
    pub fn send_regardless(&mut self, command: &Command) {
        self.output.push(&command.encode());
    }

    /// Whether something waits to be written.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
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
        })
        .await
    }

    /// Writes what waits (a QUIT), says close_notify where there is TLS, and closes; gives up after `patience`.
    pub async fn close(mut self, patience: Duration) {
        let farewell = async {
            if self.has_output() {
                self.flush().await?;
            }
            match &mut self.stream {
                Stream::Plain(stream) => stream.shutdown().await,
                Stream::Tls(stream) => stream.shutdown().await,
            }
        };
        let _: Result<io::Result<()>, _> = timeout(patience, farewell).await;
    }
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

/// What a TLS connection had to say when nothing was asked of it.
struct Heard {
    /// Bytes of plaintext, now at the start of the space.
    plaintext: usize,
    /// By close_notify, an alert or an error.
    closed: bool,
}

/// Takes in what the kernel has, without waiting, until it has no more or the server is found to have said something.
fn hear(stream: &mut TlsStream<TcpStream>, space: &mut [u8]) -> Heard {
    let (tcp, connection) = stream.get_mut();
    let socket = SockRef::from(&*tcp);
    let mut records = 0;
    loop {
        let received = connection.read_tls(&mut &*socket);
        // Also where nothing was received: what came with the last reply may be unread.
        let Ok(state) = connection.process_new_packets() else {
            return Heard { plaintext: 0, closed: true };
        };
        if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
            let plaintext = connection.reader().read(space).unwrap_or(0);
            return Heard { plaintext, closed: state.peer_has_closed() };
        }
        match received {
            Ok(1..) if records < RECORDS_MAX => records += 1,
            // Who never stops sending records without content is not silent.
            Ok(1..) => return Heard { plaintext: 0, closed: true },
            Ok(0) | Err(_) => return Heard { plaintext: 0, closed: false },
        }
    }
}

/// A server that ends its TLS by an alert says why: under TLS 1.3 this is how a client certificate is refused.
fn tell(error: &io::Error) {
    match error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>()) {
        Some(source) => {
            let advice = advice(&HandshakeError::Tls(source.clone()));
            info!(error = %source, advice, "the server ended TLS on its control connection");
        }
        None => debug!(%error, "the server's control connection is broken"),
    }
}

/// Reads of one [`Upstream::send`], each of at least a record's part: servers give two tickets, or four.
const RECORDS_MAX: usize = 64;

#[cfg(test)]
mod tests;
