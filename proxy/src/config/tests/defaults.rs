//! Every default, and every key of a later version.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::schema::{Kind, Section};
use super::*;

use ftpsgate_policies::rule::{self, Action};

#[test]
fn the_seven_line_configuration_is_complete() {
    assert_eq!(MINIMAL.lines().count(), 7);
    let loaded = right(MINIMAL);
    assert_eq!(loaded.warnings, []);
    let Config { gateway, tls, listeners, backends, routes, rules, policy: _, limits, audit, admin } =
        loaded.config;
    assert_eq!(admin, Admin { socket: None });
    assert_eq!((routes, audit), (Vec::new(), Vec::new()));
    assert_eq!((rules.default, rules.mode), (Action::Allow, rule::Mode::Enforce));
    assert!(rules.rules.is_empty() && rules.groups.is_empty() && rules.tests.is_empty());
    assert_eq!(limits, []);

    let Gateway { name, state_dir, drain_timeout, banner } = gateway;
    assert_eq!((name.as_str(), banner.as_str()), ("gw1", "ftpsgate ready"));
    assert_eq!(state_dir, default_state_dir());
    assert_eq!(drain_timeout, Duration::from_secs(600));

    let profile = TlsProfile {
        name: "default".to_owned(),
        certificates: Vec::new(),
        fallback: CertificateFallback::LocalCa,
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls13,
        require_ems: false,
        data_resumption: DataResumption::Prefer,
        client_certificates: ClientCertificates::Off,
        client_ca: None,
        client_crl: None,
    };
    assert_eq!(tls.len(), 1);
    assert_eq!(*tls["default"], profile);

    let listener = Listener {
        name: "ftps".to_owned(),
        bind: addresses(&["0.0.0.0:21", "[::]:21"]),
        bind_written: false,
        mode: Mode::Explicit,
        require_tls: RequireTls::Data,
        tls: "default".to_owned(),
        backend: Some("legacy".to_owned()),
        proxy_protocol_from: Vec::new(),
        user_at_host: Vec::new(),
        login_attempts: 3,
        min_rate: 0,
        idle_timeout: Duration::from_secs(300),
        handshake_timeout: Duration::from_secs(10),
        login_timeout: Duration::from_secs(30),
        data_connect_timeout: Duration::from_secs(10),
        active: true,
        active_source_port: 0,
        upload_end: UploadEnd::Strict,
        max_line: 4096,
        max_sessions: 4000,
        passive: Passive {
            ports: PassivePorts::Range(61000..=61009),
            peer: PassivePeer::Exact,
            advertise: Advertise::Auto,
            advertise_for: Vec::new(),
            proxy_protocol: false,
        },
    };
    assert_eq!(listeners.len(), 1);
    assert_eq!(*listeners[0], listener);

    let backend = Backend {
        name: "legacy".to_owned(),
        servers: vec![server("10.2.0.11:21")],
        tls: None,
        data: BackendData::Passive,
        balance: Balance::LeastSessions,
        check: Check { kind: CheckKind::Greeting, every: Duration::from_secs(10), fall: 3, rise: 2 },
        proxy_protocol: ProxyProtocol::Off,
        source: None,
        paths: ftpsgate_policies::PathProfile::Unix,
        max_sessions: 0,
        connect_timeout: Duration::from_secs(5),
        reply_timeout: Duration::from_secs(60),
        stall_timeout: Duration::from_secs(60),
    };
    assert_eq!(backends.len(), 1);
    assert_eq!(*backends[0], backend);
}

#[test]
fn names_have_defaults() {
    let loaded = right("[[listener]]\n[[backend]]\nservers = ['legacy']\n");
    assert_eq!(loaded.config, right(&MINIMAL.replace("10.2.0.11:21", "legacy")).config);
}

