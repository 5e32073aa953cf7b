//! What only servers under TLS do: tickets, alerts, and the clean end that they must not see too early.

use rustls::ServerConnection;

use super::*;
use crate::config::TlsVersion;
use ftpsgate_ftp::session::DataTickets;

/// The next data connection may depend on it: ProFTPD and others refuse one that does not resume.
#[tokio::test]
async fn a_ticket_that_comes_after_the_end_of_an_upload_is_kept() {
    let server = BackendServer::new(TlsVersion::Tls13);
    let tls = server.session();
    let _control = server.control(&tls, 1).await.unwrap();
    let (near, far) = tcp_pair().await;
    let mut config = server.config.clone();
    config.send_tls13_tickets = 1;
    let hesitant = Hesitant { tcp: far, connection: ServerConnection::new(Arc::new(config)).unwrap() };
    let gateway = async {
        let (tcp, connection, agreed) = tls.connect_data(near, SOON).await.unwrap();
        assert!(agreed.resumed);
        assert_eq!(tls.tickets(), DataTickets::Spent);
        let (downstream, mut client) = Wire::Tls13.open(DataKind::Upload).await;
        client.write_all(b"file").await.unwrap();
        client.shutdown().await.unwrap();
        upload(downstream, Leg::under_tls(tcp, connection), &LAX, UploadEnd::Strict).await
    };
    let (relayed, received) = tokio::join!(gateway, hesitant.receive());
    assert!(relayed.end.is_complete(), "{relayed:?}");
    assert_eq!(received, b"file");
    assert_eq!(tls.tickets(), DataTickets::Available);
}

#[tokio::test]
async fn a_ticket_that_comes_during_an_upload_is_kept() {
    let server = BackendServer::new(TlsVersion::Tls13);
    let tls = server.session();
    let _control = server.control(&tls, 1).await.unwrap();
    let (tcp, connection, _, mut backend) = server.data(&tls, 1).await.unwrap();
    assert_eq!(tls.tickets(), DataTickets::Spent);
    let (downstream, _client) = Wire::Tls13.open(DataKind::Upload).await;
    let relay = upload(downstream, Leg::under_tls(tcp, connection), &LAX, UploadEnd::Strict);
    let kept = async {
        while tls.tickets() == DataTickets::Spent {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        relayed = relay => panic!("{relayed:?}"),
        kept = tokio::time::timeout(SOON, kept) => kept.unwrap(),
    }
    backend.read_u8().await.unwrap_err();
}

/// A server of which every message comes as late as TLS allows.
struct Hesitant {
    tcp: TcpStream,
    connection: ServerConnection,
}

impl Hesitant {
    /// Receives a file; the ticket comes with the answer to its end.
    async fn receive(mut self) -> Vec<u8> {
        let mut received = Vec::new();
        let mut has_closed = false;
        while !has_closed {
            let mut bytes = [0; 8192];
            let count = self.tcp.read(&mut bytes).await.unwrap();
            assert!(count > 0, "close_notify comes before FIN");
            let mut rest = &bytes[..count];
            while !rest.is_empty() {
                self.connection.read_tls(&mut rest).unwrap();
                let state = self.connection.process_new_packets().unwrap();
                has_closed |= state.peer_has_closed();
                let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
                io::Read::read_exact(&mut self.connection.reader(), &mut plaintext).unwrap();
                received.append(&mut plaintext);
            }
            if self.connection.is_handshaking() {
                self.write().await;
            }
        }
        self.connection.send_close_notify();
        self.write().await;
        received
    }

    async fn write(&mut self) {
        let mut bytes = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut bytes).unwrap();
        }
        self.tcp.write_all(&bytes).await.unwrap();
    }
}

