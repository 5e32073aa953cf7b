//! Several servers behind one backend: who gets a session, who gets none because it is down, and how that is known.

use std::path::PathBuf;
use std::time::Duration;

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::client::Client;
use ftpsgate_tests::gateway::{CANARY, Event, Gateway, GatewayOptions, PATIENCE, wait_until};
use ftpsgate_tests::namespaces::{self, Namespace};
use ftpsgate_tests::peers;
use ftpsgate_tests::peers::clients::ClientKind;
use ftpsgate_tests::peers::servers::{Server, ServerKind, ServerTls};
use ftpsgate_tests::scripted::{Flow, Script, ScriptTls, ScriptedServer};
use tempfile::TempDir;

/// A gateway before several servers, with a plain listener.
struct Stage {
    gateway: Gateway,
    servers: Vec<ScriptedServer>,
}

impl Stage {
    fn start<const COUNT: usize>(scripts: [Script; COUNT], keys: &str) -> Self {
        Self::start_with(scripts, [""; COUNT], keys)
    }

    /// Each server has words of its own in `servers`, such as `weight = 2`.
    fn start_with<const COUNT: usize>(scripts: [Script; COUNT], words: [&str; COUNT], keys: &str) -> Self {
        let servers: Vec<_> = scripts.into_iter().map(ScriptedServer::start).collect();
        let written: Vec<_> = servers
            .iter()
            .zip(words)
            .map(|(server, words)| {
                let comma = if words.is_empty() { "" } else { ", " };
                format!("{{ address = \"{}\"{comma}{words} }}", server.address())
            })
            .collect();
        let options = GatewayOptions::all_modes(servers[0].address()).servers(&written).backend_keys(keys);
        Self { gateway: Gateway::start(options), servers }
    }

    fn client(&self) -> Client {
        Client::logged_in_plain(&self.gateway)
    }

    /// How many sessions each server had.
    fn logins(&self) -> Vec<usize> {
        self.servers.iter().map(|server| server.record().count("USER")).collect()
    }

    fn wait_state(&self, server: usize, state: &str) {
        wait_state(&self.gateway, &self.servers[server].address().to_string(), state, 0);
    }

    /// The server fails its checks, and then passes none of the sessions on.
    fn gets_no_session(&self, server: usize) {
        self.wait_state(server, "down");
        let before = self.logins()[server];
        for _ in 0..10 {
            self.client().expect("QUIT", 221);
        }
        assert_eq!(self.logins()[server], before, "{:?}", self.logins());
    }
}

/// Waits for what the gateway logs when a server falls or rises, from this place of the log on.
fn wait_state(gateway: &Gateway, server: &str, state: &str, mark: usize) {
    let message = format!("the server is {state}");
    let wanted = |event: &Event| event.is(&message) && event.text("server") == server;
    let found = gateway.log().wait_since(mark, wanted, PATIENCE);
    assert!(found.is_some(), "{server} was not {state} in time:\n{}", gateway.log().tail(30));
}

fn is_down(gateway: &Gateway) -> bool {
    gateway.events().iter().any(|event| event.is("the server is down"))
}

/// A check that finds out soon.
fn quick(kind: &str) -> String {
    format!(
        "connect_timeout = \"1s\"\nreply_timeout = \"1s\"\ncheck = {{ kind = \"{kind}\", every = \"100ms\", fall = 2, rise = 2 }}\n"
    )
}

/// The same for a kind that logs in, with the folder of its password file.
fn quick_login(kind: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file: PathBuf = folder.path().join("password");
    std::fs::write(&file, CANARY).expect("the folder can be written");
    let keys = format!(
        "connect_timeout = \"1s\"\nreply_timeout = \"1s\"\ncheck = {{ kind = \"{kind}\", user = \"monitor\", \
         password_file = {file:?}, every = \"100ms\", fall = 2, rise = 2 }}\n"
    );
    (folder, keys)
}

#[test]
fn a_server_that_was_killed_gets_no_session_until_it_lives_again() {
    let mut stage = Stage::start([Script::new(), Script::new()], &quick("greeting"));
    let mut client = stage.client();
    client.expect("NOOP", 200);
    stage.servers[0].stop();
    stage.gets_no_session(0);
    stage.servers[0].resume();
    stage.wait_state(0, "up");
    let before = stage.logins()[0];
    // It takes load gradually, but it takes some.
    wait_until("a session of the server that came back", || {
        stage.client().expect("QUIT", 221);
        stage.logins()[0] > before
    });
}

