//! USER, PASS, ACCT, and the backend's part in them: RFC 959 §6.
//!
//! The backend is dialled at USER, when the listener's demands are met: who sent no USER over the required TLS causes
//! no backend connection.

use crate::codec::{Command, Kind, Reply, Verb};

use super::answers;
use super::event::{CloseReason, Fact, Now, Violation};
use super::route::Routed;
use super::settings::RequireTls;
use super::state::Tried;
use super::timers::Timer;
use super::{Expecting, Phase, Session};

impl Session {
    pub(super) fn run_user(&mut self, command: Command, now: Now) {
        self.login_asked_at = now.monotonic;
        if std::mem::take(&mut self.is_login_judged) && self.phase == Phase::ExpectAccount {
            self.facts.push_back(Fact::LoginAbandoned);
        }
        if self.lacks_tls() {
            return self.refuse(&command, answers::tls_required());
        }
        let (routed, name) = match self.route(command.argument_or_empty()) {
            Ok(found) => found,
            Err(reply) => {
                self.forget_user();
                return self.refuse(&command, reply);
            }
        };
        self.facts.push_back(Fact::Routed(routed.destination.backend));
        self.subject.user = Some(name);
        self.subject.backend.clone_from(&routed.settings.name);
        if self.permit(&command, now).is_none() {
            return self.forget_user();
        }
        self.credentials = routed.settings.may_renew.then(Box::default);
        let serves = |old: &Routed| self.upstream.is_some() && old.leads_where(&routed);
        if self.routed.as_ref().is_some_and(serves) {
            // After a failed login, or with another name: the same connection serves.
            let user = routed.user.clone();
            self.routed = Some(routed);
            self.phase = Phase::UpstreamUser;
            return self.send(user, Expecting::User, now);
        }
        self.routed = Some(routed);
        self.destinations += 1;
        if self.destinations > self.settings.login_attempts.max(1) {
            // Each costs a server a connection, as a failed login does.
            let reply = answers::closing("Too many logins were begun");
            return self.close(CloseReason::LoginAttempts, Some(reply));
        }
        self.connect(now);
    }

    /// A command that a fresh login would have to repeat goes to the backend.
    pub(super) fn note_command(&mut self, command: &Command) {
        self.representation.note_command(command);
        if let Some(credentials) = &mut self.credentials {
            credentials.note_command(command);
        }
    }

    /// The backend answered it.
    pub(super) fn note_reply(&mut self, reply: &Reply) {
        self.representation.note_reply(reply);
        if let Some(credentials) = &mut self.credentials {
            credentials.note_reply(reply);
        }
    }

    pub(super) fn run_pass(&mut self, command: Command, now: Now) {
        match self.phase {
            Phase::ExpectPassword => {
                if self.permit(&command, now).is_some() {
                    self.ask_login(Tried::Command(command), now);
                }
            }
            Phase::ExpectAuth | Phase::ExpectUser if self.lacks_tls() => {
                self.refuse(&command, answers::tls_required());
            }
            Phase::ExpectAuth | Phase::ExpectUser | Phase::ExpectAccount | Phase::Ready => {
                self.answer(Verb::Pass, Reply::new(503, "USER comes before PASS."));
            }
            Phase::Handshake
            | Phase::ConnectUpstream
            | Phase::UpstreamUser
            | Phase::UpstreamPassword
            | Phase::Closed => unreachable!("commands run only at rest"),
        }
    }

    pub(super) fn run_acct(&mut self, command: Command, now: Now) {
        match self.phase {
            Phase::ExpectAccount => {
                if self.permit(&command, now).is_none() {
                    return;
                }
                if self.is_login_judged {
                    // It belongs to the password.
                    self.login_asked_at = now.monotonic;
                    return self.try_login(command, now);
                }
                self.ask_login(Tried::Command(command), now);
            }
            Phase::ExpectAuth | Phase::ExpectUser if self.lacks_tls() => {
                self.refuse(&command, answers::tls_required());
            }
            Phase::ExpectAuth | Phase::ExpectUser | Phase::ExpectPassword => {
                self.answer(Verb::Acct, Reply::new(503, "No account is asked for."));
            }
            // Some servers want an account for single commands.
            Phase::Ready => self.forward(command, now),
            Phase::Handshake
            | Phase::ConnectUpstream
            | Phase::UpstreamUser
            | Phase::UpstreamPassword
            | Phase::Closed => unreachable!("commands run only at rest"),
        }
    }

    pub(super) fn handle_user_reply(&mut self, reply: Reply, now: Now) {
        match reply.kind() {
            Kind::Preliminary => self.expect_more(Expecting::User, now),
            Kind::Completion => self.ask_login(Tried::Name(reply), now),
            Kind::Intermediate => {
                self.phase =
                    if reply.code().value() == 332 { Phase::ExpectAccount } else { Phase::ExpectPassword };
                self.conclude(reply);
            }
            Kind::TransientFailure | Kind::PermanentFailure => self.fail_login(reply, now),
        }
    }

