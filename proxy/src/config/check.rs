//! What must hold between the tables of a file: names are unique and lead somewhere, addresses do not collide,
//! no backend is the gateway itself, every session of a listener can go somewhere.

mod addresses;
mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::audit::AuditDraft;
use super::backend::BackendDraft;
use super::document::{Basis, Document, Located};
use super::listener::ListenerDraft;
use super::model::{Admin, ClientCertificates, Config, Gateway, Mode};
use super::policy::{self, Assembled, PolicyDraft, PolicyFile, Surroundings};
use super::route::RouteDraft;
use super::spelling::{nearest, printable};
use super::table::Table;
use super::tls::{DEFAULT_PROFILE, ProfileDraft};

/// The tables of a file, read one by one.
pub(super) struct Drafts {
    pub(super) profiles: Vec<ProfileDraft>,
    pub(super) listeners: Vec<ListenerDraft>,
    pub(super) backends: Vec<BackendDraft>,
    pub(super) routes: Vec<RouteDraft>,
    pub(super) policy: PolicyDraft,
    pub(super) audit: Vec<AuditDraft>,
}

/// Checks the parts against each other and puts them together. The result is of use only if no error has been
/// reported.
pub(super) fn assemble(
    document: &Document,
    gateway: Gateway,
    admin: Admin,
    mut drafts: Drafts,
) -> (Config, Vec<PolicyFile>) {
    unique_names(document, "listener", drafts.listeners.iter().map(|draft| &draft.name));
    unique_names(document, "backend", drafts.backends.iter().map(|draft| &draft.name));
    for draft in &drafts.listeners {
        resolve_profile(document, draft, &drafts.profiles);
    }
    for draft in &mut drafts.listeners {
        draft.listener.backend = resolve_backend(document, &draft.backend, &drafts.backends);
    }
    routes::resolve(document, &mut drafts);
    warn_of_unused_profiles(document, &drafts.listeners, &drafts.profiles);
    warn_of_unused_backends(document, &drafts);
    addresses::check(document, &drafts.listeners, &drafts.backends);
    let Assembled { policy, rules, limits } =
        policy::assemble(document, &drafts.policy, &surroundings(&drafts));
    let Drafts { profiles, listeners, backends, routes, policy: PolicyDraft { files, .. }, audit } = drafts;
    let config = Config {
        gateway,
        tls: profiles.into_iter().map(|draft| (draft.name.value, Arc::new(draft.profile))).collect(),
        listeners: listeners.into_iter().map(|draft| Arc::new(draft.listener)).collect(),
        backends: backends.into_iter().map(|draft| Arc::new(draft.backend)).collect(),
        routes: routes.into_iter().map(|draft| draft.route).collect(),
        limits,
        admin,
        policy,
        rules,
        audit: audit.into_iter().map(|draft| draft.audit).collect(),
    };
    (config, files)
}

/// What rules and limits may refer to.
fn surroundings(drafts: &Drafts) -> Surroundings {
    let Drafts { profiles, listeners, backends, .. } = drafts;
    let asks = |listener: &ListenerDraft| {
        let profile = profiles.iter().find(|profile| profile.name.value == listener.tls.value);
        listener.listener.mode != Mode::Plain
            && profile.is_none_or(|profile| profile.profile.client_certificates != ClientCertificates::Off)
    };
    let are_sound = !listeners.is_empty() && listeners.iter().all(|draft| draft.name.is_sound());
    let listener_names = listeners.iter().map(|draft| draft.name.value.clone());
    let are_backends_sound = !backends.is_empty() && backends.iter().all(|draft| draft.name.is_sound());
    let profiles = backends.iter().map(|draft| (draft.name.value.clone(), draft.backend.paths));
    Surroundings {
        listeners: are_sound.then(|| listener_names.collect()),
        backends: are_backends_sound.then(|| profiles.collect()),
        asks_for_certificates: listeners.iter().any(asks),
    }
}

fn unique_names<'l>(document: &Document, noun: &str, names: impl Iterator<Item = &'l Located<String>>) {
    let mut first_by_name = BTreeMap::new();
    for name in names.filter(|name| name.is_sound()) {
        let Some(first) = first_by_name.get(name.value.as_str()) else {
            first_by_name.insert(name.value.as_str(), &name.span);
            continue;
        };
        let hint = if name.is_written() {
            "give this one another name".to_owned()
        } else {
            format!("a [[{noun}]] without `name` is called \"{}\": add a `name`", name.value)
        };
        document.conflict(
            &name.span,
            format!("two {noun}s are called `{}`", printable(&name.value)),
            hint,
            (first, "the first"),
        );
    }
}

