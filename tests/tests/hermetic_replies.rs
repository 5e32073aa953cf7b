//! The replies that the gateway gives itself, row by row, as wire transcripts.
//!
//! Every transcript runs before a scripted server, whose record shows what was forwarded and what was not.

use ftpsgate_tests::client::{Client, TlsSetup, TlsVersion};
use ftpsgate_tests::gateway::{CANARY, GatewayOptions, ListenerOptions};
use ftpsgate_tests::scene::Scene;
use ftpsgate_tests::scripted::{Flow, Script};

fn scene() -> Scene {
    Scene::start(Script::new().file("file", b"content"))
}

/// A scene with a listener `login` that asks for TLS at login only.
fn scene_with_clear_data() -> Scene {
    Scene::start_with(Script::new().file("file", b"content"), |options: GatewayOptions| {
        options.listener(ListenerOptions::explicit("login").keys(r#"require_tls = "login""#))
    })
}

fn under_tls_at(scene: &Scene, listener: &str) -> Client {
    let mut client = Client::connect(scene.gateway.address(listener));
    client.greeting();
    client.auth_tls(scene.tls());
    client
}

#[test]
fn auth_takes_every_name_of_tls_in_any_case() {
    let scene = scene();
    for mechanism in ["TLS", "tls", "TLS-C", "tls-c", "SSL", "Ssl", "TLS-P", "tls-p"] {
        let mut client = scene.newcomer();
        client.expect(&format!("AUTH {mechanism}"), 234);
        client.start_tls(scene.tls());
        client.expect("NOOP", 200);
    }
}

#[test]
fn auth_ssl_and_tls_p_protect_data_by_themselves() {
    let scene = scene();
    for mechanism in ["SSL", "TLS-P"] {
        let mut client = scene.newcomer();
        client.expect(&format!("AUTH {mechanism}"), 234);
        client.start_tls(scene.tls());
        client.log_in();
        let mut data = client.open_data();
        client.expect("RETR file", 150);
        data.start_tls(client.tls()).expect("data connections are private");
        assert_eq!(data.read_to_end().0, b"content", "{mechanism}");
        client.expect_reply(226);
    }
}

#[test]
fn auth_refuses_other_mechanisms() {
    scene().newcomer().transcript(
        "> AUTH GSSAPI
         < 504
         > AUTH
         < 501
         > AUTH TLSX
         < 504
         > NOOP
         < 200",
    );
}

#[test]
fn auth_under_tls_is_out_of_order() {
    let scene = scene();
    scene.stranger().transcript("> AUTH TLS\n< 503\n> NOOP\n< 200");
    scene.client().transcript("> AUTH TLS\n< 503\n> NOOP\n< 200");
}

#[test]
fn auth_is_not_offered_on_a_plain_listener() {
    let scene = scene();
    let mut client = Client::connect(scene.gateway.address("plain"));
    client.transcript("< 220\n> AUTH TLS\n< 534\n> NOOP\n< 200");
}

#[test]
fn pbsz_needs_tls_and_a_number_and_is_always_zero() {
    let scene = scene();
    let mut client = scene.newcomer();
    client.transcript("> PBSZ 0\n< 503\n> PROT P\n< 503");
    client.auth_tls(scene.tls());
    client.transcript(
        "> PROT P
         < 503
         > PBSZ
         < 501
         > PBSZ x
         < 501
         > PBSZ -1
         < 501
         > PBSZ 1024
         < 200 PBSZ=0
         > PBSZ 0
         < 200 PBSZ=0",
    );
}

#[test]
fn prot_knows_four_levels_and_supports_one() {
    scene().stranger().transcript(
        "> PROT S
         < 536
         > PROT E
         < 536
         > PROT X
         < 504
         > PROT C
         < 534
         > prot p
         < 200",
    );
}

#[test]
fn prot_c_is_allowed_where_only_the_login_needs_tls() {
    let scene = scene_with_clear_data();
    let mut client = under_tls_at(&scene, "login");
    client.transcript("> PBSZ 0\n< 200\n> PROT P\n< 200\n> PROT C\n< 200");
    client.log_in();
    assert_eq!(client.download("RETR file"), b"content");
}

#[test]
fn a_transfer_under_the_wrong_protection_is_refused_at_its_command() {
    let scene = scene();
    let mut client = under_tls_at(&scene, "explicit");
    client.log_in();
    client.expect("EPSV", 229);
    client.transcript("> RETR file\n< 521\n> LIST\n< 521\n> STOR file\n< 521\n> NOOP\n< 200");
    assert!(!scene.server.record().has_command("RETR"));
    client.transcript("> PBSZ 0\n< 200");
    client.protect();
    assert_eq!(client.download("RETR file"), b"content");
}

#[test]
fn ccc_is_denied() {
    let scene = scene();
    scene.stranger().transcript("> CCC\n< 534\n> NOOP\n< 200");
    scene.client().transcript("> CCC\n< 534\n> NOOP\n< 200");
}

#[test]
fn a_login_in_clear_is_refused_and_never_reaches_the_backend() {
    let scene = scene();
    let mut client = scene.newcomer();
    client.expect("USER anna", 530);
    client.expect(&format!("PASS {CANARY}"), 530);
    client.expect("QUIT", 221);
    client.expect_end();
    assert_eq!(scene.server.record().sessions(), 0);
}

#[test]
fn a_login_in_clear_is_taken_where_nothing_is_required() {
    let server_script = Script::new().file("file", b"content");
    let scene = Scene::start_with(server_script, |options| {
        options.listener(ListenerOptions::explicit("open").keys(r#"require_tls = "no""#))
    });
    let mut client = Client::connect(scene.gateway.address("open"));
    client.greeting();
    client.log_in();
    assert_eq!(client.download("RETR file"), b"content");
}

#[test]
fn who_said_no_user_causes_no_backend_connection() {
    let scene = scene();
    scene.stranger().transcript("> FEAT\n< 211\n> SYST\n< 215\n> QUIT\n< 221\n< (end)");
    assert_eq!(scene.server.record().sessions(), 0);
}

#[test]
fn login_commands_out_of_order_get_503() {
    let scene = scene();
    let mut client = scene.stranger();
    client.expect(&format!("PASS {CANARY}"), 503);
    client.log_in();
    client.transcript("> USER bert\n< 503\n> RNTO name\n< 503\n> HOST localhost\n< 503");
    client.expect(&format!("PASS {CANARY}"), 503);
    assert_eq!(scene.server.record().count("USER"), 1);
    assert!(!scene.server.record().has_command("RNTO"));
}

#[test]
fn rein_is_not_implemented() {
    let scene = scene();
    scene.client().transcript("> REIN\n< 502\n> NOOP\n< 200");
    assert!(!scene.server.record().has_command("REIN"));
}

#[test]
fn unknown_verbs_get_500_and_are_never_forwarded() {
    let scene = scene();
    let mut client = scene.client();
    for verb in ["XYZZY", "FETCH", "RETRIEVE", "S", "123", "-", "NO-OP"] {
        client.expect(verb, 500);
        client.expect(&format!("{verb} argument"), 500);
        assert!(!scene.server.record().has_command(verb), "{verb}");
    }
}

#[test]
fn security_and_structure_extensions_are_never_forwarded() {
    let scene = scene();
    let mut client = scene.client();
    for command in [
        "ADAT x", "MIC x", "CONF x", "ENC x", "SSCN ON", "CPSV", "MODE Z", "MODE B", "STRU R", "STRU P",
        "SMNT /x",
    ] {
        let reply = client.command(command);
        assert!(matches!(reply.code, 502 | 504), "{command}: {reply}");
    }
    client.transcript("> MODE S\n< 200\n> STRU F\n< 200\n> TYPE I\n< 200");
    let allowed = |command: &String| !command.starts_with("MODE") || command == "MODE S";
    let commands = scene.server.record().commands();
    assert!(commands.iter().all(allowed), "{commands:?}");
    for verb in ["ADAT", "MIC", "CONF", "ENC", "SSCN", "CPSV", "SMNT"] {
        assert!(!scene.server.record().has_command(verb), "{verb}");
    }
}

#[test]
fn bad_arguments_get_501() {
    let scene = scene();
    let mut client = scene.client();
    let commands =
        ["RETR", "STOR", "APPE", "DELE", "RNFR", "MKD", "RMD", "SIZE", "TYPE", "MODE", "STRU", "REST"];
    for command in commands {
        client.expect(command, 501);
    }
    for command in ["REST x", "REST -1", "ALLO x", "QUIT now", "PASV x"] {
        let reply = client.command(command);
        assert_eq!(reply.code, 501, "{command}: {reply}");
    }
    client.expect("NOOP", 200);
}

#[test]
fn a_transfer_without_a_data_port_gets_425() {
    let scene = scene();
    let mut client = scene.client();
    for command in ["RETR file", "STOR file", "APPE file", "STOU", "LIST", "NLST", "MLSD"] {
        client.expect(command, 425);
    }
    assert_eq!(client.download("RETR file"), b"content");
    // One port serves one transfer.
    client.expect("RETR file", 425);
}

#[test]
fn active_mode_may_be_switched_off() {
    let scene = Scene::start_with_listener_keys(Script::new().file("file", b"content"), "active = \"off\"");
    let mut client = scene.client();
    assert!(!client.expect("FEAT", 211).mentions("EPRT"));
    client.transcript("> PORT 127,0,0,1,200,1\n< 502\n> EPRT |1|127.0.0.1|51201|\n< 502\n> NOOP\n< 200");
    let record = scene.server.record();
    assert!(!record.has_command("PORT") && !record.has_command("EPRT"));
}

#[test]
fn epsv_all_forbids_every_other_way() {
    let scene = scene();
    let mut client = scene.client();
    client.expect("EPSV ALL", 200);
    client.transcript(
        "> PASV
         < 503
         > PORT 127,0,0,1,200,1
         < 503
         > EPRT |1|127.0.0.1|51201|
         < 503",
    );
    assert_eq!(client.download("RETR file"), b"content", "EPSV itself still works");
}

#[test]
fn epsv_knows_the_family_of_the_control_connection() {
    let scene = scene();
    let mut client = scene.client();
    client.transcript("> EPSV 2\n< 522\n> EPSV 9\n< 522\n> EPSV x\n< 501\n> EPSV 1\n< 229\n> NOOP\n< 200");
}

#[test]
fn host_must_be_the_name_that_the_handshake_asked_for() {
    let scene = scene();
    let mut client = scene.stranger();
    client.transcript("> HOST other.example\n< 504\n> HOST localhost\n< 220\n> HOST\n< 501");
}

#[test]
fn host_without_sni_must_be_a_name_that_is_configured() {
    let scene = scene();
    let mut client = Client::secured(&scene.gateway, scene.tls().named("127.0.0.1"));
    client.expect("HOST nobody.example", 504);
}

#[test]
fn before_login_only_a_few_verbs_are_answered() {
    let scene = scene();
    let mut client = scene.stranger();
    for command in [
        "PWD", "CWD x", "CDUP", "LIST", "NLST", "MLSD", "MLST", "RETR x", "STOR x", "APPE x", "STOU",
        "DELE x", "MKD x", "RMD x", "RNFR x", "RNTO x", "SIZE x", "MDTM x", "TYPE I", "MODE S", "STRU F",
        "PASV", "EPSV", "REST 1", "ALLO 1", "SITE x", "STAT", "STAT x", "ABOR", "XPWD", "XCWD x", "XMKD x",
        "XRMD x", "XCUP",
    ] {
        let reply = client.command(command);
        assert_eq!(reply.code, 530, "{command}: {reply}");
    }
    client.transcript("> NOOP\n< 200\n> SYST\n< 215\n> HELP\n< 214\n> FEAT\n< 211\n> OPTS MLST size;\n< 501");
    client.log_in();
    assert!(!scene.server.record().has_command("OPTS"));
}

#[test]
fn utf8_that_is_promised_before_the_login_is_asked_for_after_it() {
    let scene = scene();
    let mut client = scene.stranger();
    client.expect("OPTS UTF8 ON", 200);
    client.log_in();
    assert!(scene.server.record().commands().contains(&"OPTS UTF8 ON".to_owned()));
    let scene = Scene::start(Script::new().answer("FEAT", b"500 What?\r\n"));
    scene.stranger().expect("OPTS UTF8 ON", 501);
}

#[test]
fn a_wrong_password_is_the_backends_word_and_can_be_corrected() {
    let script = Script::new().on("PASS", |session, argument| {
        if argument == CANARY.as_bytes() {
            return session.behave("PASS", argument);
        }
        session.reply("530 Wrong")?;
        Ok(Flow::Continue)
    });
    let scene = Scene::start(script);
    let mut client = scene.stranger();
    client.transcript("> USER anna\n< 331\n> PASS wrong\n< 530");
    client.log_in();
    client.expect("PWD", 257);
}

#[test]
fn implicit_sessions_start_protected() {
    let scene = scene();
    let mut client = Client::connect_implicit(scene.gateway.address("implicit"), scene.tls());
    client.greeting();
    client.log_in();
    assert_eq!(client.download("RETR file"), b"content");
    client.transcript("> AUTH TLS\n< 503\n> PROT C\n< 534");
}

#[test]
fn feat_shows_our_own_features_and_of_the_backends_only_those_we_understand() {
    let feat = b"211-Features\r\n MDTM\r\n REST STREAM\r\n SIZE\r\n UTF8\r\n AUTH SSL\r\n X-INTERNAL secret\r\n211 End\r\n";
    let scene = Scene::start(Script::new().answer("FEAT", feat));
    let mut client = scene.stranger();
    let before = client.expect("FEAT", 211);
    for own in ["AUTH TLS", "PBSZ", "PROT", "EPSV", "EPRT"] {
        assert!(before.mentions(own), "{before}");
    }
    client.log_in();
    let after = client.expect("FEAT", 211);
    for line in ["PBSZ", "PROT", "EPSV", "EPRT", "UTF8", "SIZE", "MDTM", "REST STREAM"] {
        assert!(after.has_line(line), "no {line}: {after}");
    }
    for line in ["X-INTERNAL", "MLST"] {
        assert!(!after.mentions(line), "{line}: {after}");
    }
    assert!(
        scene.stranger().expect("FEAT", 211).has_line("SIZE"),
        "what the backend said last is remembered"
    );
}

#[test]
fn a_backend_without_feat_leaves_our_own() {
    let scene = Scene::start(Script::new().answer("FEAT", b"500 What?\r\n"));
    let reply = scene.client().expect("FEAT", 211);
    assert!(reply.mentions("EPSV") && !reply.mentions("UTF8"), "{reply}");
}

#[test]
fn rest_is_held_until_its_transfer() {
    let scene = scene();
    let mut client = scene.client();
    client.expect("REST 3", 350);
    assert!(!scene.server.record().has_command("REST"));
    assert_eq!(client.download("RETR file"), b"tent");
    let commands = scene.server.record().commands();
    let rest = commands.iter().position(|command| command == "REST 3").expect("REST was sent");
    assert_eq!(commands[rest + 1], "RETR file");
    // lftp says so before every STOR.
    client.expect("REST 0", 350);
    client.upload("STOR file", b"new");
    assert_eq!(scene.server.record().count("REST"), 1);
}

#[test]
fn a_refused_rest_is_the_transfers_reply() {
    let scene = Scene::start(Script::new().file("file", b"content").answer("REST", b"501 No restart\r\n"));
    let mut client = scene.client();
    client.expect("REST 3", 350);
    client.expect("EPSV", 229);
    client.expect("RETR file", 501);
    assert!(!scene.server.record().has_command("RETR"));
}

#[test]
fn stou_keeps_the_name_in_its_150() {
    let script = Script::new().on("STOU", |session, _| {
        let mut data = session.accept_data()?;
        session.reply("150 FILE: unique.0001")?;
        data.receive_to_end();
        session.reply("226 Stored")?;
        Ok(Flow::Continue)
    });
    let scene = Scene::start(script);
    let mut client = scene.client();
    let data = client.open_data();
    let reply = client.expect("STOU", 150);
    assert!(reply.mentions("FILE: unique.0001"), "{reply}");
    client.secure(data).finish();
    client.expect_reply(226);
}

#[test]
fn noop_syst_help_and_stat_with_a_path_are_forwarded() {
    let scene = scene();
    let mut client = scene.client();
    client.transcript(
        "> NOOP\n< 200 Fine\n> HELP\n< 214\n> STAT file\n< 211 All well\n> SITE CHMOD 644 x\n< 200 Done",
    );
    let record = scene.server.record();
    assert!(record.has_command("NOOP") && record.has_command("STAT") && record.has_command("SITE"));
}

#[test]
fn verbs_are_forwarded_in_capitals_and_arguments_verbatim() {
    let scene = scene();
    let mut client = scene.client();
    client.expect("dele   two leading blanks", 550);
    let commands = scene.server.record().commands();
    assert!(commands.contains(&"DELE   two leading blanks".to_owned()), "{commands:?}");
}

#[test]
fn abor_without_a_transfer_is_ours() {
    let scene = scene();
    scene.client().transcript("> ABOR\n< 226\n> NOOP\n< 200");
}

#[test]
fn quit_ends_the_session_on_both_sides() {
    let scene = scene();
    scene.client().transcript("> QUIT\n< 221\n< (end)");
    scene.server.record().wait_disconnected(1);
}

#[test]
fn too_many_failed_logins_end_the_session() {
    let scene = Scene::start(Script::new().answer("PASS", b"530 Wrong\r\n"));
    let mut client = scene.stranger();
    client.transcript(
        "> USER anna\n< 331\n> PASS one\n< 530\n> USER anna\n< 331\n> PASS two\n< 530\n> USER anna\n< 331",
    );
    client.send("PASS three");
    let replies = client.replies_to_end();
    assert!(replies.last().is_some_and(|reply| matches!(reply.code, 421 | 530)), "{replies:?}");
}

#[test]
fn a_mistyped_password_command_is_not_logged() {
    let scene = scene();
    let mut client = scene.stranger();
    client.expect(&format!("PAS {CANARY}"), 500);
    client.expect(&format!("PASSWORD {CANARY}"), 500);
    client.log_in();
    client.expect(&format!("PASS {CANARY}"), 503);
    client.transcript("> QUIT\n< 221\n< (end)");
    // Gateway's Drop searches the log.
}

#[test]
fn both_tls_versions_agree_on_ftp_or_on_nothing() {
    let scene = scene();
    for version in TlsVersion::ALL {
        let tls = TlsSetup::new(&scene.gateway, version);
        let mut client = scene.newcomer();
        client.auth_tls(tls.clone().alpn(&["ftp"]));
        client.expect("NOOP", 200);
        let mut client = scene.newcomer();
        client.auth_tls(tls.clone().alpn(&["x-filezilla-ftp", "ftp"]));
        client.expect("NOOP", 200);
        let mut client = scene.newcomer();
        client.expect("AUTH TLS", 234);
        assert!(
            client.try_start_tls(tls.alpn(&["http/1.1"])).is_err(),
            "{version:?}: another protocol is refused"
        );
    }
}

#[test]
fn the_configured_version_is_the_only_one() {
    let scene = Scene::start_with(Script::new(), |options| options.tls_keys("min_version = \"1.3\""));
    let mut client = scene.newcomer();
    client.expect("AUTH TLS", 234);
    assert!(client.try_start_tls(TlsSetup::new(&scene.gateway, TlsVersion::Tls12)).is_err());
    scene.client().expect("NOOP", 200);
}
