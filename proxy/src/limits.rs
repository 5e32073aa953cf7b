//! Limits that hold for the whole process: one state, bounded, that outlives reloads.
//!
//! What is counted, and how, is `ftpsgate_policies::limit`; here it meets sessions. Each has a [`Ticket`], which is
//! asked at the points where a limit may hold and gives everything back when it is dropped. Nothing waits here: a lock
//! is held for the time of a look-up, never over an await, and nothing is written to a log meanwhile.
//!
//! A transfer asks its `Throttle` for the bytes that it may move, and the relay waits.
//!
//! Every refusal is recorded with the target `audit`, but no flood of refusals becomes a flood of records (`report`).

mod report;
mod throttle;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ftpsgate_ftp::session::LoginVerdict;
use ftpsgate_policies::Subject;
use ftpsgate_policies::limit::{
    Activity, Counted, Direction, Event, Exceeded, Exhausted, Fill, Hold, Key, Limit, LimitError, Limits,
    Lockout, Party,
};
use ftpsgate_policies::rule::Group;
use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use crate::audit::text::escape;
use report::Reports;
use throttle::Rates;

pub use throttle::Throttle;

/// What all sessions of the process share.
#[derive(Debug)]
pub struct SharedLimits {
    /// What [`Limits`]' time counts from.
    epoch: Instant,
    next_session: AtomicU64,
    /// Whether anything may be locked or counted by command: else nobody takes the lock for one.
    judges_logins: AtomicBool,
    counts_commands: AtomicBool,
    state: Mutex<State>,
    reports: Reports,
    rates: Rates,
    bounds_files: AtomicBool,
    /// Changes whenever a password that was tried is no longer.
    turns: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    /// Sessions that are open, by the number of their ticket.
    members: HashMap<u64, Member>,
}

/// One session, as limits know it: the user only once the login stands, or one client could use up what another may.
#[derive(Debug)]
struct Member {
    subject: Subject,
    hold: Hold,
    /// While a transfer lasts.
    transfer: Option<Hold>,
    /// While a password is tried.
    attempt: Option<Box<Attempt>>,
}

/// A password that is tried, by a user who is not logged in.
#[derive(Debug)]
struct Attempt {
    subject: Subject,
    hold: Hold,
}

/// Why a password is not tried.
#[derive(Debug)]
enum Stop {
    Lockout(Lockout),
    Exceeded(Exceeded),
}

/// One session's part in the limits; dropping it gives everything back.
#[derive(Debug)]
pub struct Ticket {
    limits: Arc<SharedLimits>,
    number: u64,
}

/// A client that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The limit's name.
    pub limit: String,
}

/// Why a client is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too many connections in a time.
    Connections,
    /// Too many sessions at once.
    Sessions,
}

/// What `status` shows.
#[derive(Debug)]
pub struct Overview {
    /// Sessions that are open.
    pub sessions: usize,
    /// Transfers that run, or are about to.
    pub transfers: usize,
    /// Each with the time that it still lasts.
    pub lockouts: Vec<(Lockout, Duration)>,
    /// Buckets, and what lasts; the fullest first.
    pub fullest: Vec<Fill>,
}

impl Default for SharedLimits {
    fn default() -> Self {
        let limits = Limits::new(Vec::new(), Vec::new()).expect("no limits are no wrong limits");
        Self {
            epoch: Instant::now(),
            next_session: AtomicU64::new(0),
            judges_logins: AtomicBool::new(false),
            counts_commands: AtomicBool::new(false),
            state: Mutex::new(State { limits, members: HashMap::new() }),
            reports: Reports::default(),
            rates: Rates::default(),
            bounds_files: AtomicBool::new(false),
            turns: watch::Sender::new(()),
        }
    }
}

