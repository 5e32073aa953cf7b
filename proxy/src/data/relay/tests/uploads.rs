//! Client to backend.

use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection};

use super::*;
use crate::tls::testing::{HOST, control};

const RULES: [UploadEnd; 2] = [UploadEnd::Strict, UploadEnd::Lenient];

#[tokio::test]
async fn every_byte_arrives_and_the_clean_end_is_answered() {
    for (down, up) in pairs() {
        let (downstream, mut client) = down.open(DataKind::Upload).await;
        let (upstream, mut backend) = up.open_upstream().await;
        let sent = pattern(8 << 20);
        let client = async {
            write_unevenly(&mut client, &sent).await;
            client.shutdown().await.unwrap();
            // close_notify comes back although the backend has not closed.
            let (nothing, end) = client.read_out().await;
            assert!(nothing.is_empty() && end.is_ok(), "{end:?}");
        };
        let backend = async {
            let (received, end) = read_slowly(&mut backend).await;
            end.unwrap();
            assert_same(&received, &sent);
            drop(backend);
        };
        let gateway = async {
            let relayed = upload(downstream, upstream, &LAX, UploadEnd::Strict).await;
            assert!(relayed.end.is_complete(), "{down:?} {up:?} {relayed:?}");
            assert_eq!(relayed.bytes, 8 << 20);
            assert_eq!(relayed.close_notify_seen, down != Wire::Plain);
        };
        tokio::join!(client, backend, gateway);
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    for (down, up) in pairs() {
        let (downstream, mut client) = down.open(DataKind::Upload).await;
        let (upstream, mut backend) = up.open_upstream().await;
        client.shutdown().await.unwrap();
        let backend = async {
            let (received, end) = backend.read_out().await;
            assert!(received.is_empty() && end.is_ok(), "{end:?}");
            drop(backend);
        };
        let gateway = upload(downstream, upstream, &LAX, UploadEnd::Strict);
        let (relayed, ()) = tokio::join!(gateway, backend);
        assert!(relayed.end.is_complete() && relayed.bytes == 0, "{down:?} {up:?} {relayed:?}");
    }
}

#[tokio::test]
async fn a_tls_end_without_close_notify_is_truncation_or_a_matter_of_taste() {
    for down in Wire::TLS {
        for (rule, sent) in [
            (UploadEnd::Strict, &b"half"[..]),
            (UploadEnd::Strict, b""),
            (UploadEnd::Lenient, b"whole"),
            (UploadEnd::Lenient, b""),
        ] {
            let (downstream, mut client) = down.open(DataKind::Upload).await;
            let (upstream, mut backend) = Wire::Plain.open_upstream().await;
            client.write_all(sent).await.unwrap();
            client.flush().await.unwrap();
            let _client = client.close_bluntly().await;
            let backend = async {
                let received = backend.read_out().await;
                drop(backend);
                received
            };
            let gateway = upload(downstream, upstream, &LAX, rule);
            let (relayed, (received, end)) = tokio::join!(gateway, backend);
            assert!(!relayed.close_notify_seen);
            match rule {
                UploadEnd::Strict => {
                    assert!(
                        matches!(relayed.end, RelayEnd::Truncated { side: Side::Downstream }),
                        "{relayed:?}"
                    );
                    end.unwrap_err();
                }
                UploadEnd::Lenient => {
                    assert!(relayed.end.is_complete(), "{relayed:?}");
                    assert_same(&received, sent);
                    end.unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_resets_truncates_under_any_rule() {
    for (down, up) in pairs() {
        for rule in RULES {
            let (downstream, mut client) = down.open(DataKind::Upload).await;
            let (upstream, mut backend) = up.open_upstream().await;
            let peers = async {
                client.write_all(&pattern(300_000)).await.unwrap();
                client.flush().await.unwrap();
                backend.read_exact(&mut vec![0; 300_000]).await.unwrap();
                client.reset();
                backend.read_out().await.1.unwrap_err();
            };
            let (relayed, ()) = tokio::join!(upload(downstream, upstream, &LAX, rule), peers);
            assert!(
                matches!(relayed.end, RelayEnd::Truncated { side: Side::Downstream }),
                "{down:?} {up:?} {relayed:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_fatal_alert_or_garbage_fails_the_source() {
    for down in Wire::TLS {
        let (downstream, mut client) = down.open(DataKind::Upload).await;
        let (upstream, mut backend) = Wire::Plain.open_upstream().await;
        client.tcp().write_all(&[0x17, 3, 3, 0, 40]).await.unwrap();
        client.tcp().write_all(&[7; 40]).await.unwrap();
        let relayed = upload(downstream, upstream, &LAX, UploadEnd::Lenient).await;
        assert!(
            matches!(relayed.end, RelayEnd::SourceFailed { side: Side::Downstream, error: LegError::Tls(_) }),
            "{relayed:?}"
        );
        backend.read_out().await.1.unwrap_err();
    }
}

/// It has sent 552 on the control connection and wants no more, while the client pauses.
#[tokio::test]
async fn a_backend_that_closes_early_is_noticed_while_the_client_is_silent() {
    for (down, up) in pairs() {
        for reset in [false, true] {
            let (downstream, mut client) = down.open(DataKind::Upload).await;
            let (upstream, mut backend) = up.open_upstream().await;
            let peers = async {
                client.write_all(b"begun").await.unwrap();
                client.flush().await.unwrap();
                backend.read_exact(&mut [0; 5]).await.unwrap();
                if reset {
                    backend.reset();
                } else {
                    backend.shutdown().await.unwrap();
                }
                client.read_out().await.1.unwrap_err();
            };
            let (relayed, ()) = tokio::join!(upload(downstream, upstream, &LAX, UploadEnd::Strict), peers);
            assert!(
                matches!(relayed.end, RelayEnd::SinkFailed { side: Side::Upstream, .. }),
                "{down:?} {up:?} {relayed:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_backend_has_nothing_to_say() {
    for up in Wire::ALL {
        let (downstream, _client) = Wire::Tls13.open(DataKind::Upload).await;
        let (upstream, mut backend) = up.open_upstream().await;
        let noise = async {
            let chunk = [0; 10_000];
            while backend.write_all(&chunk).await.is_ok() && backend.flush().await.is_ok() {}
        };
        let (relayed, ()) = tokio::join!(upload(downstream, upstream, &LAX, UploadEnd::Strict), noise);
        assert!(matches!(relayed.end, RelayEnd::Violation { side: Side::Upstream }), "{up:?} {relayed:?}");
    }
}

#[tokio::test]
async fn whoever_stalls_is_named() {
    for down in Wire::ALL {
        let (downstream, mut client) = down.open(DataKind::Upload).await;
        let (upstream, mut backend) = Wire::Plain.open_upstream().await;
        client.write_all(b"and then nothing").await.unwrap();
        client.flush().await.unwrap();
        let relayed = upload(downstream, upstream, &HASTY, UploadEnd::Strict).await;
        assert!(matches!(relayed.end, RelayEnd::Stalled { side: Side::Downstream }), "{relayed:?}");
        assert_eq!(relayed.bytes, 16);
        backend.read_out().await.1.unwrap_err();

        let (downstream, mut client) = down.open(DataKind::Upload).await;
        let (upstream, _backend) = Wire::Plain.open_upstream().await;
        let relay = upload(downstream, upstream, &HASTY, UploadEnd::Strict);
        let (relayed, ()) = tokio::join!(relay, fill_up(&mut client));
        assert!(matches!(relayed.end, RelayEnd::Stalled { side: Side::Upstream }), "{relayed:?}");
    }
}

#[tokio::test]
async fn a_cancelled_upload_never_looks_complete() {
    for (down, up) in pairs() {
        let (downstream, mut client) = down.open(DataKind::Upload).await;
        let (upstream, mut backend) = up.open_upstream().await;
        let watched = async {
            client.write_all(&pattern(300_000)).await.unwrap();
            client.flush().await.unwrap();
            backend.read_exact(&mut vec![0; 300_000]).await.unwrap();
        };
        tokio::select! {
            relayed = upload(downstream, upstream, &LAX, UploadEnd::Lenient) => panic!("{relayed:?}"),
            () = watched => {}
        }
        backend.read_out().await.1.unwrap_err();
        client.read_out().await.1.unwrap_err();
    }
}

#[tokio::test]
async fn a_backend_that_never_closes_is_left_after_two_seconds() {
    let (downstream, mut client) = Wire::Tls13.open(DataKind::Upload).await;
    let (upstream, _backend) = Wire::Plain.open_upstream().await;
    client.shutdown().await.unwrap();
    let started = Instant::now();
    let relayed = upload(downstream, upstream, &LAX, UploadEnd::Strict).await;
    assert!(relayed.end.is_complete());
    assert!(started.elapsed() >= Duration::from_secs(2) && started.elapsed() < SOON / 2);
}

/// Go, rclone and PHP write the file, close_notify and FIN right behind their Finished, and read nothing.
#[tokio::test]
async fn a_client_that_writes_and_closes_without_reading_loses_nothing() {
    for wire in Wire::TLS {
        for bytes in [0, 1, 5_000, 1 << 20] {
            let (downstream, mut client) = wire.open(DataKind::Upload).await;
            let (upstream, mut backend) = Wire::Plain.open_upstream().await;
            let sent = pattern(bytes);
            let client = async {
                client.write_all(&sent).await.unwrap();
                client.shutdown().await.unwrap();
                drop(client);
            };
            let backend = async {
                let received = backend.read_out().await.0;
                drop(backend);
                received
            };
            let relay = upload(downstream, upstream, &LAX, UploadEnd::Strict);
            let ((), relayed, received) = tokio::join!(client, relay, backend);
            assert!(relayed.end.is_complete(), "{wire:?} {bytes} {relayed:?}");
            assert_same(&received, &sent);
        }
    }
}

/// A prototype waited for the socket while the whole file lay decrypted in the TLS connection.
#[tokio::test]
async fn payload_that_came_with_the_finished_is_not_forgotten() {
    for (kind, close) in [
        (ClientKind::Tls13, false),
        (ClientKind::Tls13, true),
        (ClientKind::Tls12Tickets, false),
        (ClientKind::Tls12Tickets, true),
    ] {
        let tls = TlsPair::new(DataResumption::Prefer);
        let (session, client) = (tls.session(), Arc::new(tls.client(kind)));
        // Resumed TLS 1.2 ends with the client's Finished, like TLS 1.3: payload can be glued to it.
        let _control = control(&session, &client).await;
        let (near, far) = tcp_pair().await;
        let glued = async {
            let name = ServerName::try_from(HOST).unwrap();
            let mut connection = Connection::from(ClientConnection::new(client, name).unwrap());
            let mut flight = Vec::new();
            while connection.is_handshaking() {
                while connection.wants_write() {
                    connection.write_tls(&mut flight).unwrap();
                }
                if !flight.is_empty() {
                    far.try_write(&std::mem::take(&mut flight)).unwrap();
                }
                far.readable().await.unwrap();
                let mut received = vec![0; 16_384];
                let received = match far.try_read(&mut received) {
                    Ok(bytes) => received[..bytes].to_vec(),
                    Err(_) => continue,
                };
                connection.read_tls(&mut &received[..]).unwrap();
                connection.process_new_packets().unwrap();
            }
            std::io::Write::write_all(&mut connection.writer(), b"glued").unwrap();
            if close {
                connection.send_close_notify();
            }
            while connection.wants_write() {
                connection.write_tls(&mut flight).unwrap();
            }
            assert_eq!(far.try_write(&flight).unwrap(), flight.len());
            far
        };
        let (accepted, _far) = tokio::join!(session.accept_data(near, DataKind::Upload, SOON), glued);
        let (tcp, connection, facts) = accepted.unwrap();
        assert!(facts.same_session.is_some());
        let (upstream, mut backend) = Wire::Plain.open_upstream().await;
        let backend = async {
            let mut received = [0; 5];
            backend.read_exact(&mut received).await.unwrap();
            assert_eq!(&received, b"glued");
            drop(backend);
        };
        let relay = upload(Leg::under_tls(tcp, connection), upstream, &LAX, UploadEnd::Strict);
        let (relayed, ()) = tokio::join!(relay, backend);
        assert_eq!(relayed.bytes, 5, "{kind:?}");
        assert_eq!(relayed.end.is_complete(), close, "{relayed:?}");
    }
}

#[tokio::test]
async fn keys_may_be_updated_on_the_way() {
    let (downstream, mut client) = Wire::Tls13.open(DataKind::Upload).await;
    let (upstream, mut backend) = Wire::Plain.open_upstream().await;
    let sent = pattern(500_000);
    let client = async {
        for piece in sent.chunks(10_000) {
            client.write_all(piece).await.unwrap();
            let Peer::Client(tls) = &mut client else { panic!("it is TLS") };
            tls.get_mut().1.refresh_traffic_keys().unwrap();
        }
        client.shutdown().await.unwrap();
    };
    let backend = async {
        let received = backend.read_out().await.0;
        drop(backend);
        received
    };
    let relay = upload(downstream, upstream, &LAX, UploadEnd::Strict);
    let ((), relayed, received) = tokio::join!(client, relay, backend);
    assert!(relayed.end.is_complete(), "{relayed:?}");
    assert_same(&received, &sent);
}

/// Past what is copied the kernel moves plain bytes by itself, and must stop as well.
#[tokio::test]
async fn no_byte_beyond_the_bound_is_handed_over_and_the_backend_is_reset() {
    for (down, up) in pairs() {
        for (first, bound) in [(0, 1_000), (0, 1 << 20), (200_000, 300_000)] {
            let (downstream, mut client) = down.open(DataKind::Upload).await;
            let (upstream, mut backend) = up.open_upstream().await;
            let progress = Progress::default();
            // One that a reload brings while bytes move.
            progress.set_bytes_max((first == 0).then_some(bound));
            let client = async {
                if first > 0 {
                    client.write_all(&pattern(first)).await.unwrap();
                    while progress.bytes() < first as u64 {
                        tokio::task::yield_now().await;
                    }
                    progress.set_bytes_max(Some(bound));
                }
                // It may be cut off at any time.
                let _ = client.write_all(&pattern(2 << 20)).await;
                client
            };
            let backend = async {
                let (received, end) = backend.read_out().await;
                assert!(received.len() as u64 <= bound, "{down:?} {up:?}: {} bytes", received.len());
                assert!(end.is_err(), "{down:?} {up:?}: it looks complete");
            };
            let gateway = async {
                let relayed =
                    super::super::upload(downstream, upstream, &LAX, UploadEnd::Strict, &progress).await;
                assert!(matches!(relayed.end, RelayEnd::TooLarge), "{down:?} {up:?} {relayed:?}");
                assert!((first as u64..=bound).contains(&relayed.bytes));
            };
            tokio::join!(client, backend, gateway);
        }
    }
}
