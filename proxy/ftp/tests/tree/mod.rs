//! A server with a tree of files in memory. It follows symbolic links, replaces `~`, reads options and patterns; and it
//! panics when something marked is served, changed, or carried along.

use std::collections::BTreeMap;

use ftpsgate_ftp::codec::{Command, Reply, Verb};

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    kind: Kind,
    is_marked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link(String),
}

/// The server, with its one session.
#[derive(Debug)]
pub(crate) struct Server {
    /// By path, `/` included.
    nodes: BTreeMap<String, Node>,
    at: String,
    /// Where it was asked for its data connection: transfers take names from there (libunftp does).
    asked_at: String,
    rename_from: Option<String>,
    copy_from: Option<String>,
    is_image: bool,
    knows_mlst: bool,
    names: u32,
    pub(crate) served: usize,
}

/// The marked trees.
pub(crate) const SECRET: &str = "/secret";
pub(crate) const INNER: &str = "/home/in/secret";
const HOME: &str = "/home";
/// The one tree that may be allowed.
const FREE: &str = "/home/free";

impl Server {
    /// `is_open`: two trees are marked. Otherwise everything outside of `/home/free` is. Links lead to what is marked, and
    /// to above it.
    pub(crate) fn new(is_open: bool) -> Self {
        let mut nodes = BTreeMap::new();
        for (path, kind) in [
            ("/", Kind::Directory),
            ("/secret", Kind::Directory),
            ("/secret/f", Kind::File),
            ("/secret/d", Kind::Directory),
            ("/home", Kind::Directory),
            ("/home/free", Kind::Directory),
            ("/home/free/f", Kind::File),
            ("/home/free/d", Kind::Directory),
            ("/home/free/d/f", Kind::File),
            ("/home/near", Kind::Link("/home/free".into())),
            ("/home/in", Kind::Directory),
            ("/home/in/f", Kind::File),
            ("/home/in/secret", Kind::Directory),
            ("/home/in/secret/f", Kind::File),
        ] {
            let is_secret = [SECRET, INNER].iter().any(|tree| is_within(path, tree));
            let is_marked = if is_open { is_secret } else { !is_within(path, FREE) };
            nodes.insert(path.to_owned(), Node { kind, is_marked });
        }
        let at = if is_open { HOME } else { FREE };
        for (path, target) in [
            ("/home/link", SECRET),
            ("/home/free/link", INNER),
            ("/home/up", "/"),
            ("/home/free/up", "/home/in"),
        ] {
            let is_marked = !is_open && !is_within(path, FREE);
            nodes.insert(path.to_owned(), Node { kind: Kind::Link(target.to_owned()), is_marked });
        }
        Self {
            nodes,
            at: at.to_owned(),
            asked_at: at.to_owned(),
            rename_from: None,
            copy_from: None,
            is_image: false,
            knows_mlst: is_open,
            names: 0,
            served: 0,
        }
    }

    /// What it says, once it has done it.
    pub(crate) fn answer(&mut self, command: &Command) -> Vec<Reply> {
        match command.verb() {
            Verb::Epsv => self.asked_at.clone_from(&self.at),
            Verb::Retr | Verb::Stor | Verb::Appe | Verb::Stou | Verb::List | Verb::Nlst | Verb::Mlsd => {
                let at = std::mem::replace(&mut self.at, self.asked_at.clone());
                let replies = self.obey(command);
                self.at = at;
                return replies;
            }
            _ => {}
        }
        self.obey(command)
    }

