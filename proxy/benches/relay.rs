//! CPU seconds per GiB of the relay, beside `tokio::io::copy_bidirectional` over tokio-rustls.
//!
//! `cargo bench -p ftpsgate --bench relay`. The gateway runs alone on one thread, whose CPU time is read from the
//! kernel; both peers have threads of their own, which do not count. Rounds are interleaved and medians are printed:
//! machines are noisy, ratios are not. No times are asserted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ftpsgate::config::{
    CertificateFallback, ClientCertificates, DataResumption, TlsProfile, TlsVersion, UploadEnd,
};
use ftpsgate::data::Leg;
use ftpsgate::data::relay::{Limits, Progress, download, finish_download, upload};
use ftpsgate::tls::{DataKind, Profile, SessionTls};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::io::{copy_bidirectional, copy_bidirectional_with_sizes};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GIB: u64 = 1 << 30;
const BYTES: u64 = GIB;
const ROUNDS: usize = 5;
const HOST: &str = "ftp.example.com";
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Download,
    Upload,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Relay,
    Copy8KiB,
    Copy256KiB,
}

const MEANS: [Means; 3] = [Means::Relay, Means::Copy8KiB, Means::Copy256KiB];

fn main() {
    println!("CPU s/GiB          relay   copy 8 KiB   copy 256 KiB   relay / copy 8 KiB");
    for tls in [true, false] {
        for direction in [Direction::Download, Direction::Upload] {
            let mut seconds = MEANS.map(|_| Vec::new());
            for _ in 0..ROUNDS {
                for (means, seconds) in MEANS.into_iter().zip(&mut seconds) {
                    seconds.push(transfer(tls, direction, means));
                }
            }
            let [relay, small, large] = seconds.map(median);
            let name = format!("{} {direction:?}", if tls { "TLS" } else { "plain" });
            println!("{name:<16} {relay:>7.3} {small:>12.3} {large:>14.3} {:>20.2}", relay / small);
        }
    }
}

/// CPU seconds per GiB that one transfer costs the gateway's thread.
fn transfer(tls: bool, direction: Direction, means: Means) -> f64 {
    let (session, trusted) = session();
    let (client_listener, client_address) = listen();
    let (backend_listener, backend_address) = listen();
    let backend = thread::spawn(move || {
        let (mut tcp, _) = backend_listener.accept().expect("the gateway dials");
        move_bytes(&mut tcp, direction == Direction::Download);
        if direction == Direction::Download {
            let _ = tcp.shutdown(std::net::Shutdown::Write);
        }
        // A server that closes an upload before its end has failed it.
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    let client = thread::spawn(move || {
        let tcp = TcpStream::connect(client_address).expect("the gateway listens");
        if tls {
            let name = ServerName::try_from(HOST).expect("a host name");
            let connection = ClientConnection::new(client_config(trusted), name).expect("a client");
            let mut stream = StreamOwned::new(connection, tcp);
            move_bytes(&mut stream, direction == Direction::Upload);
            stream.conn.send_close_notify();
            let _ = stream.flush();
            let _ = stream.sock.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        } else {
            let mut tcp = tcp;
            move_bytes(&mut tcp, direction == Direction::Upload);
            let _ = tcp.shutdown(std::net::Shutdown::Write);
            let _ = tcp.read_to_end(&mut Vec::new());
        }
    });
    let gateway = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let before = thread_cpu_seconds();
        runtime.block_on(relay(session, tls, direction, means, client_listener, backend_address));
        thread_cpu_seconds() - before
    });
    let seconds = gateway.join().expect("the gateway works");
    client.join().expect("the client works");
    backend.join().expect("the backend works");
    seconds * GIB as f64 / BYTES as f64
}

async fn relay(
    session: SessionTls,
    tls: bool,
    direction: Direction,
    means: Means,
    listener: TcpListener,
    backend: SocketAddr,
) {
    let (client, _) = listener.accept().expect("a client");
    client.set_nonblocking(true).expect("a socket");
    let client = tokio::net::TcpStream::from_std(client).expect("a runtime");
    let mut backend = tokio::net::TcpStream::connect(backend).await.expect("a backend");
    let sizes = match means {
        Means::Relay => {
            let kind = match direction {
                Direction::Download => DataKind::Download,
                Direction::Upload => DataKind::Upload,
            };
            let client = if tls {
                let (tcp, connection, _) = session.accept_data(client, kind, PATIENCE).await.expect("TLS");
                Leg::tls(tcp, connection)
            } else {
                Leg::plain(client)
            };
            return relay_legs(client, Leg::plain(backend), direction).await;
        }
        Means::Copy8KiB => None,
        Means::Copy256KiB => Some(256 * 1024),
    };
    let moved = if tls {
        let (mut client, _) = session.accept_control(client, PATIENCE).await.expect("TLS");
        match sizes {
            None => copy_bidirectional(&mut client, &mut backend).await,
            Some(bytes) => copy_bidirectional_with_sizes(&mut client, &mut backend, bytes, bytes).await,
        }
    } else {
        let mut client = client;
        match sizes {
            None => copy_bidirectional(&mut client, &mut backend).await,
            Some(bytes) => copy_bidirectional_with_sizes(&mut client, &mut backend, bytes, bytes).await,
        }
    };
    let (up, down) = moved.expect("a copy");
    assert_eq!(up + down, BYTES);
}

async fn relay_legs(mut client: Leg, backend: Leg, direction: Direction) {
    let limits = Limits { stall_timeout: PATIENCE, min_rate: 0 };
    let progress = Progress::default();
    let relayed = match direction {
        Direction::Download => {
            let relayed = download(backend, &mut client, &limits, &progress).await;
            finish_download(client, &limits).await.expect("an end").linger().await;
            relayed
        }
        Direction::Upload => upload(client, backend, &limits, UploadEnd::Strict, &progress).await,
    };
    assert!(relayed.end.is_complete() && relayed.bytes == BYTES, "{relayed:?}");
}

/// One end of a transfer: all of the bytes out, or all of them in.
fn move_bytes(stream: &mut (impl Read + Write), send: bool) {
    let mut chunk = vec![0x55; 256 * 1024];
    let mut left = BYTES;
    while left > 0 {
        left -= if send {
            stream.write_all(&chunk).map(|()| chunk.len()).expect("a reader")
        } else {
            stream.read(&mut chunk).expect("a writer")
        } as u64;
    }
    stream.flush().expect("a reader");
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

fn session() -> (SessionTls, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let certificate = made.cert.der().clone();
    let key = CertifiedKey::new(vec![certificate.clone()], any_supported_type(&key).expect("a key"));
    let configured = TlsProfile {
        name: "bench".into(),
        certificates: Vec::new(),
        fallback: CertificateFallback::None,
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls13,
        require_ems: false,
        data_resumption: DataResumption::Off,
        client_certificates: ClientCertificates::Off,
        client_ca: None,
        client_crl: None,
    };
    let profile = Arc::new(Profile::new(&configured, None).expect("a profile"));
    (SessionTls::new(profile, Arc::new(SingleCertAndKey::from(key))).expect("randomness"), certificate)
}

fn client_config(trusted: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// What the kernel has charged this thread, user and system.
fn thread_cpu_seconds() -> f64 {
    let charged = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds: u64 = charged.split(' ').next().and_then(|first| first.parse().ok()).expect("schedstat");
    nanoseconds as f64 / 1e9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
