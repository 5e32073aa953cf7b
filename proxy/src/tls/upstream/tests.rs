//! Handshakes with servers over loopback: who is believed, what resumes, and when tickets run out.

use std::fs;
use std::path::PathBuf;

use ftpsgate_certs::Refusal;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::NoServerSessionStorage;
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::{CertificatePair, TlsVersion};
use crate::tls::testing::server::{BackendServer, backend_tls};
use crate::tls::testing::{HOST, SOON, certified_key, tcp_pair};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

/// A self-signed certificate as PEM files and as a key for rustls.
struct Pair {
    key: Arc<CertifiedKey>,
    files: CertificatePair,
    _folder: TempDir,
}

impl Pair {
    fn new(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempdir().unwrap();
        let write = |name, text: String| -> PathBuf {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            file
        };
        let files = CertificatePair {
            chain: write("c.pem", certificate.pem()),
            key: write("k.pem", key.serialize_pem()),
        };
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = CertifiedKey::new(vec![certificate.der().clone()], any_supported_type(&der).unwrap());
        Self { key: Arc::new(key), files, _folder: folder }
    }

    /// A configuration that trusts this certificate as it is.
    fn trusted(&self) -> BackendTls {
        BackendTls {
            ca: BackendCa::File(self.files.chain.clone()),
            max_version: TlsVersion::Tls13,
            ..backend_tls()
        }
    }
}

/// Shakes hands on a control connection to `host` with a server that shows `shown`.
async fn meet(configured: &BackendTls, host: &str, shown: &Pair) -> Result<UpstreamControl, HandshakeError> {
    let tls = BackendProfile::new(configured).unwrap().session(host).unwrap();
    let server = BackendServer::with_key(TlsVersion::Tls12, Arc::clone(&shown.key));
    let (near, far) = tcp_pair().await;
    let (connected, _) = tokio::join!(tls.connect_control(near, SOON), server.accept(far, 0));
    connected.map(|(_, agreed)| agreed)
}

fn refusal(result: Result<UpstreamControl, HandshakeError>) -> Refusal {
    match result.unwrap_err() {
        HandshakeError::Tls(error) => Refusal::within(&error).expect("a refusal").clone(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_hundred_data_connections_resume_one_session_of_tls_1_2() {
    for by_session_id in [false, true] {
        let mut server = BackendServer::new(TlsVersion::Tls12);
        if by_session_id {
            server.config.ticketer = Arc::new(NoTickets);
        } else {
            server.config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        let tls = server.session();
        let (_client, agreed, _server) = server.control(&tls, 0).await.unwrap();
        assert_eq!(agreed.version, ProtocolVersion::TLSv1_2);
        assert_eq!(agreed.certificate, server.key.cert[0]);
        for number in 0..100 {
            assert_eq!(tls.tickets(), DataTickets::Available);
            let (_, _, data, _server) = server.data(&tls, 0).await.unwrap();
            assert!(data.resumed, "number {number}, by session ID: {by_session_id}");
            assert_eq!(data.version, ProtocolVersion::TLSv1_2);
        }
    }
}

/// Gives no tickets, so that clients resume by session ID.
#[derive(Debug)]
struct NoTickets;

impl rustls::server::ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[tokio::test]
async fn two_tickets_of_tls_1_3_are_available_twice_and_then_spent() {
    let server = BackendServer::new(TlsVersion::Tls13);
    let tls = server.session();
    assert_eq!(tls.tickets(), DataTickets::Available, "before there is a connection");
    let _control = server.control(&tls, 2).await.unwrap();
    for expected in
        [(DataTickets::Available, true), (DataTickets::Available, true), (DataTickets::Spent, false)]
    {
        let tickets = tls.tickets();
        let (_, _, data, _server) = server.data(&tls, 0).await.unwrap();
        assert_eq!((tickets, data.resumed), expected);
        assert_eq!(data.version, ProtocolVersion::TLSv1_3);
    }
}

#[tokio::test]
async fn tickets_that_come_on_a_data_connection_count() {
    let server = BackendServer::new(TlsVersion::Tls13);
    let tls = server.session();
    let _control = server.control(&tls, 1).await.unwrap();
    for _ in 0..10 {
        assert_eq!(tls.tickets(), DataTickets::Available);
        let (mut tcp, mut connection, data, mut peer) = server.data(&tls, 1).await.unwrap();
        assert!(data.resumed);
        assert_eq!(tls.tickets(), DataTickets::Spent, "the new one was not read yet");
        peer.write_all(b"listing").await.unwrap();
        peer.flush().await.unwrap();
        let mut bytes = [0; 4096];
        let count = tcp.read(&mut bytes).await.unwrap();
        connection.read_tls(&mut &bytes[..count]).unwrap();
        connection.process_new_packets().unwrap();
    }
}

#[tokio::test]
async fn a_server_that_never_gave_a_ticket_cannot_want_one() {
    let server = BackendServer::new(TlsVersion::Tls13);
    let tls = server.session();
    let _control = server.control(&tls, 0).await.unwrap();
    for _ in 0..3 {
        assert_eq!(tls.tickets(), DataTickets::Available);
        let (_, _, data, _server) = server.data(&tls, 0).await.unwrap();
        assert!(!data.resumed, "the same certificate is enough");
    }
}

#[tokio::test]
async fn a_flood_of_tickets_is_kept_to_the_newest() {
    let server = BackendServer::new(TlsVersion::Tls13);
    let tls = server.session();
    let _control = server.control(&tls, 100).await.unwrap();
    assert_eq!(tls.store.tickets_kept(), 32);
}

#[tokio::test]
async fn sessions_with_one_backend_share_nothing_but_the_key_exchange() {
    for version in VERSIONS {
        let server = BackendServer::new(version);
        let profile = BackendProfile::new(&server.believed()).unwrap();
        let (mine, other) = (profile.session(HOST).unwrap(), profile.session(HOST).unwrap());
        let _control = server.control(&other, 2).await.unwrap();
        let _control = server.control(&mine, 0).await.unwrap();
        let (_, _, data, _server) = server.data(&other, 0).await.unwrap();
        assert!(data.resumed, "{version:?}");
        if version == TlsVersion::Tls13 {
            let (_, _, data, _server) = server.data(&mine, 0).await.unwrap();
            assert!(!data.resumed, "not with the other's ticket");
        }
    }
}

#[tokio::test]
async fn the_key_exchange_of_one_session_saves_the_next_a_round_trip() {
    let mut server = BackendServer::new(TlsVersion::Tls13);
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::SECP384R1];
    let shown = Arc::clone(&server.key);
    server.config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&shown))));
    let profile = BackendProfile::new(&server.believed()).unwrap();
    for expected in [HandshakeKind::FullWithHelloRetryRequest, HandshakeKind::Full] {
        let tls = profile.session(HOST).unwrap();
        let (client, ..) = server.control(&tls, 0).await.unwrap();
        assert_eq!(client.get_ref().1.handshake_kind(), Some(expected));
    }
}

