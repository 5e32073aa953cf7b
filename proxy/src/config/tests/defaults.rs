//! Every default, and every key of a later version.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::schema::{Kind, Section};
use super::*;

#[test]
fn the_seven_line_configuration_is_complete() {
    assert_eq!(MINIMAL.lines().count(), 7);
    let loaded = right(MINIMAL);
    assert_eq!(loaded.warnings, []);
    let Config { gateway, tls, listeners, backends } = loaded.config;

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
        backend: "legacy".to_owned(),
        login_attempts: 3,
        min_rate: 0,
        idle_timeout: Duration::from_secs(300),
        handshake_timeout: Duration::from_secs(10),
        login_timeout: Duration::from_secs(30),
        data_connect_timeout: Duration::from_secs(10),
        upload_end: UploadEnd::Strict,
        max_line: 4096,
        max_sessions: 4000,
        passive: Passive {
            ports: PassivePorts::Range(61000..=61009),
            peer: PassivePeer::Exact,
            advertise: Advertise::Auto,
            advertise_for: Vec::new(),
        },
    };
    assert_eq!(listeners.len(), 1);
    assert_eq!(*listeners[0], listener);

    let backend = Backend {
        name: "legacy".to_owned(),
        servers: vec![ServerAddress { host: "10.2.0.11".to_owned(), port: 21 }],
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
    assert_eq!(backends[0].servers[0], ServerAddress { host: "::1".to_owned(), port: 2121 });
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
                "the top level" => (format!("{line}\n{MINIMAL}"), 1),
                "[listener.passive]" => {
                    (MINIMAL.replacen("\n\n", &format!("\n[listener.passive]\n{line}\n"), 1), 5)
                }
                "[[listener]]" => (MINIMAL.replacen("\n\n", &format!("\n{line}\n"), 1), 4),
                "[[backend]]" => (format!("{MINIMAL}{line}"), 8),
                "[[backend]] servers" => {
                    (MINIMAL.replace("\"10.2.0.11:21\"", &format!("{{ address = 'a', {line} }}")), 7)
                }
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
    assert!(count > 30, "{count}");
}

#[test]
fn later_sections_are_refused_once_each() {
    let text = format!("{MINIMAL}[[rule]]\nname = 'a'\n[[rule]]\nname = 'b'\n[policy]\ndefault = 'deny'\n");
    assert_eq!(
        wrong(&text),
        ["8:3: `rule` is not available in this version", "12:2: `policy` is not available in this version"]
    );
}

#[test]
fn values_of_later_versions_are_refused() {
    for (server, message) in [
        ("tls = 'off'\nservers = ['a', 'b']", "10:17: more than one server is not available in this version"),
        (
            "\nservers = 'original-destination'",
            "10:11: `servers = \"original-destination\"` is not available in this version",
        ),
        ("tls = 'explicit'\nservers = ['a']", "9:7: `tls`: \"explicit\" is not available in this version"),
        ("tls = 'implicit'\nservers = ['a']", "9:7: `tls`: \"implicit\" is not available in this version"),
    ] {
        let text = format!("\n\n\n\n[[listener]]\n\n\n[[backend]]\n{server}\n");
        assert_eq!(wrong(&text), [message]);
    }
}

#[test]
fn every_key_refuses_a_value_of_another_type() {
    for section in Section::all() {
        for key in section.keys.iter().filter(|key| !key.is_later()) {
            // A date is no key's value.
            let value = "1979-05-27";
            let text = match section.header {
                "the top level" if matches!(key.kind, Kind::Integer(..)) => {
                    format!("{} = {value}\n{MINIMAL}", key.name)
                }
                "the top level" => format!("{} = {value}\n", key.name),
                "[tls.NAME]" => format!("{MINIMAL}[tls.default]\n{} = {value}\n", key.name),
                "[tls.NAME] certificates" => {
                    format!("{MINIMAL}[tls.default]\ncertificates = [{{ {} = {value} }}]\n", key.name)
                }
                "[listener.passive] advertise_for" => {
                    format!("[[listener]]\npassive.advertise_for = [{{ {} = {value} }}]\n", key.name)
                }
                "[listener.passive]" => format!("[[listener]]\npassive.{} = {value}\n", key.name),
                "[[backend]] servers" => format!("[[backend]]\nservers = [{{ {} = {value} }}]\n", key.name),
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
