//! The state machine of one session: what clients, servers and clocks do goes in, what is to be done comes out.
//!
//! ```text
//! ExpectAuth ──AUTH──▶ Handshake ──▶ ExpectUser ──USER──▶ ConnectUpstream ─────▶ UpstreamUser
//!     │  (clear text, where it is allowed) ──USER──▶──┘                               │331
//!     │                              ▲                                                ▼
//!     │                              ╰──530── UpstreamPassword ◀──PASS── ExpectPassword
//!     ▼                                             │230
//!   Closed ◀── any state                            ▼
//!                      Ready: Idle ─▶ Setup ─▶ Opening ─▶ Relaying ─▶ Completing ─▶ Idle
//!                                                             ╰▶ Failing, Aborting ──▶ Idle
//!
//! ConnectUpstream:   Connection ─▶ Greeting ─▶ Auth ─▶ Tls ─▶ Pbsz ─▶ Prot; after a failure at the next server
//! Renewal, in Setup: Directory ─▶ Dial ─▶ Login: as above, then User ─▶ Password ─▶ Replay; after a failure Idle
//! ```
//!
//! The driver calls `handle_*` with what has happened, then takes [`Session::poll_action`] and
//! [`Session::poll_fact`] until both are empty, and waits until [`Session::poll_timeout`] at most. It reads from the
//! client only while [`Session::wants_command`]. Replies of a backend are given here as they come; whether the stream
//! was silent before a command is sent is the driver's to prove (`handle_desynchronised`).
//!
//! RFC 959, 2228, 2389, 2428, 3659, 4217, 7151.

mod abort;
mod answers;
mod authorize;
mod backend_data;
mod bounds;
mod client_data;
mod commands;
mod connect;
mod event;
mod fault;
mod judge;
mod limits;
mod login;
mod measure;
mod opening;
mod paths;
mod queue;
mod reckoning;
mod record;
mod renewal;
mod review;
mod route;
mod security;
mod settings;
mod setup;
mod state;
mod timers;
mod transfer;
mod upstream;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_policies::{CanonicalPath, Links, Policy, Subject};

use crate::codec::{Command, CommandError, LineError, Reply, Verb};

use connect::Debts;
use paths::{Errand, Representation, View};
use queue::{Entry, Queue};
use renewal::{Credentials, Renewal};
use route::Routed;
use security::Security;
use state::{Expecting, Phase};
use timers::{Timer, Timers};
use transfer::Transfer;

pub use authorize::{Context, Deed, Name, Object, Place};
pub use commands::own_refusal;
pub use event::*;
pub use fault::UpstreamFault;
pub use judge::{Standing, needs_paths};
pub use record::*;
pub use settings::*;

/// One downstream control connection and everything it owns.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    client: Client,
    subject: Subject,
    policy: Arc<Policy>,
    /// Of that policy: it is asked with paths.
    needs_paths: bool,
    /// Of that policy: what directory links on the server can do to it.
    links: Links,
    phase: Phase,
    security: Security,
    expecting: Expecting,
    /// Where the last USER is to go.
    routed: Option<Routed>,
    upstream: Option<UpstreamInfo>,
    /// Of that connection.
    debts: Debts,
    tickets: DataTickets,
    /// Where the backend allows it: what a fresh login takes.
    credentials: Option<Box<Credentials>>,
    renewal: Option<Box<Renewal>>,
    /// What HOST named.
    host: Option<String>,
    transfer: Transfer,
    /// Where everybody is, if paths count.
    view: Option<Box<View>>,
    /// Where the client is, for records, where nothing else counts.
    directory: Option<Box<CanonicalPath>>,
    /// The command under way, for the records.
    open: Option<Box<CommandRecord>>,
    /// A command under way to be sent.
    errand: Option<Box<Errand>>,
    representation: Representation,
    /// Bytes that ALLO announced for the next upload.
    announced: Option<u64>,
    /// Bytes that a file of this client may have.
    file_bytes_max: Option<u64>,
    /// The server refused SIZE.
    lacks_size: bool,
    /// REST, held until its transfer command.
    restart: Option<Box<Command>>,
    /// RNFR or SITE CPFR, held until its second half.
    rename_from: Option<Box<Command>>,
    /// EPSV ALL was said (RFC 2428 §4).
    epsv_only: bool,
    /// OPTS UTF8 ON was accepted before there was a backend to tell.
    utf8_promised: bool,
    login_failures: u32,
    /// When the client last gave a name or a password.
    login_asked_at: Duration,
    /// STOU was sent.
    has_chosen_names: bool,
    /// Limits let the login be tried that is under way.
    is_login_judged: bool,
    /// Times that USER led to another destination than before.
    destinations: u32,
    /// Replies of the backend that announced another, one after the other.
    preliminaries: u32,
    long_lines: u32,
    draining: bool,
    /// The client has shut its half of the control connection down.
    ended: bool,
    queue: Queue,
    timers: Timers,
    actions: VecDeque<Action>,
    facts: VecDeque<Fact>,
}

