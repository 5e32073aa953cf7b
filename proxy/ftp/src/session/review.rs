//! What policy allowed may not be allowed any more: by another policy, or at another hour.
//!
//! A command is always asked about when it comes. Here are the things that last: a connection, a login and a running
//! transfer; how large an upload may grow is in [`super::bounds`].

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
        let links = self.links;
        self.set_policy(policy);
        if self.links > links {
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

    pub(super) fn handle_review(&mut self, now: Now) {
        self.begin_review(now);
        self.review(now);
    }

    /// What was not found out before is not found out now.
    pub(super) fn judge_running(
        &self,
        running: &Running,
        size_bytes: Option<u64>,
        now: Now,
    ) -> Result<Permit, Refusal> {
        self.judge_unseen(&running.command, &running.items, running.findings, size_bytes, now)
    }

    fn review(&mut self, now: Now) {
        let login = if self.is_known() { self.judge_login(now) } else { Ok(()) };
        if let Err(refusal) = login.and_then(|()| self.judge_connection_again(now)) {
            return self.revoke_login(refusal, now);
        }
        if let Err(refusal) = self.judge_transfer(now) {
            self.revoke_transfer(refusal, now);
        } else {
            self.bound_transfer_again(now);
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
        let reply = if running.direction == Direction::Upload && self.is_size_at_fault(running, now) {
            refusal.reply
        } else {
            Reply::new(426, "Policy no longer allows this transfer; transfer aborted.")
        };
        let code = reply.code().value();
        self.facts.push_back(Fact::Revoked { verb, accesses, decision, code });
        self.stop_transfer(reply, now);
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

/// Within this time something that is no longer allowed ends.
const REVIEW_INTERVAL: Duration = Duration::from_secs(1);
