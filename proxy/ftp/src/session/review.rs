//! What policy allowed may not be allowed any more: by another policy, at another hour, or because an upload has grown.
//!
//! A command is always asked about when it comes. Here are the things that last: a connection, a login and a running
//! transfer.

use std::sync::Arc;
use std::time::Duration;

use ftpsgate_policies::{Denial, Permit, Policy};

use crate::codec::{Reply, Verb};

use super::answers;
use super::event::{Action, CloseReason, Direction, Fact, Now};
use super::judge::Refusal;
use super::record::{Decision, accesses};
use super::settings::Mode;
use super::timers::Timer;
use super::transfer::Running;
use super::{Phase, Session};

impl Session {
    /// Another policy counts from the next command on. A running transfer and a login that it does not allow end.
    pub fn handle_policy_changed(&mut self, policy: Arc<Policy>, now: Now) {
        if self.is_closed() {
            return;
        }
        let was_strict = self.walks_strictly;
        self.set_policy(policy);
        if self.walks_strictly && !was_strict {
            self.walk_again();
        }
        self.timers.clear(Timer::Review);
        self.handle_review(now);
    }

    /// Sees to it that policy is asked again where time can change what it says.
    pub(super) fn begin_review(&mut self, now: Now) {
        if !self.policy.zones().is_empty() && !self.timers.is_set(Timer::Review) {
            self.timers.set(Timer::Review, now.monotonic + REVIEW_INTERVAL);
        }
    }

    /// The same, where the size of an upload can.
    pub(super) fn review_upload(&mut self, now: Now) {
        self.timers.set(Timer::Review, now.monotonic + UPLOAD_INTERVAL);
    }

    pub(super) fn handle_review(&mut self, now: Now) {
        if self.is_upload_limited(now) {
            self.review_upload(now);
        }
        self.begin_review(now);
        self.review(now);
    }

    /// Whether policy allows an upload that has come to its end, now that its size is known. The server has the file
    /// already; its client is told, and so is the record.
    pub(super) fn judge_size(&mut self, running: &Running, now: Now) -> Result<(), Reply> {
        if running.direction != Direction::Upload {
            return Ok(());
        }
        match self.judge_running(running, Some(running.bytes), now) {
            Err(refusal) if refusal.reply.code().value() == 552 => {
                let verb = running.command.verb();
                let accesses = accesses(&running.items, running.findings);
                let decision = Decision::denied(&refusal.denial);
                self.facts.push_back(Fact::Revoked { verb, accesses, decision, code: 552 });
                Err(Reply::new(552, TOO_LARGE))
            }
            Err(_) | Ok(_) => Ok(()),
        }
    }

    /// What was not found out before is not found out now.
    fn judge_running(&self, running: &Running, size_bytes: Option<u64>, now: Now) -> Result<Permit, Refusal> {
        self.judge_unseen(&running.command, &running.items, running.findings, size_bytes, now)
    }

    fn review(&mut self, now: Now) {
        let login = if self.is_known() { self.judge_login(now) } else { Ok(()) };
        if let Err(refusal) = login.and_then(|()| self.judge_connection_again(now)) {
            return self.revoke_login(refusal, now);
        }
        if let Err(refusal) = self.judge_transfer(now) {
            self.revoke_transfer(refusal, now);
        }
        self.advance(now);
    }

    /// Whether somebody has begun to log in, and the login was allowed.
    fn is_known(&self) -> bool {
        match self.phase {
            Phase::ExpectAuth | Phase::Handshake | Phase::ExpectUser | Phase::Closed => false,
            Phase::ConnectUpstream
            | Phase::UpstreamUser
            | Phase::ExpectPassword
            | Phase::UpstreamPassword
            | Phase::ExpectAccount
            | Phase::Ready => true,
        }
    }

    /// Whether policy still allows the transfer that runs or waits.
    fn judge_transfer(&self, now: Now) -> Result<(), Refusal> {
        let Some(running) = self.transfer.stoppable() else { return Ok(()) };
        let size = (running.direction == Direction::Upload).then_some(running.bytes);
        self.judge_running(running, size, now).map(drop)
    }

    /// Whether an upload runs whose size could come to matter.
    pub(super) fn is_upload_limited(&self, now: Now) -> bool {
        self.transfer.stoppable().is_some_and(|running| {
            running.direction == Direction::Upload
                && self.has_size_limit(&running.command, &running.items, now)
        })
    }

    fn judge_connection_again(&self, now: Now) -> Result<(), Refusal> {
        match self.judge_connection(now) {
            Ok(_) => Ok(()),
            Err(denial) => Err(Refusal { denial, reply: answers::closing("Not allowed by policy") }),
        }
    }

    fn revoke_login(&mut self, refusal: Refusal, now: Now) {
        self.facts.push_back(Fact::Revoked {
            verb: Verb::Pass,
            accesses: Vec::new(),
            decision: Decision::denied(&refusal.denial),
            code: 421,
        });
        self.fail_transfer(now);
        let reply = answers::closing("Policy no longer allows this login");
        self.close(CloseReason::Denied, Some(reply));
    }

    fn revoke_transfer(&mut self, refusal: Refusal, now: Now) {
        let Some(running) = self.transfer.stoppable() else { return };
        let verb = running.command.verb();
        let accesses = accesses(&running.items, running.findings);
        let decision = Decision::denied(&refusal.denial);
        let code = if refusal.reply.code().value() == 552 { 552 } else { 426 };
        self.facts.push_back(Fact::Revoked { verb, accesses, decision, code });
        let text = match code {
            552 => TOO_LARGE,
            _revoked => "Policy no longer allows this transfer; transfer aborted.",
        };
        self.stop_transfer(Reply::new(code, text), now);
    }

    /// A connection that is not allowed is told so before anything else; under TLS from the first byte nothing can be
    /// said.
    pub(super) fn refuse_connection(&mut self, denial: Denial) {
        self.facts.push_back(Fact::Connected(Decision::denied(&denial)));
        let reply = match self.settings.mode {
            Mode::Implicit => None,
            Mode::Explicit | Mode::Plain => {
                let own = denial.reply.map(|reply| Reply::new(reply.code(), reply.text()));
                Some(own.unwrap_or_else(|| answers::closing("Connections from here are not allowed")))
            }
        };
        if let Some(reply) = reply {
            self.actions.push_back(Action::Reply(reply));
        }
        self.close(CloseReason::Denied, None);
    }
}

const TOO_LARGE: &str = "The file is larger than policy allows; transfer aborted.";

/// Within this time something that is no longer allowed ends…
const REVIEW_INTERVAL: Duration = Duration::from_secs(1);
/// …and within this time an upload that has become too large.
const UPLOAD_INTERVAL: Duration = Duration::from_millis(100);
