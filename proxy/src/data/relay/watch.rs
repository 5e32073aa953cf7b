//! Deadlines of a transfer: no byte for too long, or too few of them.
//!
//! Moving bytes costs the watch one addition. It looks at the clock only when its timer fires, a few times per
//! `stall_timeout` and at least once a second while someone is waited for.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::Limits;

/// Watches one transfer.
pub(super) struct Watch {
    min_rate: u64,
    tick: Duration,
    timer: Pin<Box<Sleep>>,
    /// Bytes that the sink's socket took, as they are on the wire.
    pub(super) moved: u64,
    moved_at_tick: u64,
    still_since: Instant,
    rate: Option<Box<RateWindow>>,
}

/// What the watch noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lapse {
    /// Nothing moved for as long as the caller had patience.
    Stalled,
    /// A full window holds too few bytes.
    TooSlow,
}

impl Watch {
    pub(super) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        let tick = (limits.stall_timeout / 8).clamp(TICK_MIN, TICK_MAX);
        Self {
            min_rate: limits.min_rate,
            tick,
            timer: Box::pin(sleep_until(now + tick)),
            moved: 0,
            moved_at_tick: 0,
            still_since: now,
            rate: (limits.min_rate > 0).then(|| Box::new(RateWindow::new(now))),
        }
    }

    /// It was us who let nothing move: neither side is to blame for the time until now.
    pub(super) fn excuse(&mut self) {
        let now = Instant::now();
        self.still_since = now;
        if let Some(rate) = &mut self.rate {
            **rate = RateWindow::new(now);
        }
    }

    /// Ready when the rate is too low, or nothing has moved for `patience`.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, patience: Duration) -> Poll<Lapse> {
        while self.timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if self.moved != self.moved_at_tick {
                self.moved_at_tick = self.moved;
                self.still_since = now;
            } else if now.duration_since(self.still_since) >= patience {
                return Poll::Ready(Lapse::Stalled);
            }
            if let Some(rate) = &mut self.rate
                && rate.is_below(self.min_rate, self.moved, now)
            {
                return Poll::Ready(Lapse::TooSlow);
            }
            self.timer.as_mut().reset(now + self.tick);
        }
        Poll::Pending
    }
}

/// The last minute, in slots: a slow transfer is noticed at most one slot late.
struct RateWindow {
    slot_ends: Instant,
    /// The counter at the start of the current slot and of those before it, oldest first.
    marks: [u64; RATE_SLOTS as usize],
    full: u32,
}

impl RateWindow {
    fn new(now: Instant) -> Self {
        Self { slot_ends: now + RATE_SLOT, marks: [0; RATE_SLOTS as usize], full: 0 }
    }

    fn is_below(&mut self, min_rate: u64, moved: u64, now: Instant) -> bool {
        if now < self.slot_ends {
            return false;
        }
        self.slot_ends += RATE_SLOT;
        self.full = (self.full + 1).min(RATE_SLOTS);
        let in_window = moved - self.marks[0];
        self.marks.rotate_left(1);
        self.marks[RATE_SLOTS as usize - 1] = moved;
        self.full == RATE_SLOTS && in_window < min_rate.saturating_mul(RATE_WINDOW.as_secs())
    }
}

const RATE_WINDOW: Duration = Duration::from_secs(60);
const RATE_SLOTS: u32 = 6;
const RATE_SLOT: Duration = Duration::from_secs(RATE_WINDOW.as_secs() / RATE_SLOTS as u64);

const TICK_MIN: Duration = Duration::from_millis(10);
const TICK_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_transfer_that_does_not_move_stalls_on_time() {
        let started = Instant::now();
        let limits = Limits { stall_timeout: Duration::from_secs(60), min_rate: 0 };
        let mut watch = Watch::new(&limits);
        let lapse = poll_fn(|context| watch.poll(context, limits.stall_timeout)).await;
        assert_eq!(lapse, Lapse::Stalled);
        let waited = started.elapsed();
        assert!(waited >= Duration::from_secs(60) && waited <= Duration::from_secs(61), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_no_stall_but_too_slow() {
        let limits = Limits { stall_timeout: Duration::from_secs(5), min_rate: 2 };
        for (bytes_a_second, limits, expected) in [
            (1, limits, Some(Lapse::TooSlow)),
            (3, limits, None),
            (1, Limits { min_rate: 0, ..limits }, None),
        ] {
            let started = Instant::now();
            let mut watch = Watch::new(&limits);
            let mut seconds = 0;
            let lapse = loop {
                let step = tokio::time::timeout(
                    Duration::from_secs(1),
                    poll_fn(|context| watch.poll(context, limits.stall_timeout)),
                );
                match step.await {
                    Ok(lapse) => break Some(lapse),
                    Err(_) if seconds == 200 => break None,
                    Err(_) => {
                        seconds += 1;
                        watch.moved += bytes_a_second;
                    }
                }
            };
            assert_eq!(lapse, expected, "{bytes_a_second} B/s under {limits:?}");
            if lapse.is_some() {
                let waited = started.elapsed();
                assert!(waited >= Duration::from_secs(60) && waited <= Duration::from_secs(71), "{waited:?}");
            }
        }
    }
}
