//! The registry over loopback: 127.0.0.0/8 has strangers enough.

mod backends;
mod proxied;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::*;
use crate::config::{PassivePeer, PassivePorts};
use crate::tls::testing::SOON;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const EXACT: PassivePeer = PassivePeer::Exact;

fn listener_named(name: &str) -> PortUser {
    PortUser::Listener(name.into())
}

fn auto(listener: &str, address: &str, count: u16) -> PortRequest {
    PortRequest {
        user: listener_named(listener),
        addresses: vec![address.parse().unwrap()],
        ports: PassivePorts::Auto(count),
        proxies: Arc::default(),
    }
}

/// A registry with `count` ports, and the set of its only listener.
fn open(count: u16) -> (PortRegistry, PortSet) {
    let registry = PortRegistry::new();
    let mut sets = registry.apply(&[auto("ftps", "127.0.0.1", count)]).unwrap();
    (registry, sets.remove(&listener_named("ftps")).unwrap())
}

async fn lease(registry: &PortRegistry, set: &PortSet, client: IpAddr) -> Result<Lease, NoPort> {
    registry.lease(set, CLIENT, client, EXACT, SOON).await
}

async fn dial(from: IpAddr, port: u16) -> std::io::Result<TcpStream> {
    dial_to(from, CLIENT, port).await
}

async fn dial_to(from: IpAddr, to: IpAddr, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(SocketAddr::new(to, port)).await
}

