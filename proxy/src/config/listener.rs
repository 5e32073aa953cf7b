//! `[[listener]]` and `[listener.passive]`: where clients connect.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ftpsgate_policies::route::AllowedHost;
use ipnet::IpNet;
use toml::de::DeValue;

use super::choice::Switch;
use super::document::{Basis, Document, Located, Origin};
use super::model::{Advertise, AdvertiseFor, Listener, Mode, Passive, PassivePorts, RequireTls};
use super::pattern;
use super::schema::Kind;
use super::syntax;
use super::table::Table;
use super::value::{boolean, choice, duration, integer, narrow, parsed, rate, size};

/// A listener, with the places that checks across tables refer to. Its `backend` is not resolved yet.
pub(super) struct ListenerDraft {
    pub(super) name: Located<String>,
    pub(super) bind: Vec<Located<SocketAddr>>,
    pub(super) tls: Located<String>,
    pub(super) backend: Located<Option<String>>,
    pub(super) passive_ports: Located<PassivePorts>,
    pub(super) active_source_port: Located<u16>,
    pub(super) user_at_host: Vec<Located<AllowedHost>>,
    pub(super) listener: Listener,
}

/// Reads every listener.
pub(super) fn read(file: &Table<'_>) -> Vec<ListenerDraft> {
    file.tables("listener").iter().map(listener).collect()
}

/// Where a listener of this mode listens if nothing else is written.
pub(super) fn default_bind(mode: Mode) -> Vec<SocketAddr> {
    let port = match mode {
        Mode::Explicit | Mode::Plain => 21,
        Mode::Implicit => 990,
    };
    vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
}

fn listener(table: &Table<'_>) -> ListenerDraft {
    let name = table.read("name", |value, kind| parsed(value, kind, syntax::name));
    let mode = table.read("mode", choice);
    let bind = bind(table, &mode);
    let require_tls = require_tls(table, &mode);
    let tls = table.read("tls", |value, kind| parsed(value, kind, syntax::name));
    if mode.value == Mode::Plain && tls.is_written() {
        table.document.warning(
            &tls.span,
            "`tls` has no effect on a plain listener",
            "remove it, or write `mode = \"explicit\"`",
        );
    }
    let backend = table.optional("backend", |value, kind| parsed(value, kind, syntax::name));
    let (is_proxied, proxy_protocol_from) = proxy_protocol_from(table);
    let user_at_host = user_at_host(table);
    let (active, active_source_port) = active(table);
    let (passive_ports, passive) = passive(&table.table("passive"), is_proxied);
    let listener = Listener {
        name: name.value.clone(),
        bind: bind.iter().map(|address| address.value).collect(),
        bind_written: table.has("bind"),
        mode: mode.value,
        require_tls,
        tls: tls.value.clone(),
        backend: backend.value.clone(),
        proxy_protocol_from,
        user_at_host: user_at_host.iter().map(|host| host.value.clone()).collect(),
        login_attempts: table.read("login_attempts", |value, kind| Ok(narrow(integer(value, kind)?))).value,
        min_rate: table.read("min_rate", rate).value,
        idle_timeout: table.read("idle_timeout", duration).value,
        handshake_timeout: table.read("handshake_timeout", duration).value,
        login_timeout: table.read("login_timeout", duration).value,
        data_connect_timeout: table.read("data_connect_timeout", duration).value,
        active,
        active_source_port: active_source_port.value,
        upload_end: table.read("upload_end", choice).value,
        max_line: table.read("max_line", |value, kind| Ok(narrow(size(value, kind)?))).value,
        max_sessions: table.read("max_sessions", |value, kind| Ok(narrow(integer(value, kind)?))).value,
        passive,
    };
    ListenerDraft { name, bind, tls, backend, passive_ports, active_source_port, user_at_host, listener }
}

fn bind(table: &Table<'_>, mode: &Located<Mode>) -> Vec<Located<SocketAddr>> {
    if !table.has("bind") {
        // Where the mode cannot be read, nobody knows which ports were meant.
        let origin = if mode.is_sound() { Origin::Default } else { Origin::Faulty };
        let located = |value| Located { value, span: table.span.clone(), origin };
        return default_bind(mode.value).into_iter().map(located).collect();
    }
    let elements = table.elements("bind");
    if elements.is_empty() && table.is_array("bind") {
        table.document.error(
            Basis::Value,
            &table.span_of("bind"),
            "`bind` is empty",
            "write at least one address such as \"0.0.0.0:21\", or leave the key out",
        );
    }
    let read = |value: &DeValue<'_>, kind: &Kind| parsed(value, kind, syntax::parse_bind);
    elements.iter().filter_map(|element| table.element("bind", element, read)).collect()
}

fn require_tls(table: &Table<'_>, mode: &Located<Mode>) -> RequireTls {
    let written = table.optional("require_tls", choice);
    match (mode.value, written.value) {
        (Mode::Plain, Some(RequireTls::Data | RequireTls::Login)) => {
            table.document.conflict(
                &written.span,
                "a plain listener cannot require TLS",
                "remove `require_tls`, or write `mode = \"explicit\"`",
                (&mode.span, "no TLS is offered here"),
            );
            RequireTls::No
        }
        (Mode::Plain, Some(RequireTls::No) | None) => RequireTls::No,
        (Mode::Explicit | Mode::Implicit, written) => written.unwrap_or(RequireTls::Data),
    }
}

