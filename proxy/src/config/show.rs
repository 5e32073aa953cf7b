//! Writes a [`Config`] as the complete TOML that means the same: every key, defaults included, in the order of
//! the documentation. Reading it gives an equal [`Config`].

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value as Json};
use toml::Value;

use super::choice::Choice;
use super::model::{
    Advertise, Backend, Config, Gateway, Listener, Passive, PassivePeer, PassivePorts, TlsProfile,
};
use super::units::{format_duration, format_rate, format_size};

/// A configuration as TOML.
///
/// A `bind` that was not written stays a comment, because writing it would turn a missing address family from
/// a warning into an error.
#[must_use]
pub fn to_toml(config: &Config) -> String {
    let mut text = String::from("version = 1\n");
    for table in tables(config) {
        text += &format!("\n{}\n", table.header);
        for entry in table.entries {
            let comment = if entry.written { "" } else { "# " };
            text += &format!("{comment}{} = {}\n", entry.key, entry.value);
        }
    }
    text
}

/// A configuration as JSON, of the same shape as the TOML.
#[must_use]
pub fn to_json(config: &Config) -> Json {
    let mut root = Map::new();
    root.insert("version".to_owned(), 1.into());
    for table in tables(config) {
        let entries: Map<String, Json> = table
            .entries
            .into_iter()
            .map(|entry| {
                let value =
                    serde_json::to_value(entry.value).expect("these TOML values have JSON counterparts");
                (entry.key.to_owned(), value)
            })
            .collect();
        table.position.insert(&mut root, Json::Object(entries));
    }
    Json::Object(root)
}

struct Table {
    header: String,
    position: Position,
    entries: Vec<Entry>,
}

