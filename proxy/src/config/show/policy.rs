//! The tables of policy, written back: those of all files in one.

use ftpsgate_ftp::codec::Command;
use ftpsgate_policies::limit::{Limit, Scope};
use ftpsgate_policies::rule::{CertificatePattern, Group, Matchers, Rule};
use ftpsgate_policies::{Operation, request};
use toml::Value;

use super::super::choice::Choice;
use super::super::policy::{
    AskedCommand, CertificatePart, Per, PolicyTest, Question, Rules, format_event_rate,
};
use super::super::units::{format_duration, format_rate, format_size};
use super::{Entry, Position, Table, entry, texts};

pub(super) fn tables(rules: &Rules) -> Vec<Table> {
    let mut tables = vec![policy(rules)];
    tables.extend(rules.groups.iter().map(group));
    tables.extend(rules.rules.iter().map(rule));
    tables.extend(rules.tests.iter().map(test));
    tables
}

/// The rules of policy files stand below with all others, so none is left to be read.
fn policy(rules: &Rules) -> Table {
    Table {
        header: "[policy]".to_owned(),
        position: Position::One("policy"),
        entries: vec![
            entry("files", Vec::<Value>::new()),
            entry("default", rules.default.word()),
            entry("mode", rules.mode.word()),
        ],
    }
}

fn group(group: &Group) -> Table {
    let lists = [("users", texts(&group.users)), ("from", texts(&group.from))];
    let entries = std::iter::once(entry("name", group.name.as_str())).chain(written(lists)).collect();
    Table { header: "[[group]]".to_owned(), position: Position::Next("group"), entries }
}

fn rule(rule: &Rule) -> Table {
    let mut entries = vec![entry("name", rule.name.as_str())];
    entries.extend(matchers(&rule.matchers));
    entries.push(entry("action", rule.action.word()));
    entries.push(entry("mode", rule.mode.word()));
    entries.extend(
        rule.reply.as_ref().map(|reply| entry("reply", format!("{} {}", reply.code(), reply.text()))),
    );
    Table { header: "[[rule]]".to_owned(), position: Position::Next("rule"), entries }
}

fn matchers(matchers: &Matchers) -> Vec<Entry> {
    let operations: Vec<&str> = matchers.operations.iter().copied().map(Operation::name).collect();
    let certificates: Vec<String> = matchers.certificates.iter().map(certificate).collect();
    let commands = matchers.commands.iter().map(|command| match command.subcommand() {
        None => command.verb().to_owned(),
        Some(word) => format!("{} {word}", command.verb()),
    });
    let mut entries: Vec<Entry> = written([
        ("users", texts(&matchers.users)),
        ("groups", texts(&matchers.groups)),
        ("from", texts(&matchers.from)),
        ("certificates", texts(&certificates)),
        ("listeners", texts(&matchers.listeners)),
        ("backends", texts(&matchers.backends)),
        ("operations", texts(&operations)),
        ("commands", texts(&commands.collect::<Vec<_>>())),
        ("paths", texts(&matchers.paths)),
    ])
    .collect();
    entries.extend(matchers.tls.map(|tls| entry("tls", tls.to_string())));
    entries.extend(matchers.larger_than_bytes.map(|size| entry("larger_than", format_size(size))));
    if let Some(schedule) = &matchers.hours {
        entries.push(entry("hours", schedule.hours.as_str()));
        entries.push(entry("timezone", schedule.timezone.as_str()));
    }
    entries
}

fn certificate(pattern: &CertificatePattern) -> String {
    match pattern {
        CertificatePattern::Subject(glob) => glob.to_string(),
        CertificatePattern::Name(glob) => format!("san:{glob}"),
        CertificatePattern::Key(key) => key.clone(),
    }
}

