//! What must hold between the tables of a file: names are unique and lead somewhere, addresses do not collide,
//! no backend is the gateway itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::backend::BackendDraft;
use super::document::{Basis, Document, Located};
use super::listener::ListenerDraft;
use super::model::{Config, Gateway, PassivePorts, ServerAddress};
use super::spelling::{nearest, printable};
use super::table::Table;
use super::tls::{DEFAULT_PROFILE, ProfileDraft};

/// Checks the parts against each other and puts them together. The result is of use only if no error has been
/// reported.
pub(super) fn assemble(
    document: &Document,
    gateway: Gateway,
    profiles: Vec<ProfileDraft>,
    mut listeners: Vec<ListenerDraft>,
    backends: Vec<BackendDraft>,
) -> Config {
    unique_names(document, "listener", listeners.iter().map(|draft| &draft.name));
    unique_names(document, "backend", backends.iter().map(|draft| &draft.name));
    for draft in &mut listeners {
        resolve_profile(document, draft, &profiles);
        resolve_backend(document, draft, &backends);
    }
    warn_of_unused_profiles(document, &listeners, &profiles);
    warn_of_unused_backends(document, &listeners, &backends);
    binds_apart(document, &listeners);
    passive_ports_apart(document, &listeners);
    no_loops(document, &listeners, &backends);
    Config {
        gateway,
        tls: profiles.into_iter().map(|draft| (draft.name.value, Arc::new(draft.profile))).collect(),
        listeners: listeners.into_iter().map(|draft| Arc::new(draft.listener)).collect(),
        backends: backends.into_iter().map(|draft| Arc::new(draft.backend)).collect(),
        routes: Vec::new(),
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

fn resolve_backend(document: &Document, draft: &mut ListenerDraft, backends: &[BackendDraft]) {
    let wanted = &draft.backend;
    let names: Vec<_> = backends.iter().map(|backend| backend.name.value.as_str()).collect();
    let all_sound = backends.iter().all(|backend| backend.name.is_sound());
    match &wanted.value {
        Some(name) if names.contains(&name.as_str()) || !all_sound || backends.is_empty() => {}
        Some(name) => document.error(
            Basis::Whole,
            &wanted.span,
            format!("there is no backend `{}`", printable(name)),
            match nearest(name, names.iter().copied()) {
                Some(nearest) => format!("did you mean `{}`?", printable(nearest)),
                None => format!("backends of this file: {}", printable(&names.join(", "))),
            },
        ),
        None => match names.as_slice() {
            [only] => draft.listener.backend = Some((*only).to_owned()),
            [] => {}
            [first, ..] if wanted.is_sound() => document.error(
                Basis::Whole,
                &wanted.span,
                "this [[listener]] has no `backend`, and there are several",
                format!("say where its sessions go: `backend = \"{}\"`", printable(first)),
            ),
            [..] => {}
        },
    }
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

fn warn_of_unused_backends(document: &Document, listeners: &[ListenerDraft], backends: &[BackendDraft]) {
    let known = |name: &String| backends.iter().any(|backend| backend.name.value == *name);
    if !listeners.iter().all(|listener| listener.listener.backend.as_ref().is_some_and(known)) {
        return;
    }
    for draft in backends {
        if listeners.iter().all(|listener| listener.listener.backend.as_ref() != Some(&draft.name.value)) {
            document.warning(
                &draft.name.span,
                format!("no listener leads to the backend `{}`", printable(&draft.name.value)),
                "name it with `backend` of a [[listener]], or remove it",
            );
        }
    }
}

fn binds_apart(document: &Document, listeners: &[ListenerDraft]) {
    let mut taken = Taken::default();
    for (draft, bind) in all_binds(listeners).filter(|(_, bind)| bind.is_sound() && bind.value.port() != 0) {
        let Some((first, other)) = taken.take(draft, bind) else { continue };
        let by = printable(&first.name.value);
        document.conflict(
            &bind.span,
            format!("{} is taken by {} of listener `{by}`", bind.value, other.value),
            if draft.listener.bind_written {
                "give each listener addresses and ports of its own".to_owned()
            } else {
                format!("without `bind` this listener takes {}: add a `bind` of its own", bind.value)
            },
            (&other.span, "the first"),
        );
        if !draft.listener.bind_written {
            // Both families of a default bind collide: one error says it.
            taken.excused.insert(bind.span.start);
        }
    }
}

type Bind<'l> = (&'l ListenerDraft, &'l Located<SocketAddr>);

/// Who listens where. The kernel refuses a second listener on an address, and one on all addresses of a family
/// beside any other of the same port.
#[derive(Default)]
struct Taken<'l> {
    by_address: BTreeMap<SocketAddr, Bind<'l>>,
    /// The first of each port and family.
    by_port: BTreeMap<(u16, bool), Bind<'l>>,
    /// Listeners, by their place, that have been reported.
    excused: BTreeSet<usize>,
}

impl<'l> Taken<'l> {
    /// Takes an address, unless it is taken: then by whom.
    fn take(&mut self, draft: &'l ListenerDraft, bind: &'l Located<SocketAddr>) -> Option<Bind<'l>> {
        if self.excused.contains(&bind.span.start) {
            return None;
        }
        let address = bind.value;
        let port = (address.port(), address.is_ipv4());
        let all: IpAddr =
            if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let same = self.by_address.get(&address);
        let wider = self.by_address.get(&SocketAddr::new(all, address.port()));
        let narrower = self.by_port.get(&port).filter(|_| address.ip().is_unspecified());
        if let Some(by) = same.or(wider).or(narrower) {
            return Some(*by);
        }
        self.by_address.insert(address, (draft, bind));
        self.by_port.entry(port).or_insert((draft, bind));
        None
    }
}

fn all_binds(listeners: &[ListenerDraft]) -> impl Iterator<Item = Bind<'_>> {
    listeners.iter().flat_map(|draft| draft.bind.iter().map(move |bind| (draft, bind)))
}

