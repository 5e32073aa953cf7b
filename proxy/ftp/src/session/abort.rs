//! ABOR, and how a backend's replies come back into step after it.
//!
//! Servers answer an ABOR in mid-transfer with 426 then 226, with 225 or 226 alone, with 226 (for a transfer that had
//! just ended) then 225, or with 426 then 500. Where it is not certain that all has been said, a NOOP after some grace
//! makes it so: its 200 is none of these.

use std::time::Duration;

use crate::codec::{Command, Kind, Reply, Verb};

use super::event::{Action, Now, Violation};
use super::setup::Setup;
use super::timers::Timer;
use super::transfer::{Running, Transfer};
use super::{Expecting, Session};

/// How far the backend's answers to an ABOR have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abort {
    /// Nothing came.
    Asked,
    /// One final reply came: the transfer's, or ABOR's.
    OneReply,
    /// NOOP was sent.
    Marked,
}

impl Session {
    /// The client said ABOR while its transfer runs, or waits. The ABOR stays in the queue and is answered in its turn.
    pub(super) fn abort_for_client(&mut self, now: Now) {
        self.abandon_errand(Reply::new(426, "Transfer aborted."), now);
        self.stop_transfer(Reply::new(426, "Transfer aborted."), now);
    }

    /// A transfer that runs or waits is not to go on; the client is told why.
    pub(super) fn stop_transfer(&mut self, failure: Reply, now: Now) {
        match self.transfer.take() {
            Transfer::Opening { running, .. } | Transfer::Relaying { running, held: None } => {
                self.actions.push_back(Action::CancelRelay);
                self.abort_transfer(running, failure, now);
            }
            // A STOR that is sent now would empty the file that it was not to touch.
            Transfer::Setup(Setup { waiting: Some(running), .. }) => {
                self.restart = None;
                self.actions.push_back(Action::DiscardData);
                self.finish_transfer(running, failure, now);
            }
            // The backend is done already.
            Transfer::Relaying { running, held: Some(_) } => {
                self.actions.push_back(Action::CancelRelay);
                self.finish_transfer(running, failure, now);
            }
            // All bytes have moved; what is left is bounded.
            transfer @ (Transfer::Completing { .. }
            | Transfer::Finishing { .. }
            | Transfer::Failing { .. }
            | Transfer::Idle
            | Transfer::Setup(_)
            | Transfer::Aborting(_)) => self.transfer = transfer,
        }
    }

    /// Answers the client, and makes the backend give up. The data connections are gone already.
    pub(super) fn abort_transfer(&mut self, running: Running, failure: Reply, now: Now) {
        self.finish_transfer(running, failure, now);
        self.transfer = Transfer::Aborting(Abort::Asked);
        self.expecting = Expecting::Transfer;
        self.timers.set(Timer::Reply, now.monotonic + RESYNCHRONISE_TIMEOUT);
        self.actions.push_back(Action::AbortUpstream(Command::bare(Verb::Abor)));
    }

    pub(super) fn handle_abort_reply(&mut self, abort: Abort, reply: Reply, now: Now) {
        let next = match (abort, reply.kind(), reply.code().value()) {
            (_, Kind::Preliminary, _) => Some(abort),
            (_, Kind::Intermediate, _) => {
                return self.violate_upstream(Violation::ImpossibleReply, now);
            }
            // "No transfer in progress": this cannot be the transfer's own reply.
            (Abort::Asked, _, 225) => None,
            (Abort::Asked, _, _) => Some(Abort::OneReply),
            (Abort::OneReply, _, _) => None,
            // Late ones. NOOP's own is another 2yz: every server knows NOOP, not every server ABOR.
            (Abort::Marked, Kind::Completion, 225 | 226)
            | (Abort::Marked, Kind::TransientFailure | Kind::PermanentFailure, _) => Some(abort),
            (Abort::Marked, Kind::Completion, _) => None,
        };
        match next {
            Some(next) => {
                if next == Abort::OneReply {
                    self.timers.set(Timer::Grace, now.monotonic + GRACE);
                }
                self.transfer = Transfer::Aborting(next);
                self.expecting = Expecting::Transfer;
            }
            None => {
                self.timers.clear(Timer::Reply);
                self.timers.clear(Timer::Grace);
            }
        }
    }

    /// One reply came and no second one.
    pub(super) fn handle_grace_over(&mut self, now: Now) {
        if matches!(self.transfer, Transfer::Aborting(Abort::OneReply)) {
            self.transfer = Transfer::Aborting(Abort::Marked);
            self.timers.set(Timer::Reply, now.monotonic + RESYNCHRONISE_TIMEOUT);
            // A late reply may be there already; it is no sign of disorder here.
            self.actions.push_back(Action::AbortUpstream(Command::bare(Verb::Noop)));
        }
    }
}

/// For the backend to say all it has to say.
const RESYNCHRONISE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between the two replies that most servers give.
const GRACE: Duration = Duration::from_secs(1);
