//! Handshakes over loopback: what resumes, what must not, and how failures are told apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ProtocolVersion;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncWriteExt;

use super::testing::{ClientKind, HOST, SOON, TlsPair, certified_key, connect, control, data, tcp_pair};
use super::*;
use crate::config::DataResumption;

#[tokio::test]
async fn data_connections_resume_their_session() {
    for rule in [DataResumption::Prefer, DataResumption::Require] {
        for kind in ClientKind::ALL {
            let tls = TlsPair::new(rule);
            let (session, client) = (tls.session(), Arc::new(tls.client(kind)));
            let (_control, facts) = control(&session, &client).await;
            assert_eq!(facts.sni.as_deref(), Some(HOST));
            assert_eq!(facts.client_certificate, None);
            for direction in [DataKind::Download, DataKind::Upload, DataKind::Download, DataKind::Upload] {
                let (_, _, facts, _client) = data(&session, &client, direction).await.unwrap();
                assert!(facts.same_session.is_some(), "{rule:?} {kind:?} {direction:?}");
                let expected = match kind {
                    ClientKind::Tls13 => ProtocolVersion::TLSv1_3,
                    ClientKind::Tls12Tickets | ClientKind::Tls12SessionId => ProtocolVersion::TLSv1_2,
                };
                assert_eq!(facts.version, expected);
            }
        }
    }
}

#[tokio::test]
async fn tickets_of_another_session_prove_nothing() {
    for kind in ClientKind::ALL {
        let tls = TlsPair::new(DataResumption::Prefer);
        let (mine, other) = (tls.session(), tls.session());
        let client = Arc::new(tls.client(kind));
        let _control = control(&other, &client).await;
        let (_, _, facts, _client) = data(&mine, &client, DataKind::Download).await.unwrap();
        assert_eq!(facts.same_session, None, "{kind:?}");

        let tls = TlsPair::new(DataResumption::Require);
        let (mine, other) = (tls.session(), tls.session());
        let client = Arc::new(tls.client(kind));
        let _control = control(&other, &client).await;
        let refused = data(&mine, &client, DataKind::Upload).await;
        assert!(matches!(refused, Err(DataTlsError::NotResumed)), "{kind:?}");
    }
}

#[tokio::test]
async fn a_fresh_client_is_accepted_under_prefer_only() {
    for (rule, accepted) in
        [(DataResumption::Off, true), (DataResumption::Prefer, true), (DataResumption::Require, false)]
    {
        let tls = TlsPair::new(rule);
        let session = tls.session();
        let _control = control(&session, &Arc::new(tls.client(ClientKind::Tls13))).await;
        let stranger = Arc::new(tls.client(ClientKind::Tls13));
        match data(&session, &stranger, DataKind::Download).await {
            Ok((_, _, facts, _client)) => assert!(accepted && facts.same_session.is_none()),
            Err(error) => assert!(!accepted && matches!(error, DataTlsError::NotResumed)),
        }
    }
}

#[tokio::test]
async fn nothing_resumes_where_resumption_is_off() {
    for kind in ClientKind::ALL {
        let tls = TlsPair::new(DataResumption::Off);
        let (session, client) = (tls.session(), Arc::new(tls.client(kind)));
        let _control = control(&session, &client).await;
        for direction in [DataKind::Download, DataKind::Upload] {
            let (_, _, facts, _client) = data(&session, &client, direction).await.unwrap();
            assert_eq!(facts.same_session, None, "{kind:?}");
        }
    }
}

/// Four tickets on control, one on a download, none on an upload. rustls' client uses each once.
#[tokio::test]
async fn uploads_bring_no_tickets() {
    let tls = TlsPair::new(DataResumption::Prefer);
    let (session, client) = (tls.session(), Arc::new(tls.client(ClientKind::Tls13)));
    let _control = control(&session, &client).await;
    let mut resumed = Vec::new();
    for _ in 0..5 {
        let (_, _, facts, _client) = data(&session, &client, DataKind::Upload).await.unwrap();
        resumed.push(facts.same_session.is_some());
    }
    assert_eq!(resumed, [true, true, true, true, false]);
}

