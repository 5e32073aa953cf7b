//! Logging in afresh, where no TLS ticket is left with which a data connection could prove that it belongs to the
//! control connection (under TLS 1.3 each ticket works once).
//!
//! The old connection is kept until the new one stands where the old one stood: same user, options, type and
//! directory, by the server's own word. If that cannot be had, the transfer is refused and the session goes on over the old one; a data
//! connection is never prepared in the hope that the server may not ask.

use std::collections::VecDeque;

use crate::codec::{Command, Kind, Protection, Reply, Verb, path};

use super::connect::Debts;
use super::event::{Action, DataTickets, Fact, Now, UpstreamInfo};
use super::timers::Timer;
use super::transfer::Transfer;
use super::{Expecting, Session};

/// How far a fresh login has come.
#[derive(Debug)]
pub(super) enum Renewal {
    /// PWD was sent over the old connection.
    Directory,
    /// The second connection is being dialled; the old one is the one that is spoken to.
    Dial { replay: Replay },
    /// The second connection is spoken to; the old one waits.
    Login { old: UpstreamInfo, replay: Replay },
}

/// How the second connection gets to where the first one stands.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// What it is still to be told; CWD comes last.
    commands: VecDeque<Command>,
    /// What PWD must say then.
    directory: Vec<u8>,
}

/// What was asked, to renew.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    /// PWD, on the old connection.
    Directory,
    /// USER, on the new one, as all that follow.
    User,
    /// PASS.
    Password,
    /// ACCT.
    Account,
    /// OPTS, TYPE, CWD: the old connection took them, so the new one must.
    Replay,
    /// PWD: whether CWD led to where the old connection stands.
    Arrival,
}

/// What a fresh login takes: secrets and settings that the backend accepted. Wiped when dropped; never shown.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    password: Option<Command>,
    account: Option<Command>,
    options: Vec<Command>,
    transfer_type: Option<Command>,
    /// OPTS or TYPE, until the backend has answered it.
    asked: Option<Command>,
}

impl Credentials {
    /// A command of the client's goes to the backend.
    pub(super) fn note_command(&mut self, command: &Command) {
        if command.verb() == Verb::Pass {
            self.password = Some(command.clone());
        } else if command.verb() == Verb::Acct {
            self.account = Some(command.clone());
        } else if is_replayed(command) {
            self.asked = Some(command.clone());
        }
    }

    /// The backend answered the last one.
    pub(super) fn note_reply(&mut self, reply: &Reply) {
        let Some(command) = self.asked.take().filter(|_| reply.kind() == Kind::Completion) else { return };
        if command.verb() == Verb::Type {
            self.transfer_type = Some(command);
        } else {
            self.options.retain(|option| option.subcommand() != command.subcommand());
            self.options.push(command);
        }
    }

    fn replay(&self, directory: Vec<u8>) -> Option<Replay> {
        let change = Command::with(Verb::Cwd, directory.as_slice())?;
        let commands = self.options.iter().chain(&self.transfer_type).cloned().chain([change]).collect();
        Some(Replay { commands, directory })
    }
}

/// OPTS for the names, listings and checksums of files, of which there is one each; and TYPE.
fn is_replayed(command: &Command) -> bool {
    command.verb() == Verb::Type
        || (command.verb() == Verb::Opts
            && matches!(command.subcommand().as_deref(), Some("UTF8" | "MLST" | "HASH")))
}

impl Session {
    /// Whether the next data connection to the backend can prove where it belongs; to be told before anything else,
    /// whenever it changes.
    pub fn handle_data_tickets(&mut self, tickets: DataTickets) {
        self.tickets = tickets;
    }

    /// Prepares the backend's side of a data connection: every way to make one begins here, with `transfer` a
    /// `Setup` whose backend is `Pending`.
    ///
    /// Calls [`Session::begin_backend_data`], at once or when the session has logged in afresh; or
    /// [`Session::fail_backend_data`], if it could not.
    pub(super) fn prepare_backend_data(&mut self, now: Now) {
        if !self.lacks_ticket() {
            return self.begin_backend_data(now);
        }
        if self.credentials.is_none() {
            return self.fail_backend_data(now);
        }
        let upstream = self.upstream_settings();
        let time = upstream.connect_timeout + upstream.reply_timeout;
        self.renewal = Some(Box::new(Renewal::Directory));
        self.timers.set(Timer::Reply, now.monotonic + time);
        self.send(Command::bare(Verb::Pwd), Expecting::Renewal(Asked::Directory), now);
    }

    fn lacks_ticket(&self) -> bool {
        match self.tickets {
            DataTickets::Available => false,
            DataTickets::Spent => self.upstream_settings().protection == Protection::Private,
        }
    }

    /// Whether the session is logging in afresh. All of it has one deadline.
    pub(super) fn is_renewing(&self) -> bool {
        self.renewal.is_some()
    }

    /// Whether the backend that is spoken to is the second connection.
    pub(super) fn is_renewal_spoken_to(&self) -> bool {
        matches!(self.renewal.as_deref(), Some(Renewal::Login { .. }))
    }

    /// Whether the second connection was asked for and is not there yet.
    pub(super) fn is_renewal_dialled(&self) -> bool {
        matches!(self.renewal.as_deref(), Some(Renewal::Dial { .. }))
    }

    /// The second connection stands, if one was asked for.
    pub(super) fn keep_old_connection(&mut self) {
        if let (Some(renewal), Some(old)) = (self.renewal.as_deref_mut(), self.upstream)
            && let Renewal::Dial { replay } = renewal
        {
            *renewal = Renewal::Login { old, replay: std::mem::take(replay) };
        }
    }

