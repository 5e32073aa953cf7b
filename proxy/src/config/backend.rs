//! `[[backend]]`: where sessions go.

use std::time::Duration;

use toml::de::DeValue;

use super::document::{Basis, Located};
use super::model::{Backend, BackendData, Balance, Check, CheckKind, ProxyProtocol, Server, ServerAddress};
use super::schema::Kind;
use super::spelling::printable;
use super::syntax;
use super::syntax::SyntaxError;
use super::table::Table;
use super::value::{duration, parsed};

/// A backend, with the places that checks across tables refer to.
pub(super) struct BackendDraft {
    pub(super) name: Located<String>,
    pub(super) servers: Vec<Located<ServerAddress>>,
    pub(super) backend: Backend,
}

/// Reads every backend.
pub(super) fn read(file: &Table<'_>) -> Vec<BackendDraft> {
    file.tables("backend").iter().map(backend).collect()
}

fn backend(table: &Table<'_>) -> BackendDraft {
    let name = table.read("name", |value, kind| parsed(value, kind, syntax::name));
    let servers = servers(table);
    table.read("tls", tls);
    let backend = Backend {
        name: name.value.clone(),
        servers: servers
            .iter()
            .map(|server| Server { address: server.value.clone(), weight: 1, backup: false })
            .collect(),
        tls: None,
        data: BackendData::Passive,
        balance: Balance::LeastSessions,
        check: Check { kind: CheckKind::Greeting, every: Duration::from_secs(10), fall: 3, rise: 2 },
        proxy_protocol: ProxyProtocol::Off,
        source: None,
        max_sessions: 0,
        connect_timeout: table.read("connect_timeout", duration).value,
        reply_timeout: table.read("reply_timeout", duration).value,
        stall_timeout: table.read("stall_timeout", duration).value,
    };
    BackendDraft { name, servers, backend }
}

fn servers(table: &Table<'_>) -> Vec<Located<ServerAddress>> {
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
    if let [_, second, ..] = elements.as_slice() {
        table.document.error(
            Basis::Value,
            &second.value.span(),
            "more than one server is not available in this version",
            "keep one; a further server can be a [[backend]] of its own",
        );
    }
    let read = |value: &DeValue<'_>, kind: &Kind| parsed(value, kind, str::parse::<ServerAddress>);
    let mut servers = Vec::new();
    for element in &elements {
        if let DeValue::Table(_) = element.value.get_ref() {
            let Some(server) = table.element_table("servers", element) else { continue };
            let address = server.required("address", read);
            servers.extend(address.value.map(|value| Located {
                value,
                span: address.span,
                origin: address.origin,
            }));
        } else {
            servers.extend(table.element("servers", element, read));
        }
    }
    servers
}

/// Only "off" in this version; the other words are known.
fn tls(value: &DeValue<'_>, kind: &Kind) -> Result<(), SyntaxError> {
    parsed(value, kind, |text| match text {
        "off" => Ok(()),
        "explicit" | "implicit" => Err(SyntaxError::new(
            format!("\"{text}\" is not available in this version"),
            "sessions go to the server as plain FTP: write \"off\", or remove the key",
        )),
        other => Err(SyntaxError::new(
            format!("must be \"off\", not \"{}\"", printable(other)),
            "sessions go to the server as plain FTP: write \"off\", or remove the key",
        )),
    })
}