impl SharedLimits {
    /// Puts other limits in place. Those that did not change keep what they counted, lockouts last, and sessions that
    /// are open count under the new ones; none is ended for it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them; then nothing changes.
    pub fn reload(&self, limits: Vec<Limit>, groups: Vec<Group>) -> Result<(), Vec<LimitError>> {
        let judges_logins =
            limits.iter().any(|limit| limit.failed_logins.is_some() || limit.logins.is_some());
        let counts_commands = limits.iter().any(|limit| limit.commands.is_some());
        let has_rates = limits
            .iter()
            .any(|limit| limit.upload_rate_bytes.is_some() || limit.download_rate_bytes.is_some());
        let bounds_files = limits.iter().any(|limit| limit.file_bytes_max.is_some());
        let now = self.now();
        let State { limits: counted, members } = &mut *self.state();
        counted.reload(limits, groups)?;
        self.bounds_files.store(bounds_files, Ordering::Relaxed);
        self.rates.changed(has_rates);
        for (&session, Member { subject, hold, transfer, attempt }) in members {
            for hold in std::iter::once(hold).chain(transfer) {
                counted.renew(hold, Party { subject, session });
            }
            if let Some(Attempt { subject, hold }) = attempt.as_deref_mut() {
                counted.renew(hold, Party { subject, session });
            }
        }
        let has_lockouts = counted.lockouts(now).next().is_some();
        self.judges_logins.store(judges_logins || has_lockouts, Ordering::Relaxed);
        self.counts_commands.store(counts_commands, Ordering::Relaxed);
        Ok(())
    }

    /// A client has connected: may it have a session?
    ///
    /// # Errors
    ///
    /// Which kind of limit is exceeded; it was recorded.
    pub fn admit(self: &Arc<Self>, listener: &str, address: IpAddr) -> Result<Ticket, Refused> {
        let number = self.next_session.fetch_add(1, Ordering::Relaxed);
        let subject = Subject {
            address: address.to_canonical(),
            user: None,
            listener: listener.to_owned(),
            backend: String::new(),
            tls: None,
            certificate: None,
        };
        let now = self.now();
        let mut state = self.state();
        let State { limits, members } = &mut *state;
        let party = Party { subject: &subject, session: number };
        let held = limits.hold(Activity::Session, party).and_then(|hold| {
            match limits.count(Event::Connection, party, now) {
                Ok(()) => Ok(hold),
                Err(exceeded) => {
                    limits.release(hold);
                    Err(exceeded)
                }
            }
        });
        match held {
            Ok(hold) => {
                members.insert(number, Member { subject, hold, transfer: None, attempt: None });
                Ok(Ticket { limits: Arc::clone(self), number })
            }
            Err(exceeded) => {
                drop(state);
                self.reports.refused(&exceeded, &subject, now);
                let refusal = match exceeded.what {
                    Exhausted::Event(..) => Refusal::Connections,
                    Exhausted::Activity(_) => Refusal::Sessions,
                };
                Err(Refused { refusal, limit: exceeded.limit.name().to_owned() })
            }
        }
    }

    /// What an operator asks for: at most so many of the fullest buckets, and of the lockouts.
    pub fn overview(&self, most: usize) -> Overview {
        let now = self.now();
        let State { limits, members } = &*self.state();
        let lockouts = limits.lockouts(now).take(most);
        let lockouts = lockouts.map(|lockout| (lockout.clone(), lockout.until.saturating_sub(now)));
        Overview {
            sessions: members.len(),
            transfers: members.values().filter(|member| member.transfer.is_some()).count(),
            lockouts: lockouts.collect(),
            fullest: limits.fullest(most, now, |session| members.contains_key(&session)),
        }
    }

    /// Ends the lockouts of an address and of the networks that hold it. How many there were.
    pub fn unlock_address(&self, address: IpAddr) -> usize {
        let now = self.now();
        self.state().limits.unlock_address(address, now)
    }

    /// Ends the lockouts of a network, and of what is within it. How many there were.
    pub fn unlock_network(&self, network: IpNet) -> usize {
        let now = self.now();
        self.state().limits.unlock_network(network, now)
    }

    /// Ends the lockouts of a user. How many there were.
    pub fn unlock_user(&self, user: &[u8]) -> usize {
        let now = self.now();
        self.state().limits.unlock_user(user, now)
    }