#[test]
fn a_server_that_froze_gets_no_session_until_it_thaws() {
    let stage = Stage::start([Script::new(), Script::new()], &quick("greeting"));
    stage.servers[0].freeze();
    stage.gets_no_session(0);
    stage.servers[0].thaw();
    stage.wait_state(0, "up");
}

#[test]
fn a_server_that_turns_everybody_away_gets_no_session() {
    let stage =
        Stage::start([Script::new().greeting(b"421 Too many users\r\n"), Script::new()], &quick("greeting"));
    stage.gets_no_session(0);
}

#[test]
fn a_server_that_greets_too_slowly_gets_no_session() {
    let slow = Script::new().greeting_slowly(Duration::from_millis(400));
    let stage = Stage::start([slow, Script::new()], &quick("greeting"));
    stage.gets_no_session(0);
}

#[test]
fn a_real_server_that_was_stopped_gets_no_session_until_it_is_continued() {
    if !peers::prepare(ServerKind::Vsftpd, ClientKind::Curl) {
        return;
    }
    let real = Server::start(ServerKind::Vsftpd, ServerTls::Off, CANARY);
    let other = ScriptedServer::start(Script::new());
    let servers = [real.address(), other.address()].map(|address| format!("\"{address}\""));
    let keys = quick("greeting") + "balance = \"first\"\n";
    let options = GatewayOptions::all_modes(real.address()).servers(&servers).backend_keys(&keys);
    let gateway = Gateway::start(options);
    real.freeze();
    wait_state(&gateway, &real.address().to_string(), "down", 0);
    for _ in 0..5 {
        Client::logged_in_plain(&gateway).expect("QUIT", 221);
    }
    assert_eq!(other.record().count("USER"), 5);
    real.thaw();
    wait_state(&gateway, &real.address().to_string(), "up", 0);
}

#[test]
fn where_all_servers_are_down_the_client_gets_421() {
    let mut stage = Stage::start([Script::new()], &quick("greeting"));
    stage.servers[0].stop();
    stage.wait_state(0, "down");
    let mut client = Client::connect(stage.gateway.address("plain"));
    client.greeting();
    client.expect("USER anna", 421);
    client.expect_end();
}

#[test]
fn a_session_whose_server_dies_ends_with_421() {
    let stage = Stage::start([Script::new(), Script::new()], &quick("greeting"));
    let mut client = stage.client();
    for server in &stage.servers {
        server.kill_sessions();
    }
    // The 421 may be there before the command.
    let _ = client.try_send_bytes(b"NOOP\r\n");
    assert_eq!(client.reply().code, 421);
}

#[test]
fn a_connect_that_fails_before_user_tries_the_next_server() {
    let mut stage = Stage::start([Script::new(), Script::new(), Script::new()], "balance = \"first\"");
    stage.servers[0].stop();
    stage.servers[1].stop();
    stage.client().expect("NOOP", 200);
    assert_eq!(stage.logins(), [0, 0, 1]);
}

#[test]
fn a_server_that_fails_after_user_is_not_replaced_by_another() {
    let failing = Script::new().on("USER", |_, _| Ok(Flow::Reset));
    let stage = Stage::start([failing, Script::new()], "balance = \"first\"");
    let mut client = Client::connect(stage.gateway.address("plain"));
    client.greeting();
    client.expect("USER anna", 421);
    assert_eq!(stage.logins(), [1, 0]);
}

#[test]
fn a_change_of_state_is_logged_once_with_its_reason() {
    let mut stage = Stage::start([Script::new()], &quick("tcp"));
    stage.servers[0].stop();
    stage.wait_state(0, "down");
    stage.servers[0].resume();
    stage.wait_state(0, "up");
    let down: Vec<_> =
        stage.gateway.events().into_iter().filter(|event| event.is("the server is down")).collect();
    assert_eq!(down.len(), 1);
    assert!(!down[0].text("reason").is_empty(), "{down:?}");
}