#[tokio::test]
async fn a_session_keeps_its_certificate_when_a_reload_brings_another() {
    /// Chooses a new one each time.
    #[derive(Debug)]
    struct Reloading(Vec<Arc<CertifiedKey>>, AtomicUsize);

    impl ResolvesServerCert for Reloading {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0[self.1.fetch_add(1, Ordering::Relaxed)]))
        }
    }

    let tls = TlsPair::new(DataResumption::Off);
    let certificates = Reloading(vec![Arc::clone(&tls.key), certified_key()], AtomicUsize::new(0));
    let session = tls.session_with(Arc::new(certificates));
    let client = Arc::new(tls.client(ClientKind::Tls13));
    let _control = control(&session, &client).await;
    let (_, _, _, client) = data(&session, &client, DataKind::Download).await.unwrap();
    assert_eq!(client.get_ref().1.peer_certificates().unwrap()[0], tls.key.cert[0]);
}

#[tokio::test]
async fn alpn_is_ftp_or_nothing() {
    let tls = TlsPair::new(DataResumption::Prefer);
    for (offered, selected) in [
        (vec![], Some(None)),
        (vec![b"x-filezilla-ftp".to_vec(), b"ftp".to_vec()], Some(Some(&b"ftp"[..]))),
        (vec![b"h2".to_vec()], None),
    ] {
        let session = tls.session();
        let mut client = tls.client(ClientKind::Tls13);
        client.alpn_protocols = offered.clone();
        let (near, far) = tcp_pair().await;
        let client = Arc::new(client);
        let (accepted, connected) = tokio::join!(session.accept_control(near, SOON), connect(&client, far));
        match selected {
            Some(selected) => assert_eq!(accepted.unwrap().0.get_ref().1.alpn_protocol(), selected),
            None => {
                assert!(matches!(accepted, Err(HandshakeError::Tls(_))), "{offered:?}");
                let refused = connected.unwrap_err();
                assert!(format!("{refused:?}").contains("NoApplicationProtocol"), "{refused:?}");
            }
        }
    }
}

#[tokio::test]
async fn failed_data_handshakes_say_how() {
    let tls = TlsPair::new(DataResumption::Prefer);
    let session = tls.session();
    let accept = async |patience, act: &[u8], reset: bool, close: bool| {
        let (near, mut far) = tcp_pair().await;
        far.write_all(act).await.unwrap();
        if reset {
            far.set_zero_linger().unwrap();
        }
        let far = (!close).then_some(far);
        let result = session.accept_data(near, DataKind::Upload, patience).await;
        drop(far);
        match result.unwrap_err() {
            DataTlsError::Handshake(error) => error,
            DataTlsError::NotResumed => panic!("there was no handshake"),
        }
    };
    assert!(matches!(accept(SOON, b"", false, true).await, HandshakeError::ClosedBefore));
    assert!(matches!(accept(SOON, b"", true, true).await, HandshakeError::Reset));
    assert!(matches!(accept(SOON, b"\x16\x03\x01", false, true).await, HandshakeError::ClosedDuring));
    assert!(matches!(accept(SOON, b"USER anonymous\r\n", false, false).await, HandshakeError::Tls(_)));
    let impatient = Duration::from_millis(50);
    assert!(matches!(accept(impatient, b"", false, false).await, HandshakeError::Deadline));
    assert!(matches!(accept(impatient, b"\x16\x03\x01", false, false).await, HandshakeError::Deadline));
}

#[tokio::test]
async fn failed_control_handshakes_say_how() {
    let tls = TlsPair::new(DataResumption::Prefer);
    let session = tls.session();
    let (near, far) = tcp_pair().await;
    drop(far);
    assert!(matches!(session.accept_control(near, SOON).await, Err(HandshakeError::ClosedDuring)));
    let (near, mut far) = tcp_pair().await;
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(matches!(session.accept_control(near, SOON).await, Err(HandshakeError::Tls(_))));
    let (near, _far) = tcp_pair().await;
    let impatient = Duration::from_millis(50);
    assert!(matches!(session.accept_control(near, impatient).await, Err(HandshakeError::Deadline)));
}
