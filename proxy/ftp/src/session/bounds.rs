//! How many bytes a transfer may come to: what policy (`larger_than`) and limits (`file_size`) leave of it.
//!
//! The relay holds to the number and never hands over a byte beyond it; here is who set it, and what the client is told.

use crate::codec::{Reply, Verb};

use super::Session;
use super::event::{Action, Direction, Fact, Now, RelayEnd};
use super::record::{Decision, accesses};
use super::transfer::{Running, Transfer};

impl Session {
    /// The relay of a transfer is about to begin.
    pub(super) fn bound_transfer(&self, running: &mut Running, now: Now) {
        running.bytes_max = self.bytes_max(running, now);
    }

    /// Policy, limits, or what time it is, may have changed.
    pub(super) fn bound_transfer_again(&mut self, now: Now) {
        let Transfer::Relaying { running, .. } = &self.transfer else { return };
        let bytes_max = self.bytes_max(running, now);
        if let Transfer::Relaying { running, .. } = &mut self.transfer
            && running.bytes_max != bytes_max
        {
            running.bytes_max = bytes_max;
            self.actions.push_back(Action::BoundRelay(bytes_max));
        }
    }

    fn bytes_max(&self, running: &Running, now: Now) -> Option<u64> {
        self.policy_bytes_max(running, now).into_iter().chain(self.limit_bytes_max(running)).min()
    }

    /// Limits are for files, not for listings.
    fn limit_bytes_max(&self, running: &Running) -> Option<u64> {
        let is_file = matches!(running.command.verb(), Verb::Retr | Verb::Stor | Verb::Stou | Verb::Appe);
        self.file_bytes_max.filter(|_| is_file)
    }

    fn policy_bytes_max(&self, running: &Running, now: Now) -> Option<u64> {
        match running.direction {
            Direction::Upload => {
                self.upload_bytes_max(&running.command, &running.items, running.findings, now)
            }
            Direction::Download => None,
        }
    }

    /// What policy says of the size of an upload whose relay has ended. One that was complete before a new hour's rule
    /// was looked at is on the server already: its client is told, and so is the record.
    pub(super) fn judge_size(&mut self, running: &Running, now: Now) -> Option<Reply> {
        let size = match running.end()? {
            RelayEnd::TooLarge(Direction::Upload) => {
                let most = self.policy_bytes_max(running, now)?;
                // A limit stopped it before.
                if self.limit_bytes_max(running).is_some_and(|limit| limit < most) {
                    return None;
                }
                most.saturating_add(1)
            }
            RelayEnd::Complete if running.direction == Direction::Upload => running.bytes,
            RelayEnd::Complete
            | RelayEnd::NotConnected
            | RelayEnd::TlsFailed
            | RelayEnd::NotResumed
            | RelayEnd::Truncated
            | RelayEnd::ClientFailed
            | RelayEnd::BackendFailed
            | RelayEnd::BackendTlsFailed
            | RelayEnd::Stalled
            | RelayEnd::TooSlow
            | RelayEnd::TooLarge(Direction::Download)
            | RelayEnd::Violation => return None,
        };
        let refusal = self.judge_running(running, Some(size), now).err()?;
        if !self.is_size_at_fault(running, now) {
            return None;
        }
        let verb = running.command.verb();
        let accesses = accesses(&running.items, running.findings);
        let decision = Decision::denied(&refusal.denial);
        let code = refusal.reply.code().value();
        self.facts.push_back(Fact::Revoked { verb, accesses, decision, code });
        Some(refusal.reply)
    }

    /// Whether a transfer that is denied would be allowed if nobody knew its size.
    pub(super) fn is_size_at_fault(&self, running: &Running, now: Now) -> bool {
        self.judge_running(running, None, now).is_ok()
    }
}
