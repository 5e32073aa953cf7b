//! One command of the client's, and everything that a server is asked before it is sent.
//!
//! Policy is asked when the command comes, and again right before it is sent: with the paths that the server resolved,
//! with what it said of the file, and by the policy of that moment.

use std::time::Duration;

use ftpsgate_policies::{CanonicalPath, Links, Operation, Permit};

use crate::codec::{Command, Reply, Verb};

use super::super::authorize::{Deed, Place, Spelling};
use super::super::event::{Action, Direction, Now};
use super::super::judge::{Doubt, Findings, Item, Judgement};
use super::super::record::Decision;
use super::super::transfer::{Judged, Transfer};
use super::super::{Expecting, Session};
use super::probe::Probe;
use super::walk::{Goal, Walk};

/// A command under way to be sent.
#[derive(Debug)]
pub(in super::super) struct Errand {
    pub(super) command: Command,
    /// The first half of a pair.
    held: Option<Command>,
    pub(super) items: Vec<Item>,
    spelling: Spelling,
    /// Items that were walked to.
    walked: usize,
    pub(super) walk: Option<Walk>,
    pub(super) probe: Option<Probe>,
    pub(super) findings: Findings,
    /// The server was asked whether there is a file, and did not tell.
    pub(super) is_unanswered: bool,
    /// What is to be changed is no file: it was tried whether it is a directory, and where.
    is_entered: bool,
    pub(super) then: Then,
}

/// What is done at its end.
#[derive(Debug)]
pub(in super::super) enum Then {
    /// The client hears that it is logged in.
    LoggedIn { login: Reply },
    /// The command is run, now that it is known where.
    Again { command: Command },
    /// The client's directory is another.
    Enter,
    /// The server is asked.
    Forward,
    /// The server is told both halves of a pair.
    Pair,
    /// A transfer begins.
    Transfer { direction: Direction, started: Duration },
    /// Nothing: the client has given it up.
    Nothing,
}

/// A name of which something is to be changed, where links may lead out of what is allowed.
enum Changed {
    /// Nothing is to be found out.
    Known,
    /// It may be a file, or a link to a directory.
    Anything,
    /// It was not entered yet.
    NoFile,
}

impl Errand {
    fn new(
        command: Command,
        held: Option<Command>,
        items: Vec<Item>,
        spelling: Spelling,
        then: Then,
    ) -> Self {
        Self {
            command,
            held,
            items,
            spelling,
            walked: 0,
            walk: None,
            probe: None,
            findings: Findings::default(),
            is_unanswered: false,
            is_entered: false,
            then,
        }
    }
}

impl Session {
    /// Begins with a command. Its end is [`Session::dispatch`], or a reply.
    pub(in super::super) fn begin_errand(
        &mut self,
        command: Command,
        held: Option<Command>,
        then: Then,
        now: Now,
    ) {
        let deed = Deed::of(&command, self.context(held.as_ref()));
        let items = self.items(&deed);
        if let Some(problem) = deed.problem.or_else(|| odd_name(command.verb(), &items)) {
            self.forget_transfer(&then);
            return self.answer(command.verb(), problem);
        }
        self.note_accesses(&items, Findings::default());
        let size = self.announced_bytes(&items);
        match self.judge(&command, &items, Findings::default(), size, now) {
            Judgement::Denied(refusal) => {
                self.forget_transfer(&then);
                return self.deny(&command, &items, refusal);
            }
            Judgement::Allowed(permit) => {
                self.note_decision(Decision::permitted(&permit));
                // The server is led there, and nothing is sent that would be judged again.
                if matches!(then, Then::Enter) {
                    self.observe(&command, &items, permit.observed());
                }
            }
            Judgement::Unclear(_) => {}
        }
        let errand = Errand::new(command, held, items, deed.spelling, then);
        self.errand = Some(Box::new(errand));
        self.proceed(now);
    }

    /// REST was for this transfer, whatever becomes of it.
    fn forget_transfer(&mut self, then: &Then) {
        if matches!(then, Then::Transfer { .. }) {
            self.restart = None;
            self.announced = None;
        }
    }