/// Whether this kind of check takes out a server that behaves so; for that it is asked five times.
fn takes_out(script: Script, keys: &str) -> bool {
    let stage = Stage::start([script], keys);
    let address = stage.servers[0].address().to_string();
    wait_until("five checks, or the server's fall", || {
        is_down(&stage.gateway) || stage.servers[0].record().sessions() >= 5
    });
    // The fifth check began after the fourth had ended.
    let events = stage.gateway.events();
    events.iter().any(|event| event.is("the server is down") && event.text("server") == address)
}

#[test]
fn a_tcp_check_sees_no_more_than_the_port() {
    let mute = Script::new().greeting(b"");
    assert!(!takes_out(mute, &quick("tcp")));
}

#[test]
fn a_greeting_check_wants_a_220_and_no_more() {
    assert!(takes_out(Script::new().greeting(b"530 Go away\r\n"), &quick("greeting")));
    assert!(!takes_out(Script::new().answer("USER", b"530 No\r\n"), &quick("greeting")));
    assert!(!takes_out(Script::new().greeting(b"220-Many\r\n220 lines\r\n"), &quick("greeting")));
}

#[test]
fn a_tls_check_wants_a_certificate_that_can_be_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let keys = format!("{}tls = \"explicit\"\ntls_ca = {:?}\n", quick("tls"), authority.root_file());
    assert!(!takes_out(Script::new().tls(ScriptTls::explicit(&authority)), &keys));
    assert!(takes_out(Script::new().tls(ScriptTls::explicit(&other)), &keys));
    assert!(takes_out(Script::new(), &keys), "a server that knows no AUTH");
}

#[test]
fn a_login_check_wants_its_user_to_be_let_in() {
    let (_folder, keys) = quick_login("login");
    assert!(!takes_out(Script::new(), &keys));
    assert!(takes_out(Script::new().answer("PASS", b"530 No\r\n"), &keys));
    assert!(!takes_out(Script::new().answer("EPSV", b"425 No\r\n").answer("PASV", b"425 No\r\n"), &keys));
}

#[test]
fn a_data_check_wants_a_listing_to_its_end() {
    let (_folder, keys) = quick_login("data");
    assert!(!takes_out(Script::new().file("file", b"content"), &keys));
    assert!(takes_out(Script::new().answer("EPSV", b"425 No\r\n").answer("PASV", b"425 No\r\n"), &keys));
    assert!(takes_out(Script::new().answer("LIST", b"550 No\r\n").answer("NLST", b"550 No\r\n"), &keys));
    let silent = Script::new().on("EPSV", |session, _| {
        // A port that nobody serves.
        let port = session.open_port()?;
        session.close_port();
        session.reply(&format!("229 Extended passive (|||{port}|)"))?;
        Ok(Flow::Continue)
    });
    assert!(takes_out(silent, &keys));
}

#[test]
fn a_data_check_sees_firewalled_data_ports_and_a_greeting_check_does_not() {
    if !namespaces::prepare() {
        return;
    }
    let (here, there) = (Namespace::new(), Namespace::new());
    here.join(&there, "cable", &["10.9.0.1/24"], &["10.9.0.2/24"]);
    let script = || Script::new().file("file", b"content");
    let server = there.enter(|| ScriptedServer::start_at("10.9.0.2".parse().unwrap(), script()));
    let other = here.enter(|| ScriptedServer::start_at("10.9.0.1".parse().unwrap(), script()));
    let (_folder, data) = quick_login("data");
    let servers = [server.address(), other.address()].map(|address| format!("\"{address}\""));
    let start = |keys: &str| {
        let keys = format!("{keys}balance = \"first\"\n");
        let options = GatewayOptions::all_modes(server.address()).servers(&servers).backend_keys(&keys);
        here.enter(|| Gateway::start(options))
    };
    let name = server.address().to_string();

    there.firewall_all_but(server.address().port());
    let gateway = start(&data);
    wait_state(&gateway, &name, "down", 0);
    for _ in 0..5 {
        assert_eq!(here.enter(|| Client::logged_in_plain(&gateway).download("RETR file")), b"content");
    }
    assert_eq!((logins(&server), logins(&other)), (0, 5));
    there.open_firewall();
    wait_state(&gateway, &name, "up", 0);
    wait_until("a session of the server that came back", || {
        let content = here.enter(|| Client::logged_in_plain(&gateway).download("RETR file"));
        assert_eq!(content, b"content");
        logins(&server) > 0
    });
    drop(gateway);

    there.firewall_all_but(server.address().port());
    let before = server.record().sessions();
    let gateway = start(&quick("greeting"));
    wait_until("five checks", || server.record().sessions() >= before + 5);
    assert!(!is_down(&gateway), "it greets");
}

