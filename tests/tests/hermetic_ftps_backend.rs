//! Backends that speak TLS, scripted: whom the gateway trusts, what it demands, what it refuses to believe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::client::{Client, DataMode, End, TlsVersion};
use ftpsgate_tests::gateway::{CANARY, PATIENCE, wait_until};
use ftpsgate_tests::scene::{Scene, content};
use ftpsgate_tests::scripted::{Flow, Script, ScriptTls};

/// A server with one file.
fn script() -> Script {
    Script::new().file("file", b"content")
}

/// Up, down and a list, in one session.
fn moves_files(scene: &Scene) {
    let mut client = scene.client();
    let sent = content(300_001);
    client.upload("STOR new", &sent);
    assert!(client.download("RETR new") == sent);
    assert_eq!(client.download("RETR file"), b"content");
    assert_eq!(client.download("NLST"), b"file\r\nnew\r\n");
    client.expect("QUIT", 221);
}

/// The client gets 421 at USER, or at PASS where the server's fault shows only then; the server never gets `hidden`.
fn refuses(scene: &Scene, hidden: &str) {
    let mut client = scene.stranger();
    let mut reply = client.command("USER anna");
    if reply.code == 331 {
        reply = client.command(&format!("PASS {CANARY}"));
    }
    assert_eq!(reply.code, 421, "{reply}");
    client.expect_end();
    assert!(!scene.server.record().has_command(hidden), "{:?}", scene.server.record().commands());
}

#[test]
fn explicit_tls_protects_login_and_data() {
    let authority = Authority::new();
    let tls = ScriptTls::explicit(&authority).demanding_reuse();
    let scene = Scene::start_secured(script(), tls, &authority, "");
    moves_files(&scene);
    let commands = scene.server.record().commands();
    assert_eq!(commands[0], "AUTH TLS", "{commands:?}");
    let place = |command: &str| commands.iter().position(|line| line == command);
    assert!(place("PBSZ 0") < place("PROT P") && place("PROT P").is_some(), "{commands:?}");
    assert_eq!(scene.server.record().resumptions(), [true; 4]);
}

#[test]
fn implicit_tls_protects_login_and_data() {
    let authority = Authority::new();
    let tls = ScriptTls::implicit(&authority).demanding_reuse();
    let scene = Scene::start_secured(script(), tls, &authority, "");
    moves_files(&scene);
    assert!(!scene.server.record().has_command("AUTH"));
    assert_eq!(scene.server.record().resumptions(), [true; 4]);
}

#[test]
fn data_connections_can_stay_in_clear() {
    let authority = Authority::new();
    for tls in [ScriptTls::explicit(&authority), ScriptTls::implicit(&authority)] {
        let scene = Scene::start_secured(script(), tls, &authority, "data_tls = \"clear\"");
        moves_files(&scene);
        assert!(scene.server.record().resumptions().is_empty());
        assert!(!scene.server.record().commands().contains(&"PROT P".to_owned()));
    }
}

#[test]
fn a_plain_listener_leads_to_an_ftps_backend_too() {
    let authority = Authority::new();
    let scene = Scene::start_secured(script(), ScriptTls::explicit(&authority), &authority, "");
    let mut client = scene.plain_client();
    assert_eq!(client.download("RETR file"), b"content");
    assert_eq!(scene.server.record().resumptions().len(), 1);
}

#[test]
fn a_backend_that_refuses_auth_gets_no_user() {
    let authority = Authority::new();
    for refusal in
        [&b"502 Not here\r\n"[..], b"534 No\r\n", b"500 What?\r\n", b"431 Later\r\n", b"200 Fine\r\n"]
    {
        let script = script().on("AUTH", move |session, _| {
            session.send(refusal)?;
            Ok(Flow::Continue)
        });
        let scene = Scene::start_secured(script, ScriptTls::explicit(&authority), &authority, "");
        refuses(&scene, "USER");
    }
}

