//! Bytes that wait to be written to a control connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

/// What was said and is not yet written. Bounded by its users: each reply of a backend is, and none is read while
/// much waits here.
#[derive(Debug, Default)]
pub(super) struct Output {
    waiting: BytesMut,
    /// The writer may still hold some of what was written.
    is_unflushed: bool,
}

impl Output {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        self.is_unflushed = true;
    }

    /// Whether everything was written and flushed.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.is_unflushed
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Writes and flushes; may be dropped and polled again.
    pub(super) fn poll_drain<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut *writer).poll_write(context, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        self.waiting = BytesMut::new();
        ready!(Pin::new(writer).poll_flush(context))?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }
}