    fn obey(&mut self, command: &Command) -> Vec<Reply> {
        let argument = String::from_utf8_lossy(command.argument_or_empty()).into_owned();
        let done = match command.verb() {
            Verb::User => return vec![Reply::new(331, "password")],
            Verb::Pass => return vec![Reply::new(230, "welcome")],
            Verb::Epsv => return vec![Reply::new(229, "(|||2000|)")],
            Verb::Rest => return vec![Reply::new(350, "ok")],
            Verb::Pwd => return vec![Reply::new(257, format!("\"{}\"", self.at.replace('"', "\"\"")))],
            Verb::Cwd => self.enter(&argument),
            Verb::Retr => return transfer(self.read(&argument)),
            Verb::Stor | Verb::Appe => return transfer(self.write(&argument)),
            Verb::Stou => {
                self.names += 1;
                let name = format!("u{}", self.names);
                return match self.write(&name) {
                    Some(()) => vec![Reply::new(150, format!("FILE: {name}"))],
                    None => vec![Reply::new(550, "no")],
                };
            }
            Verb::List | Verb::Nlst => return transfer(self.list(&argument, true)),
            Verb::Mlsd => return transfer(self.list(&argument, false)),
            Verb::Stat => self.list(&argument, true),
            Verb::Size => {
                let size = self.look(&argument).filter(|kind| self.is_image && *kind == Kind::File);
                return vec![size.map_or_else(|| Reply::new(550, "no"), |_| Reply::new(213, "1"))];
            }
            Verb::Mlst if !self.knows_mlst => return vec![Reply::new(500, "what")],
            Verb::Mlst => {
                let kind = match self.look(&argument) {
                    None => return vec![Reply::new(550, "no")],
                    Some(Kind::Directory) => "dir",
                    Some(Kind::File) => "file",
                    Some(Kind::Link(_)) => "OS.unix=symlink",
                };
                return vec![Reply::multiline(250, "x", [format!(" type={kind}; x")], "end")];
            }
            Verb::Mdtm | Verb::Mfmt => {
                self.look(argument.strip_prefix("20200101000000 ").unwrap_or(&argument)).map(drop)
            }
            Verb::Hash => self.read(&argument),
            Verb::Xcrc => {
                self.read(&argument).or_else(|| self.read(argument.strip_suffix(" 0 9").unwrap_or(&argument)))
            }
            Verb::Mkd => self.make(&argument, Kind::Directory),
            Verb::Rmd => self.remove(&argument, false),
            Verb::Rmda => self.remove(&argument, true),
            Verb::Dele => self.remove(&argument, false),
            Verb::Rnfr => {
                self.rename_from = self.entry(&argument).filter(|path| self.nodes.contains_key(path));
                let code = if self.rename_from.is_some() { 350 } else { 550 };
                return vec![Reply::new(code, "rename")];
            }
            Verb::Rnto => self.rename(&argument),
            Verb::Type => {
                self.is_image = argument == "I";
                return vec![Reply::new(200, "ok")];
            }
            Verb::Site => self.site(&argument),
            Verb::Comb => {
                let words: Vec<String> = argument.split(' ').map(str::to_owned).collect();
                words[1..]
                    .iter()
                    .try_for_each(|word| self.remove(word, false))
                    .and_then(|()| self.write(&words[0]))
            }
            Verb::Mmd5 => argument.split(',').try_for_each(|word| self.read(word.trim())),
            Verb::Noop | Verb::Feat | Verb::Abor => return vec![Reply::new(200, "ok")],
            other => panic!("not for this server: {other:?}"),
        };
        vec![done.map_or_else(|| Reply::new(550, "no"), |()| Reply::new(250, "done"))]
    }

    fn site(&mut self, argument: &str) -> Option<()> {
        let (word, rest) = argument.split_once(' ').unwrap_or((argument, ""));
        match word {
            "CHMOD" => self.touch_matching(rest.strip_prefix("777 ")?),
            "UTIME" => self.look(rest.strip_prefix("20200101000000 ")?).map(drop),
            "CPFR" => {
                self.copy_from = self.entry(rest).filter(|path| self.nodes.contains_key(path));
                self.copy_from.as_ref().map(|_| ())
            }
            "CPTO" => {
                let (from, to) = (self.copy_from.take()?, self.entry(rest)?);
                self.check_tree(&from);
                self.touch_parent(&to);
                self.touch(&to);
                (!self.nodes.contains_key(&to) && !is_within(&to, &from)).then_some(())?;
                for (path, node) in self.tree(&from) {
                    self.nodes.insert(format!("{to}{}", &path[from.len()..]), node);
                }
                Some(())
            }
            "SYMLINK" => {
                let (target, link) = rest.split_once(' ')?;
                let target = self.entry(target)?;
                self.make(link, Kind::Link(target))
            }
            "EXEC" => panic!("a program is run: {rest}"),
            other => panic!("not for this server: SITE {other}"),
        }
    }

    fn enter(&mut self, argument: &str) -> Option<()> {
        let path = self.follow(argument)?;
        (self.nodes.get(&path)?.kind == Kind::Directory).then(|| self.at = path)
    }

    fn look(&mut self, argument: &str) -> Option<Kind> {
        let path = if argument.is_empty() { self.at.clone() } else { self.entry(argument)? };
        self.touch(&path);
        self.nodes.get(&path).map(|node| node.kind.clone())
    }

    fn read(&mut self, argument: &str) -> Option<()> {
        let path = self.follow(argument)?;
        (self.nodes.get(&path)?.kind == Kind::File).then_some(())?;
        self.touch(&path);
        self.served += 1;
        Some(())
    }

    fn write(&mut self, argument: &str) -> Option<()> {
        let path = self.entry(argument)?;
        let path = if self.nodes.contains_key(&path) { self.follow(argument)? } else { path };
        match self.nodes.get(&path).map(|node| &node.kind) {
            Some(Kind::File) => self.touch(&path),
            Some(Kind::Directory | Kind::Link(_)) => return None,
            None => {
                self.touch_parent(&path);
                self.nodes.insert(path, Node { kind: Kind::File, is_marked: false });
            }
        }
        self.served += 1;
        Some(())
    }

    fn make(&mut self, argument: &str, kind: Kind) -> Option<()> {
        let path = self.entry(argument)?;
        (!self.nodes.contains_key(&path)).then_some(())?;
        self.touch_parent(&path);
        self.nodes.insert(path, Node { kind, is_marked: false });
        Some(())
    }

