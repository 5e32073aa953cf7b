//! Which backend a session gets: by user, SNI, HOST, address, certificate and listener, and by `user@host`.

use std::net::IpAddr;

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::client::{Client, TlsSetup, TlsVersion};
use ftpsgate_tests::gateway::{CANARY, Gateway, GatewayOptions};
use ftpsgate_tests::scripted::{Script, ScriptedServer};

/// Three servers that can be told apart by a file; the first is the default backend `legacy`, the others are `red` and
/// `blue`.
struct Stage {
    gateway: Gateway,
    servers: [ScriptedServer; 3],
}

const NAMES: [&str; 3] = ["legacy", "red", "blue"];

impl Stage {
    fn start(alter: impl FnOnce(GatewayOptions) -> GatewayOptions) -> Self {
        let servers = NAMES.map(|name| ScriptedServer::start(Script::new().file("who", name.as_bytes())));
        let options = GatewayOptions::all_modes(servers[0].address())
            .all_listener_keys("backend = \"legacy\"")
            .another_backend("red", servers[1].address(), "")
            .another_backend("blue", servers[2].address(), "");
        let gateway = Gateway::start(alter(options));
        Self { gateway, servers }
    }

    fn tls(&self) -> TlsSetup {
        TlsSetup::new(&self.gateway, TlsVersion::Tls13)
    }

    fn stranger(&self) -> Client {
        Client::secured(&self.gateway, self.tls())
    }

    /// Where a user is sent.
    fn backend_of(&self, user: &str) -> String {
        backend(self.stranger(), user)
    }

    /// The names under which users logged in at a server.
    fn users(&self, server: usize) -> Vec<String> {
        let commands = self.servers[server].record().commands();
        commands.iter().filter_map(|line| line.strip_prefix("USER ")).map(str::to_owned).collect()
    }

    fn nobody_came(&self) -> bool {
        self.servers.iter().all(|server| !server.record().has_command("USER"))
    }
}

/// Where a client that has not logged in yet is sent.
fn backend(mut client: Client, user: &str) -> String {
    client.log_in_as(user);
    let name = String::from_utf8(client.download("RETR who")).expect("a name of ASCII letters");
    client.expect("QUIT", 221);
    name
}

#[test]
fn the_first_route_whose_users_match_is_taken() {
    let stage = Stage::start(|options| {
        options
            .route("users = [\"acme-*\", \"bob\"]\nbackend = \"red\"")
            .route("users = [\"acme-7\", \"eve\"]\nbackend = \"blue\"")
    });
    assert_eq!(stage.backend_of("acme-7"), "red");
    assert_eq!(stage.backend_of("bob"), "red");
    assert_eq!(stage.backend_of("eve"), "blue");
    assert_eq!(stage.backend_of("anna"), "legacy");
    assert_eq!(stage.backend_of("acme"), "legacy");
}

#[test]
fn another_user_after_a_failed_login_is_routed_anew() {
    let servers = NAMES.map(|name| {
        let script = Script::new().file("who", name.as_bytes());
        ScriptedServer::start(if name == "red" { script.answer("PASS", b"530 No\r\n") } else { script })
    });
    let options = GatewayOptions::all_modes(servers[0].address())
        .all_listener_keys("backend = \"legacy\"")
        .another_backend("red", servers[1].address(), "")
        .another_backend("blue", servers[2].address(), "")
        .route("users = [\"red-*\"]\nbackend = \"red\"")
        .route("users = [\"blue-*\"]\nbackend = \"blue\"");
    let gateway = Gateway::start(options);
    let stage = Stage { gateway, servers };
    let mut client = stage.stranger();
    client.expect("USER red-1", 331);
    client.expect(&format!("PASS {CANARY}"), 530);
    assert_eq!(backend(client, "blue-1"), "blue");
    assert_eq!(stage.users(1), ["red-1"]);
    assert_eq!(stage.users(2), ["blue-1"]);
}

#[test]
fn a_route_can_log_in_under_another_name() {
    let stage = Stage::start(|options| {
        options.route("users = [\"acme-*\"]\nrewrite_user = \"acme\"\nbackend = \"red\"")
    });
    assert_eq!(stage.backend_of("acme-7"), "red");
    assert_eq!(stage.users(1), ["acme"]);
}

#[test]
fn routes_by_sni_take_who_asked_for_the_name() {
    let stage = Stage::start(|options| {
        options.route("sni = [\"acme.example.com\", \"*.red.example\"]\nbackend = \"red\"")
    });
    let asking = |name: &str| Client::secured(&stage.gateway, stage.tls().named(name));
    assert_eq!(backend(asking("acme.example.com"), "anna"), "red");
    assert_eq!(backend(asking("ACME.example.com"), "anna"), "red");
    assert_eq!(backend(asking("www.red.example"), "anna"), "red");
    assert_eq!(backend(asking("localhost"), "anna"), "legacy");
    // An address is no name: nothing is asked for.
    assert_eq!(backend(asking("127.0.0.1"), "anna"), "legacy");
}

#[test]
fn routes_by_host_take_who_named_it() {
    let stage = Stage::start(|options| {
        options
            .route("hosts = [\"acme.example.com\"]\nbackend = \"red\"")
            .route("hosts = [\"blue.example.com\"]\nbackend = \"blue\"")
    });
    let naming = |host: &str| {
        let mut client = Client::secured(&stage.gateway, stage.tls().named("127.0.0.1"));
        client.expect(&format!("HOST {host}"), 220);
        client
    };
    assert_eq!(backend(naming("acme.example.com"), "anna"), "red");
    assert_eq!(backend(naming("Acme.Example.COM"), "anna"), "red");
    assert_eq!(backend(naming("blue.example.com"), "anna"), "blue");
    let mut client = Client::secured(&stage.gateway, stage.tls().named("127.0.0.1"));
    client.expect("HOST other.example.com", 504);
    assert_eq!(backend(client, "anna"), "legacy");
    // The gateway's own affair: no server hears of it.
    assert!(stage.servers.iter().all(|server| !server.record().has_command("HOST")));
    let mut client = Client::secured(&stage.gateway, stage.tls().named("acme.example.com"));
    client.expect("HOST blue.example.com", 504);
    client.log_in();
    client.expect("HOST acme.example.com", 503);
}