impl Session {
    /// A session whose client has just connected.
    pub fn new(settings: Arc<Settings>, client: Client, now: Now) -> Self {
        let subject = Subject {
            address: client.address,
            user: None,
            listener: settings.listener.clone(),
            backend: String::new(),
            tls: None,
            certificate: None,
        };
        let mut session = Self {
            client,
            subject,
            needs_paths: judge::needs_paths(&settings.policy),
            links: settings.policy.links(),
            policy: Arc::clone(&settings.policy),
            phase: Phase::ExpectUser,
            security: Security::default(),
            expecting: Expecting::Nothing,
            routed: None,
            upstream: None,
            debts: Debts::default(),
            tickets: DataTickets::Available,
            credentials: None,
            renewal: None,
            host: None,
            transfer: Transfer::Idle,
            view: None,
            directory: None,
            open: None,
            errand: None,
            representation: Representation::default(),
            announced: None,
            file_bytes_max: None,
            lacks_size: false,
            restart: None,
            rename_from: None,
            epsv_only: false,
            utf8_promised: false,
            login_failures: 0,
            login_asked_at: now.monotonic,
            has_chosen_names: false,
            is_login_judged: false,
            destinations: 0,
            preliminaries: 0,
            long_lines: 0,
            draining: false,
            ended: false,
            queue: Queue::default(),
            timers: Timers::default(),
            actions: VecDeque::new(),
            facts: VecDeque::new(),
            settings,
        };
        match session.judge_connection(now) {
            Ok(permit) => session.facts.push_back(Fact::Connected(Decision::permitted(&permit))),
            Err(denial) => {
                session.refuse_connection(denial);
                return session;
            }
        }
        session.timers.set(Timer::Login, now.monotonic + session.settings.login_timeout);
        session.begin_review(now);
        match session.settings.mode {
            Mode::Explicit => {
                session.phase = Phase::ExpectAuth;
                session.greet();
            }
            Mode::Plain => session.greet(),
            Mode::Implicit => {
                session.phase = Phase::Handshake;
                session.actions.push_back(Action::AcceptTls);
            }
        }
        session
    }

