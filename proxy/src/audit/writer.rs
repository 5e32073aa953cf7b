//! A sink's thread: it takes what sessions have left for it, and writes it in groups.
//!
//! Nothing is dropped and nothing is written twice. What cannot be written is tried again every second, from the byte
//! that is next; a record that is half written when its file is given up is cut off there, and written whole to the
//! file that follows. While more waits than [`BYTES_MAX`], the sink is full, and sessions wait.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::{error, info, warn};

/// What lines are written to.
pub(super) trait Store: Send {
    /// Writes some of them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether it ends with the end of a line, or has none.
    fn is_whole(&mut self) -> io::Result<bool>;

    /// Takes so many bytes off its end.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
}

/// Whether sessions may go on: shared by all sinks.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Sinks that are full.
    full: AtomicUsize,
    made: Notify,
}

impl Room {
    pub(super) fn is_there(&self) -> bool {
        self.full.load(Ordering::Acquire) == 0
    }

    /// Waits until no sink is full.
    pub(super) async fn wait(&self) {
        loop {
            let made = self.made.notified();
            if self.is_there() {
                return;
            }
            made.await;
        }
    }
}

/// One sink. Dropping the last reference does not end its thread: [`Writer::finish`] does.
pub(super) struct Writer {
    /// How messages call it.
    path: PathBuf,
    queue: Mutex<Queue>,
    /// There is something to do, or nothing to wait for.
    called: Condvar,
    room: Arc<Room>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A thread that waits for a sink to write. Dropping it ends the thread.
pub(super) struct Hand {
    job: SyncSender<Job>,
    thread: JoinHandle<()>,
}

type Job = (Arc<Writer>, Box<dyn Store>);

impl Hand {
    /// # Errors
    ///
    /// The system's: there are too many threads, or too little memory.
    pub(super) fn new() -> io::Result<Self> {
        let (job, jobs) = sync_channel::<Job>(1);
        let work = move || {
            if let Ok((writer, store)) = jobs.recv() {
                writer.run(store);
            }
        };
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(work)?;
        Ok(Self { job, thread })
    }
}

/// What sessions and the thread share.
#[derive(Default)]
struct Queue {
    lines: Vec<u8>,
    /// Bytes that the thread has taken and not written.
    taken: usize,
    /// The file is another from now on.
    next: Option<Box<dyn Store>>,
    is_full: bool,
    /// It is no longer waited for: the configuration does not name it any more.
    is_retired: bool,
    /// The thread sleeps until it is called.
    is_idle: bool,
    /// When the thread ends, even if not all is written.
    end: Option<Instant>,
}

impl Writer {
    /// Writes to `store` from now on.
    pub(super) fn start(hand: Hand, path: PathBuf, store: Box<dyn Store>, room: Arc<Room>) -> Arc<Self> {
        let writer = Arc::new(Self {
            path,
            queue: Mutex::default(),
            called: Condvar::new(),
            room,
            thread: Mutex::new(Some(hand.thread)),
        });
        // It waits for this, and for nothing else.
        hand.job.send((Arc::clone(&writer), store)).ok();
        writer
    }

    /// Takes a line; `push` puts it behind those that wait.
    pub(super) fn take(&self, push: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.lock();
        push(&mut queue.lines);
        let waiting = queue.lines.len() + queue.taken;
        if waiting >= BYTES_MAX && !queue.is_full && !queue.is_retired {
            queue.is_full = true;
            self.room.full.fetch_add(1, Ordering::AcqRel);
        }
        if queue.is_idle {
            queue.is_idle = false;
            self.called.notify_one();
        }
    }

    /// What is not written yet is written to `store`, by a sink that is configured. Gives it back where the thread is
    /// about to end: then all is written.
    pub(super) fn reopen(&self, store: Box<dyn Store>) -> Option<Box<dyn Store>> {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return Some(store);
        }
        queue.is_retired = false;
        queue.next = Some(store);
        drop(queue);
        self.called.notify_one();
        None
    }

    /// The sink takes nothing more; what it has it still writes, and nobody waits for it.
    pub(super) fn retire(&self) {
        let mut queue = self.lock();
        queue.is_retired = true;
        self.note_room(&mut queue);
        drop(queue);
        self.called.notify_one();
    }

