//! The small FTP client that health checks, probes and the demo speak: bytes in, actions out, no I/O.
//!
//! It carries out a [`Plan`] over passive data connections (RFC 959, 2428, 4217). It never dials an address that a
//! server names (only its port, 1024 or higher), never sends a command while bytes are unread, and never falls back
//! to clear text.
//!
//! ```text
//! driver                                       Client
//!   bytes from the control connection  ──▶  handle_bytes
//!   SecureControl was done             ──▶  handle_secured
//!   OpenData was done                  ──▶  handle_data_opened
//!   SendData or ReceiveData was done   ──▶  handle_data_finished
//!   something failed                   ──▶  handle_fault
//!   what to do next                    ◀──  poll_action, until None
//! ```

mod failure;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::codec::address::{parse_epsv_reply, parse_pasv_reply};
use crate::codec::{Command, Kind, Protection, Reply, ReplyDecoder, Verb};

pub use failure::{Cause, Failure, Fault, Stage};
pub use plan::{Login, Plan};

use failure::PRELIMINARY_REPLIES_MAX;
use plan::{Direction, Step, Transfer};

/// One session that carries out a [`Plan`].
///
/// ```text
/// ExpectGreeting ─▶ next step ─▶ ExpectAnswer ──────────────────────────────────────────▶ next step
///                             ├▶ ExpectAuth ─▶ ExpectHandshake ─────────────────────────▶ next step
///                             ├▶ ExpectBufferSize ─▶ ExpectProtection ──────────────────▶ next step
///                             ├▶ ExpectUser ─▶ ExpectPassword ─▶ ExpectAccount ─────────▶ next step
///                             ├▶ ExpectPort ─▶ ExpectData ─▶ ExpectStart ─▶ Transferring ▶ next step
///                             ├▶ ExpectGoodbye ─▶ Done
///                             └▶ Done (no step left)
/// ```
#[derive(Debug)]
pub struct Client {
    plan: Plan,
    state: State,
    input: ReplyDecoder,
    actions: VecDeque<Action>,
    /// For all data connections from here on.
    protection: Protection,
    /// EPSV, unless PASV was asked for, until the server refuses it; then PASV for the rest of the session.
    passive: Verb,
    /// 1yz replies since the last command.
    preliminaries: u8,
}

/// What the driver is to do, in the order of [`Client::poll_action`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write [`Command::encode`] to the control connection.
    Send(Command),
    /// Make a TLS handshake on the control connection, then call [`Client::handle_secured`]. Nothing has been read
    /// behind the 234.
    SecureControl,
    /// Connect to this port at the address of the control connection's peer, then call
    /// [`Client::handle_data_opened`]. No handshake yet.
    OpenData {
        /// 1024 or higher.
        port: u16,
    },
    /// Read the data connection to its end, after a TLS handshake where it is private (a missing close_notify is
    /// [`Fault::DataBroken`]), close it, then call [`Client::handle_data_finished`].
    ReceiveData(Protection),
    /// Write everything to the data connection, after a TLS handshake where it is private, close it (close_notify, FIN,
    /// read to the end), then call [`Client::handle_data_finished`].
    SendData(Protection),
    /// A whole answer, for information: to a command (the last one of a transfer) or the greeting.
    Answered(Stage, Reply),
    /// The plan is carried out, or cannot be. Close everything, a data connection too; nothing follows.
    Done(Result<(), Failure>),
}