#[test]
fn what_stands_behind_the_234_ends_the_session() {
    let authority = Authority::new();
    let injected: [&[u8]; 4] = [
        b"234 Go on\r\n220 Injected\r\n",
        b"234 Go on\r\n230 Logged in already\r\n",
        b"234 Go on\r\nnoise",
        b"234 Go on\r\n\x16\x03\x01",
    ];
    for bytes in injected {
        let script = script().on("AUTH", move |session, _| {
            session.send(bytes)?;
            // It may even be willing to go on.
            session.start_tls().map_or(Ok(Flow::Close), |()| Ok(Flow::Continue))
        });
        let scene = Scene::start_secured(script, ScriptTls::explicit(&authority), &authority, "");
        refuses(&scene, "USER");
    }
}

#[test]
fn a_backend_that_refuses_prot_gets_no_data_in_clear() {
    let authority = Authority::new();
    let script = script().answer("PROT", b"534 Not this level\r\n");
    let scene = Scene::start_secured(script, ScriptTls::explicit(&authority), &authority, "");
    let mut client = scene.stranger();
    let mut reply = client.command("USER anna");
    if reply.code == 331 {
        reply = client.command(&format!("PASS {CANARY}"));
    }
    assert_eq!(reply.code, 421, "{reply}");
    assert!(!scene.server.record().has_command("EPSV"));
}

#[test]
fn a_user_whose_data_the_server_will_not_protect_does_not_take_it_down() {
    let authority = Authority::new();
    let is_logged_in = Arc::new(AtomicBool::new(false));
    let accepted = Arc::clone(&is_logged_in);
    let script = script()
        .on("PASS", move |session, _| {
            accepted.store(true, Ordering::Relaxed);
            session.reply("230 Welcome")?;
            Ok(Flow::Continue)
        })
        .on("PROT", move |session, _| {
            let is_after_login = is_logged_in.swap(false, Ordering::Relaxed);
            session.reply(if is_after_login { "534 Not for you" } else { "503 Log in first" })?;
            Ok(Flow::Continue)
        });
    let keys = "check = { kind = \"off\", fall = 1, every = \"1h\" }";
    let scene = Scene::start_secured(script, ScriptTls::explicit(&authority), &authority, keys);
    for _ in 0..5 {
        refuses(&scene, "EPSV");
    }
    assert_eq!(scene.server.record().count("USER"), 5, "it stayed up");
    let event = scene.gateway.wait_named("the server cannot be used", PATIENCE);
    assert_eq!(event.text("reason"), "prot_refused_after_login");
    assert_eq!(event.text("why"), "it refuses PROT P after login, with 534");
    assert!(!scene.gateway.events().iter().any(|event| event.is("the server failed")));
}

#[test]
fn a_certificate_by_somebody_else_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    for tls in [ScriptTls::explicit(&other), ScriptTls::implicit(&other)] {
        let scene = Scene::start_secured(script(), tls, &authority, "");
        refuses(&scene, "USER");
    }
}

#[test]
fn a_certificate_in_the_ca_file_is_trusted_itself() {
    let authority = Authority::new();
    let tls = ScriptTls::explicit(&authority);
    let (certificate, _) = authority.files(tls.shown(), "pinned");
    let scene = Scene::start_secured(script(), tls, &authority, &format!("tls_ca = {certificate:?}"));
    moves_files(&scene);
}

#[test]
fn the_name_in_the_certificate_is_the_one_that_was_dialled_or_configured() {
    let authority = Authority::new();
    let tls = || ScriptTls::explicit(&authority).identity(authority.server_named(&["ftp.vendor.example"]));
    let scene = Scene::start_secured(script(), tls().demanding_reuse(), &authority, "");
    refuses(&scene, "USER");
    let keys = "tls_server_name = \"ftp.vendor.example\"";
    let scene = Scene::start_secured(script(), tls().demanding_reuse(), &authority, keys);
    moves_files(&scene);
    let keys = "tls_server_name = \"ftp.other.example\"";
    let scene = Scene::start_secured(script(), tls(), &authority, keys);
    refuses(&scene, "USER");
}

