//! Data connections that come through a balancer.

use tokio::io::AsyncWriteExt;

use super::*;
use crate::proxy_protocol::{Version, write_header};

/// A balancer on loopback.
const BALANCER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 9, 0, 1));
/// Behind it; no address of this machine.
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn proxied(listener: &str, address: &str, ports: PassivePorts) -> PortRequest {
    let proxies = Arc::from(["127.9.0.0/16".parse().unwrap()]);
    PortRequest { ports, proxies, ..auto(listener, address, 0) }
}

/// As [`open`], behind balancers.
fn open_proxied(count: u16) -> (PortRegistry, PortSet) {
    let registry = PortRegistry::new();
    let mut sets = registry.apply(&[proxied("ftps", "127.0.0.1", PassivePorts::Auto(count))]).unwrap();
    (registry, sets.remove(&listener_named("ftps")).unwrap())
}

/// A connection of the balancer's in the name of `client`.
async fn dial_for(client: IpAddr, port: u16) -> TcpStream {
    let mut tcp = dial(BALANCER, port).await.unwrap();
    let dialled = SocketAddr::new(CLIENT, port);
    write_header(&mut tcp, Version::V2, SocketAddr::new(client, 50_000), dialled).await.unwrap();
    tcp
}

#[tokio::test]
async fn the_header_says_who_dialled() {
    let (registry, set) = open_proxied(1);
    let mut lease = lease(&registry, &set, FAR).await.unwrap();
    closed(dial_for(STRANGER, lease.port()).await).await;
    let mut dialled = dial_for(FAR, lease.port()).await;
    dialled.write_all(b"data").await.unwrap();
    let socket = lease.connected().await.unwrap();
    assert_eq!(socket.peer(), FAR);
    let mut data = [0; 4];
    socket.into_tcp().read_exact(&mut data).await.unwrap();
    assert_eq!(&data, b"data", "the header is gone, and nothing else");
}

#[tokio::test]
async fn without_a_header_a_balancer_is_a_stranger_even_where_it_is_expected() {
    let (registry, set) = open_proxied(1);
    let mut lease = lease(&registry, &set, BALANCER).await.unwrap();
    let mut mute = dial(BALANCER, lease.port()).await.unwrap();
    mute.write_all(b"not a header, but data").await.unwrap();
    closed(mute).await;
    // LOCAL: the balancer itself.
    let mut local = dial(BALANCER, lease.port()).await.unwrap();
    local.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").await.unwrap();
    assert_eq!(lease.connected().await.unwrap().peer(), BALANCER);
}

#[tokio::test]
async fn who_is_no_balancer_is_who_it_is() {
    let (registry, set) = open_proxied(1);
    let mut lease = lease(&registry, &set, CLIENT).await.unwrap();
    let mut liar = dial(STRANGER, lease.port()).await.unwrap();
    let here = SocketAddr::new(CLIENT, lease.port());
    // It may be closed before it has said its lie.
    let _ = write_header(&mut liar, Version::V2, here, here).await;
    closed(liar).await;
    let _direct = dial(CLIENT, lease.port()).await.unwrap();
    assert_eq!(lease.connected().await.unwrap().peer(), CLIENT);
}

#[tokio::test]
async fn a_balancer_speaks_only_for_sessions_that_trust_it() {
    let (registry, set) = open_proxied(1);
    let (_, port) = set.iter().next().unwrap();
    let range = PassivePorts::Range(port..=port);
    let trusting = proxied("ftps", "127.0.0.1", range.clone());
    let plain = PortRequest { ports: range, ..auto("other", "127.0.0.1", 0) };
    let sets = registry.apply(&[trusting, plain]).unwrap();
    let mut mistrustful = lease(&registry, &sets[&listener_named("other")], FAR).await.unwrap();
    closed(dial_for(FAR, port).await).await;
    let mut trusting = lease(&registry, &sets[&listener_named("ftps")], STRANGER).await.unwrap();
    let _dialled = dial_for(STRANGER, port).await;
    trusting.connected().await.unwrap();
    let waiting = timeout(Duration::ZERO, mistrustful.connected()).await;
    assert!(waiting.is_err(), "still expected");
}

#[tokio::test]
async fn no_more_than_64_headers_are_waited_for() {
    let (registry, set) = open_proxied(1);
    let mut lease = lease(&registry, &set, FAR).await.unwrap();
    let mut mute = Vec::new();
    for _ in 0..64 {
        mute.push(dial(BALANCER, lease.port()).await.unwrap());
    }
    closed(dial(BALANCER, lease.port()).await.unwrap()).await;
    // One that leaves makes room for another; when that is noticed is not known from here.
    drop(mute.pop());
    let met = async {
        loop {
            let _dialled = dial_for(FAR, lease.port()).await;
            tokio::select! {
                arrived = lease.connected() => break arrived.unwrap(),
                () = closed(_dialled) => {}
            }
        }
    };
    assert_eq!(timeout(SOON, met).await.unwrap().peer(), FAR);
    // The others end with their socket.
    drop(registry);
    for tcp in mute {
        closed(tcp).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_has_a_deadline() {
    let (registry, set) = open_proxied(1);
    let lease = registry.lease(&set, CLIENT, FAR, EXACT, Duration::from_secs(60)).await.unwrap();
    let mut mute = dial(BALANCER, lease.port()).await.unwrap();
    let started = Instant::now();
    // Read without a deadline of the test's own: the clock jumps to the only one that there is.
    let end = mute.read(&mut [0; 1]).await;
    assert!(matches!(end, Ok(0) | Err(_)));
    assert_eq!(started.elapsed().as_secs(), 5);
}
