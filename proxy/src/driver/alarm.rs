//! One timer for all deadlines of a session.
//!
//! Almost every event moves the deadline, mostly to a later time. A timer that is set anew each time costs two trips
//! through the runtime's wheel, and sometimes a wake-up of the thread that sleeps on it; so this one is only ever set
//! to an earlier time, and when it fires too early it is set again.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// The timer.
#[derive(Debug)]
pub(super) struct Alarm {
    /// In a box of its own: the session's task keeps it, whatever else it waits for.
    timer: Pin<Box<Sleep>>,
    /// When the timer fires; None if it has fired, or was never set.
    set_to: Option<Instant>,
}

impl Alarm {
    pub(super) fn new(now: Instant) -> Self {
        Self { timer: Box::pin(sleep_until(now)), set_to: None }
    }

    /// Returns once `deadline` has passed; never without one. May be cancelled.
    pub(super) async fn rings(&mut self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => poll_fn(|context| self.poll(context, deadline)).await,
            None => std::future::pending().await,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        loop {
            if self.set_to.is_none_or(|set_to| deadline < set_to) {
                self.timer.as_mut().reset(deadline);
                self.set_to = Some(deadline);
            }
            ready!(self.timer.as_mut().poll(context));
            // Perhaps it fires for an earlier deadline, which has moved since.
            if self.set_to.take() >= Some(deadline) {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout_at;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_on_time_however_the_deadline_moves() {
        let second = Duration::from_secs(1);
        let started = Instant::now();
        let mut alarm = Alarm::new(started);
        // Later, earlier, the same again, and later than what the timer is set to.
        for (cancelled_at, deadline) in [(2, 10), (3, 20), (4, 5), (4, 6), (4, 6), (8, 30), (20, 30)] {
            let cancelled_at = started + cancelled_at * second;
            let deadline = started + deadline * second;
            let rings = timeout_at(cancelled_at, alarm.rings(Some(deadline))).await;
            assert!(rings.is_err());
        }
        alarm.rings(Some(started + 30 * second)).await;
        assert_eq!(Instant::now(), started + 30 * second);
        alarm.rings(Some(started + 31 * second)).await;
        assert_eq!(Instant::now(), started + 31 * second);
        alarm.rings(Some(started + 31 * second)).await;
        assert!(timeout_at(started + 99 * second, alarm.rings(None)).await.is_err());
    }
}
