//! A sink whose disk fails: at once, by half, for a while, for good.

use std::sync::mpsc;

use super::super::json;
use super::super::record::Event;
use super::super::testing::{numbers, record};
use super::*;

/// A disk of a test's making: what was written to it, and how much more it takes.
#[derive(Clone)]
struct Disk(Arc<Mutex<State>>);

struct State {
    bytes: Vec<u8>,
    /// Bytes that fit; then ENOSPC.
    room: usize,
    /// Bytes that one write takes at most.
    step: usize,
    /// Told of each write that failed.
    failures: mpsc::Sender<()>,
}

impl Disk {
    fn new(room: usize, step: usize) -> (Self, mpsc::Receiver<()>) {
        let (failures, seen) = mpsc::channel();
        (Self(Arc::new(Mutex::new(State { bytes: Vec::new(), room, step, failures }))), seen)
    }

    fn set_room(&self, room: usize) {
        self.0.lock().unwrap().room = room;
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }
}

impl Store for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        let count = bytes.len().min(state.room).min(state.step);
        if count == 0 {
            state.failures.send(()).ok();
            return Err(io::Error::from_raw_os_error(28));
        }
        state.room -= count;
        state.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn is_whole(&mut self) -> io::Result<bool> {
        Ok(self.bytes().last().is_none_or(|&last| last == b'\n'))
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let length = state.bytes.len() - bytes as usize;
        state.bytes.truncate(length);
        Ok(())
    }
}

fn start(disk: &Disk) -> (Arc<Writer>, Arc<Room>) {
    let room = Arc::new(Room::default());
    let writer =
        Writer::start(Hand::new().unwrap(), "test".into(), Box::new(disk.clone()), Arc::clone(&room));
    (writer, room)
}

fn write(writer: &Writer, numbers: std::ops::RangeInclusive<u64>) {
    let line = json::line(record(Event::Command, "/a")).unwrap();
    numbers.for_each(|seq| writer.take(|lines| json::push_numbered(lines, seq, &line)));
}

fn all(numbers: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    numbers.collect()
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn short_writes_are_completed() {
    let (disk, _failures) = Disk::new(usize::MAX, 7);
    let (writer, _) = start(&disk);
    write(&writer, 1..=100);
    writer.finish(Instant::now() + SOON);
    assert_eq!(numbers(&disk.bytes()), all(1..=100));
}

#[test]
fn what_did_not_fit_is_written_when_there_is_room_again() {
    let (disk, failures) = Disk::new(250, usize::MAX);
    let (writer, _) = start(&disk);
    write(&writer, 1..=10);
    failures.recv_timeout(SOON).unwrap();
    assert_eq!(disk.bytes().len(), 250, "the record that did not fit is there by half");
    disk.set_room(usize::MAX);
    write(&writer, 11..=20);
    writer.finish(Instant::now() + SOON);
    assert_eq!(numbers(&disk.bytes()), all(1..=20));
}

#[test]
fn a_record_written_by_half_is_whole_in_the_file_that_follows_and_gone_from_the_one_before() {
    let (old, failures) = Disk::new(250, usize::MAX);
    let (new, _failures) = Disk::new(usize::MAX, usize::MAX);
    let (writer, _) = start(&old);
    write(&writer, 1..=10);
    failures.recv_timeout(SOON).unwrap();
    assert!(writer.reopen(Box::new(new.clone())).is_none());
    writer.finish(Instant::now() + SOON);
    let (before, after) = (numbers(&old.bytes()), numbers(&new.bytes()));
    assert!(!before.is_empty() && !after.is_empty());
    assert_eq!([before, after].concat(), all(1..=10));
}

#[test]
fn at_the_end_a_record_written_by_half_is_cut_off() {
    let (disk, failures) = Disk::new(250, usize::MAX);
    let (writer, _) = start(&disk);
    write(&writer, 1..=10);
    failures.recv_timeout(SOON).unwrap();
    writer.finish(Instant::now());
    let written = numbers(&disk.bytes());
    assert!((1..10).contains(&written.len()), "{written:?}");
}

#[test]
fn half_a_line_of_a_crash_is_ended_first() {
    let (disk, _failures) = Disk::new(usize::MAX, usize::MAX);
    disk.0.lock().unwrap().bytes = b"{\"seq\":7,\"ti".to_vec();
    let (writer, _) = start(&disk);
    write(&writer, 1..=2);
    writer.finish(Instant::now() + SOON);
    let bytes = disk.bytes();
    let (torn, rest) = bytes.split_at(13);
    assert_eq!(torn, b"{\"seq\":7,\"ti\n");
    assert_eq!(numbers(rest), all(1..=2));
}

#[tokio::test]
async fn sessions_wait_while_the_disk_is_full_and_nothing_is_dropped() {
    let (disk, failures) = Disk::new(0, usize::MAX);
    let (writer, room) = start(&disk);
    let mut count = 0;
    while room.is_there() {
        count += 1;
        write(&writer, count..=count);
    }
    failures.recv_timeout(SOON).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), room.wait()).await.is_err());
    disk.set_room(usize::MAX);
    tokio::time::timeout(SOON, room.wait()).await.expect("there is room again");
    let finishing = Arc::clone(&writer);
    tokio::task::spawn_blocking(move || finishing.finish(Instant::now() + SOON)).await.unwrap();
    assert_eq!(numbers(&disk.bytes()), all(1..=count));
}

#[tokio::test]
async fn nobody_waits_for_a_sink_that_is_no_longer_configured() {
    let (disk, _failures) = Disk::new(0, usize::MAX);
    let (writer, room) = start(&disk);
    let mut count = 0;
    while room.is_there() {
        count += 1;
        write(&writer, count..=count);
    }
    writer.retire();
    room.wait().await;
    writer.finish(Instant::now());
}

#[test]
fn a_thread_that_gets_no_sink_ends() {
    let Hand { job, thread } = Hand::new().unwrap();
    drop(job);
    thread.join().unwrap();
}
