//! What sessions hold: the journal numbers their records and gives each to every sink.
//!
//! A session that leaves a record here does no I/O. Before it takes its next event it asks for room: while a sink cannot
//! be written, sessions stand still rather than do what would not be recorded.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::OpenError;
use super::json;
use super::record::Record;
use super::writer::{Hand, Room, Store, Writer};
use crate::config::{Audit, AuditKind};

/// The audit log of the process; without sinks, records go nowhere.
#[derive(Debug, Default)]
pub struct Journal {
    /// Whether there is a sink.
    is_kept: AtomicBool,
    state: Mutex<State>,
    room: Arc<Room>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the last record.
    seq: u64,
    writers: Vec<Arc<Writer>>,
    /// Those that are no longer configured and have something to write.
    retired: Vec<Arc<Writer>>,
}

/// Sinks that are open, and not in use yet.
pub struct Opened(Vec<Sink>);

/// All that it takes to write to a sink: from here on nothing can fail but the writing.
struct Sink {
    path: PathBuf,
    store: Box<dyn Store>,
    hand: Hand,
}

impl Journal {
    /// Whether records are kept: without that nobody need make one.
    pub fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// Keeps a record; its number is given here. What is appended by one thread after the other stands so in the log.
    pub fn append(&self, record: Record<'_>) {
        if !self.is_kept() {
            return;
        }
        let Some(line) = json::line(record) else {
            return error!("an audit record could not be written as JSON");
        };
        let mut state = self.lock();
        state.seq += 1;
        for writer in &state.writers {
            writer.take(|lines| json::push_numbered(lines, state.seq, &line));
        }
    }

    /// Whether sessions may do something that is to be recorded.
    pub fn has_room(&self) -> bool {
        self.room.is_there()
    }

    /// Waits for that.
    pub async fn room(&self) {
        self.room.wait().await;
    }

    /// Opens every sink of a configuration; nothing is written to it yet. Blocks for as long as the file system does.
    ///
    /// # Errors
    ///
    /// The first that cannot be opened, is the same file as one before it, or has no thread.
    pub fn open(configured: &[Audit]) -> Result<Opened, OpenError> {
        Self::open_with(configured, Hand::new)
    }

    fn open_with(
        configured: &[Audit],
        mut hire: impl FnMut() -> io::Result<Hand>,
    ) -> Result<Opened, OpenError> {
        // Links and `..` lead from two paths to one file, where two writers would cut each other's records.
        let mut files = Vec::new();
        let mut open = |Audit { kind, path }: &Audit| match kind {
            AuditKind::Json => {
                let failed = |source| OpenError::File { path: path.clone(), source };
                let file = json::open(path).map_err(failed)?;
                let metadata = file.metadata().map_err(failed)?;
                let inode = (metadata.dev(), metadata.ino());
                if let Some((_, first)) = files.iter().find(|(known, _)| *known == inode) {
                    return Err(OpenError::Same { path: path.clone(), first: PathBuf::clone(first) });
                }
                files.push((inode, path.clone()));
                let hand = hire().map_err(|source| OpenError::Thread { path: path.clone(), source })?;
                Ok(Sink { path: path.clone(), store: Box::new(file), hand })
            }
        };
        configured.iter().map(&mut open).collect::<Result<_, _>>().map(Opened)
    }

    /// Writes to these from now on. One whose path is known goes on in the file that has that name now.
    pub fn install(&self, opened: Opened) {
        let mut state = self.lock();
        state.retired.retain(|writer| !writer.is_over());
        let mut old = std::mem::take(&mut state.writers);
        for Sink { path, store, hand } in opened.0 {
            let known = old.iter().chain(&state.retired).position(|writer| *writer.path() == path);
            let known = known.map(|index| match index.checked_sub(old.len()) {
                None => old.swap_remove(index),
                Some(index) => state.retired.swap_remove(index),
            });
            let store = match known {
                None => store,
                Some(writer) => match writer.reopen(store) {
                    None => {
                        state.writers.push(writer);
                        continue;
                    }
                    Some(store) => store,
                },
            };
            info!(path = %path.display(), "audit log opened");
            state.writers.push(Writer::start(hand, path, store, Arc::clone(&self.room)));
        }
        for writer in old {
            writer.retire();
            state.retired.push(writer);
        }
        self.is_kept.store(!state.writers.is_empty(), Ordering::Relaxed);
    }

    /// Writes what is still to be written, for `patience` at most. Blocks; later records go nowhere.
    pub fn finish(&self, patience: Duration) {
        self.is_kept.store(false, Ordering::Relaxed);
        let writers = {
            let mut state = self.lock();
            let retired = std::mem::take(&mut state.retired);
            std::mem::take(&mut state.writers).into_iter().chain(retired)
        };
        let end = Instant::now() + patience;
        for writer in writers {
            writer.finish(end);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A journal that nobody has finished is still written.
impl Drop for Journal {
    fn drop(&mut self) {
        self.finish(DROP_PATIENCE);
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|sink| &sink.path)).finish()
    }
}

const DROP_PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::super::record::Event;
    use super::super::testing::{record, sequence};
    use super::*;

