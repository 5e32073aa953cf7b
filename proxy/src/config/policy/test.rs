//! `[[test]]`, and the texts of questions that the command line shares.

use std::net::IpAddr;

use ftpsgate_ftp::codec::{Command, CommandError};
use ftpsgate_policies::rule::CertificatePattern;

use super::super::document::Located;
use super::super::route::{list, values};
use super::super::syntax::{self, SyntaxError, quoted};
use super::super::table::Table;
use super::super::value::{boolean, choice, parsed, size};
use super::model::{AskedCommand, CertificatePart, PolicyTest, Question};
use super::{origin, zones};

/// A test, with the places that checks refer to.
pub(super) struct TestDraft {
    pub(super) listener: Located<Option<String>>,
    pub(super) backend: Located<Option<String>>,
    pub(super) rule: Located<Option<String>>,
    /// `None`: something is wrong with it.
    pub(super) test: Option<PolicyTest>,
}

pub(super) fn test(table: &Table<'_>) -> TestDraft {
    let user = table.optional("user", |value, kind| parsed(value, kind, syntax::user));
    let from = table.required("from", |value, kind| parsed(value, kind, address));
    let listener = table.optional("listener", |value, kind| parsed(value, kind, syntax::name));
    let backend = table.optional("backend", |value, kind| parsed(value, kind, syntax::name));
    let sni = table.optional("sni", |value, kind| parsed(value, kind, syntax::line));
    let host = table.optional("host", |value, kind| parsed(value, kind, syntax::line));
    let tls = table.optional("tls", choice);
    let mut is_sound = true;
    let certificates =
        list(table, "certificates", |value, kind| parsed(value, kind, parse_certificate), &mut is_sound);
    let at = table.optional("at", |value, kind| parsed(value, kind, zones::time));
    let directory = table.read("directory", |value, kind| parsed(value, kind, syntax::directory));
    let size_bytes = table.optional("size", size);
    let exists = table.read("exists", boolean);
    let is_directory = table.read("is_directory", boolean);
    let before = list(
        table,
        "before",
        |value, kind| {
            parsed(value, kind, |text| match parse_command(text)? {
                AskedCommand::Command(command) => Ok(command),
                AskedCommand::Connect => Err(SyntaxError::new("CONNECT comes first", "leave it out")),
            })
        },
        &mut is_sound,
    );
    let command = table.required("command", |value, kind| parsed(value, kind, parse_command));
    let expect = table.required("expect", choice);
    let rule = table.optional("rule", |value, kind| parsed(value, kind, syntax::line));
    is_sound &= user.is_sound()
        && listener.is_sound()
        && backend.is_sound()
        && sni.is_sound()
        && host.is_sound()
        && tls.is_sound()
        && at.is_sound()
        && directory.is_sound()
        && size_bytes.is_sound()
        && exists.is_sound()
        && is_directory.is_sound()
        && rule.is_sound();
    let test = match (from.value, command.value, expect.value) {
        (Some(from), Some(command), Some(expect)) if is_sound => Some(PolicyTest {
            origin: origin(&table.document.source, &table.span),
            question: Question {
                user: user.value,
                from,
                listener: listener.value.clone(),
                backend: backend.value.clone(),
                sni: sni.value,
                host: host.value,
                tls: tls.value,
                certificates: values(certificates),
                at: at.value,
                directory: directory.value,
                size_bytes: size_bytes.value,
                exists: exists.value,
                is_directory: is_directory.value,
                before: values(before),
                command,
            },
            expect,
            rule: rule.value.clone(),
        }),
        (Some(_) | None, Some(_) | None, Some(_) | None) => None,
    };
    TestDraft { listener, backend, rule, test }
}

/// Reads what a question is about: a command as clients send it, or `CONNECT`.
///
/// # Errors
///
/// A command that clients get 500 or 501 for.
pub fn parse_command(text: &str) -> Result<AskedCommand, SyntaxError> {
    if text.eq_ignore_ascii_case(CONNECT) {
        return Ok(AskedCommand::Connect);
    }
    let hint =
        "write it as clients send it, such as \"STOR /in/a.csv\"; CONNECT asks about the connection itself";
    Command::parse(text.as_bytes()).map(AskedCommand::Command).map_err(|error| match error {
        CommandError::MissingArgument(verb) => SyntaxError::new(
            format!("{} needs an argument", verb.name()),
            format!("write \"{} {}\"", verb.name(), verb.usage()),
        ),
        CommandError::UnexpectedArgument(verb) => {
            SyntaxError::new(format!("{} takes no argument", verb.name()), hint)
        }
        CommandError::NoVerb
        | CommandError::UnknownVerb
        | CommandError::ForeignProtocol
        | CommandError::ProxyHeader => SyntaxError::new(format!("{} is not a command", quoted(text)), hint),
    })
}

/// Reads a part of a client's certificate.
///
/// # Errors
///
/// What is neither part of a subject, nor an alternative name, nor a key.
pub fn parse_certificate(text: &str) -> Result<CertificatePart, SyntaxError> {
    let is_subject = !text.starts_with("san:") && !text.starts_with("sha256/");
    let is_one = if is_subject { text.contains('=') } else { CertificatePattern::parse(text).is_ok() };
    if is_one {
        return syntax::line(text).map(CertificatePart);
    }
    Err(SyntaxError::new(
        format!("{} is not part of a certificate", quoted(text)),
        "write \"CN=acme-7\", \"san:ftp.acme.example\", or \"sha256/\" and the 44 characters of a key's hash",
    ))
}

fn address(text: &str) -> Result<IpAddr, SyntaxError> {
    text.parse::<IpAddr>().map(|address| address.to_canonical()).map_err(|_| {
        SyntaxError::new(
            format!("{} is not an address", quoted(text)),
            "write an address such as \"198.51.100.9\"",
        )
    })
}

/// What stands for the connection itself; no FTP command has this name.
const CONNECT: &str = "CONNECT";