#[tokio::test]
async fn a_servers_fatal_alert_ends_an_upload() {
    for up in Wire::TLS {
        let (downstream, mut client) = Wire::Tls13.open(DataKind::Upload).await;
        let (upstream, mut backend) = up.open_upstream().await;
        let Peer::Server(tls) = &mut backend else { panic!("it is TLS") };
        let (tcp, connection) = tls.get_mut();
        connection
            .read_tls(
                &mut &[0x17, 3, 3, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17][..],
            )
            .unwrap();
        connection.process_new_packets().unwrap_err();
        let mut alert = Vec::new();
        connection.write_tls(&mut alert).unwrap();
        tcp.write_all(&alert).await.unwrap();
        let relayed = upload(downstream, upstream, &LAX, UploadEnd::Strict).await;
        assert!(
            matches!(
                relayed.end,
                RelayEnd::SinkFailed {
                    side: Side::Upstream,
                    error: Some(LegError::Tls(rustls::Error::AlertReceived(_)))
                }
            ),
            "{up:?} {relayed:?}"
        );
        client.read_out().await.1.unwrap_err();
    }
}

#[tokio::test]
async fn a_truncated_upload_never_has_a_clean_end_at_the_server() {
    for down in Wire::TLS {
        for up in Wire::TLS {
            let (downstream, mut client) = down.open(DataKind::Upload).await;
            let (upstream, mut backend) = up.open_upstream().await;
            client.write_all(b"half").await.unwrap();
            client.flush().await.unwrap();
            let _client = client.close_bluntly().await;
            let gateway = upload(downstream, upstream, &LAX, UploadEnd::Strict);
            let (relayed, (_, end)) = tokio::join!(gateway, backend.read_out());
            assert!(matches!(relayed.end, RelayEnd::Truncated { side: Side::Downstream }), "{relayed:?}");
            end.unwrap_err();
        }
    }
}

#[tokio::test]
async fn a_truncated_download_never_has_a_clean_end_at_the_client() {
    for down in Wire::ALL {
        for up in Wire::TLS {
            for reset in [false, true] {
                let (mut downstream, mut client) = down.open(DataKind::Download).await;
                let (upstream, mut backend) = up.open_upstream().await;
                let backend = async {
                    backend.write_all(b"half").await.unwrap();
                    backend.flush().await.unwrap();
                    client.read_exact(&mut [0; 4]).await.unwrap();
                    match reset {
                        true => backend.reset(),
                        false => drop(backend.close_bluntly().await),
                    }
                };
                let (relayed, ()) = tokio::join!(download(upstream, &mut downstream, &LAX), backend);
                assert!(matches!(relayed.end, RelayEnd::Truncated { side: Side::Upstream }), "{relayed:?}");
                assert!(!relayed.close_notify_seen);
                let finished = finish_download(downstream, &LAX).await;
                assert!(matches!(finished, Err(FinishDownloadError::Undelivered)));
                client.read_out().await.1.unwrap_err();
            }
        }
    }
}

/// IIS: no close_notify of its own, and it closes only once we have.
#[tokio::test]
async fn a_server_that_does_not_answer_close_notify_is_not_waited_for() {
    for up in Wire::TLS {
        let (downstream, mut client) = Wire::Tls13.open(DataKind::Upload).await;
        let (upstream, mut backend) = up.open_upstream().await;
        client.write_all(b"file").await.unwrap();
        client.shutdown().await.unwrap();
        let backend = async {
            let (received, end) = backend.read_out().await;
            end.unwrap();
            // The gateway's FIN is here; only now the server closes.
            assert_eq!(backend.tcp().read(&mut [0]).await.unwrap(), 0);
            drop(backend);
            received
        };
        let started = std::time::Instant::now();
        let relay = upload(downstream, upstream, &LAX, UploadEnd::Strict);
        let (relayed, received) = tokio::join!(relay, backend);
        assert!(relayed.end.is_complete(), "{relayed:?}");
        assert_eq!(received, b"file");
        assert!(started.elapsed() < Duration::from_millis(1500), "nobody was waited for");
    }
}
