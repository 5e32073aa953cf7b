//! Backend to client.

use super::*;

#[tokio::test]
async fn every_byte_arrives_and_then_a_clean_end() {
    for (down, up) in pairs() {
        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = up.open_upstream().await;
        let sent = pattern(8 << 20);
        let backend = async {
            write_unevenly(&mut backend, &sent).await;
            backend.shutdown().await.unwrap();
            // The gateway closes at once, without waiting for anybody.
            assert_eq!(backend.read_out().await.0, b"");
        };
        let gateway = async {
            let relayed = download(upstream, &mut downstream, &LAX).await;
            assert!(relayed.end.is_complete(), "{down:?} {up:?} {relayed:?}");
            assert_eq!(relayed.bytes, 8 << 20);
            assert_eq!(relayed.close_notify_seen, up != Wire::Plain);
            finish_download(downstream, &LAX).await.unwrap().linger().await;
        };
        let client = async {
            let (received, end) = read_slowly(&mut client).await;
            assert_same(&received, &sent);
            end.unwrap();
            drop(client);
        };
        tokio::join!(backend, gateway, client);
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    for (down, up) in pairs() {
        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = up.open_upstream().await;
        backend.shutdown().await.unwrap();
        let relayed = download(upstream, &mut downstream, &LAX).await;
        assert!(relayed.end.is_complete() && relayed.bytes == 0, "{down:?} {up:?} {relayed:?}");
        let lingering = finish_download(downstream, &LAX).await.unwrap();
        let (received, end) = client.read_out().await;
        assert!(received.is_empty() && end.is_ok());
        drop(client);
        lingering.linger().await;
    }
}

#[tokio::test]
async fn a_complete_download_that_nobody_finishes_does_not_look_complete() {
    for down in Wire::ALL {
        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = Wire::Plain.open_upstream().await;
        backend.write_all(b"all of it, says the backend's FIN").await.unwrap();
        drop(backend);
        let relayed = download(upstream, &mut downstream, &LAX).await;
        assert!(relayed.end.is_complete());
        // The backend's reply was 4yz.
        downstream.reset();
        client.read_out().await.1.unwrap_err();
    }
}

#[tokio::test]
async fn a_backend_that_resets_truncates() {
    for (down, up) in pairs() {
        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = up.open_upstream().await;
        let sent = pattern(300_000);
        let backend = async {
            backend.write_all(&sent).await.unwrap();
            backend.flush().await.unwrap();
            // Once the client has it, it cannot be lost to the reset any more.
            let mut received = vec![0; sent.len()];
            client.read_exact(&mut received).await.unwrap();
            assert_same(&received, &sent);
            backend.reset();
        };
        let (relayed, ()) = tokio::join!(download(upstream, &mut downstream, &LAX), backend);
        assert!(
            matches!(relayed.end, RelayEnd::Truncated { side: Side::Upstream }),
            "{down:?} {up:?} {relayed:?}"
        );
        assert_eq!(relayed.bytes, 300_000);
        assert!(matches!(finish_download(downstream, &LAX).await, Err(FinishDownloadError::Undelivered)));
        client.read_out().await.1.unwrap_err();
    }
}

#[tokio::test]
async fn a_tls_backend_without_close_notify_truncates() {
    for up in Wire::TLS {
        let (mut downstream, mut client) = Wire::Tls13.open(DataKind::Download).await;
        let (upstream, mut backend) = up.open_upstream().await;
        backend.write_all(b"half").await.unwrap();
        backend.flush().await.unwrap();
        let _backend = backend.close_bluntly().await;
        let relayed = download(upstream, &mut downstream, &LAX).await;
        assert!(matches!(relayed.end, RelayEnd::Truncated { side: Side::Upstream }), "{relayed:?}");
        assert!(!relayed.close_notify_seen);
        drop(downstream);
        client.read_out().await.1.unwrap_err();
    }
}

#[tokio::test]
async fn garbage_from_a_tls_backend_fails_the_source() {
    let (mut downstream, _client) = Wire::Tls13.open(DataKind::Download).await;
    let (upstream, mut backend) = Wire::Tls13.open_upstream().await;
    backend.tcp().write_all(&[0x17, 3, 3, 0, 32, 1, 2, 3]).await.unwrap();
    backend.tcp().write_all(&[0; 40]).await.unwrap();
    let relayed = download(upstream, &mut downstream, &LAX).await;
    assert!(
        matches!(relayed.end, RelayEnd::SourceFailed { side: Side::Upstream, error: LegError::Tls(_) }),
        "{relayed:?}"
    );
}

#[tokio::test]
async fn whoever_stalls_is_named() {
    for down in Wire::ALL {
        let (mut downstream, _client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = Wire::Plain.open_upstream().await;
        backend.write_all(b"and then nothing").await.unwrap();
        let relayed = download(upstream, &mut downstream, &HASTY).await;
        assert!(matches!(relayed.end, RelayEnd::Stalled { side: Side::Upstream }), "{relayed:?}");
        assert_eq!(relayed.bytes, 16);

        let (mut downstream, _client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = Wire::Plain.open_upstream().await;
        let (relayed, ()) = tokio::join!(download(upstream, &mut downstream, &HASTY), fill_up(&mut backend));
        assert!(matches!(relayed.end, RelayEnd::Stalled { side: Side::Downstream }), "{relayed:?}");
    }
}

#[tokio::test]
async fn a_client_that_resets_is_noticed_while_the_backend_is_silent() {
    for down in Wire::ALL {
        let (mut downstream, client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = Wire::Plain.open_upstream().await;
        let gone = async { client.reset() };
        let (relayed, ()) = tokio::join!(download(upstream, &mut downstream, &LAX), gone);
        assert!(
            matches!(relayed.end, RelayEnd::SinkFailed { side: Side::Downstream, error: Some(_) }),
            "{down:?} {relayed:?}"
        );
        backend.read_out().await.1.unwrap_err();
    }
}

#[tokio::test]
async fn a_client_that_closes_is_let_go_when_nothing_comes_for_it() {
    for down in Wire::ALL {
        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, _backend) = Wire::Plain.open_upstream().await;
        client.shutdown().await.unwrap();
        drop(client);
        let relayed = download(upstream, &mut downstream, &HASTY).await;
        assert!(
            matches!(relayed.end, RelayEnd::SinkFailed { side: Side::Downstream, error: None }),
            "{down:?} {relayed:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_closes_in_the_middle_fails_the_sink() {
    for (down, up) in pairs() {
        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = up.open_upstream().await;
        let client = async {
            client.read_exact(&mut [0; 1000]).await.unwrap();
            drop(client);
        };
        let endless = async {
            let chunk = pattern(100_000);
            while backend.write_all(&chunk).await.is_ok() {}
        };
        let (relayed, (), ()) = tokio::join!(download(upstream, &mut downstream, &LAX), client, endless);
        assert!(
            matches!(relayed.end, RelayEnd::SinkFailed { side: Side::Downstream, .. }),
            "{down:?} {up:?} {relayed:?}"
        );
    }
}

/// curl closes when it has as many bytes as SIZE said, whether or not the end has come.
#[tokio::test]
async fn a_client_that_closes_when_it_has_everything_got_everything() {
    for down in Wire::ALL {
        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = Wire::Plain.open_upstream().await;
        let sent = pattern(200_000);
        let peers = async {
            backend.write_all(&sent).await.unwrap();
            let mut received = vec![0; sent.len()];
            client.read_exact(&mut received).await.unwrap();
            client.shutdown().await.unwrap();
            drop(client);
            tokio::task::yield_now().await;
            drop(backend);
        };
        let (relayed, ()) = tokio::join!(download(upstream, &mut downstream, &LAX), peers);
        assert!(relayed.end.is_complete(), "{down:?} {relayed:?}");
        assert_eq!(relayed.bytes, 200_000);
    }
}

#[tokio::test]
async fn a_client_may_close_its_sending_half_and_read_on() {
    for down in [Wire::Plain, Wire::Tls13] {
        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = Wire::Plain.open_upstream().await;
        client.shutdown().await.unwrap();
        let sent = pattern(2 << 20);
        let backend = async {
            backend.write_all(&sent).await.unwrap();
            drop(backend);
        };
        let gateway = async {
            assert!(download(upstream, &mut downstream, &LAX).await.end.is_complete());
            finish_download(downstream, &LAX).await.unwrap().linger().await;
        };
        let (_, (), (received, end)) = tokio::join!(backend, gateway, client.read_out());
        assert_same(&received, &sent);
        end.unwrap();
    }
}

#[tokio::test]
async fn a_client_may_say_little_but_not_much() {
    for down in Wire::ALL {
        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = Wire::Plain.open_upstream().await;
        let little = async {
            client.write_all(&[0; 60_000]).await.unwrap();
            client.flush().await.unwrap();
            backend.write_all(b"file").await.unwrap();
            drop(backend);
        };
        let (relayed, ()) = tokio::join!(download(upstream, &mut downstream, &LAX), little);
        assert!(relayed.end.is_complete(), "{down:?} {relayed:?}");

        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, _backend) = Wire::Plain.open_upstream().await;
        let much = async {
            let chunk = [0; 10_000];
            while client.write_all(&chunk).await.is_ok() && client.flush().await.is_ok() {}
        };
        let gateway = async {
            let relayed = download(upstream, &mut downstream, &LAX).await;
            drop(downstream);
            relayed
        };
        let (relayed, ()) = tokio::join!(gateway, much);
        assert!(
            matches!(relayed.end, RelayEnd::Violation { side: Side::Downstream }),
            "{down:?} {relayed:?}"
        );
    }
}

#[tokio::test]
async fn a_cancelled_download_never_looks_complete() {
    for (down, up) in pairs() {
        let (mut downstream, mut client) = down.open(DataKind::Download).await;
        let (upstream, mut backend) = up.open_upstream().await;
        let watched = async {
            backend.write_all(&pattern(100_000)).await.unwrap();
            backend.flush().await.unwrap();
            client.read_exact(&mut vec![0; 100_000]).await.unwrap();
        };
        tokio::select! {
            relayed = download(upstream, &mut downstream, &LAX) => panic!("{relayed:?}"),
            () = watched => {}
        }
        assert!(matches!(finish_download(downstream, &LAX).await, Err(FinishDownloadError::Undelivered)));
        client.read_out().await.1.unwrap_err();
        backend.read_out().await.1.unwrap_err();
    }
}

#[tokio::test]
async fn a_client_that_takes_no_end_is_reset() {
    let (mut downstream, mut client) = Wire::Plain.open(DataKind::Download).await;
    let (upstream, backend) = Wire::Plain.open_upstream().await;
    drop(backend);
    assert!(download(upstream, &mut downstream, &LAX).await.end.is_complete());
    client.tcp().set_zero_linger().unwrap();
    drop(client);
    assert!(matches!(finish_download(downstream, &LAX).await, Err(FinishDownloadError::Finish(_))));
}

#[tokio::test]
async fn keys_may_be_updated_on_the_way() {
    let (mut downstream, mut client) = Wire::Tls13.open(DataKind::Download).await;
    let (upstream, mut backend) = Wire::Plain.open_upstream().await;
    let sent = pattern(500_000);
    let peers = async {
        let mut received = vec![0; sent.len() / 5];
        for piece in sent.chunks(received.len()) {
            backend.write_all(piece).await.unwrap();
            client.read_exact(&mut received).await.unwrap();
            assert_same(&received, piece);
            let Peer::Client(tls) = &mut client else { panic!("it is TLS") };
            tls.get_mut().1.refresh_traffic_keys().unwrap();
            tls.flush().await.unwrap();
        }
        drop(backend);
    };
    let (relayed, ()) = tokio::join!(download(upstream, &mut downstream, &LAX), peers);
    assert!(relayed.end.is_complete(), "{relayed:?}");
}

/// The pool and the pipes are shared: many transfers at once must neither mix bytes nor wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_transfers_at_once_do_not_mix() {
    let transfers: Vec<_> = (0..100)
        .map(|number| {
            tokio::spawn(async move {
                let wire = Wire::ALL[number % 3];
                let (downstream, mut client) = wire.open(DataKind::Upload).await;
                let (upstream, mut backend) = Wire::Plain.open_upstream().await;
                let sent = pattern(200_000 + number)[number..].to_vec();
                let client = async {
                    client.write_all(&sent).await.unwrap();
                    client.shutdown().await.unwrap();
                    let _ = client.read_out().await;
                };
                let relay = upload(downstream, upstream, &LAX, UploadEnd::Strict);
                let backend = async {
                    let received = backend.read_out().await.0;
                    drop(backend);
                    received
                };
                let ((), relayed, received) = tokio::join!(client, relay, backend);
                assert!(relayed.end.is_complete(), "{relayed:?}");
                assert_same(&received, &sent);
            })
        })
        .collect();
    for transfer in transfers {
        transfer.await.unwrap();
    }
}
