//! Plain to plain: the kernel moves the bytes through a pipe, and none of them passes through this process.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;

use super::RelayEnd;
use super::pump::Pump;
use crate::data::LegError;
use crate::data::leg::StreamEnd;

/// A pipe of [`PIPE_BYTES`]; empty whenever the source is read.
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    /// # Errors
    /// No descriptors are left, or this user's pipes hold as many pages as they may.
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&writer, PIPE_BYTES)?;
        Ok(Self { reader, writer })
    }

    /// Carries on where `pump` stopped copying.
    pub(super) async fn run(self, pump: &mut Pump<'_>) -> Result<StreamEnd, RelayEnd> {
        loop {
            pump.source_ready().await?;
            match self.fill(pump) {
                Ok(0) => return Ok(StreamEnd::Clean),
                Ok(bytes) => {
                    pump.check_size(bytes)?;
                    self.drain(pump, bytes).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    let (side, error) = (pump.source_side, LegError::from(error));
                    return Err(if error.is_reset() {
                        RelayEnd::Truncated { side }
                    } else {
                        RelayEnd::SourceFailed { side, error }
                    });
                }
            }
        }
    }

    fn fill(&self, pump: &Pump<'_>) -> io::Result<usize> {
        let source = pump.source.tcp();
        source
            .try_io(Interest::READABLE, || Ok(splice(source, None, &self.writer, None, PIPE_BYTES, flags())?))
    }

    async fn drain(&self, pump: &mut Pump<'_>, mut bytes: usize) -> Result<(), RelayEnd> {
        let mut allowed = 0;
        while bytes > 0 {
            if allowed == 0 {
                allowed = pump.allowance(bytes).await?;
            }
            pump.sink_ready().await?;
            let sink = pump.sink.tcp();
            let moved = sink
                .try_io(Interest::WRITABLE, || Ok(splice(&self.reader, None, sink, None, allowed, flags())?));
            match moved {
                Ok(moved) => {
                    bytes -= moved;
                    allowed -= moved;
                    pump.progress.add(moved as u64);
                    pump.watch.moved += moved as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(pump.sink_failed(error)),
            }
        }
        Ok(())
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

/// The most that an unprivileged pipe may hold by default (`/proc/sys/fs/pipe-max-size`).
const PIPE_BYTES: usize = 1024 * 1024;