    /// What to do next; in order, until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if self.actions.is_empty() {
            self.actions = VecDeque::new();
        }
        action
    }

    /// What has happened; in order, until `None`.
    pub fn poll_fact(&mut self) -> Option<Fact> {
        let fact = self.facts.pop_front();
        if self.facts.is_empty() {
            self.facts = VecDeque::new();
        }
        fact
    }

    /// When to call [`Session::handle_timeout`], in [`Now::monotonic`]'s terms.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Whether to read more from the client. While not, back-pressure holds the client.
    pub fn wants_command(&self) -> bool {
        match self.phase {
            Phase::Handshake | Phase::Closed => false,
            Phase::ExpectAuth
            | Phase::ExpectUser
            | Phase::ConnectUpstream
            | Phase::UpstreamUser
            | Phase::ExpectPassword
            | Phase::UpstreamPassword
            | Phase::ExpectAccount
            | Phase::Ready => !self.ended && self.queue.has_room(),
        }
    }

    /// Whether the session is over; the last action was [`Action::Close`].
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether bytes of a transfer are moving, or should be.
    pub fn is_transferring(&self) -> bool {
        self.transfer.is_running()
    }

    /// Who the client is, as policy and limits see it.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The user name, once one was given over a channel that the listener accepts.
    pub fn user(&self) -> Option<&[u8]> {
        self.subject.user.as_deref()
    }

    /// The control connection's TLS, once it stands.
    pub fn tls(&self) -> Option<&ControlTls> {
        self.security.tls()
    }

    /// The server that the session has last reached.
    pub fn server(&self) -> Option<SocketAddr> {
        self.upstream.map(|upstream| upstream.server)
    }

    /// The client wrote a command line.
    pub fn handle_command(&mut self, command: Result<Command, CommandError>, now: Now) {
        if self.is_closed() {
            return;
        }
        self.touch();
        let entry = match command {
            Ok(command) => Entry::Command(command),
            Err(CommandError::ForeignProtocol) if self.subject.user.is_none() => {
                return self.violate(Violation::ForeignProtocol, None);
            }
            Err(CommandError::ProxyHeader) if self.subject.user.is_none() => {
                return self.violate(Violation::ProxyHeader, None);
            }
            Err(error) => Entry::Refused(error.verb(), answers::command_error(error)),
        };
        self.queue.push(entry);
        self.advance(now);
    }

    /// The client wrote something that is not a line.
    pub fn handle_line_error(&mut self, error: LineError, now: Now) {
        if self.is_closed() {
            return;
        }
        self.touch();
        let reply = answers::line_error(error);
        if error.is_fatal() {
            self.fail_transfer(now);
        }
        match error {
            LineError::TlsRecord => return self.violate(Violation::UnexpectedTls, None),
            LineError::ProxyHeader => return self.violate(Violation::ProxyHeader, None),
            LineError::BareLineFeed | LineError::BareCarriageReturn | LineError::Nul => {
                return self.violate(Violation::MalformedLine, Some(reply));
            }
            LineError::TooLong | LineError::Telnet => self.long_lines += 1,
        }
        if self.long_lines >= LONG_LINES_MAX {
            self.fail_transfer(now);
            return self.violate(Violation::LongLines, Some(reply));
        }
        self.queue.push(Entry::Refused(None, reply));
        self.advance(now);
    }

    /// Whether the client has begun a line and not ended it.
    pub fn handle_line_progress(&mut self, is_partial: bool, now: Now) {
        if !is_partial || self.is_closed() {
            self.timers.clear(Timer::Line);
        } else if !self.timers.is_set(Timer::Line) {
            self.timers.set(Timer::Line, now.monotonic + LINE_TIMEOUT);
        }
    }

    /// The client will say nothing more, but it may still listen: what it has said is answered.
    ///
    /// A transfer goes on only if a QUIT waits behind it; otherwise the end has the effect of an ABOR (RFC 959
    /// §4.1.1, QUIT).
    pub fn handle_downstream_ended(&mut self, now: Now) {
        if self.is_closed() {
            return;
        }
        let is_aborted = matches!(self.transfer, Transfer::Aborting(_)) && self.queue.is_empty();
        if is_aborted || (self.is_transfer_asked_for() && !self.queue.has(Verb::Quit)) {
            return self.handle_downstream_closed(now);
        }
        self.ended = true;
        self.timers.clear(Timer::Line);
        self.advance(now);
    }

    /// The client's control connection is gone.
    pub fn handle_downstream_closed(&mut self, now: Now) {
        if self.is_closed() {
            return;
        }
        self.fail_transfer(now);
        self.close(CloseReason::ClientGone, None);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.take_expired(now.monotonic) {
            match timer {
                // The rest of the line may be there: it is us who do not read it.
                Timer::Line if !self.wants_command() => {
                    self.timers.set(Timer::Line, now.monotonic + LINE_TIMEOUT);
                }
                Timer::Line => {
                    self.fail_transfer(now);
                    self.close(CloseReason::LineTimeout, Some(answers::closing("Command line timeout")));
                }
                Timer::Login => {
                    self.close(CloseReason::LoginTimeout, Some(answers::closing("Login timeout")));
                }
                Timer::Idle => {
                    self.close(CloseReason::IdleTimeout, Some(answers::closing("Idle timeout")));
                }
                Timer::Reply => self.handle_reply_timeout(now),
                Timer::Grace => self.handle_grace_over(now),
                Timer::Review => self.handle_review(now),
                Timer::Refusal => self.handle_refusal_due(now),
            }
        }
    }

    /// The gateway is stopping: end as soon as no transfer would be cut off.
    pub fn handle_drain(&mut self, now: Now) {
        if self.phase == Phase::Handshake {
            // Nothing is lost, and nothing can be said.
            return self.close(CloseReason::Draining, None);
        }
        if !self.is_closed() {
            self.draining = true;
            self.advance(now);
        }
    }

    /// The gateway stops now, or this session may no longer go on.
    pub fn handle_kill(&mut self, now: Now) {
        if !self.is_closed() {
            self.fail_transfer(now);
            self.close(CloseReason::Draining, Some(answers::closing("The gateway is stopping")));
        }
    }

    /// Runs queued commands as far as they can be run now.
    fn advance(&mut self, now: Now) {
        if self.is_transfer_asked_for() && self.queue.has(Verb::Abor) {
            self.abort_for_client(now);
        }
        while !self.is_closed() {
            if self.transfer.is_running() {
                if !self.answer_during_transfer() {
                    return;
                }
                continue;
            }
            if !self.is_at_rest() {
                return;
            }
            if self.draining {
                return self.close(CloseReason::Draining, Some(answers::closing("The gateway is stopping")));
            }
            match self.queue.pop() {
                None if self.ended => return self.close(CloseReason::ClientGone, None),
                None => return self.rest(now),
                Some(Entry::Refused(verb, reply)) => {
                    self.open_record_of_line(verb);
                    self.conclude(reply);
                }
                Some(Entry::Command(command)) => {
                    self.open_record(&command);
                    self.run(command, now);
                }
            }
        }
    }

    /// NOOP and STAT are answered at once while data moves, where nothing waits before them.
    fn answer_during_transfer(&mut self) -> bool {
        if matches!(self.transfer, Transfer::Opening { .. }) {
            // Before the 150 the client would take the answer for the transfer's.
            return false;
        }
        let code = match self.queue.peek() {
            Some(command) if command.verb() == Verb::Noop => 200,
            Some(command) if command.verb() == Verb::Stat && command.argument().is_none() => 213,
            Some(_) | None => return false,
        };
        if let Some(Entry::Command(command)) = self.queue.pop() {
            let transfer = self.open.take();
            self.open_record(&command);
            self.conclude(Reply::new(code, "Transfer in progress."));
            self.open = transfer;
        }
        true
    }

    /// Whether a transfer command has had no final reply.
    fn is_transfer_asked_for(&self) -> bool {
        self.transfer.is_asked_for() || self.has_transfer_errand()
    }

    /// Whether the next command may be run.
    fn is_at_rest(&self) -> bool {
        let phase = match self.phase {
            Phase::ExpectAuth
            | Phase::ExpectUser
            | Phase::ExpectPassword
            | Phase::ExpectAccount
            | Phase::Ready => true,
            Phase::Handshake
            | Phase::ConnectUpstream
            | Phase::UpstreamUser
            | Phase::UpstreamPassword
            | Phase::Closed => false,
        };
        phase && matches!(self.expecting, Expecting::Nothing) && self.transfer.is_at_rest()
    }

    /// The session waits for its client: from now on that is idling.
    fn rest(&mut self, now: Now) {
        if self.phase == Phase::Ready && !self.timers.is_set(Timer::Idle) {
            self.timers.set(Timer::Idle, now.monotonic + self.settings.idle_timeout);
        }
    }

    /// The client said something: that is not idling.
    fn touch(&mut self) {
        self.timers.clear(Timer::Idle);
    }

    fn run(&mut self, command: Command, now: Now) {
        match self.phase {
            Phase::ExpectAuth | Phase::ExpectUser | Phase::ExpectPassword | Phase::ExpectAccount => {
                self.run_before_login(command, now);
            }
            Phase::Ready => self.run_logged_in(command, now),
            Phase::Handshake
            | Phase::ConnectUpstream
            | Phase::UpstreamUser
            | Phase::UpstreamPassword
            | Phase::Closed => unreachable!("commands run only at rest"),
        }
    }

    fn greet(&mut self) {
        self.reply(Reply::new(220, self.settings.banner.clone()));
    }

    fn reply(&mut self, reply: Reply) {
        self.actions.push_back(Action::Reply(reply));
    }

    /// Gives the command under way its last reply.
    fn answer(&mut self, verb: Verb, reply: Reply) {
        debug_assert!(self.open.as_ref().is_some_and(|open| open.verb == Some(verb)), "{verb:?}");
        self.conclude(reply);
    }

    /// The client broke a rule that nobody can go on after. No transfer runs any more.
    fn violate(&mut self, violation: Violation, reply: Option<Reply>) {
        self.facts.push_back(Fact::Violation(violation));
        self.close(CloseReason::ClientViolation(violation), reply);
    }

    fn close(&mut self, reason: CloseReason, reply: Option<Reply>) {
        if self.is_closed() {
            return;
        }
        self.settle_login(reason, reply.as_ref());
        // In the middle of a handshake nothing can be said, least of all in clear.
        match reply.filter(|_| self.phase != Phase::Handshake) {
            Some(reply) => self.conclude(reply),
            None => self.close_record(None),
        }
        let is_idle = matches!(self.expecting, Expecting::Nothing) && self.upstream.is_some();
        if is_idle
            && matches!(
                reason,
                CloseReason::Quit | CloseReason::ClientGone | CloseReason::IdleTimeout | CloseReason::Limit
            )
        {
            // Its own log should show an orderly end too.
            self.actions.push_back(Action::SendUpstream(Command::bare(Verb::Quit)));
        }
        self.phase = Phase::Closed;
        self.expecting = Expecting::Nothing;
        self.transfer = Transfer::Idle;
        self.directory = None;
        self.errand = None;
        self.renewal = None;
        self.credentials = None;
        self.queue.clear();
        self.timers.clear_all();
        self.facts.push_back(Fact::Closed(reason));
        self.actions.push_back(Action::Close);
    }
}

/// A line that was begun must end.
const LINE_TIMEOUT: Duration = Duration::from_secs(30);
/// Over-long lines before the session ends.
const LONG_LINES_MAX: u32 = 3;
