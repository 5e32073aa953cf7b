//! How fast a transfer may go: its part in the buckets of all limits that concern its session.
//!
//! While no limit holds a transfer back this costs one load of an atomic for each chunk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ftpsgate_policies::limit::bandwidth::{Bandwidth, Grant, TransferId};
use ftpsgate_policies::limit::{Direction, Key, Party, Scope};

use super::{Member, SharedLimits, State};

/// All buckets of the process, by direction.
#[derive(Debug, Default)]
pub(super) struct Rates {
    upload: Mutex<Bandwidth>,
    download: Mutex<Bandwidth>,
    /// Counts reloads that may have changed a rate; 0: there never was one.
    generation: AtomicU64,
}

/// What one transfer may not exceed.
#[derive(Debug, Default)]
pub struct Bounds {
    /// How fast it may go.
    pub throttle: Option<Throttle>,
    /// How large its file may be.
    pub file_bytes_max: Option<u64>,
}

/// One transfer's part; dropping it leaves its share to others.
#[derive(Debug)]
pub struct Throttle {
    limits: Arc<SharedLimits>,
    session: u64,
    direction: Direction,
    generation: u64,
    /// `None`: no limit concerns it.
    transfer: Option<TransferId>,
}

impl Rates {
    /// The limits have changed. While there never was a rate, nobody need look.
    pub(super) fn changed(&self, has_rates: bool) {
        if has_rates || self.generation.load(Ordering::Relaxed) > 0 {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Every change is whole before anything can panic.
    fn of(&self, direction: Direction) -> MutexGuard<'_, Bandwidth> {
        let bandwidth = match direction {
            Direction::Upload => &self.upload,
            Direction::Download => &self.download,
        };
        bandwidth.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Throttle {
    pub(super) fn new(limits: Arc<SharedLimits>, session: u64, direction: Direction) -> Self {
        Self { limits, session, direction, generation: 0, transfer: None }
    }

    /// Asks for up to so many bytes.
    pub fn request(&mut self, bytes: u64) -> Grant {
        let generation = self.limits.rates.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.follow();
        }
        match self.transfer {
            None => Grant::Bytes(bytes),
            Some(id) => self.limits.rates.of(self.direction).request(id, bytes, self.limits.now()),
        }
    }

    /// Draws from the buckets of the limits as they are now.
    fn follow(&mut self) {
        let (family, buckets) = {
            let State { limits, members } = &*self.limits.state();
            let Some(Member { subject, .. }) = members.get(&self.session) else { return };
            let party = Party { subject, session: self.session };
            let generations = [Scope::Backend, Scope::User, Scope::Address, Scope::Session];
            let family: Vec<Key> = generations.into_iter().filter_map(|scope| scope.key(party)).collect();
            (family, limits.buckets(self.direction, party))
        };
        let now = self.limits.now();
        let mut bandwidth = self.limits.rates.of(self.direction);
        match (self.transfer, buckets.is_empty()) {
            (None, true) => {}
            (None, false) => self.transfer = Some(bandwidth.join(family, buckets, now)),
            (Some(id), false) => bandwidth.rejoin(id, buckets, now),
            (Some(id), true) => {
                bandwidth.leave(id);
                self.transfer = None;
            }
        }
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        if let Some(id) = self.transfer {
            self.limits.rates.of(self.direction).leave(id);
        }
    }
}
