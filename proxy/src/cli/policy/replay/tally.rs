//! What a replay adds up, in the order of the log. However long that is, and whatever is in it, memory has a bound.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash, RandomState};

use jiff::Timestamp;

use crate::audit::record::{Event, Record};

use super::change::{Change, Place, becomes, safe, was};
use super::deed::Fault;
use super::judge::{Doubt, Entry, Finding, Judgement, Verdict};

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    first_max: usize,
    pub(super) records: u64,
    /// Of the earliest and the latest record.
    pub(super) period: Option<(Timestamp, Timestamp)>,
    pub(super) other_events: u64,
    pub(super) not_asked: u64,
    pub(super) by_gateway: u64,
    pub(super) by_limit: u64,
    pub(super) judged: u64,
    pub(super) unchanged: u64,
    pub(super) denied: Changes,
    pub(super) allowed: Changes,
    pub(super) untold: Changes,
    pub(super) untold_by_doubt: BTreeMap<Doubt, u64>,
    /// Commands that were allowed, and would not be reached any more.
    pub(super) ended: u64,
    /// Sessions whose connection or login is newly denied.
    pub(super) ended_sessions: u64,
    pub(super) observed_denials: u64,
    pub(super) new_files: u64,
    /// Judged, though the configuration has no such listener or backend.
    pub(super) strangers: u64,
    pub(super) users: Counts<String, OfUser>,
    pub(super) unreadable: u64,
    pub(super) first_unreadable: Vec<Unreadable>,
    /// Running sessions of which nothing more counts, by their hashes.
    over: HashMap<u64, End>,
    hasher: RandomState,
    /// Whether some of them had to be forgotten.
    pub(super) is_over_full: bool,
}

/// Commands of which something else is said now.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) count: u64,
    /// What was said, and what is.
    pub(super) causes: Counts<(String, String), u64>,
    pub(super) first: Vec<Change>,
}

/// What of a session is newly denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Connection,
    /// Until another user is named.
    Login,
}

/// What changes for one user.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct OfUser {
    pub(super) denied: u64,
    pub(super) allowed: u64,
    pub(super) untold: u64,
    pub(super) ended: u64,
}

/// A line that is no record.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) log: String,
    pub(super) line: u64,
    pub(super) why: String,
}

/// A count for each of so many keys; what comes after is counted together.
#[derive(Debug)]
pub(super) struct Counts<K, C> {
    by_key: HashMap<K, C>,
    pub(super) others: C,
}

impl<K, C: Default> Default for Counts<K, C> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), others: C::default() }
    }
}

impl<K: Eq + Hash + Ord, C: Default> Counts<K, C> {
    fn of(&mut self, key: K) -> &mut C {
        if self.by_key.len() >= KEYS_MAX && !self.by_key.contains_key(&key) {
            return &mut self.others;
        }
        self.by_key.entry(key).or_default()
    }

    /// The largest first; of equal ones in the order of their names.
    pub(super) fn sorted(&self, size: impl Fn(&C) -> u64) -> Vec<(&K, &C)> {
        let mut all: Vec<_> = self.by_key.iter().collect();
        all.sort_by(|(one, one_count), (other, other_count)| {
            size(other_count).cmp(&size(one_count)).then_with(|| one.cmp(other))
        });
        all
    }
}

impl OfUser {
    pub(super) fn sum(&self) -> u64 {
        self.denied + self.allowed + self.untold + self.ended
    }
}

impl Tally {
    /// Keeps the first so many of each kind of change.
    pub(super) fn new(first_max: usize) -> Self {
        Self { first_max, ..Self::default() }
    }

    /// Whether anybody would be answered otherwise.
    pub(super) fn has_changes(&self) -> bool {
        self.denied.count + self.allowed.count > 0
    }

    /// Counts a line.
    pub(super) fn add(&mut self, place: Place<'_>, read: Result<Entry<'_>, Fault>) {
        let entry = match read {
            Ok(entry) => entry,
            Err(fault) => return self.add_unreadable(place, &fault),
        };
        let Entry { record, time, finding, .. } = &entry;
        self.records += 1;
        self.period = Some(match self.period {
            None => (*time, *time),
            Some((first, last)) => (first.min(*time), last.max(*time)),
        });
        match record.event {
            // An id that comes again is another session's, say of the process that followed.
            Event::Connect | Event::Disconnect => {
                if let Some(session) = self.session(record) {
                    self.over.remove(&session);
                }
            }
            Event::Command | Event::Revoked | Event::Symlink | Event::Violation | Event::Limit => {}
        }
        match finding {
            Finding::OtherEvent => self.other_events += 1,
            Finding::NotAsked => self.not_asked += 1,
            Finding::ByGateway => self.by_gateway += 1,
            Finding::ByLimit => self.by_limit += 1,
            Finding::Judged(judgement) => self.add_judged(place, &entry, judgement),
        }
    }

