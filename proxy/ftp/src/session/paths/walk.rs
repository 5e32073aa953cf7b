//! Walking: the server's directory is changed, and its PWD says where that led. What policy does not allow is left
//! again before anything is done there.

use ftpsgate_policies::{CanonicalPath, Denial, Operation};

use crate::codec::{Command, Kind, Reply, Verb};

use super::super::authorize::Place;
use super::super::event::{Fact, Now, Violation};
use super::super::judge::Refusal;
use super::super::{Expecting, Session};
use super::errand::Then;
use super::{Asked, Directory, View};

/// Where the server is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// Where it is.
    Nowhere,
    /// In this directory.
    Into(CanonicalPath),
    /// Where the client's own words lead, which policy allows wherever that is.
    Verbatim,
}

/// One change of directory.
#[derive(Debug)]
pub(in super::super) struct Walk {
    goal: Goal,
    /// The server's reply to CWD.
    reply: Option<Reply>,
    /// Why the server is led back.
    refusal: Option<Refusal>,
    /// It is led to the root, for where it was is nowhere.
    is_rescued: bool,
}

impl Session {
    /// Sends CWD.
    pub(super) fn walk(&mut self, goal: Goal, now: Now) {
        let (Some(errand), Some(view)) = (&mut self.errand, &self.view) else { return };
        let command = match &goal {
            Goal::Nowhere => return,
            Goal::Into(_) if view.at.said.is_none() => {
                // It could not be led back, nor say where it went.
                return self.answer_errand(Reply::new(550, "The server does not say where it is."), now);
            }
            Goal::Into(path) => Command::with(Verb::Cwd, path.as_bytes()),
            Goal::Verbatim => errand.command.argument().and_then(|words| Command::with(Verb::Cwd, words)),
        };
        // CDUP has no words; where nothing is known, there is nothing above it.
        let Some(command) = command else {
            return self.answer_errand(Reply::new(550, "The working directory is not known."), now);
        };
        errand.walk = Some(Walk { goal, reply: None, refusal: None, is_rescued: false });
        self.send(command, Expecting::Paths(Asked::Enter), now);
    }

    /// The server answered what was asked for the sake of paths.
    pub(in super::super) fn handle_paths_reply(&mut self, asked: Asked, reply: Reply, now: Now) {
        if reply.kind() == Kind::Preliminary {
            return self.expect_more(Expecting::Paths(asked), now);
        }
        match asked {
            Asked::Home => self.handle_home(&reply, now),
            Asked::Enter => self.handle_enter(reply, now),
            Asked::Entered => self.handle_entered(&reply, now),
            Asked::Stayed | Asked::Left => self.handle_stayed(&reply, now),
            Asked::Leave if reply.kind() == Kind::Completion => self.ask_directory(Asked::Left, now),
            Asked::Leave => self.rescue(now),
            Asked::Facts => self.handle_facts(&reply, now),
            Asked::Image => self.handle_image(&reply, now),
            Asked::Size => self.handle_size(&reply, now),
            Asked::Type => self.handle_type_restored(&reply, now),
        }
    }

    fn handle_home(&mut self, reply: &Reply, now: Now) {
        let found = Directory::read(self.profile(), reply).plain();
        match &mut self.view {
            Some(view) => {
                view.at = found;
                view.is_stale = false;
            }
            None => {
                self.directory = None;
                let directory = found.clone();
                let view = View { directory, at: found, is_stale: false, lacks_mlst: false };
                self.view = Some(Box::new(view));
            }
        }
        match self.errand.take().map(|errand| errand.then) {
            Some(Then::LoggedIn { login }) => self.be_ready(login),
            Some(Then::Again { command }) => self.run_logged_in(command, now),
            Some(Then::Enter | Then::Forward | Then::Pair | Then::Transfer { .. } | Then::Nothing) | None => {
            }
        }
    }

    fn ask_directory(&mut self, asked: Asked, now: Now) {
        self.send(Command::bare(Verb::Pwd), Expecting::Paths(asked), now);
    }

    fn handle_enter(&mut self, reply: Reply, now: Now) {
        let asked = match reply.kind() {
            Kind::Completion => Asked::Entered,
            Kind::Preliminary | Kind::Intermediate | Kind::TransientFailure | Kind::PermanentFailure => {
                Asked::Stayed
            }
        };
        let reply = match reply.kind() {
            Kind::Intermediate | Kind::Preliminary => {
                Reply::new(550, "The server did not change its directory.")
            }
            Kind::Completion | Kind::TransientFailure | Kind::PermanentFailure => reply,
        };
        if let Some(walk) = self.errand.as_mut().and_then(|errand| errand.walk.as_mut()) {
            walk.reply = Some(reply);
        }
        self.ask_directory(asked, now);
    }