impl Client {
    /// A client at the start of a fresh connection; of an implicit one, behind its handshake.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            state: State::ExpectGreeting,
            input: ReplyDecoder::default(),
            actions: VecDeque::new(),
            protection: Protection::Clear,
            passive: Verb::Epsv,
            preliminaries: 0,
        }
    }

    /// Opens data connections with PASV from the start, for a server that is known to lack EPSV, or to see whether PASV
    /// works as well.
    #[must_use]
    pub fn with_pasv(mut self) -> Self {
        self.passive = Verb::Pasv;
        self
    }

    /// What to do next; `None`: wait for the peer.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What it is waiting for.
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::ExpectGreeting => Stage::Greeting,
            State::ExpectAnswer { verb, .. } => Stage::Command(*verb),
            State::ExpectAuth => Stage::Command(Verb::Auth),
            State::ExpectHandshake => Stage::Handshake,
            State::ExpectBufferSize(_) => Stage::Command(Verb::Pbsz),
            State::ExpectProtection(_) => Stage::Command(Verb::Prot),
            State::ExpectUser { .. } => Stage::Command(Verb::User),
            State::ExpectPassword { .. } => Stage::Command(Verb::Pass),
            State::ExpectAccount => Stage::Command(Verb::Acct),
            State::ExpectPort(_) => Stage::Command(self.passive),
            State::ExpectData { port, .. } => Stage::DataConnection { port: *port },
            State::ExpectStart(transfer) => Stage::Command(transfer.command.verb()),
            State::Transferring { verb, .. } => Stage::Command(*verb),
            State::ExpectGoodbye => Stage::Command(Verb::Quit),
            State::Done => Stage::End,
        }
    }

    /// Bytes came on the control connection. What is held of them is bounded by [`ReplyDecoder`].
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        if self.state != State::Done {
            self.input.feed(bytes);
        }
        while self.state != State::Done
            && let Some(decoded) = self.input.next_reply()
        {
            self.advance(|client, state| client.handle_reply(state, decoded?));
        }
    }

    /// The handshake that [`Action::SecureControl`] asked for is through.
    pub fn handle_secured(&mut self) {
        if self.state == State::ExpectHandshake {
            self.advance(|client, _| client.next_step());
        }
    }

    /// The data connection that [`Action::OpenData`] asked for is there.
    pub fn handle_data_opened(&mut self) {
        self.advance(|client, state| {
            let State::ExpectData { transfer, .. } = state else { return Ok(state) };
            client.send(transfer.command.clone(), State::ExpectStart(transfer))
        });
    }

    /// The data connection came to its end, as [`Action::SendData`] and [`Action::ReceiveData`] say.
    pub fn handle_data_finished(&mut self) {
        self.advance(|client, state| {
            let State::Transferring { verb, ended } = state else { return Ok(state) };
            match ended {
                Ended::Neither | Ended::Data => Ok(State::Transferring { verb, ended: Ended::Data }),
                Ended::Control(reply) => client.answered(verb, reply),
            }
        });
    }

    /// Something failed that only the driver can see.
    pub fn handle_fault(&mut self, fault: Fault) {
        self.advance(|client, state| match (state, fault) {
            (State::Done, _) => Ok(State::Done),
            (State::ExpectGoodbye, Fault::ControlClosed) => client.next_step(),
            _ => Err(Cause::Fault(fault)),
        });
    }

    /// One transition: the old state in, the next one or a failure at the old one's stage out.
    fn advance(&mut self, transition: impl FnOnce(&mut Self, State) -> Result<State, Cause>) {
        let stage = self.stage();
        let state = std::mem::replace(&mut self.state, State::Done);
        match transition(self, state) {
            Ok(next) => self.state = next,
            Err(cause) => self.actions.push_back(Action::Done(Err(Failure { stage, cause }))),
        }
    }

    fn handle_reply(&mut self, state: State, reply: Reply) -> Result<State, Cause> {
        if reply.code().value() == CLOSING && state != State::ExpectGoodbye {
            return Err(Cause::Refused(reply));
        }
        match (state, reply.kind()) {
            (State::Done, _) => Ok(State::Done),
            (State::ExpectHandshake, _) => Err(Cause::Desynchronised),
            (State::ExpectData { .. }, _) => Err(Cause::Unexpected(reply)),
            (State::ExpectGoodbye, _) => self.answered(Verb::Quit, reply),

            (State::ExpectStart(transfer), Kind::Preliminary) => Ok(self.start(&transfer)),
            (state, Kind::Preliminary) => self.wait_on(state),

            (State::ExpectPort(transfer), kind) => self.handle_port(transfer, kind, reply),
            (State::ExpectAnswer { verb, may_refuse: true }, _) => self.answered(verb, reply),
            (_, Kind::TransientFailure | Kind::PermanentFailure) => Err(Cause::Refused(reply)),

            (State::ExpectAnswer { verb, .. }, _) => self.answered(verb, reply),
            (State::ExpectGreeting, Kind::Completion) => {
                self.actions.push_back(Action::Answered(Stage::Greeting, reply));
                self.next_step()
            }
            (State::ExpectAuth, Kind::Completion) if reply.code().value() == SECURITY_EXCHANGED => {
                self.secure(reply)
            }
            (State::ExpectBufferSize(protection), Kind::Completion) => {
                self.send(own(Verb::Prot, level(protection)), State::ExpectProtection(protection))
            }
            (State::ExpectProtection(protection), Kind::Completion) => {
                self.protection = protection;
                self.answered(Verb::Prot, reply)
            }
            (State::ExpectUser { .. }, Kind::Completion) => self.answered(Verb::User, reply),
            (State::ExpectPassword { .. }, Kind::Completion) => self.answered(Verb::Pass, reply),
            (State::ExpectAccount, Kind::Completion) => self.answered(Verb::Acct, reply),
            (State::ExpectUser { account, .. } | State::ExpectPassword { account }, Kind::Intermediate)
                if reply.code().value() == ACCOUNT_WANTED =>
            {
                self.send(account.ok_or(Cause::AccountWanted)?, State::ExpectAccount)
            }
            (State::ExpectUser { password, account }, Kind::Intermediate) => {
                self.send(password, State::ExpectPassword { account })
            }
            (State::Transferring { verb, ended: Ended::Neither }, Kind::Completion) => {
                Ok(State::Transferring { verb, ended: Ended::Control(reply) })
            }
            (State::Transferring { verb, ended: Ended::Data }, Kind::Completion) => {
                self.answered(verb, reply)
            }
            (
                State::ExpectGreeting
                | State::ExpectAuth
                | State::ExpectBufferSize(_)
                | State::ExpectProtection(_)
                | State::ExpectPassword { .. }
                | State::ExpectAccount
                | State::ExpectStart(_)
                | State::Transferring { .. },
                Kind::Completion | Kind::Intermediate,
            ) => Err(Cause::Unexpected(reply)),
        }
    }

    /// 1yz may repeat and 120 may precede 220, but not for ever.
    fn wait_on(&mut self, state: State) -> Result<State, Cause> {
        self.preliminaries += 1;
        if self.preliminaries > PRELIMINARY_REPLIES_MAX {
            Err(Cause::TooManyPreliminaries)
        } else {
            Ok(state)
        }
    }

    fn secure(&mut self, reply: Reply) -> Result<State, Cause> {
        if !self.input.is_empty() {
            return Err(Cause::Desynchronised);
        }
        self.actions.push_back(Action::Answered(Stage::Command(Verb::Auth), reply));
        self.actions.push_back(Action::SecureControl);
        Ok(State::ExpectHandshake)
    }

    /// RFC 2428 §3, and servers that answer EPSV with 227. The address in a 227 is ignored.
    fn handle_port(&mut self, transfer: Transfer, kind: Kind, reply: Reply) -> Result<State, Cause> {
        let port = match reply.code().value() {
            PASSIVE => parse_pasv_reply(&reply).map(|address| address.port()),
            EXTENDED_PASSIVE => parse_epsv_reply(&reply),
            _ => None,
        };
        let falls_back = self.passive == Verb::Epsv
            && match kind {
                Kind::Completion => port.is_none(),
                Kind::PermanentFailure => EPSV_UNKNOWN.contains(&reply.code().value()),
                Kind::Preliminary | Kind::Intermediate | Kind::TransientFailure => false,
            };
        if falls_back {
            self.passive = Verb::Pasv;
            return self.send(Command::bare(Verb::Pasv), State::ExpectPort(transfer));
        }
        match (kind, port) {
            (Kind::Completion, Some(port)) if port >= DATA_PORT_MIN => {
                self.actions.push_back(Action::Answered(Stage::Command(self.passive), reply));
                self.actions.push_back(Action::OpenData { port });
                Ok(State::ExpectData { transfer, port })
            }
            (Kind::Completion, _) => Err(Cause::NoPort(reply)),
            (Kind::TransientFailure | Kind::PermanentFailure, _) => Err(Cause::Refused(reply)),
            (Kind::Preliminary | Kind::Intermediate, _) => Err(Cause::Unexpected(reply)),
        }
    }

    fn start(&mut self, transfer: &Transfer) -> State {
        self.actions.push_back(match transfer.direction {
            Direction::Download => Action::ReceiveData(self.protection),
            Direction::Upload => Action::SendData(self.protection),
        });
        State::Transferring { verb: transfer.command.verb(), ended: Ended::Neither }
    }

    fn answered(&mut self, verb: Verb, reply: Reply) -> Result<State, Cause> {
        self.actions.push_back(Action::Answered(Stage::Command(verb), reply));
        self.next_step()
    }

    fn next_step(&mut self) -> Result<State, Cause> {
        match self.plan.next_step() {
            None => {
                self.actions.push_back(Action::Done(Ok(())));
                Ok(State::Done)
            }
            Some(Step::Command(command)) => {
                let verb = command.verb();
                self.send(command, State::ExpectAnswer { verb, may_refuse: false })
            }
            Some(Step::Question(command)) => {
                let verb = command.verb();
                self.send(command, State::ExpectAnswer { verb, may_refuse: true })
            }
            Some(Step::Secure) => self.send(own(Verb::Auth, "TLS"), State::ExpectAuth),
            Some(Step::Protect(protection)) => {
                self.send(own(Verb::Pbsz, "0"), State::ExpectBufferSize(protection))
            }
            Some(Step::Login(Login { user, password, account })) => {
                self.send(user, State::ExpectUser { password, account })
            }
            Some(Step::Transfer(transfer)) => {
                self.send(Command::bare(self.passive), State::ExpectPort(transfer))
            }
            Some(Step::Quit) => self.send(Command::bare(Verb::Quit), State::ExpectGoodbye),
        }
    }

    /// The one place where a command leaves: one at a time, and only when nothing is unread.
    fn send(&mut self, command: Command, next: State) -> Result<State, Cause> {
        if !self.input.is_empty() {
            return Err(Cause::Desynchronised);
        }
        self.preliminaries = 0;
        self.actions.push_back(Action::Send(command));
        Ok(next)
    }
}

