//! The backend: it answers what it is asked in order, in the ways in which servers do; or it lies. What it hears of a
//! login, and when, is checked here.

use std::collections::VecDeque;

use ftpsgate_ftp::codec::{Command, Kind, Protection, Reply, ReplyError, Verb};
use ftpsgate_ftp::session::{Destination, Direction, Now, Session, UpstreamTls};

use super::Servers;
use super::client::direction;
use super::driver::Driver;

/// Its servers, of which one is spoken to.
#[derive(Debug)]
pub(super) struct Backend {
    tls: UpstreamTls,
    protection: Protection,
    /// PROT comes after the login.
    wants_login: bool,
    /// It says truly where it is.
    has_paths: bool,
    present: Connection,
    /// The one before, while a second one is tried.
    old: Option<Connection>,
    has_lied: bool,
    /// An ABOR is among what was asked, or was.
    is_aborting: bool,
    /// The latest transfer had a 2yz.
    has_confirmed: bool,
}

/// One control connection.
#[derive(Debug, Default)]
struct Connection {
    is_connected: bool,
    /// What it was asked and has not answered.
    asked: VecDeque<Question>,
    is_secured: bool,
    has_heard_user: bool,
    is_logged_in: bool,
    is_private: bool,
    /// Where paths count.
    directory: Vec<u8>,
}

#[derive(Debug)]
enum Question {
    Greeting,
    Command(Command),
    /// A transfer command whose 150 was said.
    Begun(Direction),
}

const LIES: [(u16, &str); 28] = [
    (100, "hm"),
    (120, "later"),
    (125, "begin"),
    (150, "begin"),
    (200, "ok"),
    (220, "hello"),
    (225, "nothing"),
    (226, "done"),
    (227, "(10,9,8,7,0,21)"),
    (227, "(10,9,8,7,8,0)"),
    (229, "(|||22|)"),
    (229, "(|||2000|)"),
    (234, "begin"),
    (257, "\"/x\""),
    (503, "log in"),
    (534, "no"),
    (230, "welcome"),
    (250, "done"),
    (331, "password"),
    (332, "account"),
    (350, "more"),
    (421, "bye"),
    (426, "aborted"),
    (450, "busy"),
    (500, "what"),
    (502, "no"),
    (530, "who"),
    (550, "no"),
];