/// Whether anybody is named, rightly or wrongly, and who.
fn proxy_protocol_from(table: &Table<'_>) -> (bool, Vec<IpNet>) {
    let read = |value: &DeValue<'_>, kind: &Kind| parsed(value, kind, syntax::network);
    let elements = table.elements("proxy_protocol_from");
    let networks: Vec<Located<IpNet>> =
        elements.iter().filter_map(|element| table.element("proxy_protocol_from", element, read)).collect();
    for network in networks.iter().filter(|network| network.value.prefix_len() == 0) {
        table.document.warning(
            &network.span,
            format!("with {} anybody may claim to be any client", network.value),
            "write the addresses of your load balancers alone",
        );
    }
    (!elements.is_empty(), networks.into_iter().map(|network| network.value).collect())
}

fn user_at_host(table: &Table<'_>) -> Vec<Located<AllowedHost>> {
    let read = |value: &DeValue<'_>, kind: &Kind| parsed(value, kind, pattern::allowed_host);
    let elements = table.elements("user_at_host");
    let hosts: Vec<Located<AllowedHost>> =
        elements.iter().filter_map(|element| table.element("user_at_host", element, read)).collect();
    for host in &hosts {
        if UNRELATED_HOSTS.iter().all(|name| host.value.host.matches(name.as_bytes())) {
            table.document.warning(
                &host.span,
                "clients may have the gateway connect to any host, inside and outside: an open relay",
                "name the servers that they may ask for, such as \"*.example.com\"",
            );
        }
    }
    hosts
}

fn active(table: &Table<'_>) -> (bool, Located<u16>) {
    let active = table.read("active", choice);
    let source_port = table.read("active_source_port", |value, kind| Ok(narrow(integer(value, kind)?)));
    let active = match active.value {
        Switch::On => true,
        Switch::Off => false,
    };
    if !active && source_port.value != 0 {
        table.document.warning(
            &source_port.span,
            "`active_source_port` has no effect while `active` is \"off\"",
            "remove it, or write `active = \"on\"`",
        );
    }
    (active, source_port)
}

fn passive(table: &Table<'_>, is_proxied: bool) -> (Located<PassivePorts>, Passive) {
    let ports = table.read("ports", |value, kind| parsed(value, kind, syntax::passive_ports));
    warn_of_ports(table.document, &ports, "passive ports", 61000);
    let proxy_protocol = table.read("proxy_protocol", boolean);
    if proxy_protocol.value && !is_proxied {
        table.document.error(
            Basis::Whole,
            &proxy_protocol.span,
            "`passive.proxy_protocol` needs `proxy_protocol_from`",
            "say who may send PROXY headers: `proxy_protocol_from = [\"10.0.0.0/8\"]` in this [[listener]]",
        );
    }
    let advertise = table.read("advertise", |value, kind| parsed(value, kind, syntax::advertise));
    if let Advertise::Address(address @ IpAddr::V6(_)) = advertise.value {
        table.document.warning(
            &advertise.span,
            format!("no client will ever be told {address}"),
            "only the 227 carries an address, and it has room for IPv4 alone",
        );
    }
    let passive = Passive {
        ports: ports.value.clone(),
        peer: table.read("peer", |value, kind| parsed(value, kind, syntax::passive_peer)).value,
        advertise: advertise.value,
        advertise_for: advertise_for(table),
        proxy_protocol: proxy_protocol.value,
    };
    (ports, passive)
}

/// Warns of a range of ports that others use: `noun` says what the range is for, `above` where a better one is.
pub(super) fn warn_of_ports(document: &Document, ports: &Located<PassivePorts>, noun: &str, above: u16) {
    let PassivePorts::Range(range) = &ports.value else { return };
    if *range.start() < 1024 {
        document.warning(
            &ports.span,
            format!("{noun} below 1024"),
            format!("clients and firewalls mistrust data connections to such ports; take some above {above}"),
        );
    }
    if range.start() <= EPHEMERAL.end() && EPHEMERAL.start() <= range.end() {
        document.warning(
            &ports.span,
            format!("{noun} among {}-{}", EPHEMERAL.start(), EPHEMERAL.end()),
            format!(
                "the kernel hands those out to outgoing connections, so that some may be taken when the gateway \
                 starts; take some above {above}, or reserve them with net.ipv4.ip_local_reserved_ports"
            ),
        );
    }
}

fn advertise_for(table: &Table<'_>) -> Vec<AdvertiseFor> {
    let mut seen = BTreeMap::new();
    let mut exceptions = Vec::new();
    for element in table.elements("advertise_for") {
        let Some(entry) = table.element_table("advertise_for", &element) else { continue };
        let from = entry.required("from", |value, kind| parsed(value, kind, syntax::network));
        let address = entry.required("address", |value, kind| parsed(value, kind, syntax::address));
        let (Some(network), Some(address)) = (from.value, address.value) else { continue };
        if let Some(first) = seen.insert(network, from.span.clone()) {
            table.document.conflict(
                &from.span,
                format!("two addresses are advertised for {network}"),
                "keep one of them",
                (&first, "the first"),
            );
        }
        exceptions.push(AdvertiseFor { from: network, address });
    }
    exceptions
}

/// Linux's default `net.ipv4.ip_local_port_range`.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;

/// A pattern that matches all of these matches any host.
const UNRELATED_HOSTS: [&str; 2] = ["ftp.example.com", "192.0.2.1"];
