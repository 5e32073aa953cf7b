//! One command of which another policy says something else, as people see it, and the question that `explain` answers.

use std::borrow::Cow;
use std::path::Path;

use ftpsgate_policies::RuleRef;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::audit::record::{By, Command, Event, Record, Rule};
use crate::audit::text::{escape, unescape};

use super::judge::{Cause, Doubt, Entry, Verdict};

/// A command, what was said of it, and what is said now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The log, and the line in it.
    pub(super) log: String,
    pub(super) line: u64,
    pub(super) time: Timestamp,
    pub(super) session: Option<String>,
    pub(super) user: Option<String>,
    pub(super) address: String,
    pub(super) command: String,
    pub(super) paths: Vec<String>,
    pub(super) was: String,
    pub(super) becomes: String,
    /// Arguments of `explain`; `None`: nobody could type them.
    pub(super) question: Option<Vec<String>>,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) log: &'a str,
    pub(super) line: u64,
}

impl Change {
    pub(super) fn of(place: Place<'_>, entry: &Entry<'_>, becomes: &Result<Verdict, Doubt>) -> Self {
        let Entry { record, time, began, is_at_home, finding: _ } = entry;
        let accesses = record.command.iter().flat_map(|command| &command.accesses);
        let paths = accesses.filter_map(|access| access.path.as_deref());
        Self {
            log: place.log.to_owned(),
            line: place.line,
            time: *time,
            session: record.session.as_deref().map(safe),
            user: record.user.as_deref().map(safe),
            address: record.client_address().map(|address| address.to_string()).unwrap_or_default(),
            command: command(record),
            paths: paths.take(PATHS_MAX).map(safe).collect(),
            was: was(record),
            becomes: self::becomes(becomes),
            question: is_at_home.then(|| question(record, *began)).flatten(),
        }
    }

    /// Two lines: who and what, then and now.
    pub(super) fn render(&self) -> String {
        let user = self.user.as_deref().unwrap_or("-");
        let session = self.session.as_deref().unwrap_or("-");
        let mut text = format!(
            "  {:.0}  {user}  {}  session {session}  {}:{}\n    {}",
            self.time, self.address, self.log, self.line, self.command
        );
        let is_named = |path: &&String| !self.command.ends_with(&format!(" {path}"));
        let others: Vec<&str> = self.paths.iter().filter(is_named).map(String::as_str).collect();
        if !others.is_empty() {
            text.push_str(&format!("  [{}]", others.join(", ")));
        }
        text.push_str(&format!("\n      {} -> {}\n", self.was, self.becomes));
        text
    }

    pub(super) fn to_json(&self, explain: &Explain<'_>) -> Value {
        json!({
            "log": self.log,
            "line": self.line,
            "time": self.time.to_string(),
            "session": self.session,
            "user": self.user,
            "from": self.address,
            "command": self.command,
            "paths": self.paths,
            "was": self.was,
            "becomes": self.becomes,
            "explain": explain.command(self),
        })
    }
}

/// How `explain` is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Explain<'a> {
    /// The configuration, if it is not the usual one.
    pub(super) base: Option<&'a Path>,
    pub(super) with: &'a Path,
}

impl Explain<'_> {
    /// What to type for one change.
    pub(super) fn command(&self, change: &Change) -> Option<String> {
        let mut words = vec!["ftpsgate", "explain"];
        if let Some(base) = self.base {
            words.extend(["-c", base.to_str()?]);
        }
        words.extend(["--with", self.with.to_str()?]);
        words.extend(change.question.as_ref()?.iter().map(String::as_str));
        Some(words.into_iter().map(quoted).collect::<Vec<_>>().join(" "))
    }
}

/// What was decided then, by what.
pub(super) fn was(record: &Record<'_>) -> String {
    let Some(decision) = &record.decision else { return "allowed".to_owned() };
    let word = if decision.allowed { "allowed" } else { "denied" };
    match (&decision.rule, decision.by) {
        (Some(Rule { name, file, line }), _) => {
            format!("{word} by rule `{}` ({}:{line})", safe(name), safe(file))
        }
        (None, By::Rule | By::Default) => format!("{word} by default"),
        (None, By::Gateway) => format!("{word} by the gateway"),
        (None, By::Limit) => format!("{word} by a limit"),
    }
}

/// What is said now.
pub(super) fn becomes(becomes: &Result<Verdict, Doubt>) -> String {
    match becomes {
        Ok(Verdict { is_allowed, cause }) => {
            let word = if *is_allowed { "allowed" } else { "denied" };
            match cause {
                Cause::Rule(rule) => format!("{word} by {}", named(rule)),
                Cause::Default => format!("{word} by default"),
                Cause::Below => format!("{word}, for not all that may be in the directory is allowed"),
                Cause::Unclear => {
                    format!("{word}, for rules have paths and the words leave open which is meant")
                }
            }
        }
        Err(Doubt::Path) => "cannot be told: the path is not in the record".to_owned(),
        Err(Doubt::Size) => "cannot be told: the upload's size is not in the record".to_owned(),
        Err(Doubt::Kind) => "cannot be told: whether it is a directory is not in the record".to_owned(),
    }
}

fn named(rule: &RuleRef) -> String {
    format!("rule `{}` ({})", rule.name(), rule.origin())
}