    pub(super) fn ask_home(&mut self, then: Then, now: Now) {
        let command = Command::bare(Verb::Pwd);
        let errand = Errand::new(command, None, Vec::new(), Spelling::default(), then);
        self.errand = Some(Box::new(errand));
        self.send(Command::bare(Verb::Pwd), Expecting::Paths(super::Asked::Home), now);
    }

    /// The next thing to be done for the command.
    pub(super) fn proceed(&mut self, now: Now) {
        loop {
            let Some(errand) = &self.errand else { return };
            if matches!(errand.then, Then::Nothing) {
                self.errand = None;
                return;
            }
            match self.next_goal() {
                Ok(None) => break,
                Ok(Some(goal)) if self.is_at(&goal) => self.arrive(now),
                Ok(Some(goal)) => return self.walk(goal, now),
                Err(reply) => return self.answer_errand(reply, now),
            }
        }
        let Some(errand) = &self.errand else { return };
        let size = self.announced_bytes(&errand.items);
        match self.judge(&errand.command, &errand.items, errand.findings, size, now) {
            Judgement::Allowed(permit) => match self.changed_kind() {
                Changed::Known => self.dispatch(permit, now),
                Changed::Anything => self.probe(Doubt::IsFile, now),
                Changed::NoFile => self.enter_changed(now),
            },
            // The server cannot be asked about what nobody can name, nor twice about what it does not tell.
            Judgement::Unclear(_) if errand.is_unanswered || self.is_verbatim() => {
                match self.judge_unseen(&errand.command, &errand.items, errand.findings, size, now) {
                    Ok(permit) => self.dispatch(permit, now),
                    Err(refusal) => self.deny_errand(refusal, now),
                }
            }
            Judgement::Unclear(doubt) => self.probe(doubt, now),
            Judgement::Denied(refusal) => self.deny_errand(refusal, now),
        }
    }

    fn changed_kind(&self) -> Changed {
        let Some(errand) = self.errand.as_ref().filter(|_| self.links != Links::Harmless) else {
            return Changed::Known;
        };
        let is_changed = |item: &Item| item.is_changed && item.place.path().is_some();
        match errand.findings.is_file {
            _ if !errand.items.iter().any(is_changed) => Changed::Known,
            None => Changed::Anything,
            Some(false) if !errand.is_entered => Changed::NoFile,
            Some(_) => Changed::Known,
        }
    }

    /// What is to be changed may be a link to a directory: that is entered, and what the server says that it is, is
    /// judged and changed instead.
    fn enter_changed(&mut self, now: Now) {
        let Some(errand) = &mut self.errand else { return };
        if errand.items.iter().any(|item| item.is_changed && item.pattern.is_some()) {
            let reply = Reply::new(550, "A directory whose name is like a pattern is not changed.");
            return self.answer_errand(reply, now);
        }
        errand.is_entered = true;
        errand.walked = 0;
        errand.items.iter_mut().filter(|item| item.is_changed).for_each(|item| item.is_listed = true);
        self.proceed(now);
    }

