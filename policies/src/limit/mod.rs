//! Limits on events, on what runs at once, and on failed logins.
//!
//! All is counted on one monotonic time, which the caller gives as the time since some start of its own. Nothing
//! waits here, and nothing is decided by chance. `governor` would keep its state behind a clock and a map of its own,
//! neither to be bounded nor carried over a reload, so the small exact thing is here (`bucket`).
//!
//! - `definition`: what a limit says.
//! - `table`: state by key, within a bound.
//! - `bucket`: events per period.
//! - `failures`: failed logins and what follows.
//! - `idle`: limits that nobody can reach.
//! - [`bandwidth`]: bytes per second.

pub mod bandwidth;
mod bucket;
mod definition;
mod failures;
mod idle;
mod table;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::compile::RuleRef;
use crate::limit::bucket::{Bucket, Spacing};
use crate::limit::definition::{address_key, host_network, problems, user_key};
use crate::limit::failures::{Failures, Lockouts};
use crate::limit::table::Table;
use crate::rule::{Group, Matchers};

pub use crate::limit::definition::{
    Direction, EventRate, Key, Limit, LimitError, LimitProblem, Party, Scope,
};
pub use crate::limit::failures::Lockout;
pub use crate::limit::idle::{Idle, idle};

/// What happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A control connection is accepted.
    Connection,
    /// A password is tried.
    Login,
    /// A command is given.
    Command,
}

/// What lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activity {
    /// A control connection.
    Session,
    /// A transfer.
    Transfer,
    /// A password that the server has not answered. Where failed logins are limited there may be as many as could fail
    /// before the lockout: who tries many at once gains nothing by it.
    Attempt,
}

/// Which part of a limit is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exhausted {
    /// Too many events; the next is allowed after that time.
    Event(Event, Duration),
    /// Too much at once.
    Activity(Activity),
}

/// A limit is exceeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Which.
    pub limit: RuleRef,
    /// What of it.
    pub what: Exhausted,
    /// Whose count is full.
    pub key: Key,
}

/// What is counted for something that lasts. Give it back with [`Limits::release`] when that ends.
#[derive(Debug)]
#[must_use = "what is held must be released"]
pub struct Hold {
    activity: Activity,
    counts: Vec<(u64, Key)>,
}

/// All limits, and what was counted.
#[derive(Debug)]
pub struct Limits {
    counters: Vec<Counters>,
    groups: Vec<Group>,
    lockouts: Lockouts,
    next_id: u64,
}

/// One limit and its state.
#[derive(Debug)]
struct Counters {
    id: u64,
    limit: Arc<Limit>,
    reference: RuleRef,
    events: [Option<(Spacing, Table<Bucket>)>; 3],
    activities: [Option<(u32, HashMap<Key, u32>)>; 3],
    failures: Option<Table<Failures>>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// In a time.
    Event(Event),
    /// At once.
    Activity(Activity),
}

/// How full a bucket is, or how much of what may last at once does.
#[derive(Debug, Clone, PartialEq)]
pub struct Fill {
    /// Of which limit.
    pub limit: RuleRef,
    /// Of what.
    pub what: Counted,
    /// Whose.
    pub key: Key,
    /// From 0, nothing happened lately, to 1, the next one is refused.
    pub share: f64,
}

