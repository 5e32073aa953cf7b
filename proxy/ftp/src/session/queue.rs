//! Commands that the client pipelined: bounded, in order.

use std::collections::VecDeque;

use crate::codec::{Command, Reply, Verb};

/// One line of the client's, or what it is to be told about it.
#[derive(Debug)]
pub(super) enum Entry {
    /// To be run.
    Command(Command),
    /// Not a command, or one that lacks what this verb needs; the answer waits for its turn.
    Refused(Option<Verb>, Reply),
}

/// The queue. Who fills it asks [`Queue::has_room`] before reading more from the client.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Queue {
    /// Whether one more line may be read. A line that was already read always fits.
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < LINES_MAX && self.bytes < BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += size(&entry);
        self.entries.push_back(entry);
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= size(&entry);
        if self.entries.is_empty() {
            // An idle session holds no buffer.
            self.entries = VecDeque::new();
        }
        Some(entry)
    }

    /// The verb and argument that come next, if a command does.
    pub(super) fn peek(&self) -> Option<&Command> {
        match self.entries.front()? {
            Entry::Command(command) => Some(command),
            Entry::Refused(..) => None,
        }
    }

    /// Whether the client says this, wherever it does.
    pub(super) fn has(&self, verb: Verb) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Command(command) => command.verb() == verb,
            Entry::Refused(..) => false,
        })
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn size(entry: &Entry) -> usize {
    match entry {
        Entry::Command(command) => command.size(),
        Entry::Refused(..) => 0,
    }
}

/// Lines that wait.
const LINES_MAX: usize = 16;
/// Bytes of the lines that wait.
const BYTES_MAX: usize = 8 * 1024;
