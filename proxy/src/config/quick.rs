//! The configuration of `ftpsgate run --backend HOST:PORT`, which needs no file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::listener::default_bind;
use super::load::parse;
use super::model::{Config, Listener, Mode, Server, ServerAddress};

/// Where the default ports of [`quick`] may not be bound, these are taken instead: the privileged port and its
/// stand-in.
pub const QUICK_FALLBACK_PORTS: [(u16, u16); 2] = [(21, 2121), (990, 2990)];

/// An explicit listener `ftps` and an implicit one `ftps-implicit` in front of one server, with certificates of
/// the local CA. An address that is not given is the default one, and counts as not written.
#[must_use]
pub fn quick(
    backend: ServerAddress,
    listen: Option<SocketAddr>,
    implicit: Option<SocketAddr>,
    state_dir: PathBuf,
) -> Config {
    let mut config = parse(TEMPLATE, "the command line", Path::new("/"))
        .expect("the template is a valid configuration; a test reads it")
        .config;
    config.gateway.state_dir = state_dir;
    for each in &mut config.backends {
        Arc::make_mut(each).servers = vec![Server { address: backend.clone(), weight: 1, backup: false }];
    }
    for listener in &mut config.listeners {
        let listener = Arc::make_mut(listener);
        let address = match listener.mode {
            Mode::Explicit | Mode::Plain => listen,
            Mode::Implicit => implicit,
        };
        bind(listener, address);
    }
    config
}

fn bind(listener: &mut Listener, address: Option<SocketAddr>) {
    listener.bind_written = address.is_some();
    listener.bind = address.map_or_else(|| default_bind(listener.mode), |address| vec![address]);
}

/// The server is replaced by the one that was asked for.
const TEMPLATE: &str = "\
[[listener]]
name = \"ftps\"

[[listener]]
name = \"ftps-implicit\"
mode = \"implicit\"

[[backend]]
servers = [\"legacy:21\"]

[policy]
files = []
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_listeners_lead_to_the_server() {
        let state_dir = PathBuf::from("/state");
        let server: ServerAddress = "legacy:2121".parse().unwrap();
        let config = quick(server.clone(), None, None, state_dir.clone());
        assert_eq!(config.gateway.state_dir, state_dir);
        assert_eq!(config.backends[0].servers[0].address, server);
        let modes: Vec<_> = config.listeners.iter().map(|each| (each.name.as_str(), each.mode)).collect();
        assert_eq!(modes, [("ftps", Mode::Explicit), ("ftps-implicit", Mode::Implicit)]);
        assert!(config.listeners.iter().all(|each| !each.bind_written && each.bind.len() == 2));

        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let config = quick(server, Some(address), Some(address), state_dir);
        assert!(config.listeners.iter().all(|each| each.bind_written && each.bind == [address]));
    }
}