fn resolve_profile(document: &Document, draft: &ListenerDraft, profiles: &[ProfileDraft]) {
    let wanted = &draft.tls;
    if !wanted.is_sound() || profiles.iter().any(|profile| profile.name.value == wanted.value) {
        return;
    }
    let names = profiles.iter().map(|profile| profile.name.value.as_str());
    let written = printable(&wanted.value);
    document.error(
        Basis::Whole,
        &wanted.span,
        format!("there is no TLS profile `{written}`"),
        match nearest(&wanted.value, names) {
            Some(nearest) => format!("did you mean `{}`?", printable(nearest)),
            None => format!("add [tls.{written}], or remove the key for the profile `default`"),
        },
    );
}

/// The backend that a `backend` means: the one that it names, or where it is absent the only one there is.
fn resolve_backend(
    document: &Document,
    wanted: &Located<Option<String>>,
    backends: &[BackendDraft],
) -> Option<String> {
    let names = || backends.iter().map(|backend| backend.name.value.as_str());
    let Some(name) = &wanted.value else {
        return match backends {
            [only] => Some(only.name.value.clone()),
            [] | [_, _, ..] => None,
        };
    };
    let all_sound = backends.iter().all(|backend| backend.name.is_sound());
    if all_sound && !backends.is_empty() && names().all(|known| known != name) {
        document.error(
            Basis::Whole,
            &wanted.span,
            format!("there is no backend `{}`", printable(name)),
            match nearest(name, names()) {
                Some(nearest) => format!("did you mean `{}`?", printable(nearest)),
                None => {
                    format!("backends of this file: {}", printable(&names().collect::<Vec<_>>().join(", ")))
                }
            },
        );
    }
    Some(name.clone())
}

fn warn_of_unused_profiles(document: &Document, listeners: &[ListenerDraft], profiles: &[ProfileDraft]) {
    let known = |name: &String| profiles.iter().any(|profile| profile.name.value == *name);
    if !listeners.iter().all(|listener| known(&listener.tls.value)) {
        // A name that leads nowhere has been reported, and may well have meant one of these.
        return;
    }
    for draft in profiles.iter().filter(|draft| draft.name.value != DEFAULT_PROFILE) {
        if listeners.iter().all(|listener| listener.tls.value != draft.name.value) {
            document.warning(
                &draft.name.span,
                format!("no listener uses the TLS profile `{}`", printable(&draft.name.value)),
                "name it with `tls` of a [[listener]], or remove it",
            );
        }
    }
}

fn warn_of_unused_backends(document: &Document, drafts: &Drafts) {
    let Drafts { listeners, backends, routes, .. } = drafts;
    let of_listeners = listeners.iter().filter_map(|draft| draft.listener.backend.as_ref());
    let wanted: BTreeSet<&String> =
        of_listeners.chain(routes.iter().map(|draft| &draft.route.backend)).collect();
    let known: BTreeSet<&String> = backends.iter().map(|draft| &draft.name.value).collect();
    let is_sound = listeners.iter().all(|draft| draft.backend.is_sound());
    if listeners.is_empty() || !is_sound || !wanted.is_subset(&known) {
        // A name that leads nowhere has been reported, and may well have meant one of these.
        return;
    }
    for draft in backends.iter().filter(|draft| !wanted.contains(&draft.name.value)) {
        document.warning(
            &draft.name.span,
            format!("nothing leads to the backend `{}`", printable(&draft.name.value)),
            "name it with `backend` of a [[listener]] or a [[route]], or remove it",
        );
    }
}

/// Reports what every file needs.
pub(super) fn complete(file: &Table<'_>) {
    let missing = match (file.has("listener"), file.has("backend")) {
        (true, true) => return,
        (false, true) => "there is no [[listener]]",
        (true, false) => "there is no [[backend]]",
        (false, false) => "there is no [[listener]] and no [[backend]]",
    };
    let end = file.document.source.text().trim_end().len();
    let hint = format!("a complete configuration is:\n\n{}", MINIMAL.trim_end());
    file.document.error(Basis::Whole, &(end..end), missing, hint);
}

/// The smallest configuration.
pub const MINIMAL: &str = "\
[[listener]]
name = \"ftps\"
mode = \"explicit\"

[[backend]]
name = \"legacy\"
servers = [\"10.2.0.11:21\"]
";
