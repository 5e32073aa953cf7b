//! USER, PASS, ACCT, and the backend's part in them: RFC 959 §6.
//!
//! The backend is dialled at USER, when the listener's demands are met: who sent no USER over the required TLS causes
//! no backend connection.

use std::sync::Arc;

use crate::codec::{Command, Kind, Reply, Verb};

use super::answers;
use super::event::{Action, CloseReason, Destination, Fact, Now, UpstreamFailure, UpstreamInfo, Violation};
use super::settings::RequireTls;
use super::timers::Timer;
use super::{Expecting, Phase, Routed, Session};

impl Session {
    pub(super) fn run_user(&mut self, command: Command, now: Now) {
        if self.lacks_tls() {
            return self.refuse(&command, answers::tls_required());
        }
        self.subject.user = command.argument().map(<[u8]>::to_vec);
        let Some(backend) = self.settings.default_backend else {
            self.forget_user();
            return self.refuse(&command, Reply::new(530, "There is no server for this user."));
        };
        let settings = Arc::clone(&self.settings.backends[backend]);
        self.subject.backend.clone_from(&settings.name);
        let user = command.argument_or_empty().to_vec();
        self.routed = Some(Routed { settings, destination: Destination { backend, server: None, user } });
        if self.permit(&command).is_none() {
            return self.forget_user();
        }
        if self.upstream.is_some() {
            // After a failed login, or with another name: the same connection serves.
            self.phase = Phase::UpstreamUser;
            return self.send(command, Expecting::User, now);
        }
        self.phase = Phase::ConnectUpstream;
        self.expecting = Expecting::Greeting { user: command };
        if let Some(routed) = &self.routed {
            self.timers.set(Timer::Reply, now.monotonic + routed.settings.connect_timeout);
            self.actions.push_back(Action::ConnectUpstream(routed.destination.clone()));
        }
    }

    pub(super) fn run_pass(&mut self, command: Command, now: Now) {
        match self.phase {
            Phase::ExpectPassword => {
                if self.permit(&command).is_some() {
                    self.phase = Phase::UpstreamPassword;
                    self.send(command, Expecting::Password, now);
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
                if self.permit(&command).is_some() {
                    self.phase = Phase::UpstreamPassword;
                    self.send(command, Expecting::Password, now);
                }
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

    /// The backend's control connection stands; its 220 is still to come.
    pub fn handle_upstream_connected(&mut self, info: UpstreamInfo) {
        if self.phase == Phase::ConnectUpstream {
            self.upstream = Some(info);
        }
    }

    /// The backend could not be reached.
    pub fn handle_upstream_failed(&mut self, _failure: UpstreamFailure) {
        if self.phase == Phase::ConnectUpstream {
            let reply = answers::closing("The server is not available");
            self.close(CloseReason::BackendUnavailable, Some(reply));
        }
    }

    pub(super) fn handle_greeting(&mut self, user: Command, reply: Reply, now: Now) {
        match reply.kind() {
            // 120: ready in some minutes. The connect timeout goes on.
            Kind::Preliminary => self.expecting = Expecting::Greeting { user },
            Kind::Completion => {
                self.phase = Phase::UpstreamUser;
                self.send(user, Expecting::User, now);
            }
            Kind::Intermediate | Kind::TransientFailure | Kind::PermanentFailure => {
                let reply = answers::closing("The server is not available");
                self.close(CloseReason::BackendUnavailable, Some(reply));
            }
        }
    }

    pub(super) fn handle_user_reply(&mut self, reply: Reply, now: Now) {
        match reply.kind() {
            Kind::Preliminary => self.expect_more(Expecting::User, now),
            Kind::Completion => self.log_in(reply, now),
            Kind::Intermediate => {
                self.phase =
                    if reply.code().value() == 332 { Phase::ExpectAccount } else { Phase::ExpectPassword };
                self.reply(reply);
            }
            Kind::TransientFailure | Kind::PermanentFailure => self.fail_login(reply),
        }
    }

    pub(super) fn handle_password_reply(&mut self, reply: Reply, now: Now) {
        match reply.kind() {
            Kind::Preliminary => self.expect_more(Expecting::Password, now),
            Kind::Completion => self.log_in(reply, now),
            Kind::Intermediate if reply.code().value() == 332 => {
                self.phase = Phase::ExpectAccount;
                self.reply(reply);
            }
            Kind::Intermediate => self.violate_upstream(Violation::ImpossibleReply, now),
            Kind::TransientFailure | Kind::PermanentFailure => self.fail_login(reply),
        }
    }

    fn log_in(&mut self, reply: Reply, now: Now) {
        if self.utf8_promised {
            let command = Command::with(Verb::Opts, "UTF8 ON").expect("one clean line");
            return self.send(command, Expecting::Utf8 { login: reply }, now);
        }
        self.be_ready(reply);
    }

    /// Whatever the backend thinks of UTF8, the login stands.
    pub(super) fn handle_utf8_reply(&mut self, login: Reply, reply: Reply, now: Now) {
        match reply.kind() {
            Kind::Preliminary => self.expect_more(Expecting::Utf8 { login }, now),
            Kind::Completion | Kind::Intermediate | Kind::TransientFailure | Kind::PermanentFailure => {
                self.be_ready(login);
            }
        }
    }

    fn be_ready(&mut self, login: Reply) {
        self.phase = Phase::Ready;
        self.timers.clear(Timer::Login);
        self.facts.push_back(Fact::LoggedIn);
        self.reply(login);
    }

    /// Back to where a name is expected: a password would not be for the name that policy last judged.
    fn forget_user(&mut self) {
        self.subject.user = None;
        self.phase = Phase::ExpectUser;
        if !self.security.is_secure() && self.offers_tls() {
            self.phase = Phase::ExpectAuth;
        }
    }

    fn fail_login(&mut self, reply: Reply) {
        self.forget_user();
        self.login_failures += 1;
        let user = self.subject.user.take();
        self.facts.push_back(Fact::LoginFailed { user, code: reply.code().value() });
        self.reply(reply);
        if self.login_failures >= self.settings.login_attempts {
            let reply = answers::closing("Too many failed logins");
            self.close(CloseReason::LoginAttempts, Some(reply));
        }
    }

    fn lacks_tls(&self) -> bool {
        match self.settings.require_tls {
            RequireTls::Data | RequireTls::Login => !self.security.is_secure(),
            RequireTls::No => false,
        }
    }
}