#[tokio::test]
async fn a_data_connection_to_another_server_is_refused() {
    for version in VERSIONS {
        let (server, other) = (BackendServer::new(version), BackendServer::new(version));
        let mut configured = server.believed();
        configured.pins.extend(other.believed().pins);
        let tls = BackendProfile::new(&configured).unwrap().session(HOST).unwrap();
        let _control = server.control(&tls, 0).await.unwrap();
        let refused = other.data(&tls, 0).await;
        assert!(matches!(refused, Err(UpstreamDataError::OtherServer)), "{version:?}");
        // One that nobody believes does not come so far.
        let stranger = BackendServer::new(version);
        let refused = stranger.data(&tls, 0).await;
        assert!(matches!(refused, Err(UpstreamDataError::Handshake(HandshakeError::Tls(_)))), "{version:?}");
    }
}

/// Its session or ticket must not let it in the next time.
#[tokio::test]
async fn another_server_that_was_refused_is_refused_again() {
    for version in VERSIONS {
        let (server, other) = (BackendServer::new(version), BackendServer::new(version));
        let pins = [server.believed().pins, other.believed().pins].concat();
        let two_pins = BackendTls { pins, ..server.believed() };
        let danger = BackendTls {
            danger_accept_invalid_certificates: true,
            pins: Vec::new(),
            ca: BackendCa::System,
            ..server.believed()
        };
        for configured in [two_pins, danger] {
            let tls = BackendProfile::new(&configured).unwrap().session(HOST).unwrap();
            let _control = server.control(&tls, 3).await.unwrap();
            for attempt in 1..=2 {
                let refused = other.data(&tls, 2).await;
                assert!(matches!(refused, Err(UpstreamDataError::OtherServer)), "{version:?}, {attempt}");
            }
            if version == TlsVersion::Tls13 {
                assert_eq!(tls.store.tickets_kept(), 1, "each was shown once, none was won");
            }
            let (_, _, data, _server) = server.data(&tls, 0).await.unwrap();
            assert!(data.resumed, "{version:?}: the control connection's own session was kept");
        }
    }
}

