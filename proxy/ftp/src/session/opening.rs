//! A transfer command on its way to the backend, up to the 1yz that starts the relay.
//!
//! It goes out when the backend's data connection stands, or the backend knows where to dial (some servers send no 150
//! before they are connected), and its file is not too large (`measure`). REST goes right before it: RFC 959 §4.1.3.

use std::time::Duration;

use ftpsgate_policies::Permit;

use crate::codec::{Command, Kind, Protection, Reply, Verb};

use super::answers;
use super::authorize::{Context, Deed};
use super::event::{Action, CloseReason, Direction, Now, RelayOrder, Violation};
use super::judge::{Findings, Refusal};
use super::measure::Measured;
use super::paths::Then;
use super::settings::RequireTls;
use super::setup::{BackendData, ClientData};
use super::timers::Timer;
use super::transfer::{Judged, Running, Transfer};
use super::upstream::is_final;
use super::{Expecting, Session};

impl Session {
    pub(super) fn run_transfer(&mut self, command: Command, direction: Direction, now: Now) {
        if !matches!(command.verb(), Verb::Retr | Verb::Stor | Verb::Appe) {
            // Nothing else begins anywhere. Pure-FTPd would keep it for the next one that does.
            self.restart = None;
        }
        let is_clear = self.security.protection() == Protection::Clear;
        if is_clear && self.settings.require_tls == RequireTls::Data {
            self.restart = None;
            return self
                .refuse(&command, Reply::new(521, "Data connections must be private: send PROT P first."));
        }
        if direction == Direction::Upload && self.is_announced_too_large() {
            self.restart = None;
            self.announced = None;
            let items = self.items(&Deed::of(&command, Context::default()));
            self.note_accesses(&items, Findings::default());
            self.note_file_limit();
            return self.conclude(answers::too_large_to_store());
        }
        let started = now.monotonic;
        if self.view.is_some() && self.has_setup() {
            return self.begin_errand(command, None, Then::Transfer { direction, started }, now);
        }
        let items = self.items(&Deed::of(&command, self.context(None)));
        let Some(permit) = self.permit_items(&command, &items, now) else {
            self.restart = None;
            self.announced = None;
            return;
        };
        let judged =
            Judged { spelled: command.clone(), items, findings: Findings::default(), unique_in: None };
        self.open_judged(command, judged, direction, started, permit, now);
    }

    /// Policy allowed a transfer command.
    pub(super) fn open_judged(
        &mut self,
        command: Command,
        judged: Judged,
        direction: Direction,
        started: Duration,
        permit: Permit,
        now: Now,
    ) {
        let Judged { spelled, items, findings, unique_in } = judged;
        self.announced = None;
        let running = Running {
            command,
            spelled: Box::new(spelled),
            direction,
            permit,
            items,
            findings,
            unique_in: unique_in.map(Box::new),
            started,
            bytes: 0,
            source_ended: false,
            report: None,
            unique_name: None,
            measured: Measured::No,
            is_restarted: false,
            bytes_max: None,
        };
        self.ask_transfer(running, now);
    }

    /// Sends the transfer command, or REST before it, or waits for the backend's data connection.
    pub(super) fn open_transfer(&mut self, mut running: Running, now: Now) {
        let backend = self.transfer.backend_data();
        let waits =
            backend.is_some_and(|backend| backend != BackendData::Failed) && self.measures(&mut running, now);
        let Transfer::Setup(setup) = &mut self.transfer else {
            self.restart = None;
            return self.finish_transfer(running, answers::no_setup(self.settings.active), now);
        };
        match setup.backend {
            _ if waits => setup.waiting = Some(running),
            BackendData::Pending | BackendData::Dialling | BackendData::Leasing | BackendData::Told => {
                setup.waiting = Some(running);
            }
            BackendData::Untold => {
                setup.waiting = Some(running);
                setup.backend = BackendData::Pending;
                self.prepare_backend_data(now);
            }
            BackendData::Failed => {
                self.restart = None;
                self.transfer = Transfer::Idle;
                self.actions.push_back(Action::DiscardData);
                let reply = Reply::new(425, "The server's data connection cannot be opened.");
                self.finish_transfer(running, reply, now);
            }
            BackendData::Ready => match self.restart.take() {
                Some(restart) => {
                    running.is_restarted = true;
                    setup.waiting = Some(running);
                    self.send(*restart, Expecting::Restart, now);
                }
                None => {
                    let command = (*running.spelled).clone();
                    self.has_chosen_names |= command.verb() == Verb::Stou;
                    self.transfer = Transfer::Opening { running, client: setup.client };
                    self.send(command, Expecting::Transfer, now);
                }
            },
        }
    }

