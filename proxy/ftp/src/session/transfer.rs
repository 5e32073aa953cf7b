//! Transfers, and their ends: none is ever made to look clean that was not.
//!
//! How a transfer command gets to the backend is in [`super::opening`]. The backend's 150 starts the relay; its last reply
//! is given to the client only when the data says the same.

use std::time::Duration;

use ftpsgate_policies::{CanonicalPath, Permit};

use crate::codec::{Command, Kind, Reply};

use super::abort::Abort;
use super::answers;
use super::event::{Action, Direction, Now, RelayEnd, RelayReport, Violation};
use super::judge::{Findings, Item};
use super::measure::Measured;
use super::record::TransferRecord;
use super::setup::{BackendData, ClientData, Setup};
use super::upstream::is_final;
use super::{Expecting, Session};

/// The session's one transfer.
#[derive(Debug)]
pub(super) enum Transfer {
    /// No data connection is prepared.
    Idle,
    /// Data connections are being prepared, or stand ready.
    Setup(Setup),
    /// The transfer command was sent.
    Opening { running: Running, client: ClientData },
    /// Bytes move. A download's final reply may come before its last byte: it is held.
    Relaying { running: Running, held: Option<Reply> },
    /// The bytes have moved; the backend has not said what it thinks.
    Completing { running: Running },
    /// The backend is content; the client's data connection is being ended.
    Finishing { running: Running, reply: Reply },
    /// The backend's data connection broke, or was not secured; the backend will say why. `failure` is what the client
    /// is told where the backend claims that all is well.
    Failing { running: Running, failure: Reply },
    /// The client has its answer; the backend's replies are brought back into step.
    Aborting(Abort),
}

/// A transfer command that policy allowed, and what is known of it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) command: Command,
    /// The same with the paths that were judged. Boxed: an idle session should not carry its size.
    pub(super) spelled: Box<Command>,
    pub(super) direction: Direction,
    pub(super) permit: Permit,
    /// For policy to be asked again.
    pub(super) items: Vec<Item>,
    pub(super) findings: Findings,
    /// STOU: where the server puts the file, if that counts. Boxed, too.
    pub(super) unique_in: Option<Box<CanonicalPath>>,
    pub(super) started: Duration,
    pub(super) bytes: u64,
    pub(super) source_ended: bool,
    /// Boxed, too.
    pub(super) report: Option<Box<RelayReport>>,
    pub(super) unique_name: Option<Box<[u8]>>,
    pub(super) measured: Measured,
    /// REST was sent before it.
    pub(super) is_restarted: bool,
    /// What the relay may move at most.
    pub(super) bytes_max: Option<u64>,
}

/// What a transfer command became when it was judged.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) spelled: Command,
    pub(super) items: Vec<Item>,
    pub(super) findings: Findings,
    pub(super) unique_in: Option<CanonicalPath>,
}

impl Running {
    /// How the data ended, if any was moved.
    pub(super) fn end(&self) -> Option<RelayEnd> {
        self.report.as_ref().map(|report| report.end)
    }
}

impl Transfer {
    /// Whether a transfer command was sent to the backend, and has not had its final reply.
    pub(super) fn is_running(&self) -> bool {
        match self {
            Self::Opening { .. }
            | Self::Relaying { .. }
            | Self::Completing { .. }
            | Self::Finishing { .. }
            | Self::Failing { .. } => true,
            Self::Idle | Self::Setup(_) | Self::Aborting(_) => false,
        }
    }

    /// Whether a transfer command has had no final reply, be it sent to the backend or not.
    pub(super) fn is_asked_for(&self) -> bool {
        match self {
            Self::Setup(setup) => setup.waiting.is_some(),
            Self::Idle
            | Self::Opening { .. }
            | Self::Relaying { .. }
            | Self::Completing { .. }
            | Self::Finishing { .. }
            | Self::Failing { .. }
            | Self::Aborting(_) => self.is_running(),
        }
    }

    /// Whether the next command may be run.
    pub(super) fn is_at_rest(&self) -> bool {
        match self {
            Self::Idle => true,
            Self::Setup(setup) => setup.is_at_rest(),
            Self::Opening { .. }
            | Self::Relaying { .. }
            | Self::Completing { .. }
            | Self::Finishing { .. }
            | Self::Failing { .. }
            | Self::Aborting(_) => false,
        }
    }

