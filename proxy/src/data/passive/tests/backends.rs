//! Ports that servers dial.

use super::*;

fn backend_named(name: &str) -> PortUser {
    PortUser::Backend(name.into())
}

fn active(name: &str, addresses: &[&str], ports: PassivePorts) -> PortRequest {
    PortRequest {
        user: backend_named(name),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ports,
        proxies: Arc::default(),
    }
}

const SERVER: IpAddr = STRANGER;

#[tokio::test]
async fn a_server_finds_a_port_at_any_of_our_addresses_and_nobody_else_does() {
    let registry = PortRegistry::new();
    let sets = registry.apply(&[active("legacy", &["0.0.0.0"], PassivePorts::Auto(2))]).unwrap();
    let set = &sets[&backend_named("legacy")];
    for last in [1, 7] {
        let local = IpAddr::from([127, 0, 0, last]);
        let mut lease = registry.lease_for_backend(set, local, SERVER, SOON).await.unwrap();
        closed(dial_to(CLIENT, local, lease.port()).await.unwrap()).await;
        let _dialled = dial_to(SERVER, local, lease.port()).await.unwrap();
        assert_eq!(lease.connected().await.unwrap().peer(), SERVER);
    }
    let v6 = "::1".parse().unwrap();
    let refused = registry.lease_for_backend(set, v6, v6, SOON).await;
    assert_eq!(refused.unwrap_err(), NoPort::Unavailable);
}

#[tokio::test]
async fn an_ipv6_server_has_ports_too() {
    let registry = PortRegistry::new();
    let Ok(sets) = registry.apply(&[active("legacy", &["0.0.0.0", "::"], PassivePorts::Auto(1))]) else {
        return; // This machine has no IPv6.
    };
    let local = "::1".parse().unwrap();
    let set = &sets[&backend_named("legacy")];
    let mut lease = registry.lease_for_backend(set, local, local, SOON).await.unwrap();
    let _dialled = TcpStream::connect((local, lease.port())).await.unwrap();
    assert_eq!(lease.connected().await.unwrap().peer(), local);
}

#[tokio::test]
async fn backends_share_ports_with_each_other_and_not_with_listeners() {
    let registry = PortRegistry::new();
    let requests = [
        auto("ftps", "127.0.0.1", 2),
        active("one", &["127.0.0.1"], PassivePorts::Auto(2)),
        active("two", &["127.0.0.1"], PassivePorts::Auto(2)),
    ];
    let sets = registry.apply(&requests).unwrap();
    assert_eq!(sets[&backend_named("one")], sets[&backend_named("two")]);
    let clients: HashSet<_> = sets[&listener_named("ftps")].iter().collect();
    assert!(sets[&backend_named("one")].iter().all(|port| !clients.contains(&port)));
    assert_eq!(registry.apply(&requests).unwrap(), sets, "a reload changes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refused_the_transfer_leaves_its_port_free() {
    let registry = PortRegistry::new();
    let sets = registry.apply(&[active("legacy", &["127.0.0.1"], PassivePorts::Auto(1))]).unwrap();
    let set = &sets[&backend_named("legacy")];
    let started = Instant::now();
    for _ in 0..3 {
        registry.lease_for_backend(set, CLIENT, SERVER, SOON).await.unwrap().withdraw();
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    // One that said nothing may still connect.
    drop(registry.lease_for_backend(set, CLIENT, SERVER, SOON).await.unwrap());
    assert_eq!(registry.lease_for_backend(set, CLIENT, SERVER, SOON).await.unwrap_err(), NoPort::Busy);
}

#[tokio::test]
async fn a_port_that_cannot_be_had_names_the_backend() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let request = active("legacy", &["127.0.0.1"], PassivePorts::Range(port..=port));
    let error = PortRegistry::new().apply(&[auto("ftps", "127.0.0.1", 1), request]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("backend `legacy` cannot listen on 127.0.0.1:{port} for active data connections")
    );
}
