//! Which sockets the configured listeners and backends need. Pure: nothing is bound here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::PassivePorts;

/// For whose data connections a port listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortUser {
    /// Clients of the listener of this name dial it.
    Listener(String),
    /// Servers of the backend of this name dial it (`data = "active"`).
    Backend(String),
}

impl fmt::Display for PortUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) => write!(formatter, "listener `{name}`"),
            Self::Backend(name) => write!(formatter, "backend `{name}`"),
        }
    }
}

/// What one listener or backend asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// Who asks.
    pub user: PortUser,
    /// For a listener the addresses that it is bound to itself, those alone that could be had; for a backend its
    /// `source`, or the wildcards of the families that the machine has.
    pub addresses: Vec<IpAddr>,
    /// `passive.ports` or `active_ports`.
    pub ports: PassivePorts,
    /// Whose connections begin with a PROXY header; empty: nobody's. Who shares a port with this one gets none of
    /// their connections without a header.
    pub proxies: Arc<[IpNet]>,
}

/// The ports that sessions may lease for one listener's clients or one backend's servers, by the address that they are
/// bound for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortSet {
    ports: Vec<(IpAddr, Arc<[u16]>)>,
    pub(super) proxies: Arc<[IpNet]>,
}

impl PortSet {
    pub(super) fn new(proxies: Arc<[IpNet]>) -> Self {
        Self { ports: Vec::new(), proxies }
    }

    pub(super) fn insert(&mut self, address: IpAddr, ports: Arc<[u16]>) {
        self.ports.push((address, ports));
    }

    /// Ports for a session whose control connection was accepted on `local`: those of that very address, else of the
    /// wildcard, else, for an address that is not the gateway's own (interception), of any address of its family.
    pub(super) fn for_local(&self, local: IpAddr) -> Option<&Arc<[u16]>> {
        let find = |wanted: &dyn Fn(IpAddr) -> bool| {
            self.ports.iter().find(|(address, _)| wanted(*address)).map(|(_, ports)| ports)
        };
        find(&|address| address == local)
            .or_else(|| find(&|address| address == wildcard(local)))
            .or_else(|| find(&|address| Family::of(address) == Family::of(local)))
    }

    /// Every port, with the address it is bound for.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, u16)> + '_ {
        self.ports.iter().flat_map(|(address, ports)| ports.iter().map(|port| (*address, *port)))
    }
}

/// IPv4 and IPv6 ports are different ports: IPv6 sockets take no IPv4 connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// One port of one family, the unit that expectations are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PortKey {
    pub(super) family: Family,
    pub(super) port: u16,
}

impl PortKey {
    pub(super) fn new(address: IpAddr, port: u16) -> Self {
        Self { family: Family::of(address), port }
    }
}

/// The sockets of one port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PlannedPort {
    /// Where to listen.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Who wants it on which address.
    users: BTreeSet<(PortUser, IpAddr)>,
    /// Whose connections begin with a PROXY header.
    pub(super) proxies: BTreeSet<IpNet>,
}

impl PlannedPort {
    /// One more request for the port. A wildcard covers, and on Linux excludes, every other address.
    pub(super) fn add(&mut self, request: &PortRequest, address: IpAddr) {
        self.users.insert((request.user.clone(), address));
        self.proxies.extend(request.proxies.iter());
        let wildcard = wildcard(address);
        if address == wildcard {
            self.addresses = BTreeSet::from([wildcard]);
        } else if !self.addresses.contains(&wildcard) {
            self.addresses.insert(address);
        }
    }

    /// Who uses the port's socket on `address`.
    pub(super) fn users_of(&self, address: IpAddr) -> impl Iterator<Item = &PortUser> {
        let users = self.users.iter();
        let users = users.filter(move |(_, wanted)| *wanted == address || wildcard(address) == address);
        users.map(|(user, _)| user).collect::<BTreeSet<_>>().into_iter()
    }
}

/// Everything that fixed ranges ask for.
pub(super) fn plan_ranges(requests: &[PortRequest]) -> BTreeMap<PortKey, PlannedPort> {
    let mut planned = BTreeMap::<PortKey, PlannedPort>::new();
    for request in requests {
        let PassivePorts::Range(range) = &request.ports else { continue };
        for &address in &request.addresses {
            for port in range.clone() {
                planned.entry(PortKey::new(address, port)).or_default().add(request, address);
            }
        }
    }
    planned
}

/// Ports of the kernel's choice on one address: those who dial from one side share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AutoKey {
    /// For servers, which never share with clients.
    is_upstream: bool,
    pub(super) address: IpAddr,
}

impl AutoKey {
    pub(super) fn new(user: &PortUser, address: IpAddr) -> Self {
        Self { is_upstream: matches!(user, PortUser::Backend(_)), address }
    }
}