/// Named for what is expected from the peer, or from the driver.
#[derive(Debug, PartialEq, Eq)]
enum State {
    ExpectGreeting,
    ExpectAnswer { verb: Verb, may_refuse: bool },
    ExpectAuth,
    ExpectHandshake,
    ExpectBufferSize(Protection),
    ExpectProtection(Protection),
    ExpectUser { password: Command, account: Option<Command> },
    ExpectPassword { account: Option<Command> },
    ExpectAccount,
    ExpectPort(Transfer),
    ExpectData { transfer: Transfer, port: u16 },
    ExpectStart(Transfer),
    Transferring { verb: Verb, ended: Ended },
    ExpectGoodbye,
    Done,
}

/// Control and data are two connections: their ends come in either order.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Neither,
    Data,
    Control(Reply),
}

/// A command whose argument is a literal.
fn own(verb: Verb, argument: &'static str) -> Command {
    Command::with(verb, argument).expect("a literal argument fits in a line")
}

fn level(protection: Protection) -> &'static str {
    match protection {
        Protection::Clear => "C",
        Protection::Private => "P",
    }
}

const CLOSING: u16 = 421;
const SECURITY_EXCHANGED: u16 = 234;
const ACCOUNT_WANTED: u16 = 332;
const PASSIVE: u16 = 227;
const EXTENDED_PASSIVE: u16 = 229;
/// How servers say that they do not have EPSV.
const EPSV_UNKNOWN: [u16; 4] = [500, 501, 502, 522];
/// A server may not send us to a well-known service.
const DATA_PORT_MIN: u16 = 1024;