fn passive_ports_apart(document: &Document, listeners: &[ListenerDraft]) {
    for draft in listeners {
        let PassivePorts::Range(range) = &draft.passive_ports.value else { continue };
        let taken =
            all_binds(listeners).find(|(_, bind)| bind.is_sound() && range.contains(&bind.value.port()));
        if let Some((other, bind)) = taken {
            document.conflict(
                &draft.passive_ports.span,
                format!(
                    "passive port {} is where listener `{}` listens",
                    bind.value.port(),
                    printable(&other.name.value)
                ),
                "take other ports for data connections",
                (&bind.span, "listens here"),
            );
        }
    }
}

fn no_loops(document: &Document, listeners: &[ListenerDraft], backends: &[BackendDraft]) {
    for server in backends.iter().flat_map(|backend| &backend.servers) {
        if let Some((draft, bind)) =
            all_binds(listeners).find(|(_, bind)| bind.is_sound() && leads_to(&server.value, bind.value))
        {
            document.conflict(
                &server.span,
                format!("{} is the gateway itself", server.value),
                "sessions would go round in a circle; move the FTP server to another port, and name that one",
                (
                    &bind.span,
                    &format!("listener `{}` listens on {}", printable(&draft.name.value), bind.value),
                ),
            );
        }
    }
}

/// Whether dialling the server would end at this address, as far as the texts alone can tell.
fn leads_to(server: &ServerAddress, bind: SocketAddr) -> bool {
    if server.port != bind.port() {
        return false;
    }
    let local = |address: IpAddr| {
        let address = address.to_canonical();
        address == bind.ip()
            || (bind.ip().is_unspecified() && address.is_loopback() && address.is_ipv4() == bind.is_ipv4())
    };
    match server.host.parse::<IpAddr>() {
        Ok(address) => local(address),
        Err(_) => {
            server.host.eq_ignore_ascii_case("localhost")
                && (bind.ip().is_unspecified() || bind.ip().is_loopback())
        }
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
