//! Rules and groups as an admin writes them, each part parsed into a valid type.
//!
//! A list that is empty asks for nothing; of one that is not, one element must match. `operations` and
//! `commands` are one list.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use crate::glob::{Glob, GlobError};
use crate::hours::Hours;
use crate::pattern::PathPattern;
use crate::request::{Certificate, Operation, Tls, TlsVersion};
use crate::route::matches_subject;

/// Where something stands in the configuration. Only shown, never read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The file.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// One `[[rule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// For people: logs and explanations say it.
    pub name: String,
    /// Where it stands.
    pub origin: Origin,
    /// Whom and what it is about.
    pub matchers: Matchers,
    /// What it decides.
    pub action: Action,
    /// Whether that counts.
    pub mode: Mode,
    /// Instead of the gateway's own reply to what is denied.
    pub reply: Option<RuleReply>,
}

/// One `[[group]]`: who has one of these names, and comes from one of these networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What rules call it.
    pub name: String,
    /// Where it stands.
    pub origin: Origin,
    /// User names.
    pub users: Vec<Glob>,
    /// Networks of clients.
    pub from: Vec<IpNet>,
}

/// What a rule or a limit asks of a request. All must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matchers {
    /// User names; nobody before USER.
    pub users: Vec<Glob>,
    /// Names of groups.
    pub groups: Vec<String>,
    /// Networks of clients; IPv4 networks hold IPv4-mapped addresses too.
    pub from: Vec<IpNet>,
    /// Certificates of clients; a client without one does not match.
    pub certificates: Vec<CertificatePattern>,
    /// Names of listeners.
    pub listeners: Vec<String>,
    /// Names of backends.
    pub backends: Vec<String>,
    /// TLS on the control connection.
    pub tls: Option<TlsRequirement>,
    /// Without operations and commands, every operation but connect and login is meant.
    pub operations: Vec<Operation>,
    /// Verbs, or verbs with their sub-command.
    pub commands: Vec<CommandName>,
    /// Paths: a rule that allows takes them byte by byte, one that denies in their folded form as well.
    pub paths: Vec<PathPattern>,
    /// Matches where more bytes than these were announced or counted.
    pub larger_than_bytes: Option<u64>,
    /// When.
    pub hours: Option<Schedule>,
}

/// Hours in a time zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Which hours.
    pub hours: Hours,
    /// The zone's name in the IANA database; the caller of policy knows what time it is there.
    pub timezone: String,
}

/// What a rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It may be done.
    Allow,
    /// It may not.
    Deny,
}

/// Whether a rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// What it would decide is recorded, and the next rule is asked.
    Observe,
}

/// Part of a certificate: `CN=acme-*` (subject, or one attribute of it), `san:*.acme.example`, `sha256/…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificatePattern {
    /// The subject, or one of its attributes.
    Subject(Glob),
    /// One of the alternative names, in any case.
    Name(Glob),
    /// The public key, in the form of [`Certificate::key`].
    Key(String),
}

impl CertificatePattern {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        if let Some(name) = text.strip_prefix("san:") {
            return Ok(CertificatePattern::Name(Glob::any_case(name)?));
        }
        if let Some(hash) = text.strip_prefix("sha256/") {
            // 32 bytes are 43 digits and one sign of padding; the last digit holds four bits.
            let (digits, padding) = hash.split_at_checked(43).ok_or(RuleError::KeyHash)?;
            let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            let ends_well = digits.ends_with(|c: char| "AEIMQUYcgkosw048".contains(c));
            if !digits.bytes().all(is_digit) || !ends_well || padding != "=" {
                return Err(RuleError::KeyHash);
            }
            return Ok(CertificatePattern::Key(text.to_owned()));
        }
        if !text.contains('=') && !text.starts_with('*') {
            return Err(RuleError::CertificateForm);
        }
        Ok(CertificatePattern::Subject(Glob::exact_case(text)?))
    }

    /// Whether a certificate has this part.
    pub fn matches(&self, certificate: &Certificate) -> bool {
        match self {
            CertificatePattern::Subject(glob) => matches_subject(glob, &certificate.subject),
            CertificatePattern::Name(glob) => {
                certificate.names.iter().any(|name| glob.matches(name.as_bytes()))
            }
            CertificatePattern::Key(key) => *key == certificate.key,
        }
    }
}