#[test]
fn routes_by_address_take_who_comes_from_there() {
    let stage = Stage::start(|options| options.route("from = [\"127.0.0.8/29\"]\nbackend = \"red\""));
    let from = |source: &str| {
        let source: IpAddr = source.parse().unwrap();
        let mut client = Client::connect_from(source, stage.gateway.address("plain"));
        client.greeting();
        client.log_in();
        client.expect("QUIT", 221);
    };
    from("127.0.0.9");
    assert_eq!(stage.users(1), ["anna"]);
    from("127.0.0.16");
    assert_eq!((stage.users(0).len(), stage.users(1).len()), (1, 1));
}

#[test]
fn routes_by_listener_take_who_came_there() {
    let stage = Stage::start(|options| {
        options
            .route("listeners = [\"plain\"]\nbackend = \"red\"")
            .route("listeners = [\"implicit\", \"other\"]\nbackend = \"blue\"")
            .listener(
                ftpsgate_tests::gateway::ListenerOptions::explicit("other").keys("backend = \"legacy\""),
            )
    });
    assert_eq!(stage.backend_of("anna"), "legacy");
    let mut client = Client::logged_in_plain(&stage.gateway);
    assert_eq!(client.download("RETR who"), b"red");
    let client = Client::secured_at(stage.gateway.address("other"), stage.tls());
    assert_eq!(backend(client, "anna"), "blue");
}

#[test]
fn routes_by_certificate_take_its_subject() {
    let authority = Authority::new();
    let stage = Stage::start(|options| {
        let keys = format!("client_certificates = \"request\"\nclient_ca = {:?}", authority.root_file());
        options.tls_keys(&keys).route("certificates = [\"CN=acme-*\"]\nbackend = \"red\"")
    });
    let showing = |name: &str| {
        let tls = stage.tls().showing(&authority.client(name));
        backend(Client::secured(&stage.gateway, tls), "anna")
    };
    assert_eq!(showing("acme-7"), "red");
    assert_eq!(showing("bob"), "legacy");
    assert_eq!(stage.backend_of("anna"), "legacy");
}

#[test]
fn all_matchers_of_a_route_must_match() {
    let stage = Stage::start(|options| {
        options.route("users = [\"anna\"]\nfrom = [\"127.0.0.9/32\"]\nbackend = \"red\"")
    });
    assert_eq!(stage.backend_of("anna"), "legacy");
    let mut client = Client::connect_from("127.0.0.9".parse().unwrap(), stage.gateway.address("plain"));
    client.greeting();
    client.log_in();
    assert_eq!(stage.users(1), ["anna"]);
}

#[test]
fn who_matches_no_route_gets_530_and_no_server_hears_of_it() {
    let servers = NAMES.map(|_| ScriptedServer::start(Script::new()));
    let options = GatewayOptions::all_modes(servers[0].address())
        .another_backend("red", servers[1].address(), "")
        .another_backend("blue", servers[2].address(), "")
        .route("users = [\"acme-*\"]\nbackend = \"red\"");
    let stage = Stage { gateway: Gateway::start(options), servers };
    let mut client = stage.stranger();
    client.send("USER anna");
    let mut reply = client.reply();
    if reply.code == 331 {
        // A name that is known and one that is not look alike.
        reply = client.command(&format!("PASS {CANARY}"));
    }
    assert_eq!(reply.code, 530, "{reply}");
    assert!(stage.nobody_came());
    client.log_in_as("acme-1");
    assert_eq!(stage.users(1), ["acme-1"]);
}

#[test]
fn user_at_host_is_an_ordinary_name_unless_it_is_allowed() {
    let stage = Stage::start(|options| options);
    stage.backend_of("anna@127.0.0.1");
    assert_eq!(stage.users(0), ["anna@127.0.0.1"]);
}

#[test]
fn user_at_host_reaches_allowed_hosts_and_no_others() {
    let target = ScriptedServer::start(Script::new().file("who", b"target"));
    let port = target.address().port();
    let stage = Stage::start(|options| {
        options.all_listener_keys(&format!("user_at_host = [\"127.0.0.1:{port}\", \"*.allowed.example\"]"))
    });
    assert_eq!(stage.backend_of(&format!("anna@127.0.0.1:{port}")), "target");
    let commands = target.record().commands();
    assert!(commands.contains(&"USER anna".to_owned()), "{commands:?}");
    // At the last `@`.
    assert_eq!(stage.backend_of(&format!("anna@home@127.0.0.1:{port}")), "target");
    assert!(target.record().commands().contains(&"USER anna@home".to_owned()));
    assert!(stage.nobody_came());
    let others = ["anna@127.0.0.2", "anna@localhost", "anna@evil.allowed.example.com", "anna@127.0.0.1:1"];
    for user in others {
        let mut client = stage.stranger();
        let mut reply = client.command(&format!("USER {user}"));
        if reply.code == 331 {
            reply = client.command(&format!("PASS {CANARY}"));
        }
        assert_eq!(reply.code, 530, "{user}: {reply}");
    }
    assert!(stage.nobody_came());
    assert_eq!(target.record().count("USER"), 2);
}
