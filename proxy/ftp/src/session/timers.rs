//! A session's deadlines.

use std::time::Duration;

/// What may run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// A command line that was begun must end.
    Line,
    /// The login must be complete.
    Login,
    /// The client must say something.
    Idle,
    /// The backend must answer.
    Reply,
    /// After an abort: the backend has had time to say all it has to say.
    Grace,
    /// What policy allows may have changed with the time, or with the size of an upload.
    Review,
    /// A login failed; the client may learn it.
    Refusal,
}

/// At most one deadline of each kind.
#[derive(Debug, Default)]
pub(super) struct Timers {
    deadlines: [Option<Duration>; TIMERS.len()],
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, deadline: Duration) {
        self.deadlines[timer as usize] = Some(deadline);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines[timer as usize].is_some()
    }

    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.deadlines.iter().flatten().min().copied()
    }

    /// Takes one timer that has run out.
    pub(super) fn take_expired(&mut self, now: Duration) -> Option<Timer> {
        TIMERS.into_iter().find(|&timer| {
            let deadline = &mut self.deadlines[timer as usize];
            deadline.take_if(|deadline| *deadline <= now).is_some()
        })
    }
}

const TIMERS: [Timer; 7] =
    [Timer::Line, Timer::Login, Timer::Idle, Timer::Reply, Timer::Grace, Timer::Review, Timer::Refusal];
