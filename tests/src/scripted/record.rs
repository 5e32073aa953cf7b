//! What happened to a scripted server.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::client::End;
use crate::gateway::PATIENCE;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A control connection was accepted.
    Connected,
    /// A command line came; without its line end.
    Command(Vec<u8>),
    /// A data connection was accepted, or made.
    DataConnected,
    /// A data connection is under TLS.
    DataSecured {
        /// Whether it resumed the session of its control connection.
        resumed: bool,
    },
    /// An upload ended, cleanly or not.
    Uploaded(Upload),
    /// A control connection ended.
    Disconnected,
    /// The gateway has asked for features before any client did; that is recorded as no session.
    Probed,
    /// The gateway did what it never may.
    Violation(String),
}

/// The end of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The argument of its command.
    pub name: Vec<u8>,
    /// What came.
    pub content: Vec<u8>,
    /// How it ended: a server stores the file as complete only after [`End::Fin`], under TLS after
    /// [`End::CloseNotify`].
    pub end: End,
}

/// Everything that happened, in order, over all sessions of a server.
#[derive(Debug, Default)]
pub struct Record {
    happenings: Mutex<Vec<Happening>>,
    changed: Condvar,
}

impl Record {
    pub(super) fn add(&self, happening: Happening) {
        self.lock().push(happening);
        self.changed.notify_all();
    }

    /// A control connection turns out to be no client's.
    pub(super) fn forget_session(&self) {
        let mut happenings = self.lock();
        let connected = happenings.iter().rposition(|happening| *happening == Happening::Connected);
        happenings.remove(connected.expect("a session begins with its connection"));
        drop(happenings);
        self.changed.notify_all();
    }

    /// Waits until the gateway has asked for features.
    ///
    /// # Panics
    ///
    /// If it does not in time.
    pub fn wait_probed(&self) {
        self.wait("question for features", |happenings| {
            happenings.contains(&Happening::Probed).then_some(())
        });
    }

    /// All command lines, with unprintable bytes escaped.
    pub fn commands(&self) -> Vec<String> {
        self.lock().iter().filter_map(command_text).collect()
    }

    /// Whether a command of this verb came.
    pub fn has_command(&self, verb: &str) -> bool {
        self.commands().iter().any(|command| is_verb(command, verb))
    }

    /// How many commands of this verb came.
    pub fn count(&self, verb: &str) -> usize {
        self.commands().iter().filter(|command| is_verb(command, verb)).count()
    }

    /// How many control connections there were.
    pub fn sessions(&self) -> usize {
        self.lock().iter().filter(|happening| **happening == Happening::Connected).count()
    }

    /// Of every data connection under TLS, whether it resumed the session of its control connection.
    pub fn resumptions(&self) -> Vec<bool> {
        let resumed = |happening: &Happening| match happening {
            Happening::DataSecured { resumed } => Some(*resumed),
            _ => None,
        };
        self.lock().iter().filter_map(resumed).collect()
    }

    /// Waits until as many commands of this verb have come.
    ///
    /// # Panics
    ///
    /// If they do not in time.
    pub fn wait_count(&self, verb: &str, count: usize) {
        self.wait(verb, |happenings| {
            let commands = happenings.iter().filter_map(command_text);
            (commands.filter(|command| is_verb(command, verb)).count() >= count).then_some(())
        });
    }

    /// Waits for a command of this verb, past or future.
    ///
    /// # Panics
    ///
    /// If none comes in time.
    pub fn wait_command(&self, verb: &str) {
        self.wait(verb, |happenings| {
            happenings.iter().filter_map(command_text).find(|command| is_verb(command, verb))
        });
    }

    /// Waits for the end of the first upload.
    ///
    /// # Panics
    ///
    /// If there is none in time.
    pub fn wait_upload(&self) -> Upload {
        self.wait("the end of an upload", |happenings| {
            happenings.iter().find_map(|happening| match happening {
                Happening::Uploaded(upload) => Some(upload.clone()),
                _ => None,
            })
        })
    }

    /// Waits until as many control connections have ended.
    ///
    /// # Panics
    ///
    /// If they do not in time.
    pub fn wait_disconnected(&self, sessions: usize) {
        self.wait("the end of a session", |happenings| {
            let ended = happenings.iter().filter(|happening| **happening == Happening::Disconnected).count();
            (ended >= sessions).then_some(())
        });
    }

    /// Waits for a data connection.
    ///
    /// # Panics
    ///
    /// If there is none in time.
    pub fn wait_data_connected(&self) {
        self.wait("a data connection", |happenings| {
            happenings.contains(&Happening::DataConnected).then_some(())
        });
    }

    /// What the gateway did against the rules, first things first and ten at most.
    pub fn violations(&self) -> Vec<String> {
        let violation = |happening: &Happening| match happening {
            Happening::Violation(text) => Some(text.clone()),
            _ => None,
        };
        self.lock().iter().filter_map(violation).take(10).collect()
    }

    fn wait<T>(&self, what: &str, mut find: impl FnMut(&[Happening]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut held = self.lock();
        loop {
            if let Some(found) = find(&held) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the scripted server saw no {what}; it saw {held:?}");
            (held, _) = self.changed.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Happening>> {
        self.happenings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn command_text(happening: &Happening) -> Option<String> {
    match happening {
        Happening::Command(line) => Some(line.escape_ascii().to_string()),
        _ => None,
    }
}

fn is_verb(command: &str, verb: &str) -> bool {
    command.split(' ').next() == Some(verb)
}
