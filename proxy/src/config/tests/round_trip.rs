//! What is written is read back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_policies::route::{AllowedHost, Route};
use ftpsgate_policies::{Glob, GlobError};
use proptest::prelude::*;
use proptest::sample::select;

use super::super::schema::Section;
use super::*;

/// Every key, with a value that is not its default.
const EVERY_KEY: &str = r#"
    [gateway]
    name = "edge"
    state_dir = "state with \"quotes\""
    drain_timeout = "90s"
    banner = "hé \\ there"
    [tls.default]
    certificates = [{ chain = "a", key = "b" }, { chain = "c", key = "d" }]
    fallback = "local-ca"
    min_version = "1.3"
    max_version = "1.3"
    require_ems = true
    data_resumption = "require"
    client_certificates = "request"
    client_ca = "ca"
    client_crl = "crl"
    [tls."pärtners"]
    data_resumption = "off"
    [[listener]]
    name = "a"
    bind = ["127.0.0.1:0", "[::1]:5"]
    require_tls = "login"
    backend = "one"
    proxy_protocol_from = ["10.0.0.0/8", "2001:db8::7"]
    user_at_host = ["*.example.com", "host:2121", "[2001:db8::1]:2121", "::1", "10.0.0.1"]
    login_attempts = 7
    min_rate = "1KiB/s"
    idle_timeout = "1500ms"
    handshake_timeout = "3s"
    login_timeout = "1h"
    data_connect_timeout = "2d"
    active = "off"
    upload_end = "lenient"
    max_line = "513B"
    max_sessions = 1
    [listener.passive]
    ports = "auto:3"
    peer = "/24"
    advertise = "ftp.example.com"
    proxy_protocol = true
    advertise_for = [{ from = "10.0.0.0/8", address = "10.1.1.1" }, { from = "::1", address = "10.1.1.2" }]
    [[listener]]
    name = "b"
    mode = "implicit"
    tls = "pärtners"
    active_source_port = 20
    passive.advertise = "192.0.2.1"
    [[backend]]
    name = "one"
    servers = ["[2001:db8::1]:2121", { address = "b", weight = 256 }, { address = "c:990", backup = true }]
    tls = "explicit"
    data_tls = "clear"
    tls_ca = "vendor.pem"
    tls_pin = ["sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
    tls_server_name = "ftp.vendor.example"
    tls_min_version = "1.3"
    tls_max_version = "1.3"
    danger_accept_invalid_certificates = false
    tls_client_certificate = { chain = "e", key = "/f" }
    require_ems = true
    data = "active"
    active_ports = "62100-62199"
    balance = "user-hash"
    check = { kind = "data", every = "1500ms", fall = 7, rise = 9, user = "m \"x\"", password_file = "pw", path = "/in out" }
    proxy_protocol = "v2"
    source = "2001:db8::2"
    max_sessions = 12
    paths = "windows"
    connect_timeout = "1s"
    reply_timeout = "2s"
    stall_timeout = "3s"
    [[backend]]
    name = "two"
    servers = ["legacy"]
    tls = "implicit"
    tls_pin = ["sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]
    check = { kind = "login", user = "m", password_file = "$CREDENTIALS_DIRECTORY/pw" }
    proxy_protocol = "v2+data"
    [[backend]]
    name = "three"
    servers = ["third"]
    tls = "explicit"
    tls_ca = "system"
    tls_pin = ["sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]
    check = "off"
    [[route]]
    users = ["acme-*", "{a,b}\\\\"]
    sni = ["acme.example.com"]
    hosts = ["*.example.com"]
    from = ["203.0.113.0/24", "::1"]
    certificates = ["CN=acme-*"]
    listeners = ["a", "b"]
    rewrite_user = "acme"
    backend = "two"
    [[route]]
    listeners = ["b"]
    backend = "three"
    [policy]
    files = []
    default = "deny"
    mode = "observe"
    [[group]]
    name = "partners"
    users = ["partner-*", "{x,y}\\\\"]
    from = ["198.51.100.0/24", "2001:db8::/32"]
    [[rule]]
    name = "a \"quoted\" name"
    users = ["partner-*"]
    groups = ["partners"]
    from = ["198.51.100.0/24"]
    certificates = ["CN=partner-*", "san:*.acme.example", "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]
    listeners = ["a"]
    backends = ["one", "two"]
    operations = ["connect", "login", "list", "download"]
    commands = ["xmkd", "site chmod", "NOOP"]
    paths = ["/reports/**", "/home/$user/*.{csv,xml}", "**/\\[*.exe"]
    tls = ">=1.2"
    larger_than = "100MiB"
    hours = "Mon-Fri 07:00-19:00; Sat 22:00-02:00"
    timezone = "Europe/Berlin"
    action = "deny"
    mode = "observe"
    reply = "550 Reports only"
    [[rule]]
    name = "the rest"
    action = "allow"
    [[limit]]
    name = "per network"
    per = "network"
    ipv4_prefix = 23
    ipv6_prefix = 47
    users = ["acme-*"]
    groups = ["partners"]
    from = ["203.0.113.0/24"]
    certificates = ["CN=acme-*"]
    listeners = ["a", "b"]
    backends = ["two"]
    tls = ">=1.2"
    sessions = 7
    transfers = 3
    logins = "10/min"
    commands = "50/s"
    failed_logins = "5/10min"
    lockout = "2h"
    upload = "20MB/s"
    download = "3KiB/s"
    file_size = "2GiB"
    [[limit]]
    name = "per address"
    per = "address"
    connections = "60/min"
    [[test]]
    user = "partner-7"
    from = "::ffff:198.51.100.9"
    listener = "b"
    backend = "two"
    sni = "acme.example.com"
    host = "acme.example.com"
    tls = "none"
    certificates = ["CN=partner-7", "san:a.acme.example"]
    at = "2026-11-22T15:00:00+01:00"
    directory = "/in"
    size = "3MiB"
    exists = true
    before = ["CWD sub", "REST 5"]
    command = "stor  two blanks "
    expect = "allow"
    rule = "default"
    [[test]]
    from = "2001:db8::1"
    command = "CONNECT"
    expect = "allow"
    [[audit]]
    kind = "json"
    path = "audit \"log\".jsonl"
    [[audit]]
    path = "/var/log/other.jsonl"
    [admin]
    socket = "/run/ftpsgate/admin.sock"
"#;

fn again(config: &Config) -> Config {
    let mut again = right(&to_toml(config)).config;
    // They stand elsewhere now.
    for (limit, before) in again.limits.iter_mut().zip(&config.limits) {
        limit.origin.clone_from(&before.origin);
    }
    again
}

#[test]
fn a_configuration_shown_is_the_configuration() {
    for text in [MINIMAL, EVERY_KEY, super::documentation::EXAMPLE] {
        let config = right(text).config;
        assert_eq!(again(&config), config, "{}", to_toml(&config));
        assert_eq!(to_toml(&again(&config)), to_toml(&config));
    }
    let quick = quick("legacy".parse().unwrap(), None, Some("[::1]:0".parse().unwrap()), "/state".into());
    assert_eq!(again(&quick), quick);
}

#[test]
fn every_key_of_this_version_is_shown() {
    let shown = to_toml(&right(EVERY_KEY).config);
    let table: toml::Table = shown.parse().unwrap();
    let mut keys = BTreeSet::new();
    collect(&toml::Value::Table(table), &mut keys);
    for key in Section::all().into_iter().flat_map(|section| section.keys).filter(|key| !key.is_later()) {
        assert!(keys.contains(key.name), "`{}` is not shown:\n{shown}", key.name);
    }
}

fn collect(value: &toml::Value, keys: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                keys.insert(key.clone());
                collect(value, keys);
            }
        }
        toml::Value::Array(array) => array.iter().for_each(|value| collect(value, keys)),
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

#[test]
fn json_has_the_shape_of_the_file() {
    let config = right(EVERY_KEY).config;
    let json = to_json(&config);
    let mut toml: serde_json::Value = toml::from_str(&to_toml(&config)).unwrap();
    // The one difference: defaults of `bind` are comments in the file.
    toml["listener"][1]["bind"] = serde_json::json!(["0.0.0.0:990", "[::]:990"]);
    assert_eq!(json, toml);
}

proptest! {
    #[test]
    fn any_configuration_shown_is_the_configuration(
        banner in "\\PC{0,40}",
        name in "[a-zA-Z0-9._é-]{1,10}",
        milliseconds in proptest::collection::vec(1u64..=365 * 86_400_000, 7),
        numbers in (1u32..=1000, any::<u64>(), 512usize..=65536, 1usize..=1_000_000),
        ports in (1u16.., 1u16..),
        advertise in select(vec!["auto", "192.0.2.1", "2001:db8::1", "a.example"]),
        words in (select(RequireTls::ALL), select(UploadEnd::ALL), select(DataResumption::ALL), any::<bool>()),
    ) {
        let mut config = right(MINIMAL).config;
        let duration = |index: usize| Duration::from_millis(milliseconds[index]);
        config.gateway.banner = banner;
        config.gateway.drain_timeout = duration(0);
        let backend = Arc::make_mut(&mut config.backends[0]);
        backend.name = name.clone();
        backend.reply_timeout = duration(1);
        let profile = Arc::make_mut(config.tls.get_mut("default").expect("it always exists"));
        profile.data_resumption = words.2;
        profile.require_ems = words.3;
        let listener = Arc::make_mut(&mut config.listeners[0]);
        listener.backend = Some(name.clone());
        listener.name = name;
        listener.idle_timeout = duration(2);
        listener.handshake_timeout = duration(3);
        listener.login_timeout = duration(4);
        (listener.login_attempts, listener.min_rate, listener.max_line, listener.max_sessions) = numbers;
        listener.require_tls = words.0;
        listener.upload_end = words.1;
        let low = ports.0.min(ports.1).max(991);
        listener.passive.ports = PassivePorts::Range(low..=ports.0.max(ports.1).max(low));
        listener.passive.advertise = match advertise {
            "auto" => Advertise::Auto,
            "a.example" => Advertise::Host(advertise.to_owned()),
            address => Advertise::Address(address.parse().unwrap()),
        };
        prop_assert_eq!(again(&config), config);
    }

    #[test]
    fn any_backend_and_route_shown_are_the_backend_and_the_route(
        tls in select(Option::<BackendTlsMode>::ALL),
        ca in select(vec![BackendCa::System, BackendCa::File("/ca \\ \"file\"".into()), BackendCa::PinsAlone]),
        pins in proptest::collection::vec(any::<[u8; 32]>(), 1..3),
        flags in any::<[bool; 5]>(),
        versions in select(vec![(TlsVersion::Tls12, TlsVersion::Tls12), (TlsVersion::Tls12, TlsVersion::Tls13)]),
        data in select(vec![
            BackendData::Passive,
            BackendData::Active(PassivePorts::Range(62000..=62000)),
            BackendData::Active(PassivePorts::Auto(7)),
        ]),
        words in (select(Balance::ALL), select(ProxyProtocol::ALL)),
        kind in 0..6,
        texts in ("[^\\p{Cc}]{1,20}", "[^\\p{Cc}]{1,20}", proptest::option::of("[^\\p{Cc}]{1,20}")),
        numbers in (1u32..=1000, 1u32..=1000, 1u64..=86_400_000, 0usize..=1_000_000, 1u32..=256),
        patterns in proptest::collection::vec("[a-zA-Z0-9.*? é-]{1,10}", 1..4),
        networks in proptest::collection::vec(any::<(u32, u8)>(), 0..3),
    ) {
        let mut config = right(MINIMAL).config;
        let backend = Arc::make_mut(&mut config.backends[0]);
        backend.servers = vec![
            Server { address: "a".parse().unwrap(), weight: numbers.4, backup: flags[0] },
            Server { address: "[2001:db8::1]:990".parse().unwrap(), weight: 1, backup: false },
        ];
        backend.tls = tls.map(|mode| BackendTls {
            mode,
            protects_data: flags[1],
            pins: if ca == BackendCa::PinsAlone || flags[2] { pins } else { Vec::new() },
            ca,
            server_name: flags[3].then(|| "a.example".to_owned()),
            min_version: versions.0,
            max_version: versions.1,
            danger_accept_invalid_certificates: flags[4],
            client_certificate: flags[3].then(|| CertificatePair { chain: "/a".into(), key: "/b".into() }),
            require_ems: flags[2],
        });
        backend.data = data;
        (backend.balance, backend.proxy_protocol) = words;
        backend.source = flags[1].then(|| "2001:db8::2".parse().unwrap());
        let login = CheckLogin {
            user: texts.0.clone(),
            password_file: if flags[0] { "/pw".into() } else { "monitor".into() },
            path: texts.2,
        };
        backend.check = Check {
            kind: match kind {
                0 => CheckKind::Off,
                1 => CheckKind::Tcp,
                2 if tls.is_some() => CheckKind::Tls,
                3 => CheckKind::Login(login),
                4 => CheckKind::Data(login),
                _ => CheckKind::Greeting,
            },
            every: Duration::from_millis(numbers.2),
            fall: numbers.0,
            rise: numbers.1,
        };
        backend.max_sessions = numbers.3;
        let network = |(bits, length): &(u32, u8)| {
            ipnet::IpNet::new(std::net::Ipv4Addr::from(*bits).into(), length % 33).unwrap().trunc()
        };
        let globs = |parse: fn(&str) -> Result<Glob, GlobError>| {
            patterns.iter().map(|text| parse(text).unwrap()).collect::<Vec<_>>()
        };
        config.routes.push(Route {
            users: globs(Glob::exact_case),
            sni: if flags[0] { globs(Glob::any_case) } else { Vec::new() },
            hosts: if flags[1] { globs(Glob::any_case) } else { Vec::new() },
            from: networks.iter().map(network).collect(),
            certificates: if flags[2] { globs(Glob::exact_case) } else { Vec::new() },
            listeners: if flags[3] { vec!["ftps".to_owned()] } else { Vec::new() },
            rewrite_user: flags[4].then_some(texts.1),
            backend: "legacy".to_owned(),
        });
        if flags[0] {
            let listener = Arc::make_mut(&mut config.listeners[0]);
            listener.user_at_host =
                vec![AllowedHost { host: Glob::any_case("*.a.example").unwrap(), port: Some(1) }];
            listener.active = flags[1];
            listener.proxy_protocol_from = networks.iter().map(network).collect();
            listener.passive.proxy_protocol = !networks.is_empty();
        }
        prop_assert_eq!(again(&config), config);
    }
}
