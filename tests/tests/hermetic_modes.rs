//! Every way in which a client can have its data connections, with every way in which a backend can: mode, address
//! family and protection on each side, in both directions. And the rules for PORT and EPRT.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::client::{Client, DataListener, DataMode, End, TlsSetup, TlsVersion, port_command};
use ftpsgate_tests::gateway::{Gateway, GatewayOptions, ListenerOptions};
use ftpsgate_tests::scene::{Scene, content};
use ftpsgate_tests::scripted::{Script, ScriptTls, ScriptedServer};

/// How a backend's data connections are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BackendMode {
    /// EPSV.
    Extended,
    /// EPSV is refused, PASV is not.
    PasvOnly,
    /// EPRT or PORT.
    Active,
    /// EPRT is refused, PORT is not.
    PortOnly,
}

/// TLS towards a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BackendTls {
    Off,
    /// On the control connection only.
    Clear,
    Private,
}

/// One backend, and a gateway before it with a listener of each family.
struct Stage {
    gateway: Gateway,
    server: ScriptedServer,
    /// Its file of roots stays while the gateway runs.
    _authority: Authority,
}

impl Stage {
    fn start(host: &str, mode: BackendMode, tls: BackendTls) -> Self {
        let authority = Authority::new();
        let mut script = Script::new();
        if tls != BackendTls::Off {
            script = script.tls(ScriptTls::explicit(&authority).demanding_reuse());
        }
        script = match mode {
            BackendMode::Extended => script,
            BackendMode::PasvOnly => script.answer("EPSV", b"500 What?\r\n"),
            BackendMode::Active => {
                script.answer("EPSV", b"502 Not here\r\n").answer("PASV", b"502 Not here\r\n")
            }
            BackendMode::PortOnly => script.answer("EPRT", b"500 What?\r\n"),
        };
        let server = ScriptedServer::start_at(host.parse().expect("an address"), script);
        let mut keys = String::new();
        if matches!(mode, BackendMode::Active | BackendMode::PortOnly) {
            keys += "data = \"active\"\nactive_ports = \"auto:4\"\n";
        }
        if tls != BackendTls::Off {
            let root = authority.root_file();
            let data_tls = if tls == BackendTls::Clear { "clear" } else { "private" };
            keys += &format!("tls = \"explicit\"\ntls_ca = {root:?}\ndata_tls = {data_tls:?}\n");
        }
        let options = GatewayOptions::new(server.address())
            .listener(ListenerOptions::explicit("v4"))
            .listener(ListenerOptions::explicit("v6").bind("[::1]:0"))
            .all_listener_keys("require_tls = \"login\"")
            .backend_keys(&keys);
        let gateway = Gateway::start(options);
        server.wait_probed();
        Self { gateway, server, _authority: authority }
    }

    /// Both directions, in every mode that the client has, under both levels of protection; what went wrong.
    fn play(&self, listener: &str, cell: &str) -> Vec<String> {
        let address = self.gateway.address(listener);
        let mut failures = Vec::new();
        for is_private in [true, false] {
            for &mode in DataMode::all_of(address) {
                let cell = format!("client {listener} {mode:?} private={is_private}, backend {cell}");
                let played = catch_unwind(AssertUnwindSafe(|| self.play_cell(address, mode, is_private)));
                if let Err(panic) = played {
                    let text = panic.downcast_ref::<String>().map_or("", String::as_str);
                    failures.push(format!("{cell}: {text}"));
                }
            }
        }
        failures
    }

    fn play_cell(&self, address: SocketAddr, mode: DataMode, is_private: bool) {
        let mut client = Client::secured_at(address, TlsSetup::new(&self.gateway, TlsVersion::Tls13));
        if !is_private {
            client.unprotect();
        }
        client.log_in();
        for size in [100_003, 0] {
            let sent = content(size);
            client.upload_by(mode, "STOR file", &sent);
            assert!(client.download_by(mode, "RETR file") == sent, "{size} bytes came back as others");
        }
        assert!(client.download_by(mode, "NLST").starts_with(b"file\r\n"), "a list");
        client.expect("QUIT", 221);
        client.expect_end();
    }
}