/// How many ports of the kernel's choice are needed.
pub(super) fn plan_auto(requests: &[PortRequest]) -> BTreeMap<AutoKey, u16> {
    let mut planned = BTreeMap::new();
    for request in requests {
        let PassivePorts::Auto(count) = request.ports else { continue };
        for &address in &request.addresses {
            let most: &mut u16 = planned.entry(AutoKey::new(&request.user, address)).or_default();
            *most = count.max(*most);
        }
    }
    planned
}

pub(super) fn wildcard(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(listener: &str, addresses: &[&str], ports: PassivePorts) -> PortRequest {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        PortRequest { user: PortUser::Listener(listener.into()), addresses, ports, proxies: Arc::default() }
    }

    /// The names of those who use the port on `address`.
    fn users<'a>(planned: &'a PlannedPort, address: &str) -> Vec<&'a str> {
        let users = planned.users_of(address.parse().unwrap());
        users.map(|(PortUser::Listener(name) | PortUser::Backend(name))| name.as_str()).collect()
    }

    fn sockets(requests: &[PortRequest]) -> Vec<(u16, Vec<String>)> {
        let planned = plan_ranges(requests);
        let text = |planned: &PlannedPort| planned.addresses.iter().map(IpAddr::to_string).collect();
        planned.iter().map(|(key, planned)| (key.port, text(planned))).collect()
    }

    #[test]
    fn one_address_one_socket() {
        let requests = [
            request("a", &["192.0.2.1"], PassivePorts::Range(50..=51)),
            request("b", &["192.0.2.1"], PassivePorts::Range(51..=52)),
        ];
        let expected: Vec<_> = (50..=52).map(|port| (port, vec!["192.0.2.1".to_owned()])).collect();
        assert_eq!(sockets(&requests), expected);
        let planned = plan_ranges(&requests);
        let shared = &planned[&PortKey { family: Family::V4, port: 51 }];
        assert_eq!(users(shared, "192.0.2.1"), ["a", "b"]);
    }

    #[test]
    fn several_addresses_several_sockets() {
        let requests = [
            request("a", &["192.0.2.1"], PassivePorts::Range(50..=50)),
            request("b", &["192.0.2.2"], PassivePorts::Range(50..=50)),
        ];
        assert_eq!(sockets(&requests), [(50, vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()])]);
    }

    #[test]
    fn a_wildcard_stands_for_all_of_its_family_in_any_order() {
        let specific = request("a", &["192.0.2.1", "2001:db8::1"], PassivePorts::Range(50..=50));
        let wildcard = request("b", &["0.0.0.0"], PassivePorts::Range(50..=50));
        let expected = [(50, vec!["0.0.0.0".to_owned()]), (50, vec!["2001:db8::1".to_owned()])];
        assert_eq!(sockets(&[specific.clone(), wildcard.clone()]), expected);
        assert_eq!(sockets(&[wildcard.clone(), specific.clone()]), expected);
        let planned = plan_ranges(&[wildcard, specific]);
        assert_eq!(users(&planned[&PortKey { family: Family::V4, port: 50 }], "0.0.0.0"), ["a", "b"]);
    }

    #[test]
    fn auto_ports_are_shared_by_address_and_side() {
        let backend = PortRequest {
            user: PortUser::Backend("legacy".into()),
            ..request("", &["127.0.0.1"], PassivePorts::Auto(2))
        };
        let requests = [
            request("a", &["127.0.0.1", "::1"], PassivePorts::Auto(3)),
            request("b", &["127.0.0.1"], PassivePorts::Auto(5)),
            backend.clone(),
        ];
        let planned: Vec<_> = plan_auto(&requests).into_iter().collect();
        let key =
            |request: &PortRequest, address: &str| AutoKey::new(&request.user, address.parse().unwrap());
        let expected = [
            (key(&requests[0], "127.0.0.1"), 5),
            (key(&requests[0], "::1"), 3),
            (key(&backend, "127.0.0.1"), 2),
        ];
        assert_eq!(planned, expected);
    }

    #[test]
    fn a_session_gets_the_ports_of_its_own_address_first() {
        let mut set = PortSet::default();
        set.insert("0.0.0.0".parse().unwrap(), Arc::from([1]));
        set.insert("192.0.2.1".parse().unwrap(), Arc::from([2]));
        let ports = |local: &str| set.for_local(local.parse().unwrap()).map(|ports| ports[0]);
        assert_eq!(ports("192.0.2.1"), Some(2));
        assert_eq!(ports("192.0.2.9"), Some(1));
        assert_eq!(ports("2001:db8::1"), None);
        let mut specific = PortSet::default();
        specific.insert("192.0.2.1".parse().unwrap(), Arc::from([2]));
        assert!(specific.for_local("203.0.113.1".parse().unwrap()).is_some(), "intercepted");
    }
}