/// What a rule asks of TLS: `=1.3`, `>=1.2`, `<1.3`, `resumed`, `none`; several behind commas must all hold.
/// A connection in clear is older than any version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TlsRequirement {
    /// In clear, 1.2, 1.3.
    levels: [bool; 3],
    must_be_resumed: bool,
}

impl TlsRequirement {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// A word that is not understood, or that nothing can match.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let mut levels = [true; 3];
        let mut must_be_resumed = false;
        for part in text.split(',').map(str::trim) {
            let digits = part.trim_start_matches(['<', '>', '=']);
            let level = match digits.trim() {
                "resumed" | "none" if digits != part => return Err(RuleError::Tls),
                "resumed" => {
                    must_be_resumed = true;
                    levels[0] = false;
                    continue;
                }
                "none" => 0,
                "1.2" => 1,
                "1.3" => 2,
                _other => return Err(RuleError::Tls),
            };
            let holds: fn(usize, usize) -> bool = match &part[..part.len() - digits.len()] {
                "" | "=" => |have, asked| have == asked,
                ">=" => |have, asked| have >= asked,
                ">" => |have, asked| have > asked,
                "<=" => |have, asked| have <= asked,
                "<" => |have, asked| have < asked,
                _other => return Err(RuleError::Tls),
            };
            levels.iter_mut().enumerate().for_each(|(have, is_meant)| *is_meant &= holds(have, level));
        }
        if levels.contains(&true) { Ok(Self { levels, must_be_resumed }) } else { Err(RuleError::Tls) }
    }

    /// Whether a connection is meant; `None`: in clear.
    pub fn matches(&self, tls: Option<Tls>) -> bool {
        let (level, is_resumed) = match tls {
            None => (0, false),
            Some(Tls { version: TlsVersion::V12, is_resumed }) => (1, is_resumed),
            Some(Tls { version: TlsVersion::V13, is_resumed }) => (2, is_resumed),
        };
        self.levels[level] && (is_resumed || !self.must_be_resumed)
    }
}

/// A verb, perhaps with its sub-command: `STOR`, `SITE CHMOD`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommandName {
    verb: String,
    subcommand: Option<String>,
}

impl CommandName {
    /// Reads one, in any case. Aliases are the caller's to translate: requests carry canonical verbs.
    ///
    /// # Errors
    ///
    /// More than two words, or none; a verb of other characters than letters and digits.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let mut words = text.split(' ').map(str::to_ascii_uppercase);
        let (verb, subcommand) = (words.next().unwrap_or_default(), words.next());
        let is_word = |word: &String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
        let is_verb = !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_verb || !subcommand.as_ref().is_none_or(is_word) || words.next().is_some() {
            return Err(RuleError::Command);
        }
        Ok(Self { verb, subcommand })
    }

    /// In capitals.
    pub fn verb(&self) -> &str {
        &self.verb
    }

    /// In capitals; `None`: whichever.
    pub fn subcommand(&self) -> Option<&str> {
        self.subcommand.as_deref()
    }

    /// Whether a command is meant.
    pub fn matches(&self, verb: &str, subcommand: Option<&str>) -> bool {
        self.verb == verb
            && self
                .subcommand
                .as_deref()
                .is_none_or(|asked| subcommand.is_some_and(|word| word.eq_ignore_ascii_case(asked)))
    }
}

/// What a denied client is told: `550 Reports only`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleReply {
    code: u16,
    text: String,
}