#[test]
fn a_pin_alone_replaces_chain_and_name() {
    let authority = Authority::new();
    let shown = authority.server_named(&["somewhere.example"]);
    let tls = || ScriptTls::explicit(&authority).identity(shown.clone()).demanding_reuse();
    let right = format!("tls_pin = [{:?}]", shown.pin());
    moves_files(&Scene::start_secured(script(), tls(), &authority, &right));
    let wrong = format!("tls_pin = [{:?}]", authority.server().pin());
    refuses(&Scene::start_secured(script(), tls(), &authority, &wrong), "USER");
    let either = format!("tls_pin = [{:?}, {:?}]", authority.server().pin(), shown.pin());
    moves_files(&Scene::start_secured(script(), tls(), &authority, &either));
}

#[test]
fn a_pin_beside_a_ca_file_means_both() {
    let (authority, other) = (Authority::new(), Authority::new());
    let shown = authority.server();
    let tls = || ScriptTls::explicit(&authority).identity(shown.clone());
    let keys = |root: &Authority, pin: &str| format!("tls_ca = {:?}\ntls_pin = [{pin:?}]", root.root_file());
    moves_files(&Scene::start_secured(script(), tls(), &authority, &keys(&authority, shown.pin())));
    refuses(&Scene::start_secured(script(), tls(), &authority, &keys(&other, shown.pin())), "USER");
    let wrong = other.server();
    refuses(&Scene::start_secured(script(), tls(), &authority, &keys(&authority, wrong.pin())), "USER");
}

#[test]
fn a_backend_that_asks_gets_the_client_certificate() {
    let authority = Authority::new();
    let (chain, key) = authority.files(&authority.client("gateway"), "client");
    for version in TlsVersion::ALL {
        let tls = || {
            ScriptTls::explicit(&authority)
                .version(version)
                .demanding_certificates(&authority)
                .demanding_reuse()
        };
        let newest = "tls_max_version = \"1.3\"\n";
        let keys = format!("{newest}tls_client_certificate = {{ chain = {chain:?}, key = {key:?} }}");
        moves_files(&Scene::start_secured(script(), tls().tickets(4, 2, 2), &authority, &keys));
        refuses(&Scene::start_secured(script(), tls(), &authority, newest), "USER");
    }
}

#[test]
fn a_backend_that_may_show_anything_is_named_at_every_start_and_session() {
    let (authority, other) = (Authority::new(), Authority::new());
    let tls = ScriptTls::explicit(&other).identity(other.server_named(&["nowhere.example"]));
    let keys = "danger_accept_invalid_certificates = true";
    let scene = Scene::start_secured(script(), tls, &authority, keys);
    let warnings = || {
        let events = scene.gateway.events().into_iter();
        events
            .filter(|event| event.text("level") == "WARN" && format!("{event:?}").contains("certificate"))
            .count()
    };
    wait_until("a warning at the start", || warnings() >= 1);
    let at_start = warnings();
    moves_files(&scene);
    wait_until("a warning of the session", || warnings() > at_start);
    let before = warnings();
    moves_files(&scene);
    wait_until("a warning of the next session", || warnings() > before);
}

#[test]
fn a_version_outside_the_bounds_is_refused() {
    let authority = Authority::new();
    let tls = |version| ScriptTls::explicit(&authority).version(version);
    refuses(&Scene::start_secured(script(), tls(TlsVersion::Tls13), &authority, ""), "USER");
    let only_13 = "tls_min_version = \"1.3\"\ntls_max_version = \"1.3\"";
    refuses(&Scene::start_secured(script(), tls(TlsVersion::Tls12), &authority, only_13), "USER");
    moves_files(&Scene::start_secured(script(), tls(TlsVersion::Tls13), &authority, only_13));
}

#[test]
fn a_data_connection_without_resumption_shows_the_same_certificate_or_is_refused() {
    let authority = Authority::new();
    let shown = authority.server();
    let same = ScriptTls::explicit(&authority).identity(shown.clone()).data_identity(shown.clone());
    let scene = Scene::start_secured(script(), same, &authority, "");
    moves_files(&scene);
    assert!(scene.server.record().resumptions().iter().all(|&resumed| !resumed));

    let other = ScriptTls::explicit(&authority).identity(shown).data_identity(authority.server());
    let scene = Scene::start_secured(script(), other, &authority, "");
    let mut client = scene.client();
    for mode in [DataMode::Epsv, DataMode::Eprt] {
        let data = client.prepare_data(mode);
        client.send("RETR file");
        let data = match data {
            ftpsgate_tests::client::PreparedData::Connected(data) => Some(data),
            ftpsgate_tests::client::PreparedData::Awaited(_) => None,
        };
        let reply = client.final_reply();
        assert!(matches!(reply.code, 425 | 426 | 522), "{reply}");
        drop(data);
    }
    client.expect("NOOP", 200);
}