/// How often `anna` came; checks log in as somebody else.
fn logins(server: &ScriptedServer) -> usize {
    server.record().commands().iter().filter(|line| *line == "USER anna").count()
}

#[test]
fn round_robin_goes_by_weight() {
    let stage = Stage::start_with(
        [Script::new(), Script::new()],
        ["weight = 3", "weight = 1"],
        "balance = \"round-robin\"",
    );
    for _ in 0..12 {
        stage.client().expect("QUIT", 221);
    }
    assert_eq!(stage.logins(), [9, 3]);
}

#[test]
fn least_sessions_fills_evenly() {
    let stage = Stage::start([Script::new(), Script::new(), Script::new()], "balance = \"least-sessions\"");
    let clients: Vec<_> = (0..9).map(|_| stage.client()).collect();
    assert_eq!(stage.logins(), [3, 3, 3]);
    drop(clients);
}

#[test]
fn user_hash_keeps_a_user_on_one_server_and_spreads_users() {
    let stage = Stage::start([Script::new(), Script::new()], "balance = \"user-hash\"");
    for user in 0..16 {
        for _ in 0..3 {
            let mut client = Client::connect(stage.gateway.address("plain"));
            client.greeting();
            client.log_in_as(&format!("user-{user}"));
            client.expect("QUIT", 221);
        }
    }
    let mut spread = 0;
    for user in 0..16 {
        let line = format!("USER user-{user}");
        let on =
            |server: &ScriptedServer| server.record().commands().iter().filter(|it| **it == line).count();
        let counts: Vec<_> = stage.servers.iter().map(on).collect();
        assert!(counts == [3, 0] || counts == [0, 3], "{line}: {counts:?}");
        spread += usize::from(counts[0] == 3);
    }
    assert!((1..16).contains(&spread), "all users on one server");
}

#[test]
fn source_hash_keeps_an_address_on_one_server_and_spreads_addresses() {
    let stage = Stage::start([Script::new(), Script::new()], "balance = \"source-hash\"");
    let mut seen = std::collections::BTreeSet::new();
    for last in 2..18_u8 {
        let before = stage.logins();
        for _ in 0..2 {
            let source = std::net::IpAddr::from([127, 0, 0, last]);
            let mut client = Client::connect_from(source, stage.gateway.address("plain"));
            client.greeting();
            client.log_in();
            client.expect("QUIT", 221);
        }
        let after = stage.logins();
        let grown: Vec<_> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
        assert!(grown == [2, 0] || grown == [0, 2], "127.0.0.{last}: {grown:?}");
        seen.insert(grown);
    }
    assert_eq!(seen.len(), 2, "all addresses on one server");
}

#[test]
fn a_backup_serves_while_no_other_can() {
    let mut stage =
        Stage::start_with([Script::new(), Script::new()], ["", "backup = true"], &quick("greeting"));
    for _ in 0..4 {
        stage.client().expect("QUIT", 221);
    }
    assert_eq!(stage.logins(), [4, 0]);
    stage.servers[0].stop();
    stage.wait_state(0, "down");
    stage.client().expect("QUIT", 221);
    assert_eq!(stage.logins(), [4, 1]);
    stage.servers[0].resume();
    stage.wait_state(0, "up");
    wait_until("the first server serves again", || {
        stage.client().expect("QUIT", 221);
        stage.logins()[0] > 4
    });
}

#[test]
fn a_full_server_makes_the_next_client_wait_and_then_leaves_it_with_421() {
    let stage = Stage::start([Script::new()], "max_sessions = 2\nconnect_timeout = \"1s\"");
    let mut first = stage.client();
    let _second = stage.client();
    let mut third = Client::connect(stage.gateway.address("plain"));
    third.greeting();
    third.expect("USER anna", 421);
    third.expect_end();
    // A place that becomes free meanwhile is taken.
    let mut fourth = Client::connect(stage.gateway.address("plain"));
    fourth.greeting();
    fourth.send("USER anna");
    first.expect("QUIT", 221);
    fourth.expect_reply(331);
}
