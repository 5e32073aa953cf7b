//! `check --probe`: what it finds out about servers, what it advises, and its exit codes.

use std::fs;
use std::process::{Command, Stdio};

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::gateway::{CANARY, binary};
use ftpsgate_tests::scripted::{Flow, Script, ScriptTls, ScriptedServer};
use serde_json::Value;

/// Exit code, table, JSON.
fn probe(backend: &str) -> (Option<i32>, String, Value) {
    let directory = tempfile::tempdir().expect("a temporary folder");
    fs::write(directory.path().join("monitor.pw"), format!("{CANARY}\n")).expect("it can be written");
    let file = directory.path().join("gate.toml");
    fs::write(&file, format!("[[listener]]\n[[backend]]\n{backend}")).expect("it can be written");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["check", "--probe", "-c"]).arg(&file).args(arguments).stdin(Stdio::null());
        let output = command.output().expect("the binary starts");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(!format!("{stdout}{stderr}").contains(CANARY), "{stdout}{stderr}");
        (output.status.code(), stdout, stderr)
    };
    let (code, table, _) = run(&[]);
    let (json_code, json, stderr) = run(&["--json"]);
    assert_eq!(code, json_code);
    assert_eq!(stderr, "");
    (code, table, serde_json::from_str(&json).expect("JSON"))
}

const LOGIN: &str = "check = { kind = 'data', user = 'anna', password_file = 'monitor.pw' }\n";

#[test]
fn a_good_server_shows_all_that_works() {
    let server = ScriptedServer::start(Script::new().file("file", b"content"));
    let (code, table, json) = probe(&format!("servers = ['{}']\n{LOGIN}", server.address()));
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains("220") || table.contains("Ready"), "{table}");
    assert!(table.contains("EPSV yes, PASV yes"), "{table}");
    let server = &json["servers"][0];
    assert_eq!((&json["ok"], &server["ok"], &server["login"]), (&true.into(), &true.into(), &true.into()));
    assert_eq!((&server["epsv"], &server["pasv"]), (&true.into(), &true.into()));
    assert_eq!(server["greeting"], "Ready");
}

#[test]
fn without_credentials_nobody_logs_in() {
    let server = ScriptedServer::start(Script::new());
    let (code, table, json) = probe(&format!("servers = ['{}']\n", server.address()));
    assert_eq!(code, Some(0));
    assert!(table.contains("not tried"), "{table}");
    assert_eq!(json["servers"][0]["login"], Value::Null);
    assert!(!server.record().has_command("USER"));
}

#[test]
fn a_certificate_and_resumption_are_shown() {
    let authority = Authority::new();
    let server = ScriptedServer::start(Script::new().tls(ScriptTls::explicit(&authority)));
    let keys = format!(
        "servers = ['{}']\ntls = 'explicit'\ntls_ca = {:?}\n{LOGIN}",
        server.address(),
        authority.root_file()
    );
    let (code, table, json) = probe(&keys);
    assert_eq!(code, Some(0), "{table}");
    let tls = &json["servers"][0]["tls"];
    assert_eq!(tls["version"], "1.2");
    assert!(tls["certificate"]["pin"].as_str().unwrap().starts_with("sha256/"), "{tls}");
    assert_eq!(json["servers"][0]["data_resumes"], true);
}

#[test]
fn each_failure_comes_with_what_to_do() {
    let authority = Authority::new();
    let plain = ScriptedServer::start(Script::new());
    let advised = |keys: &str, advice: &str| {
        let (code, table, json) = probe(keys);
        assert_eq!(code, Some(1), "{table}");
        assert_eq!(json["ok"], false);
        assert!(table.contains(advice), "{advice} is not in\n{table}");
    };
    advised(&format!("servers = ['{}']\ntls = 'explicit'\n", plain.address()), "set tls = \"off\"");

    let untrusted = ScriptedServer::start(Script::new().tls(ScriptTls::explicit(&authority)));
    advised(&format!("servers = ['{}']\ntls = 'explicit'\n", untrusted.address()), "tls_pin = [\"sha256/");

    let firewalled = Script::new().on("EPSV", |session, _| {
        let port = session.open_port()?;
        session.close_port();
        session.reply(&format!("229 Extended passive (|||{port}|)"))?;
        Ok(Flow::Continue)
    });
    let firewalled = ScriptedServer::start(firewalled);
    advised(
        &format!("servers = ['{}']\n{LOGIN}", firewalled.address()),
        "a firewall lets the control port through and not the data ports",
    );

    let wrong = ScriptedServer::start(Script::new().answer("PASS", b"530 Wrong\r\n"));
    advised(&format!("servers = ['{}']\n{LOGIN}", wrong.address()), "`password_file`");

    let silent = ScriptedServer::start(Script::new().greeting(b""));
    let keys = format!("servers = ['{}']\nconnect_timeout = '300ms'\n", silent.address());
    advised(&keys, "tls = \"implicit\"");
}

/// One that is not there does not hide the others.
#[test]
fn every_server_has_its_row_in_the_order_of_the_configuration() {
    let server = ScriptedServer::start(Script::new());
    let (code, table, json) = probe(&format!("servers = ['127.0.0.1:1', '{}']\n", server.address()));
    assert_eq!(code, Some(1));
    assert!(table.contains("nothing listens there"), "{table}");
    let servers = json["servers"].as_array().unwrap();
    assert_eq!((&servers[0]["ok"], &servers[1]["ok"]), (&false.into(), &true.into()));
}