pub(super) fn limit(limit: &Limit) -> Table {
    let Limit {
        name,
        origin: _,
        per,
        matchers: of_limit,
        sessions,
        transfers,
        connections,
        logins,
        commands,
        failed_logins,
        lockout,
        upload_rate_bytes,
        download_rate_bytes,
        file_bytes_max,
    } = limit;
    let mut entries = vec![entry("name", name.as_str()), entry("per", Per::from(*per).word())];
    if let Scope::Network { v4_prefix, v6_prefix } = *per {
        entries.push(entry("ipv4_prefix", i64::from(v4_prefix)));
        entries.push(entry("ipv6_prefix", i64::from(v6_prefix)));
    }
    entries.extend(matchers(of_limit));
    let counts = [("sessions", sessions), ("transfers", transfers)];
    entries.extend(counts.into_iter().filter_map(|(key, most)| Some(entry(key, i64::from((*most)?)))));
    let rates = [
        ("connections", connections),
        ("logins", logins),
        ("commands", commands),
        ("failed_logins", failed_logins),
    ];
    entries.extend(rates.into_iter().filter_map(|(key, rate)| Some(entry(key, format_event_rate((*rate)?)))));
    if failed_logins.is_some() {
        entries.push(entry("lockout", format_duration(*lockout)));
    }
    let bytes = [("upload", upload_rate_bytes), ("download", download_rate_bytes)];
    entries.extend(bytes.into_iter().filter_map(|(key, rate)| Some(entry(key, format_rate((*rate)?)))));
    entries.extend(file_bytes_max.map(|most| entry("file_size", format_size(most))));
    Table { header: "[[limit]]".to_owned(), position: Position::Next("limit"), entries }
}

fn test(test: &PolicyTest) -> Table {
    let PolicyTest { question, expect, rule, origin: _ } = test;
    let Question {
        user,
        from,
        listener,
        backend,
        sni,
        host,
        tls,
        certificates,
        at,
        directory,
        size_bytes,
        exists,
        is_directory,
        before,
        command,
    } = question;
    let text = |key, value: &Option<String>| value.as_deref().map(|text| entry(key, text));
    let mut entries: Vec<Entry> = text("user", user).into_iter().collect();
    entries.push(entry("from", from.to_string()));
    entries.extend(text("listener", listener));
    entries.extend(text("backend", backend));
    entries.extend(text("sni", sni));
    entries.extend(text("host", host));
    entries.extend(tls.map(|tls| entry("tls", Option::<request::TlsVersion>::word(tls))));
    let certificates: Vec<&str> = certificates.iter().map(|CertificatePart(part)| part.as_str()).collect();
    entries.extend(written([("certificates", texts(&certificates))]));
    entries.extend(at.as_ref().map(|at| entry("at", at.text.as_str())));
    entries.push(entry("directory", directory.as_str()));
    entries.extend(size_bytes.map(|size| entry("size", format_size(size))));
    entries.push(entry("exists", *exists));
    entries.push(entry("is_directory", *is_directory));
    let before: Vec<String> = before.iter().map(command_line).collect();
    entries.extend(written([("before", texts(&before))]));
    entries.push(entry("command", command_text(command)));
    entries.push(entry("expect", expect.word()));
    entries.extend(text("rule", rule));
    Table { header: "[[test]]".to_owned(), position: Position::Next("test"), entries }
}

/// TOML is UTF-8, so what was read from it is.
fn command_text(command: &AskedCommand) -> String {
    match command {
        AskedCommand::Connect => "CONNECT".to_owned(),
        AskedCommand::Command(command) => command_line(command),
    }
}

fn command_line(command: &Command) -> String {
    match command.argument() {
        None => command.verb().name().to_owned(),
        Some(argument) => format!("{} {}", command.verb().name(), String::from_utf8_lossy(argument)),
    }
}

/// Lists that have an element.
fn written<const N: usize>(lists: [(&'static str, Value); N]) -> impl Iterator<Item = Entry> {
    let has_element = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    lists.into_iter().filter(move |(_, value)| has_element(value)).map(|(key, value)| entry(key, value))
}