impl Limits {
    /// Limits under which nothing has happened yet.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn new(limits: Vec<Limit>, groups: Vec<Group>) -> Result<Self, Vec<LimitError>> {
        let mut this =
            Self { counters: Vec::new(), groups: Vec::new(), lockouts: Lockouts::default(), next_id: 0 };
        this.reload(limits, groups)?;
        Ok(this)
    }

    /// Puts other limits in place. A limit that did not change, wherever it stands now, keeps what it counted, and
    /// lockouts last as long as they were to last.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them; then nothing changes.
    pub fn reload(&mut self, limits: Vec<Limit>, groups: Vec<Group>) -> Result<(), Vec<LimitError>> {
        let mut errors: Vec<LimitError> = limits.iter().flat_map(problems).collect();
        let mut names = HashSet::new();
        let duplicates = limits.iter().filter(|limit| !names.insert(limit.name.as_str()));
        let problem = LimitProblem::DuplicateName;
        errors.extend(duplicates.map(|limit| LimitError { origin: limit.origin.clone(), problem }));
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut old = std::mem::take(&mut self.counters);
        for limit in limits {
            let same = old.iter().position(|counters| {
                Limit { origin: limit.origin.clone(), ..(*counters.limit).clone() } == limit
            });
            let counters = match same.map(|index| old.swap_remove(index)) {
                Some(counters) => Counters {
                    reference: RuleRef::new(&limit.name, &limit.origin),
                    limit: Arc::new(limit),
                    ..counters
                },
                None => {
                    self.next_id += 1;
                    Counters::new(self.next_id, limit)
                }
            };
            self.counters.push(counters);
        }
        self.groups = groups;
        Ok(())
    }

    /// Counts an event, under every limit or under none.
    ///
    /// # Errors
    ///
    /// The first limit that has no room for it.
    pub fn count(&mut self, event: Event, party: Party<'_>, now: Duration) -> Result<(), Exceeded> {
        let groups = &self.groups;
        for counters in self.counters.iter().filter(|counters| counters.concerns(groups, party)) {
            let (Some((spacing, table)), Some(key)) =
                (&counters.events[event as usize], counters.limit.per.key(party))
            else {
                continue;
            };
            let bucket = table.find(&key).copied().unwrap_or_default();
            if let Some(wait) = bucket.wait(*spacing, now) {
                let what = Exhausted::Event(event, wait);
                return Err(Exceeded { limit: counters.reference.clone(), what, key });
            }
        }
        for counters in self.counters.iter_mut().filter(|counters| counters.concerns(groups, party)) {
            if let (Some((spacing, table)), Some(key)) =
                (&mut counters.events[event as usize], counters.limit.per.key(party))
            {
                table.find_or_insert(key, now).fill(*spacing, now);
            }
        }
        Ok(())
    }

    /// Counts something that lasts, under every limit or under none.
    ///
    /// # Errors
    ///
    /// The first limit that has no room for it.
    pub fn hold(&mut self, activity: Activity, party: Party<'_>) -> Result<Hold, Exceeded> {
        let mut hold = Hold { activity, counts: Vec::new() };
        self.extend(&mut hold, party)?;
        Ok(hold)
    }

    /// Counts what already lasts under the limits that do not count it yet, once more is known of the subject: under
    /// all of them, or, if one has no room, as before.
    ///
    /// # Errors
    ///
    /// The first limit that has no room for it.
    pub fn extend(&mut self, hold: &mut Hold, party: Party<'_>) -> Result<(), Exceeded> {
        let activity = hold.activity;
        for counters in self.counters.iter().filter(|counters| counters.concerns(&self.groups, party)) {
            let is_counted = hold.counts.iter().any(|(id, _)| *id == counters.id);
            let (false, Some((most, counts)), Some(key)) =
                (is_counted, &counters.activities[activity as usize], counters.limit.per.key(party))
            else {
                continue;
            };
            if counts.get(&key).copied().unwrap_or(0) >= *most {
                let what = Exhausted::Activity(activity);
                return Err(Exceeded { limit: counters.reference.clone(), what, key });
            }
        }
        self.renew(hold, party);
        Ok(())
    }

    /// Counts what already lasts as if it began now: after a reload, or once something else is known of the subject. It
    /// refuses nothing, so a limit may be exceeded until enough has ended. Limits that do not concern the subject any
    /// more let go of it.
    pub fn renew(&mut self, hold: &mut Hold, party: Party<'_>) {
        let activity = hold.activity as usize;
        let mut counts = std::mem::take(&mut hold.counts);
        for counters in &mut self.counters {
            let held = counts.iter().position(|(id, _)| *id == counters.id);
            let held = held.map(|place| counts.swap_remove(place));
            let key = counters.concerns(&self.groups, party).then(|| counters.limit.per.key(party)).flatten();
            let Some((_, table)) = &mut counters.activities[activity] else { continue };
            if held.as_ref().map(|(_, key)| key) != key.as_ref() {
                if let Some(key) = &key {
                    *table.entry(key.clone()).or_insert(0) += 1;
                }
                if let Some((_, old)) = held {
                    give_back(table, &old);
                }
            }
            hold.counts.extend(key.map(|key| (counters.id, key)));
        }
    }

    /// What lasted has ended.
    pub fn release(&mut self, hold: Hold) {
        for (id, key) in hold.counts {
            // A limit may have gone with a reload.
            let counters = self.counters.iter_mut().find(|counters| counters.id == id);
            let Some((_, counts)) = counters.and_then(|one| one.activities[hold.activity as usize].as_mut())
            else {
                continue;
            };
            give_back(counts, &key);
        }
    }

    /// Begins to try a password. `None`: so many are under way that a lockout could begin with them; when one has ended
    /// it may be asked again.
    pub fn begin_attempt(&mut self, party: Party<'_>, now: Duration) -> Option<Hold> {
        let may_begin = |counters: &Counters| {
            let (Some(rate), Some((_, under_way)), Some(key)) = (
                counters.limit.failed_logins,
                &counters.activities[Activity::Attempt as usize],
                counters.limit.per.key(party),
            ) else {
                return true;
            };
            let failures = counters.failures.as_ref().and_then(|table| table.find(&key));
            let failed = failures.map_or(0, |failures| failures.count(now));
            failed + under_way.get(&key).map_or(0, |&count| count as usize) < rate.count.get() as usize
        };
        let mut concerned = self.counters.iter().filter(|counters| counters.concerns(&self.groups, party));
        let mut hold = Hold { activity: Activity::Attempt, counts: Vec::new() };
        concerned.all(may_begin).then(|| self.renew(&mut hold, party))?;
        Some(hold)
    }

    /// Remembers that a login failed. The lockouts that begin with it.
    pub fn login_failed(&mut self, party: Party<'_>, now: Duration) -> Vec<Lockout> {
        let groups = &self.groups;
        let mut begun = Vec::new();
        for counters in self.counters.iter_mut().filter(|counters| counters.concerns(groups, party)) {
            let (Some(rate), Some(table), Some(key)) =
                (counters.limit.failed_logins, &mut counters.failures, counters.limit.per.key(party))
            else {
                continue;
            };
            if table.find_or_insert(key.clone(), now).add(rate, now) {
                let lockout =
                    Lockout { limit: counters.reference.clone(), key, until: now + counters.limit.lockout };
                self.lockouts.begin(lockout.clone(), Arc::clone(&counters.limit), now);
                begun.push(lockout);
            }
        }
        begun
    }

    /// Whether a subject may not log in now: of its lockouts the one that lasts longest.
    pub fn locked(&self, party: Party<'_>, now: Duration) -> Option<&Lockout> {
        self.lockouts.find(party, now, |limit| concerns(&limit.matchers, &self.groups, party))
    }

    /// All lockouts that last.
    pub fn lockouts(&self, now: Duration) -> impl Iterator<Item = &Lockout> {
        self.lockouts.iter(now)
    }

    /// Ends the lockouts of an address, and of the networks that it is in; forgets its failures. How many ended.
    pub fn unlock_address(&mut self, address: IpAddr, now: Duration) -> usize {
        self.unlock(now, |key| match key {
            Key::Address(_) => *key == address_key(address),
            Key::Network(network) => network.contains(&address.to_canonical()),
            Key::Gateway | Key::Listener(_) | Key::Backend(_) | Key::User(_) | Key::Session(_) => false,
        })
    }

    /// Ends the lockouts of a network, and of the addresses and networks within it; forgets their failures. How many
    /// ended.
    pub fn unlock_network(&mut self, network: IpNet, now: Duration) -> usize {
        self.unlock(now, |key| match key {
            Key::Address(address) => network.contains(&host_network(*address)),
            Key::Network(inner) => network.contains(inner),
            Key::Gateway | Key::Listener(_) | Key::Backend(_) | Key::User(_) | Key::Session(_) => false,
        })
    }

    /// Ends the lockouts of a user; forgets its failures. How many ended.
    pub fn unlock_user(&mut self, user: &[u8], now: Duration) -> usize {
        let user = user_key(user);
        self.unlock(now, |key| *key == user)
    }

    fn unlock(&mut self, now: Duration, is_meant: impl Fn(&Key) -> bool) -> usize {
        for counters in &mut self.counters {
            if let Some(table) = &mut counters.failures {
                table.reset(&is_meant);
            }
        }
        self.lockouts.end(now, is_meant)
    }

    /// The fullest buckets, and what lasts, the fullest first. `is_open` tells which sessions are.
    pub fn fullest(&self, most: usize, now: Duration, is_open: impl Fn(u64) -> bool) -> Vec<Fill> {
        let mut fills: Vec<Fill> = Vec::new();
        for counters in &self.counters {
            let fill = |what, key: &Key, share: f64| Fill {
                limit: counters.reference.clone(),
                what,
                key: key.clone(),
                share,
            };
            for event in [Event::Connection, Event::Login, Event::Command] {
                let Some((spacing, table)) = &counters.events[event as usize] else { continue };
                let used = table.iter().map(|(key, bucket)| (key, bucket.share(*spacing, now)));
                let used = used.filter(|(_, share)| *share > 0.0);
                fills.extend(used.map(|(key, share)| fill(Counted::Event(event), key, share)));
            }
            // Passwords under way are not worth a line: they end within the second.
            for activity in [Activity::Session, Activity::Transfer] {
                let Some((most, counts)) = &counters.activities[activity as usize] else { continue };
                let shares = counts.iter().map(|(key, &count)| (key, f64::from(count) / f64::from(*most)));
                fills.extend(shares.map(|(key, share)| fill(Counted::Activity(activity), key, share)));
            }
        }
        fills.retain(|fill| !matches!(fill.key, Key::Session(session) if !is_open(session)));
        fills.sort_by(|one, other| other.share.total_cmp(&one.share));
        fills.truncate(most);
        fills
    }

    /// The size that a file of this subject may have, and the limit that says so.
    pub fn file_bytes_max(&self, party: Party<'_>) -> Option<(u64, &RuleRef)> {
        let limits = self.counters.iter().filter(|counters| counters.concerns(&self.groups, party));
        limits
            .filter_map(|counters| Some((counters.limit.file_bytes_max?, &counters.reference)))
            .min_by_key(|&(bytes, _)| bytes)
    }

    /// The buckets that a transfer of this subject draws from, with their rates.
    pub fn buckets(&self, direction: Direction, party: Party<'_>) -> Vec<(bandwidth::BucketId, u64)> {
        let limits = self.counters.iter().filter(|counters| counters.concerns(&self.groups, party));
        limits
            .filter_map(|counters| {
                let rate = match direction {
                    Direction::Upload => counters.limit.upload_rate_bytes,
                    Direction::Download => counters.limit.download_rate_bytes,
                };
                let key = counters.limit.per.key(party)?;
                Some((bandwidth::BucketId { limit: counters.limit.name.as_str().into(), key }, rate?))
            })
            .collect()
    }

    /// What the counted state costs, in bytes: an estimate from counts and sizes.
    pub fn state_bytes(&self) -> usize {
        let counters = self.counters.iter();
        let tables = counters.map(|one| {
            let events: usize = one.events.iter().flatten().map(|(_, table)| table.state_bytes()).sum();
            let activities = one.activities.iter().flatten();
            let counts: usize = activities.map(|(_, counts)| counts.capacity() * COUNT_BYTES).sum();
            events + counts + one.failures.as_ref().map_or(0, Table::state_bytes)
        });
        tables.sum()
    }
}

impl Counters {
    fn new(id: u64, limit: Limit) -> Self {
        let rates = [limit.connections, limit.logins, limit.commands];
        Self {
            id,
            reference: RuleRef::new(&limit.name, &limit.origin),
            events: rates.map(|rate| rate.map(|rate| (Spacing::new(rate), Table::default()))),
            activities: [limit.sessions, limit.transfers, limit.failed_logins.map(|rate| rate.count.get())]
                .map(|most| most.map(|most| (most, HashMap::new()))),
            failures: limit.failed_logins.map(|_| Table::default()),
            limit: Arc::new(limit),
        }
    }

    fn concerns(&self, groups: &[Group], party: Party<'_>) -> bool {
        concerns(&self.limit.matchers, groups, party)
    }
}

fn give_back(counts: &mut HashMap<Key, u32>, key: &Key) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn concerns(matchers: &Matchers, groups: &[Group], party: Party<'_>) -> bool {
    let is_member =
        |name: &String| groups.iter().any(|group| group.name == *name && group.holds(party.subject));
    matchers.judge_subject(party.subject, is_member).is_ok()
}

/// A key and a count in a map.
const COUNT_BYTES: usize = size_of::<(Key, u32)>() + 1;

#[cfg(test)]
mod tests;