#[test]
fn defaults_that_depend_on_other_keys() {
    let text = r#"
        [tls.default]
        certificates = [{ chain = "a.pem", key = "/b.key" }]
        [[listener]]
        name = "implicit"
        mode = "implicit"
        [[listener]]
        name = "plain"
        mode = "plain"
        [[backend]]
        servers = [{ address = "[::1]:2121" }]
    "#;
    let Config { tls, listeners, backends, .. } = right(text).config;
    assert_eq!(tls["default"].fallback, CertificateFallback::None);
    assert_eq!(tls["default"].certificates[0].chain, PathBuf::from("/etc/ftpsgate/a.pem"));
    assert_eq!(tls["default"].certificates[0].key, PathBuf::from("/b.key"));
    assert_eq!(listeners[0].bind, addresses(&["0.0.0.0:990", "[::]:990"]));
    assert_eq!(listeners[0].require_tls, RequireTls::Data);
    assert_eq!(listeners[1].bind, addresses(&["0.0.0.0:21", "[::]:21"]));
    assert_eq!(listeners[1].require_tls, RequireTls::No);
    assert_eq!(backends[0].servers, [server("[::1]:2121")]);
}

fn server(address: &str) -> Server {
    Server { address: address.parse().unwrap(), weight: 1, backup: false }
}

/// The only backend of a file with these lines in it.
fn backend(lines: &str) -> Backend {
    let config = right(&format!("[[listener]]\n[[backend]]\nservers = ['10.2.0.11']\n{lines}\n")).config;
    Backend::clone(&config.backends[0])
}

#[test]
fn defaults_of_an_ftps_backend() {
    let tls = BackendTls {
        mode: BackendTlsMode::Explicit,
        protects_data: true,
        ca: BackendCa::System,
        pins: Vec::new(),
        server_name: None,
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls12,
        danger_accept_invalid_certificates: false,
        client_certificate: None,
        require_ems: false,
    };
    let explicit = backend("tls = 'explicit'");
    assert_eq!(explicit.tls, Some(tls.clone()));
    assert_eq!(explicit.servers, [server("10.2.0.11:21")]);
    let implicit = backend("tls = 'implicit'");
    assert_eq!(implicit.tls, Some(BackendTls { mode: BackendTlsMode::Implicit, ..tls }));
    assert_eq!(implicit.servers, [server("10.2.0.11:990")]);
}

#[test]
fn who_vouches_for_a_server() {
    let pin = "tls_pin = ['sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=']";
    for (lines, ca) in [
        ("tls_ca = 'system'", BackendCa::System),
        ("tls_ca = 'vendor.pem'", BackendCa::File("/etc/ftpsgate/vendor.pem".into())),
        ("tls_ca = './system'", BackendCa::File("/etc/ftpsgate/./system".into())),
        (pin, BackendCa::PinsAlone),
        (&format!("{pin}\ntls_ca = 'system'"), BackendCa::System),
        (&format!("{pin}\ntls_ca = '/v.pem'"), BackendCa::File("/v.pem".into())),
    ] {
        let tls = backend(&format!("tls = 'explicit'\n{lines}")).tls.unwrap();
        assert_eq!(tls.ca, ca, "{lines}");
        assert_eq!(tls.pins.len(), usize::from(lines.contains("tls_pin")), "{lines}");
    }
}

