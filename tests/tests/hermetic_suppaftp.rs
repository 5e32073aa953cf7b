//! suppaftp, a client that nobody wrote for these tests, through the gateway to libunftp.
//!
//! It ends empty uploads before their TLS handshake has begun, so empty ones run under `upload_end = "lenient"`.

use std::io::{Cursor, Read};

use ftpsgate_tests::client::{TlsSetup, TlsVersion};
use ftpsgate_tests::gateway::{CANARY, Gateway, GatewayOptions};
use ftpsgate_tests::libunftp::LibunftpServer;
use ftpsgate_tests::scene::content;
use suppaftp::types::FileType;
use suppaftp::{FtpStream, Mode, RustlsConnector, RustlsFtpStream};

fn start() -> (LibunftpServer, Gateway) {
    let server = LibunftpServer::start();
    let options = GatewayOptions::all_modes(server.address()).all_listener_keys(r#"upload_end = "lenient""#);
    let gateway = Gateway::start(options);
    (server, gateway)
}

fn connector(gateway: &Gateway, version: TlsVersion) -> RustlsConnector {
    RustlsConnector::from(TlsSetup::new(gateway, version).config())
}

fn explicit(gateway: &Gateway, version: TlsVersion) -> RustlsFtpStream {
    RustlsFtpStream::connect(gateway.address("explicit"))
        .expect("the gateway greets")
        .into_secure(connector(gateway, version), "localhost")
        .expect("AUTH TLS succeeds")
}

macro_rules! exercise {
    ($server:expr, $stream:expr) => {{
        let (server, mut stream) = ($server, $stream);
        stream.login("anna", CANARY).unwrap();
        stream.transfer_type(FileType::Binary).unwrap();
        for mode in [Mode::ExtendedPassive, Mode::Passive] {
            stream.set_mode(mode);
            for size in [0, 1, 1 << 20, 5 << 20] {
                let sent = content(size);
                stream.put_file("up.bin", &mut Cursor::new(&sent)).unwrap();
                assert!(server.content("up.bin") == sent, "an upload of {size} bytes differs");
                let received = stream.retr_as_buffer("up.bin").unwrap().into_inner();
                assert!(received == sent, "a download of {size} bytes differs");
            }
            assert!(stream.list(None).unwrap().iter().any(|line| line.ends_with("up.bin")));
            assert!(stream.nlst(None).unwrap().iter().any(|line| line.ends_with("up.bin")));
            assert_eq!(stream.size("up.bin").unwrap(), 5 << 20);
        }
        stream.resume_transfer((5 << 20) - 100).unwrap();
        let tail = stream.retr_as_buffer("up.bin").unwrap().into_inner();
        assert!(tail == content(5 << 20)[(5 << 20) - 100..]);
        stream.rename("up.bin", "renamed.bin").unwrap();
        stream.rm("renamed.bin").unwrap();
        assert!(!server.path("renamed.bin").exists());
        stream.quit().unwrap();
    }};
}

#[test]
fn suppaftp_works_with_explicit_tls() {
    let (server, gateway) = start();
    for version in TlsVersion::ALL {
        exercise!(&server, explicit(&gateway, version));
    }
}

#[test]
fn suppaftp_works_with_implicit_tls() {
    let (server, gateway) = start();
    let address = gateway.address("implicit");
    for version in TlsVersion::ALL {
        let connector = connector(&gateway, version);
        let stream = RustlsFtpStream::connect_secure_implicit(address, connector, "localhost").unwrap();
        exercise!(&server, stream);
    }
}

#[test]
fn suppaftp_works_without_tls() {
    let (server, gateway) = start();
    exercise!(&server, FtpStream::connect(gateway.address("plain")).unwrap());
}

#[test]
fn suppaftp_aborts_a_download_and_goes_on() {
    let (server, gateway) = start();
    server.put("large", &vec![7; 64 << 20]);
    let mut stream = explicit(&gateway, TlsVersion::Tls13);
    stream.login("anna", CANARY).unwrap();
    let mut transfer = stream.retr_as_stream("large").unwrap();
    transfer.read_exact(&mut [0; 1000]).unwrap();
    stream.abort(transfer).unwrap();
    stream.noop().unwrap();
    server.put("small", b"small");
    assert_eq!(stream.retr_as_buffer("small").unwrap().into_inner(), b"small");
}

#[test]
fn suppaftp_runs_three_hundred_small_files_each_way_in_one_session() {
    let (server, gateway) = start();
    let mut stream = explicit(&gateway, TlsVersion::Tls13);
    stream.login("anna", CANARY).unwrap();
    stream.transfer_type(FileType::Binary).unwrap();
    for number in 0..300 {
        let (name, sent) = (format!("{number}.txt"), content(number));
        stream.put_file(&name, &mut Cursor::new(&sent)).unwrap();
        assert!(server.content(&name) == sent, "{name} differs");
        assert!(stream.retr_as_buffer(&name).unwrap().into_inner() == sent, "{name} differs on its way back");
    }
}