impl RuleReply {
    /// Reads a code from 400 to 599, one space and a text without control characters.
    ///
    /// # Errors
    ///
    /// Anything else: a denial must not look like success, nor break the line.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let (code, text) = text.split_once(' ').ok_or(RuleError::Reply)?;
        let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
        let code: u16 =
            code.parse().ok().filter(|code| is_code && (400..600).contains(code)).ok_or(RuleError::Reply)?;
        if text.trim().is_empty() || text.chars().any(char::is_control) || text.len() > REPLY_BYTES_MAX {
            return Err(RuleError::Reply);
        }
        Ok(Self { code, text: text.to_owned() })
    }

    /// Three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// What follows it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A part of a rule that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A pattern for names.
    #[error(transparent)]
    Glob(#[from] GlobError),
    /// Neither subject, name nor key.
    #[error("a certificate is `CN=…` or another attribute, `san:…` or `sha256/…`")]
    CertificateForm,
    /// The hash of a key.
    #[error("a key is `sha256/` and the 44 characters of its hash in base64")]
    KeyHash,
    /// A requirement on TLS.
    #[error("write `=1.3`, `>=1.2`, `resumed` or `none`; no connection can match anything else")]
    Tls,
    /// A command.
    #[error("a command is a verb, or a verb and its sub-command")]
    Command,
    /// A reply.
    #[error("a reply is a code from 400 to 599, a space and a line of text")]
    Reply,
}

/// With code and line end it stays below the shortest line that RFC 959 clients are known to take.
const REPLY_BYTES_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_matched_by_subject_name_and_key() {
        let key = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let certificate = Certificate {
            subject: "C=DE, O=Acme, CN=acme-7".to_owned(),
            names: vec!["ftp.Acme.example".to_owned(), "ops@acme.example".to_owned()],
            key: key.to_owned(),
        };
        for (pattern, is_match) in [
            ("CN=acme-*", true),
            ("CN=ACME-*", false),
            ("O=Acme", true),
            ("C=DE, O=Acme, CN=acme-7", true),
            ("san:*.acme.example", true),
            ("san:ops@acme.example", true),
            ("san:acme-7", false),
            (key, true),
            ("sha256/AAAAQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", false),
        ] {
            assert_eq!(
                CertificatePattern::parse(pattern).unwrap().matches(&certificate),
                is_match,
                "{pattern}"
            );
        }
        for text in ["", "acme", "san:", "sha256/", "sha256/abc=", "sha256/é", "CN=[", &format!("{key}=")] {
            assert!(CertificatePattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tls_is_matched_by_version_and_resumption() {
        let tls = |version, is_resumed| Some(Tls { version, is_resumed });
        let all =
            [None, tls(TlsVersion::V12, false), tls(TlsVersion::V13, false), tls(TlsVersion::V13, true)];
        for (text, expected) in [
            ("=1.3", [false, false, true, true]),
            ("1.2", [false, true, false, false]),
            (">=1.2", [false, true, true, true]),
            (">1.2", [false, false, true, true]),
            ("<1.3", [true, true, false, false]),
            ("<=1.2", [true, true, false, false]),
            ("none", [true, false, false, false]),
            ("resumed", [false, false, false, true]),
            (">=1.2, resumed", [false, false, false, true]),
        ] {
            let requirement = TlsRequirement::parse(text).unwrap();
            assert_eq!(all.map(|tls| requirement.matches(tls)), expected, "{text}");
        }
        for text in ["", "1.1", "=>1.2", ">1.3", "=1.2,=1.3", "none, resumed", "=resumed", "<none"] {
            assert!(TlsRequirement::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn commands_are_a_verb_and_perhaps_a_word() {
        let chmod = CommandName::parse("site chmod").unwrap();
        assert!(chmod.matches("SITE", Some("ChMod")));
        assert!(
            !chmod.matches("SITE", Some("EXEC"))
                && !chmod.matches("SITE", None)
                && !chmod.matches("STOR", None)
        );
        assert!(CommandName::parse("SITE").unwrap().matches("SITE", Some("EXEC")));
        for text in ["", " ", "SITE ", "SITE CHMOD x", "ST*R", "é"] {
            assert!(CommandName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn replies_refuse_in_one_line() {
        let reply = RuleReply::parse("550 Reports only").unwrap();
        assert_eq!((reply.code(), reply.text()), (550, "Reports only"));
        for text in ["", "550", "550 ", "250 Done", "600 x", "5500 x", "+55 x", "550 a\r\n226 b"] {
            assert!(RuleReply::parse(text).is_err(), "{text}");
        }
        assert!(RuleReply::parse(&format!("550 {}", "x".repeat(401))).is_err());
    }
}
