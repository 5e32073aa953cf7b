//! A server that is only imagined: it lets everybody in, does what it is asked, and is where it says that it is.
//!
//! What it would have to know is part of the question: whether a file is there, and whether it is a directory. What it
//! was asked of that is remembered, for then the answer rests on it.

use ftpsgate_ftp::codec::{Command, Reply, Verb};
use ftpsgate_policies::{CanonicalPath, PathProfile};

/// The server.
#[derive(Debug)]
pub(super) struct ImaginedServer {
    /// Whatever the client's words made of it.
    directory: Vec<u8>,
    /// The file that is written is there already.
    exists: bool,
    /// What is renamed or copied is a directory.
    is_directory: bool,
    /// What the client has said last.
    command: Option<Command>,
    asked: Asked,
}

/// What the gateway wanted to know of the server, on behalf of one command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Whether the file is there.
    pub(super) exists: bool,
    /// Whether it is a file.
    pub(super) is_file: bool,
    /// Where a directory really is.
    pub(super) directory: bool,
    /// To choose a name.
    pub(super) name: bool,
}

impl ImaginedServer {
    pub(super) fn new(directory: CanonicalPath, exists: bool, is_directory: bool) -> Self {
        Self {
            directory: directory.as_bytes().to_vec(),
            exists,
            is_directory,
            command: None,
            asked: Asked::default(),
        }
    }

    /// The client says this next.
    pub(super) fn expect(&mut self, command: &Command) {
        self.command = Some(command.clone());
        self.asked = Asked::default();
    }

    /// What it was asked since.
    pub(super) fn asked(&self) -> Asked {
        self.asked
    }

    /// Where its session is, if that can be told.
    pub(super) fn directory(&self) -> Option<CanonicalPath> {
        CanonicalPath::resolve(PathProfile::Unix, None, &self.directory).ok()
    }

    /// Its first reply to a command.
    pub(super) fn answer(&mut self, command: &Command) -> Reply {
        let is_own = |verb| self.command.as_ref().is_none_or(|command| command.verb() != verb);
        match command.verb() {
            Verb::Cwd => {
                self.asked.directory = true;
                self.directory = moved(&self.directory, command.argument_or_empty());
                answer(250)
            }
            Verb::Cdup => {
                self.directory = moved(&self.directory, b"..");
                answer(250)
            }
            Verb::Pwd => {
                let mut text = vec![b'"'];
                for &byte in &self.directory {
                    text.push(byte);
                    text.extend((byte == b'"').then_some(b'"'));
                }
                text.extend_from_slice(b"\" ");
                text.extend_from_slice(SERVERS_ANSWER.as_bytes());
                Reply::new(257, text)
            }
            Verb::Mlst if is_own(Verb::Mlst) => self.tell_facts(command),
            Verb::Retr | Verb::List | Verb::Nlst | Verb::Mlsd | Verb::Stor | Verb::Appe => answer(150),
            Verb::Stou => {
                self.asked.name = true;
                Reply::new(150, format!("FILE: {UNIQUE_NAME}"))
            }
            Verb::User => answer(331),
            Verb::Pass => answer(230),
            Verb::Rest | Verb::Rnfr => answer(350),
            Verb::Site if command.subcommand().as_deref() == Some("CPFR") => answer(350),
            Verb::Epsv => Reply::new(229, "(|||61000|)"),
            Verb::Mkd => answer(257),
            Verb::Size | Verb::Mdtm => answer(213),
            Verb::Quit => answer(221),
            Verb::Feat => features(),
            Verb::Syst => answer(215),
            Verb::Help => answer(214),
            Verb::Rnto | Verb::Dele | Verb::Rmd | Verb::Rmda | Verb::Mlst => answer(250),
            Verb::Acct
            | Verb::Allo
            | Verb::Abor
            | Verb::Auth
            | Verb::Pbsz
            | Verb::Prot
            | Verb::Ccc
            | Verb::Adat
            | Verb::Mic
            | Verb::Conf
            | Verb::Enc
            | Verb::Sscn
            | Verb::Cpsv
            | Verb::Host
            | Verb::Rein
            | Verb::Type
            | Verb::Mode
            | Verb::Stru
            | Verb::Opts
            | Verb::Lang
            | Verb::Clnt
            | Verb::Csid
            | Verb::Pasv
            | Verb::Lpsv
            | Verb::Port
            | Verb::Eprt
            | Verb::Lprt
            | Verb::Rang
            | Verb::Smnt
            | Verb::Stat
            | Verb::Noop
            | Verb::Site
            | Verb::Mfmt
            | Verb::Mfct
            | Verb::Mff
            | Verb::Hash
            | Verb::Md5
            | Verb::Mmd5
            | Verb::Xcrc
            | Verb::Xmd5
            | Verb::Xsha
            | Verb::Xsha1
            | Verb::Xsha256
            | Verb::Xsha512
            | Verb::Avbl
            | Verb::Dsiz
            | Verb::Thmb
            | Verb::Comb => answer(200),
        }
    }

    /// MLST on the gateway's own behalf: before a file is written, or before something is renamed or copied.
    fn tell_facts(&mut self, probe: &Command) -> Reply {
        let fact = |kind| Reply::multiline(250, SERVERS_ANSWER, [format!(" type={kind}; x")], "End");
        if self.is_written(probe.argument_or_empty()) {
            self.asked.exists = true;
            return if self.exists { fact("file") } else { answer(550) };
        }
        self.asked.is_file = true;
        fact(if self.is_directory { "dir" } else { "file" })
    }

    /// Whether the client's command would write this path; of a pair it is the second one's.
    fn is_written(&self, path: &[u8]) -> bool {
        let Some(command) = &self.command else { return false };
        match (command.verb(), command.subcommand().as_deref()) {
            (Verb::Stor, _) => true,
            (Verb::Rnto, _) => self.is_called(command.argument_or_empty(), path),
            (Verb::Site, Some("CPTO")) => {
                let words = command.argument_or_empty();
                let target = words.iter().position(|&byte| byte == b' ').map(|space| &words[space + 1..]);
                target.is_some_and(|target| self.is_called(target, path))
            }
            (_other, _) => false,
        }
    }

    /// Whether words mean this path.
    fn is_called(&self, words: &[u8], path: &[u8]) -> bool {
        let target = CanonicalPath::resolve(PathProfile::Unix, self.directory().as_ref(), words);
        target.is_ok_and(|target| target.as_bytes() == path)
    }
}

/// Where words lead from a directory.
fn moved(directory: &[u8], words: &[u8]) -> Vec<u8> {
    let from = if words.starts_with(b"/") { b"" } else { directory };
    let mut names: Vec<&[u8]> = Vec::new();
    for name in from.split(|&byte| byte == b'/').chain(words.split(|&byte| byte == b'/')) {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    [b"/", names.join(&b'/').as_slice()].concat()
}

/// What it says to FEAT.
pub(super) fn features() -> Reply {
    Reply::multiline(211, "Features:", [" UTF8", " SIZE", " MDTM", " MLST type*;", " REST STREAM"], "End")
}

/// Whether a reply that the client got was the server's.
pub(super) fn is_servers(reply: &Reply) -> bool {
    let marker = SERVERS_ANSWER.as_bytes();
    reply.lines().any(|line| line.windows(marker.len()).any(|part| part == marker))
}

fn answer(code: u16) -> Reply {
    Reply::new(code, SERVERS_ANSWER)
}

/// How its replies are told from the gateway's.
const SERVERS_ANSWER: &str = "the server's own answer";
/// What it calls a file whose name is its choice.
pub(super) const UNIQUE_NAME: &str = "unique.1";
