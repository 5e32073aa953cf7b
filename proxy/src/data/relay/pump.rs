//! The loop that moves one transfer's bytes: wait without a buffer, fill one, deliver it whole, repeat.
//!
//! While it waits for either side it also listens to the sink, which has nothing to say but may leave, and to the
//! watch. All I/O is polled, which spends tokio's cooperative budget: a transfer that never has to wait still yields
//! to its neighbours every few megabytes.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ftpsgate_policies::limit::bandwidth::Grant;
use tokio::time::{Instant, sleep};

use super::buffers::{Buffer, Size};
use super::splice::Pipe;
use super::watch::{Lapse, Watch};
use super::{Limits, Progress, RelayEnd};
use crate::data::Side;
use crate::data::leg::{Absorbed, Filled, Leg, StreamEnd};
use crate::limits::Bounds;

/// What the end of the sink's own stream means while bytes are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SinkClose {
    /// The transfer is over at once: a server that closes an upload does not want the rest.
    Fails,
    /// Only a hint. A client that knows the file's size (curl) closes when it has all of it, which may be before the
    /// backend's end has come; and it may close its sending half only. Bytes keep going, and a connection that is
    /// really gone resets us. If there are none to send, patience ends after [`DEPARTED_PATIENCE`].
    Tolerated,
}

/// Moves bytes from a source to a sink.
pub(super) struct Pump<'legs> {
    pub(super) source: &'legs mut Leg,
    pub(super) source_side: Side,
    pub(super) sink: &'legs mut Leg,
    pub(super) sink_side: Side,
    pub(super) sink_close: SinkClose,
    pub(super) watch: Watch,
    /// Payload that was delivered is counted here.
    pub(super) progress: &'legs Progress,
    stall_timeout: Duration,
    bounds: Bounds,
    /// Whether the sink has closed at least its sending half.
    departed: bool,
}