#[test]
fn a_check_is_a_word_or_a_table() {
    let check = |kind| Check { kind, every: Duration::from_secs(10), fall: 3, rise: 2 };
    let login = |password_file: &str, path: Option<&str>| CheckLogin {
        user: "monitor".to_owned(),
        password_file: password_file.into(),
        path: path.map(str::to_owned),
    };
    for (written, wanted) in [
        ("'off'", check(CheckKind::Off)),
        ("'tcp'", check(CheckKind::Tcp)),
        ("{ kind = 'off' }", check(CheckKind::Off)),
        ("{}", check(CheckKind::Greeting)),
        (
            "{ every = '1s', fall = 1, rise = 5 }",
            Check { every: Duration::from_secs(1), fall: 1, rise: 5, ..check(CheckKind::Greeting) },
        ),
        (
            "{ kind = 'login', user = 'monitor', password_file = 'pw' }",
            check(CheckKind::Login(login("/etc/ftpsgate/pw", None))),
        ),
        (
            "{ kind = 'data', user = 'monitor', password_file = '$CREDENTIALS_DIRECTORY/pw', path = '/in' }",
            check(CheckKind::Data(login("pw", Some("/in")))),
        ),
        (
            "{ kind = 'data', user = 'monitor', password_file = '${CREDENTIALS_DIRECTORY}/pw' }",
            check(CheckKind::Data(login("pw", None))),
        ),
    ] {
        assert_eq!(backend(&format!("check = {written}")).check, wanted, "{written}");
    }
    assert_eq!(backend("tls = 'explicit'\ncheck = 'tls'").check, check(CheckKind::Tls));
    assert_eq!(
        backend("[backend.check]\nkind = 'tcp'\nrise = 9").check,
        Check { rise: 9, ..check(CheckKind::Tcp) }
    );
}

#[test]
fn active_ports_are_of_active_mode() {
    assert_eq!(backend("data = 'active'").data, BackendData::Active(PassivePorts::Range(62000..=62009)));
    assert_eq!(
        backend("data = 'active'\nactive_ports = 'auto:3'").data,
        BackendData::Active(PassivePorts::Auto(3))
    );
}

#[test]
fn off_is_an_empty_list_of_hosts() {
    for value in ["'off'", "[]"] {
        let text = MINIMAL.replacen("\n\n", &format!("\nuser_at_host = {value}\n"), 1);
        assert_eq!(right(&text).config, right(MINIMAL).config);
    }
}

#[test]
fn a_route_goes_to_the_only_backend() {
    let Config { routes, .. } = right(&format!("{MINIMAL}[[route]]\nrewrite_user = 'acme'\n")).config;
    assert_eq!((routes[0].backend.as_str(), routes[0].rewrite_user.as_deref()), ("legacy", Some("acme")));
}

#[test]
fn where_there_are_several_backends_none_is_the_default() {
    let text = format!(
        "{MINIMAL}[[backend]]\nname = 'b'\nservers = ['b']\n[[route]]\nbackend = 'b'\n[[route]]\nusers = ['x']\nbackend = 'legacy'\n"
    );
    assert_eq!(right(&text).config.listeners[0].backend, None);
}

#[test]
fn a_fallback_beside_certificates_stays() {
    let text = format!(
        "{MINIMAL}[tls.default]\nfallback = 'local-ca'\ncertificates = [{{ chain = 'a', key = 'b' }}]\n"
    );
    assert_eq!(right(&text).config.tls["default"].fallback, CertificateFallback::LocalCa);
}

#[test]
fn keys_of_later_versions_are_refused_wherever_they_belong() {
    let mut count = 0;
    for section in Section::all() {
        for key in section.keys.iter().filter(|key| key.is_later()) {
            let line = format!("{} = 'x'", key.name);
            let (text, expected) = match section.header {
                "the top level of the configuration" => (format!("{line}\n{MINIMAL}"), 1),
                "[listener.passive]" => {
                    (MINIMAL.replacen("\n\n", &format!("\n[listener.passive]\n{line}\n"), 1), 5)
                }
                "[[listener]]" => (MINIMAL.replacen("\n\n", &format!("\n{line}\n"), 1), 4),
                "[[backend]]" => (format!("{MINIMAL}{line}"), 8),
                "[[audit]]" => (format!("{MINIMAL}[[audit]]\n{line}"), 9),
                "[admin]" => (format!("{MINIMAL}[admin]\n{line}"), 9),
                other => panic!("no file for keys of {other}"),
            };
            let diagnostics = read(&text).expect_err(key.name);
            let [only] = diagnostics.errors() else { panic!("{diagnostics}") };
            assert_eq!(only.message(), format!("`{}` is not available in this version", key.name));
            assert_eq!(only.position().map(|(line, _)| line), Some(expected), "{diagnostics}");
            assert!(only.hint().starts_with("remove it; "), "{diagnostics}");
            count += 1;
        }
    }
    assert!(count > 3, "{count}");
}

