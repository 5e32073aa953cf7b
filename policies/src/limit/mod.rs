//! Limits on events, on what runs at once, and on failed logins.
//!
//! All is counted on one monotonic time, which the caller gives as the time since some start of its own. Nothing
//! waits here, and nothing is decided by chance. `governor` would keep its state behind a clock and a map of its own,
//! neither to be bounded nor carried over a reload, so the small exact thing is here (`bucket`).
//!
//! - `table`: state by key, within a bound.
//! - `bucket`: events per period.
//! - `failures`: failed logins and what follows.
//! - [`bandwidth`]: bytes per second.

pub mod bandwidth;
mod bucket;
mod failures;
mod table;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::compile::RuleRef;
use crate::limit::bucket::{Bucket, Spacing};
use crate::limit::failures::{Failures, Lockouts};
use crate::limit::table::Table;
use crate::request::Subject;
use crate::rule::{Group, Matchers, Origin};

pub use crate::limit::failures::Lockout;

/// One `[[limit]]`. What is `None` is not limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// For people.
    pub name: String,
    /// Where it stands.
    pub origin: Origin,
    /// What is counted together.
    pub per: Scope,
    /// Whom it is about. Only what is known of a subject counts: users, groups, from, certificates, listeners,
    /// backends and tls.
    pub matchers: Matchers,
    /// Control connections at once.
    pub sessions: Option<u32>,
    /// Transfers at once.
    pub transfers: Option<u32>,
    /// New control connections.
    pub connections: Option<EventRate>,
    /// Attempts to log in.
    pub logins: Option<EventRate>,
    /// Commands.
    pub commands: Option<EventRate>,
    /// As many failures within the period lock out.
    pub failed_logins: Option<EventRate>,
    /// For how long.
    pub lockout: Duration,
    /// Bytes per second from clients.
    pub upload_rate_bytes: Option<u64>,
    /// Bytes per second to clients.
    pub download_rate_bytes: Option<u64>,
    /// The largest file.
    pub file_bytes_max: Option<u64>,
}

/// Events in a period: `60/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventRate {
    /// How many.
    pub count: NonZeroU32,
    /// In how long.
    pub period: Duration,
}

/// What a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    Gateway,
    /// Each listener.
    Listener,
    /// Each backend.
    Backend,
    /// Each IPv4 address, and each /64 of IPv6: a host may have a new address there for each connection.
    Address,
    /// Each network of these prefix lengths.
    Network {
        /// At most 32.
        v4_prefix: u8,
        /// At most 128.
        v6_prefix: u8,
    },
    /// Each user name.
    User,
    /// Each session.
    Session,
}

/// Whose state it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Everybody's.
    Gateway,
    /// A listener's.
    Listener(Arc<str>),
    /// A backend's.
    Backend(Arc<str>),
    /// An address', or a /64's by its first address.
    Address(IpAddr),
    /// A network's.
    Network(IpNet),
    /// A user's; of long names the beginning.
    User(Arc<[u8]>),
    /// A session's.
    Session(u64),
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Gateway => formatter.write_str("gateway"),
            Key::Listener(name) => write!(formatter, "listener {name}"),
            Key::Backend(name) => write!(formatter, "backend {name}"),
            Key::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
            Key::Address(IpAddr::V6(address)) => write!(formatter, "{address}/{V6_HOST_PREFIX}"),
            Key::Network(network) => write!(formatter, "{network}"),
            Key::User(name) => write!(formatter, "user {}", name.escape_ascii()),
            Key::Session(number) => write!(formatter, "session {number}"),
        }
    }
}

/// Who is counted.
#[derive(Debug, Clone, Copy)]
pub struct Party<'a> {
    /// Who.
    pub subject: &'a Subject,
    /// The caller's number for the session.
    pub session: u64,
}

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

/// A definition that is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct LimitError {
    /// The limit at fault.
    pub origin: Origin,
    /// What is wrong with it.
    pub problem: LimitProblem,
}

/// What is wrong with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitProblem {
    /// It asks for something that is not known of a subject.
    #[error("a limit knows no `{0}`")]
    Matcher(&'static str),
    /// A period of no time, or of more than a year.
    #[error("a period is longer than nothing and not longer than a year")]
    Period,
    /// Every failure within the period is remembered.
    #[error("`failed_logins` counts up to 1000")]
    Failures,
    /// Two limits of one name: buckets and lockouts are told apart by it.
    #[error("there is another limit of that name")]
    DuplicateName,
    /// A prefix that no address has.
    #[error("a network's prefix has up to 32 bits, of IPv6 up to 128")]
    Prefix,
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
    activities: [Option<(u32, HashMap<Key, u32>)>; 2],
    failures: Option<Table<Failures>>,
}

/// How full a bucket is.
#[derive(Debug, Clone, PartialEq)]
pub struct Fill {
    /// Of which limit.
    pub limit: RuleRef,
    /// Of which events.
    pub event: Event,
    /// Whose.
    pub key: Key,
    /// From 0, nothing happened lately, to 1, the next event is refused.
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
    /// all of them, or under none.
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

