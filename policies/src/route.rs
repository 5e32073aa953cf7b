//! Routes: which backend serves a session, and under which name it logs in there. The first match counts.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::glob::Glob;

/// One `[[route]]`. A list that is empty asks for nothing; of one that is not, one element must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// User names.
    pub users: Vec<Glob>,
    /// Names that the client asked for in its TLS handshake; a client that asked for none does not match.
    pub sni: Vec<Glob>,
    /// Names that the client gave with HOST (RFC 7151), or behind the `@` of its user name.
    pub hosts: Vec<Glob>,
    /// Networks of clients.
    pub from: Vec<IpNet>,
    /// Subjects of client certificates; a client without one does not match.
    pub certificates: Vec<Glob>,
    /// Names of listeners.
    pub listeners: Vec<String>,
    /// The user name for the backend, instead of the client's.
    pub rewrite_user: Option<String>,
    /// Name of the backend.
    pub backend: String,
}

/// A server that `USER name@host` may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    /// Host names or addresses, in any case.
    pub host: Glob,
    /// `None`: the port that is configured for a server of that name, else FTP's own.
    pub port: Option<u16>,
}

/// What is known of a session at its USER.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The client, IPv4-mapped addresses as IPv4.
    pub address: IpAddr,
    /// The user name that the client gave.
    pub user: &'a [u8],
    /// Name of the listener.
    pub listener: &'a str,
    /// The name in the TLS handshake.
    pub sni: Option<&'a str>,
    /// The name given with HOST.
    pub host: Option<&'a str>,
    /// Subject of the client's certificate.
    pub certificate: Option<&'a str>,
}

impl Route {
    /// Whether a session goes this way.
    pub fn matches(&self, arrival: &Arrival<'_>) -> bool {
        let one_of = |globs: &[Glob], name: Option<&[u8]>| {
            globs.is_empty() || name.is_some_and(|name| globs.iter().any(|glob| glob.matches(name)))
        };
        one_of(&self.users, Some(arrival.user))
            && one_of(&self.sni, arrival.sni.map(str::as_bytes))
            && one_of(&self.hosts, arrival.host.map(str::as_bytes))
            && (self.certificates.is_empty()
                || arrival.certificate.is_some_and(|subject| {
                    self.certificates.iter().any(|glob| matches_subject(glob, subject))
                }))
            && (self.from.is_empty() || self.from.iter().any(|network| holds(network, arrival.address)))
            && (self.listeners.is_empty() || self.listeners.iter().any(|name| name == arrival.listener))
    }
}

/// The first route that a session may go.
pub fn choose<'r>(routes: &'r [Route], arrival: &Arrival<'_>) -> Option<&'r Route> {
    routes.iter().find(|route| route.matches(arrival))
}

/// Whether a pattern means a subject, or one of its attributes wherever it stands: `CN=acme-*` also matches
/// `C=DE, CN=acme-7`.
pub(crate) fn matches_subject(glob: &Glob, subject: &str) -> bool {
    glob.matches(subject.as_bytes())
        || attributes(subject).any(|attribute| glob.matches(attribute.trim_start().as_bytes()))
}

/// Splits a subject at its commas; an escaped one belongs to a value (RFC 4514 §2.4).
pub(crate) fn attributes(subject: &str) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    subject.split(move |c| {
        let splits = c == ',' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        splits
    })
}

/// Whether a network holds an address; an IPv4 network holds IPv4-mapped addresses too.
fn holds(network: &IpNet, address: IpAddr) -> bool {
    network.contains(&address) || network.contains(&address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVAL: Arrival<'_> = Arrival {
        address: IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)),
        user: b"acme-7",
        listener: "ftps",
        sni: Some("Acme.example.com"),
        host: None,
        certificate: Some("CN=acme-gate"),
    };

    fn globs(texts: &[&str]) -> Vec<Glob> {
        texts.iter().map(|text| Glob::any_case(text).unwrap()).collect()
    }

    #[test]
    fn a_route_without_matchers_takes_everybody() {
        assert!(Route::default().matches(&ARRIVAL));
    }

    #[test]
    fn every_matcher_must_match_and_of_each_one_element() {
        let route = Route {
            users: globs(&["other", "acme-*"]),
            sni: globs(&["acme.example.com"]),
            from: vec!["203.0.113.0/24".parse().unwrap()],
            certificates: globs(&["CN=acme-*"]),
            listeners: vec!["ftps".to_owned()],
            ..Route::default()
        };
        assert!(route.matches(&ARRIVAL));
        let elsewhere: [fn(&mut Route); 5] = [
            |route| route.users = globs(&["bob"]),
            |route| route.sni = globs(&["bob.example.com"]),
            |route| route.from = vec!["198.51.100.0/24".parse().unwrap()],
            |route| route.certificates = globs(&["CN=bob"]),
            |route| route.listeners = vec!["plain".to_owned()],
        ];
        for change in elsewhere {
            let mut changed = route.clone();
            change(&mut changed);
            assert!(!changed.matches(&ARRIVAL), "{changed:?}");
        }
    }

    #[test]
    fn what_a_client_did_not_say_does_not_match() {
        let route = Route { hosts: globs(&["*"]), ..Route::default() };
        assert!(!route.matches(&ARRIVAL));
        assert!(route.matches(&Arrival { host: Some("acme.example.com"), ..ARRIVAL }));
    }

    #[test]
    fn a_certificate_is_matched_by_its_subject_or_one_attribute() {
        let route = Route { certificates: globs(&["CN=acme-*"]), ..Route::default() };
        let by = |subject| route.matches(&Arrival { certificate: Some(subject), ..ARRIVAL });
        assert!(by("CN=acme-7") && by("C=DE, O=Acme, CN=acme-7") && by("CN=acme-7,O=Acme"));
        assert!(!by("O=Evil\\,CN=acme-7"), "a comma in a value does not end it");
        assert!(!by("O=CN=acme-7"));
    }

    #[test]
    fn the_first_match_counts() {
        let to = |backend: &str, users: &[&str]| Route {
            backend: backend.to_owned(),
            users: globs(users),
            ..Route::default()
        };
        let routes = [to("a", &["bob"]), to("b", &["acme-*"]), to("c", &[])];
        assert_eq!(choose(&routes, &ARRIVAL).unwrap().backend, "b");
        assert_eq!(choose(&routes, &Arrival { user: b"eve", ..ARRIVAL }).unwrap().backend, "c");
        assert_eq!(choose(&routes[..2], &Arrival { user: b"eve", ..ARRIVAL }), None);
    }

    #[test]
    fn ipv4_networks_hold_mapped_addresses() {
        let route = Route { from: vec!["203.0.113.0/24".parse().unwrap()], ..Route::default() };
        assert!(route.matches(&Arrival { address: "::ffff:203.0.113.9".parse().unwrap(), ..ARRIVAL }));
    }
}