    fn audit(path: PathBuf) -> Audit {
        Audit { kind: AuditKind::Json, path }
    }

    fn journal(sinks: &[Audit]) -> Journal {
        let journal = Journal::default();
        journal.install(Journal::open(sinks).unwrap());
        journal
    }

    #[test]
    fn without_sinks_nothing_is_kept() {
        let journal = Journal::default();
        assert!(!journal.is_kept() && journal.has_room());
        journal.append(record(Event::Connect, ""));
    }

    #[test]
    fn all_that_was_appended_is_there_in_order_when_the_journal_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let sinks = [audit(directory.path().join("a")), audit(directory.path().join("b"))];
        let journal = journal(&sinks);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..500).for_each(|_| journal.append(record(Event::Command, "/a"))));
            }
        });
        drop(journal);
        for sink in &sinks {
            assert_eq!(sequence(&sink.path), (1..=4000).collect::<Vec<u64>>());
        }
    }

    #[test]
    fn a_rotated_file_gets_what_comes_after_and_no_record_is_lost_or_doubled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let journal = journal(&[audit(path.clone())]);
        let mut files = Vec::new();
        std::thread::scope(|scope| {
            let writing =
                scope.spawn(|| (0..20_000).for_each(|_| journal.append(record(Event::Command, "/a"))));
            while !writing.is_finished() {
                let rotated = directory.path().join(format!("audit.{}", files.len()));
                std::fs::rename(&path, &rotated).unwrap();
                files.push(rotated);
                journal.install(Journal::open(&[audit(path.clone())]).unwrap());
            }
        });
        journal.finish(Duration::from_secs(5));
        files.push(path);
        let all: Vec<u64> = files.iter().flat_map(|file| sequence(file)).collect();
        assert_eq!(all, (1..=20_000).collect::<Vec<u64>>());
    }

    #[test]
    fn a_sink_that_comes_back_goes_on_where_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let journal = journal(&[]);
        for _ in 0..100 {
            journal.install(Journal::open(&[audit(path.clone())]).unwrap());
            journal.append(record(Event::Command, "/1"));
            journal.install(Journal::open(&[]).unwrap());
        }
        drop(journal);
        assert_eq!(sequence(&path), (1..=100).collect::<Vec<u64>>());
    }

    #[test]
    fn a_sink_that_is_removed_has_what_came_before() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        let journal = journal(&[audit(a.clone())]);
        journal.append(record(Event::Command, "/1"));
        journal.install(Journal::open(&[audit(b.clone())]).unwrap());
        journal.append(record(Event::Command, "/2"));
        journal.install(Journal::open(&[]).unwrap());
        assert!(!journal.is_kept());
        journal.finish(Duration::from_secs(5));
        assert_eq!((sequence(&a), sequence(&b)), (vec![1], vec![2]));
    }

    #[test]
    fn two_paths_that_are_one_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let (link, hard) = (directory.path().join("link"), directory.path().join("hard"));
        drop(Journal::open(&[audit(path.clone())]).unwrap());
        std::os::unix::fs::symlink(&path, &link).unwrap();
        std::fs::hard_link(&path, &hard).unwrap();
        std::fs::create_dir(directory.path().join("b")).unwrap();
        for other in [link, hard, directory.path().join("b/../a")] {
            let error = Journal::open(&[audit(path.clone()), audit(other)]).unwrap_err();
            assert!(error.to_string().contains("are the same file"), "{error}");
        }
        Journal::open(&[audit(path), audit(directory.path().join("b/a"))]).unwrap();
    }

    #[test]
    fn a_sink_that_nobody_can_write_is_refused_before_anything_changes() {
        let directory = tempfile::tempdir().unwrap();
        let sinks = [audit(directory.path().join("a")), audit(directory.path().join("b"))];
        let mut hands = vec![Hand::new()];
        let hire = || hands.pop().unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()));
        let error = Journal::open_with(&sinks, hire).unwrap_err();
        assert!(matches!(&error, OpenError::Thread { path, .. } if *path == sinks[1].path), "{error}");
    }

    #[test]
    fn a_panic_in_a_session_does_not_silence_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let journal = journal(&[audit(path.clone())]);
        std::thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                let _state = journal.state.lock().unwrap();
                panic!("as a session may");
            });
            assert!(panicking.join().is_err());
        });
        journal.append(record(Event::Command, "/1"));
        drop(journal);
        assert_eq!(sequence(&path), [1]);
    }
}