    fn remove(&mut self, argument: &str, is_recursive: bool) -> Option<()> {
        let path = self.entry(argument).filter(|path| path != "/")?;
        self.touch(&path);
        self.nodes.get(&path)?;
        self.touch_parent(&path);
        let tree = self.tree(&path);
        if is_recursive {
            self.check_tree(&path);
        } else if tree.len() > 1 {
            return None;
        }
        (!is_within(&self.at, &path))
            .then(|| tree.into_keys().for_each(|path| drop(self.nodes.remove(&path))))
    }

    fn rename(&mut self, argument: &str) -> Option<()> {
        let (from, to) = (self.rename_from.take()?, self.entry(argument)?);
        (from != "/" && !is_within(&to, &from)).then_some(())?;
        self.touch_parent(&from);
        self.touch_parent(&to);
        self.touch(&to);
        (!self.nodes.contains_key(&to) || self.tree(&to).len() == 1).then_some(())?;
        self.check_tree(&from);
        for (path, node) in self.tree(&from) {
            self.nodes.remove(&path);
            self.nodes.insert(format!("{to}{}", &path[from.len()..]), node);
        }
        if is_within(&self.at, &from) {
            self.at = format!("{to}{}", &self.at[from.len()..]);
        }
        Some(())
    }

    fn list(&mut self, argument: &str, is_ls: bool) -> Option<()> {
        let mut is_recursive = false;
        let mut rest = argument;
        while is_ls && rest.starts_with('-') {
            let (option, behind) = rest.split_once(' ').unwrap_or((rest, ""));
            is_recursive |= option.contains('R');
            rest = behind;
        }
        if is_ls && rest.contains(['*', '?', '[', '{']) {
            return self.touch_matching(rest);
        }
        let path = if rest.is_empty() { self.at.clone() } else { self.follow(rest)? };
        self.touch(&path);
        self.nodes.get(&path)?;
        if is_recursive {
            self.check_tree(&path);
        }
        self.served += 1;
        Some(())
    }

    /// A pattern reaches everything in the directory where it begins to be one: that is more than it does.
    fn touch_matching(&mut self, argument: &str) -> Option<()> {
        let Some(first) = argument.find(['*', '?', '[', '{']) else {
            return self.look(argument).map(drop);
        };
        let directory = match argument[..first].rfind('/') {
            Some(0) => "/".to_owned(),
            Some(slash) => self.follow(&argument[..slash])?,
            None => self.at.clone(),
        };
        self.check_tree(&directory);
        Some(())
    }

    fn touch(&self, path: &str) {
        let is_marked = self.nodes.get(path).is_some_and(|node| node.is_marked);
        assert!(!is_marked, "{path} is touched");
    }

    /// An entry is made or removed there. What allows a tree allows its root, too.
    fn touch_parent(&self, path: &str) {
        if path != FREE {
            self.touch(parent(path));
        }
    }

    fn check_tree(&self, path: &str) {
        self.tree(path).keys().for_each(|path| self.touch(path));
    }

    fn tree(&self, root: &str) -> BTreeMap<String, Node> {
        let below = self.nodes.iter().filter(|(path, _)| is_within(path, root));
        below.map(|(path, node)| (path.clone(), node.clone())).collect()
    }

    /// Where a name leads, with all links followed.
    fn follow(&self, argument: &str) -> Option<String> {
        self.resolve(argument, true)
    }

    /// The entry that a name is, a link itself.
    fn entry(&self, argument: &str) -> Option<String> {
        self.resolve(argument, false)
    }

    fn resolve(&self, argument: &str, follows_last: bool) -> Option<String> {
        let home = argument.strip_prefix('~').map(|rest| format!("{SECRET}/{rest}"));
        let argument = home.as_deref().unwrap_or(argument);
        let mut at = if argument.starts_with('/') { "/".to_owned() } else { self.at.clone() };
        let mut rest: Vec<String> =
            argument.split('/').rev().filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect();
        for _ in 0..64 {
            let Some(part) = rest.pop() else { return Some(at) };
            if part == ".." {
                at = parent(&at).to_owned();
                continue;
            }
            (self.nodes.get(&at)?.kind == Kind::Directory).then_some(())?;
            let next = if at == "/" { format!("/{part}") } else { format!("{at}/{part}") };
            match self.nodes.get(&next).map(|node| &node.kind) {
                Some(Kind::Link(target)) if follows_last || !rest.is_empty() => {
                    rest.extend(target.split('/').rev().filter(|part| !part.is_empty()).map(str::to_owned));
                    at = "/".to_owned();
                }
                Some(_) | None => at = next,
            }
        }
        None
    }
}

fn transfer(done: Option<()>) -> Vec<Reply> {
    vec![done.map_or_else(|| Reply::new(550, "no"), |()| Reply::new(150, "here"))]
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(slash) => &path[..slash],
    }
}

fn is_within(path: &str, directory: &str) -> bool {
    directory == "/"
        || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