    /// Ends the thread as soon as all is written, and at `end` in any case.
    pub(super) fn finish(&self, end: Instant) {
        self.lock().end = Some(end);
        self.called.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            error!(path = %self.path.display(), "the audit log's thread ended in disorder");
        }
    }

    /// Whether its thread has ended.
    pub(super) fn is_over(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    fn run(&self, store: Box<dyn Store>) {
        let mut pen = Pen { store, is_whole: None, group: Vec::new(), written: 0 };
        let mut has_failed = false;
        loop {
            let end = self.next(&mut pen, has_failed);
            match pen.write() {
                Ok(()) => {
                    if std::mem::take(&mut has_failed) {
                        info!(path = %self.path.display(), "the audit log is written again");
                    }
                }
                Err(error) if !has_failed => {
                    error!(
                        path = %self.path.display(), %error,
                        "the audit log cannot be written: sessions wait once {} MiB are to be written", BYTES_MAX >> 20
                    );
                    has_failed = true;
                }
                Err(_) => {}
            }
            let mut queue = self.lock();
            queue.taken = pen.group.len() - pen.written;
            self.note_room(&mut queue);
            let Some(end) = end else { continue };
            let left = queue.lines.len() + queue.taken;
            if left == 0 && queue.next.is_none() {
                return;
            }
            if Instant::now() >= end {
                drop(queue);
                if pen.cut().is_err() {
                    warn!(path = %self.path.display(), "the audit log ends with half a record");
                }
                return error!(path = %self.path.display(), bytes = left, "records are lost: they could not be written");
            }
        }
    }

    /// Waits until there is something to write, or to try again; takes it. When the thread is to end, if it is.
    fn next(&self, pen: &mut Pen, has_failed: bool) -> Option<Instant> {
        let mut queue = self.lock();
        if has_failed {
            let left =
                queue.end.map_or(RETRY, |end| RETRY.min(end.saturating_duration_since(Instant::now())));
            if queue.next.is_none() && !left.is_zero() {
                (queue, _) = self.called.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner);
            }
        }
        while pen.is_done() && queue.lines.is_empty() && queue.next.is_none() && queue.end.is_none() {
            if queue.is_retired {
                queue.end = Some(Instant::now());
                break;
            }
            queue.is_idle = true;
            queue = self.called.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.is_idle = false;
        if !has_failed && queue.lines.len() < GROUP_BYTES && queue.next.is_none() && queue.end.is_none() {
            // More comes, most of the time: to be woken and to write for each would cost more than the writing.
            (queue, _) = self.called.wait_timeout(queue, GROUP_TIME).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(store) = queue.next.take() {
            if pen.cut().is_err() {
                warn!(path = %self.path.display(), "the old audit log ends with half a record");
            }
            pen.store = store;
            pen.is_whole = None;
        }
        if pen.is_done() {
            pen.clear();
            std::mem::swap(&mut pen.group, &mut queue.lines);
            queue.taken = pen.group.len();
        }
        queue.end
    }

    fn note_room(&self, queue: &mut Queue) {
        let has_room = queue.is_retired || queue.lines.len() + queue.taken < BYTES_MAX / 2;
        if has_room && std::mem::take(&mut queue.is_full) {
            self.room.full.fetch_sub(1, Ordering::AcqRel);
            self.room.made.notify_waiters();
        }
    }

    /// A session that panicked while it held this left whole lines behind, or none.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Writer").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What is being written, and how far that has come.
struct Pen {
    store: Box<dyn Store>,
    /// Whether the store ended with a whole line when it was opened; `None`: nobody has looked.
    is_whole: Option<bool>,
    group: Vec<u8>,
    written: usize,
}

impl Pen {
    fn is_done(&self) -> bool {
        self.written == self.group.len()
    }

    /// A sink that has had much to write gives the memory back.
    fn clear(&mut self) {
        self.group.clear();
        self.group.shrink_to(GROUP_BYTES);
        self.written = 0;
    }

    /// Writes the group to its end.
    fn write(&mut self) -> io::Result<()> {
        if self.is_done() {
            return Ok(());
        }
        let is_whole = match self.is_whole {
            Some(is_whole) => is_whole,
            None => self.store.is_whole()?,
        };
        self.is_whole = Some(is_whole);
        if !is_whole {
            write_some(&mut *self.store, b"\n")?;
            self.is_whole = Some(true);
        }
        while !self.is_done() {
            self.written += write_some(&mut *self.store, &self.group[self.written..])?;
        }
        Ok(())
    }

    /// Gives a record up that was written by half: it is still to be written, all of it.
    fn cut(&mut self) -> io::Result<()> {
        let whole =
            self.group[..self.written].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let half = self.written - whole;
        self.written = whole;
        if half == 0 { Ok(()) } else { self.store.cut(half as u64) }
    }
}

fn write_some(store: &mut dyn Store, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match store.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Of all records that wait to be written: with more, sessions wait.
pub(super) const BYTES_MAX: usize = 4 << 20;
/// A group is not waited for when so much is there.
const GROUP_BYTES: usize = 64 << 10;
/// For more records to come after the first.
const GROUP_TIME: Duration = Duration::from_millis(10);
/// Between two tries to write.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