    /// Forgets prepared data connections; whether there were any.
    pub(super) fn take_setup(&mut self) -> bool {
        match self {
            Self::Setup(_) => {
                *self = Self::Idle;
                true
            }
            Self::Idle
            | Self::Opening { .. }
            | Self::Relaying { .. }
            | Self::Completing { .. }
            | Self::Finishing { .. }
            | Self::Failing { .. }
            | Self::Aborting(_) => false,
        }
    }

    /// How far the backend's side of a setup has come.
    pub(super) fn backend_data(&self) -> Option<BackendData> {
        match self {
            Self::Setup(setup) => Some(setup.backend),
            Self::Idle
            | Self::Opening { .. }
            | Self::Relaying { .. }
            | Self::Completing { .. }
            | Self::Finishing { .. }
            | Self::Failing { .. }
            | Self::Aborting(_) => None,
        }
    }

    /// The server's session is in another directory than when its data connection was made ready: it is asked for another
    /// at the transfer command.
    pub(super) fn outdate_backend_data(&mut self) {
        if let Self::Setup(Setup { backend, .. }) = self {
            match backend {
                BackendData::Dialling | BackendData::Ready | BackendData::Failed => {
                    *backend = BackendData::Untold;
                }
                BackendData::Pending | BackendData::Untold | BackendData::Leasing | BackendData::Told => {}
            }
        }
    }

    /// The transfer that policy may still stop: it waits, or its bytes move.
    pub(super) fn stoppable(&self) -> Option<&Running> {
        match self {
            Self::Opening { running, .. }
            | Self::Relaying { running, .. }
            | Self::Setup(Setup { waiting: Some(running), .. }) => Some(running),
            Self::Idle
            | Self::Setup(_)
            | Self::Completing { .. }
            | Self::Finishing { .. }
            | Self::Failing { .. }
            | Self::Aborting(_) => None,
        }
    }

    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Idle)
    }

    /// The transfer whose relay runs or has run.
    fn relayed_mut(&mut self) -> Option<&mut Running> {
        match self {
            Self::Relaying { running, .. }
            | Self::Completing { running }
            | Self::Finishing { running, .. }
            | Self::Failing { running, .. } => Some(running),
            Self::Idle | Self::Setup(_) | Self::Opening { .. } | Self::Aborting(_) => None,
        }
    }
}

impl Session {
    pub(super) fn handle_transfer_reply(&mut self, reply: Reply, now: Now) {
        match self.transfer.take() {
            Transfer::Opening { running, client } => self.handle_opening_reply(running, client, reply, now),
            Transfer::Relaying { running, held } => self.handle_relaying_reply(running, held, reply, now),
            Transfer::Completing { running } if is_final(&reply) => self.settle(running, reply, now),
            Transfer::Failing { running, failure } if is_final(&reply) => {
                self.handle_failing_reply(running, failure, reply, now)
            }
            Transfer::Aborting(abort) => self.handle_abort_reply(abort, reply, now),
            transfer @ (Transfer::Completing { .. } | Transfer::Failing { .. })
                if reply.kind() == Kind::Preliminary =>
            {
                self.transfer = transfer;
                self.expect_more(Expecting::Transfer, now);
            }
            transfer @ (Transfer::Idle
            | Transfer::Setup(_)
            | Transfer::Completing { .. }
            | Transfer::Finishing { .. }
            | Transfer::Failing { .. }) => {
                self.transfer = transfer;
                self.violate_upstream(Violation::ImpossibleReply, now);
            }
        }
    }

    fn handle_relaying_reply(&mut self, running: Running, held: Option<Reply>, reply: Reply, now: Now) {
        match (reply.kind(), running.direction) {
            (Kind::Preliminary, _) => {
                self.transfer = Transfer::Relaying { running, held };
                self.expecting = Expecting::Transfer;
            }
            (Kind::Intermediate, _) => {
                self.transfer = Transfer::Relaying { running, held };
                self.violate_upstream(Violation::ImpossibleReply, now);
            }
            // Control and data are two connections: this may overtake the last bytes.
            (Kind::Completion | Kind::TransientFailure | Kind::PermanentFailure, Direction::Download) => {
                self.transfer = Transfer::Relaying { running, held: Some(reply) };
            }
            // The backend's data connection may still be lingering.
            (Kind::Completion, Direction::Upload) if running.source_ended => {
                self.transfer = Transfer::Relaying { running, held: Some(reply) };
            }
            (Kind::Completion, Direction::Upload) => {
                self.transfer = Transfer::Relaying { running, held };
                self.violate_upstream(Violation::EarlyCompletion, now);
            }
            (Kind::TransientFailure | Kind::PermanentFailure, Direction::Upload) => {
                self.actions.push_back(Action::CancelRelay);
                self.finish_transfer(running, reply, now);
            }
        }
    }

