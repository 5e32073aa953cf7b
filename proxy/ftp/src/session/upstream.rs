//! What the backend says on its control connection, and what it is told: one exchange at a time.

use crate::codec::{Command, Kind, Reply, ReplyError};

use super::Session;
use super::answers;
use super::event::{Action, CloseReason, Fact, Now, Violation};
use super::fault::UpstreamFault;
use super::settings::UpstreamSettings;
use super::state::{Expecting, Phase};
use super::timers::Timer;
use super::transfer::Transfer;

impl Session {
    /// The backend wrote a reply.
    pub fn handle_reply(&mut self, reply: Reply, now: Now) {
        if self.is_closed() {
            return;
        }
        if reply.code().value() == 421 {
            return self.handle_goodbye(reply, now);
        }
        self.preliminaries = if reply.kind() == Kind::Preliminary { self.preliminaries + 1 } else { 0 };
        if self.preliminaries > PRELIMINARIES_MAX {
            return self.violate_upstream(Violation::MalformedReply, now);
        }
        if !self.has_one_deadline() {
            self.timers.clear(Timer::Reply);
        }
        match std::mem::replace(&mut self.expecting, Expecting::Nothing) {
            Expecting::Nothing
            | Expecting::Connection
            | Expecting::Tls
            | Expecting::Verdict { .. }
            | Expecting::Admission { .. }
            | Expecting::Refusal { .. } => {
                return self.violate_upstream(Violation::UnsolicitedReply, now);
            }
            Expecting::Greeting => self.handle_greeting(&reply, now),
            Expecting::Auth => self.handle_auth_reply(&reply, now),
            Expecting::Pbsz { login } => self.handle_pbsz_reply(login, &reply, now),
            Expecting::Prot { login } => self.handle_prot_reply(login, &reply, now),
            Expecting::User => self.handle_user_reply(reply, now),
            Expecting::Password => self.handle_password_reply(reply, now),
            Expecting::Utf8 { login } => self.handle_utf8_reply(login, reply, now),
            Expecting::Features => self.handle_features(reply, now),
            Expecting::Forwarded(verb) => self.handle_forwarded(verb, reply, now),
            Expecting::RenameFrom { rename_to } => self.handle_rename_from(rename_to, reply, now),
            Expecting::Restart => self.handle_restart(reply, now),
            Expecting::RestartUndone => self.handle_restart_undone(reply, now),
            Expecting::Epsv => self.handle_epsv_reply(reply, now),
            Expecting::Pasv => self.handle_pasv_reply(reply, now),
            Expecting::Port { address } => self.handle_port_reply(address, reply, now),
            Expecting::Eprt => self.handle_eprt_reply(reply, now),
            Expecting::Renewal(asked) => self.handle_renewal_reply(asked, reply, now),
            Expecting::Paths(asked) => self.handle_paths_reply(asked, reply, now),
            Expecting::Transfer => self.handle_transfer_reply(reply, now),
        }
        self.advance(now);
    }

    /// The backend wrote something that is not a reply.
    pub fn handle_reply_error(&mut self, _error: ReplyError, now: Now) {
        self.violate_upstream(Violation::MalformedReply, now);
    }

    /// Bytes of the backend were waiting when a command was about to be sent: it no longer answers what is asked.
    pub fn handle_desynchronised(&mut self, now: Now) {
        self.violate_upstream(Violation::UnsolicitedReply, now);
    }

    /// The backend closed its control connection, or it broke.
    pub fn handle_upstream_closed(&mut self, now: Now) {
        if self.is_closed() {
            return;
        }
        let reply = answers::closing("The server closed the connection");
        self.lose_upstream(UpstreamFault::Closed, CloseReason::BackendGone, reply, now);
    }

    /// Sends a command to the backend; its reply is due within the reply timeout.
    pub(super) fn send(&mut self, command: Command, expecting: Expecting, now: Now) {
        self.expect_more(expecting, now);
        self.actions.push_back(Action::SendUpstream(command));
    }

    /// Waits on for the same exchange's next reply.
    pub(super) fn expect_more(&mut self, expecting: Expecting, now: Now) {
        self.expecting = expecting;
        if !self.has_one_deadline() {
            self.timers.set(Timer::Reply, now.monotonic + self.upstream_settings().reply_timeout);
        }
    }

    /// Whether all the replies that may come have one deadline, which is set already.
    fn has_one_deadline(&self) -> bool {
        matches!(self.transfer, Transfer::Aborting(_))
            || self.phase == Phase::ConnectUpstream
            || self.is_renewing()
    }

    pub(super) fn upstream_settings(&self) -> &UpstreamSettings {
        &self.routed.as_ref().expect("who talks to a server was routed there").settings
    }

    /// The backend broke a rule that nobody can go on after.
    pub(super) fn violate_upstream(&mut self, violation: Violation, now: Now) {
        if self.is_closed() {
            return;
        }
        self.facts.push_back(Fact::Violation(violation));
        let reply = answers::closing("The server does not follow the protocol");
        let fault = UpstreamFault::Violation(violation);
        self.lose_upstream(fault, CloseReason::BackendViolation(violation), reply, now);
    }

    /// The connection that is spoken to serves no longer. While it is being made, another may.
    fn lose_upstream(&mut self, fault: UpstreamFault, reason: CloseReason, reply: Reply, now: Now) {
        if self.is_connecting() {
            return self.fail_connection(fault, now);
        }
        if matches!(self.expecting, Expecting::Refusal { .. }) {
            // It has said all that it was asked; another USER is another connection.
            self.upstream = None;
            return;
        }
        self.fail_transfer(now);
        self.close(reason, Some(reply));
    }

    pub(super) fn handle_reply_timeout(&mut self, now: Now) {
        if self.is_renewal_dialled() {
            return self.fail_renewal(now);
        }
        let reason = match self.transfer {
            Transfer::Aborting(_) => CloseReason::NotResynchronised,
            Transfer::Idle
            | Transfer::Setup(_)
            | Transfer::Opening { .. }
            | Transfer::Relaying { .. }
            | Transfer::Completing { .. }
            | Transfer::Finishing { .. }
            | Transfer::Failing { .. } => CloseReason::BackendTimeout,
        };
        let reply = answers::closing("The server does not answer");
        self.lose_upstream(self.missed_deadline(), reason, reply, now);
    }

    /// 421 may come at any time (RFC 959 §5.4).
    fn handle_goodbye(&mut self, reply: Reply, now: Now) {
        let is_greeting = matches!(self.expecting, Expecting::Greeting);
        let fault = if is_greeting { UpstreamFault::bad_greeting(&reply) } else { UpstreamFault::Goodbye };
        self.lose_upstream(fault, CloseReason::BackendGone, reply, now);
    }
}

/// A final reply that is none: 3yz, where nothing more can be given.
pub(super) fn is_final(reply: &Reply) -> bool {
    match reply.kind() {
        Kind::Completion | Kind::TransientFailure | Kind::PermanentFailure => true,
        Kind::Preliminary | Kind::Intermediate => false,
    }
}

/// 1yz replies before the one that they announce. Each begins the reply timeout anew.
const PRELIMINARIES_MAX: u32 = 100;
