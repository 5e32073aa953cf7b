//! "N per period": a bucket of N that refills evenly, as the generic cell rate algorithm keeps it, in one number.

use std::time::Duration;

use crate::limit::EventRate;
use crate::limit::table::Fading;

/// What a rate comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spacing {
    /// Between two events, in nanoseconds, at the sustained rate.
    interval_ns: u64,
    /// How far ahead of the sustained rate a burst may be.
    burst_ns: u64,
}

impl Spacing {
    pub(super) fn new(rate: EventRate) -> Self {
        let count = u64::from(rate.count.get());
        // A rate beyond one per nanosecond is no limit.
        let interval_ns = (nanoseconds(rate.period) / count).max(1);
        Self { interval_ns, burst_ns: interval_ns.saturating_mul(count) }
    }
}

/// One key's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bucket {
    /// When it will be empty, in nanoseconds since the caller's start: each event moves this by one interval.
    empty_at_ns: u64,
}

impl Bucket {
    /// How long to wait for room; `None`: there is some.
    pub(super) fn wait(self, spacing: Spacing, now: Duration) -> Option<Duration> {
        let now = nanoseconds(now);
        let after = self.empty_at_ns.max(now).saturating_add(spacing.interval_ns);
        let wait = after.saturating_sub(now).saturating_sub(spacing.burst_ns);
        (wait > 0).then(|| Duration::from_nanos(wait))
    }

    /// Adds an event.
    pub(super) fn fill(&mut self, spacing: Spacing, now: Duration) {
        self.empty_at_ns = self.empty_at_ns.max(nanoseconds(now)).saturating_add(spacing.interval_ns);
    }

    /// How full it is, up to 1.
    #[expect(clippy::cast_precision_loss, reason = "shown to people")]
    pub(super) fn share(self, spacing: Spacing, now: Duration) -> f64 {
        self.empty_at_ns.saturating_sub(nanoseconds(now)) as f64 / spacing.burst_ns as f64
    }
}

impl Fading for Bucket {
    fn gone_at(&self, _now: Duration) -> Duration {
        Duration::from_nanos(self.empty_at_ns)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

/// 584 years of them.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spacing(count: u32, period: Duration) -> Spacing {
        Spacing::new(EventRate { count: count.try_into().unwrap(), period })
    }

    #[test]
    fn a_bucket_holds_a_burst_and_refills_evenly() {
        let spacing = spacing(60, Duration::from_secs(60));
        let mut bucket = Bucket::default();
        let mut now = Duration::from_secs(1_000);
        for _ in 0..60 {
            assert_eq!(bucket.wait(spacing, now), None);
            bucket.fill(spacing, now);
        }
        assert_eq!(bucket.wait(spacing, now), Some(Duration::from_secs(1)));
        assert!((bucket.share(spacing, now) - 1.0).abs() < 1e-9);
        now += Duration::from_millis(999);
        assert_eq!(bucket.wait(spacing, now), Some(Duration::from_millis(1)));
        now += Duration::from_millis(1);
        assert_eq!(bucket.wait(spacing, now), None);
        bucket.fill(spacing, now);
        assert!(bucket.wait(spacing, now).is_some());
    }

    #[test]
    fn the_sustained_rate_is_exact() {
        let spacing = spacing(50, Duration::from_secs(1));
        let mut bucket = Bucket::default();
        let mut allowed = 0;
        for millisecond in 0..100_000 {
            let now = Duration::from_millis(millisecond);
            if bucket.wait(spacing, now).is_none() {
                bucket.fill(spacing, now);
                allowed += 1;
            }
        }
        assert_eq!(allowed, 50 * 100 + 49, "the rate, and the burst that was there at first");
    }

    #[test]
    fn the_end_of_time_is_survived() {
        let spacing = spacing(1, Duration::from_secs(u64::MAX / 2));
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            bucket.fill(spacing, Duration::MAX);
        }
        let _ = bucket.wait(spacing, Duration::MAX);
    }
}
