//! The client: what it says, and which answers it may expect, in which order.

use std::collections::VecDeque;

use ftpsgate_ftp::codec::{Command, CommandError, Kind, Reply, Verb};
use ftpsgate_ftp::session::Direction;

/// The commands; `%` is a word that the backend's answer repeats.
const COMMANDS: [&str; 60] = [
    "AUTH TLS",
    "AUTH SSL",
    "AUTH X",
    "PBSZ 0",
    "PROT P",
    "PROT C",
    "HOST ftp.example.com",
    "USER anna",
    "USER anna",
    // Of another backend, and servers that may be asked for or not.
    "USER berta",
    "USER carla@ftp.example.org",
    "USER carla@ftp.example.com",
    "PASS canary",
    "PASS canary",
    "ACCT canary",
    "FEAT",
    "OPTS UTF8 ON",
    "OPTS MLST type;",
    "SYST",
    "HELP",
    "NOOP",
    "NOOP",
    "STAT",
    "STAT a",
    "DELE %",
    "DELE %",
    "DELE %",
    "CWD %",
    "MKD %",
    "TYPE I",
    "MODE Z",
    "EPSV",
    "EPSV",
    "PASV",
    "EPSV ALL",
    "PORT 192,0,2,7,200,1",
    "PORT 192,0,2,7,200,1",
    "EPRT |1|192.0.2.7|51201|",
    "EPRT |2|::ffff:192.0.2.7|51201|",
    "PORT 198,51,100,3,200,1",
    "PORT 192,0,2,7,0,22",
    "EPRT |2|2001:db8::7|51201|",
    "RETR a",
    "RETR a",
    "STOR a",
    "STOR a",
    "LIST",
    "STOU",
    "REST 7",
    "REST 0",
    "RNFR a",
    "RNTO b",
    "ABOR",
    "ABOR",
    "QUIT",
    "REIN",
    "FROB",
    "RETR",
    "ALLO 9",
    "SITE x",
];

/// Which of them this is.
pub(super) fn choice(command: &str) -> usize {
    COMMANDS.iter().position(|&known| known == command).expect("one of the commands")
}

/// The commands that have no final reply yet.
#[derive(Debug, Default)]
pub(super) struct Expected {
    lines: VecDeque<Line>,
    said: usize,
}

#[derive(Debug)]
struct Line {
    /// `None`: a line that is no command.
    verb: Option<Verb>,
    word: Option<String>,
    /// A transfer whose 1yz has come.
    has_begun: bool,
}

impl Expected {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether the client waits for the beginning of a transfer.
    pub(super) fn awaits_transfer(&self) -> bool {
        self.front_transfer().is_some_and(|line| !line.has_begun)
    }

    /// Whether the client was told that its transfer begins.
    pub(super) fn has_begun(&self) -> bool {
        self.front_transfer().is_some_and(|line| line.has_begun)
    }

    fn front_transfer(&self) -> Option<&Line> {
        self.lines.front().filter(|line| line.verb.and_then(direction).is_some())
    }

    /// One of the commands.
    pub(super) fn say(&mut self, choice: usize) -> Result<Command, CommandError> {
        self.said += 1;
        let template = COMMANDS[choice % COMMANDS.len()];
        let word = format!("w{}w", self.said);
        let command = Command::parse(template.replace('%', &word).as_bytes());
        let verb = command.as_ref().ok().map(Command::verb);
        let word = template.contains('%').then_some(word);
        self.lines.push_back(Line { verb, word, has_begun: false });
        command
    }

    /// A line that is no command, and is answered in its turn.
    pub(super) fn say_nothing(&mut self) {
        self.lines.push_back(Line { verb: None, word: None, has_begun: false });
    }

    /// Takes a reply for the command that it answers. Its direction, if that is a transfer and over.
    pub(super) fn hear(&mut self, reply: &Reply, is_honest: bool) -> Option<Direction> {
        let front = self.lines.front_mut().unwrap_or_else(|| panic!("nobody asked for {reply:?}"));
        let transfer = front.verb.and_then(direction);
        if reply.kind() == Kind::Preliminary {
            assert!(transfer.is_some(), "{reply:?} is no answer to {front:?}");
            assert!(!front.has_begun, "a transfer begins twice");
            front.has_begun = true;
            return None;
        }
        if reply.text() == b"Transfer in progress." {
            assert!(front.has_begun, "{reply:?}, but {front:?} has not begun");
            let line = self.lines.remove(1).expect("the command that was answered at once");
            assert!(matches!(line.verb, Some(Verb::Noop | Verb::Stat)), "{line:?}");
            return None;
        }
        let front = self.lines.pop_front()?;
        let is_passed_on = matches!(reply.code().value(), 250 | 550) && is_honest;
        if let Some(word) = front.word.as_ref().filter(|_| is_passed_on) {
            assert!(reply.text().ends_with(word.as_bytes()), "{reply:?} is not the answer to {front:?}");
        }
        transfer
    }
}

/// Of the transfer commands.
pub(super) fn direction(verb: Verb) -> Option<Direction> {
    if matches!(verb, Verb::Retr | Verb::List | Verb::Nlst | Verb::Mlsd) {
        Some(Direction::Download)
    } else {
        matches!(verb, Verb::Stor | Verb::Stou | Verb::Appe).then_some(Direction::Upload)
    }
}
