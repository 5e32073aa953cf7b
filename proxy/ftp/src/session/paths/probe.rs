//! What a server says of a file before a command: whether it is there, and whether it is a file.
//!
//! MLST says both (RFC 3659 §7). Servers without it are asked for SIZE under TYPE I, and have their TYPE restored; a
//! doubt is never resolved in the client's favour.

use crate::codec::{Command, Kind, Reply, Verb};

use super::super::authorize::Place;
use super::super::event::{CloseReason, Now};
use super::super::judge::Doubt;
use super::super::{Expecting, Session, answers};
use super::Asked;

/// The TYPE of the session, as the server last accepted it.
#[derive(Debug, Default)]
pub(in super::super) struct Representation {
    accepted: Option<Command>,
    asked: Option<Command>,
}

impl Representation {
    /// A command goes to the server.
    pub(in super::super) fn note_command(&mut self, command: &Command) {
        if command.verb() == Verb::Type {
            self.asked = Some(command.clone());
        }
    }

    /// The server answered it.
    pub(in super::super) fn note_reply(&mut self, reply: &Reply) {
        if let Some(asked) = self.asked.take()
            && reply.kind() == Kind::Completion
        {
            self.accepted = Some(asked);
        }
    }

    pub(in super::super) fn is_image(&self) -> bool {
        self.accepted.as_ref().is_some_and(|command| command.argument_or_empty().eq_ignore_ascii_case(b"I"))
    }

    /// RFC 959 §5.1: ASCII, where nothing was said.
    pub(in super::super) fn restoring(&self) -> Command {
        let ascii = || Command::with(Verb::Type, "A").expect("one clean line");
        self.accepted.clone().unwrap_or_else(ascii)
    }
}

/// What the server is being asked about a file.
#[derive(Debug)]
pub(in super::super) struct Probe {
    doubt: Doubt,
    /// `None`: the server has not told.
    answer: Option<bool>,
}

impl Session {
    /// Asks the server what policy must know.
    pub(super) fn probe(&mut self, doubt: Doubt, now: Now) {
        let Some(errand) = &mut self.errand else { return };
        errand.probe = Some(Probe { doubt, answer: None });
        if self.view.as_ref().is_some_and(|view| view.lacks_mlst) {
            return self.probe_size(now);
        }
        self.send_probe(Verb::Mlst, Asked::Facts, now);
    }

    fn doubt(&self) -> Option<Doubt> {
        Some(self.errand.as_ref()?.probe.as_ref()?.doubt)
    }

    fn send_probe(&mut self, verb: Verb, asked: Asked, now: Now) {
        match self.probed_path(verb) {
            Some(command) => self.send(command, Expecting::Paths(asked), now),
            None => self.settle_probe(now),
        }
    }

    fn probed_path(&self, verb: Verb) -> Option<Command> {
        let errand = self.errand.as_ref()?;
        let item = match self.doubt()? {
            Doubt::Replaces => errand.items.iter().find(|item| item.may_replace),
            Doubt::IsFile => errand.items.first(),
        };
        let item = item?;
        match (&item.place, &item.pattern) {
            // A name that holds what others write in patterns.
            (Place::Path(path), Some(pattern)) => {
                let directory = if path.is_root() { "" } else { path.as_str() };
                Command::with(verb, format!("{directory}/{pattern}"))
            }
            (Place::Path(path), None) => Command::with(verb, path.as_bytes()),
            (Place::Nothing | Place::Unresolved(_) | Place::Here(_), _) => None,
        }
    }

    pub(super) fn handle_facts(&mut self, reply: &Reply, now: Now) {
        let Some(doubt) = self.doubt() else { return };
        let kind = file_type(reply);
        match (doubt, reply.code().value(), kind) {
            (Doubt::Replaces, 250, _) => self.resolve_doubt(true, now),
            (Doubt::IsFile, 250, Some(is_file)) => self.resolve_doubt(is_file, now),
            (Doubt::Replaces, 550, _) if self.tells_absence(reply) => self.resolve_doubt(false, now),
            (Doubt::IsFile, 550, _) if self.is_resumed() => {
                if self.tells_absence(reply) {
                    self.resolve_doubt(true, now);
                } else {
                    self.probe_size(now);
                }
            }
            (Doubt::IsFile, 550, _) => self.answer_doubt(reply, now),
            (_, code, _) => {
                if let Some(view) = &mut self.view
                    && matches!(code, 500 | 502 | 202)
                {
                    view.lacks_mlst = true;
                }
                self.probe_size(now);
            }
        }
    }