/// Resolves when the gateway closes the connection.
async fn closed(mut tcp: TcpStream) {
    let end = timeout(SOON, tcp.read(&mut [0; 1])).await.expect("an end");
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn the_expected_client_gets_through_and_a_stranger_does_not() {
    let (registry, set) = open(1);
    let mut lease = lease(&registry, &set, CLIENT).await.unwrap();
    closed(dial(STRANGER, lease.port()).await.unwrap()).await;

    let dialled = dial(CLIENT, lease.port()).await.unwrap();
    let socket = lease.connected().await.unwrap();
    assert_eq!(socket.peer(), CLIENT);
    let tcp = socket.into_tcp();
    assert_eq!(tcp.peer_addr().unwrap(), dialled.local_addr().unwrap());
    assert!(tcp.nodelay().unwrap());

    // One connection a lease: another one, even of the same client, is not expected.
    closed(dial(CLIENT, lease.port()).await.unwrap()).await;
    assert_eq!(lease.connected().await.unwrap_err(), LeaseEnded::Over);
}

#[tokio::test]
async fn without_an_expectation_connections_are_closed() {
    let (registry, set) = open(1);
    let (_, port) = set.iter().next().unwrap();
    closed(dial(CLIENT, port).await.unwrap()).await;
    let used = lease(&registry, &set, CLIENT).await.unwrap();
    drop(used);
    closed(dial(CLIENT, port).await.unwrap()).await;
}

#[tokio::test]
async fn a_connection_that_comes_early_is_kept_and_waiting_may_be_cancelled() {
    let (registry, set) = open(1);
    let mut lease = lease(&registry, &set, CLIENT).await.unwrap();
    for _ in 0..3 {
        tokio::select! {
            biased;
            arrived = lease.connected() => panic!("{arrived:?}"),
            () = std::future::ready(()) => {}
        }
    }
    let dialled = dial(CLIENT, lease.port()).await.unwrap();
    let arrived = loop {
        // Cancelled at any point, until it is there.
        tokio::select! {
            arrived = lease.connected() => break arrived.unwrap(),
            () = tokio::task::yield_now() => {}
        }
    };
    assert_eq!(arrived.into_tcp().peer_addr().unwrap(), dialled.local_addr().unwrap());
}

#[tokio::test]
async fn a_prefix_lets_neighbours_in() {
    let (registry, set) = open(1);
    let mut lease = registry.lease(&set, CLIENT, CLIENT, PassivePeer::Prefix(24), SOON).await.unwrap();
    let _dialled = dial(STRANGER, lease.port()).await.unwrap();
    assert_eq!(lease.connected().await.unwrap().peer(), STRANGER);
}

#[tokio::test]
async fn sessions_of_one_address_get_different_ports_and_others_share() {
    let (registry, set) = open(4);
    let mut mine = Vec::new();
    for _ in 0..4 {
        mine.push(lease(&registry, &set, CLIENT).await.unwrap());
    }
    let ports: HashSet<_> = mine.iter().map(Lease::port).collect();
    assert_eq!(ports.len(), 4);
    let mut other = lease(&registry, &set, STRANGER).await.unwrap();
    assert!(ports.contains(&other.port()));
    // Both expect a connection on that port, each its own.
    let owner = mine.iter_mut().find(|lease| lease.port() == other.port()).unwrap();
    let _dialled = (dial(STRANGER, other.port()).await.unwrap(), dial(CLIENT, other.port()).await.unwrap());
    assert_eq!(other.connected().await.unwrap().peer(), STRANGER);
    assert_eq!(owner.connected().await.unwrap().peer(), CLIENT);
    // And whoever's peers overlap with all of them gets none.
    assert_eq!(
        registry.lease(&set, CLIENT, CLIENT, PassivePeer::Prefix(8), SOON).await.unwrap_err(),
        NoPort::Busy
    );
}

#[tokio::test]
async fn a_released_port_wakes_who_waits_for_one() {
    let (registry, set) = open(1);
    let mut first = lease(&registry, &set, CLIENT).await.unwrap();
    let _dialled = dial(CLIENT, first.port()).await.unwrap();
    first.connected().await.unwrap();
    let started = Instant::now();
    let (second, ()) = tokio::join!(lease(&registry, &set, CLIENT), async { drop(first) });
    assert_eq!(second.unwrap().port(), set.iter().next().unwrap().1);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn no_port_is_waited_for_longer_than_two_seconds() {
    let (registry, set) = open(1);
    let _first = lease(&registry, &set, CLIENT).await.unwrap();
    let started = Instant::now();
    assert_eq!(lease(&registry, &set, CLIENT).await.unwrap_err(), NoPort::Busy);
    assert_eq!(started.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_expectation_ends_in_time_and_its_port_rests_for_that_client() {
    let (registry, set) = open(1);
    let patience = Duration::from_secs(10);
    let mut unmet = registry.lease(&set, CLIENT, CLIENT, EXACT, patience).await.unwrap();
    let started = Instant::now();
    assert_eq!(unmet.connected().await.unwrap_err(), LeaseEnded::Expired);
    assert_eq!(started.elapsed().as_secs(), 10);

    // Another client may have it at once; this one when the ten seconds are over, not when it tries first.
    drop(lease(&registry, &set, STRANGER).await.unwrap());
    let ended = Instant::now();
    for _ in 0..4 {
        assert_eq!(lease(&registry, &set, CLIENT).await.unwrap_err(), NoPort::Busy);
    }
    drop(lease(&registry, &set, CLIENT).await.unwrap());
    assert_eq!(ended.elapsed().as_secs(), 10);
    drop(unmet);
}

#[tokio::test]
async fn a_used_port_does_not_rest_but_is_drawn_last() {
    let (registry, set) = open(2);
    let mut before = None;
    for _ in 0..20 {
        let mut lease = lease(&registry, &set, CLIENT).await.unwrap();
        assert_ne!(Some(lease.port()), before);
        before = Some(lease.port());
        let _dialled = dial(CLIENT, lease.port()).await.unwrap();
        lease.connected().await.unwrap();
    }
}

#[tokio::test]
async fn ports_are_drawn_at_random() {
    let (registry, set) = open(8);
    let ports: Vec<_> = set.iter().map(|(_, port)| port).collect();
    let mut drawn = Vec::new();
    for host in 0..200 {
        // A new client each time, so that nothing rests.
        let client = IpAddr::V4(Ipv4Addr::new(127, 1, 0, host));
        let port = lease(&registry, &set, client).await.unwrap().port();
        drawn.push(ports.iter().position(|known| *known == port).unwrap());
    }
    // With seven choices each, none is missing from 200 draws but once in 10¹² runs, and steps of every size occur.
    assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 8);
    let steps: HashSet<_> = drawn.windows(2).map(|pair| (pair[1] + 8 - pair[0]) % 8).collect();
    assert_eq!(steps, (1..8).collect());
}

#[tokio::test]
async fn families_do_not_mix() {
    let registry = PortRegistry::new();
    let sets = registry.apply(&[auto("ftps", "127.0.0.1", 1)]).unwrap();
    let local = "::1".parse().unwrap();
    let refused = registry.lease(&sets[&listener_named("ftps")], local, local, EXACT, SOON).await;
    assert_eq!(refused.unwrap_err(), NoPort::Unavailable);
}

#[tokio::test]
async fn ipv6_clients_are_served() {
    let registry = PortRegistry::new();
    let Ok(sets) = registry.apply(&[auto("ftps", "::1", 1)]) else {
        return; // This machine has no IPv6.
    };
    let local = "::1".parse().unwrap();
    let mut lease = registry.lease(&sets[&listener_named("ftps")], local, local, EXACT, SOON).await.unwrap();
    let _dialled = TcpStream::connect((local, lease.port())).await.unwrap();
    assert_eq!(lease.connected().await.unwrap().peer(), local);
}

#[tokio::test]
async fn a_reload_keeps_ports_and_what_is_expected_on_them() {
    let (registry, set) = open(3);
    let mut expected = lease(&registry, &set, CLIENT).await.unwrap();

    let sets = registry.apply(&[auto("ftps", "127.0.0.1", 3), auto("second", "127.0.0.1", 2)]).unwrap();
    assert_eq!(sets[&listener_named("ftps")], set, "the kernel is not asked again");
    assert!(
        sets[&listener_named("second")].iter().all(|port| set.iter().any(|known| known == port)),
        "listeners share"
    );

    // All gone, but for the port that is waited on.
    registry.apply(&[]).unwrap();
    for (_, port) in set.iter() {
        assert_eq!(dial(STRANGER, port).await.is_ok(), port == expected.port());
    }
    assert_eq!(lease(&registry, &set, STRANGER).await.unwrap_err(), NoPort::Busy, "nothing new on it");
    let _dialled = dial(CLIENT, expected.port()).await.unwrap();
    expected.connected().await.unwrap();
    let port = expected.port();
    drop(expected);
    dial(CLIENT, port).await.unwrap_err();
}

#[tokio::test]
async fn a_reload_that_cannot_bind_changes_nothing() {
    let (registry, set) = open(2);
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let fixed = PortRequest {
        user: listener_named("fixed"),
        addresses: vec![CLIENT],
        ports: PassivePorts::Range(port..=port),
        proxies: Arc::default(),
    };
    let error = registry.apply(&[auto("other", "127.0.0.3", 2), fixed]).unwrap_err();
    assert_eq!(error.address, taken.local_addr().unwrap());
    let mut lease = lease(&registry, &set, CLIENT).await.unwrap();
    let _dialled = dial(CLIENT, lease.port()).await.unwrap();
    lease.connected().await.unwrap();
}

/// The kernel does not let a wildcard and an address of its family listen on one port, so one has to go first.
#[tokio::test]
async fn an_address_may_become_a_wildcard_and_back_while_a_client_is_expected() {
    let (registry, set) = open(1);
    let (_, port) = set.iter().next().unwrap();
    let on = |addresses: &[&str]| PortRequest {
        user: listener_named("ftps"),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ports: PassivePorts::Range(port..=port),
        proxies: Arc::default(),
    };
    let mut expected = lease(&registry, &set, CLIENT).await.unwrap();
    // Asked by a stranger, so that the expectation is left alone.
    let reachable = async |last| dial_to(STRANGER, Ipv4Addr::new(127, 0, 0, last).into(), port).await.is_ok();
    registry.apply(&[on(&["0.0.0.0"])]).unwrap();
    assert!(reachable(7).await);
    registry.apply(&[on(&["127.0.0.1", "127.0.0.8"])]).unwrap();
    assert!(!reachable(7).await);
    assert!(reachable(8).await);
    let _dialled = dial(CLIENT, port).await.unwrap();
    assert_eq!(expected.connected().await.unwrap().peer(), CLIENT);
}

#[tokio::test]
async fn a_registry_that_ends_closes_its_ports_and_its_expectations() {
    let (registry, set) = open(1);
    let mut lease = lease(&registry, &set, CLIENT).await.unwrap();
    drop(registry);
    assert_eq!(lease.connected().await.unwrap_err(), LeaseEnded::Over);
    dial(CLIENT, lease.port()).await.unwrap_err();
}
