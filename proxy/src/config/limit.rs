//! `[[limit]]`: how many, how often, how fast.

use std::num::NonZeroU32;
use std::time::Duration;

use ftpsgate_policies::Glob;
use ftpsgate_policies::limit::{EventRate, Limit, Scope};
use ftpsgate_policies::rule::Matchers;

use super::choice::Choice;
use super::diagnostic::Span;
use super::document::{Basis, Located};
use super::syntax::{self, SyntaxError, quoted};
use super::table::{Read, Table};
use super::units::{format_duration, parse_duration};
use super::value::{choice, duration, integer, narrow, parsed, rate, size};
use super::{pattern, policy};

/// A limit, with the places that checks across tables refer to.
pub(super) struct LimitDraft {
    pub(super) span: Span,
    pub(super) name: Located<String>,
    pub(super) listeners: Vec<Located<String>>,
    pub(super) backends: Vec<Located<String>>,
    /// Whether all of it could be read.
    pub(super) is_sound: bool,
    pub(super) limit: Limit,
}

/// `per`, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Per {
    /// Everything together.
    Gateway,
    /// Each listener.
    Listener,
    /// Each backend.
    Backend,
    /// Each address.
    Address,
    /// Each network of the prefix lengths that are written beside.
    Network,
    /// Each user name.
    User,
    /// Each session.
    Session,
}

impl Choice for Per {
    const ALL: &'static [Self] = &[
        Self::Gateway,
        Self::Listener,
        Self::Backend,
        Self::Address,
        Self::Network,
        Self::User,
        Self::Session,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Listener => "listener",
            Self::Backend => "backend",
            Self::Address => "address",
            Self::Network => "network",
            Self::User => "user",
            Self::Session => "session",
        }
    }
}

impl From<Scope> for Per {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Gateway => Self::Gateway,
            Scope::Listener => Self::Listener,
            Scope::Backend => Self::Backend,
            Scope::Address => Self::Address,
            Scope::Network { .. } => Self::Network,
            Scope::User => Self::User,
            Scope::Session => Self::Session,
        }
    }
}

/// Reads every limit.
pub(super) fn read(file: &Table<'_>) -> Vec<LimitDraft> {
    file.tables("limit").iter().map(limit).collect()
}

fn limit(table: &Table<'_>) -> LimitDraft {
    let mut is_sound = true;
    let name = table.required("name", |value, kind| parsed(value, kind, syntax::line));
    let name = name.or_default(String::new);
    let per = table.required("per", choice::<Per>);
    is_sound &= name.is_sound() && per.value.is_some();
    let prefix = |name| table.read(name, |value, kind| Ok(narrow::<u8>(integer(value, kind)?)));
    let (v4, v6) = (prefix("ipv4_prefix"), prefix("ipv6_prefix"));
    let per_value = per.value.unwrap_or(Per::Gateway);
    for (key, prefix) in [("ipv4_prefix", &v4), ("ipv6_prefix", &v6)] {
        if prefix.is_written() && per_value != Per::Network {
            table.document.error(
                Basis::Whole,
                &prefix.span,
                format!("`{key}` has a meaning only with `per = \"network\"`"),
                "write `per = \"network\"`, or remove it",
            );
        }
    }
    let glob: Read<Glob> = |value, kind| parsed(value, kind, pattern::exact_case);
    let listed: Read<String> = |value, kind| parsed(value, kind, syntax::name);
    let listeners = list(table, "listeners", listed, &mut is_sound);
    let backends = list(table, "backends", listed, &mut is_sound);
    let texts = |names: &[Located<String>]| names.iter().map(|name| name.value.clone()).collect();
    let mut events = |name| {
        let rate = table.optional(name, |value, kind| parsed(value, kind, event_rate));
        is_sound &= rate.is_sound();
        rate.value
    };
    let (connections, commands) = (events("connections"), events("commands"));
    let failed_logins = events("failed_logins");
    let mut byte_rate = |name| {
        let rate = table.optional(name, |value, kind| match rate(value, kind)? {
            0 => Err(SyntaxError::new(
                "cannot be zero",
                "nothing would ever move; leave the key out for no limit",
            )),
            rate => Ok(rate),
        });
        is_sound &= rate.is_sound();
        rate.value
    };
    let (upload, download) = (byte_rate("upload"), byte_rate("download"));
    let file_size = table.optional("file_size", size);
    is_sound &= file_size.is_sound();
    let sessions = table.optional("sessions", |value, kind| Ok(narrow::<u32>(integer(value, kind)?)));
    is_sound &= sessions.is_sound();
    let lockout = table.read("lockout", duration);
    if lockout.is_written() && !table.has("failed_logins") {
        table.document.error(
            Basis::Whole,
            &lockout.span,
            "`lockout` has no effect without `failed_logins`",
            "say what leads to it, such as `failed_logins = \"5/10min\"`",
        );
    }
    let limit = Limit {
        name: name.value.clone(),
        origin: policy::origin(&table.document.source, &table.span),
        per: match per_value {
            Per::Gateway => Scope::Gateway,
            Per::Listener => Scope::Listener,
            Per::Backend => Scope::Backend,
            Per::Address => Scope::Address,
            Per::Network => Scope::Network { v4_prefix: v4.value, v6_prefix: v6.value },
            Per::User => Scope::User,
            Per::Session => Scope::Session,
        },
        matchers: Matchers {
            users: values(list(table, "users", glob, &mut is_sound)),
            from: values(list(
                table,
                "from",
                |value, kind| parsed(value, kind, syntax::network),
                &mut is_sound,
            )),
            listeners: texts(&listeners),
            backends: texts(&backends),
            ..Matchers::default()
        },
        sessions: sessions.value,
        transfers: None,
        connections,
        logins: None,
        commands,
        failed_logins,
        lockout: lockout.value,
        upload_rate_bytes: upload,
        download_rate_bytes: download,
        file_bytes_max: file_size.value,
    };
    LimitDraft { span: table.span.clone(), name, listeners, backends, is_sound, limit }
}

