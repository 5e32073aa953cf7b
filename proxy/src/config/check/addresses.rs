//! Addresses and ports: nobody takes what another has, and no server is the gateway itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::super::backend::BackendDraft;
use super::super::diagnostic::Span;
use super::super::document::{Document, Located};
use super::super::listener::ListenerDraft;
use super::super::model::{PassivePorts, ServerAddress};
use super::super::spelling::printable;

/// Checks that listeners, data connections and servers do not get into each other's way.
pub(super) fn check(document: &Document, listeners: &[ListenerDraft], backends: &[BackendDraft]) {
    binds_apart(document, listeners);
    passive_ports_apart(document, listeners);
    warn_of_mixed_balancers(document, listeners);
    active_ports_apart(document, listeners, backends);
    source_ports_apart(document, listeners);
    no_loops(document, listeners, backends);
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
        if let Some((other, bind)) = listening_in(listeners, range) {
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

/// A connection to a port that listeners share is known only by where it comes from: what is a balancer's for one would
/// be a client's for another.
fn warn_of_mixed_balancers(document: &Document, listeners: &[ListenerDraft]) {
    let balancers = |draft: &ListenerDraft| {
        let is_proxied = draft.listener.passive.proxy_protocol;
        let from = draft.listener.proxy_protocol_from.iter().copied();
        from.filter(|_| is_proxied).collect::<BTreeSet<IpNet>>()
    };
    for (index, draft) in listeners.iter().enumerate() {
        let PassivePorts::Range(range) = &draft.passive_ports.value else { continue };
        let shared = listeners[..index].iter().find_map(|other| {
            let port = shared_port(range, &other.passive_ports.value)?;
            (balancers(other) != balancers(draft)).then_some((port, other))
        });
        if let Some((port, other)) = shared {
            document.doubt(
                &draft.passive_ports.span,
                format!(
                    "data connections of listener `{}` come to passive port {port}, too, through other balancers",
                    printable(&other.name.value)
                ),
                "give listeners passive ports of their own where `passive.proxy_protocol` or `proxy_protocol_from` \
                 differs",
                (&other.passive_ports.span, "the same ports"),
            );
        }
    }
}

/// The lowest port that is in both.
fn shared_port(range: &RangeInclusive<u16>, other: &PassivePorts) -> Option<u16> {
    let PassivePorts::Range(other) = other else { return None };
    let first = *range.start().max(other.start());
    (range.contains(&first) && other.contains(&first)).then_some(first)
}

/// The ports that servers connect to belong to nobody else.
fn active_ports_apart(document: &Document, listeners: &[ListenerDraft], backends: &[BackendDraft]) {
    for ports in backends.iter().filter_map(|draft| draft.active_ports.as_ref()) {
        let PassivePorts::Range(range) = &ports.value else { continue };
        let hint = if ports.is_written() {
            "take other ports for data connections of servers".to_owned()
        } else {
            format!("without `active_ports` this backend takes {}-{}: add others", range.start(), range.end())
        };
        if let Some((other, bind)) = listening_in(listeners, range) {
            document.conflict(
                &ports.span,
                format!(
                    "active port {} is where listener `{}` listens",
                    bind.value.port(),
                    printable(&other.name.value)
                ),
                hint,
                (&bind.span, "listens here"),
            );
        } else if let Some((port, other)) = listeners
            .iter()
            .find_map(|draft| shared_port(range, &draft.passive_ports.value).map(|port| (port, draft)))
        {
            document.conflict(
                &ports.span,
                format!(
                    "active port {port} is a passive port of listener `{}`",
                    printable(&other.name.value)
                ),
                hint,
                (&other.passive_ports.span, "where clients connect"),
            );
        }
    }
}

/// A port on which something listens cannot be the source of connections.
fn source_ports_apart(document: &Document, listeners: &[ListenerDraft]) {
    for draft in listeners.iter().filter(|draft| draft.listener.active && draft.active_source_port.value != 0)
    {
        let port = draft.active_source_port.value;
        let hint = "20 is the customary port; 0 lets the kernel choose";
        let message = |use_of_port: String| format!("`active_source_port` {port} is {use_of_port}");
        if let Some((other, bind)) = listening_in(listeners, &(port..=port)) {
            document.conflict(
                &draft.active_source_port.span,
                message(format!("where listener `{}` listens", printable(&other.name.value))),
                hint,
                (&bind.span, "listens here"),
            );
        }
        let taken = listeners.iter().find(|other| match &other.passive_ports.value {
            PassivePorts::Range(range) => range.contains(&port),
            PassivePorts::Auto(_) => false,
        });
        if let Some(other) = taken {
            document.conflict(
                &draft.active_source_port.span,
                message(format!("a passive port of listener `{}`", printable(&other.name.value))),
                hint,
                (&other.passive_ports.span, "where clients connect"),
            );
        }
    }
}

fn listening_in<'l>(listeners: &'l [ListenerDraft], ports: &RangeInclusive<u16>) -> Option<Bind<'l>> {
    all_binds(listeners).find(|(_, bind)| bind.is_sound() && ports.contains(&bind.value.port()))
}

fn no_loops(document: &Document, listeners: &[ListenerDraft], backends: &[BackendDraft]) {
    let servers = backends.iter().flat_map(|backend| &backend.servers);
    for server in servers {
        loops_back(document, listeners, &server.value, &server.span);
    }
    for host in listeners.iter().flat_map(|draft| &draft.user_at_host) {
        if host.value.host.is_literal() {
            let server = ServerAddress {
                host: host.value.host.as_str().to_owned(),
                port: host.value.port.unwrap_or(21),
            };
            loops_back(document, listeners, &server, &host.span);
        }
    }
}

fn loops_back(document: &Document, listeners: &[ListenerDraft], server: &ServerAddress, span: &Span) {
    if let Some((draft, bind)) =
        all_binds(listeners).find(|(_, bind)| bind.is_sound() && leads_to(server, bind.value))
    {
        document.conflict(
            span,
            format!("{server} is the gateway itself"),
            "sessions would go round in a circle; move the FTP server to another port, and name that one",
            (&bind.span, &format!("listener `{}` listens on {}", printable(&draft.name.value), bind.value)),
        );
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
