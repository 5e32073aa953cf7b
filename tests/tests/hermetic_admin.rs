//! The admin socket: status, reload and unlock, as an operator types them; and what strangers and babblers get.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};

use ftpsgate_tests::client::Client;
use ftpsgate_tests::gateway::{CANARY, Gateway, GatewayOptions, PATIENCE, binary, wait_until};
use ftpsgate_tests::scene::Scene;
use ftpsgate_tests::scripted::{Flow, Script};

/// Runs a verb against the gateway's own configuration file.
fn verb(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).arg("-c").arg(gateway.config_file());
    command.output().expect("the gateway's binary starts")
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

/// What the socket says to these bytes.
fn raw(scene: &Scene, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket(scene)).expect("the socket is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    // The gateway may have heard enough before all is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn socket(scene: &Scene) -> std::path::PathBuf {
    scene.gateway.wait_named("admin socket", PATIENCE).text("path").into()
}

#[test]
fn status_shows_sessions_listeners_and_servers() {
    let scene = Scene::start(Script::new());
    let client = scene.client();
    let status = json(&verb(&scene.gateway, &["status", "--json"]));
    assert_eq!((status["version"].as_u64(), status["sessions"].as_u64()), (Some(1), Some(1)), "{status:#}");
    let listeners = status["listeners"].as_array().expect("a list");
    assert_eq!(listeners.iter().map(|one| one["sessions"].as_u64().unwrap_or(9)).sum::<u64>(), 1);
    assert_eq!(listeners[0]["addresses"][0], scene.gateway.address("explicit").to_string());
    let server = &status["backends"][0]["servers"][0];
    assert_eq!(server["address"], scene.server.address().to_string());
    assert_eq!((server["up"].as_bool(), server["sessions"].as_u64()), (Some(true), Some(1)));
    drop(client);
    wait_until("the session is over", || {
        json(&verb(&scene.gateway, &["status", "--json"]))["sessions"].as_u64() == Some(0)
    });
    let text = verb(&scene.gateway, &["status"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("listener explicit (explicit): 0 sessions"));
}

#[test]
fn reload_succeeds_or_fails_with_the_reason() {
    let scene = Scene::start(Script::new());
    let broken = GatewayOptions::all_modes(scene.server.address()).gateway_keys("bannner = \"typo\"");
    scene.gateway.rewrite_config(broken);
    let output = verb(&scene.gateway, &["reload"]);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("bannner") && complaint.contains("did you mean"), "{complaint}");
    let output = verb(&scene.gateway, &["reload", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((output.status.code(), &answer["ok"]), (Some(1), &false.into()), "{answer:#}");
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("bannner")), "{answer:#}");
    let good = GatewayOptions::all_modes(scene.server.address()).gateway_keys("banner = \"another banner\"");
    scene.gateway.rewrite_config(good);
    assert!(verb(&scene.gateway, &["reload"]).status.success());
    // It is in place when the verb returns.
    assert!(Client::connect(scene.gateway.address("plain")).reply().mentions("another banner"));
}

#[test]
fn unlock_ends_a_lockout() {
    let script = Script::new().on("PASS", |session, argument| {
        if argument == CANARY.as_bytes() {
            return session.behave("PASS", argument);
        }
        session.reply("530 Wrong password")?;
        Ok(Flow::Continue)
    });
    let limits = "[[limit]]\nname = 'a'\nper = 'address'\nfailed_logins = '1/h'\n\
                  [[limit]]\nname = 'u'\nper = 'user'\nfailed_logins = '1/h'";
    let scene = Scene::start_with(script, |options| options.extra(limits));
    let attempt = |password: &str| {
        let mut client = Client::connect(scene.gateway.address("plain"));
        client.greeting();
        client.expect("USER anna", 331);
        client.command(&format!("PASS {password}")).code
    };
    assert_eq!((attempt("wrong"), attempt(CANARY)), (530, 530));
    let status = json(&verb(&scene.gateway, &["status", "--json"]));
    assert_eq!(status["lockouts"].as_array().map(Vec::len), Some(2), "{status:#}");
    assert_eq!(json(&verb(&scene.gateway, &["unlock", "127.0.0.1", "--json"]))["unlocked"], 1);
    assert_eq!(attempt(CANARY), 530, "the user still is");
    assert_eq!(json(&verb(&scene.gateway, &["unlock", "anna", "--json"]))["unlocked"], 1);
    assert_eq!(attempt(CANARY), 230);
    assert_eq!(json(&verb(&scene.gateway, &["unlock", "anna", "--json"]))["unlocked"], 0);
}

