//! One command: a verb of the table and its argument.
//!
//! What a client wrote is parsed once and written anew for the backend; its own bytes never get there.

use std::fmt;

use zeroize::Zeroizing;

use super::parameter;
use super::verb::{Arity, Verb};

/// A command whose verb is known and whose argument fits the verb's arity.
///
/// The argument has no CR, LF or NUL. It is wiped when dropped, and `Debug` hides it where the verb's is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    verb: Verb,
    argument: Option<Zeroizing<Vec<u8>>>,
}

/// Why a line is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Nothing, or white space, where the verb should be.
    #[error("no verb")]
    NoVerb,
    /// Not in the table, or not made of letters and digits.
    #[error("unknown verb")]
    UnknownVerb,
    /// The line belongs to HTTP, SMTP or SSH (ALPACA): not to be answered.
    #[error("another protocol")]
    ForeignProtocol,
    /// The line is a header of the PROXY protocol, version 1, from somebody who may send none: not to be answered.
    #[error("PROXY header")]
    ProxyHeader,
    /// The verb needs an argument.
    #[error("missing argument")]
    MissingArgument(Verb),
    /// The verb takes none.
    #[error("unexpected argument")]
    UnexpectedArgument(Verb),
}

impl CommandError {
    /// The verb, where that is known.
    pub fn verb(self) -> Option<Verb> {
        match self {
            Self::NoVerb | Self::UnknownVerb | Self::ForeignProtocol | Self::ProxyHeader => None,
            Self::MissingArgument(verb) | Self::UnexpectedArgument(verb) => Some(verb),
        }
    }
}

impl Command {
    /// Parses a line without its CRLF, and without any CR, LF or NUL.
    ///
    /// One space separates verb and argument; the argument is kept to the byte, blanks at both ends included.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        if line.iter().any(|byte| is_line_breaking(*byte)) {
            return Err(CommandError::UnknownVerb);
        }
        let (name, rest) = match line.iter().position(|&byte| byte == b' ') {
            Some(space) => (&line[..space], Some(&line[space + 1..])),
            None => (line, None),
        };
        if name.is_empty() {
            return Err(CommandError::NoVerb);
        }
        if is_foreign(name) {
            return Err(CommandError::ForeignProtocol);
        }
        if name == b"PROXY" && rest.is_some_and(is_proxied_family) {
            return Err(CommandError::ProxyHeader);
        }
        let verb = Verb::find(name).ok_or(CommandError::UnknownVerb)?;
        let is_blank = rest.is_none_or(|rest| rest.iter().all(|&byte| byte == b' '));
        let argument = match verb.arity() {
            Arity::None if is_blank => None,
            Arity::None => return Err(CommandError::UnexpectedArgument(verb)),
            // A blank file name is a name; an empty one is none.
            Arity::Optional | Arity::Required => rest.filter(|rest| !rest.is_empty()),
        };
        if verb.arity() == Arity::Required && argument.is_none() {
            return Err(CommandError::MissingArgument(verb));
        }
        Ok(Self { verb, argument: argument.map(|bytes| Zeroizing::new(bytes.to_vec())) })
    }

    /// A command of the gateway's own, without argument.
    pub fn bare(verb: Verb) -> Self {
        Self { verb, argument: None }
    }

    /// A command of the gateway's own. `None` where the argument could not be sent in one line: it is empty or has
    /// a CR, LF or NUL.
    pub fn with(verb: Verb, argument: impl AsRef<[u8]>) -> Option<Self> {
        let bytes = argument.as_ref();
        let is_clean = !bytes.is_empty() && !bytes.iter().any(|byte| is_line_breaking(*byte));
        is_clean.then(|| Self { verb, argument: Some(Zeroizing::new(bytes.to_vec())) })
    }

    /// The verb.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// The argument, if there is one; never empty.
    pub fn argument(&self) -> Option<&[u8]> {
        self.argument.as_ref().map(|bytes| bytes.as_slice())
    }

    /// The argument, or nothing.
    pub fn argument_or_empty(&self) -> &[u8] {
        self.argument().unwrap_or_default()
    }

    /// The sub-command of SITE and OPTS.
    pub fn subcommand(&self) -> Option<String> {
        parameter::subcommand(self.argument()?)
    }

    /// Whether the argument is never to be logged or kept. A SITE whose sub-command cannot be told may be one that sets a
    /// password: a server may overlook the second blank, or the tab, that hides the word from us.
    pub fn is_secret(&self) -> bool {
        let may_set_password = || self.subcommand().is_none_or(|word| names_secret(&word));
        self.verb.is_secret() || (self.verb == Verb::Site && may_set_password())
    }

    /// Bytes that this command counts for in a queue.
    pub fn size(&self) -> usize {
        self.verb.name().len() + 3 + self.argument_or_empty().len()
    }

    /// The canonical line, with CRLF, and 255 doubled as Telnet wants it.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut line = Zeroizing::new(Vec::with_capacity(self.size()));
        line.extend_from_slice(self.verb.name().as_bytes());
        if self.verb == Verb::Pass && self.argument.is_none() {
            // An empty password: some servers take a PASS without its blank for a syntax error.
            line.push(b' ');
        }
        if let Some(argument) = self.argument() {
            line.push(b' ');
            for &byte in argument {
                line.push(byte);
                if byte == 255 {
                    line.push(255);
                }
            }
        }
        line.extend_from_slice(b"\r\n");
        line
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.verb.name())?;
        match self.argument() {
            None => Ok(()),
            Some(_) if self.is_secret() => formatter.write_str(" ***"),
            Some(argument) => write!(formatter, " {}", argument.escape_ascii()),
        }
    }
}

