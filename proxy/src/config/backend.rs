//! `[[backend]]`: where sessions go.

use std::collections::BTreeMap;
use std::net::IpAddr;

use toml::de::DeValue;

use super::choice::DataWord;
use super::document::{Basis, Document, Located};
use super::listener::warn_of_ports;
use super::model::{
    Backend, BackendData, BackendTlsMode, Balance, PassivePorts, ProxyProtocol, Server, ServerAddress,
};
use super::syntax;
use super::table::{Read, Table};
use super::value::{boolean, choice, duration, integer, narrow, parsed};
use super::{backend_tls, health};

/// A backend, with the places that checks across tables refer to.
pub(super) struct BackendDraft {
    pub(super) name: Located<String>,
    pub(super) servers: Vec<Located<ServerAddress>>,
    /// Where servers connect to the gateway.
    pub(super) active_ports: Option<Located<PassivePorts>>,
    pub(super) backend: Backend,
}

/// Reads every backend.
pub(super) fn read(file: &Table<'_>) -> Vec<BackendDraft> {
    file.tables("backend").iter().map(backend).collect()
}

fn backend(table: &Table<'_>) -> BackendDraft {
    let name = table.read("name", |value, kind| parsed(value, kind, syntax::name));
    let mode: Located<Option<BackendTlsMode>> = table.read("tls", choice);
    let balance = table.read("balance", choice);
    let servers = servers(table, mode.value, balance.value);
    let proxy_protocol = table.read("proxy_protocol", choice);
    let active_ports = active_ports(table, &proxy_protocol);
    let source = table.read("source", |value, kind| parsed(value, kind, syntax::source));
    source_reaches(table.document, &source, &servers);
    let backend = Backend {
        name: name.value.clone(),
        servers: servers
            .iter()
            .map(|draft| Server {
                address: draft.address.value.clone(),
                weight: draft.weight,
                backup: draft.backup,
            })
            .collect(),
        tls: backend_tls::read(table, &mode),
        data: match &active_ports {
            None => BackendData::Passive,
            Some(ports) => BackendData::Active(ports.value.clone()),
        },
        balance: balance.value,
        check: health::read(table, &mode),
        proxy_protocol: proxy_protocol.value,
        source: source.value,
        max_sessions: table.read("max_sessions", |value, kind| Ok(narrow(integer(value, kind)?))).value,
        connect_timeout: table.read("connect_timeout", duration).value,
        reply_timeout: table.read("reply_timeout", duration).value,
        stall_timeout: table.read("stall_timeout", duration).value,
    };
    let servers = servers.into_iter().map(|draft| draft.address).collect();
    BackendDraft { name, servers, active_ports, backend }
}

struct ServerDraft {
    address: Located<ServerAddress>,
    weight: u32,
    backup: bool,
}