#[test]
fn every_mode_of_the_client_goes_with_every_mode_of_the_backend() {
    let modes = [BackendMode::Extended, BackendMode::PasvOnly, BackendMode::Active, BackendMode::PortOnly];
    let mut failures = Vec::new();
    for host in ["127.0.0.1", "::1"] {
        for mode in modes {
            if host == "::1" && matches!(mode, BackendMode::PasvOnly | BackendMode::PortOnly) {
                continue;
            }
            for tls in [BackendTls::Off, BackendTls::Clear, BackendTls::Private] {
                let cell = format!("{host} {mode:?} {tls:?}");
                let stage = match catch_unwind(|| Stage::start(host, mode, tls)) {
                    Ok(stage) => stage,
                    Err(_) => {
                        failures.push(format!("backend {cell}: it does not start"));
                        continue;
                    }
                };
                failures.extend(stage.play("v4", &cell));
                failures.extend(stage.play("v6", &cell));
                let resumed = stage.server.record().resumptions();
                if !resumed.iter().all(|&resumed| resumed) {
                    failures.push(format!("backend {cell}: a data connection made a full handshake"));
                }
                if (tls == BackendTls::Private) == resumed.is_empty() {
                    failures.push(format!("backend {cell}: the wrong protection"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} cells failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_backend_that_refused_epsv_once_is_not_asked_again() {
    let stage = Stage::start("127.0.0.1", BackendMode::PasvOnly, BackendTls::Off);
    assert!(stage.play("v4", "").is_empty());
    assert_eq!(stage.server.record().count("EPSV"), 1, "remembered over sessions");
}

#[test]
fn a_backend_may_answer_epsv_with_227() {
    let scene = Scene::start(
        Script::new().file("file", b"content").on("EPSV", |session, _| session.behave("PASV", b"")),
    );
    let mut client = scene.client();
    for _ in 0..2 {
        assert_eq!(client.download("RETR file"), b"content");
    }
}

#[test]
fn a_malformed_229_is_followed_by_pasv() {
    for line in [&b"229 Extended passive\r\n"[..], b"229 (|||65536|)\r\n", b"229 (|||a|)\r\n"] {
        let script = Script::new().file("file", b"content").on("EPSV", move |session, _| {
            session.send(line)?;
            Ok(ftpsgate_tests::scripted::Flow::Continue)
        });
        let scene = Scene::start(script);
        let mut client = scene.client();
        assert_eq!(client.download("RETR file"), b"content", "{}", line.escape_ascii());
    }
}

#[test]
fn the_gateway_connects_from_the_address_that_the_client_dialled() {
    let scene = Scene::start(Script::new().file("file", b"content"));
    let mut client = scene.client();
    for mode in [DataMode::Port, DataMode::Eprt] {
        let mut data = client.begin_transfer_by(mode, "RETR file");
        assert_eq!(data.peer().ip(), scene.gateway.address("explicit").ip(), "{mode:?}");
        assert_eq!(data.read_to_end(), (b"content".to_vec(), End::CloseNotify), "{mode:?}");
        client.expect_reply(226);
    }
}

#[test]
fn in_active_mode_the_data_connection_resumes_the_session_of_the_control_connection() {
    for version in TlsVersion::ALL {
        let scene = Scene::start_with(Script::new().file("file", b"content"), |options| {
            options.tls_keys("data_resumption = \"require\"")
        });
        let mut client = Client::logged_in(&scene.gateway, TlsSetup::new(&scene.gateway, version));
        for mode in [DataMode::Port, DataMode::Eprt] {
            let mut data = client.begin_transfer_by(mode, "RETR file");
            assert!(data.is_resumed(), "{version:?} {mode:?}");
            assert_eq!(data.read_to_end().0, b"content");
            client.expect_reply(226);
        }
    }
}

#[test]
fn port_to_somebody_else_is_refused_and_nobody_is_dialled() {
    let scene = Scene::start(Script::new().file("file", b"content"));
    let mut client = scene.client();
    let victim = DataListener::new("127.0.0.2".parse().unwrap());
    client.expect(&port_command(DataMode::Port, victim.address()), 500);
    client.expect(&port_command(DataMode::Eprt, victim.address()), 500);
    client.expect("RETR file", 425);
    assert!(victim.is_alone());
    client.expect("PORT 127,0,0,1,0,21", 504);
    client.expect("EPRT |1|127.0.0.1|1023|", 504);
    for malformed in [
        "PORT",
        "PORT 127,0,0,1,4",
        "PORT 127,0,0,1,4,256",
        "PORT 127,0,0,1,4,1,1",
        "EPRT",
        "EPRT |1|127.0.0.1|",
        "EPRT |1|127.0.0.1|x|",
        "EPRT |1|127.0.0.1|0|",
        "EPRT |1|::1|2000|",
    ] {
        client.expect(malformed, 501);
    }
    client.expect("EPRT |3|127.0.0.1|2000|", 522);
    assert!(client.expect("EPRT |2|::1|2000|", 522).mentions("(1"));
    assert!(!scene.server.record().has_command("PORT") && !scene.server.record().has_command("EPRT"));
    assert_eq!(client.download("RETR file"), b"content");
}

#[test]
fn a_refused_port_leaves_no_earlier_one_in_force() {
    let scene = Scene::start(Script::new().file("file", b"content"));
    let mut client = scene.client();
    let mine = DataListener::new(client.local_address().ip());
    client.expect(&mine.command(DataMode::Port), 200);
    let data = client.open_data();
    // The EPSV replaced it.
    client.expect("RETR file", 150);
    assert_eq!(client.secure(data).read_to_end().0, b"content");
    client.expect_reply(226);
    assert!(mine.is_alone());
}

#[test]
fn a_client_that_refuses_the_connection_gets_425_and_its_session_goes_on() {
    let scene = Scene::start(Script::new().file("file", b"content"));
    let mut client = scene.client();
    for command in ["RETR file", "STOR new"] {
        let listener = DataListener::new(client.local_address().ip());
        client.expect(&listener.command(DataMode::Eprt), 200);
        drop(listener);
        client.send(command);
        assert_eq!(client.final_reply().code, 425, "{command}");
    }
    assert_eq!(client.download_by(DataMode::Eprt, "RETR file"), b"content");
}

#[test]
fn active_off_refuses_port_and_eprt_and_does_not_offer_them() {
    let scene = Scene::start_with_listener_keys(Script::new(), "active = \"off\"");
    let mut client = scene.client();
    let listener = DataListener::new(client.local_address().ip());
    client.expect(&listener.command(DataMode::Port), 502);
    client.expect(&listener.command(DataMode::Eprt), 502);
    assert!(!client.expect("FEAT", 211).has_line("EPRT"));
    let scene = Scene::start(Script::new());
    assert!(scene.client().expect("FEAT", 211).has_line("EPRT"));
}

#[test]
fn somebody_else_who_dials_the_port_for_the_backend_is_turned_away() {
    let script = Script::new().file("file", b"content").on("PORT", |session, argument| {
        let flow = session.behave("PORT", argument)?;
        // A neighbour of the backend's comes first.
        let text = String::from_utf8_lossy(argument).into_owned();
        let numbers: Vec<u16> = text.split(',').map(|number| number.parse().unwrap()).collect();
        let address = SocketAddr::from(([127, 0, 0, 1], numbers[4] * 256 + numbers[5]));
        let stolen =
            ftpsgate_tests::client::DataConnection::steal(Some("127.0.0.9".parse().unwrap()), address);
        assert!(stolen.is_empty());
        Ok(flow)
    });
    let script = script.answer("EPRT", b"500 What?\r\n");
    let scene = Scene::start_with(script, |options| {
        options.backend_keys("data = \"active\"\nactive_ports = \"auto:2\"")
    });
    let mut client = scene.client();
    assert_eq!(client.download("RETR file"), b"content");
    client.upload("STOR file", b"other content");
    assert_eq!(client.download("RETR file"), b"other content");
}