    /// How many bytes have moved, and whether the source had no more; to be told before anything else while a relay
    /// runs. A backend that confirms an upload is early only if it was not told the upload's end.
    ///
    /// Until a relay is asked for, what is told is the one before's, and not heeded.
    pub fn handle_progress(&mut self, bytes: u64, source_ended: bool) {
        if let Some(running) = self.transfer.relayed_mut() {
            running.bytes = bytes;
            running.source_ended = source_ended;
        }
    }

    /// The relay has ended. Unless it is complete, both data connections were ended so that it shows.
    pub fn handle_relay_finished(&mut self, report: RelayReport, now: Now) {
        match self.transfer.take() {
            Transfer::Relaying { mut running, held } => {
                let end = report.end;
                running.bytes = report.bytes;
                running.report = Some(Box::new(report));
                let denial = self.judge_size(&running, now);
                if denial.is_none() && matches!(end, RelayEnd::TooLarge(_)) {
                    self.note_file_limit();
                }
                let failure = denial.or_else(|| answers::relay_failure(end));
                match (failure, held) {
                    (None, Some(reply)) => self.settle(running, reply, now),
                    (None, None) => {
                        self.transfer = Transfer::Completing { running };
                        self.expect_more(Expecting::Transfer, now);
                    }
                    (Some(failure), None) if is_backends_fault(end) => {
                        self.transfer = Transfer::Failing { running, failure };
                        self.expect_more(Expecting::Transfer, now);
                    }
                    (Some(failure), Some(reply)) if is_backends_fault(end) => {
                        self.handle_failing_reply(running, failure, reply, now);
                    }
                    (Some(failure), Some(_)) => self.finish_transfer(running, failure, now),
                    (Some(failure), None) => self.abort_transfer(running, failure, now),
                }
            }
            // It was cancelled in the meantime.
            transfer @ (Transfer::Idle
            | Transfer::Setup(_)
            | Transfer::Opening { .. }
            | Transfer::Completing { .. }
            | Transfer::Finishing { .. }
            | Transfer::Failing { .. }
            | Transfer::Aborting(_)) => self.transfer = transfer,
        }
        self.advance(now);
    }

    /// All bytes were handed over, and the backend has said its last word.
    fn settle(&mut self, running: Running, reply: Reply, now: Now) {
        match (reply.kind(), running.direction) {
            (Kind::Completion, Direction::Download) => {
                self.transfer = Transfer::Finishing { running, reply };
                self.actions.push_back(Action::FinishDownload);
            }
            (Kind::TransientFailure | Kind::PermanentFailure, Direction::Download) => {
                self.actions.push_back(Action::ResetDownload);
                self.finish_transfer(running, reply, now);
            }
            (Kind::Completion | Kind::TransientFailure | Kind::PermanentFailure, Direction::Upload) => {
                self.finish_transfer(running, reply, now);
            }
            (Kind::Preliminary | Kind::Intermediate, _) => {
                self.transfer = Transfer::Completing { running };
                self.violate_upstream(Violation::ImpossibleReply, now);
            }
        }
    }

    /// The client's data connection got its close_notify and FIN, or it broke before.
    pub fn handle_download_finished(&mut self, is_clean: bool, now: Now) {
        match self.transfer.take() {
            Transfer::Finishing { running, reply } => {
                let failure = Reply::new(426, "The data connection was closed; transfer aborted.");
                self.finish_transfer(running, if is_clean { reply } else { failure }, now);
            }
            transfer @ (Transfer::Idle
            | Transfer::Setup(_)
            | Transfer::Opening { .. }
            | Transfer::Relaying { .. }
            | Transfer::Completing { .. }
            | Transfer::Failing { .. }
            | Transfer::Aborting(_)) => self.transfer = transfer,
        }
        self.advance(now);
    }

