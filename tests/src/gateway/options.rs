//! The configuration of a gateway under test.

use std::ffi::OsString;
use std::fmt::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

/// How a gateway is started: its configuration and its surroundings.
#[derive(Debug, Default)]
pub struct GatewayOptions {
    verbatim: Option<String>,
    gateway: String,
    tls: String,
    listeners: Vec<ListenerOptions>,
    servers: Vec<String>,
    backend: String,
    extra: String,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) sockets: Vec<OwnedFd>,
}

/// One `[[listener]]`.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    name: String,
    mode: &'static str,
    bind: String,
    keys: String,
    data_ports: u32,
    passive: String,
}

impl GatewayOptions {
    /// A gateway in front of one backend, so far without a listener.
    pub fn new(server: SocketAddr) -> Self {
        Self { servers: vec![format!("\"{server}\"")], ..Self::default() }
    }

    /// The usual gateway: one listener on 127.0.0.1, named `explicit`.
    pub fn explicit(server: SocketAddr) -> Self {
        Self::new(server).listener(ListenerOptions::explicit("explicit"))
    }

    /// One listener of each mode on 127.0.0.1, named for its mode.
    pub fn all_modes(server: SocketAddr) -> Self {
        Self::explicit(server)
            .listener(ListenerOptions::implicit("implicit"))
            .listener(ListenerOptions::plain("plain"))
    }

    /// Adds a listener.
    pub fn listener(mut self, listener: ListenerOptions) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Adds lines to `[gateway]`.
    pub fn gateway_keys(mut self, toml: &str) -> Self {
        push_lines(&mut self.gateway, toml);
        self
    }

    /// Adds lines to `[tls.default]`.
    pub fn tls_keys(mut self, toml: &str) -> Self {
        push_lines(&mut self.tls, toml);
        self
    }

    /// Adds lines to the `[[backend]]`.
    pub fn backend_keys(mut self, toml: &str) -> Self {
        push_lines(&mut self.backend, toml);
        self
    }

    /// Adds lines to the last listener.
    ///
    /// # Panics
    ///
    /// If there is no listener yet.
    pub fn listener_keys(mut self, toml: &str) -> Self {
        let listener = self.listeners.last_mut().expect("a listener comes first");
        push_lines(&mut listener.keys, toml);
        self
    }

    /// Adds lines to every listener so far.
    pub fn all_listener_keys(mut self, toml: &str) -> Self {
        for listener in &mut self.listeners {
            push_lines(&mut listener.keys, toml);
        }
        self
    }

    /// Gives the backend these servers instead, each in the words of `servers`.
    pub fn servers(mut self, servers: &[String]) -> Self {
        self.servers = servers.to_vec();
        self
    }

    /// Adds a `[[backend]]` of this name, with one server.
    pub fn another_backend(mut self, name: &str, server: SocketAddr, keys: &str) -> Self {
        push_lines(&mut self.extra, &format!("[[backend]]\nname = {name:?}\nservers = [\"{server}\"]"));
        push_lines(&mut self.extra, &with_check(keys));
        self
    }

    /// Adds a `[[route]]`.
    pub fn route(mut self, keys: &str) -> Self {
        push_lines(&mut self.extra, "[[route]]");
        push_lines(&mut self.extra, keys);
        self
    }

    /// Adds whole tables at the end.
    pub fn extra(mut self, toml: &str) -> Self {
        push_lines(&mut self.extra, toml);
        self
    }

    /// Sets an environment variable of the process.
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Hands a listening socket to the process, as a service manager does; `name` is its descriptor's name.
    pub fn socket(mut self, name: &str, socket: impl Into<OwnedFd>) -> Self {
        self.sockets.push(socket.into());
        let names = match self.environment.iter().position(|(key, _)| key == "LISTEN_FDNAMES") {
            Some(index) => {
                let (_, mut names) = self.environment.swap_remove(index);
                names.push(":");
                names.push(name);
                names
            }
            None => name.into(),
        };
        self.environment.retain(|(key, _)| key != "LISTEN_FDS");
        let count = self.sockets.len().to_string();
        self.environment("LISTEN_FDNAMES", names).environment("LISTEN_FDS", count)
    }

    /// The file's text; `{directory}` in a verbatim one stands for the temporary folder.
    pub(super) fn toml(&self, directory: &Path) -> String {
        if let Some(text) = &self.verbatim {
            return text.replace("{directory}", &directory.display().to_string());
        }
        let mut text = String::new();
        let state = directory.join("state");
        let written = (|| {
            write!(text, "[gateway]\nstate_dir = {:?}\n{}", state.display().to_string(), self.gateway)?;
            write!(text, "[tls.default]\n{}", self.tls)?;
            for listener in &self.listeners {
                write!(text, "[[listener]]\nname = {:?}\nmode = {:?}\n", listener.name, listener.mode)?;
                write!(text, "bind = [{:?}]\n{}", listener.bind, listener.keys)?;
                let ports = listener.data_ports;
                write!(text, "[listener.passive]\nports = \"auto:{ports}\"\n{}", listener.passive)?;
            }
            write!(text, "[[backend]]\nname = \"legacy\"\nservers = [{}]\n", self.servers.join(", "))?;
            write!(text, "{}{}", with_check(&self.backend), self.extra)
        })();
        written.expect("a String takes everything");
        text
    }
}

/// A whole configuration file; `{directory}` in it stands for the temporary folder.
impl From<&str> for GatewayOptions {
    fn from(toml: &str) -> Self {
        Self { verbatim: Some(toml.to_owned()), ..Self::default() }
    }
}

impl ListenerOptions {
    /// AUTH TLS on 127.0.0.1.
    pub fn explicit(name: &str) -> Self {
        Self::new(name, "explicit")
    }

    /// TLS from the first byte on 127.0.0.1.
    pub fn implicit(name: &str) -> Self {
        Self::new(name, "implicit")
    }

    /// No TLS, on 127.0.0.1.
    pub fn plain(name: &str) -> Self {
        Self::new(name, "plain")
    }

    /// Listens on this address instead.
    pub fn bind(mut self, address: &str) -> Self {
        address.clone_into(&mut self.bind);
        self
    }

    /// Adds lines to the `[[listener]]`.
    pub fn keys(mut self, toml: &str) -> Self {
        push_lines(&mut self.keys, toml);
        self
    }

    /// Has so many ports for data instead of ten: those to which nobody comes rest for a while.
    pub fn data_ports(mut self, count: u32) -> Self {
        self.data_ports = count;
        self
    }

    /// Adds lines to its `[listener.passive]`.
    pub fn passive_keys(mut self, toml: &str) -> Self {
        push_lines(&mut self.passive, toml);
        self
    }

    fn new(name: &str, mode: &'static str) -> Self {
        let bind = "127.0.0.1:0".to_owned();
        Self {
            name: name.to_owned(),
            mode,
            bind,
            keys: String::new(),
            data_ports: 10,
            passive: String::new(),
        }
    }
}

/// A backend's keys. Health checks are connections that a scripted server would count: they are off where a test does
/// not ask for them.
fn with_check(keys: &str) -> String {
    let mut text = String::new();
    if !keys.contains("check =") {
        text.push_str("check = { kind = \"off\" }\n");
    }
    push_lines(&mut text, keys);
    text
}

fn push_lines(text: &mut String, lines: &str) {
    text.push_str(lines);
    if !lines.is_empty() && !lines.ends_with('\n') {
        text.push('\n');
    }
}