impl<'legs> Pump<'legs> {
    pub(super) fn new(
        (source_side, source): (Side, &'legs mut Leg),
        (sink_side, sink): (Side, &'legs mut Leg),
        sink_close: SinkClose,
        limits: &Limits,
        progress: &'legs Progress,
    ) -> Self {
        Self {
            source,
            source_side,
            sink,
            sink_side,
            sink_close,
            watch: Watch::new(limits),
            progress,
            stall_timeout: limits.stall_timeout,
            bounds: progress.take_bounds(),
            departed: false,
        }
    }

    /// Runs until the source's stream ends or the transfer fails.
    pub(super) async fn run(&mut self) -> Result<StreamEnd, RelayEnd> {
        let mut may_splice = !self.source.is_tls() && !self.sink.is_tls();
        let mut size = Size::Large;
        loop {
            if may_splice && self.progress.bytes() >= SPLICE_AFTER {
                match Pipe::new() {
                    Ok(pipe) => return pipe.run(self).await,
                    // No descriptor, or no pipe memory left for this user: copying always works.
                    Err(_) => may_splice = false,
                }
            }
            self.source_ready().await?;
            let mut buffer = Buffer::lend(size);
            let filled = poll_fn(|context| {
                // Pending here would mean to hold the buffer while nothing flows.
                Poll::Ready(match self.source.poll_fill(context, &mut buffer) {
                    Poll::Ready(filled) => Some(filled),
                    Poll::Pending => None,
                })
            });
            match filled.await {
                None => {}
                Some(Ok(Filled::Bytes(bytes))) => {
                    self.check_size(bytes)?;
                    size = self.deliver_in_time(&buffer[..bytes]).await?;
                }
                Some(Ok(Filled::End(end))) => return Ok(end),
                Some(Err(error)) if error.is_reset() => {
                    return Err(RelayEnd::Truncated { side: self.source_side });
                }
                Some(Err(error)) => return Err(RelayEnd::SourceFailed { side: self.source_side, error }),
            }
        }
    }

    /// Waits until the source has something to say.
    pub(super) async fn source_ready(&mut self) -> Result<(), RelayEnd> {
        poll_fn(|context| {
            if let Poll::Ready(end) = self.poll_sink(context) {
                return Poll::Ready(Err(end));
            }
            if self.source.poll_fill_ready(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            // Answers to what was absorbed; an error shows again when payload is written.
            let _ = self.sink.poll_flush(context, &mut 0);
            self.poll_watch(context, self.source_side).map(Err)
        })
        .await
    }

    /// Waits until the sink may take more; for those who write by themselves.
    pub(super) async fn sink_ready(&mut self) -> Result<(), RelayEnd> {
        poll_fn(|context| {
            if let Poll::Ready(end) = self.poll_sink(context) {
                return Poll::Ready(Err(end));
            }
            if self.sink.tcp().poll_write_ready(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            self.poll_watch(context, self.sink_side).map(Err)
        })
        .await
    }

    /// Whether so many bytes more are still within the size that the file may have.
    pub(super) fn check_size(&self, bytes: usize) -> Result<(), RelayEnd> {
        match self.bounds.file_bytes_max {
            Some(most) if self.progress.bytes() + bytes as u64 > most => Err(RelayEnd::TooLarge),
            Some(_) | None => Ok(()),
        }
    }

    /// How many of these bytes may be written now; waits until it is at least one. All of them where no limit holds.
    pub(super) async fn allowance(&mut self, bytes: usize) -> Result<usize, RelayEnd> {
        loop {
            let wait = match self.bounds.throttle.as_mut().map(|throttle| throttle.request(bytes as u64)) {
                None => return Ok(bytes),
                Some(Grant::Bytes(granted)) => {
                    return Ok(usize::try_from(granted).unwrap_or(bytes).min(bytes));
                }
                Some(Grant::Wait(wait)) => wait,
            };
            let mut timer = pin!(sleep(wait));
            poll_fn(|context| match self.poll_sink(context) {
                Poll::Ready(end) => Poll::Ready(Err(end)),
                Poll::Pending => timer.as_mut().poll(context).map(Ok),
            })
            .await?;
            self.watch.excuse();
        }
    }

    /// Delivers `payload` as fast as limits and the sink allow.
    async fn deliver_in_time(&mut self, payload: &[u8]) -> Result<Size, RelayEnd> {
        let mut size = Size::Large;
        let mut rest = payload;
        while !rest.is_empty() {
            let allowed = self.allowance(rest.len()).await?;
            let (now, later) = rest.split_at(allowed);
            size = self.deliver(now).await?;
            self.progress.add(now.len() as u64);
            rest = later;
            if !rest.is_empty() {
                // It waits with what it holds: that should not be much.
                size = Size::Small;
            }
        }
        Ok(size)
    }

    /// Writes `payload` to the sink, all of it. Answers how large the next chunk should be.
    async fn deliver(&mut self, mut payload: &[u8]) -> Result<Size, RelayEnd> {
        let mut blocked_at = None;
        while !payload.is_empty() {
            let mut unsent = self.sink.stage(payload).map_err(|error| self.sink_failed(error))?;
            // What TLS took is its own now; plain legs write from the chunk itself.
            payload = if self.sink.is_tls() { unsent } else { &[] };
            let written = poll_fn(|context| {
                let unsent = if self.sink.is_tls() { &mut &[][..] } else { &mut unsent };
                match self.sink.poll_send(context, unsent, &mut self.watch.moved) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(self.sink_failed(error))),
                    Poll::Pending => {}
                }
                blocked_at.get_or_insert_with(Instant::now);
                if let Poll::Ready(end) = self.poll_sink(context) {
                    return Poll::Ready(Err(end));
                }
                self.poll_watch(context, self.sink_side).map(Err)
            });
            written.await?;
        }
        Ok(match blocked_at {
            Some(since) if since.elapsed() > SLOW_CHUNK => Size::Small,
            Some(_) | None => Size::Large,
        })
    }

    pub(super) fn sink_failed(&self, error: impl Into<crate::data::LegError>) -> RelayEnd {
        RelayEnd::SinkFailed { side: self.sink_side, error: Some(error.into()) }
    }

    /// Listens to the sink. Ready if that ends the transfer.
    fn poll_sink(&mut self, context: &mut Context<'_>) -> Poll<RelayEnd> {
        let Poll::Ready(absorbed) = self.sink.poll_absorb(context) else { return Poll::Pending };
        match absorbed {
            Ok(Absorbed::Violation) => Poll::Ready(RelayEnd::Violation { side: self.sink_side }),
            Ok(Absorbed::Ended) => match self.sink_close {
                SinkClose::Fails => Poll::Ready(RelayEnd::SinkFailed { side: self.sink_side, error: None }),
                SinkClose::Tolerated => {
                    self.departed = true;
                    Poll::Pending
                }
            },
            Err(error) => Poll::Ready(self.sink_failed(error)),
        }
    }

    /// Looks at the limits while `side` is waited for.
    fn poll_watch(&mut self, context: &mut Context<'_>, side: Side) -> Poll<RelayEnd> {
        let abandoned = self.departed && side == self.source_side;
        let patience = if abandoned { self.stall_timeout.min(DEPARTED_PATIENCE) } else { self.stall_timeout };
        self.watch.poll(context, patience).map(|lapse| match lapse {
            Lapse::Stalled if abandoned => RelayEnd::SinkFailed { side: self.sink_side, error: None },
            Lapse::Stalled => RelayEnd::Stalled { side },
            Lapse::TooSlow => RelayEnd::TooSlow { side },
        })
    }
}

/// Small files are not worth a pipe.
const SPLICE_AFTER: u64 = 128 * 1024;

/// A sink that takes longer for a chunk gets small ones.
const SLOW_CHUNK: Duration = Duration::from_millis(250);

/// How long a client that has closed its half may be kept without a byte for it.
const DEPARTED_PATIENCE: Duration = Duration::from_secs(2);
