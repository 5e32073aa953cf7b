//! A backend's control connection: commands out, replies in.

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

use super::READ_BYTES;
use super::output::Output;

/// The connection.
#[derive(Debug)]
pub struct Upstream {
    stream: TcpStream,
    replies: ReplyDecoder,
    output: Output,
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

impl Upstream {
    /// A connection in clear.
    pub fn plain(stream: TcpStream) -> Self {
        Self { stream, replies: ReplyDecoder::default(), output: Output::default() }
    }

    /// The server's address.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Our address towards the server; its data connections must come from there.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The next reply; `None` when the backend has closed, or the connection is broken. May be cancelled.
    pub async fn next_reply(&mut self) -> ServerReply {
        poll_fn(|context| self.poll_reply(context)).await
    }

    fn poll_reply(&mut self, context: &mut Context<'_>) -> Poll<ServerReply> {
        loop {
            if let Some(reply) = self.replies.next_reply() {
                if let Ok(reply) = &reply {
                    self.acknowledge(reply);
                }
                return Poll::Ready(Some(reply));
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(None);
            }
            self.replies.feed(buffer.filled());
        }
    }

    /// Many servers leave Nagle's algorithm on: they send the 226 only once the 150 is acknowledged, and we have
    /// nothing to say that could carry that. Measured: 40 ms a file.
    fn acknowledge(&self, reply: &Reply) {
        if reply.kind() == Kind::Preliminary {
            // Only speed is lost where this fails.
            let _ = self.stream.set_quickack(true);
        }
    }

    /// Sends a command into silence: it is an error if the backend has said anything that was not read.
    ///
    /// # Errors
    ///
    /// It has: its next reply would be taken for the answer to this command.
    pub fn send(&mut self, command: &Command) -> Result<(), Unsolicited> {
        let mut space = [0; READ_BYTES];
        // The kernel is asked, not tokio, which may not have heard yet of what has come. A backend that has closed is
        // noticed by the next read.
        if let Ok(count @ 1..) = (&*SockRef::from(&self.stream)).read(&mut space) {
            self.replies.feed(&space[..count]);
        }
        if !self.replies.is_empty() {
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
        poll_fn(|context| self.output.poll_drain(&mut self.stream, context)).await
    }

    /// Writes what waits (a QUIT) and closes; gives up after `patience`.
    pub async fn close(mut self, patience: Duration) {
        let farewell = async {
            if self.has_output() {
                self.flush().await?;
            }
            self.stream.shutdown().await
        };
        let _: Result<io::Result<()>, _> = timeout(patience, farewell).await;
    }
}