fn servers(table: &Table<'_>, mode: Option<BackendTlsMode>, balance: Balance) -> Vec<ServerDraft> {
    if !table.has("servers") {
        table.document.error(
            Basis::Whole,
            &table.span,
            "this [[backend]] has no `servers`",
            "add the server that sessions go to: `servers = [\"10.2.0.11:21\"]`",
        );
        return Vec::new();
    }
    let span = table.span_of("servers");
    if table.text("servers") == Some("original-destination") {
        table.document.error(
            Basis::Value,
            &span,
            "`servers = \"original-destination\"` is not available in this version",
            "name the server: `servers = [\"10.2.0.11:21\"]`",
        );
        return Vec::new();
    }
    let elements = table.elements("servers");
    if elements.is_empty() && table.is_array("servers") {
        table.document.error(
            Basis::Value,
            &span,
            "`servers` is empty",
            "write the server that sessions go to: [\"10.2.0.11:21\"]",
        );
    }
    if let Some(element) = elements.get(SERVERS_MAX) {
        table.document.error(
            Basis::Value,
            &element.value.span(),
            format!("more than {SERVERS_MAX} servers"),
            "divide them among several backends",
        );
    }
    let read: Read<ServerAddress> = match mode {
        None | Some(BackendTlsMode::Explicit) => {
            |value, kind| parsed(value, kind, |text| ServerAddress::parse(text, 21))
        }
        Some(BackendTlsMode::Implicit) => {
            |value, kind| parsed(value, kind, |text| ServerAddress::parse(text, 990))
        }
    };
    let mut servers = Vec::new();
    for element in elements.iter().take(SERVERS_MAX) {
        let DeValue::Table(_) = element.value.get_ref() else {
            let address = table.element("servers", element, read);
            servers.extend(address.map(|address| ServerDraft { address, weight: 1, backup: false }));
            continue;
        };
        let Some(server) = table.element_table("servers", element) else { continue };
        let address = server.required("address", read);
        let weight = server.read("weight", |value, kind| Ok(narrow(integer(value, kind)?)));
        let backup = server.read("backup", boolean).value;
        if balance == Balance::First && weight.is_written() {
            table.document.warning(
                &weight.span,
                "`weight` has no effect with `balance = \"first\"`",
                "remove it; the servers are filled in the order in which they are written",
            );
        }
        servers.extend(address.value.map(|value| ServerDraft {
            address: Located { value, span: address.span, origin: address.origin },
            weight: weight.value,
            backup,
        }));
    }
    each_once(table.document, &servers);
    if servers.len() == elements.len() && !servers.is_empty() && servers.iter().all(|server| server.backup) {
        table.document.warning(
            &span,
            "every server of this backend is a backup",
            "remove `backup` from the servers that sessions shall go to first",
        );
    }
    servers
}

fn each_once(document: &Document, servers: &[ServerDraft]) {
    let mut first_by_address = BTreeMap::new();
    for ServerDraft { address, .. } in servers {
        let key = (address.value.host.to_ascii_lowercase(), address.value.port);
        let Some(first) = first_by_address.get(&key) else {
            first_by_address.insert(key, &address.span);
            continue;
        };
        document.conflict(
            &address.span,
            format!("{} is named twice", address.value),
            "keep one; for a larger share of the sessions write `{ address = \"…\", weight = 2 }`",
            (first, "the first"),
        );
    }
}

/// The ports that servers connect to; `None` where the gateway connects to them.
fn active_ports(table: &Table<'_>, proxy_protocol: &Located<ProxyProtocol>) -> Option<Located<PassivePorts>> {
    let data = table.read("data", choice);
    let ports = table.read("active_ports", |value, kind| parsed(value, kind, syntax::passive_ports));
    match data.value {
        DataWord::Passive => {
            if ports.is_written() && data.is_sound() {
                table.document.warning(
                    &ports.span,
                    "`active_ports` has no effect while `data` is \"passive\"",
                    "remove it, or write `data = \"active\"`",
                );
            }
            None
        }
        DataWord::Active => {
            warn_of_ports(table.document, &ports, "active ports", 62000);
            if proxy_protocol.value == ProxyProtocol::V2Data {
                table.document.warning(
                    &proxy_protocol.span,
                    "no PROXY header comes with data connections that servers open",
                    "with `data = \"active\"` write `proxy_protocol = \"v2\"`",
                );
            }
            Some(ports)
        }
    }
}

/// A socket that is bound to an address of one family reaches no address of the other.
fn source_reaches(document: &Document, source: &Located<Option<IpAddr>>, servers: &[ServerDraft]) {
    let Some(source_ip) = source.value else { return };
    for ServerDraft { address, .. } in servers {
        let Ok(server_ip) = address.value.host.parse::<IpAddr>() else { continue };
        if server_ip.is_ipv4() != source_ip.is_ipv4() {
            document.conflict(
                &source.span,
                format!("{} cannot be reached from {source_ip}", address.value),
                "write a `source` of the server's address family, or \"auto\"",
                (&address.span, "the server"),
            );
            return;
        }
    }
}

/// Health checks and balancing go through all of them.
const SERVERS_MAX: usize = 1000;