#[test]
fn later_sections_are_refused_once_each() {
    let text = format!("{MINIMAL}[[audit]]\nchain = true\n[[audit]]\npath = 'b'\non_failure = 'open'\n");
    assert_eq!(
        wrong(&text),
        [
            "9:1: `chain` is not available in this version",
            "12:1: `on_failure` is not available in this version"
        ]
    );
}

#[test]
fn an_audit_log_has_defaults_and_a_file_of_its_own() {
    let audit = |text: &str| right(&format!("{MINIMAL}{text}")).config.audit;
    let json = |path: &str| Audit { kind: AuditKind::Json, path: path.into() };
    assert_eq!(audit("[[audit]]"), [json("/var/log/ftpsgate/audit.jsonl")]);
    assert_eq!(
        audit("[[audit]]\nkind = 'json'\npath = 'a.jsonl'\n[[audit]]\npath = '/b'"),
        [json("/etc/ftpsgate/a.jsonl"), json("/b")]
    );
    only_error(
        &format!("{MINIMAL}[[audit]]\npath = 'a'\n[[audit]]\npath = '/etc/ftpsgate/./a'"),
        "11:8: two [[audit]] write to the same file",
        "a `path` of its own",
    );
    for kind in ["xferlog", "syslog", "journald"] {
        only_error(
            &format!("{MINIMAL}[[audit]]\nkind = '{kind}'"),
            &format!("9:8: `kind`: `{kind}` is not available in this version"),
            "write kind = \"json\"",
        );
    }
}

#[test]
fn values_of_later_versions_are_refused() {
    for (lines, message) in [
        (
            "servers = 'original-destination'",
            "3:11: `servers = \"original-destination\"` is not available in this version",
        ),
        ("servers = ['a']\nsource = 'client'", "4:10: `source`: \"client\" is not available in this version"),
    ] {
        assert_eq!(wrong(&format!("[[listener]]\n[[backend]]\n{lines}\n")), [message]);
    }
}

#[test]
fn every_key_refuses_a_value_of_another_type() {
    for section in Section::all() {
        for key in section.keys.iter().filter(|key| !key.is_later()) {
            // A date is no key's value.
            let value = "1979-05-27";
            let text = match section.header {
                "the top level of the configuration" if matches!(key.kind, Kind::Integer(..)) => {
                    format!("{} = {value}\n{MINIMAL}", key.name)
                }
                "the top level of the configuration" => format!("{} = {value}\n", key.name),
                "[tls.NAME]" => format!("{MINIMAL}[tls.default]\n{} = {value}\n", key.name),
                "[tls.NAME] certificates" => {
                    format!("{MINIMAL}[tls.default]\ncertificates = [{{ {} = {value} }}]\n", key.name)
                }
                "[listener.passive] advertise_for" => {
                    format!("[[listener]]\npassive.advertise_for = [{{ {} = {value} }}]\n", key.name)
                }
                "[listener.passive]" => format!("[[listener]]\npassive.{} = {value}\n", key.name),
                "[[backend]] servers" => format!("[[backend]]\nservers = [{{ {} = {value} }}]\n", key.name),
                "[[backend]] check" => format!("[[backend]]\ncheck = {{ {} = {value} }}\n", key.name),
                "[[backend]] tls_client_certificate" => {
                    format!("[[backend]]\ntls_client_certificate = {{ {} = {value} }}\n", key.name)
                }
                header => format!("{header}\n{} = {value}\n", key.name),
            };
            let messages = wrong(&text).join("\n");
            assert!(messages.contains(&format!("`{}`", key.name)), "{text}{messages}");
            assert!(messages.contains("not a date"), "{text}{messages}");
        }
    }
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn paths_are_relative_to_the_file() {
    let text = format!("{MINIMAL}[gateway]\nstate_dir = 'state'\n");
    assert_eq!(right(&text).config.gateway.state_dir, Path::new("/etc/ftpsgate/state"));
}
