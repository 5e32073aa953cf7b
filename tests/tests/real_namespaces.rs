//! Clients that have only one family of addresses, and servers that have only the other: each in a network of its own,
//! with the gateway between them. As root only.

use std::net::{IpAddr, SocketAddr};

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::client::{Client, DataMode, TlsSetup, TlsVersion};
use ftpsgate_tests::gateway::{Gateway, GatewayOptions, ListenerOptions};
use ftpsgate_tests::namespaces::{self, Namespace};
use ftpsgate_tests::scene::content;
use ftpsgate_tests::scripted::{Script, ScriptTls, ScriptedServer};

/// Client, gateway and server, each in a network of its own; the client cannot reach the server.
struct Networks {
    client: Namespace,
    gateway: Namespace,
    server: Namespace,
}

impl Networks {
    fn new(client: [&str; 2], server: [&str; 2]) -> Self {
        let networks = Self { client: Namespace::new(), gateway: Namespace::new(), server: Namespace::new() };
        networks.client.join(&networks.gateway, "outside", &[client[0]], &[client[1]]);
        networks.gateway.join(&networks.server, "inside", &[server[0]], &[server[1]]);
        networks
    }

    /// Everything that a client can do about data connections, with a backend of each kind.
    fn play(&self, bind: &str, door: IpAddr, server: IpAddr) {
        for keys in ["", "data = \"active\"\nactive_ports = \"auto:4\""] {
            for is_secured in [false, true] {
                self.play_one(bind, door, server, keys, is_secured);
            }
        }
    }

    fn play_one(&self, bind: &str, door: IpAddr, server: IpAddr, keys: &str, is_secured: bool) {
        let authority = Authority::new();
        let (mut script, mut keys) = (Script::new(), keys.to_owned() + "\n");
        if is_secured {
            let tls =
                ScriptTls::explicit(&authority).identity(authority.server_named(&[&server.to_string()]));
            script = script.tls(tls.demanding_reuse());
            keys += &format!("tls = \"explicit\"\ntls_ca = {:?}\n", authority.root_file());
        }
        let server = self.server.enter(|| ScriptedServer::start_at(server, script));
        let listener = ListenerOptions::explicit("explicit").bind(bind);
        let options = GatewayOptions::new(server.address()).listener(listener).backend_keys(&keys);
        let gateway = self.gateway.enter(|| Gateway::start(options));
        self.client.enter(|| {
            assert!(std::net::TcpStream::connect(server.address()).is_err(), "the client sees the server");
            let setup = TlsSetup::new(&gateway, TlsVersion::Tls13);
            let door = SocketAddr::new(door, gateway.address("explicit").port());
            let mut client = Client::secured_at(door, setup);
            client.log_in();
            let sent = content(200_001);
            for &mode in DataMode::all_of(door) {
                client.upload_by(mode, "STOR file", &sent);
                assert!(client.download_by(mode, "RETR file") == sent, "{mode:?} {keys}");
                assert_eq!(client.download_by(mode, "NLST"), b"file\r\n", "{mode:?} {keys}");
            }
            client.expect("QUIT", 221);
        });
        assert!(server.record().resumptions().iter().all(|&resumed| resumed));
    }
}

#[test]
fn ipv6_only_clients_reach_ipv4_only_servers() {
    if !namespaces::prepare() {
        return;
    }
    let networks = Networks::new(["fd01::2/64", "fd01::1/64"], ["10.9.1.1/24", "10.9.1.2/24"]);
    networks.play("[fd01::1]:0", "fd01::1".parse().unwrap(), "10.9.1.2".parse().unwrap());
}

#[test]
fn ipv4_only_clients_reach_ipv6_only_servers() {
    if !namespaces::prepare() {
        return;
    }
    let networks = Networks::new(["10.9.2.2/24", "10.9.2.1/24"], ["fd02::1/64", "fd02::2/64"]);
    networks.play("10.9.2.1:0", "10.9.2.1".parse().unwrap(), "fd02::2".parse().unwrap());
}

#[test]
fn a_listener_on_every_ipv6_address_tells_and_uses_the_one_that_was_dialled() {
    if !namespaces::prepare() {
        return;
    }
    let networks = Networks::new(["fd03::2/64", "fd03::1/64"], ["10.9.3.1/24", "10.9.3.2/24"]);
    networks.play("[::]:0", "fd03::1".parse().unwrap(), "10.9.3.2".parse().unwrap());
}
