//! The minted certificates that are kept, and how many new ones may be made.
//!
//! A client chooses the name, so both are bounded: the cache drops the name that was not asked for the longest,
//! and a burst of new names is refused until its second is over (a generic cell rate limit: one time stamp).

use std::{
    collections::HashMap,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rustls::sign::CertifiedKey;

use crate::SubjectName;

/// Certificates by name, and the budget for new ones.
pub(super) struct Minted {
    entries: HashMap<SubjectName, Entry>,
    /// Counts what was asked for, to know what was not for the longest.
    clock: u64,
    /// When the budget will be whole again.
    paid_until: Option<Instant>,
}

/// What is known of a name.
pub(super) enum Known {
    /// A certificate that will do for weeks.
    Fresh(Arc<CertifiedKey>),
    /// One that is still valid and should be renewed.
    Ageing(Arc<CertifiedKey>),
    /// None that is valid.
    No,
}

struct Entry {
    certified_key: Arc<CertifiedKey>,
    validity: Range<SystemTime>,
    renew_at: SystemTime,
    used: u64,
}

impl Minted {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), clock: 0, paid_until: None }
    }

    /// Looks a name up, which counts as a use.
    pub(super) fn find(&mut self, name: &SubjectName, now: SystemTime) -> Known {
        self.clock += 1;
        let Some(entry) = self.entries.get_mut(name) else { return Known::No };
        entry.used = self.clock;
        // A clock that was set back can make the certificate one of the future.
        match entry.validity.contains(&now) {
            true if now < entry.renew_at => Known::Fresh(Arc::clone(&entry.certified_key)),
            true => Known::Ageing(Arc::clone(&entry.certified_key)),
            false => Known::No,
        }
    }

    /// Whether one more may be made at `now`; if so, it is paid for.
    pub(super) fn may_make(&mut self, now: Instant) -> bool {
        let paid_until = self.paid_until.map_or(now, |time| time.max(now));
        let allowed = paid_until + PRICE <= now + BUDGET;
        if allowed {
            self.paid_until = Some(paid_until + PRICE);
        }
        allowed
    }

    /// Keeps a certificate, at the cost of the one that was not asked for the longest.
    pub(super) fn keep(
        &mut self,
        name: SubjectName,
        certified_key: Arc<CertifiedKey>,
        validity: Range<SystemTime>,
        renew_at: SystemTime,
    ) {
        if self.entries.len() >= NAMES_MAX && !self.entries.contains_key(&name) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.entries.remove(&oldest);
            }
        }
        self.entries.insert(name, Entry { certified_key, validity, renew_at, used: self.clock });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Names that are kept; at some 2 KiB each.
pub(super) const NAMES_MAX: usize = 256;

/// New certificates in a second, and in a burst.
pub(super) const MADE_PER_SECOND: u32 = 20;

const BUDGET: Duration = Duration::from_secs(1);
const PRICE: Duration = Duration::from_nanos(1_000_000_000 / MADE_PER_SECOND as u64);
