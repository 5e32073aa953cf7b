//! A tokio socket seen through `std::io`, for rustls' `read_tls` and `write_tls`.
//!
//! "Not ready" becomes [`io::ErrorKind::WouldBlock`], and the task is then registered to be woken. The polling
//! methods are used, not `try_read`/`try_write`: they learn from a short read or write that the socket is drained,
//! which saves one system call a wake-up, and they spend tokio's cooperative budget, so that a busy connection
//! cannot starve its neighbours.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Borrows a socket and a task for one round of non-blocking reads and writes.
pub struct PendingIo<'socket, 'task, 'waker> {
    tcp: &'socket mut TcpStream,
    context: &'task mut Context<'waker>,
}

impl<'socket, 'task, 'waker> PendingIo<'socket, 'task, 'waker> {
    /// Reads from and writes to `tcp`; what is not ready wakes the task of `context`.
    pub fn new(tcp: &'socket mut TcpStream, context: &'task mut Context<'waker>) -> Self {
        Self { tcp, context }
    }
}

impl Read for PendingIo<'_, '_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        ready(Pin::new(&mut *self.tcp).poll_read(self.context, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for PendingIo<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ready(Pin::new(&mut *self.tcp).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        ready(Pin::new(&mut *self.tcp).poll_write_vectored(self.context, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ready<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
