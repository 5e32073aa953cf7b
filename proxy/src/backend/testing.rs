//! Backends for tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use crate::config::{Backend, BackendData, Balance, Check, CheckKind, ProxyProtocol, Server, ServerAddress};

/// A backend with these servers, each of weight 1, whose checks nobody runs.
pub(crate) fn backend_config(addresses: &[SocketAddr]) -> Backend {
    let server = |address: &SocketAddr| Server {
        address: ServerAddress { host: address.ip().to_string(), port: address.port() },
        weight: 1,
        backup: false,
    };
    Backend {
        name: "legacy".to_owned(),
        servers: addresses.iter().map(server).collect(),
        tls: None,
        data: BackendData::Passive,
        balance: Balance::LeastSessions,
        check: Check { kind: CheckKind::Greeting, every: Duration::from_secs(10), fall: 3, rise: 2 },
        proxy_protocol: ProxyProtocol::Off,
        source: None,
        max_sessions: 0,
        connect_timeout: Duration::from_secs(5),
        reply_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(5),
    }
}

/// A server that takes connections and says nothing.
pub(crate) async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port that refuses connections, for as long as the socket is kept: it is bound, so that nobody else gets the port,
/// and does not listen.
pub(crate) fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}
