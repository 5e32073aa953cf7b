//! Where a session goes, and under which name: decided at USER, once HOST, TLS and the name are known (RFC 7151,
//! and the `name@host` that FTP proxies have always understood).
//!
//! Nothing here contacts a server. A server that the client names must be on the list; without a list nobody can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ftpsgate_policies::route::{self, AllowedHost, Arrival, Route};

use crate::codec::{Command, Reply, Verb};

use super::Session;
use super::event::{Destination, RequestedServer};
use super::settings::UpstreamSettings;

/// Where a session goes.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) settings: Arc<UpstreamSettings>,
    pub(super) destination: Destination,
    /// As the server will hear it.
    pub(super) user: Command,
    /// Servers that may still be dialled for this login.
    pub(super) tries_left: u32,
}

impl Routed {
    /// Whether a connection that was made for `self` serves `other`, whoever logs in over it.
    pub(super) fn leads_where(&self, other: &Self) -> bool {
        self.destination.backend == other.destination.backend
            && self.destination.server == other.destination.server
    }
}

/// What the argument of USER says.
struct Login<'a> {
    name: &'a [u8],
    server: Option<RequestedServer>,
}

impl Session {
    /// Finds the backend for what USER says, and the name that policy and records know: the client's own.
    ///
    /// # Errors
    ///
    /// The 530.
    pub(super) fn route(&self, argument: &[u8]) -> Result<(Routed, Vec<u8>), Reply> {
        let settings = &self.settings;
        let Login { name, server } = split_login(argument, &settings.user_at_host)?;
        let tls = self.security.tls();
        let arrival = Arrival {
            address: self.client.address,
            user: name,
            listener: &settings.listener,
            sni: tls.and_then(|tls| tls.server_name.as_deref()),
            host: server.as_ref().map(|server| server.host.as_str()).or(self.host.as_deref()),
            certificate: tls
                .and_then(|tls| tls.client_certificate.as_ref())
                .map(|one| one.subject.as_str())
                .filter(|subject| !subject.is_empty()),
        };
        let nowhere = || Reply::new(530, "There is no server for this user.");
        let (backend, rewrite) = match route::choose(&settings.routes, &arrival) {
            Some(route) => {
                let named = settings.backends.iter().position(|backend| backend.name == route.backend);
                (named, route.rewrite_user.as_deref())
            }
            None => (settings.default_backend, None),
        };
        let backend = backend.ok_or_else(nowhere)?;
        let upstream = Arc::clone(settings.backends.get(backend).ok_or_else(nowhere)?);
        let user = rewrite.map_or(name, str::as_bytes).to_vec();
        let routed = Routed {
            user: Command::with(Verb::User, &user).ok_or_else(nowhere)?,
            tries_left: upstream.tries.max(1),
            destination: Destination { backend, server, user },
            settings: upstream,
        };
        Ok((routed, name.to_vec()))
    }

    /// Whether HOST may give this name, in lower case: a certificate's, or one that a route of this listener asks for.
    pub(super) fn is_host_known(&self, name: &str) -> bool {
        let settings = &self.settings;
        let is_here =
            |route: &&Route| route.listeners.is_empty() || route.listeners.contains(&settings.listener);
        settings.hosts.iter().any(|host| matches_certificate(host, name))
            || settings
                .routes
                .iter()
                .filter(is_here)
                .any(|route| route.hosts.iter().any(|glob| glob.matches(name.as_bytes())))
    }
}

/// A certificate's name may begin with one wildcard label.
fn matches_certificate(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => pattern == name,
    }
}

/// Splits `name@host` at the last `@`, where servers may be asked for at all.
fn split_login<'a>(argument: &'a [u8], allowed: &[AllowedHost]) -> Result<Login<'a>, Reply> {
    let at = argument.iter().rposition(|&byte| byte == b'@').filter(|_| !allowed.is_empty());
    let Some(at) = at else { return Ok(Login { name: argument, server: None }) };
    let (name, host) = (&argument[..at], &argument[at + 1..]);
    let asked = parse_server(host).filter(|_| !name.is_empty());
    let asked = asked.ok_or_else(|| Reply::new(530, "The user name must be NAME@HOST or NAME@HOST:PORT."))?;
    let server = allowed.iter().find_map(|entry| admit(entry, &asked));
    let server = server.ok_or_else(|| Reply::new(530, "This server cannot be asked for."))?;
    Ok(Login { name, server: Some(server) })
}

