//! Limits that count nothing, and limits that are never reached beside another one.

use ftpsgate_policies::limit::{self, Limit, Scope};
use ftpsgate_policies::rule::Group;

use super::super::document::{Basis, Document};
use super::limit::LimitDraft;
use super::{origin, shown};

/// Reports what a limit asks for and can never count.
pub(super) fn counts_something(document: &Document, draft: &LimitDraft, groups: &[Group]) {
    let Some(limit) = &draft.limit else { return };
    let error = |message: &str, hint: &str| document.error(Basis::Whole, &draft.span, message, hint);
    if !limits_anything(limit) {
        return error("this [[limit]] limits nothing", "write what is limited, such as `sessions = 20`");
    }
    if limit.connections.is_some() && knows_more_than_a_connection(limit, groups) {
        return error(
            "a connection has no TLS, no user and no backend yet: this limit would never count `connections`",
            "limit `sessions`, or count connections per gateway, listener, address or network",
        );
    }
    let is_per_session = limit.per == Scope::Session;
    if is_per_session && (limit.connections.is_some() || limit.sessions.is_some()) {
        return error(
            "a session is one session of one connection: there is nothing to count per session",
            "count `sessions` and `connections` per address, network, user or gateway",
        );
    }
    if is_per_session && limit.transfers.is_some() {
        return error(
            "a session has one transfer at a time: there is nothing to count per session",
            "count `transfers` per address, network, user or gateway",
        );
    }
    match limit.per {
        Scope::Session if limit.failed_logins.is_some() => error(
            "who is locked out per session begins another one",
            "count `failed_logins` per address or user; `login_attempts` of [[listener]] is the limit of a session",
        ),
        Scope::Gateway | Scope::Listener | Scope::Backend if limit.failed_logins.is_some() => error(
            "one client's wrong passwords would lock everybody out",
            "count `failed_logins` per address, network or user",
        ),
        Scope::Session
        | Scope::Gateway
        | Scope::Listener
        | Scope::Backend
        | Scope::Address
        | Scope::Network { .. }
        | Scope::User => {}
    }
    if limit.failed_logins.is_some_and(|rate| rate.count.get() > FAILURES_MAX) {
        error("`failed_logins` counts up to 1000", "such a limit stops nobody; write a smaller number");
    }
}

fn limits_anything(limit: &Limit) -> bool {
    let Limit {
        name: _,
        origin: _,
        per: _,
        matchers: _,
        sessions,
        transfers,
        connections,
        logins,
        commands,
        failed_logins,
        lockout: _,
        upload_rate_bytes,
        download_rate_bytes,
        file_bytes_max,
    } = limit;
    let events = [connections, logins, commands, failed_logins];
    let bytes = [upload_rate_bytes, download_rate_bytes, file_bytes_max];
    [sessions, transfers].iter().any(|most| most.is_some())
        || events.iter().any(|rate| rate.is_some())
        || bytes.iter().any(|bytes| bytes.is_some())
}

fn knows_more_than_a_connection(limit: &Limit, groups: &[Group]) -> bool {
    let matchers = &limit.matchers;
    let has_users = |name: &String| groups.iter().any(|group| group.name == *name && !group.users.is_empty());
    !matchers.users.is_empty()
        || !matchers.backends.is_empty()
        || !matchers.certificates.is_empty()
        || matchers.tls.is_some()
        || (!matchers.groups.is_empty() && matchers.groups.iter().all(has_users))
        || matches!(limit.per, Scope::User | Scope::Backend)
}

/// A limit that counts the same things as a tighter one is never exceeded.
pub(super) fn warn_of_idle_ones(drafts: &[(&Document, &LimitDraft)]) {
    let sound: Vec<_> =
        drafts.iter().filter_map(|&(file, one)| Some((file, one, one.limit.clone()?))).collect();
    let limits: Vec<Limit> = sound.iter().map(|(_, _, limit)| limit.clone()).collect();
    for idle in limit::idle(&limits) {
        let ((document, draft, _), (file, by, tighter)) = (&sound[idle.limit], &sound[idle.by]);
        let message =
            format!("`{}` of this [[limit]] is never reached: another one is as tight or tighter", idle.key);
        if std::ptr::eq(*document, *file) {
            let related = (&by.span, "as tight or tighter, for all that it counts");
            document.doubt(&draft.span, message, HINT, related);
        } else {
            let place = shown(&origin(&file.source, &by.span));
            let hint =
                format!("that is `{}` ({place}); {HINT}", super::super::spelling::printable(&tighter.name));
            document.warning(&draft.span, message, hint);
        }
    }
}

const HINT: &str = "remove it, or make this limit the tighter one";
/// Each failure is remembered.
const FAILURES_MAX: u32 = 1000;