    /// Counts what already lasts under the limits that do not count it yet: after a reload, or once more is known of
    /// the subject. It refuses nothing, so a limit may be exceeded until enough has ended.
    pub fn renew(&mut self, hold: &mut Hold, party: Party<'_>) {
        for counters in self.counters.iter_mut().filter(|counters| counters.concerns(&self.groups, party)) {
            let is_counted = hold.counts.iter().any(|(id, _)| *id == counters.id);
            if let (false, Some((_, counts)), Some(key)) =
                (is_counted, &mut counters.activities[hold.activity as usize], counters.limit.per.key(party))
            {
                *counts.entry(key.clone()).or_insert(0) += 1;
                hold.counts.push((counters.id, key));
            }
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
            if let Some(count) = counts.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&key);
                }
            }
        }
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

    /// The fullest buckets, the fullest first.
    pub fn fullest(&self, most: usize, now: Duration) -> Vec<Fill> {
        let mut fills: Vec<Fill> = Vec::new();
        for counters in &self.counters {
            for event in [Event::Connection, Event::Login, Event::Command] {
                let Some((spacing, table)) = &counters.events[event as usize] else { continue };
                let limit = &counters.reference;
                fills.extend(table.iter().filter_map(|(key, bucket)| {
                    let share = bucket.share(*spacing, now);
                    (share > 0.0).then(|| Fill { limit: limit.clone(), event, key: key.clone(), share })
                }));
            }
        }
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

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client.
    Upload,
    /// To the client.
    Download,
}

impl Counters {
    fn new(id: u64, limit: Limit) -> Self {
        let rates = [limit.connections, limit.logins, limit.commands];
        Self {
            id,
            reference: RuleRef::new(&limit.name, &limit.origin),
            events: rates.map(|rate| rate.map(|rate| (Spacing::new(rate), Table::default()))),
            activities: [limit.sessions, limit.transfers].map(|most| most.map(|most| (most, HashMap::new()))),
            failures: limit.failed_logins.map(|_| Table::default()),
            limit: Arc::new(limit),
        }
    }

    fn concerns(&self, groups: &[Group], party: Party<'_>) -> bool {
        concerns(&self.limit.matchers, groups, party)
    }
}

fn concerns(matchers: &Matchers, groups: &[Group], party: Party<'_>) -> bool {
    let is_member =
        |name: &String| groups.iter().any(|group| group.name == *name && group.holds(party.subject));
    matchers.judge_subject(party.subject, is_member).is_ok()
}

impl Scope {
    /// Whose count a party has a part in; `None`: it has none yet (no user, no backend).
    pub fn key(self, party: Party<'_>) -> Option<Key> {
        let subject = party.subject;
        match self {
            Scope::Gateway => Some(Key::Gateway),
            Scope::Listener => Some(Key::Listener(subject.listener.as_str().into())),
            Scope::Backend if subject.backend.is_empty() => None,
            Scope::Backend => Some(Key::Backend(subject.backend.as_str().into())),
            Scope::Address => Some(address_key(subject.address)),
            Scope::Network { v4_prefix, v6_prefix } => {
                let address = subject.address.to_canonical();
                let prefix = if address.is_ipv4() { v4_prefix } else { v6_prefix };
                let network =
                    IpNet::new(address, prefix).expect("prefixes were checked when the limit was made");
                Some(Key::Network(network.trunc()))
            }
            Scope::User => subject.user.as_deref().map(user_key),
            Scope::Session => Some(Key::Session(party.session)),
        }
    }
}

fn address_key(address: IpAddr) -> Key {
    Key::Address(match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> V6_HOST_PREFIX << V6_HOST_PREFIX).into()),
    })
}

fn user_key(user: &[u8]) -> Key {
    Key::User(user[..user.len().min(USER_BYTES_MAX)].into())
}

fn problems(limit: &Limit) -> Vec<LimitError> {
    let Matchers {
        users: _,
        groups: _,
        from: _,
        certificates: _,
        listeners: _,
        backends: _,
        tls: _,
        operations,
        commands,
        paths,
        larger_than_bytes,
        hours,
    } = &limit.matchers;
    let unknown = [
        ("operations", !operations.is_empty()),
        ("commands", !commands.is_empty()),
        ("paths", !paths.is_empty()),
        ("larger_than", larger_than_bytes.is_some()),
        ("hours", hours.is_some()),
    ];
    let unknown =
        unknown.into_iter().filter(|(_, is_asked)| *is_asked).map(|(name, _)| LimitProblem::Matcher(name));
    let rates = [limit.connections, limit.logins, limit.commands, limit.failed_logins];
    let is_wrong = |rate: &EventRate| rate.period.is_zero() || rate.period > PERIOD_MAX;
    let periods = rates.into_iter().flatten().filter(is_wrong).map(|_| LimitProblem::Period);
    let failures =
        limit.failed_logins.filter(|rate| rate.count.get() > FAILURES_MAX).map(|_| LimitProblem::Failures);
    let prefix = match limit.per {
        Scope::Network { v4_prefix, v6_prefix } if v4_prefix > 32 || v6_prefix > 128 => {
            Some(LimitProblem::Prefix)
        }
        Scope::Network { .. }
        | Scope::Gateway
        | Scope::Listener
        | Scope::Backend
        | Scope::Address
        | Scope::User
        | Scope::Session => None,
    };
    unknown
        .chain(periods)
        .chain(failures)
        .chain(prefix)
        .map(|problem| LimitError { origin: limit.origin.clone(), problem })
        .collect()
}

/// Providers give a customer's host at least that much (RFC 6177).
const V6_HOST_PREFIX: u8 = 64;
/// A client may send a name as long as a line; what is kept of it must not be.
const USER_BYTES_MAX: usize = 64;
/// Longer periods are mistakes, and would overflow sums of nanoseconds.
const PERIOD_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Each remembered failure costs eight bytes per key.
const FAILURES_MAX: u32 = 1000;
/// A key and a count in a map.
const COUNT_BYTES: usize = size_of::<(Key, u32)>() + 1;

#[cfg(test)]
mod tests;
