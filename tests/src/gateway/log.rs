//! What a process writes: every line to a file, and the JSON ones to memory for tests that wait for them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

/// More lines than this are dropped from memory, the oldest first; the file keeps them all.
const LINES_KEPT: usize = 50_000;

/// One line of JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Event(Map<String, Value>);

impl Event {
    /// Whether this is the event of that name: its field `event`, or else its message.
    pub fn is(&self, name: &str) -> bool {
        self.text("event") == name || self.text("message") == name
    }

    /// A field, wherever the logger put it: beside `timestamp`, or under `fields`, `span` or `spans`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let in_spans = || self.0.get("spans")?.as_array()?.iter().rev().find_map(|span| span.get(name));
        self.0
            .get("fields")
            .and_then(|fields| fields.get(name))
            .or_else(|| self.0.get(name))
            .or_else(|| self.0.get("span").and_then(|span| span.get(name)))
            .or_else(in_spans)
    }

    /// A field's text; empty where there is none or it is no text.
    pub fn text(&self, name: &str) -> &str {
        self.field(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field that is a number or a number's digits.
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.field(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    /// A field that is an address and a port.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.text(name).parse().unwrap_or_else(|_| panic!("`{name}` is no socket address in {self:?}"))
    }
}

/// The output of one process.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug)]
struct Lines {
    file: File,
    /// How many lines were dropped from the front of `kept`.
    dropped: usize,
    kept: VecDeque<(String, Option<Event>)>,
    streams_open: usize,
}

impl Log {
    /// Starts to collect; threads do so until both streams end.
    pub(super) fn collect(path: &Path, stderr: ChildStderr, stdout: Option<ChildStdout>) -> Self {
        let file = File::create(path).expect("the log folder can be written");
        let streams_open = 1 + usize::from(stdout.is_some());
        let lines = Mutex::new(Lines { file, dropped: 0, kept: VecDeque::new(), streams_open });
        let shared = Arc::new(Shared { lines, changed: Condvar::new() });
        let collect = |stream: Box<dyn Read + Send>| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.collect(stream));
        };
        collect(Box::new(stderr));
        if let Some(stdout) = stdout {
            collect(Box::new(stdout));
        }
        Self { path: path.to_owned(), shared }
    }

    /// The file with everything that was written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The JSON lines so far.
    pub fn events(&self) -> Vec<Event> {
        self.shared.lock().kept.iter().filter_map(|(_, event)| event.clone()).collect()
    }

    /// The last lines, as written.
    pub fn tail(&self, lines: usize) -> String {
        let held = self.shared.lock();
        let skip = held.kept.len().saturating_sub(lines);
        let tail: Vec<&str> = held.kept.iter().skip(skip).map(|(line, _)| line.as_str()).collect();
        tail.join("\n")
    }

    /// How many lines there were so far: a point in the log from which [`Log::wait_since`] can start.
    pub fn mark(&self) -> usize {
        let held = self.shared.lock();
        held.dropped + held.kept.len()
    }

    /// The first event at or after `mark` that fulfils `predicate`, awaited for as long as `patience` and the
    /// process last.
    pub fn wait_since(
        &self,
        mark: usize,
        predicate: impl Fn(&Event) -> bool,
        patience: Duration,
    ) -> Option<Event> {
        let deadline = Instant::now() + patience;
        let mut next = mark;
        let mut held = self.shared.lock();
        loop {
            let skip = next.saturating_sub(held.dropped);
            let mut new = held.kept.iter().skip(skip).filter_map(|(_, event)| event.as_ref());
            if let Some(event) = new.find(|event| predicate(event)) {
                return Some(event.clone());
            }
            next = held.dropped + held.kept.len();
            if held.streams_open == 0 {
                return None;
            }
            held = self.shared.wait(held, deadline)?;
        }
    }

    /// Waits until the process has closed its output; whether it did so in time.
    pub(super) fn wait_end(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut held = self.shared.lock();
        while held.streams_open > 0 {
            match self.shared.wait(held, deadline) {
                Some(again) => held = again,
                None => return false,
            }
        }
        true
    }
}

impl Shared {
    fn collect(&self, stream: Box<dyn Read + Send>) {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let event = match serde_json::from_str(&text) {
                Ok(Value::Object(fields)) => Some(Event(fields)),
                Ok(_) | Err(_) => None,
            };
            let mut held = self.lock();
            held.file.write_all(&line).expect("the log file can be written");
            if held.kept.len() == LINES_KEPT {
                held.kept.pop_front();
                held.dropped += 1;
            }
            held.kept.push_back((text, event));
            drop(held);
            self.changed.notify_all();
            line.clear();
        }
        self.lock().streams_open -= 1;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// `None` once the deadline has passed.
    fn wait<'a>(&self, held: MutexGuard<'a, Lines>, deadline: Instant) -> Option<MutexGuard<'a, Lines>> {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        let (held, _) =
            self.changed.wait_timeout(held, left).unwrap_or_else(std::sync::PoisonError::into_inner);
        Some(held)
    }
}