#[test]
fn a_download_that_the_backend_cuts_short_is_never_226() {
    let authority = Authority::new();
    for resets in [false, true] {
        for verb in ["RETR", "LIST"] {
            let script = script().on(verb, move |session, _| {
                let mut data = session.start_transfer()?;
                data.send(b"half of it")?;
                match resets {
                    true => data.reset(),
                    false => data.cut(),
                }
                session.reply("226 That was all")?;
                Ok(Flow::Continue)
            });
            let scene = Scene::start_secured(script, ScriptTls::explicit(&authority), &authority, "");
            let mut client = scene.client();
            let mut data = client.begin_transfer(&format!("{verb} file"));
            assert_ne!(data.read_to_end().1, End::CloseNotify, "{verb}, resets: {resets}");
            client.expect_reply(426);
            client.expect("NOOP", 200);
        }
    }
}

#[test]
fn an_upload_that_the_backend_resets_is_never_226() {
    let authority = Authority::new();
    let script = script().on("STOR", |session, _| {
        let mut data = session.start_transfer()?;
        data.receive(1000)?;
        data.reset();
        session.reply("226 That was all")?;
        Ok(Flow::Continue)
    });
    let scene = Scene::start_secured(script, ScriptTls::explicit(&authority), &authority, "");
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR new");
    data.write(&content(1000));
    // The reset is seen, or the reply that comes too early.
    client.expect_reply(426);
}

#[test]
fn a_client_that_cuts_its_upload_short_cuts_it_short_for_the_backend() {
    let authority = Authority::new();
    let scene = Scene::start_secured(script(), ScriptTls::explicit(&authority), &authority, "");
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR new");
    data.write(b"half");
    data.cut();
    client.expect_reply(426);
    assert_ne!(scene.server.record().wait_upload().end, End::CloseNotify);
    client.expect("SIZE new", 550);
}

#[test]
fn an_upload_without_room_for_its_name_keeps_the_session() {
    let authority = Authority::new();
    let script = script().answer("STOR", b"553 No such folder\r\n");
    let scene = Scene::start_secured(script, ScriptTls::explicit(&authority), &authority, "");
    let mut client = scene.client();
    let _data = client.open_data();
    client.expect("STOR nowhere/new", 553);
    assert_eq!(client.download("RETR file"), b"content");
}

const NEWEST: &str = "tls_max_version = \"1.3\"";

/// TLS 1.3 as vsftpd and ProFTPD do it, with few tickets.
fn strict_13(authority: &Authority, control: usize, download: usize, upload: usize) -> ScriptTls {
    ScriptTls::explicit(authority)
        .version(TlsVersion::Tls13)
        .demanding_reuse()
        .tickets(control, download, upload)
}

#[test]
fn where_no_ticket_is_left_the_gateway_logs_in_afresh_and_goes_on_where_it_was() {
    let authority = Authority::new();
    let scene = Scene::start_secured(script(), strict_13(&authority, 2, 0, 0), &authority, NEWEST);
    let mut client = scene.client();
    client.expect("TYPE I", 200);
    client.expect("CWD /deep/folder", 250);
    for round in 0..7 {
        client.upload("STOR new", &[round; 1000]);
        client.expect("REST 400", 350);
        assert_eq!(client.download("RETR new"), [round; 600], "round {round}");
    }
    assert!(client.expect("PWD", 257).mentions("\"/deep/folder\""));
    client.expect("QUIT", 221);
    let record = scene.server.record();
    assert_eq!(record.resumptions(), [true; 14], "never a dial without a ticket");
    let commands = record.commands();
    let logins = commands.iter().filter(|line| line.starts_with("USER ")).count();
    assert_eq!(logins, 7, "two transfers with each login: {commands:?}");
    // What was said before the first transfer of a renewed session.
    for session in commands.split(|line| line.starts_with("USER ")).skip(2) {
        let transfer = session.iter().position(|line| line.starts_with("STOR") || line.starts_with("RETR"));
        let before = &session[..transfer.expect("it was renewed for a transfer")];
        assert!(before.contains(&"TYPE I".to_owned()), "{before:?}");
        assert!(before.contains(&"CWD /deep/folder".to_owned()), "{before:?}");
    }
}