/// Whether a sub-command of SITE takes a password. There is no standard for them: PSWD, PASSWD, CHPASS, CPWD, SETPW and
/// GPASS are some that servers have, and those that make or change a user may be given its password at once.
fn names_secret(subcommand: &str) -> bool {
    const PARTS: [&str; 7] = ["PASS", "PSW", "PW", "SECRET", "LOGIN", "AUTH", "USER"];
    PARTS.iter().any(|part| subcommand.contains(part))
}

/// What would make two lines of one, somewhere.
fn is_line_breaking(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// Request methods and greetings that begin a line of HTTP, SMTP or SSH and are not FTP verbs.
fn is_foreign(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 12] = [
        b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"EHLO",
        b"HELO", b"LHLO",
    ];
    WORDS.iter().any(|foreign| word.eq_ignore_ascii_case(foreign)) || word.starts_with(b"SSH-")
}

/// Whether this follows PROXY in a header of version 1.
fn is_proxied_family(rest: &[u8]) -> bool {
    let word = rest.split(|&byte| byte == b' ').next().unwrap_or_default();
    [&b"TCP4"[..], b"TCP6", b"UNKNOWN"].contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_is_kept_to_the_byte() {
        let command = Command::parse(b"stor  two blanks ").unwrap();
        assert_eq!(command.verb(), Verb::Stor);
        assert_eq!(command.argument(), Some(&b" two blanks "[..]));
        assert_eq!(command.encode().as_slice(), b"STOR  two blanks \r\n");
    }

    #[test]
    fn arity_is_checked() {
        assert_eq!(Command::parse(b"RETR"), Err(CommandError::MissingArgument(Verb::Retr)));
        assert_eq!(Command::parse(b"RETR "), Err(CommandError::MissingArgument(Verb::Retr)));
        assert_eq!(Command::parse(b"PASV x"), Err(CommandError::UnexpectedArgument(Verb::Pasv)));
        assert_eq!(Command::parse(b"PASV ").unwrap().argument(), None);
        assert_eq!(Command::parse(b"LIST ").unwrap().argument(), None);
    }

    #[test]
    fn what_is_not_a_verb_is_refused() {
        for line in
            [&b"RETR\tx"[..], b"FOO", b"STOR a\r\nDELE b", b"STOR a\0", b"\xffPWD", b"P WD", b"PWD\x0b"]
        {
            assert_eq!(Command::parse(line), Err(CommandError::UnknownVerb), "{}", line.escape_ascii());
        }
        assert_eq!(Command::parse(b""), Err(CommandError::NoVerb));
        assert_eq!(Command::parse(b" PWD"), Err(CommandError::NoVerb));
        for line in [&b"GET / HTTP/1.1"[..], b"EHLO there", b"SSH-2.0-x", b"post /"] {
            assert_eq!(Command::parse(line), Err(CommandError::ForeignProtocol));
        }
    }

    #[test]
    fn a_proxy_header_is_no_command() {
        for line in [&b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 21"[..], b"PROXY UNKNOWN", b"PROXY TCP6 x"] {
            assert_eq!(Command::parse(line), Err(CommandError::ProxyHeader));
        }
        for line in [&b"PROXY"[..], b"PROXY TCP", b"proxy TCP4 x", b"PROXY UNKNOWNS"] {
            assert_eq!(Command::parse(line), Err(CommandError::UnknownVerb), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let command = Command::parse(b"PASS hunter2").unwrap();
        assert_eq!(format!("{command:?}"), "PASS ***");
        let change = Command::parse(b"SITE PSWD hunter1 hunter2").unwrap();
        assert_eq!(format!("{change:?}"), "SITE ***");
        assert_eq!(command.encode().as_slice(), b"PASS hunter2\r\n");
    }

    #[test]
    fn a_password_change_with_two_blanks_or_under_another_name_does_not_show() {
        for line in [
            &b"SITE  PSWD hunter1 hunter2"[..],
            b"SITE PSWD\thunter1 hunter2",
            b"SITE \tPSWD hunter2",
            b"SITE PSWD=hunter2",
            b"SITE \"PSWD\" hunter2",
            b"SITE P\xffSWD hunter2",
            b"SITE PASSWORD hunter2",
            b"site passwd hunter2",
            b"SITE CHPASS anna hunter2",
            b"SITE CPWD hunter2",
            b"SITE SETPW hunter2",
            b"SITE ADDUSER anna hunter2",
            b"SITE MKUSER anna hunter2",
            b"SITE CHANGEUSERSPASSWORD hunter2",
        ] {
            let command = Command::parse(line).unwrap();
            assert!(command.is_secret(), "{}", line.escape_ascii());
            assert_eq!(format!("{command:?}"), "SITE ***");
        }
        for line in ["MIC hunter2", "CONF hunter2", "ENC hunter2", "ADAT hunter2", "NOOP hunter2"] {
            assert!(Command::parse(line.as_bytes()).unwrap().is_secret(), "{line}");
        }
        for line in ["SITE CHMOD 644 /a b", "SITE HELP", "SITE UTIME 20240101000000 a", "site symlink a b"] {
            assert!(!Command::parse(line.as_bytes()).unwrap().is_secret(), "{line}");
        }
    }

    #[test]
    fn commands_of_our_own_cannot_smuggle() {
        assert_eq!(Command::with(Verb::Cwd, "a\r\nDELE b"), None);
        assert_eq!(Command::with(Verb::Cwd, ""), None);
        assert_eq!(Command::with(Verb::Cwd, b"\xff").unwrap().encode().as_slice(), b"CWD \xff\xff\r\n");
    }
}