/// A matcher. Where it is written it has an element: what an empty one would match is anybody's guess.
fn list<T>(table: &Table<'_>, name: &str, read: Read<T>, is_sound: &mut bool) -> Vec<Located<T>> {
    let elements = table.elements(name);
    if elements.is_empty() && table.is_array(name) {
        table.document.error(
            Basis::Value,
            &table.span_of(name),
            format!("`{name}` is empty"),
            "write what the limit is for, or leave the key out for one that counts for everybody",
        );
    }
    let read: Vec<_> = elements.iter().filter_map(|element| table.element(name, element, read)).collect();
    *is_sound &= !table.has(name) || (!read.is_empty() && read.len() == elements.len());
    read
}

fn values<T>(list: Vec<Located<T>>) -> Vec<T> {
    list.into_iter().map(|located| located.value).collect()
}

/// Reads `60/min` or `5/10min`.
pub(super) fn event_rate(text: &str) -> Result<EventRate, SyntaxError> {
    let malformed = || {
        SyntaxError::new(
            format!("{} is not a number in a time", quoted(text)),
            "write it like \"60/min\" or \"5/10min\"; units are ms, s, m, min, h, d",
        )
    };
    let (count, period) = text.split_once('/').ok_or_else(malformed)?;
    let (count, period) = (count.trim(), period.trim());
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) || period.is_empty() {
        return Err(malformed());
    }
    let count = count.parse::<u32>().ok().filter(|count| *count <= EVENTS_MAX);
    let count = count.and_then(NonZeroU32::new).ok_or_else(|| {
        SyntaxError::new(
            format!("{} counts nothing, or too much", quoted(text)),
            format!("the number is one from 1 to {EVENTS_MAX}"),
        )
    })?;
    let period = match period.starts_with(|c: char| c.is_ascii_digit()) {
        true => parse_duration(period)?,
        false => parse_duration(&format!("1{period}"))?,
    };
    if period == Duration::ZERO {
        return Err(SyntaxError::new("the time cannot be zero", "write it like \"60/min\""));
    }
    Ok(EventRate { count, period })
}

/// Writes it so that it is read back.
pub(super) fn format_event_rate(rate: EventRate) -> String {
    let period = format_duration(rate.period);
    let unit = period.strip_prefix('1').filter(|unit| !unit.starts_with(|c: char| c.is_ascii_digit()));
    match unit {
        Some("m") => format!("{}/min", rate.count),
        Some(unit) => format!("{}/{unit}", rate.count),
        None => format!("{}/{period}", rate.count),
    }
}

/// More in a time than any machine does.
const EVENTS_MAX: u32 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_in_a_time_are_read_and_written() {
        for (text, count, seconds, written) in [
            ("60/min", 60, 60, "60/min"),
            ("5/10min", 5, 600, "5/10m"),
            ("50/s", 50, 1, "50/s"),
            (" 1 / 1h ", 1, 3600, "1/h"),
            ("2/15m", 2, 900, "2/15m"),
            ("7/d", 7, 86_400, "7/d"),
        ] {
            let rate = event_rate(text).unwrap();
            assert_eq!((rate.count.get(), rate.period), (count, Duration::from_secs(seconds)), "{text}");
            assert_eq!(format_event_rate(rate), written);
            assert_eq!(event_rate(written).unwrap(), rate);
        }
        for text in
            ["", "60", "/min", "60/", "x/min", "0/min", "5/0s", "5/week", "-1/s", "9999999999/s", "1.5/s"]
        {
            assert!(!event_rate(text).unwrap_err().hint.is_empty(), "{text}");
        }
    }
}