/// The server that is meant, if the entry allows it.
fn admit(entry: &AllowedHost, asked: &RequestedServer) -> Option<RequestedServer> {
    let port = match (entry.port, asked.port) {
        (Some(port), None) => Some(port),
        (Some(port), Some(asked)) if port == asked => Some(port),
        (Some(_), Some(_)) => return None,
        (None, None) => None,
        (None, Some(port)) if WELL_KNOWN_PORTS.contains(&port) => Some(port),
        (None, Some(_)) => return None,
    };
    entry.host.matches(asked.host.as_bytes()).then(|| RequestedServer { host: asked.host.clone(), port })
}

/// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`. A host that some resolvers take for an address, and that is none
/// in its usual form (`0x7f.1`), is malformed: a pattern would judge another host than is dialled.
fn parse_server(text: &[u8]) -> Option<RequestedServer> {
    let text = std::str::from_utf8(text).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            let address = IpAddr::V6(address.parse::<Ipv6Addr>().ok()?).to_canonical();
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            (address.to_string(), port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            (is_host_name(host).then(|| host.to_ascii_lowercase())?, port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) => Some(parse_port(digits)?),
    };
    Some(RequestedServer { host, port })
}

fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let looks_numeric = last.starts_with(|c: char| c.is_ascii_digit());
    host.len() <= HOST_BYTES_MAX
        && host.split('.').all(is_label)
        && (!looks_numeric || host.parse::<Ipv4Addr>().is_ok())
}

fn parse_port(digits: &str) -> Option<u16> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().filter(|&port| port != 0)
}

/// FTP's own, and that of implicit FTPS.
const WELL_KNOWN_PORTS: [u16; 2] = [21, 990];
/// Of a name in the DNS (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;
    use ftpsgate_policies::Glob;

    fn parsed(text: &str) -> Option<(String, Option<u16>)> {
        parse_server(text.as_bytes()).map(|server| (server.host, server.port))
    }

    #[test]
    fn hosts_and_ports_are_read() {
        for (text, host, port) in [
            ("FTP.Example.com", "ftp.example.com", None),
            ("ftp.example.com:2121", "ftp.example.com", Some(2121)),
            ("192.0.2.1:21", "192.0.2.1", Some(21)),
            ("[2001:DB8:0::1]", "2001:db8::1", None),
            ("[2001:db8::1]:990", "2001:db8::1", Some(990)),
            ("[::ffff:192.0.2.1]", "192.0.2.1", None),
            ("a_b-c", "a_b-c", None),
        ] {
            assert_eq!(parsed(text), Some((host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_malformed() {
        let long = "a.".repeat(127) + "b";
        let texts = [
            "",
            ":21",
            "a:",
            "a:0",
            "a:+1",
            "a:65536",
            "a:21:22",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[a]",
            "[192.0.2.1]",
            "a..b",
            "a.",
            ".a",
            "a b",
            "a/b",
            "a%b",
            "10.1",
            "010.1.1.1",
            "2130706433",
            "0x7f.0x1",
            &long,
        ];
        for text in texts {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert!(parse_server(b"\xff").is_none());
    }

    #[test]
    fn an_entry_judges_host_and_port() {
        let entry = |port| AllowedHost { host: Glob::any_case("*.example.com").unwrap(), port };
        let asked = |text: &str| parse_server(text.as_bytes()).unwrap();
        let port_of = |entry: &AllowedHost, text: &str| admit(entry, &asked(text)).map(|server| server.port);
        assert_eq!(port_of(&entry(None), "a.example.com"), Some(None));
        assert_eq!(port_of(&entry(None), "a.example.com:21"), Some(Some(21)));
        assert_eq!(port_of(&entry(None), "a.example.com:990"), Some(Some(990)));
        assert_eq!(port_of(&entry(None), "a.example.com:22"), None);
        assert_eq!(port_of(&entry(Some(2121)), "a.example.com"), Some(Some(2121)));
        assert_eq!(port_of(&entry(Some(2121)), "a.example.com:2121"), Some(Some(2121)));
        assert_eq!(port_of(&entry(Some(2121)), "a.example.com:21"), None);
        assert_eq!(port_of(&entry(None), "example.org"), None);
    }
}
