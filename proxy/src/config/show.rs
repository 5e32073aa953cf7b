//! Writes a [`Config`] as the complete TOML that means the same: every key, defaults included, in the order of
//! the documentation. Reading it gives an equal [`Config`].

mod policy;

use std::net::Ipv6Addr;
use std::path::Path;

use ftpsgate_certs::Pin;
use ftpsgate_policies::Glob;
use ftpsgate_policies::route::{AllowedHost, Route};
use serde_json::{Map, Value as Json};
use toml::Value;

use super::backend_tls::SYSTEM;
use super::choice::{CheckWord, Choice, DataTls, DataWord, Switch};
use super::health::password_file_text;
use super::model::{
    Advertise, Audit, Backend, BackendCa, BackendData, BackendTls, CertificatePair, Check, CheckKind,
    CheckLogin, Config, Gateway, Listener, Passive, PassivePeer, PassivePorts, Server, TlsProfile,
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
    tables.extend(config.routes.iter().map(route));
    tables.extend(policy::tables(&config.rules));
    tables.extend(config.limits.iter().map(policy::limit));
    tables.extend(config.audit.iter().map(audit));
    tables.push(admin(config));
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

fn audit(audit: &Audit) -> Table {
    Table {
        header: "[[audit]]".to_owned(),
        position: Position::Next("audit"),
        entries: vec![entry("kind", audit.kind.word()), entry("path", path(&audit.path))],
    }
}

fn profile(profile: &TlsProfile) -> Table {
    let mut entries = Vec::new();
    if !profile.certificates.is_empty() {
        let pairs: Vec<Value> = profile.certificates.iter().map(pair).collect();
        entries.push(entry("certificates", pairs));
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
    let mut entries = vec![
        entry("name", listener.name.as_str()),
        Entry { key: "bind", value: texts(&listener.bind), written: listener.bind_written },
        entry("mode", listener.mode.word()),
        entry("require_tls", listener.require_tls.word()),
        entry("tls", listener.tls.as_str()),
    ];
    entries.extend(listener.backend.as_deref().map(|name| entry("backend", name)));
    if !listener.proxy_protocol_from.is_empty() {
        entries.push(entry("proxy_protocol_from", texts(&listener.proxy_protocol_from)));
    }
    let hosts: Vec<Value> = listener.user_at_host.iter().map(allowed_host).collect();
    let active = if listener.active { Switch::On } else { Switch::Off };
    entries.extend([
        entry("user_at_host", hosts),
        entry("login_attempts", i64::from(listener.login_attempts)),
        entry("min_rate", format_rate(listener.min_rate)),
        entry("idle_timeout", format_duration(listener.idle_timeout)),
        entry("handshake_timeout", format_duration(listener.handshake_timeout)),
        entry("login_timeout", format_duration(listener.login_timeout)),
        entry("data_connect_timeout", format_duration(listener.data_connect_timeout)),
        entry("active", active.word()),
        entry("active_source_port", i64::from(listener.active_source_port)),
        entry("upload_end", listener.upload_end.word()),
        entry("max_line", format_size(listener.max_line as u64)),
        entry("max_sessions", number(listener.max_sessions)),
    ]);
    Table { header: "[[listener]]".to_owned(), position: Position::Next("listener"), entries }
}

/// An IPv6 address with a port stands in brackets.
fn allowed_host(allowed: &AllowedHost) -> Value {
    let host = allowed.host.as_str();
    match allowed.port {
        None => host.into(),
        Some(port) if host.parse::<Ipv6Addr>().is_ok() => format!("[{host}]:{port}").into(),
        Some(port) => format!("{host}:{port}").into(),
    }
}

fn passive(passive: &Passive) -> Table {
    let peer = match passive.peer {
        PassivePeer::Exact => "exact".to_owned(),
        PassivePeer::Prefix(bits) => format!("/{bits}"),
    };
    let advertise = match &passive.advertise {
        Advertise::Auto => "auto".to_owned(),
        Advertise::Address(address) => address.to_string(),
        Advertise::Host(host) => host.clone(),
    };
    let mut entries = vec![
        entry("ports", ports(&passive.ports)),
        entry("peer", peer),
        entry("proxy_protocol", passive.proxy_protocol),
        entry("advertise", advertise),
    ];
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

fn ports(ports: &PassivePorts) -> String {
    match ports {
        PassivePorts::Range(range) => format!("{}-{}", range.start(), range.end()),
        PassivePorts::Auto(count) => format!("auto:{count}"),
    }
}

fn backend(backend: &Backend) -> Table {
    let servers: Vec<Value> = backend.servers.iter().map(server).collect();
    let mut entries = vec![
        entry("name", backend.name.as_str()),
        entry("servers", servers),
        entry("tls", backend.tls.as_ref().map(|tls| tls.mode).word()),
    ];
    entries.extend(backend.tls.iter().flat_map(backend_tls));
    match &backend.data {
        BackendData::Passive => entries.push(entry("data", DataWord::Passive.word())),
        BackendData::Active(range) => {
            entries.push(entry("data", DataWord::Active.word()));
            entries.push(entry("active_ports", ports(range)));
        }
    }
    entries.extend([
        entry("balance", backend.balance.word()),
        entry("check", check(&backend.check)),
        entry("proxy_protocol", backend.proxy_protocol.word()),
        entry("source", backend.source.map_or_else(|| "auto".to_owned(), |address| address.to_string())),
        entry("paths", backend.paths.word()),
        entry("max_sessions", number(backend.max_sessions)),
        entry("connect_timeout", format_duration(backend.connect_timeout)),
        entry("reply_timeout", format_duration(backend.reply_timeout)),
        entry("stall_timeout", format_duration(backend.stall_timeout)),
    ]);
    Table { header: "[[backend]]".to_owned(), position: Position::Next("backend"), entries }
}

/// In its short form where that says all.
fn server(server: &Server) -> Value {
    let address = server.address.to_string();
    if server.weight == 1 && !server.backup {
        return address.into();
    }
    inline([
        ("address", address.into()),
        ("weight", i64::from(server.weight).into()),
        ("backup", server.backup.into()),
    ])
}

fn backend_tls(tls: &BackendTls) -> Vec<Entry> {
    let data_tls = if tls.protects_data { DataTls::Private } else { DataTls::Clear };
    let mut entries = vec![entry("data_tls", data_tls.word())];
    match &tls.ca {
        BackendCa::System => entries.push(entry("tls_ca", SYSTEM)),
        BackendCa::File(file) => entries.push(entry("tls_ca", path(file))),
        BackendCa::PinsAlone => {}
    }
    if !tls.pins.is_empty() {
        let pins: Vec<Value> = tls.pins.iter().map(|pin| Pin::from(*pin).to_string().into()).collect();
        entries.push(entry("tls_pin", pins));
    }
    entries.extend(tls.server_name.as_deref().map(|name| entry("tls_server_name", name)));
    entries.extend([
        entry("tls_min_version", tls.min_version.word()),
        entry("tls_max_version", tls.max_version.word()),
        entry("danger_accept_invalid_certificates", tls.danger_accept_invalid_certificates),
    ]);
    entries.extend(tls.client_certificate.as_ref().map(|one| entry("tls_client_certificate", pair(one))));
    entries.push(entry("require_ems", tls.require_ems));
    entries
}

fn check(check: &Check) -> Value {
    let (kind, login) = match &check.kind {
        CheckKind::Off => (CheckWord::Off, None),
        CheckKind::Tcp => (CheckWord::Tcp, None),
        CheckKind::Greeting => (CheckWord::Greeting, None),
        CheckKind::Tls => (CheckWord::Tls, None),
        CheckKind::Login(login) => (CheckWord::Login, Some(login)),
        CheckKind::Data(login) => (CheckWord::Data, Some(login)),
    };
    let mut entries = vec![
        ("kind", kind.word().into()),
        ("every", format_duration(check.every).into()),
        ("fall", i64::from(check.fall).into()),
        ("rise", i64::from(check.rise).into()),
    ];
    if let Some(CheckLogin { user, password_file, path }) = login {
        entries.push(("user", user.as_str().into()));
        entries.push(("password_file", password_file_text(password_file).into()));
        entries.extend(path.as_deref().map(|path| ("path", path.into())));
    }
    inline(entries)
}

fn route(route: &Route) -> Table {
    let globs = |globs: &[Glob]| globs.iter().map(|glob| glob.as_str().into()).collect::<Vec<Value>>();
    let listeners: Vec<Value> = route.listeners.iter().map(|name| name.as_str().into()).collect();
    let matchers = [
        ("users", globs(&route.users).into()),
        ("sni", globs(&route.sni).into()),
        ("hosts", globs(&route.hosts).into()),
        ("from", texts(&route.from)),
        ("certificates", globs(&route.certificates).into()),
        ("listeners", listeners.into()),
    ];
    let written = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    let matchers = matchers.into_iter().filter(|(_, value)| written(value));
    let mut entries: Vec<Entry> = matchers.map(|(key, value)| entry(key, value)).collect();
    entries.extend(route.rewrite_user.as_deref().map(|user| entry("rewrite_user", user)));
    entries.push(entry("backend", route.backend.as_str()));
    Table { header: "[[route]]".to_owned(), position: Position::Next("route"), entries }
}

fn admin(config: &Config) -> Table {
    let socket =
        Entry { key: "socket", value: path(&config.admin_socket()), written: config.admin.socket.is_some() };
    Table { header: "[admin]".to_owned(), position: Position::One("admin"), entries: vec![socket] }
}

fn pair(pair: &CertificatePair) -> Value {
    inline([("chain", path(&pair.chain)), ("key", path(&pair.key))])
}

fn texts<T: ToString>(list: &[T]) -> Value {
    list.iter().map(|each| Value::from(each.to_string())).collect::<Vec<_>>().into()
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// TOML is UTF-8: a path that is not cannot have come from a file.
fn path(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

fn inline<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// A key as it stands in a header: bare where TOML allows it.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.chars().all(bare) { name.to_owned() } else { Value::from(name).to_string() }
}