impl Backend {
    pub(super) fn new(servers: &Servers) -> Self {
        Self {
            tls: servers.tls,
            protection: servers.protection,
            wants_login: servers.wants_login,
            has_paths: servers.has_paths,
            present: Connection::default(),
            old: None,
            has_lied: false,
            is_aborting: false,
            has_confirmed: false,
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        !self.present.asked.is_empty()
    }

    pub(super) fn has_heard_user(&self) -> bool {
        self.present.has_heard_user
    }

    pub(super) fn is_honest(&self) -> bool {
        !self.has_lied
    }

    pub(super) fn has_confirmed(&self) -> bool {
        self.has_confirmed
    }

    pub(super) fn disconnect(&mut self) {
        self.present = Connection::default();
    }

    pub(super) fn connect(&mut self) {
        self.present = Connection {
            is_connected: true,
            asked: VecDeque::from([Question::Greeting]),
            is_secured: self.tls == UpstreamTls::Implicit,
            ..Connection::default()
        };
    }

    pub(super) fn connect_beside(&mut self) {
        let old = std::mem::take(&mut self.present);
        assert!(old.is_logged_in || self.has_lied, "{old:?} is left");
        assert!(self.old.replace(old).is_none(), "three connections");
        self.connect();
    }

    pub(super) fn settle(&mut self, keeps_new: bool) {
        if let Some(old) = self.old.take() {
            let dropped = if keeps_new { old } else { std::mem::replace(&mut self.present, old) };
            assert!(!keeps_new || self.present.is_logged_in || self.has_lied, "{dropped:?} is dropped");
        } else {
            assert!(!keeps_new, "there is no new connection");
        }
    }

    pub(super) fn secure(&mut self) {
        self.present.is_secured = true;
    }

    /// One at a time. A liar's session may believe that all is answered.
    pub(super) fn take(&mut self, command: Command, destination: &Destination) {
        assert!(self.present.is_connected, "a command for nobody: {command:?}");
        if self.has_lied {
            self.present.asked.clear();
        }
        let asked = &self.present.asked;
        assert!(asked.is_empty(), "{command:?} while {asked:?} is not answered");
        self.hear(&command, destination);
        self.is_aborting = false;
        if direction(command.verb()).is_some() {
            self.has_confirmed = false;
        }
        self.present.asked.push_back(Question::Command(command));
    }

    /// What must have come before.
    fn hear(&mut self, command: &Command, destination: &Destination) {
        let present = &mut self.present;
        let is_secured = self.tls == UpstreamTls::Off || present.is_secured;
        match command.verb() {
            Verb::Auth => assert!(self.tls == UpstreamTls::Explicit && !present.is_secured, "{command:?}"),
            // The gateway may end the session at any time.
            Verb::Quit => {}
            verb => {
                assert!(is_secured, "{command:?} without TLS");
                if verb == Verb::User {
                    assert_eq!(command.argument(), Some(user_of(destination)));
                    present.has_heard_user = true;
                }
                if matches!(verb, Verb::Epsv | Verb::Pasv | Verb::Eprt | Verb::Port)
                    && self.protection == Protection::Private
                {
                    assert!(present.is_private || self.has_lied, "{command:?} without PROT P");
                }
            }
        }
    }

    /// ABOR while a transfer runs, and one NOOP behind it.
    pub(super) fn take_out_of_turn(&mut self, command: Command) {
        match command.verb() {
            Verb::Abor => self.is_aborting = true,
            Verb::Noop => assert!(self.is_aborting, "a marker without an abort"),
            _ => panic!("out of turn: {command:?}"),
        }
        self.present.asked.push_back(Question::Command(command));
    }

    /// What a server might say now; nothing, if it is not asked or waits for data.
    pub(super) fn answer(&mut self, choice: usize, driver: &Driver) -> Option<Reply> {
        let is_aborted =
            self.present.asked.iter().any(
                |question| matches!(question, Question::Command(command) if command.verb() == Verb::Abor),
            );
        let pick = |replies: &[(u16, &str)]| {
            let (code, text) = replies[choice % replies.len()];
            Some(Reply::new(code, text))
        };
        let reply = match self.present.asked.pop_front()? {
            Question::Greeting => pick(&[(220, "hello"), (220, "hi")]),
            // The transfer's own end, or one reply for the transfer and its ABOR.
            Question::Begun(_) if is_aborted => {
                let skips = choice % 7 >= 4;
                if skips {
                    self.present.asked.pop_front();
                }
                pick(&[
                    (426, "cut"),
                    (226, "done"),
                    (451, "cut"),
                    (426, "cut"),
                    (225, "ok"),
                    (226, "ok"),
                    (426, "cut"),
                ])
            }
            Question::Begun(Direction::Download) => pick(&[(226, "done"), (250, "done"), (451, "disk")]),
            Question::Begun(Direction::Upload) if driver.has_failed_tls() => {
                pick(&[(522, "reuse"), (226, "done"), (425, "tls")])
            }
            Question::Begun(Direction::Upload) if driver.has_broken() => pick(&[(451, "disk"), (426, "cut")]),
            Question::Begun(Direction::Upload) if driver.upload_has_ended() => {
                pick(&[(226, "done"), (250, "done"), (452, "full")])
            }
            Question::Begun(Direction::Upload) if choice % 5 == 1 => pick(&[(452, "full")]),
            question @ Question::Begun(Direction::Upload) => {
                self.present.asked.push_front(question);
                None
            }
            Question::Command(command) => self.answer_command(&command, choice, is_aborted),
        }?;
        self.has_confirmed |= confirms(&reply, driver);
        Some(reply)
    }

    fn answer_command(&mut self, command: &Command, choice: usize, is_aborted: bool) -> Option<Reply> {
        let pick = |replies: &[(u16, &str)]| {
            let (code, text) = replies[choice % replies.len()];
            Some(Reply::new(code, text))
        };
        if let Some(direction) = direction(command.verb()) {
            let refuses = choice % 4 == 3;
            if !refuses {
                self.present.asked.push_front(Question::Begun(direction));
            }
            return if refuses {
                pick(&[(550, "no"), (450, "no")])
            } else {
                pick(&[(150, "begin"), (125, "go")])
            };
        }
        let reply = match command.verb() {
            Verb::User => {
                pick(&[(331, "password"), (331, "password"), (331, "password"), (230, "hi"), (530, "no")])
            }
            Verb::Pass => pick(&[(230, "hi"), (230, "hi"), (230, "hi"), (332, "account"), (530, "no")]),
            Verb::Acct => pick(&[(230, "hi"), (530, "no")]),
            Verb::Pwd if self.has_paths => {
                let directory = &self.present.directory;
                let directory = if directory.is_empty() { b"/x".as_slice() } else { directory };
                Some(Reply::new(257, [b"\"", directory, b"\""].concat()))
            }
            Verb::Cwd if self.has_paths => {
                self.present.directory = command.argument_or_empty().to_vec();
                Some(Reply::new(250, [b"x ", command.argument_or_empty()].concat()))
            }
            Verb::Type if self.has_paths => pick(&[(200, "ok")]),
            Verb::Mlst if self.has_paths => {
                pick(&[(550, "none"), (250, "x"), (500, "what"), (550, "none"), (450, "busy")])
            }
            Verb::Size if self.has_paths => pick(&[(550, "none"), (213, "1"), (450, "busy")]),
            Verb::Auth => pick(&[(234, "begin")]),
            Verb::Pbsz => pick(&[(200, "ok"), (200, "ok"), (500, "what")]),
            Verb::Prot => {
                if self.wants_login && !self.present.is_logged_in {
                    pick(&[(503, "log in"), (530, "who")])
                } else {
                    self.present.is_private = true;
                    pick(&[(200, "ok")])
                }
            }
            Verb::Pwd => {
                pick(&[(257, "\"/x\""), (257, "\"/x\""), (257, "\"/\"\"\""), (257, "x"), (550, "no")])
            }
            Verb::Epsv => {
                pick(&[(229, "(|||2000|)"), (229, "(|||2000|)"), (500, "what"), (229, "x"), (425, "no")])
            }
            Verb::Pasv => pick(&[(227, "(10,9,8,7,8,0)"), (227, "(10,9,8,7,8,0)"), (425, "no")]),
            Verb::Port => {
                pick(&[(200, "ok"), (200, "ok"), (200, "ok"), (500, "what"), (502, "no"), (425, "no")])
            }
            Verb::Eprt => pick(&[(200, "ok"), (200, "ok"), (522, "no")]),
            Verb::Rest if command.argument() == Some(b"0") => pick(&[(350, "ok")]),
            Verb::Rest => pick(&[(350, "ok"), (350, "ok"), (502, "no")]),
            Verb::Rnfr => pick(&[(350, "ok"), (550, "no")]),
            Verb::Abor if is_aborted => pick(&[(226, "ok"), (225, "ok"), (500, "what")]),
            Verb::Noop => pick(&[(200, "ok")]),
            _ => {
                let mut text = b"x ".to_vec();
                text.extend_from_slice(command.argument_or_empty());
                Some(Reply::new(if choice.is_multiple_of(3) { 250 } else { 550 }, text))
            }
        };
        self.present.is_logged_in |= reply.as_ref().is_some_and(|reply| reply.code().value() == 230);
        reply
    }

    /// Anything.
    pub(super) fn lie(&mut self, choice: usize, driver: &Driver) -> Option<Reply> {
        if !self.present.is_connected {
            return None;
        }
        self.has_lied = true;
        let (code, text) = LIES[choice % LIES.len()];
        let reply = Reply::new(code, text);
        if reply.kind() != Kind::Preliminary {
            self.present.asked.pop_front();
        }
        self.has_confirmed |= confirms(&reply, driver);
        Some(reply)
    }

    pub(super) fn fail(&mut self, how: usize, session: &mut Session, now: Now) {
        if self.present.is_connected {
            self.has_lied = true;
            match how % 3 {
                0 => session.handle_upstream_closed(now),
                1 => session.handle_reply_error(ReplyError::NoCode, now),
                _ => session.handle_desynchronised(now),
            }
        }
    }
}

/// Who of the clients' users is to be where, and how that server knows the user.
pub(super) fn user_of(destination: &Destination) -> &'static [u8] {
    match (destination.backend, &destination.server) {
        (0, None) => b"anna",
        (0, Some(_)) => b"carla",
        _ => b"pool",
    }
}

/// Whether a reply can confirm a transfer: an upload's not before its end.
fn confirms(reply: &Reply, driver: &Driver) -> bool {
    reply.kind() == Kind::Completion && (!driver.is_uploading() || driver.upload_has_ended())
}
