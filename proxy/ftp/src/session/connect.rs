//! A server's control connection, from the dial to where it may hear a USER: its 220, AUTH TLS, PBSZ and PROT
//! (RFC 4217 §4 and §9).
//!
//! Whatever fails here, another server may be tried, for nobody has logged in; from USER on never. Where TLS is
//! configured, a server that does not speak it hears no USER.

use crate::codec::{Command, Kind, Protection, Reply, Verb};

use super::answers;
use super::event::{Action, CloseReason, Fact, Now, UpstreamFailure, UpstreamInfo};
use super::fault::UpstreamFault;
use super::settings::UpstreamTls;
use super::timers::Timer;
use super::{Expecting, Phase, Session};

/// What the present control connection still owes.
#[derive(Debug, Default)]
pub(super) struct Debts {
    /// PBSZ was refused before the login.
    pbsz: bool,
    /// PROT P was, by a server that wants the login first.
    prot: bool,
}

impl Session {
    /// Dials a server of where the session was routed to.
    pub(super) fn connect(&mut self, now: Now) {
        let routed = self.routed.as_mut().expect("who dials a server was routed there");
        routed.tries_left = routed.tries_left.saturating_sub(1);
        let deadline = now.monotonic + routed.settings.connect_timeout;
        self.actions.push_back(Action::ConnectUpstream(routed.destination.clone()));
        self.timers.set(Timer::Reply, deadline);
        self.upstream = None;
        self.debts = Debts::default();
        self.preliminaries = 0;
        self.phase = Phase::ConnectUpstream;
        self.expecting = Expecting::Connection;
    }

    /// The session has got its place at a server, which is dialled now: what it waited for room at full servers is none
    /// of that server's time. A renewal has its own deadline.
    pub fn handle_upstream_placed(&mut self, now: Now) {
        if self.phase == Phase::ConnectUpstream && matches!(self.expecting, Expecting::Connection) {
            self.timers.set(Timer::Reply, now.monotonic + self.upstream_settings().connect_timeout);
        }
    }

    /// The control connection to a server stands; its 220 is still to come.
    pub fn handle_upstream_connected(&mut self, info: UpstreamInfo) {
        if matches!(self.expecting, Expecting::Connection) {
            self.keep_old_connection();
            self.upstream = Some(info);
            self.debts = Debts::default();
            self.expecting = Expecting::Greeting;
        }
    }

    /// No server could be reached, or the handshake that [`Action::SecureUpstream`] asked for failed.
    pub fn handle_upstream_failed(&mut self, failure: UpstreamFailure, now: Now) {
        if matches!(self.expecting, Expecting::Connection) {
            self.fail_connection(UpstreamFault::NotReached(failure), now);
        } else if matches!(self.expecting, Expecting::Tls) {
            self.fail_connection(UpstreamFault::TlsFailed, now);
        }
    }

    pub(super) fn handle_greeting(&mut self, reply: &Reply, now: Now) {
        match reply.kind() {
            // 120: ready in some minutes. The connect timeout goes on.
            Kind::Preliminary => self.expecting = Expecting::Greeting,
            Kind::Completion => match self.upstream_settings().tls {
                UpstreamTls::Off => self.be_connected(now),
                UpstreamTls::Explicit => {
                    self.grant_time_to_secure(now);
                    let command = Command::with(Verb::Auth, "TLS").expect("one clean line");
                    self.send(command, Expecting::Auth, now);
                }
                UpstreamTls::Implicit => {
                    self.grant_time_to_secure(now);
                    self.send_pbsz(None, now);
                }
            },
            Kind::Intermediate | Kind::TransientFailure | Kind::PermanentFailure => {
                self.fail_connection(UpstreamFault::bad_greeting(reply), now);
            }
        }
    }

    /// Once more the connect timeout, for all between the 220 and USER; a renewal has its own deadline.
    fn grant_time_to_secure(&mut self, now: Now) {
        if self.phase == Phase::ConnectUpstream {
            self.timers.set(Timer::Reply, now.monotonic + self.upstream_settings().connect_timeout);
        }
    }

    /// Exactly 234: other replies leave open whether the server begins a handshake.
    pub(super) fn handle_auth_reply(&mut self, reply: &Reply, now: Now) {
        if reply.code().value() == 234 {
            self.expecting = Expecting::Tls;
            self.actions.push_back(Action::SecureUpstream);
        } else {
            self.fail_connection(UpstreamFault::AuthRefused(reply.code().value()), now);
        }
    }

    /// The TLS handshake with the server stands.
    pub fn handle_upstream_secured(&mut self, now: Now) {
        if matches!(self.expecting, Expecting::Tls) {
            self.send_pbsz(None, now);
        }
    }