    /// The second connection is ready for its USER.
    pub(super) fn send_user_again(&mut self, now: Now) {
        let user = self.routed.as_ref().expect("who renews was routed").user.clone();
        self.send(user, Expecting::Renewal(Asked::User), now);
    }

    pub(super) fn handle_renewal_reply(&mut self, asked: Asked, reply: Reply, now: Now) {
        if reply.kind() == Kind::Preliminary {
            return self.expect_more(Expecting::Renewal(asked), now);
        }
        let wants_account = reply.code().value() == 332;
        match (asked, reply.kind()) {
            (Asked::Directory, _) => self.handle_directory(&reply, now),
            (Asked::Arrival, _) => self.handle_arrival(&reply, now),
            (Asked::User | Asked::Password | Asked::Account, Kind::Completion) => self.log_in(reply, now),
            (Asked::User | Asked::Password, Kind::Intermediate) if wants_account => {
                let account = self.credentials.as_ref().and_then(|kept| kept.account.clone());
                self.send_secret_again(account, Asked::Account, now);
            }
            (Asked::User, Kind::Intermediate) => {
                let password = self.credentials.as_ref().and_then(|kept| kept.password.clone());
                self.send_secret_again(password, Asked::Password, now);
            }
            (
                Asked::User | Asked::Password | Asked::Account,
                Kind::Preliminary | Kind::Intermediate | Kind::TransientFailure | Kind::PermanentFailure,
            ) => self.refuse_renewal(now),
            (Asked::Replay, Kind::Completion) => self.replay(now),
            (
                Asked::Replay,
                Kind::Preliminary | Kind::Intermediate | Kind::TransientFailure | Kind::PermanentFailure,
            ) => self.fail_renewal(now),
        }
    }

    fn handle_directory(&mut self, reply: &Reply, now: Now) {
        let replay = path::quoted_path(reply)
            .filter(|path| is_replayable(path))
            .zip(self.credentials.as_ref())
            .and_then(|(path, kept)| kept.replay(path));
        let Some(replay) = replay else {
            return self.fail_renewal(now);
        };
        self.renewal = Some(Box::new(Renewal::Dial { replay }));
        self.expecting = Expecting::Connection;
        self.actions.push_back(Action::RenewUpstream);
    }

    fn send_secret_again(&mut self, secret: Option<Command>, asked: Asked, now: Now) {
        match secret {
            Some(secret) => self.send(secret, Expecting::Renewal(asked), now),
            None => self.refuse_renewal(now),
        }
    }

    /// The backend no longer takes the login. It is not tried again: some servers lock users out who fail too often.
    fn refuse_renewal(&mut self, now: Now) {
        self.credentials = None;
        self.fail_renewal(now);
    }

    /// Logged in: the next thing that the old connection was told.
    pub(super) fn replay(&mut self, now: Now) {
        let next = match self.renewal.as_deref_mut() {
            Some(Renewal::Login { replay, .. }) => replay.commands.pop_front(),
            Some(Renewal::Directory | Renewal::Dial { .. }) | None => None,
        };
        match next {
            Some(command) => self.send(command, Expecting::Renewal(Asked::Replay), now),
            None => self.send(Command::bare(Verb::Pwd), Expecting::Renewal(Asked::Arrival), now),
        }
    }

    /// A file must not land where a server understood CWD otherwise than it says PWD.
    fn handle_arrival(&mut self, reply: &Reply, now: Now) {
        let has_arrived = match self.renewal.as_deref() {
            Some(Renewal::Login { replay, .. }) => {
                path::quoted_path(reply).is_some_and(|path| path == replay.directory)
            }
            Some(Renewal::Directory | Renewal::Dial { .. }) | None => false,
        };
        if has_arrived { self.complete_renewal(now) } else { self.fail_renewal(now) }
    }

    fn complete_renewal(&mut self, now: Now) {
        self.renewal = None;
        self.timers.clear(Timer::Reply);
        self.actions.push_back(Action::SettleRenewal(true));
        self.facts.push_back(Fact::Renewed { succeeded: true });
        if !matches!(self.transfer, Transfer::Setup(_)) {
            // Nobody opened the leased port meanwhile.
            return;
        }
        if self.lacks_ticket() {
            self.fail_backend_data(now);
        } else {
            self.begin_backend_data(now);
        }
    }

    /// The session goes on over the old connection, on which nothing is asked.
    pub(super) fn fail_renewal(&mut self, now: Now) {
        match self.renewal.take().map(|renewal| *renewal) {
            Some(Renewal::Directory) => {}
            Some(Renewal::Dial { .. }) => self.actions.push_back(Action::SettleRenewal(false)),
            Some(Renewal::Login { old, .. }) => {
                self.upstream = Some(old);
                self.debts = Debts::default();
                // Those that we were told of last are the new connection's.
                self.tickets = DataTickets::Spent;
                self.actions.push_back(Action::SettleRenewal(false));
            }
            None => return,
        }
        self.expecting = Expecting::Nothing;
        self.timers.clear(Timer::Reply);
        self.facts.push_back(Fact::Renewed { succeeded: false });
        if matches!(self.transfer, Transfer::Setup(_)) {
            self.fail_backend_data(now);
        }
        self.advance(now);
    }
}

/// Whether CWD with this path leads back. Replies are read with control bytes replaced by `?`: such a path could be
/// another one.
fn is_replayable(path: &[u8]) -> bool {
    path.starts_with(b"/") && path.len() <= PATH_BYTES_MAX && !path.contains(&b'?')
}

/// Linux's PATH_MAX, and what most servers take in one line.
const PATH_BYTES_MAX: usize = 4096;