/// TLS 1.3 lets a server send tickets with its Finished, so that they come before the verdict.
#[tokio::test]
async fn tickets_that_come_before_the_verdict_count_after_it() {
    let (server, other) = (BackendServer::new(TlsVersion::Tls13), BackendServer::new(TlsVersion::Tls13));
    let pins = [server.believed().pins, other.believed().pins].concat();
    let configured = BackendTls { pins, ..server.believed() };
    let tls = BackendProfile::new(&configured).unwrap().session(HOST).unwrap();
    let _control = server.control(&tls, 1).await.unwrap();
    for (peer, kept) in [(&other, 0), (&server, 32)] {
        let (mut near, far) = tcp_pair().await;
        let (mut connection, store) = tls.begin_data().unwrap();
        let accepted = async {
            let mut stream = peer.accept(far, 40).await.unwrap();
            stream.write_all(b"listing").await.unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let handshake = drive_handshake(&mut near, &mut connection, Role::Client);
        let (shaken, _peer) = tokio::join!(handshake, accepted);
        shaken.unwrap();
        let mut bytes = [0; 4096];
        while connection.process_new_packets().unwrap().plaintext_bytes_to_read() == 0 {
            let count = near.read(&mut bytes).await.unwrap();
            connection.read_tls(&mut &bytes[..count]).unwrap();
        }
        assert_eq!(tls.store.tickets_kept(), 0, "nobody knows yet whose they are");
        if let Some(proof) = tls.prove_same_server(&connection) {
            store.accept(proof);
        }
        drop((connection, store));
        assert_eq!(tls.store.tickets_kept(), kept);
    }
}

#[tokio::test]
async fn a_data_connection_of_another_version_of_tls_does_not_forget_the_session() {
    let server = BackendServer::new(TlsVersion::Tls12);
    let other = BackendServer::new(TlsVersion::Tls13);
    let pins = [server.believed().pins, other.believed().pins].concat();
    let configured = BackendTls { pins, ..server.believed() };
    let tls = BackendProfile::new(&configured).unwrap().session(HOST).unwrap();
    let _control = server.control(&tls, 0).await.unwrap();
    let refused = other.data(&tls, 1).await;
    assert!(matches!(refused, Err(UpstreamDataError::OtherServer)));
    let (_, _, data, _server) = server.data(&tls, 0).await.unwrap();
    assert!(data.resumed);
}

#[tokio::test]
async fn a_data_connection_without_resumption_shows_the_same_certificate() {
    let server = BackendServer::new(TlsVersion::Tls12);
    let tls = server.session();
    let _control = server.control(&tls, 0).await.unwrap();
    // The server has forgotten the session: another ticketer, and nothing stored.
    let forgetful = BackendServer::with_key(TlsVersion::Tls12, Arc::clone(&server.key));
    let (_, _, data, _server) = forgetful.data(&tls, 0).await.unwrap();
    assert!(!data.resumed);
}

#[tokio::test]
async fn servers_are_believed_by_name_and_by_address() {
    let pair = Pair::new(&[HOST, "192.0.2.7", "2001:db8::7"], |_| {});
    for host in [HOST, "192.0.2.7", "2001:db8::7"] {
        meet(&pair.trusted(), host, &pair).await.unwrap();
    }
    let refused = refusal(meet(&pair.trusted(), "192.0.2.8", &pair).await);
    assert!(matches!(refused, Refusal::WrongName { .. }), "{refused:?}");
}

#[tokio::test]
async fn the_written_name_replaces_that_of_the_address() {
    let pair = Pair::new(&[HOST], |_| {});
    let configured = BackendTls { server_name: Some(HOST.into()), ..pair.trusted() };
    meet(&configured, "127.0.0.1", &pair).await.unwrap();
    let configured = BackendTls { server_name: Some("other.example.com".into()), ..pair.trusted() };
    let refused = refusal(meet(&configured, HOST, &pair).await);
    assert!(matches!(refused, Refusal::WrongName { .. }), "{refused:?}");
}

#[tokio::test]
async fn wrong_certificates_are_refused_and_danger_takes_them() {
    let ended = Pair::new(&[HOST], |params| params.not_after = date_time_ymd(2021, 3, 4));
    let unknown = Pair::new(&[HOST], |_| {});
    let known = Pair::new(&[HOST], |_| {});
    for (configured, shown, words) in [
        (ended.trusted(), &ended, "ended on 2021-03-04"),
        (known.trusted(), &unknown, "self-signed"),
        (BackendTls { pins: vec![[7; 32]], ca: BackendCa::PinsAlone, ..backend_tls() }, &known, "tls_pin"),
    ] {
        let refused = refusal(meet(&configured, HOST, shown).await);
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let danger = BackendTls { danger_accept_invalid_certificates: true, ..known.trusted() };
    meet(&danger, "wrong.example.com", &ended).await.unwrap();
}

#[tokio::test]
async fn the_certificate_for_servers_that_ask_is_shown_on_control_and_on_data_connections() {
    let ours = Pair::new(&["gateway.example.com"], |_| {});
    for version in VERSIONS {
        let server = BackendServer::asking(version, &ours.key);
        let configured = BackendTls { client_certificate: Some(ours.files.clone()), ..server.believed() };
        let tls = BackendProfile::new(&configured).unwrap().session(HOST).unwrap();
        let (_client, _, peer) = server.control(&tls, 0).await.unwrap();
        assert_eq!(peer.get_ref().1.peer_certificates().unwrap()[0], ours.key.cert[0]);
        for _ in 0..2 {
            let (_, _, data, peer) = server.data(&tls, 0).await.unwrap();
            assert_eq!(data.resumed, version == TlsVersion::Tls12);
            assert_eq!(peer.get_ref().1.peer_certificates().unwrap()[0], ours.key.cert[0]);
        }
    }
}

#[tokio::test]
async fn a_server_that_gets_no_certificate_says_so() {
    let server = BackendServer::asking(TlsVersion::Tls12, &certified_key());
    let (near, far) = tcp_pair().await;
    let tls = server.session();
    let (connected, _) = tokio::join!(tls.connect_control(near, SOON), server.accept(far, 0));
    let error = connected.unwrap_err();
    assert!(advice(&error).is_some_and(|text| text.contains("tls_client_certificate")), "{error}");
}

#[tokio::test]
async fn failed_handshakes_say_how_and_what_to_do() {
    let server = BackendServer::new(TlsVersion::Tls13);
    let tls = server.session();
    let (near, mut far) = tcp_pair().await;
    far.write_all(b"220 ready\r\n").await.unwrap();
    let error = tls.connect_control(near, SOON).await.unwrap_err();
    assert!(advice(&error).unwrap().contains("tls = \"explicit\""), "{error}");

    let (near, far) = tcp_pair().await;
    drop(far);
    let error = tls.connect_control(near, SOON).await.unwrap_err();
    assert!(matches!(error, HandshakeError::ClosedDuring | HandshakeError::Reset), "{error}");

    let (near, _far) = tcp_pair().await;
    let error = tls.connect_control(near, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Deadline), "{error}");

    let (near, _far) = tcp_pair().await;
    let error = tls.connect_data(near, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, UpstreamDataError::Handshake(HandshakeError::Deadline)), "{error}");

    let old = BackendTls { max_version: TlsVersion::Tls12, ..server.believed() };
    let tls = BackendProfile::new(&old).unwrap().session(HOST).unwrap();
    let (near, far) = tcp_pair().await;
    let (connected, _) = tokio::join!(tls.connect_control(near, SOON), server.accept(far, 0));
    let error = connected.unwrap_err();
    assert!(advice(&error).unwrap().contains("tls_max_version"), "{error}");
}