    fn send_pbsz(&mut self, login: Option<Reply>, now: Now) {
        let command = Command::with(Verb::Pbsz, "0").expect("one clean line");
        self.send(command, Expecting::Pbsz { login }, now);
    }

    fn send_prot(&mut self, login: Option<Reply>, now: Now) {
        let level = match self.upstream_settings().protection {
            Protection::Clear => "C",
            Protection::Private => "P",
        };
        let command = Command::with(Verb::Prot, level).expect("one clean line");
        self.send(command, Expecting::Prot { login }, now);
    }

    /// Some servers do not know PBSZ, and it says nothing under TLS: PROT is what counts.
    pub(super) fn handle_pbsz_reply(&mut self, login: Option<Reply>, reply: &Reply, now: Now) {
        if reply.kind() == Kind::Preliminary {
            return self.expect_more(Expecting::Pbsz { login }, now);
        }
        self.debts.pbsz = reply.kind() != Kind::Completion;
        self.send_prot(login, now);
    }

    pub(super) fn handle_prot_reply(&mut self, login: Option<Reply>, reply: &Reply, now: Now) {
        let wants_login = matches!(reply.code().value(), 503 | 530);
        match (reply.kind(), self.upstream_settings().protection) {
            (Kind::Preliminary, _) => return self.expect_more(Expecting::Prot { login }, now),
            // Clear is what data connections are without PROT.
            (Kind::Completion, _) | (_, Protection::Clear) => self.debts.prot = false,
            (_, Protection::Private) if login.is_none() && wants_login => self.debts.prot = true,
            (_, Protection::Private) => {
                let code = reply.code().value();
                return match login {
                    None => self.fail_connection(UpstreamFault::ProtRefused(code), now),
                    Some(_) => self.fail_protection(code, now),
                };
            }
        }
        match login {
            None => self.be_connected(now),
            Some(login) => self.be_logged_in(login, now),
        }
    }

    /// The backend accepted the login. What it would not hear before it hears now, before the client learns of it.
    pub(super) fn log_in(&mut self, login: Reply, now: Now) {
        if !self.debts.prot {
            self.be_logged_in(login, now);
        } else if self.debts.pbsz {
            self.send_pbsz(Some(login), now);
        } else {
            self.send_prot(Some(login), now);
        }
    }

    /// Nothing stands between the server and USER.
    fn be_connected(&mut self, now: Now) {
        if self.is_renewing() {
            return self.send_user_again(now);
        }
        self.phase = Phase::UpstreamUser;
        let user = self.routed.as_ref().expect("who reached a server was routed there").user.clone();
        self.send(user, Expecting::User, now);
    }

    /// Whether a server is being made ready for its USER, and is the one that is spoken to.
    pub(super) fn is_connecting(&self) -> bool {
        self.phase == Phase::ConnectUpstream || self.is_renewal_spoken_to()
    }

    /// The server that is being dialled or made ready is not to be used.
    pub(super) fn fail_connection(&mut self, fault: UpstreamFault, now: Now) {
        if self.is_renewing() {
            return self.fail_renewal(now);
        }
        let tries_left = self.routed.as_ref().map_or(0, |routed| routed.tries_left);
        let failure = fault.failure();
        let is_retried = failure == UpstreamFailure::Unreachable && tries_left > 0;
        self.facts.push_back(Fact::UpstreamFailed { fault, is_retried });
        if is_retried {
            return self.connect(now);
        }
        let reply = match failure {
            UpstreamFailure::Full => Reply::new(421, "Too many sessions on the server; try again later."),
            UpstreamFailure::Unreachable | UpstreamFailure::NoServer => {
                answers::closing("The server is not available")
            }
        };
        self.close(CloseReason::BackendUnavailable, Some(reply));
    }

    /// What a server that is being dialled or made ready has not done in time.
    pub(super) fn missed_deadline(&self) -> UpstreamFault {
        if matches!(self.expecting, Expecting::Connection) {
            UpstreamFault::NoConnection
        } else if matches!(self.expecting, Expecting::Greeting) {
            UpstreamFault::NoGreeting
        } else {
            UpstreamFault::Timeout
        }
    }

    /// The server accepted the login and refuses PROT P even so. It has heard USER: no other is tried.
    fn fail_protection(&mut self, code: u16, now: Now) {
        if self.is_renewing() {
            return self.fail_renewal(now);
        }
        let fault = UpstreamFault::ProtRefusedAfterLogin(code);
        self.facts.push_back(Fact::UpstreamFailed { fault, is_retried: false });
        let reply = answers::closing("The server refuses private data connections");
        self.close(CloseReason::BackendUnavailable, Some(reply));
    }
}
