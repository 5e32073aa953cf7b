//! Limits: what they name exists, each counts something that can be counted, and none is idle beside another.

use ftpsgate_policies::Glob;
use ftpsgate_policies::limit::{EventRate, Limit, Scope};
use ipnet::IpNet;

use super::super::document::{Basis, Document};
use super::super::limit::LimitDraft;
use super::super::spelling::{nearest, printable};
use super::routes::listeners_exist;
use super::{Drafts, unique_names};

/// Checks limits by themselves, against each other, and against listeners and backends.
pub(super) fn check(document: &Document, drafts: &Drafts) {
    unique_names(document, "limit", drafts.limits.iter().map(|draft| &draft.name));
    for draft in &drafts.limits {
        listeners_exist(document, &draft.listeners, &drafts.listeners);
        backends_exist(document, draft, drafts);
        if draft.is_sound {
            counts_something(document, draft);
        }
    }
    warn_of_idle_ones(document, &drafts.limits);
}

fn backends_exist(document: &Document, draft: &LimitDraft, drafts: &Drafts) {
    let names = || drafts.backends.iter().map(|backend| backend.name.value.as_str());
    if drafts.backends.is_empty() || drafts.backends.iter().any(|backend| !backend.name.is_sound()) {
        return;
    }
    for wanted in draft.backends.iter().filter(|wanted| names().all(|name| name != wanted.value)) {
        document.error(
            Basis::Whole,
            &wanted.span,
            format!("there is no backend `{}`", printable(&wanted.value)),
            match nearest(&wanted.value, names()) {
                Some(nearest) => format!("did you mean `{}`?", printable(nearest)),
                None => {
                    format!("backends of this file: {}", printable(&names().collect::<Vec<_>>().join(", ")))
                }
            },
        );
    }
}

fn counts_something(document: &Document, draft: &LimitDraft) {
    let limit = &draft.limit;
    let error = |message: &str, hint: &str| document.error(Basis::Whole, &draft.span, message, hint);
    if limits(limit).is_empty() && limit.failed_logins.is_none() {
        return error("this [[limit]] limits nothing", "write what is limited, such as `sessions = 20`");
    }
    let knows_login = !limit.matchers.users.is_empty()
        || !limit.matchers.backends.is_empty()
        || matches!(limit.per, Scope::User | Scope::Backend);
    if limit.connections.is_some() && knows_login {
        return error(
            "a connection has no user and no backend yet: this limit would never count `connections`",
            "limit `sessions`, or count connections per gateway, listener, address or network",
        );
    }
    let is_per_session = matches!(limit.per, Scope::Session);
    if is_per_session && (limit.connections.is_some() || limit.sessions.is_some()) {
        return error(
            "a session is one session of one connection: there is nothing to count per session",
            "count `sessions` and `connections` per address, network, user or gateway",
        );
    }
    if is_per_session && limit.failed_logins.is_some() {
        error(
            "who is locked out per session begins another one",
            "count `failed_logins` per address or user; `login_attempts` of [[listener]] is the limit of a session",
        );
    }
    if limit.failed_logins.is_some_and(|rate| rate.count.get() > FAILURES_MAX) {
        error("`failed_logins` counts up to 1000", "such a limit stops nobody; write a smaller number");
    }
}

/// What a limit limits, each as the name of its key and how tight it is: events are so many in a second, and at once.
fn limits(limit: &Limit) -> Vec<(&'static str, [f64; 2])> {
    let events = |rate: EventRate| {
        let count = f64::from(rate.count.get());
        [count, count / rate.period.as_secs_f64()]
    };
    #[expect(clippy::cast_precision_loss, reason = "they are only compared")]
    let bytes = |bytes: u64| [bytes as f64; 2];
    let found = [
        ("sessions", limit.sessions.map(|most| [f64::from(most); 2])),
        ("connections", limit.connections.map(events)),
        ("commands", limit.commands.map(events)),
        ("upload", limit.upload_rate_bytes.map(bytes)),
        ("download", limit.download_rate_bytes.map(bytes)),
        ("file_size", limit.file_bytes_max.map(bytes)),
    ];
    found.into_iter().filter_map(|(key, tightness)| Some((key, tightness?))).collect()
}

/// A limit that counts the same things as a tighter one, for sessions that all count there too, is never exceeded.
fn warn_of_idle_ones(document: &Document, drafts: &[LimitDraft]) {
    let sound = || drafts.iter().filter(|draft| draft.is_sound);
    for idle in sound().take(COMPARED_MAX) {
        for (key, tightness) in limits(&idle.limit) {
            let is_tighter = |other: &&LimitDraft| {
                !std::ptr::eq(*other, idle)
                    && other.limit.per == idle.limit.per
                    && takes_all_of(&other.limit, &idle.limit)
                    && limits(&other.limit).iter().any(|(name, other_tightness)| {
                        // Of two equal ones the later is idle.
                        let is_first = other.span.start < idle.span.start;
                        *name == key
                            && (0..2).all(|part| other_tightness[part] <= tightness[part])
                            && (is_first || *other_tightness != tightness)
                    })
            };
            if let Some(tighter) = sound().take(COMPARED_MAX).find(is_tighter) {
                document.doubt(
                    &idle.span,
                    format!("`{key}` of this [[limit]] is never reached: another one is as tight or tighter"),
                    "remove it, or make this limit the tighter one",
                    (&tighter.span, "as tight or tighter, for all that it counts"),
                );
            }
        }
    }
}

/// Whether every session that counts for `narrow` counts for `wide`, as far as single elements tell.
fn takes_all_of(wide: &Limit, narrow: &Limit) -> bool {
    fn all_of<T: PartialEq>(wide: &[T], narrow: &[T], holds: fn(&T, &T) -> bool) -> bool {
        let compares = wide.len().max(narrow.len()) <= ELEMENTS_MAX;
        wide.is_empty()
            || wide == narrow
            || (compares
                && !narrow.is_empty()
                && narrow.iter().all(|narrow| wide.iter().any(|wide| holds(wide, narrow))))
    }
    let glob = |wide: &Glob, narrow: &Glob| {
        wide == narrow || (narrow.is_literal() && wide.matches(narrow.as_str().as_bytes()))
    };
    let network = |wide: &IpNet, narrow: &IpNet| wide.contains(narrow);
    let (wide, narrow) = (&wide.matchers, &narrow.matchers);
    all_of(&wide.listeners, &narrow.listeners, String::eq)
        && all_of(&wide.backends, &narrow.backends, String::eq)
        && all_of(&wide.from, &narrow.from, network)
        && all_of(&wide.users, &narrow.users, glob)
}

/// More limits are not compared: each pair is.
const COMPARED_MAX: usize = 200;
/// Longer lists are compared as wholes.
const ELEMENTS_MAX: usize = 16;
/// Each failure is remembered.
const FAILURES_MAX: u32 = 1000;