    /// Whether a 550 says that there is no such file, and not that nobody may ask.
    fn tells_absence(&self, reply: &Reply) -> bool {
        let items = self.errand.as_ref().map(|errand| errand.items.as_slice()).unwrap_or_default();
        let names = items.iter().filter_map(|item| item.place.path()).flat_map(|path| {
            let name = path.name().unwrap_or_default();
            [path.as_str().to_lowercase(), name.to_lowercase()]
        });
        let said = String::from_utf8_lossy(reply.last_text()).to_lowercase();
        let said = names.filter(|name| !name.is_empty()).fold(said, |said, name| said.replace(&name, ""));
        !FORBIDDEN.iter().any(|word| said.contains(word))
    }

    /// Whether a file is written from an offset: one that is not there is no directory, either.
    fn is_resumed(&self) -> bool {
        let first = self.errand.as_ref().and_then(|errand| errand.items.first());
        first.is_some_and(|item| item.is_resumed)
    }

    fn probe_size(&mut self, now: Now) {
        if self.representation.is_image() {
            return self.send_size(now);
        }
        let image = Command::with(Verb::Type, "I").expect("one clean line");
        self.send(image, Expecting::Paths(Asked::Image), now);
    }

    fn send_size(&mut self, now: Now) {
        self.send_probe(Verb::Size, Asked::Size, now);
    }

    pub(super) fn handle_image(&mut self, reply: &Reply, now: Now) {
        if reply.kind() == Kind::Completion {
            self.send_size(now);
        } else {
            self.settle_probe(now);
        }
    }

    pub(super) fn handle_size(&mut self, reply: &Reply, now: Now) {
        let answer = match reply.code().value() {
            213 => Some(true),
            550 if self.tells_absence(reply) => Some(false),
            _ => None,
        };
        if let Some(probe) = self.errand.as_mut().and_then(|errand| errand.probe.as_mut()) {
            probe.answer = answer;
        }
        if self.representation.is_image() {
            return self.settle_probe(now);
        }
        let restoring = self.representation.restoring();
        self.send(restoring, Expecting::Paths(Asked::Type), now);
    }

    pub(super) fn handle_type_restored(&mut self, reply: &Reply, now: Now) {
        if reply.kind() == Kind::Completion {
            return self.settle_probe(now);
        }
        self.lose_type(now);
    }

    /// The server did not take the client's TYPE again: what the client gets next would be in another form than it
    /// believes.
    pub(in super::super) fn lose_type(&mut self, now: Now) {
        self.fail_transfer(now);
        let reply = answers::closing("The server keeps a TYPE that the client did not ask for");
        self.close(CloseReason::NotResynchronised, Some(reply));
    }

    fn settle_probe(&mut self, now: Now) {
        let Some(errand) = &mut self.errand else { return };
        let Some(Probe { doubt, answer }) = errand.probe.take() else { return };
        match doubt {
            Doubt::Replaces => {
                errand.findings.replaces = answer;
                errand.is_unanswered = answer.is_none();
            }
            // Who cannot say that it is a file may have a directory.
            Doubt::IsFile => errand.findings.is_file = Some(answer.unwrap_or(false)),
        }
        self.proceed(now);
    }

    fn resolve_doubt(&mut self, is_so: bool, now: Now) {
        if let Some(probe) = self.errand.as_mut().and_then(|errand| errand.probe.as_mut()) {
            probe.answer = Some(is_so);
        }
        self.settle_probe(now);
    }

    /// There is nothing by that name: the server's own word for it.
    fn answer_doubt(&mut self, reply: &Reply, now: Now) {
        self.answer_errand(Reply::new(550, reply.last_text()), now);
    }
}

/// How servers say that a command is not for this user: vsftpd's `cmds_allowed`, ProFTPD's `<Limit>`, pyftpdlib's
/// permissions.
const FORBIDDEN: [&str; 8] =
    ["permission", "permitted", "denied", "privilege", "allowed", "access", "forbidden", "authori"];

/// Whether the facts in a reply to MLST are those of a file; `None`: they do not say.
fn file_type(reply: &Reply) -> Option<bool> {
    let count = reply.lines().count();
    let line = reply.lines().skip(1).take(count.saturating_sub(2)).next()?;
    let line = line.strip_prefix(b" ").unwrap_or(line);
    let facts = line.split(|&byte| byte == b' ').next()?;
    let kind = facts.split(|&byte| byte == b';').find_map(|fact| {
        let (name, value) = fact.split_at_checked(5)?;
        name.eq_ignore_ascii_case(b"type=").then_some(value)
    })?;
    Some(kind.eq_ignore_ascii_case(b"file"))
}