    pub(super) fn handle_restart(&mut self, reply: Reply, now: Now) {
        if reply.kind() == Kind::Preliminary {
            return self.expect_more(Expecting::Restart, now);
        }
        if !is_final(&reply) && !matches!(self.transfer, Transfer::Setup(_)) {
            // Nobody opened the leased port meanwhile.
            return self.undo_restart(now);
        }
        if reply.kind() == Kind::Completion {
            return self.violate_upstream(Violation::ImpossibleReply, now);
        }
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        let Some(running) = setup.waiting.take() else { return };
        if reply.kind() == Kind::Intermediate {
            return self.open_transfer(running, now);
        }
        self.transfer = Transfer::Idle;
        self.actions.push_back(Action::DiscardData);
        self.finish_transfer(running, reply, now);
    }

    /// What REST said must not count for the next transfer.
    fn undo_restart(&mut self, now: Now) {
        let undo = Command::with(Verb::Rest, "0").expect("one clean line");
        self.send(undo, Expecting::RestartUndone, now);
    }

    pub(super) fn handle_restart_undone(&mut self, reply: Reply, now: Now) {
        match reply.kind() {
            Kind::Preliminary => self.expect_more(Expecting::RestartUndone, now),
            Kind::Intermediate => {}
            // Where the next transfer would begin is not known.
            Kind::Completion | Kind::TransientFailure | Kind::PermanentFailure => {
                let reply = answers::closing("The server keeps the offset of a transfer that is over");
                self.close(CloseReason::NotResynchronised, Some(reply));
            }
        }
    }

    pub(super) fn handle_opening_reply(
        &mut self,
        mut running: Running,
        client: ClientData,
        reply: Reply,
        now: Now,
    ) {
        match reply.kind() {
            Kind::Preliminary => {
                if running.command.verb() == Verb::Stou {
                    running.unique_name = unique_name(&reply);
                }
                if let Err(refusal) = self.judge_unique_name(&running, now) {
                    self.note_denial(&running.command, &running.items, &refusal);
                    self.actions.push_back(Action::CancelRelay);
                    return self.abort_transfer(running, refusal.reply, now);
                }
                self.bound_transfer(&mut running, now);
                let order = RelayOrder {
                    command: running.command.clone(),
                    direction: running.direction,
                    protection: self.security.protection(),
                    upstream_protection: self
                        .routed
                        .as_ref()
                        .map_or(Protection::Clear, |routed| routed.settings.protection),
                    permit: running.permit.clone(),
                    bytes_max: running.bytes_max,
                };
                self.transfer = Transfer::Relaying { running, held: None };
                self.expecting = Expecting::Transfer;
                self.timers.clear(Timer::Idle);
                self.reply(reply);
                self.actions.push_back(Action::StartRelay(order));
            }
            Kind::TransientFailure | Kind::PermanentFailure => {
                let is_transient = reply.kind() == Kind::TransientFailure;
                let release = if is_transient { Action::DiscardData } else { Action::WithdrawData };
                self.actions.push_back(release);
                // Some servers forget it only when a transfer begins.
                let is_kept = running.is_restarted && self.view.is_some();
                self.finish_transfer(running, reply, now);
                if is_kept && !self.is_closed() {
                    self.undo_restart(now);
                }
            }
            Kind::Completion | Kind::Intermediate => {
                self.transfer = Transfer::Opening { running, client };
                self.violate_upstream(Violation::ImpossibleReply, now);
            }
        }
    }

    /// The name that a server chose for a STOU may be one that policy does not allow.
    fn judge_unique_name(&self, running: &Running, now: Now) -> Result<(), Refusal> {
        match &running.unique_in {
            Some(directory) => {
                let name = running.unique_name.as_deref();
                self.allows_unique_name(&running.command, directory, name, now)
            }
            None => Ok(()),
        }
    }
}

/// `150 FILE: name` (RFC 1123 §4.1.2.9) in any line, or the last word of the one line that servers say instead.
fn unique_name(reply: &Reply) -> Option<Box<[u8]>> {
    let named = reply.lines().find_map(|line| {
        let line = line.strip_prefix(b"150-").unwrap_or(line);
        line.trim_ascii_start().strip_prefix(b"FILE: ")
    });
    if named.is_some() || reply.lines().count() > 1 {
        return named.map(Box::from);
    }
    let word = reply.text().split(|&byte| byte == b' ').rfind(|word| !word.is_empty())?;
    Some(Box::from(word.trim_ascii_end().strip_suffix(b".").unwrap_or(word)))
}
