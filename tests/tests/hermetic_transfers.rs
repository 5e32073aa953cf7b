//! The raw client through the gateway to libunftp: what has to work, in every mode and TLS version.

use ftpsgate_tests::client::{Client, DataConnection, TlsSetup, TlsVersion};
use ftpsgate_tests::gateway::{Gateway, GatewayOptions, ListenerOptions};
use ftpsgate_tests::libunftp::LibunftpServer;
use ftpsgate_tests::scene::content;

const SIZES: [usize; 4] = [0, 1, 1 << 20, 5 << 20];

fn start() -> (LibunftpServer, Gateway) {
    start_with(|options| options)
}

fn start_with(alter: impl FnOnce(GatewayOptions) -> GatewayOptions) -> (LibunftpServer, Gateway) {
    let server = LibunftpServer::start();
    let gateway = Gateway::start(alter(GatewayOptions::all_modes(server.address())));
    (server, gateway)
}

fn logged_in(gateway: &Gateway, version: TlsVersion) -> Client {
    let mut client = Client::logged_in(gateway, TlsSetup::new(gateway, version));
    client.expect("TYPE I", 200);
    client
}

/// Uploads and downloads of every size, and listings.
fn exercise(server: &LibunftpServer, client: &mut Client) {
    client.expect("TYPE I", 200);
    for size in SIZES {
        let sent = content(size);
        client.upload("STOR up.bin", &sent);
        assert!(server.content("up.bin") == sent, "an upload of {size} bytes differs");
        server.put("down.bin", &sent);
        assert!(client.download("RETR down.bin") == sent, "a download of {size} bytes differs");
    }
    for verb in ["LIST", "NLST", "MLSD"] {
        let listing = client.download(verb);
        let listed = |name: &[u8]| listing.windows(name.len()).any(|window| window == name);
        assert!(listed(b"up.bin") && listed(b"down.bin"), "{verb}: {}", listing.escape_ascii());
    }
    client.transcript("> QUIT\n< 221\n< (end)");
}

#[test]
fn files_cross_the_explicit_listener() {
    let (server, gateway) = start();
    for version in TlsVersion::ALL {
        exercise(&server, &mut logged_in(&gateway, version));
    }
}

#[test]
fn files_cross_the_implicit_listener() {
    let (server, gateway) = start();
    for version in TlsVersion::ALL {
        let tls = TlsSetup::new(&gateway, version);
        let mut client = Client::connect_implicit(gateway.address("implicit"), tls);
        client.greeting();
        client.log_in();
        exercise(&server, &mut client);
    }
}

#[test]
fn files_cross_the_plain_listener() {
    let (server, gateway) = start();
    exercise(&server, &mut Client::logged_in_plain(&gateway));
}

#[test]
fn an_ipv6_client_reaches_an_ipv4_backend() {
    let server = LibunftpServer::start();
    let listener = ListenerOptions::explicit("explicit").bind("[::1]:0");
    let gateway = Gateway::start(GatewayOptions::new(server.address()).listener(listener));
    exercise(&server, &mut logged_in(&gateway, TlsVersion::Tls13));
}

#[test]
fn downloads_resume() {
    let (server, gateway) = start();
    let whole = content(100_000);
    server.put("file", &whole);
    let mut client = logged_in(&gateway, TlsVersion::Tls13);
    client.expect("REST 60000", 350);
    assert!(client.download("RETR file") == whole[60_000..]);
    assert!(client.download("RETR file") == whole, "REST holds for one transfer only");
}

#[test]
fn uploads_resume() {
    let (server, gateway) = start();
    let whole = content(100_000);
    let mut client = logged_in(&gateway, TlsVersion::Tls13);
    client.upload("STOR file", &whole[..60_000]);
    client.expect("REST 60000", 350);
    client.upload("STOR file", &whole[60_000..]);
    assert!(server.content("file") == whole);
}

#[test]
fn appended_bytes_follow_what_was_there() {
    let (server, gateway) = start();
    let mut client = logged_in(&gateway, TlsVersion::Tls13);
    client.upload("STOR file", b"one ");
    client.upload("APPE file", b"two");
    assert_eq!(server.content("file"), b"one two");
}

#[test]
fn a_session_survives_many_transfers() {
    let (server, gateway) = start();
    for version in TlsVersion::ALL {
        let mut client = logged_in(&gateway, version);
        for number in 0..60 {
            let sent = content(1000 + number);
            client.upload(&format!("STOR {number}"), &sent);
            assert!(client.download(&format!("RETR {number}")) == sent, "file {number} differs");
        }
        assert!(server.path("59").exists());
    }
}

#[test]
fn every_data_connection_goes_to_one_of_the_ten_ports() {
    let (_server, gateway) = start();
    let mut client = logged_in(&gateway, TlsVersion::Tls13);
    let ports = gateway.data_ports();
    assert!(ports.len() >= 10, "{ports:?}");
    let mut last = 0;
    for _ in 0..12 {
        let by_epsv = client.epsv();
        assert!(ports.contains(&by_epsv.port()));
        assert_ne!(by_epsv.port(), last, "a port just used is drawn last");
        last = by_epsv.port();
        let data = DataConnection::connect(by_epsv);
        client.expect("NLST", 150);
        client.secure(data).read_to_end();
        client.expect_reply(226);
    }
    for _ in 0..2 {
        let by_pasv = client.pasv();
        assert!(ports.contains(&by_pasv.port()));
        assert_eq!(by_pasv.ip(), gateway.address("explicit").ip(), "the address that the client dialled");
    }
}

