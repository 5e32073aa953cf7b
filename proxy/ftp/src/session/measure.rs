//! How large a file is before it is fetched, where a limit depends on it.
//!
//! The server is asked for SIZE under TYPE I, by the same words that RETR will have, and has its TYPE restored (RFC 3659
//! §4). What it does not tell is counted while it moves. Where no limit holds, nothing is asked.

use crate::codec::{Command, Kind, Reply, Verb};

use super::answers;
use super::event::Now;
use super::setup::Setup;
use super::transfer::{Running, Transfer};
use super::{Expecting, Session};

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// TYPE I.
    Image,
    /// SIZE.
    Size,
    /// The client's TYPE again, now that this was said.
    Type { size_bytes: Option<u64> },
}

/// Whether the server was asked how large the file of a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measured {
    No,
    /// It has not answered: the transfer command waits.
    Asked,
    Yes,
}

impl Session {
    /// The size that a file of this client may have, stored or fetched; to be told before anything else, whenever it may
    /// have changed.
    pub fn handle_file_limit(&mut self, bytes_max: Option<u64>) {
        self.file_bytes_max = bytes_max;
    }

    /// Whether an upload announced more than a file may have.
    pub(super) fn is_announced_too_large(&self) -> bool {
        match (self.announced, self.file_bytes_max) {
            (Some(announced), Some(most)) => announced > most,
            (None, _) | (_, None) => false,
        }
    }

    /// Whether a transfer command must wait for the size of its file. It goes on in [`Session::open_transfer`].
    pub(super) fn measures(&mut self, running: &mut Running, now: Now) -> bool {
        match running.measured {
            Measured::Asked => return true,
            Measured::Yes => return false,
            Measured::No => {}
        }
        running.measured = Measured::Yes;
        let is_limited = running.command.verb() == Verb::Retr && self.file_bytes_max.is_some();
        if !is_limited || self.lacks_size {
            return false;
        }
        running.measured = Measured::Asked;
        if self.representation.is_image() {
            self.send_size_of(&running.spelled, now);
        } else {
            let image = Command::with(Verb::Type, "I").expect("one clean line");
            self.send(image, Expecting::Measure(Asked::Image), now);
        }
        true
    }

    fn send_size_of(&mut self, transfer: &Command, now: Now) {
        let size = Command::with(Verb::Size, transfer.argument_or_empty());
        self.send(size.expect("what follows RETR is one clean line"), Expecting::Measure(Asked::Size), now);
    }

    pub(super) fn handle_measure_reply(&mut self, asked: Asked, reply: &Reply, now: Now) {
        if reply.kind() == Kind::Preliminary {
            return self.expect_more(Expecting::Measure(asked), now);
        }
        match asked {
            Asked::Image if reply.kind() == Kind::Completion => {
                let Transfer::Setup(Setup { waiting: Some(running), .. }) = &self.transfer else {
                    // The client has given it up meanwhile.
                    return self.restore_type(None, now);
                };
                let spelled = running.spelled.clone();
                self.send_size_of(&spelled, now);
            }
            Asked::Image => self.settle_measure(None, now),
            Asked::Size => {
                self.lacks_size |= matches!(reply.code().value(), 500 | 502);
                let size_bytes = (reply.code().value() == 213).then(|| bytes(reply.last_text())).flatten();
                if self.representation.is_image() {
                    self.settle_measure(size_bytes, now);
                } else {
                    self.restore_type(size_bytes, now);
                }
            }
            Asked::Type { size_bytes } if reply.kind() == Kind::Completion => {
                self.settle_measure(size_bytes, now);
            }
            Asked::Type { .. } => self.lose_type(now),
        }
    }

    fn restore_type(&mut self, size_bytes: Option<u64>, now: Now) {
        let restoring = self.representation.restoring();
        self.send(restoring, Expecting::Measure(Asked::Type { size_bytes }), now);
    }

    /// The server has said what it can. The data connections stay for another transfer, as after any refusal.
    fn settle_measure(&mut self, size_bytes: Option<u64>, now: Now) {
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        let Some(mut running) = setup.waiting.take() else { return };
        match (size_bytes, self.file_bytes_max) {
            (Some(size), Some(most)) if size > most => {
                self.restart = None;
                self.note_file_limit();
                self.finish_transfer(running, answers::too_large_to_fetch(), now);
            }
            (None, _) | (_, None) | (Some(_), Some(_)) => {
                running.measured = Measured::Yes;
                self.open_transfer(running, now);
            }
        }
    }
}

/// RFC 3659 §4.1: the number alone. Some servers put blanks around it.
fn bytes(text: &[u8]) -> Option<u64> {
    str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}