#[test]
fn what_status_writes_can_be_unlocked() {
    let script = Script::new().answer("PASS", b"530 Wrong password\r\n");
    let limits = "[[limit]]\nname = 'n'\nper = 'network'\nipv4_prefix = 16\nfailed_logins = '1/h'\n\
                  [[limit]]\nname = 'u'\nper = 'user'\nfailed_logins = '1/h'";
    let scene = Scene::start_with(script, |options| options.extra(limits));
    let mut client = Client::connect(scene.gateway.address("plain"));
    client.greeting();
    client.send_bytes("USER änne\\7\r\n".as_bytes());
    client.expect_reply(331);
    client.expect("PASS wrong", 530);
    let status = json(&verb(&scene.gateway, &["status", "--json"]));
    let keys: Vec<&str> =
        status["lockouts"].as_array().into_iter().flatten().filter_map(|one| one["key"].as_str()).collect();
    assert!(keys.contains(&"127.0.0.0/16") && keys.contains(&r"user änne\\7"), "{keys:?}");
    for key in [r"änne\\7", "127.0.0.0/16"] {
        let output = verb(&scene.gateway, &["unlock", key]);
        assert_eq!(output.stdout, b"1 lockout ended\n", "{output:?}");
        let output = verb(&scene.gateway, &["unlock", key]);
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"0 lockouts ended\n"[..]));
        assert!(String::from_utf8_lossy(&output.stderr).contains("there is no lockout of"), "{output:?}");
    }
    assert_eq!(verb(&scene.gateway, &["unlock", ""]).status.code(), Some(2), "nobody is called so");
}

#[test]
fn a_configuration_that_cannot_be_read_is_said() {
    let run = |arguments: &[&str]| {
        Command::new(binary()).args(arguments).output().expect("the gateway's binary starts")
    };
    let output = run(&["status", "-c", "/nowhere/nope.toml"]);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("cannot read /nowhere/nope.toml"), "{complaint}");
    let output = run(&["policy", "test", "--json", "-c", "/nowhere/nope.toml"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((output.status.code(), &answer["ok"]), (Some(78), &false.into()), "{answer:#}");
}

#[test]
fn the_socket_is_for_its_owner_and_gone_with_the_gateway() {
    let mut scene = Scene::start(Script::new());
    let path = socket(&scene);
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    scene.gateway.sigterm();
    assert!(scene.gateway.wait_exit(PATIENCE).success());
    assert!(!path.exists());
    assert_eq!(verb(&scene.gateway, &["status"]).status.code(), Some(3), "nobody is there");
}

#[test]
fn a_socket_that_another_gateway_has_is_not_taken_and_one_that_is_left_over_is() {
    let scene = Scene::start(Script::new());
    let path = socket(&scene);
    let written = |path: &std::path::Path| format!("[admin]\nsocket = {path:?}");
    let mut second = Gateway::spawn(GatewayOptions::explicit(scene.server.address()).extra(&written(&path)));
    assert!(!second.wait_exit(PATIENCE).success());
    assert!(path.exists(), "it was not the second one's to remove");
    let left_over = scene.gateway.directory().join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left_over).expect("the folder can be written"));
    let third = Gateway::start(GatewayOptions::explicit(scene.server.address()).extra(&written(&left_over)));
    assert!(verb(&third, &["status"]).status.success());
}

#[test]
fn a_file_that_is_configured_as_the_socket_by_mistake_is_not_deleted() {
    let directory = tempfile::tempdir().expect("a folder can be made");
    let file = directory.path().join("precious");
    std::fs::write(&file, "precious").expect("it can be written");
    let options = GatewayOptions::explicit("127.0.0.1:9".parse().expect("an address"));
    let mut gateway = Gateway::spawn(options.extra(&format!("[admin]\nsocket = {file:?}")));
    assert!(!gateway.wait_exit(PATIENCE).success());
    assert_eq!(std::fs::read(&file).expect("it is there"), b"precious");
}

#[test]
fn babble_is_answered_with_what_is_wrong_and_a_flood_ends() {
    let scene = Scene::start(Script::new());
    for (bytes, part) in [
        (&b"hello\n"[..], "not a request"),
        (b"{\"version\":7,\"verb\":\"status\"}\n", "version 7"),
        (b"{\"version\":1,\"verb\":\"explode\"}\n", "unknown variant"),
    ] {
        let answer = raw(&scene, bytes);
        assert!(answer.contains("\"ok\":false") && answer.contains(part), "{answer}");
    }
    // Without a newline it has a bound, too; the rest that nobody reads may cost the answer.
    let answer = raw(&scene, &[b'x'; 5000]);
    assert!(answer.is_empty() || answer.contains("4096"), "{answer}");
    assert!(verb(&scene.gateway, &["status"]).status.success());
}