    /// Where the server must be for the next item; `None`: for none.
    fn next_goal(&self) -> Result<Option<Goal>, Reply> {
        let (Some(errand), Some(view)) = (&self.errand, &self.view) else { return Ok(None) };
        if matches!(errand.then, Then::Enter) {
            if errand.walked > 0 {
                return Ok(None);
            }
            return match errand.items.first().map(|item| &item.place) {
                Some(Place::Path(path)) => Ok(Some(Goal::Into(path.clone()))),
                Some(Place::Nothing | Place::Unresolved(_) | Place::Here(_)) | None if view.is_home() => {
                    Ok(Some(Goal::Verbatim))
                }
                // Words that cannot be resolved mean something only where the client believes to be.
                Some(Place::Nothing | Place::Unresolved(_) | Place::Here(_)) | None => {
                    Err(Reply::new(550, "This path is not understood here."))
                }
            };
        }
        let home = || match &view.directory.path {
            _ if view.is_home() => Ok(None),
            Some(path) => Ok(Some(Goal::Into(path.clone()))),
            None => Err(Reply::new(550, "The working directory is not known.")),
        };
        if self.is_verbatim() {
            return if errand.walked == 0 { home() } else { Ok(None) };
        }
        let Some(item) = errand.items.get(errand.walked) else { return Ok(None) };
        match &item.place {
            Place::Nothing | Place::Unresolved(_) => Ok(Some(Goal::Nowhere)),
            Place::Here(_) => home().map(|goal| Some(goal.unwrap_or(Goal::Nowhere))),
            Place::Path(_) if !is_walked_to(item, self.links) => Ok(Some(Goal::Nowhere)),
            Place::Path(_) if item.pattern.as_ref().is_some_and(|pattern| pattern.contains('/')) => {
                // A link between could lead anywhere.
                Err(Reply::new(550, "A pattern may stand only in the last part of a path."))
            }
            Place::Path(path) if item.pattern.is_some() || item.is_listed => {
                Ok(Some(Goal::Into(path.clone())))
            }
            Place::Path(path) if path.is_root() => Ok(Some(Goal::Nowhere)),
            Place::Path(path) => Ok(Some(Goal::Into(path.parent()))),
        }
    }

    /// Whether the client's own words are sent, from where the client is: policy allows them whatever they mean.
    pub(super) fn is_verbatim(&self) -> bool {
        self.errand.as_ref().is_some_and(|errand| {
            let is_account = errand.command.verb() == Verb::Acct;
            is_account
                || errand.items.iter().any(|item| match item.place {
                    Place::Unresolved(_) => true,
                    Place::Nothing | Place::Here(_) | Place::Path(_) => false,
                })
        })
    }

    fn is_at(&self, goal: &Goal) -> bool {
        let is_entering = self.errand.as_ref().is_some_and(|errand| matches!(errand.then, Then::Enter));
        match goal {
            Goal::Nowhere => true,
            Goal::Into(path) => {
                !is_entering && self.view.as_ref().is_some_and(|view| view.at.path.as_ref() == Some(path))
            }
            Goal::Verbatim => false,
        }
    }

    /// The server is where the next item wants it: now the item's path is what the server makes of it.
    pub(super) fn arrive(&mut self, now: Now) {
        let (profile, is_verbatim, links) = (self.profile(), self.is_verbatim(), self.links);
        let (Some(errand), Some(view)) = (&mut self.errand, &self.view) else { return };
        if is_verbatim {
            errand.walked = errand.items.len();
            return;
        }
        let walked = errand.walked;
        errand.walked += 1;
        let Some(item) = errand.items.get_mut(walked) else { return };
        let Some(at) = view.at.path.as_ref() else { return };
        let resolved = match &item.place {
            Place::Nothing | Place::Unresolved(_) => return,
            Place::Here(_) => Place::Here(at.clone()),
            Place::Path(_) if !is_walked_to(item, links) => return,
            Place::Path(_) if item.pattern.is_some() || item.is_listed => Place::Path(at.clone()),
            Place::Path(path) => match path.name() {
                None => return,
                Some(name) => match CanonicalPath::resolve(profile, Some(at), format!("./{name}").as_bytes())
                {
                    Ok(path) => Place::Path(path),
                    Err(error) => {
                        let reply = Reply::new(550, format!("Not allowed: {error}."));
                        return self.answer_errand(reply, now);
                    }
                },
            },
        };
        item.place = resolved;
    }

    /// A walk was refused by the server, which is where it was.
    pub(super) fn stay(&mut self, reply: Reply, now: Now) {
        let Some(errand) = &mut self.errand else { return };
        if let Some(item) = errand.items.get_mut(errand.walked)
            && item.is_listed
            && !item.is_changed
            && errand.command.verb() != Verb::Mlsd
            && matches!(item.place, Place::Path(_))
        {
            // No directory: it is listed as a name in one.
            item.is_listed = false;
            return self.proceed(now);
        }
        self.answer_errand(reply, now);
    }

