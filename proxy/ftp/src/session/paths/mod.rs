//! The path view: where the client is, where the server's session is, and how a command reaches what policy judged.
//!
//! ```text
//! login     PWD ─▶ quoted, absolute, canonical: known; else unknown
//! command   resolve ─▶ judge ─▶ walk (strict) ─▶ judge what was resolved ─▶ probe ─▶ send
//! walk      CWD /d ─▶ PWD: /d, or elsewhere and allowed ─▶ there;  not allowed ─▶ CWD back, PWD ─▶ 550
//!                 ─▶ refused ─▶ PWD: as before ─▶ 550
//!                 ─▶ elsewhere, or no way back ─▶ CWD /, PWD: there ─▶ 550;  else the end
//! ```
//!
//! A server never gets the client's own words where a path rule could decide about them: it gets an absolute canonical
//! path, or a name in a directory that its own PWD has confirmed. Whatever leaves open where the server is ends the
//! session. A policy without path rules has no view, and costs nothing. SECURITY.md, "Paths"; RFC 959 §4.1.1.

mod errand;
mod probe;
mod walk;
pub(super) mod words;

use ftpsgate_policies::{CanonicalPath, Links, PathProfile};

use crate::codec::{Command, Reply, Verb, path};

pub(super) use errand::{Errand, Then};
pub(super) use probe::Representation;

use super::Session;
use super::event::Now;

/// Where everybody is.
#[derive(Debug)]
pub(super) struct View {
    /// The client's working directory.
    directory: Directory,
    /// The server's; another one while a walk is not undone.
    at: Directory,
    /// The server's directory, or one above it, was renamed: it says anew where it is.
    is_stale: bool,
    /// The server refused MLST.
    lacks_mlst: bool,
}

/// A directory, as the server's PWD told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directory {
    /// What it said between quotes, if it did.
    said: Option<Vec<u8>>,
    /// Which that is, if it is canonical.
    path: Option<CanonicalPath>,
}

/// What a server was asked for the sake of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// PWD, before anything is known.
    Home,
    /// CWD, where to.
    Enter,
    /// PWD after it.
    Entered,
    /// PWD after a CWD that was refused.
    Stayed,
    /// CWD, back.
    Leave,
    /// PWD after it.
    Left,
    /// MLST
    Facts,
    /// TYPE I, for SIZE means bytes only then.
    Image,
    /// SIZE
    Size,
    /// The client's TYPE again.
    Type,
}

impl Directory {
    fn read(profile: PathProfile, reply: &Reply) -> Self {
        let said = path::quoted_path(reply).filter(|_| reply.lines().count() == 1);
        let path = said.as_ref().and_then(|said| CanonicalPath::from_server(profile, said).ok());
        Self { said, path }
    }

    /// Replies are read with control bytes replaced by `?`, and not every server doubles its quotes: such a path is
    /// believed only where it was asked for.
    fn is_plain(&self) -> bool {
        self.said.as_ref().is_some_and(|said| !said.iter().any(|byte| matches!(byte, b'?' | b'"')))
    }

    fn plain(self) -> Self {
        if self.is_plain() { self } else { Self { path: None, ..self } }
    }
}

impl View {
    /// The client's directory, if it is known.
    pub(super) fn working_directory(&self) -> Option<&CanonicalPath> {
        self.directory.path.as_ref()
    }

    /// Whether the server is where the client is.
    fn is_home(&self) -> bool {
        self.at == self.directory
    }

    /// The server's directory, for another login to go to; `None`: where logins begin.
    pub(super) fn server_directory(&self) -> Option<&CanonicalPath> {
        self.at.path.as_ref()
    }

    /// The answer to the client's PWD.
    fn answer(&self) -> Reply {
        match (&self.directory.path, &self.directory.said) {
            (Some(path), _) => quoted(path.as_bytes()),
            (None, Some(said)) => quoted(said),
            (None, None) => Reply::new(550, "The working directory is not known."),
        }
    }
}

impl Session {
    /// Whether paths count for this session's backend.
    fn needs_view(&self) -> bool {
        let profile = self.routed.as_ref().map_or(PathProfile::Opaque, |routed| routed.settings.paths);
        self.needs_paths
            && match profile {
                PathProfile::Unix | PathProfile::Windows => true,
                PathProfile::Opaque => false,
            }
    }

    /// Whether a transfer's directory is walked to before it.
    pub(super) fn may_walk(&self) -> bool {
        match self.links {
            Links::Harmless | Links::Rename => false,
            Links::Mislead => self.view.is_some(),
        }
    }

    /// The login stands: before the client hears of it, the server says where it is. `None`: it was asked.
    pub(super) fn find_home(&mut self, login: Reply, now: Now) -> Option<Reply> {
        self.view = None;
        if !self.needs_view() {
            return Some(login);
        }
        self.ask_home(Then::LoggedIn { login }, now);
        None
    }

    /// Before a command: another policy may need a view, or need it no longer. `None`: it is run later.
    pub(super) fn prepare_view(&mut self, command: Command, now: Now) -> Option<Command> {
        match (&self.view, self.needs_view()) {
            (None, true) if command.verb() != Verb::Quit => {
                self.ask_home(Then::Again { command }, now);
                None
            }
            (Some(view), _) if view.is_stale => {
                self.ask_home(Then::Again { command }, now);
                None
            }
            (Some(view), false) if view.is_home() => {
                let known = view.working_directory().filter(|_| self.settings.is_audited);
                self.directory = known.cloned().map(Box::new);
                self.view = None;
                Some(command)
            }
            (None | Some(_), _) => Some(command),
        }
    }

    pub(super) fn answer_directory(&mut self, command: &Command, now: Now) {
        if let (Some(_), Some(view)) = (self.permit(command, now), &self.view) {
            let reply = view.answer();
            self.answer(Verb::Pwd, reply);
        }
    }

    fn profile(&self) -> PathProfile {
        self.upstream_settings().paths
    }
}

/// RFC 959, appendix II: quotes in the path are doubled.
fn quoted(path: &[u8]) -> Reply {
    let mut text = vec![b'"'];
    for &byte in path {
        text.push(byte);
        if byte == b'"' {
            text.push(byte);
        }
    }
    text.extend_from_slice(b"\" is the current directory.");
    Reply::new(257, text)
}