    /// Records how many refusals were not recorded singly; to be called now and then.
    pub fn summarise(&self) {
        self.reports.summarise(self.now());
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// What a panic left behind is sound: nothing here is changed in two steps.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The client gave a command. The name of the limit that it exceeds, if it does.
    pub fn refuses_command(&self) -> Option<String> {
        let shared = &self.limits;
        if !shared.counts_commands.load(Ordering::Relaxed) {
            return None;
        }
        let now = shared.now();
        let (exceeded, subject) = {
            let State { limits, members } = &mut *shared.state();
            let Member { subject, .. } = members.get(&self.number)?;
            let counted = limits.count(Event::Command, Party { subject, session: self.number }, now);
            (counted.err()?, subject.clone())
        };
        shared.reports.refused(&exceeded, &subject, now);
        Some(exceeded.limit.name().to_owned())
    }

    /// The client gives a password: may it be tried? It is until the login has failed, or been let in, or the session
    /// ends.
    ///
    /// # Errors
    ///
    /// Whether it may will be known when a change comes: so many passwords are tried at this moment that a lockout could
    /// begin with them.
    pub fn judge_login(&self, subject: &Subject) -> Result<LoginVerdict, watch::Receiver<()>> {
        let shared = &self.limits;
        if !shared.judges_logins.load(Ordering::Relaxed) {
            return Ok(LoginVerdict::Try);
        }
        // From before it is asked: no change is missed.
        let turns = shared.turns.subscribe();
        let now = shared.now();
        // Nothing is written down under the lock.
        let refusal = self.begin_attempt(subject, now).ok_or(turns)?;
        match refusal {
            Ok(()) => Ok(LoginVerdict::Try),
            Err(Stop::Lockout(lockout)) => {
                shared.reports.locked(&lockout, subject, now);
                Ok(LoginVerdict::LockedOut(lockout.limit.name().to_owned()))
            }
            Err(Stop::Exceeded(exceeded)) => {
                shared.reports.refused(&exceeded, subject, now);
                Ok(LoginVerdict::TooMany(exceeded.limit.name().to_owned()))
            }
        }
    }

    /// `None`: not now.
    fn begin_attempt(&self, subject: &Subject, now: Duration) -> Option<Result<(), Stop>> {
        let mut state = self.limits.state();
        // One password at a time: or a session would wait for itself.
        self.end_attempt(&mut state);
        let State { limits, members } = &mut *state;
        let party = Party { subject, session: self.number };
        if let Some(lockout) = limits.locked(party, now) {
            return Some(Err(Stop::Lockout(lockout.clone())));
        }
        let hold = limits.begin_attempt(party, now)?;
        if let Err(exceeded) = limits.count(Event::Login, party, now) {
            limits.release(hold);
            return Some(Err(Stop::Exceeded(exceeded)));
        }
        match members.get_mut(&self.number) {
            Some(member) => {
                member.attempt = Some(Box::new(Attempt { subject: subject.clone(), hold }));
            }
            None => limits.release(hold),
        }
        Some(Ok(()))
    }

    /// A password is no longer tried.
    fn end_attempt(&self, State { limits, members }: &mut State) {
        if let Some(attempt) = members.get_mut(&self.number).and_then(|member| member.attempt.take()) {
            limits.release(attempt.hold);
            self.limits.turns.send_replace(());
        }
    }

    /// The login failed.
    pub fn login_failed(&self, subject: &Subject) {
        let shared = &self.limits;
        if !shared.judges_logins.load(Ordering::Relaxed) {
            return;
        }
        let now = shared.now();
        let begun = {
            let mut state = shared.state();
            let begun = state.limits.login_failed(Party { subject, session: self.number }, now);
            self.end_attempt(&mut state);
            begun
        };
        for lockout in begun {
            warn!(
                target: "audit",
                limit = lockout.limit.name(),
                origin = %lockout.limit.origin(),
                key = key_text(&lockout.key),
                seconds = lockout.until.saturating_sub(now).as_secs(),
                "locked out"
            );
        }
    }

    /// A password is no longer tried, and nobody knows whether it was right.
    pub fn login_ended(&self) {
        self.end_attempt(&mut self.limits.state());
    }

    /// More is known of the client: its TLS, or, now that the backend has accepted the login, its user. The name of the
    /// limit by which it may not have one more session.
    pub fn refuses(&self, subject: &Subject) -> Option<String> {
        let shared = &self.limits;
        let now = shared.now();
        let extended = {
            let mut state = shared.state();
            self.end_attempt(&mut state);
            let State { limits, members } = &mut *state;
            let member = members.get_mut(&self.number)?;
            member.subject = subject.clone();
            limits.extend(&mut member.hold, Party { subject, session: self.number })
        };
        let exceeded = extended.err()?;
        shared.reports.refused(&exceeded, subject, now);
        Some(exceeded.limit.name().to_owned())
    }
}

impl Ticket {
    /// A transfer is asked for, and policy allows it. The name of the limit by which there may not be one more; else it
    /// counts until [`Ticket::transfer_finished`].
    pub fn refuses_transfer(&self) -> Option<String> {
        let shared = &self.limits;
        let (exceeded, subject) = {
            let State { limits, members } = &mut *shared.state();
            let member = members.get_mut(&self.number)?;
            // A session has one at a time.
            member.transfer.take().into_iter().for_each(|old| limits.release(old));
            let party = Party { subject: &member.subject, session: self.number };
            match limits.hold(Activity::Transfer, party) {
                Ok(hold) => {
                    member.transfer = Some(hold);
                    return None;
                }
                Err(exceeded) => (exceeded, member.subject.clone()),
            }
        };
        shared.reports.refused(&exceeded, &subject, shared.now());
        Some(exceeded.limit.name().to_owned())
    }

