//! A tree of marked files below a server's root: made, compared with what it was, and put back.
//!
//! Everything belongs to the server's user, so that nothing but policy stands between. Links are never followed here:
//! what they lead to means something else outside of the server's root. There are links to directories only; of links to
//! files docs/policy.md says that nobody can see them from outside.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ftpsgate_policies::Operation;

use super::marks;
use super::rules::Rules;
use crate::peers::servers::give_entry;

/// What there is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link(&'static str),
}

/// One entry, and what marks it.
#[derive(Debug)]
struct Node {
    kind: Kind,
    content: Vec<u8>,
    /// The size of its file, which is longer than the content where it is a mark.
    bytes: u64,
    modified: SystemTime,
}

/// The tree of one policy below one server's root.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    nodes: BTreeMap<String, Node>,
    before: Snapshot,
}

/// What can be seen of an entry without opening it; whatever touches it changes this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    mode: u32,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

type Snapshot = BTreeMap<String, Seen>;

/// How the tree is not what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There was none.
    Appeared,
    /// There is none.
    Vanished,
    /// It is another one, or was changed.
    Changed,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where, as the server's user names it.
    pub path: String,
    /// What.
    pub change: Change,
    /// Whether it is a directory.
    pub is_directory: bool,
}

impl Tree {
    /// Makes it.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn plant(root: PathBuf, rules: &Rules) -> Self {
        let mut tree = Self { root, nodes: nodes(rules), before: Snapshot::new() };
        tree.restore();
        tree
    }

    /// What is not as it was after the last [`Tree::restore`].
    pub fn differences(&self) -> Vec<Difference> {
        let now = self.look();
        let mut differences = Vec::new();
        let mut note = |path: &str, change, seen: &Seen| {
            differences.push(Difference { path: path.to_owned(), change, is_directory: seen.is_directory() });
        };
        for (path, before) in &self.before {
            match now.get(path) {
                None => note(path, Change::Vanished, before),
                Some(seen) if seen.is_directory() != before.is_directory() => {
                    note(path, Change::Vanished, before);
                    note(path, Change::Appeared, seen);
                }
                Some(seen) if seen != before => note(path, Change::Changed, seen),
                Some(_) => {}
            }
        }
        for (path, seen) in now.iter().filter(|(path, _)| !self.before.contains_key(*path)) {
            note(path, Change::Appeared, seen);
        }
        differences
    }

    /// Puts back what was changed, and nothing else: sessions may be in the directories that stay.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn restore(&mut self) {
        let now = self.look();
        for (path, seen) in &now {
            let is_kept = match self.nodes.get(path) {
                Some(node) if node.kind == Kind::Directory => seen.is_directory(),
                Some(_) => self.before.get(path) == Some(seen),
                None => path == "/",
            };
            // What was in a directory that is gone is gone with it.
            if let (false, Ok(metadata)) = (is_kept, self.path(path).symlink_metadata()) {
                let removed = if metadata.is_dir() {
                    fs::remove_dir_all(self.path(path))
                } else {
                    fs::remove_file(self.path(path))
                };
                removed.expect("root can remove everything");
            }
        }
        for (path, node) in &self.nodes {
            if self.path(path).symlink_metadata().is_err() {
                self.make(path, node);
            }
        }
        // Making entries changed the times of their directories.
        for (path, node) in self.nodes.iter().filter(|(_, node)| node.kind == Kind::Directory) {
            let full = self.path(path);
            let metadata = full.symlink_metadata().expect("it is there");
            if metadata.mode() & 0o7777 != 0o755 {
                fs::set_permissions(&full, Permissions::from_mode(0o755)).expect("root may");
            }
            if metadata.modified().ok() != Some(node.modified) {
                set_time(&full, node.modified);
            }
        }
        self.before = self.look();
    }

    fn make(&self, path: &str, node: &Node) {
        let full = self.path(path);
        match node.kind {
            Kind::Directory => fs::create_dir(&full).expect("its parent comes first"),
            Kind::Link(target) => symlink(target, &full).expect("its directory comes first"),
            Kind::File => {
                let mut file = File::create(&full).expect("its directory comes first");
                file.write_all(&node.content).expect("the disk has room");
                file.set_len(node.bytes).expect("the disk has room");
            }
        }
        give_entry(&full);
        if let Kind::Directory | Kind::File = node.kind {
            let mode = if node.kind == Kind::File { 0o644 } else { 0o755 };
            fs::set_permissions(&full, Permissions::from_mode(mode)).expect("root may");
            set_time(&full, node.modified);
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn look(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        look_into(&self.root, "", &mut snapshot);
        snapshot
    }
}

impl Seen {
    fn is_directory(self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

fn look_into(full: &Path, path: &str, snapshot: &mut Snapshot) {
    let metadata = full.symlink_metadata().expect("no server changes anything while it is compared");
    let seen = Seen {
        mode: metadata.mode(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    let shown = if path.is_empty() { "/" } else { path };
    snapshot.insert(shown.to_owned(), seen);
    if seen.is_directory() {
        for entry in fs::read_dir(full).expect("root can read everything") {
            let entry = entry.expect("root can read everything");
            let name = entry.file_name();
            look_into(&entry.path(), &format!("{path}/{}", name.to_string_lossy()), snapshot);
        }
    }
}

fn set_time(path: &Path, time: SystemTime) {
    let file = File::open(path).expect("root can open everything");
    file.set_times(FileTimes::new().set_modified(time)).expect("root may");
}

/// All entries under a policy: in each directory one more, whose name alone is a mark.
fn nodes(rules: &Rules) -> BTreeMap<String, Node> {
    let mut nodes = BTreeMap::new();
    let mut plan: Vec<(String, Kind)> = Vec::new();
    for path in DIRECTORIES {
        plan.push((path.to_owned(), Kind::Directory));
    }
    for path in FILES {
        plan.push((path.to_owned(), Kind::File));
    }
    for (path, target) in LINKS {
        // Where it really leads, seen from its own directory.
        let leads_out = !(rules.allows)(Operation::List, &resolved(path, target));
        if rules.has_links_out || !leads_out {
            plan.push((path.to_owned(), Kind::Link(target)));
        }
    }
    for directory in DIRECTORIES.into_iter().filter(|path| !LEFT_EMPTY.contains(path)) {
        plan.push((format!("{directory}/{}", marks::name(plan.len())), Kind::File));
    }
    for (number, (path, kind)) in plan.into_iter().enumerate() {
        // A directory's own times change with its entries, and can be seen from above.
        let is_told = [Operation::Metadata, Operation::Download]
            .into_iter()
            .any(|operation| (rules.allows)(operation, &path));
        let is_hidden = kind == Kind::File && !rules.shows(&path) && !is_told;
        let content = marks::content(number);
        let bytes = match kind {
            Kind::File if is_hidden => marks::bytes(number),
            Kind::File | Kind::Directory | Kind::Link(_) => content.len() as u64,
        };
        let seconds = if is_hidden { marks::HIDDEN_TIME_S } else { OPEN_TIME_S };
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        nodes.insert(path, Node { kind, content, bytes, modified });
    }
    nodes
}

/// The path of every entry whose number is a mark, for [`marks`].
pub(super) fn numbered(rules: &Rules) -> Vec<String> {
    let nodes = nodes(rules);
    let mut paths = vec![String::new(); nodes.len()];
    for (path, node) in nodes {
        let number = marks::number(&node.content).expect("its own mark");
        paths[number] = path;
    }
    paths
}

/// Where a link leads; there are no links on the way.
fn resolved(link: &str, target: &str) -> String {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => super::rules::parent(link).split('/').collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    let path: String = parts.iter().filter(|part| !part.is_empty()).flat_map(|part| ["/", part]).collect();
    if path.is_empty() { "/".to_owned() } else { path }
}

/// 2001-09-09
const OPEN_TIME_S: u64 = 1_000_000_000;

/// Each after the one that it is in.
const DIRECTORIES: [&str; 26] = [
    "/pub",
    "/pub/sub",
    "/pub/sub/deep",
    "/pub/empty",
    "/pub/secret",
    "/pub/secret/d",
    "/in",
    "/in/d",
    "/secret",
    "/secret/d",
    "/home",
    "/home/tester",
    "/home/tester/d",
    "/home/tester/secret",
    "/home/other",
    "/home/other/d",
    "/a",
    "/A",
    "/é",
    "/é/a",
    "/é/a/a",
    "/é/A",
    "/é/aA",
    "/é/-",
    "/é/~",
    "/é/ ",
];

const LEFT_EMPTY: [&str; 3] = ["/pub/empty", "/é/A", "/é/aA"];

const FILES: [&str; 35] = [
    "/f",
    "/x.key",
    "/pub/f",
    "/pub/g",
    "/pub/x.key",
    "/pub/sub/f",
    "/pub/sub/x.KEY",
    "/pub/sub/deep/f",
    "/pub/secret/f",
    "/pub/secret/x.key",
    "/pub/secret/d/f",
    "/in/f",
    "/in/d/f",
    "/secret/f",
    "/secret/x",
    "/secret/d/f",
    "/home/tester/f",
    "/home/tester/d/f",
    "/home/tester/secret/f",
    "/home/other/f",
    "/home/other/d/f",
    "/a/a",
    "/a/A",
    "/a/é",
    "/a/-",
    "/A/a",
    "/é/é",
    "/é/*",
    "/é/a/é",
    "/é/a/-",
    "/é/-/a",
    "/é/-/é",
    "/é/~/a",
    "/é/~/é",
    "/é/ /a",
];

/// From everywhere into what some policy denies, out of it, and to what it allows.
const LINKS: [(&str, &str); 12] = [
    ("/pub/link", "/secret"),
    ("/pub/inner", "secret"),
    ("/pub/near", "sub"),
    ("/pub/sub/up", "../.."),
    ("/pub/sub/out", "../../secret/d"),
    ("/in/link", "../pub"),
    ("/in/key", "../home"),
    ("/secret/back", "../pub"),
    ("/home/tester/link", "../other"),
    ("/home/tester/d/up", "/"),
    ("/é/\\", "../a"),
    ("/é/éé", "/é/~"),
];