#[test]
fn tickets_that_come_with_transfers_are_used() {
    let authority = Authority::new();
    let scene = Scene::start_secured(script(), strict_13(&authority, 2, 1, 1), &authority, NEWEST);
    let mut client = scene.client();
    for round in 0..20 {
        client.upload("STOR new", &[round; 1000]);
        assert_eq!(client.download("RETR new"), [round; 1000]);
    }
    assert!(scene.server.record().resumptions().iter().all(|&resumed| resumed));
    assert_eq!(scene.server.record().count("USER"), 1, "there was always a ticket");
}

#[test]
fn where_the_fresh_login_fails_the_transfer_gets_425_and_the_session_goes_on() {
    let authority = Authority::new();
    let logins = AtomicUsize::new(0);
    let script = script().on("PASS", move |session, _| {
        let first = logins.fetch_add(1, Ordering::SeqCst) == 0;
        session.reply(if first { "230 Welcome" } else { "530 Not again" })?;
        Ok(Flow::Continue)
    });
    let scene = Scene::start_secured(script, strict_13(&authority, 2, 0, 0), &authority, NEWEST);
    let mut client = scene.client();
    assert_eq!(client.download("RETR file"), b"content");
    assert_eq!(client.download("RETR file"), b"content");
    for _ in 0..2 {
        let _data = client.open_data();
        client.expect("RETR file", 425);
        client.expect("NOOP", 200);
    }
    assert_eq!(scene.server.record().resumptions(), [true, true]);
    client.expect("QUIT", 221);
}

#[test]
fn a_rename_survives_a_fresh_login_or_is_refused_whole() {
    let authority = Authority::new();
    let scene = Scene::start_secured(script(), strict_13(&authority, 1, 0, 0), &authority, NEWEST);
    let mut client = scene.client();
    assert_eq!(client.download("RETR file"), b"content");
    client.expect("RNFR file", 350);
    client.expect("RNTO other", 250);
    assert_eq!(client.download("RETR other"), b"content");
}

#[test]
fn no_password_is_kept_where_no_login_can_become_necessary() {
    // The canary in the log would be found when the gateway ends; here it is the server that must see one login only.
    let authority = Authority::new();
    let tls = ScriptTls::explicit(&authority).demanding_reuse();
    let scene = Scene::start_secured(script(), tls, &authority, "");
    let mut client = scene.client();
    for _ in 0..60 {
        assert_eq!(client.download("RETR file"), b"content");
    }
    assert_eq!(scene.server.record().count("PASS"), 1);
    assert_eq!(scene.server.record().resumptions(), [true; 60]);
}

#[test]
fn a_backend_that_ends_its_tls_in_mid_session_gets_a_421_for_the_client() {
    let authority = Authority::new();
    let script = script().on("SYST", |_, _| Ok(Flow::Reset));
    let scene = Scene::start_secured(script, ScriptTls::explicit(&authority), &authority, "");
    let mut client = scene.client();
    client.expect("SYST", 421);
    client.expect_end();
}

#[test]
fn a_tls_handshake_that_never_ends_is_ended_in_time() {
    let authority = Authority::new();
    let script = script().on("AUTH", |session, _| {
        session.reply("234 Go on")?;
        session.swallow()
    });
    let keys = "connect_timeout = \"1s\"\nreply_timeout = \"1s\"";
    let scene = Scene::start_secured(script, ScriptTls::explicit(&authority), &authority, keys);
    let mut client: Client = scene.stranger();
    let begun = std::time::Instant::now();
    client.expect("USER anna", 421);
    assert!(begun.elapsed() < PATIENCE / 2);
}