    /// The transfer has had its last reply, if there was one.
    pub fn transfer_finished(&self) {
        let State { limits, members } = &mut *self.limits.state();
        let held = members.get_mut(&self.number).and_then(|member| member.transfer.take());
        held.into_iter().for_each(|hold| limits.release(hold));
    }

    /// How fast a transfer may go that begins now.
    pub fn throttle(&self, direction: Direction) -> Throttle {
        Throttle::new(Arc::clone(&self.limits), self.number, direction)
    }

    /// The size that a file may have, stored or fetched; `None`: any.
    pub fn file_bytes_max(&self) -> Option<u64> {
        let shared = &self.limits;
        if !shared.bounds_files.load(Ordering::Relaxed) {
            return None;
        }
        let State { limits, members } = &*shared.state();
        let Member { subject, .. } = members.get(&self.number)?;
        limits.file_bytes_max(Party { subject, session: self.number }).map(|(bytes, _)| bytes)
    }

    /// A file was too large: records it, and tells the name of the limit.
    pub fn report_file_size(&self) -> Option<String> {
        let shared = &self.limits;
        let (limit, subject) = {
            let State { limits, members } = &*shared.state();
            let Member { subject, .. } = members.get(&self.number)?;
            let (_, limit) = limits.file_bytes_max(Party { subject, session: self.number })?;
            (limit.clone(), subject.clone())
        };
        shared.reports.file_size(&limit, &subject, shared.now());
        Some(limit.name().to_owned())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let State { limits, members } = &mut *self.limits.state();
        if let Some(Member { subject: _, hold, transfer, attempt }) = members.remove(&self.number) {
            let was_trying = attempt.is_some();
            let attempt = attempt.map(|attempt| attempt.hold);
            std::iter::once(hold).chain(transfer).chain(attempt).for_each(|hold| limits.release(hold));
            if was_trying {
                self.limits.turns.send_replace(());
            }
        }
    }
}

/// Whose state it is, for people: names as they are, and such that `unlock` takes them back.
pub(crate) fn key_text(key: &Key) -> String {
    match key {
        Key::User(name) => format!("user {}", escape(name)),
        Key::Gateway
        | Key::Listener(_)
        | Key::Backend(_)
        | Key::Address(_)
        | Key::Network(_)
        | Key::Session(_) => key.to_string(),
    }
}

/// What is counted, as the key of its limit says it.
pub(crate) fn counted_key(counted: Counted) -> &'static str {
    match counted {
        Counted::Event(Event::Connection) => "connections",
        Counted::Event(Event::Login) => "logins",
        Counted::Event(Event::Command) => "commands",
        Counted::Activity(Activity::Session) => "sessions",
        Counted::Activity(Activity::Transfer) => "transfers",
        Counted::Activity(Activity::Attempt) => "failed_logins",
    }
}

/// What of a limit is exceeded, likewise.
fn exhausted_key(exceeded: &Exceeded) -> &'static str {
    match exceeded.what {
        Exhausted::Event(event, _) => counted_key(Counted::Event(event)),
        Exhausted::Activity(activity) => counted_key(Counted::Activity(activity)),
    }
}

#[cfg(test)]
mod tests;