    /// The backend's data connection broke: its own word tells why, unless it claims that all is well.
    fn handle_failing_reply(&mut self, running: Running, failure: Reply, reply: Reply, now: Now) {
        match (reply.kind(), running.direction) {
            (Kind::TransientFailure | Kind::PermanentFailure, _) => self.finish_transfer(running, reply, now),
            // It was not told the upload's end, and yet it confirms it. Where no byte could reach it because its TLS
            // failed, it may well have stored an empty file and means no harm.
            (Kind::Completion, Direction::Upload)
                if !running.source_ended && running.end() != Some(RelayEnd::BackendTlsFailed) =>
            {
                self.transfer = Transfer::Failing { running, failure };
                self.violate_upstream(Violation::EarlyCompletion, now);
            }
            (Kind::Completion, Direction::Upload | Direction::Download) => {
                self.finish_transfer(running, failure, now);
            }
            (Kind::Preliminary | Kind::Intermediate, _) => {
                self.transfer = Transfer::Failing { running, failure };
                self.violate_upstream(Violation::ImpossibleReply, now);
            }
        }
    }

    /// A transfer command that was never sent gets its final reply.
    pub(super) fn finish_unopened(
        &mut self,
        direction: Direction,
        started: Duration,
        reply: Reply,
        now: Now,
    ) {
        self.note_unopened(direction, started, now);
        self.conclude(reply);
    }

    fn note_unopened(&mut self, direction: Direction, started: Duration, now: Now) {
        let duration = now.monotonic.saturating_sub(started);
        self.note_transfer(TransferRecord {
            direction,
            bytes: 0,
            duration,
            end: None,
            tls: None,
            upstream_tls: None,
            unique_name: None,
        });
    }

    /// A transfer that will not end by itself, because the session does.
    pub(super) fn fail_transfer(&mut self, now: Now) {
        if let Some((direction, started)) = self.take_transfer_errand() {
            // The reply that closes the session is its answer.
            self.note_unopened(direction, started, now);
            self.close_record(Some(421));
        }
        match self.transfer.take() {
            Transfer::Idle | Transfer::Aborting(_) => {}
            // The reply that closes the session is its answer.
            Transfer::Setup(setup) => {
                if let Some(running) = setup.waiting {
                    self.note_running(&running, now);
                    self.close_record(Some(421));
                }
            }
            // The backend may have begun: an upload whose connection ended cleanly would be an empty file.
            Transfer::Opening { running, .. } => {
                self.actions.push_back(Action::CancelRelay);
                self.note_running(&running, now);
                self.close_record(Some(421));
            }
            Transfer::Relaying { running, .. }
            | Transfer::Completing { running }
            | Transfer::Finishing { running, .. }
            | Transfer::Failing { running, .. } => {
                self.actions.push_back(Action::CancelRelay);
                self.finish_transfer(running, Reply::new(426, "Transfer aborted."), now);
            }
        }
    }

    /// Gives a transfer command its final reply. The transfer's state is the caller's to have left.
    pub(super) fn finish_transfer(&mut self, running: Running, reply: Reply, now: Now) {
        self.note_running(&running, now);
        self.conclude(reply);
    }

    fn note_running(&mut self, running: &Running, now: Now) {
        let report = running.report.as_deref();
        self.note_transfer(TransferRecord {
            direction: running.direction,
            bytes: running.bytes,
            duration: now.monotonic.saturating_sub(running.started),
            end: running.end(),
            tls: report.and_then(|report| report.tls.clone()),
            upstream_tls: report.and_then(|report| report.upstream_tls.clone()),
            unique_name: running.unique_name.as_deref().map(<[u8]>::to_vec),
        });
    }

    fn note_transfer(&mut self, transfer: TransferRecord) {
        debug_assert!(self.open.is_some(), "a transfer is a command under way");
        if let Some(record) = &mut self.open {
            record.transfer = Some(transfer);
        }
    }
}

/// Whether the backend will say of its own accord why the data did not make it.
fn is_backends_fault(end: RelayEnd) -> bool {
    match end {
        RelayEnd::BackendFailed | RelayEnd::BackendTlsFailed => true,
        RelayEnd::Complete
        | RelayEnd::NotConnected
        | RelayEnd::TlsFailed
        | RelayEnd::NotResumed
        | RelayEnd::Truncated
        | RelayEnd::ClientFailed
        | RelayEnd::Stalled
        | RelayEnd::TooSlow
        | RelayEnd::TooLarge(_)
        | RelayEnd::Violation => false,
    }
}