    /// Ends an errand with a reply that is no denial.
    pub(super) fn answer_errand(&mut self, reply: Reply, now: Now) {
        let Some(errand) = self.errand.take() else { return };
        let verb = errand.command.verb();
        match errand.then {
            Then::Enter | Then::Forward | Then::Pair => self.answer(verb, reply),
            Then::Transfer { direction, started } => {
                self.restart = None;
                self.announced = None;
                self.finish_unopened(direction, started, reply, now);
            }
            Then::LoggedIn { .. } | Then::Again { .. } | Then::Nothing => {}
        }
    }

    pub(super) fn deny_errand(&mut self, refusal: super::super::judge::Refusal, _now: Now) {
        let Some(errand) = self.errand.take() else { return };
        self.note_accesses(&errand.items, errand.findings);
        self.forget_transfer(&errand.then);
        match errand.then {
            Then::Enter | Then::Forward | Then::Pair | Then::Transfer { .. } => {
                self.deny(&errand.command, &errand.items, refusal);
            }
            Then::LoggedIn { .. } | Then::Again { .. } | Then::Nothing => {}
        }
    }

    /// All is known and allowed: the command goes out.
    fn dispatch(&mut self, permit: Permit, now: Now) {
        let is_verbatim = self.is_verbatim();
        let Some(errand) = self.errand.take() else { return };
        let Errand { command, held, items, spelling, findings, then, .. } = *errand;
        self.note_accesses(&items, findings);
        self.note_decision(Decision::permitted(&permit));
        self.observe(&command, &items, permit.observed());
        let at = self.view.as_ref().and_then(|view| view.at.path.clone());
        let spelled = if is_verbatim {
            Some(command.clone())
        } else {
            spell(&command, &items, &spelling, at.as_ref(), self.links)
        };
        let Some(spelled) = spelled else {
            self.forget_transfer(&then);
            return self.answer(command.verb(), super::super::answers::bad_argument(command.verb()));
        };
        let is_hidden = is_verbatim && matches!(command.verb(), Verb::Site | Verb::Acct);
        match then {
            Then::Forward => {
                if is_hidden {
                    // Nobody knows where the server is after that: it is asked before the next command.
                    self.view = None;
                }
                let verb = command.verb();
                self.note_command(&command);
                self.send(spelled, Expecting::Forwarded(verb), now);
            }
            Then::Pair => {
                let verb = command.verb();
                let from = items.first().and_then(|item| item.place.path());
                if let Some(view) = &mut self.view {
                    view.is_stale = match (&view.at.path, from) {
                        (Some(at), Some(from)) => at.is_within(from),
                        (None, _) | (_, None) => view.at.said.is_some(),
                    };
                }
                let pair = match held {
                    Some(held) if is_verbatim => Some((held, command)),
                    Some(held) => spell_pair(&held, &command, &items),
                    None => None,
                };
                match pair {
                    Some((first, second)) => {
                        self.send(first, Expecting::RenameFrom { rename_to: second }, now);
                    }
                    None => self.answer(verb, super::super::answers::bad_argument(verb)),
                }
            }
            Then::Transfer { direction, started } => {
                let is_upload = command.verb() == Verb::Stou && !is_verbatim;
                let unique_in = at.filter(|_| is_upload);
                let judged = Judged { spelled, items, findings, unique_in };
                self.open_judged(command, judged, direction, started, permit, now);
            }
            Then::Enter | Then::LoggedIn { .. } | Then::Again { .. } | Then::Nothing => {}
        }
    }

    /// The name that a server chose for a STOU: now it can be judged.
    pub(in super::super) fn allows_unique_name(
        &self,
        command: &Command,
        directory: &CanonicalPath,
        name: Option<&[u8]>,
        now: Now,
    ) -> Result<(), super::super::judge::Refusal> {
        let place = match name {
            None => Place::Unresolved(None),
            Some(name) => match CanonicalPath::resolve(self.profile(), Some(directory), name) {
                Ok(path) => Place::Path(path),
                Err(error) => Place::Unresolved(Some(error)),
            },
        };
        self.judge_path(command, &[Operation::Upload], place, now)
    }