#[test]
fn what_cannot_be_used_is_named() {
    let pair = Pair::new(&[HOST], |_| {});
    let failure = |configured| BackendProfile::new(&configured).unwrap_err().to_string();
    let text = failure(BackendTls { server_name: Some("not a name".into()), ..pair.trusted() });
    assert!(text.contains("`not a name`"), "{text}");
    let missing = CertificatePair { chain: "/nonexistent/c.pem".into(), key: "/nonexistent/k.pem".into() };
    let text = failure(BackendTls { client_certificate: Some(missing), ..pair.trusted() });
    assert!(text.contains("/nonexistent/c.pem"), "{text}");
    let text = failure(BackendTls { ca: BackendCa::File("/nonexistent/ca.pem".into()), ..pair.trusted() });
    assert!(text.contains("/nonexistent/ca.pem"), "{text}");
    let profile = BackendProfile::new(&pair.trusted()).unwrap();
    assert!(matches!(profile.session("a b"), Err(BackendProfileError::ServerName(_))));
}

#[tokio::test]
async fn ftp_is_asked_for_and_nothing_is_printed_that_is_secret() {
    let mut server = BackendServer::new(TlsVersion::Tls12);
    server.config.alpn_protocols = vec![b"ftp".to_vec()];
    let tls = server.session();
    let (client, ..) = server.control(&tls, 0).await.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"ftp"[..]));
    let (_, _, data, _server) = server.data(&tls, 0).await.unwrap();
    assert!(data.resumed);
    assert_eq!(format!("{:?}", tls.store), "SessionStore { tls12: true, tls13: 0, .. }");
}
