//! Routes: what they name exists, each can be reached, and every session of a listener can go somewhere.

use ftpsgate_policies::Glob;
use ftpsgate_policies::route::Route;
use ipnet::IpNet;

use super::super::document::{Basis, Document, Located};
use super::super::listener::ListenerDraft;
use super::super::model::{ClientCertificates, Mode};
use super::super::route::RouteDraft;
use super::super::spelling::{nearest, printable};
use super::super::tls::ProfileDraft;
use super::{Drafts, resolve_backend};

/// Resolves the names in routes, and checks routes and listeners against each other.
pub(super) fn resolve(document: &Document, drafts: &mut Drafts) {
    let Drafts { profiles, listeners, backends, routes, .. } = drafts;
    for draft in routes.iter_mut() {
        listeners_exist(document, &draft.listeners, listeners);
        match resolve_backend(document, &draft.backend, backends) {
            Some(name) => draft.route.backend = name,
            None => {
                if let ([first, ..], true) = (backends.as_slice(), draft.backend.is_sound()) {
                    document.error(
                        Basis::Whole,
                        &draft.backend.span,
                        "this [[route]] has no `backend`, and there are several",
                        format!(
                            "say where its sessions go: `backend = \"{}\"`",
                            printable(&first.name.value)
                        ),
                    );
                }
            }
        }
        warn_of_what_no_client_shows(document, draft, listeners, profiles);
    }
    warn_of_shadows(document, routes);
    for draft in listeners.iter().filter(|draft| draft.listener.backend.is_none()) {
        let [first, ..] = backends.as_slice() else { continue };
        if !draft.backend.is_sound() || routes.iter().any(|route| admits(route, draft)) {
            continue;
        }
        document.error(
            Basis::Whole,
            &draft.backend.span,
            if routes.is_empty() {
                "this [[listener]] has no `backend`, and there are several"
            } else {
                "this [[listener]] has no `backend`, and no [[route]] takes its sessions"
            },
            format!("say where its sessions go: `backend = \"{}\"`", printable(&first.name.value)),
        );
    }
}

pub(super) fn listeners_exist(document: &Document, wanted: &[Located<String>], listeners: &[ListenerDraft]) {
    if listeners.is_empty() || listeners.iter().any(|listener| !listener.name.is_sound()) {
        return;
    }
    let names = || listeners.iter().map(|listener| listener.name.value.as_str());
    for wanted in wanted.iter().filter(|wanted| names().all(|name| name != wanted.value)) {
        document.error(
            Basis::Whole,
            &wanted.span,
            format!("there is no listener `{}`", printable(&wanted.value)),
            match nearest(&wanted.value, names()) {
                Some(nearest) => format!("did you mean `{}`?", printable(nearest)),
                None => {
                    format!("listeners of this file: {}", printable(&names().collect::<Vec<_>>().join(", ")))
                }
            },
        );
    }
}

/// Whether sessions of a listener may go this way. A route that could not be read may have meant any listener.
fn admits(route: &RouteDraft, listener: &ListenerDraft) -> bool {
    let names = &route.route.listeners;
    !route.is_sound || names.is_empty() || !listener.name.is_sound() || names.contains(&listener.name.value)
}

/// A route that asks for what no client of its listeners can show never matches.
fn warn_of_what_no_client_shows(
    document: &Document,
    draft: &RouteDraft,
    listeners: &[ListenerDraft],
    profiles: &[ProfileDraft],
) {
    let mut of_route = listeners.iter().filter(|listener| admits(draft, listener)).peekable();
    if of_route.peek().is_none() || !draft.is_sound {
        return;
    }
    let of_route: Vec<&ListenerDraft> = of_route.collect();
    if !draft.route.sni.is_empty() && of_route.iter().all(|listener| listener.listener.mode == Mode::Plain) {
        document.warning(
            &draft.sni,
            "this route never matches: plain listeners know no SNI",
            "remove `sni`, or match the name that clients give with HOST: `hosts`",
        );
    }
    let asks = |listener: &&ListenerDraft| {
        let profile = profiles.iter().find(|profile| profile.name.value == listener.tls.value);
        listener.listener.mode != Mode::Plain
            && profile.is_none_or(|profile| profile.profile.client_certificates != ClientCertificates::Off)
    };
    if !draft.route.certificates.is_empty() && !of_route.iter().any(asks) {
        document.warning(
            &draft.certificates,
            "this route never matches: no listener asks clients for certificates",
            "write `client_certificates = \"request\"` or \"require\" in the TLS profile, or remove `certificates`",
        );
    }
}

fn warn_of_shadows(document: &Document, routes: &[RouteDraft]) {
    for (index, later) in routes.iter().enumerate().filter(|(_, route)| route.is_sound) {
        let earlier = routes[..index].iter().filter(|route| route.is_sound);
        if let Some(first) = earlier.into_iter().find(|first| takes_all_of(&first.route, &later.route)) {
            document.doubt(
                &later.span,
                "no session comes to this [[route]]: an earlier one takes them all",
                "put the narrower route first, or remove this one",
                (&first.span, "takes them all"),
            );
        }
    }
}

/// Whether every session that `later` matches is matched by `earlier`, as far as single elements tell.
fn takes_all_of(earlier: &Route, later: &Route) -> bool {
    fn all_of<T: PartialEq>(earlier: &[T], later: &[T], holds: fn(&T, &T) -> bool) -> bool {
        let compares = earlier.len().max(later.len()) <= COMPARED_MAX;
        earlier.is_empty()
            || earlier == later
            || (compares
                && !later.is_empty()
                && later.iter().all(|narrow| earlier.iter().any(|wide| holds(wide, narrow))))
    }
    let glob = |wide: &Glob, narrow: &Glob| {
        wide == narrow || (narrow.is_literal() && wide.matches(narrow.as_str().as_bytes()))
    };
    let network = |wide: &IpNet, narrow: &IpNet| wide.contains(narrow);
    all_of(&earlier.listeners, &later.listeners, String::eq)
        && all_of(&earlier.from, &later.from, network)
        && all_of(&earlier.users, &later.users, glob)
        && all_of(&earlier.sni, &later.sni, glob)
        && all_of(&earlier.hosts, &later.hosts, glob)
        && all_of(&earlier.certificates, &later.certificates, glob)
}

/// Longer lists are compared as wholes: a thousand routes with a hundred users each must not take minutes.
const COMPARED_MAX: usize = 16;