    /// ABOR for a transfer command that is not sent: what the server was asked is still answered, and then dropped.
    pub(in super::super) fn abandon_errand(&mut self, reply: Reply, now: Now) {
        let Some(errand) = &mut self.errand else { return };
        if let Then::Transfer { direction, started } = errand.then {
            errand.then = Then::Nothing;
            self.restart = None;
            self.announced = None;
            if self.transfer.take_setup() {
                self.actions.push_back(Action::DiscardData);
            }
            self.finish_unopened(direction, started, reply, now);
        }
    }

    /// Policy has become stricter on the way: what was not walked to is.
    pub(in super::super) fn walk_again(&mut self) {
        if let Some(errand) = &mut self.errand {
            errand.walked = 0;
        }
    }

    /// The session ends: nothing is done any more.
    pub(in super::super) fn take_transfer_errand(&mut self) -> Option<(Direction, Duration)> {
        let errand = self.errand.take()?;
        match errand.then {
            Then::Transfer { direction, started } => Some((direction, started)),
            Then::Enter
            | Then::Forward
            | Then::Pair
            | Then::LoggedIn { .. }
            | Then::Again { .. }
            | Then::Nothing => None,
        }
    }

    /// Whether a transfer command waits for a walk or a probe.
    pub(in super::super) fn has_transfer_errand(&self) -> bool {
        self.errand.as_ref().is_some_and(|errand| matches!(errand.then, Then::Transfer { .. }))
    }

    /// Whether a data connection is there for a transfer to use.
    pub(in super::super) fn has_setup(&self) -> bool {
        matches!(self.transfer, Transfer::Setup(_))
    }
}

/// Whether the server is led to where an item is before it is used, so that it is judged by where that is; and so that
/// nothing above it is created unjudged.
fn is_walked_to(item: &Item, links: Links) -> bool {
    if item.is_split && item.place.path().is_some_and(|path| is_read_otherwise(path.as_str())) {
        return true;
    }
    match links {
        Links::Harmless => false,
        Links::Rename => item.is_listed || item.pattern.is_some() || item.makes_parents,
        Links::Mislead => true,
    }
}

/// Whether who splits a path at its blanks, drops backslashes and reads patterns in it means something else by it.
/// Pure-FTPd does so in what it lists; below, what ProFTPD does.
fn is_read_otherwise(path: &str) -> bool {
    path.contains([' ', '\\', '*', '?', '[', '{'])
}

/// Whether a server that takes such a command apart into words puts this path together again. ProFTPD does not where a
/// quote begins a word, and of XCRC and its like it takes the first word.
fn is_one_word(verb: Verb, path: &str) -> bool {
    if verb == Verb::Site {
        return !(path.contains('"') || path.contains("  ") || path.ends_with(' '));
    }
    let is_checksum = [Verb::Xcrc, Verb::Xmd5, Verb::Xsha, Verb::Xsha1, Verb::Xsha256, Verb::Xsha512];
    let words = super::words::without_range(path.as_bytes());
    !is_checksum.contains(&verb) || !words.iter().any(|byte| b"\" ".contains(byte))
}

/// A new name that a server would read otherwise, later or at once.
///
/// Pure-FTPd writes `_` for a blank at its end, and knows nothing of that when it is asked what is there. A LIST with
/// options lists what has their name on ProFTPD, and on vsftpd what has that of the second word.
fn odd_name(verb: Verb, items: &[Item]) -> Option<Reply> {
    let item = items.last()?;
    let name = item.place.path()?.name()?;
    let is_made = [Operation::Mkdir, Operation::Rename, Operation::Upload]
        .iter()
        .any(|made| item.operations.contains(made));
    let is_file = matches!(verb, Verb::Stor | Verb::Appe);
    if is_made && !is_file && name.starts_with('-') {
        return Some(Reply::new(553, "A new name may not begin with a hyphen."));
    }
    let is_written_anew = is_file || matches!(verb, Verb::Mkd | Verb::Rnto);
    (is_written_anew && name.ends_with(' ')).then(|| Reply::new(553, "A new name may not end with a blank."))
}