    pub(super) fn handle_password_reply(&mut self, reply: Reply, now: Now) {
        match reply.kind() {
            Kind::Preliminary => self.expect_more(Expecting::Password, now),
            Kind::Completion => self.log_in(reply, now),
            Kind::Intermediate if reply.code().value() == 332 => {
                self.phase = Phase::ExpectAccount;
                self.conclude(reply);
            }
            Kind::Intermediate => self.violate_upstream(Violation::ImpossibleReply, now),
            Kind::TransientFailure | Kind::PermanentFailure => self.fail_login(reply, now),
        }
    }

    /// The login stands, and data connections are as they are to be.
    pub(super) fn be_logged_in(&mut self, reply: Reply, now: Now) {
        if self.is_renewing() {
            return self.replay(now);
        }
        if self.utf8_promised {
            let command = Command::with(Verb::Opts, "UTF8 ON").expect("one clean line");
            self.note_command(&command);
            return self.send(command, Expecting::Utf8 { login: reply }, now);
        }
        self.ask_admission(reply);
    }

    /// Whatever the backend thinks of UTF8, the login stands.
    pub(super) fn handle_utf8_reply(&mut self, login: Reply, reply: Reply, now: Now) {
        match reply.kind() {
            Kind::Preliminary => self.expect_more(Expecting::Utf8 { login }, now),
            Kind::Completion | Kind::Intermediate | Kind::TransientFailure | Kind::PermanentFailure => {
                self.note_reply(&reply);
                self.ask_admission(login);
            }
        }
    }

    pub(super) fn finish_login(&mut self, login: Reply, now: Now) {
        if let Some(login) = self.find_home(login, now) {
            self.be_ready(login);
        }
    }

    pub(super) fn be_ready(&mut self, login: Reply) {
        self.phase = Phase::Ready;
        self.timers.clear(Timer::Login);
        self.facts.push_back(Fact::LoggedIn);
        self.directory = None;
        self.conclude(login);
    }

    /// Back to where a name is expected: a password would not be for the name that policy last judged.
    pub(super) fn forget_user(&mut self) {
        self.subject.user = None;
        self.credentials = None;
        self.phase = Phase::ExpectUser;
        if !self.security.is_secure() && self.offers_tls() {
            self.phase = Phase::ExpectAuth;
        }
    }

    fn fail_login(&mut self, reply: Reply, now: Now) {
        let user = self.subject.user.take();
        let code = reply.code().value();
        let is_refused = match reply.kind() {
            Kind::PermanentFailure => true,
            // Some servers say so of a wrong name or password; any other says only that it cannot tell now.
            Kind::TransientFailure => code == 430,
            Kind::Preliminary | Kind::Completion | Kind::Intermediate => unreachable!("it is no failure"),
        };
        self.note_login_user(user.as_ref());
        if is_refused {
            self.note_failed_login();
            self.facts.push_back(Fact::LoginFailed { user, code });
        } else {
            self.facts.push_back(Fact::LoginUndecided { user, code });
        }
        self.refuse_login(reply, now);
    }

    /// The session ends. A password that was tried and not answered counts as a wrong one: who leaves as soon as a server
    /// hesitates would otherwise try as many as it likes. Not where only the server, or the gateway, is at fault.
    pub(super) fn settle_login(&mut self, reason: CloseReason, reply: Option<&Reply>) {
        let is_tried = self.phase == Phase::UpstreamPassword && matches!(self.expecting, Expecting::Password);
        let counts = match reason {
            CloseReason::Quit
            | CloseReason::ClientGone
            | CloseReason::TlsFailed
            | CloseReason::ClientViolation(_)
            | CloseReason::LoginAttempts
            | CloseReason::IdleTimeout
            | CloseReason::LineTimeout
            | CloseReason::Denied
            | CloseReason::Limit => true,
            // A server that answers nobody tells nobody anything.
            CloseReason::LoginTimeout
            | CloseReason::BackendGone
            | CloseReason::BackendUnavailable
            | CloseReason::BackendTimeout
            | CloseReason::BackendViolation(_)
            | CloseReason::NotResynchronised
            | CloseReason::Draining => false,
        };
        if is_tried && counts {
            let user = self.subject.user.clone();
            self.note_login_user(user.as_ref());
            self.note_failed_login();
            let code = reply.map_or(UNANSWERED, |reply| reply.code().value());
            self.facts.push_back(Fact::LoginFailed { user, code });
        }
    }

    fn lacks_tls(&self) -> bool {
        match self.settings.require_tls {
            RequireTls::Data | RequireTls::Login => !self.security.is_secure(),
            RequireTls::No => false,
        }
    }
}

/// What a login that nobody answered is recorded with.
const UNANSWERED: u16 = 421;
