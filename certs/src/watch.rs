//! Whether a set of files changed since they were last read, by `stat` alone.
//!
//! Symbolic links are followed, so that the directory swaps of certbot and Kubernetes are seen. A file that was
//! written within the clock's grain of the last look would look the same although it is not; so files that are
//! younger than [`SETTLED_AFTER`] are read once more at the next look.

use std::{
    fs, mem,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::Error;

/// Files that are read together, and what is known of their last reading.
#[derive(Debug)]
pub(crate) struct Watch {
    files: Vec<PathBuf>,
    /// One for each file, taken before it was read; none for a file that was not there.
    seen: Vec<Option<Stamp>>,
    settled: bool,
    /// What was last complained about, so that it is said once.
    complaint: Option<String>,
}

impl Watch {
    /// Looks at `files`, which are about to be read.
    pub(crate) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let files: Vec<PathBuf> = files.into_iter().collect();
        let mut watch = Self { seen: Vec::new(), files, settled: false, complaint: None };
        watch.look();
        watch
    }

    /// Whether the files should be read again, which the caller then does at once: a change that happens in
    /// between is seen by the next look.
    pub(crate) fn changed(&mut self) -> bool {
        let settled = self.settled;
        self.look() || !settled
    }

    /// Takes note of a failed reading; true if the same was not said before.
    pub(crate) fn complain(&mut self, error: &Error) -> bool {
        let text = error.to_string();
        self.complaint.replace(text.clone()) != Some(text)
    }

    /// Takes note of a reading without fault; true if there was a complaint before.
    pub(crate) fn recover(&mut self) -> bool {
        self.complaint.take().is_some()
    }

    fn look(&mut self) -> bool {
        let now = SystemTime::now();
        let stamps: Vec<_> = self.files.iter().map(|file| Stamp::of(file)).collect();
        self.settled = stamps.iter().flatten().all(|stamp| stamp.settled(now));
        mem::replace(&mut self.seen, stamps) != self.seen
    }
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether any later write is sure to bear another time.
    fn settled(&self, now: SystemTime) -> bool {
        let changed = crate::identity::system_time(self.changed.0);
        now.duration_since(changed).is_ok_and(|age| age > SETTLED_AFTER)
    }
}

/// Coarser than the time stamps of any file system in use.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_file_is_read_once_more_and_an_old_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "a").unwrap();
        let mut watch = Watch::new([file.clone()]);
        assert!(watch.changed(), "it was written just now");

        let stamp = Stamp::of(&file).unwrap();
        let then = crate::identity::system_time(stamp.changed.0);
        assert!(!stamp.settled(then));
        assert!(stamp.settled(then + Duration::from_secs(3)));

        watch.settled = true;
        assert!(!watch.changed());
        watch.settled = true;
        fs::write(&file, "ab").unwrap();
        assert!(watch.changed());
        watch.settled = true;
        fs::remove_file(&file).unwrap();
        assert!(watch.changed());
        assert!(!watch.changed(), "it is still not there");
    }

    #[test]
    fn a_complaint_is_made_once() {
        let mut watch = Watch::new([]);
        let error = || Error::NoKey { file: "a".into() };
        assert!(watch.complain(&error()));
        assert!(!watch.complain(&error()));
        assert!(watch.complain(&Error::NoKey { file: "b".into() }));
        assert!(watch.recover());
        assert!(!watch.recover());
        assert!(watch.complain(&error()));
    }
}
