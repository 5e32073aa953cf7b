//! A gateway between a raw client and a scripted server: the stage of most tests.

use crate::authority::Authority;
use crate::client::{Client, TlsSetup, TlsVersion};
use crate::gateway::{Gateway, GatewayOptions};
use crate::scripted::{Script, ScriptTls, ScriptedServer};

/// A scripted server and a gateway with one listener of each mode before it.
#[derive(Debug)]
pub struct Scene {
    /// Ends before the server does.
    pub gateway: Gateway,
    /// The backend.
    pub server: ScriptedServer,
}

impl Scene {
    /// Starts both.
    pub fn start(script: Script) -> Self {
        Self::start_with(script, |options| options)
    }

    /// Starts both, with a configuration that differs from the usual one.
    pub fn start_with(script: Script, alter: impl FnOnce(GatewayOptions) -> GatewayOptions) -> Self {
        let server = ScriptedServer::start(script);
        let gateway = Gateway::start(alter(GatewayOptions::all_modes(server.address())));
        server.wait_probed();
        Self { gateway, server }
    }

    /// Starts both, with lines added to every listener.
    pub fn start_with_listener_keys(script: Script, keys: &str) -> Self {
        Self::start_with(script, |options| options.all_listener_keys(keys))
    }

    /// A server that speaks TLS, and a gateway that does so too. It trusts the server's authority, unless `keys` say
    /// whom to trust. Nothing is waited for: not every gateway can talk to every server.
    pub fn start_secured(script: Script, tls: ScriptTls, authority: &Authority, keys: &str) -> Self {
        let mut backend = format!("tls = {:?}\n", if tls.is_implicit() { "implicit" } else { "explicit" });
        if !["tls_ca", "tls_pin", "danger_"].iter().any(|key| keys.contains(key)) {
            backend += &format!("tls_ca = {:?}\n", authority.root_file());
        }
        backend += keys;
        let server = ScriptedServer::start(script.tls(tls));
        let gateway = Gateway::start(GatewayOptions::all_modes(server.address()).backend_keys(&backend));
        Self { gateway, server }
    }

    /// A new client's TLS 1.3.
    pub fn tls(&self) -> TlsSetup {
        TlsSetup::new(&self.gateway, TlsVersion::Tls13)
    }

    /// A client at the explicit listener, before its first command.
    pub fn newcomer(&self) -> Client {
        let mut client = Client::connect(self.gateway.address("explicit"));
        client.greeting();
        client
    }

    /// A client under TLS with PROT P, not logged in.
    pub fn stranger(&self) -> Client {
        Client::secured(&self.gateway, self.tls())
    }

    /// A client under TLS with PROT P, logged in.
    pub fn client(&self) -> Client {
        Client::logged_in(&self.gateway, self.tls())
    }

    /// A client at the plain listener, logged in.
    pub fn plain_client(&self) -> Client {
        Client::logged_in_plain(&self.gateway)
    }
}

/// A file of this size in which every part differs from every other, so that a lost or doubled block shows.
pub fn content(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ size as u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