    fn handle_entered(&mut self, reply: &Reply, now: Now) {
        let found = Directory::read(self.profile(), reply);
        let Some(goal) =
            self.errand.as_ref().and_then(|errand| errand.walk.as_ref()).map(|walk| walk.goal.clone())
        else {
            return;
        };
        let asked = match &goal {
            Goal::Into(path) => Some(path),
            Goal::Nowhere | Goal::Verbatim => None,
        };
        if asked.is_some() && found.path.as_ref() == asked {
            return self.land(found, now);
        }
        let found = found.plain();
        match self.judge_landing(asked, &found, now) {
            Ok(()) => {
                if let (Some(asked), Some(path)) = (asked, &found.path) {
                    let (asked, found) = (asked.clone(), path.clone());
                    self.facts.push_back(Fact::SymlinkFollowed { asked, found });
                }
                self.land(found, now);
            }
            Err(refusal) => self.go_back(refusal, now),
        }
    }

    /// Whether the server may be where it is.
    fn judge_landing(
        &self,
        asked: Option<&CanonicalPath>,
        found: &Directory,
        now: Now,
    ) -> Result<(), Refusal> {
        let place = found.path.clone().map_or(Place::Unresolved(None), Place::Path);
        let is_lost = found.path.is_none() && !self.is_entering() && asked.is_some();
        self.judge_path(&Command::bare(Verb::Cwd), &[Operation::Traverse], place, now)?;
        if is_lost {
            // Policy may not mind, but nobody could say what the next command does.
            let denial = Denial {
                rule: None,
                operation: Some(Operation::Traverse),
                reply: None,
                observed: Vec::new(),
            };
            let reply = Reply::new(550, "The server does not say where this directory is.");
            return Err(Refusal { denial, reply });
        }
        Ok(())
    }

    fn is_entering(&self) -> bool {
        self.errand.as_ref().is_some_and(|errand| matches!(errand.then, Then::Enter))
    }

    /// The walk led somewhere allowed.
    fn land(&mut self, at: Directory, now: Now) {
        let (Some(errand), Some(view)) = (&mut self.errand, &mut self.view) else { return };
        let walk = errand.walk.take();
        view.at = at;
        self.transfer.outdate_backend_data();
        match errand.then {
            Then::Enter => {
                view.directory = view.at.clone();
                let verb = errand.command.verb();
                self.errand = None;
                let reply = walk.and_then(|walk| walk.reply);
                self.answer(verb, reply.unwrap_or_else(|| Reply::new(250, "Directory changed.")));
            }
            Then::Forward
            | Then::Pair
            | Then::Transfer { .. }
            | Then::Nothing
            | Then::LoggedIn { .. }
            | Then::Again { .. } => {
                self.arrive(now);
                self.proceed(now);
            }
        }
    }

    fn go_back(&mut self, refusal: Refusal, now: Now) {
        let back = self
            .view
            .as_ref()
            .and_then(|view| view.at.path.as_ref())
            .and_then(|path| Command::with(Verb::Cwd, path.as_bytes()));
        let (Some(back), Some(walk)) = (back, self.errand.as_mut().and_then(|errand| errand.walk.as_mut()))
        else {
            return self.lose_directory(now);
        };
        walk.refusal = Some(refusal);
        self.send(back, Expecting::Paths(Asked::Leave), now);
    }

    /// The server says where it is after a walk that did not succeed: it must be where it was, or where it was led.
    fn handle_stayed(&mut self, reply: &Reply, now: Now) {
        let found = Directory::read(self.profile(), reply);
        if self.view.as_ref().is_none_or(|view| view.at.said != found.said) {
            return self.rescue(now);
        }
        let Some(walk) = self.errand.as_mut().and_then(|errand| errand.walk.take()) else { return };
        match (walk.refusal, walk.reply) {
            (Some(refusal), _) => self.deny_errand(refusal, now),
            (None, Some(reply)) => self.stay(reply, now),
            (None, None) => {}
        }
    }

    /// Somebody else has removed or renamed the directory where the server was: it is led to one that stays.
    fn rescue(&mut self, now: Now) {
        let root = CanonicalPath::root();
        let command = Command::with(Verb::Cwd, root.as_bytes());
        let walk = self.errand.as_mut().and_then(|errand| errand.walk.as_mut());
        let (Some(view), Some(command), Some(walk)) = (&mut self.view, command, walk) else {
            return self.lose_directory(now);
        };
        if std::mem::replace(&mut walk.is_rescued, true) {
            return self.lose_directory(now);
        }
        view.at = Directory { said: Some(root.as_bytes().to_vec()), path: Some(root) };
        self.transfer.outdate_backend_data();
        self.send(command, Expecting::Paths(Asked::Leave), now);
    }

    /// Nobody knows what the next command would do.
    fn lose_directory(&mut self, now: Now) {
        self.violate_upstream(Violation::WrongDirectory, now);
    }
}