/// A command with the paths that were judged; `None`: the server would mean something else by them.
fn spell(
    command: &Command,
    items: &[Item],
    spelling: &Spelling,
    at: Option<&CanonicalPath>,
    links: Links,
) -> Option<Command> {
    if items.iter().all(|item| item.place == Place::Nothing) {
        return Some(command.clone());
    }
    // The other readings of a checksum's words are judged, and not said.
    let is_single = spelling.separator.is_empty();
    let count = if is_single { 1 } else { items.len() };
    let mut paths = Vec::new();
    for item in items.iter().take(count) {
        let Place::Path(path) = &item.place else { continue };
        let is_here = is_single && is_walked_to(item, links);
        let path = spell_path(command.verb(), item, path, at.filter(|_| is_here))
            .filter(|path| is_one_word(command.verb(), path))?;
        match (spelling.is_quoted, spelling.separator) {
            (true, _) => paths.push(format!("\"{path}\"")),
            (false, " ") if path.contains(' ') => return None,
            (false, _) => paths.push(path),
        }
    }
    let paths = paths.join(spelling.separator);
    let before = if paths.is_empty() { spelling.before.trim_ascii_end() } else { &spelling.before };
    let argument = [before, paths.as_bytes(), &spelling.after].concat();
    if argument.is_empty() {
        Some(Command::bare(command.verb()))
    } else {
        Command::with(command.verb(), argument)
    }
}

/// One path: absolute, or as a name in the directory where the server is.
fn spell_path(verb: Verb, item: &Item, path: &CanonicalPath, at: Option<&CanonicalPath>) -> Option<String> {
    let is_entered = item.is_listed && !item.is_changed && at == Some(path);
    let (directory, name) = match &item.pattern {
        Some(pattern) => (path.clone(), Some(pattern.as_str())),
        None => (path.parent(), path.name()),
    };
    let is_odd = |text: &str| item.is_split && is_read_otherwise(text);
    let is_name_odd = item.pattern.is_none() && name.is_some_and(is_odd);
    match name {
        // STAT alone would mean the session.
        _ if is_entered && verb != Verb::Stat => Some(String::new()),
        _ if is_entered && is_odd(path.as_str()) => Some(".".to_owned()),
        // vsftpd and Pure-FTPd take a name for a part of the time before it, or the reverse.
        Some(name)
            if !item.is_listed
                && at == Some(&directory)
                && is_plain(name)
                && !is_name_odd
                && verb != Verb::Mdtm =>
        {
            Some(name.to_owned())
        }
        _ if is_name_odd || is_odd(directory.as_str()) => None,
        Some(name) if directory.is_root() => Some(format!("/{name}")),
        Some(name) => Some(format!("{directory}/{name}")),
        None => Some(path.to_string()),
    }
}

/// Some servers read a name that begins so as an option, as somebody's home, or without its blanks.
fn is_plain(name: &str) -> bool {
    !name.starts_with(['~', '-', ' '])
}

fn spell_pair(held: &Command, command: &Command, items: &[Item]) -> Option<(Command, Command)> {
    let [Item { place: Place::Path(from), .. }, Item { place: Place::Path(to), .. }] = items else {
        return None;
    };
    let word = |command: &Command| {
        if command.verb() != Verb::Site {
            return Vec::new();
        }
        let argument = command.argument_or_empty();
        argument[..argument.len() - super::words::split_word(argument).1.len()].to_vec()
    };
    let spelled = |command: &Command, path: &CanonicalPath| {
        let argument = [word(command).as_slice(), path.as_bytes()].concat();
        Command::with(command.verb(), argument).filter(|_| is_one_word(command.verb(), path.as_str()))
    };
    Some((spelled(held, from)?, spelled(command, to)?))
}
