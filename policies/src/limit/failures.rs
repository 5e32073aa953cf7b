//! Failed logins: an exact sliding window for each key, and the lockouts that follow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::compile::RuleRef;
use crate::limit::bucket::nanoseconds;
use crate::limit::table::Fading;
use crate::limit::{EventRate, Key, Limit, Party, Scope};

/// Whoever has the key may not log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockout {
    /// The limit that began it.
    pub limit: RuleRef,
    /// Whose.
    pub key: Key,
    /// From then on it is over.
    pub until: Duration,
}

/// When one key's logins failed, in nanoseconds since the caller's start, in order.
#[derive(Debug, Default)]
pub(super) struct Failures {
    at_ns: Vec<u64>,
    window_ns: u64,
}

impl Failures {
    /// Adds one. Whether it is one too many; then they are forgotten, for the lockout takes their place.
    pub(super) fn add(&mut self, rate: EventRate, now: Duration) -> bool {
        let now = nanoseconds(now);
        self.window_ns = nanoseconds(rate.period);
        self.at_ns.retain(|&at| now.saturating_sub(at) < self.window_ns);
        self.at_ns.push(now);
        let is_too_many = self.at_ns.len() >= rate.count.get() as usize;
        if is_too_many {
            self.at_ns.clear();
        }
        is_too_many
    }

    /// How many still count.
    pub(super) fn count(&self, now: Duration) -> usize {
        let now = nanoseconds(now);
        self.at_ns.iter().filter(|&&at| now.saturating_sub(at) < self.window_ns).count()
    }
}

impl Fading for Failures {
    fn gone_at(&self, now: Duration) -> Duration {
        self.at_ns.last().map_or(now, |&last| Duration::from_nanos(last.saturating_add(self.window_ns)))
    }

    fn heap_bytes(&self) -> usize {
        self.at_ns.capacity() * size_of::<u64>()
    }
}

/// All lockouts. They outlive the limits that began them.
#[derive(Debug, Default)]
pub(super) struct Lockouts {
    by_key: HashMap<Key, Vec<(Lockout, Arc<Limit>)>>,
    /// Of all limits that ever locked anybody out; at most one for each way to write a scope.
    scopes: Vec<Scope>,
    count: usize,
}

impl Lockouts {
    pub(super) fn begin(&mut self, lockout: Lockout, limit: Arc<Limit>, now: Duration) {
        if self.count >= LOCKOUTS_MAX {
            self.make_room(now);
        }
        if !self.scopes.contains(&limit.per) {
            self.scopes.push(limit.per);
        }
        let of_key = self.by_key.entry(lockout.key.clone()).or_default();
        let before = of_key.len();
        of_key.retain(|(other, of)| {
            other.until > now && (other.limit.name() != lockout.limit.name() || **of != *limit)
        });
        of_key.push((lockout, limit));
        self.count = self.count + of_key.len() - before;
    }

    /// Drops what is over; if nothing is, the sixteenth part that ends first.
    fn make_room(&mut self, now: Duration) {
        let mut ends: Vec<Duration> =
            self.by_key.values().flatten().map(|(lockout, _)| lockout.until).collect();
        let place = ends.len() / 16;
        let (_, &mut first_to_stay, _) = ends.select_nth_unstable(place);
        self.retain(|lockout| lockout.until > now && lockout.until > first_to_stay);
    }

    /// How many went.
    fn retain(&mut self, stays: impl Fn(&Lockout) -> bool) -> usize {
        let before = self.count;
        self.by_key.retain(|_, of_key| {
            of_key.retain(|(lockout, _)| stays(lockout));
            !of_key.is_empty()
        });
        self.count = self.by_key.values().map(Vec::len).sum();
        before - self.count
    }

    /// The party's lockout that lasts longest, of the limits that concern it.
    pub(super) fn find(
        &self,
        party: Party<'_>,
        now: Duration,
        concerns: impl Fn(&Limit) -> bool,
    ) -> Option<&Lockout> {
        let keys = self.scopes.iter().filter_map(|scope| scope.key(party));
        let of_keys = keys.filter_map(|key| self.by_key.get(&key)).flatten();
        of_keys
            .filter(|(lockout, limit)| lockout.until > now && concerns(limit))
            .map(|(lockout, _)| lockout)
            .max_by_key(|lockout| lockout.until)
    }

    pub(super) fn iter(&self, now: Duration) -> impl Iterator<Item = &Lockout> {
        self.by_key.values().flatten().map(|(lockout, _)| lockout).filter(move |lockout| lockout.until > now)
    }

    /// Ends those of some keys. How many had lasted.
    pub(super) fn end(&mut self, now: Duration, is_meant: impl Fn(&Key) -> bool) -> usize {
        self.retain(|lockout| lockout.until > now);
        self.retain(|lockout| !is_meant(&lockout.key))
    }
}

/// Each took several failed logins, so a flood of them is slow.
pub(super) const LOCKOUTS_MAX: usize = 1 << 16;