/// What the client wrote.
fn command(record: &Record<'_>) -> String {
    match (record.event, &record.command) {
        (_, Some(Command { verb, argument: Some(argument), .. })) => {
            format!("{} {}", safe(verb), safe(argument))
        }
        (_, Some(Command { verb, argument: None, .. })) => safe(verb),
        (Event::Connect, None) => "CONNECT".to_owned(),
        (_, None) => String::new(),
    }
}

/// Text of a record as it may stand on a terminal, whoever wrote the record.
pub(super) fn safe(text: &str) -> String {
    let (text, end) = match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    };
    let bytes = unescape(text).unwrap_or(Cow::Borrowed(text.as_bytes()));
    escape(&bytes).into_owned() + end
}

/// The arguments with which `explain` judges the same.
fn question(record: &Record<'_>, began: Timestamp) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    if let (Some(user), true) = (&record.user, record.event == Event::Command) {
        add("--user", typed(user)?);
    }
    add("--from", record.client_address()?.to_string());
    if let Some(listener) = &record.listener {
        add("--listener", typed(listener)?);
    }
    add("--at", began.to_string());
    if record.event != Event::Command {
        words.push("CONNECT".to_owned());
        return Some(words);
    }
    if let Some(backend) = &record.backend {
        add("--backend", typed(backend)?);
    }
    // A connection that resumed another one cannot be asked about.
    if record.tls.as_ref().is_some_and(|tls| tls.resumed) {
        return None;
    }
    add(
        "--tls",
        record.tls.as_ref().map_or_else(|| "none".to_owned(), |tls| tls.version.clone().into_owned()),
    );
    if let Some(certificate) = &record.certificate {
        if !certificate.subject.is_empty() {
            add("--certificate", typed(&certificate.subject)?);
        }
        for name in &certificate.names {
            add("--certificate", format!("san:{}", typed(name)?));
        }
        add("--certificate", typed(&certificate.key)?);
    }
    let command = record.command.as_ref()?;
    if command.accesses.iter().any(|access| access.unresolved) {
        return None;
    }
    if let Some(size) = command.size_bytes {
        add("--size", format!("{size}B"));
    }
    let argument = command.argument.as_deref().map(typed);
    let argument = match argument {
        Some(argument) => Some(argument?),
        None => None,
    };
    let paths: Vec<String> = command
        .accesses
        .iter()
        .filter_map(|access| access.path.as_deref())
        .map(typed)
        .collect::<Option<_>>()?;
    if let Some(directory) = argument.as_deref().and_then(|argument| directory(argument, paths.last()?)) {
        add("--directory", directory);
    } else if let (None, Some(path)) = (&argument, paths.last()) {
        add("--directory", path.clone());
    }
    if command.verb == "STOR" && command.accesses.iter().any(|access| access.operation == "overwrite") {
        words.push("--exists".to_owned());
    }
    let first = paths.first().filter(|_| paths.len() > 1);
    if let (Some(first), "RNTO") = (first, &*command.verb) {
        words.push(format!("RNFR {first}"));
    } else if let (Some(first), Some("CPTO")) = (first, command.subcommand.as_deref()) {
        words.push(format!("SITE CPFR {first}"));
    }
    words.push(match argument {
        Some(argument) => format!("{} {argument}", command.verb),
        None if matches!(&*command.verb, "PASS" | "ACCT") => format!("{} x", command.verb),
        None => command.verb.clone().into_owned(),
    });
    Some(words)
}

/// The working directory in which the last words of an argument mean a path; `None`: it tells nothing of it.
fn directory(argument: &str, path: &str) -> Option<String> {
    let starts = std::iter::once(0).chain(argument.match_indices(' ').map(|(space, _)| space + 1));
    starts.map(|start| &argument[start..]).find_map(|words| {
        if words.is_empty() || words.starts_with('/') {
            return None;
        }
        let directory = path.strip_suffix(words)?.strip_suffix('/')?;
        Some(if directory.is_empty() { "/".to_owned() } else { directory.to_owned() })
    })
}

/// Text of a record, if it can be typed.
fn typed(text: &str) -> Option<String> {
    let plain = String::from_utf8(unescape(text)?.into_owned()).ok()?;
    // Only backslashes may be spelled out: what else is, cannot be seen.
    (text.len() <= SHOWN_CHARACTERS_MAX && text == plain.replace('\\', "\\\\")).then_some(plain)
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:,@%+=".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A command line has 4 KiB; more is no gateway's.
const SHOWN_CHARACTERS_MAX: usize = 4096;

/// No command names more.
const PATHS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_directory_is_told_by_what_a_name_meant() {
        assert_eq!(directory("a.csv", "/in/a.csv").as_deref(), Some("/in"));
        assert_eq!(directory("CHMOD 644 a b", "/x/a b").as_deref(), Some("/x"));
        assert_eq!(directory("a", "/a").as_deref(), Some("/"));
        assert_eq!(directory("/in/a", "/in/a"), None);
        assert_eq!(directory("../a", "/in/a"), None);
    }

    #[test]
    fn a_shell_reads_one_word() {
        assert_eq!(quoted("STOR"), "STOR");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn what_a_record_holds_draws_nothing() {
        assert_eq!(safe("a\u{1b}[2J"), r"a\x1b[2J");
        assert_eq!(safe(r"a\x1b"), r"a\x1b");
        assert_eq!(typed(r"a\x1b"), None);
        assert_eq!(typed(r"a\\b").as_deref(), Some(r"a\b"));
        assert_eq!(typed(r"\xff"), None);
    }
}
