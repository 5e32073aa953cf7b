//! Dialling a client that listens for its data (PORT, EPRT), and whether that can be done from a fixed port.
//!
//! Whether the client may name that address is not asked here: the session has decided it.
//!
//! RFC 959 §3.2 (the server's data port is next to its control port: 20), RFC 2428 §2 (EPRT).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::socket;

/// Connects to `client`, the address of its PORT or EPRT, from `local`, the address that it dialled for its control
/// connection, and from `source_port`; 0: any.
///
/// One source port serves any number of connections, as long as they go to different addresses or ports. Where `local`
/// is no address of this machine (the client dialled a balancer) the system chooses another. An IPv6 link-local `client`
/// needs the scope of its control connection: [`scoped_like`].
///
/// # Errors
///
/// The client does not accept within `patience`, or the source port may not be used.
pub async fn dial_client(
    client: SocketAddr,
    local: IpAddr,
    source_port: u16,
    patience: Duration,
) -> io::Result<TcpStream> {
    let local = local.to_canonical();
    // A balancer may have made an IPv4 connection for an IPv6 client.
    let local = if local.is_ipv4() == client.is_ipv4() { local } else { wildcard(client.ip()) };
    let local = scoped_like(SocketAddr::new(local, source_port), client);
    let socket = match bound(local) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            bound(SocketAddr::new(wildcard(local.ip()), source_port))?
        }
        result => result?,
    };
    let stream = timeout(patience, socket.connect(client)).await??;
    socket::prepare(&stream)?;
    Ok(stream)
}

/// A link-local `address` with the scope of `control`: EPRT cannot name an interface (RFC 2428 §2).
pub fn scoped_like(address: SocketAddr, control: SocketAddr) -> SocketAddr {
    match (address, control) {
        (SocketAddr::V6(one), SocketAddr::V6(control))
            if one.ip().is_unicast_link_local() && one.scope_id() == 0 =>
        {
            SocketAddrV6::new(*one.ip(), one.port(), 0, control.scope_id()).into()
        }
        (SocketAddr::V4(_) | SocketAddr::V6(_), _) => address,
    }
}

/// Tries whether connections can be made from this port of `local`.
///
/// # Errors
///
/// The system's: ports below 1024 need a capability, and a port on which somebody listens cannot be had.
pub fn try_source_port(local: IpAddr, source_port: u16) -> io::Result<()> {
    bound(SocketAddr::new(local, source_port)).map(drop)
}

fn bound(local: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if local.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if local.port() == 0 {
        // The kernel chooses the port at connect: a bind to port 0 would take one for every peer.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
    } else {
        // All sessions share the port.
        socket.set_reuseaddr(true)?;
    }
    socket.bind(local)?;
    Ok(socket)
}

fn wildcard(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::tls::testing::SOON;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A client that listens, and where.
    async fn client(address: [u8; 4]) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::from(address), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A port on which nobody listens; another test may take it, so whoever uses it tries again.
    fn unused_port() -> u16 {
        let socket = std::net::TcpListener::bind((HERE, 0)).unwrap();
        socket.local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn the_client_sees_the_address_that_it_dialled() {
        let (listener, address) = client([127, 0, 0, 1]).await;
        let local = IpAddr::from([127, 0, 0, 9]);
        let dialled = dial_client(address, local, 0, SOON).await.unwrap();
        let (_accepted, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip(), local);
        assert_eq!(peer, dialled.local_addr().unwrap());
        assert!(dialled.nodelay().unwrap());
    }

    #[tokio::test]
    async fn one_source_port_serves_several_clients_and_several_ports_of_one_client() {
        let (one, one_address) = client([127, 0, 0, 1]).await;
        let (same, same_address) = client([127, 0, 0, 1]).await;
        let (other, other_address) = client([127, 0, 0, 2]).await;
        let (port, first) = loop {
            let port = unused_port();
            if let Ok(first) = dial_client(one_address, HERE, port, SOON).await {
                break (port, first);
            }
        };
        let second = dial_client(other_address, HERE, port, SOON).await.unwrap();
        let third = dial_client(same_address, HERE, port, SOON).await.unwrap();
        for (listener, dialled) in [(one, first), (other, second), (same, third)] {
            let (_accepted, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, SocketAddr::new(HERE, port));
            assert_eq!(peer, dialled.local_addr().unwrap());
        }
        // Only the very same four numbers cannot be had twice.
        let (again, address) = client([127, 0, 0, 1]).await;
        let _first = dial_client(address, HERE, port, SOON).await.unwrap();
        let error = dial_client(address, HERE, port, SOON).await.unwrap_err();
        assert!(
            matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse),
            "{error:?}"
        );
        drop(again);
    }

    #[tokio::test]
    async fn an_address_of_somebody_else_gives_way_to_one_of_ours() {
        let (listener, address) = client([127, 0, 0, 1]).await;
        let balancer = "192.0.2.1".parse().unwrap();
        let _dialled = dial_client(address, balancer, 0, SOON).await.unwrap();
        assert!(listener.accept().await.unwrap().1.ip().is_loopback());
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let (listener, address) = client([127, 0, 0, 1]).await;
        drop(listener);
        dial_client(address, HERE, 0, SOON).await.unwrap_err();
    }

    #[test]
    fn a_source_port_on_which_somebody_listens_is_found_out() {
        let listener = std::net::TcpListener::bind((HERE, 0)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        let error = try_source_port(HERE, listener.local_addr().unwrap().port()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_interface_of_a_link_local_client_is_that_of_its_control_connection() {
        let scoped = |address: &str, scope| {
            let SocketAddr::V6(address) = address.parse().unwrap() else { panic!("{address}") };
            SocketAddr::from(SocketAddrV6::new(*address.ip(), address.port(), 0, scope))
        };
        let control = scoped("[fe80::7]:50000", 3);
        assert_eq!(scoped_like(scoped("[fe80::7]:50001", 0), control), scoped("[fe80::7]:50001", 3));
        assert_eq!(scoped_like(scoped("[2001:db8::7]:1", 0), control), scoped("[2001:db8::7]:1", 0));
    }
}