#[test]
fn ports_that_nobody_used_rest_and_then_there_is_none() {
    let (_server, gateway) = start();
    let mut client = logged_in(&gateway, TlsVersion::Tls13);
    let mut drawn: Vec<u16> = (0..10).map(|_| client.epsv().port()).collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 10, "each is drawn once");
    client.expect("EPSV", 425);
    client.expect("NOOP", 200);
}

#[test]
fn two_sessions_of_one_address_transfer_at_once() {
    let (server, gateway) = start();
    server.put("a", b"content of a");
    server.put("b", b"content of b");
    let mut first = logged_in(&gateway, TlsVersion::Tls13);
    let mut second = logged_in(&gateway, TlsVersion::Tls12);
    let mut data_a = first.begin_transfer("RETR a");
    let mut data_b = second.begin_transfer("RETR b");
    assert_eq!(data_b.read_to_end().0, b"content of b");
    assert_eq!(data_a.read_to_end().0, b"content of a");
    first.expect_reply(226);
    second.expect_reply(226);
}

#[test]
fn every_data_connection_resumes_the_control_session() {
    let (_server, gateway) = start();
    for version in TlsVersion::ALL {
        let mut client = logged_in(&gateway, version);
        for command in ["STOR a", "STOR b", "STOR c"] {
            let data = client.begin_transfer(command);
            assert!(data.is_resumed(), "{version:?} {command}");
            data.finish();
            client.expect_reply(226);
        }
        for command in ["RETR a", "NLST"] {
            let mut data = client.begin_transfer(command);
            assert!(data.is_resumed(), "{version:?} {command}");
            data.read_to_end();
            client.expect_reply(226);
        }
    }
}

#[test]
fn data_resumption_off_gives_no_tickets() {
    let (_server, gateway) = start_with(|options| options.tls_keys(r#"data_resumption = "off""#));
    for version in TlsVersion::ALL {
        let mut client = logged_in(&gateway, version);
        let mut data = client.begin_transfer("NLST");
        assert!(!data.is_resumed(), "{version:?}");
        data.read_to_end();
        client.expect_reply(226);
    }
}

#[test]
fn data_resumption_require_refuses_a_stranger_and_keeps_the_session() {
    let (server, gateway) = start_with(|options| options.tls_keys(r#"data_resumption = "require""#));
    server.put("file", b"secret");
    for version in TlsVersion::ALL {
        let mut client = logged_in(&gateway, version);
        let mut data = client.open_data();
        client.expect("RETR file", 150);
        // On TLS 1.3 the client's handshake is over before the server has judged it.
        let mut received = Vec::new();
        if data.start_tls(&client.tls().forgetful()).is_ok() {
            received = data.read_to_end().0;
        }
        assert!(received.is_empty(), "{version:?}: {}", received.escape_ascii());
        client.expect_reply(522);
        assert_eq!(client.download("RETR file"), b"secret", "{version:?}: the session goes on");
    }
}

#[test]
fn a_session_of_another_client_does_not_count_as_resumed() {
    let (_server, gateway) = start();
    for version in TlsVersion::ALL {
        let other = logged_in(&gateway, version);
        let mut client = logged_in(&gateway, version);
        let mut data = client.open_data();
        client.expect("NLST", 150);
        data.start_tls(other.tls()).expect("a full handshake is allowed under `prefer`");
        assert!(!data.is_resumed(), "{version:?}");
        data.read_to_end();
        client.expect_reply(226);
    }
}

#[test]
fn a_clear_data_connection_works_where_it_is_allowed() {
    let (server, gateway) = start_with(|options| {
        options.listener(ListenerOptions::explicit("login").keys(r#"require_tls = "login""#))
    });
    server.put("file", b"public");
    let mut client = Client::connect(gateway.address("login"));
    client.greeting();
    client.auth_tls(TlsSetup::new(&gateway, TlsVersion::Tls13));
    client.log_in();
    assert_eq!(client.download("RETR file"), b"public");
    client.expect("PBSZ 0", 200);
    client.protect();
    assert_eq!(client.download("RETR file"), b"public");
}

#[test]
fn folders_are_made_entered_renamed_and_removed() {
    let (server, gateway) = start();
    let mut client = logged_in(&gateway, TlsVersion::Tls13);
    client.transcript(
        "> MKD made
         < 257
         > CWD made
         < 250
         > PWD
         < 257
         > CDUP
         < 2
         > RNFR made
         < 350
         > RNTO renamed
         < 250",
    );
    assert!(server.path("renamed").is_dir());
    client.expect("RMD renamed", 250);
    assert!(!server.path("renamed").exists());
    server.put("file", b"x");
    client.transcript("> SIZE file\n< 213 1\n> DELE file\n< 250");
    assert!(!server.path("file").exists());
}

#[test]
fn names_keep_their_blanks_and_bytes() {
    let (server, gateway) = start();
    let mut client = logged_in(&gateway, TlsVersion::Tls13);
    for name in [" leading", "in the middle", "trailing ", "Grüße", "a[1].pdf", "~$doc.docx"] {
        client.upload(&format!("STOR {name}"), name.as_bytes());
        assert_eq!(server.content(name), name.as_bytes(), "{name:?}");
    }
}
