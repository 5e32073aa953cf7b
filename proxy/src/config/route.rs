//! `[[route]]`: which sessions go where.

use ftpsgate_policies::Glob;
use ftpsgate_policies::route::Route;

use super::diagnostic::Span;
use super::document::{Basis, Located};
use super::pattern;
use super::syntax;
use super::table::{Read, Table};
use super::value::parsed;

/// A route, with the places that checks across tables refer to. Its `backend` is not resolved yet.
pub(super) struct RouteDraft {
    pub(super) span: Span,
    pub(super) backend: Located<Option<String>>,
    pub(super) listeners: Vec<Located<String>>,
    /// Of `sni` and `certificates`.
    pub(super) sni: Span,
    pub(super) certificates: Span,
    /// Whether all its matchers could be read.
    pub(super) is_sound: bool,
    pub(super) route: Route,
}

/// Reads every route.
pub(super) fn read(file: &Table<'_>) -> Vec<RouteDraft> {
    file.tables("route").iter().map(route).collect()
}

fn route(table: &Table<'_>) -> RouteDraft {
    let exact: Read<Glob> = |value, kind| parsed(value, kind, pattern::exact_case);
    let any: Read<Glob> = |value, kind| parsed(value, kind, pattern::any_case);
    let mut is_sound = true;
    let listeners: Vec<Located<String>> =
        list(table, "listeners", |value, kind| parsed(value, kind, syntax::name), &mut is_sound);
    let backend = table.optional("backend", |value, kind| parsed(value, kind, syntax::name));
    let route = Route {
        users: values(list(table, "users", exact, &mut is_sound)),
        sni: values(list(table, "sni", any, &mut is_sound)),
        hosts: values(list(table, "hosts", any, &mut is_sound)),
        from: values(list(table, "from", |value, kind| parsed(value, kind, syntax::network), &mut is_sound)),
        certificates: values(list(table, "certificates", exact, &mut is_sound)),
        listeners: listeners.iter().map(|name| name.value.clone()).collect(),
        rewrite_user: table.optional("rewrite_user", |value, kind| parsed(value, kind, syntax::user)).value,
        backend: backend.value.clone().unwrap_or_default(),
    };
    RouteDraft {
        span: table.span.clone(),
        backend,
        listeners,
        sni: table.span_of("sni"),
        certificates: table.span_of("certificates"),
        is_sound,
        route,
    }
}

/// A matcher. Where it is written it has an element: what an empty one would match is anybody's guess.
fn list<T>(table: &Table<'_>, name: &str, read: Read<T>, is_sound: &mut bool) -> Vec<Located<T>> {
    let elements = table.elements(name);
    if elements.is_empty() && table.is_array(name) {
        table.document.error(
            Basis::Value,
            &table.span_of(name),
            format!("`{name}` is empty"),
            "write what the route is for, or leave the key out for a route that takes everybody",
        );
    }
    let read: Vec<_> = elements.iter().filter_map(|element| table.element(name, element, read)).collect();
    *is_sound &= !table.has(name) || (!read.is_empty() && read.len() == elements.len());
    read
}

fn values<T>(list: Vec<Located<T>>) -> Vec<T> {
    list.into_iter().map(|located| located.value).collect()
}
