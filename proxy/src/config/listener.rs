//! `[[listener]]` and `[listener.passive]`: where clients connect.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use toml::de::DeValue;

use super::document::{Basis, Located, Origin};
use super::model::{Advertise, AdvertiseFor, Listener, Mode, Passive, PassivePorts, RequireTls};
use super::schema::Kind;
use super::syntax;
use super::table::Table;
use super::value::{choice, duration, integer, parsed, rate, size};

/// A listener, with the places that checks across tables refer to. Its `backend` is not resolved yet.
pub(super) struct ListenerDraft {
    pub(super) name: Located<String>,
    pub(super) bind: Vec<Located<SocketAddr>>,
    pub(super) tls: Located<String>,
    pub(super) backend: Located<Option<String>>,
    pub(super) passive_ports: Located<PassivePorts>,
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
    let (passive_ports, passive) = passive(&table.table("passive"));
    let listener = Listener {
        name: name.value.clone(),
        bind: bind.iter().map(|address| address.value).collect(),
        bind_written: table.has("bind"),
        mode: mode.value,
        require_tls,
        tls: tls.value.clone(),
        backend: backend.value.clone(),
        proxy_protocol_from: Vec::new(),
        user_at_host: Vec::new(),
        login_attempts: table.read("login_attempts", |value, kind| Ok(narrow(integer(value, kind)?))).value,
        min_rate: table.read("min_rate", rate).value,
        idle_timeout: table.read("idle_timeout", duration).value,
        handshake_timeout: table.read("handshake_timeout", duration).value,
        login_timeout: table.read("login_timeout", duration).value,
        data_connect_timeout: table.read("data_connect_timeout", duration).value,
        active: false,
        active_source_port: 0,
        upload_end: table.read("upload_end", choice).value,
        max_line: table.read("max_line", |value, kind| Ok(narrow(size(value, kind)?))).value,
        max_sessions: table.read("max_sessions", |value, kind| Ok(narrow(integer(value, kind)?))).value,
        passive,
    };
    ListenerDraft { name, bind, tls, backend, passive_ports, listener }
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

fn passive(table: &Table<'_>) -> (Located<PassivePorts>, Passive) {
    let ports = table.read("ports", |value, kind| parsed(value, kind, syntax::passive_ports));
    warn_of_ports(table, &ports);
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
        proxy_protocol: false,
    };
    (ports, passive)
}

fn warn_of_ports(table: &Table<'_>, ports: &Located<PassivePorts>) {
    let PassivePorts::Range(range) = &ports.value else { return };
    if *range.start() < 1024 {
        table.document.warning(
            &ports.span,
            "passive ports below 1024",
            "clients and firewalls mistrust data connections to such ports; take some above 61000",
        );
    }
    if range.start() <= EPHEMERAL.end() && EPHEMERAL.start() <= range.end() {
        table.document.warning(
            &ports.span,
            format!("passive ports among {}-{}", EPHEMERAL.start(), EPHEMERAL.end()),
            "the kernel hands those out to outgoing connections, so that some may be taken when the gateway \
             starts; take some above 61000, or reserve them with net.ipv4.ip_local_reserved_ports",
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

/// A number whose bounds in the tables fit the narrower type.
fn narrow<N: TryFrom<u64>>(number: u64) -> N
where
    N::Error: std::fmt::Debug,
{
    N::try_from(number).expect("the bounds in the tables of keys fit the type of the field")
}

/// Linux's default `net.ipv4.ip_local_port_range`.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;