    fn add_judged(&mut self, place: Place<'_>, entry: &Entry<'_>, judgement: &Judgement) {
        let record = &entry.record;
        self.judged += 1;
        self.strangers += u64::from(!entry.is_at_home);
        let session = self.session(record);
        if let Some((key, end)) = session.and_then(|key| Some((key, *self.over.get(&key)?))) {
            let is_let_in = judgement.becomes.as_ref().is_ok_and(|verdict| verdict.is_allowed);
            let is_user = record.command.as_ref().is_some_and(|command| command.verb == "USER");
            if end == End::Login && is_user && is_let_in {
                // Another name, and the session goes on.
                self.over.remove(&key);
            } else if judgement.was_allowed {
                self.ended += 1;
                self.user(record).ended += 1;
                return;
            }
        }
        self.observed_denials += u64::from(judgement.is_observed_denial);
        self.new_files += u64::from(judgement.hangs_on_new_file);
        match &judgement.becomes {
            Err(doubt) => {
                *self.untold_by_doubt.entry(*doubt).or_default() += 1;
                self.user(record).untold += 1;
                self.untold.add(self.first_max, place, entry, &judgement.becomes);
            }
            Ok(Verdict { is_allowed, .. }) if *is_allowed == judgement.was_allowed => self.unchanged += 1,
            Ok(Verdict { is_allowed: true, .. }) => {
                self.user(record).allowed += 1;
                self.allowed.add(self.first_max, place, entry, &judgement.becomes);
            }
            Ok(Verdict { is_allowed: false, .. }) => {
                self.user(record).denied += 1;
                self.denied.add(self.first_max, place, entry, &judgement.becomes);
                if let Some(end) = end(record) {
                    self.end(session, end);
                }
            }
        }
    }

    fn end(&mut self, session: Option<u64>, end: End) {
        self.ended_sessions += 1;
        let Some(session) = session else { return };
        if self.over.len() < SESSIONS_MAX {
            self.over.insert(session, end);
        } else {
            self.is_over_full = true;
        }
    }

    /// Ids are told apart by gateway: a log may be put together from several.
    fn session(&self, record: &Record<'_>) -> Option<u64> {
        record.session.as_ref().map(|session| self.hasher.hash_one((&record.gateway, session)))
    }

    fn user(&mut self, record: &Record<'_>) -> &mut OfUser {
        let user = record.user.as_deref().map_or_else(String::new, safe);
        self.users.of(clipped(user))
    }

    fn add_unreadable(&mut self, place: Place<'_>, fault: &Fault) {
        self.unreadable += 1;
        if self.first_unreadable.len() < self.first_max {
            // A record is one line to its parser.
            let why = fault.to_string().replace(" at line 1 column ", " at column ");
            let why = safe(&why.chars().take(WHY_CHARACTERS_MAX).collect::<String>());
            self.first_unreadable.push(Unreadable { log: place.log.to_owned(), line: place.line, why });
        }
    }
}

impl Changes {
    fn add(
        &mut self,
        first_max: usize,
        place: Place<'_>,
        entry: &Entry<'_>,
        judged: &Result<Verdict, Doubt>,
    ) {
        self.count += 1;
        *self.causes.of((clipped(was(&entry.record)), becomes(judged))) += 1;
        if self.first.len() < first_max {
            self.first.push(Change::of(place, entry, judged));
        }
    }
}

/// What a command ends if it is denied: without a connection or a login nothing can follow.
fn end(record: &Record<'_>) -> Option<End> {
    match &record.command {
        None => Some(End::Connection),
        Some(command) => matches!(&*command.verb, "USER" | "PASS" | "ACCT").then_some(End::Login),
    }
}

/// As much of a key as tells it from others.
fn clipped(mut key: String) -> String {
    if let Some((end, _)) = key.char_indices().nth(KEY_CHARACTERS_MAX) {
        key.truncate(end);
        key.push('…');
    }
    key
}

/// Users, and pairs of rules, that are counted one by one.
const KEYS_MAX: usize = 100_000;

/// Names of rules and of users are shorter, as a rule.
const KEY_CHARACTERS_MAX: usize = 300;

/// Running sessions that are remembered as ended.
const SESSIONS_MAX: usize = 100_000;

/// A parser's complaint may repeat what it read.
const WHY_CHARACTERS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_beyond_the_bound_are_counted_together() {
        let mut counts: Counts<usize, u64> = Counts::default();
        for key in (0..KEYS_MAX + 5).chain([3]) {
            *counts.of(key) += 1;
        }
        assert_eq!(counts.others, 5);
        assert_eq!(counts.sorted(|&count| count)[..2], [(&3, &2), (&0, &1)]);
        assert_eq!(counts.by_key.len(), KEYS_MAX);
    }
}