/// Where a table stands in the tree.
enum Position {
    /// `[name]`
    One(&'static str),
    /// `[parent.name]`
    Named(&'static str, String),
    /// `[[name]]`
    Next(&'static str),
    /// `[parent.name]` below the last `[[parent]]`
    BelowLast(&'static str, &'static str),
}

impl Position {
    fn insert(self, root: &mut Map<String, Json>, table: Json) {
        let (parent, path) = match self {
            Self::One(name) => (None, name.to_owned()),
            Self::Named(parent, name) => {
                (Some(root.entry(parent).or_insert_with(|| Json::Object(Map::new()))), name)
            }
            Self::Next(name) => {
                let all = root.entry(name).or_insert_with(|| Json::Array(Vec::new()));
                if let Json::Array(all) = all {
                    all.push(table);
                }
                return;
            }
            Self::BelowLast(parent, name) => (
                root.get_mut(parent).and_then(Json::as_array_mut).and_then(|all| all.last_mut()),
                name.to_owned(),
            ),
        };
        match parent {
            Some(parent) => parent[path] = table,
            None => {
                root.insert(path, table);
            }
        }
    }
}

struct Entry {
    key: &'static str,
    value: Value,
    written: bool,
}

fn entry(key: &'static str, value: impl Into<Value>) -> Entry {
    Entry { key, value: value.into(), written: true }
}

fn tables(config: &Config) -> Vec<Table> {
    let mut tables = vec![gateway(&config.gateway)];
    tables.extend(config.tls.values().map(|each| profile(each)));
    for each in &config.listeners {
        tables.push(listener(each));
        tables.push(passive(&each.passive));
    }
    tables.extend(config.backends.iter().map(|each| backend(each)));
    tables
}

fn gateway(gateway: &Gateway) -> Table {
    Table {
        header: "[gateway]".to_owned(),
        position: Position::One("gateway"),
        entries: vec![
            entry("name", gateway.name.as_str()),
            entry("state_dir", path(&gateway.state_dir)),
            entry("drain_timeout", format_duration(gateway.drain_timeout)),
            entry("banner", gateway.banner.as_str()),
        ],
    }
}

fn profile(profile: &TlsProfile) -> Table {
    let mut entries = Vec::new();
    if !profile.certificates.is_empty() {
        let pairs = profile.certificates.iter();
        let pairs = pairs.map(|pair| inline([("chain", path(&pair.chain)), ("key", path(&pair.key))]));
        entries.push(entry("certificates", pairs.collect::<Vec<_>>()));
    }
    entries.extend([
        entry("fallback", profile.fallback.word()),
        entry("min_version", profile.min_version.word()),
        entry("max_version", profile.max_version.word()),
        entry("require_ems", profile.require_ems),
        entry("data_resumption", profile.data_resumption.word()),
        entry("client_certificates", profile.client_certificates.word()),
    ]);
    entries.extend(profile.client_ca.as_deref().map(|file| entry("client_ca", path(file))));
    entries.extend(profile.client_crl.as_deref().map(|file| entry("client_crl", path(file))));
    Table {
        header: format!("[tls.{}]", key(&profile.name)),
        position: Position::Named("tls", profile.name.clone()),
        entries,
    }
}

fn listener(listener: &Listener) -> Table {
    let bind: Vec<Value> = listener.bind.iter().map(SocketAddr::to_string).map(Value::from).collect();
    Table {
        header: "[[listener]]".to_owned(),
        position: Position::Next("listener"),
        entries: vec![
            entry("name", listener.name.as_str()),
            Entry { key: "bind", value: bind.into(), written: listener.bind_written },
            entry("mode", listener.mode.word()),
            entry("require_tls", listener.require_tls.word()),
            entry("tls", listener.tls.as_str()),
            entry("backend", listener.backend.clone().unwrap_or_default()),
            entry("login_attempts", i64::from(listener.login_attempts)),
            entry("min_rate", format_rate(listener.min_rate)),
            entry("idle_timeout", format_duration(listener.idle_timeout)),
            entry("handshake_timeout", format_duration(listener.handshake_timeout)),
            entry("login_timeout", format_duration(listener.login_timeout)),
            entry("data_connect_timeout", format_duration(listener.data_connect_timeout)),
            entry("upload_end", listener.upload_end.word()),
            entry("max_line", format_size(listener.max_line as u64)),
            entry("max_sessions", i64::try_from(listener.max_sessions).unwrap_or(i64::MAX)),
        ],
    }
}

fn passive(passive: &Passive) -> Table {
    let ports = match &passive.ports {
        PassivePorts::Range(range) => format!("{}-{}", range.start(), range.end()),
        PassivePorts::Auto(count) => format!("auto:{count}"),
    };
    let peer = match passive.peer {
        PassivePeer::Exact => "exact".to_owned(),
        PassivePeer::Prefix(bits) => format!("/{bits}"),
    };
    let advertise = match &passive.advertise {
        Advertise::Auto => "auto".to_owned(),
        Advertise::Address(address) => address.to_string(),
        Advertise::Host(host) => host.clone(),
    };
    let mut entries = vec![entry("ports", ports), entry("peer", peer), entry("advertise", advertise)];
    if !passive.advertise_for.is_empty() {
        let exceptions = passive.advertise_for.iter().map(|each| {
            inline([("from", each.from.to_string().into()), ("address", each.address.to_string().into())])
        });
        entries.push(entry("advertise_for", exceptions.collect::<Vec<_>>()));
    }
    Table {
        header: "[listener.passive]".to_owned(),
        position: Position::BelowLast("listener", "passive"),
        entries,
    }
}

fn backend(backend: &Backend) -> Table {
    let servers: Vec<Value> =
        backend.servers.iter().map(|server| server.address.to_string().into()).collect();
    Table {
        header: "[[backend]]".to_owned(),
        position: Position::Next("backend"),
        entries: vec![
            entry("name", backend.name.as_str()),
            entry("servers", servers),
            entry("tls", "off"),
            entry("connect_timeout", format_duration(backend.connect_timeout)),
            entry("reply_timeout", format_duration(backend.reply_timeout)),
            entry("stall_timeout", format_duration(backend.stall_timeout)),
        ],
    }
}

/// TOML is UTF-8: a path that is not cannot have come from a file.
fn path(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

fn inline<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// A key as it stands in a header: bare where TOML allows it.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.chars().all(bare) { name.to_owned() } else { Value::from(name).to_string() }
}
