//! Whether a server is up: what counts towards fall and rise, and how much load one takes that came back.
//!
//! Pure: time is an argument, and who asks logs what changed. Failures of checks and of sessions are counted apart,
//! since each kind sees what the other may not (a data check sees firewalled data ports, a session a refused AUTH):
//! a success ends the row of its own kind only, and both rows together make the server fall.

use std::time::Duration;

use tokio::time::Instant;

use super::balance::FULL_SHARE;
use crate::config::{Check, CheckKind};

/// What makes a server fall and rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Failures in a row.
    pub fall: u32,
    /// Successful checks in a row.
    pub rise: u32,
    /// Until a server that no check looks after is tried by sessions again.
    pub rest: Option<Duration>,
    /// Until a server that came back takes its full load.
    pub ramp: Duration,
}

impl Rules {
    /// Those of a `check`.
    pub fn new(check: &Check) -> Self {
        Self {
            fall: check.fall.max(1),
            rise: check.rise.max(1),
            rest: matches!(check.kind, CheckKind::Off).then_some(check.every),
            ramp: check.every.saturating_mul(RAMP_CHECKS).max(RAMP_MIN),
        }
    }
}

/// Who found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observer {
    /// A check of ours.
    Check,
    /// A client's session, before its USER.
    Session,
}

/// What a server's state has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// No session goes there while another server is up.
    Down,
    /// It serves again.
    Up,
}

/// One server's state. A server of which nothing is known is up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    state: State,
    /// Failures since the last success, by kind.
    failed_checks: u32,
    failed_sessions: u32,
    failed_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `since`: it came back then.
    Up { since: Option<Instant> },
    /// `passed`: checks that it has passed since its last failure.
    Down { passed: u32 },
}

impl Default for State {
    fn default() -> Self {
        Self::Up { since: None }
    }
}

impl Health {
    /// Something failed.
    pub fn fail(&mut self, observer: Observer, now: Instant, rules: &Rules) -> Option<Change> {
        self.failed_at = Some(now);
        match observer {
            Observer::Check => self.failed_checks = self.failed_checks.saturating_add(1),
            Observer::Session => self.failed_sessions = self.failed_sessions.saturating_add(1),
        }
        match &mut self.state {
            State::Up { .. } => {
                let falls = self.failed_checks.saturating_add(self.failed_sessions) >= rules.fall;
                falls.then(|| {
                    self.state = State::Down { passed: 0 };
                    Change::Down
                })
            }
            State::Down { passed } => {
                // A session's failure leaves the checks' row alone: while all servers are down sessions fail there, and
                // would keep it down.
                match observer {
                    Observer::Check => *passed = 0,
                    Observer::Session => {}
                }
                None
            }
        }
    }

    /// Something worked.
    pub fn pass(&mut self, observer: Observer, now: Instant, rules: &Rules) -> Option<Change> {
        match observer {
            Observer::Check => self.failed_checks = 0,
            Observer::Session => self.failed_sessions = 0,
        }
        let rises = match (&mut self.state, observer) {
            (State::Up { .. }, _) => false,
            (State::Down { passed }, Observer::Check) => {
                *passed = passed.saturating_add(1);
                *passed >= rules.rise
            }
            // Checks that fail may see what this session will meet only later.
            (State::Down { .. }, Observer::Session) => rules.rest.is_some(),
        };
        rises.then(|| {
            *self =
                Self { state: State::Up { since: Some(now) }, failed_at: self.failed_at, ..Self::default() };
            Change::Up
        })
    }

    /// Whether sessions may go there: it is up, or no check looks after it and it has rested.
    pub fn is_usable(&self, now: Instant, rules: &Rules) -> bool {
        match (self.state, rules.rest, self.failed_at) {
            (State::Up { .. }, _, _) => true,
            (State::Down { .. }, Some(rest), Some(failed_at)) => now >= failed_at + rest,
            (State::Down { .. }, _, _) => false,
        }
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// When it failed last.
    pub fn failed_at(&self) -> Option<Instant> {
        self.failed_at
    }

    /// How much of its load it takes, of [`FULL_SHARE`]; at least 1. It grows evenly from the moment at which the
    /// server came back.
    pub fn share(&self, now: Instant, rules: &Rules) -> u64 {
        match self.state {
            State::Up { since: None } => FULL_SHARE,
            State::Up { since: Some(since) } => {
                let ramp = rules.ramp.as_millis().max(1);
                let passed = now.saturating_duration_since(since).as_millis().min(ramp);
                u64::try_from(passed * u128::from(FULL_SHARE) / ramp).unwrap_or(FULL_SHARE).max(1)
            }
            State::Down { .. } => 1,
        }
    }
}

/// A server that came back takes its full load after this many checks…
const RAMP_CHECKS: u32 = 10;
/// …but not before.
const RAMP_MIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
