//! The harness against itself: the raw client before libunftp and before the scripted server, without a gateway.

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::client::{Client, DataMode, End, TlsSetup, TlsVersion};
use ftpsgate_tests::libunftp::LibunftpServer;
use ftpsgate_tests::scripted::{Flow, Script, ScriptTls, ScriptedServer};

/// One session with libunftp.
fn before_libunftp(server: &LibunftpServer) -> Client {
    let mut client = Client::connect(server.address());
    client.greeting();
    client.log_in();
    client.expect("TYPE I", 200);
    client
}

/// One session with a scripted server.
fn before(server: &ScriptedServer) -> Client {
    let mut client = Client::connect(server.address());
    client.greeting();
    client.log_in();
    client
}

#[test]
fn libunftp_stores_and_sends() {
    let server = LibunftpServer::start();
    let mut client = before_libunftp(&server);
    client.upload("STOR up", b"content");
    assert_eq!(server.content("up"), b"content");
    server.put("down", b"more content");
    assert_eq!(client.download("RETR down"), b"more content");
    client.expect("QUIT", 221);
    client.expect_end();
}

#[test]
fn the_scripted_server_behaves_by_default() {
    let server = ScriptedServer::start(Script::new().file("old", b"0123456789"));
    let mut client = before(&server);
    client.transcript(
        "> SYST
         < 215
         > FEAT
         < 211-Features
         > NONSENSE
         < 500
         > RETR old
         < 425
         > REST 4
         < 350",
    );
    assert_eq!(client.download("RETR old"), b"456789");
    client.upload("STOR new", b"abc");
    client.upload("APPE new", b"def");
    assert_eq!(client.download("RETR new"), b"abcdef");
    assert_eq!(client.download("NLST"), b"new\r\nold\r\n");
    client.transcript(
        "> RNFR new
         < 350
         > RNTO newer
         < 250
         > SIZE newer
         < 213 6
         > DELE newer
         < 250
         > QUIT
         < 221
         < (end)",
    );
    let upload = server.record().wait_upload();
    assert_eq!(
        (upload.name.as_slice(), upload.content.as_slice(), upload.end),
        (&b"new"[..], &b"abc"[..], End::Fin)
    );
    server.record().wait_disconnected(1);
    assert_eq!(server.record().sessions(), 1);
}

#[test]
fn the_scripted_server_tells_a_reset_upload_from_a_finished_one() {
    let server = ScriptedServer::start(Script::new());
    let mut client = before(&server);
    let mut data = client.begin_transfer("STOR half");
    data.write(b"half");
    data.reset();
    client.expect_reply(426);
    assert_eq!(server.record().wait_upload().end, End::Reset);
    client.expect("SIZE half", 550);
}

#[test]
fn the_scripted_server_aborts_in_both_directions() {
    let server = ScriptedServer::start(Script::new().file("large", &vec![7; 8 << 20]));
    let mut client = before(&server);
    for command in ["RETR large", "STOR half"] {
        let mut data = client.begin_transfer(command);
        client.transcript("> ABOR\n< 426\n< 226");
        assert_eq!(data.read_to_end().1, End::Reset, "{command}");
    }
    client.expect("NOOP", 200);
}

#[test]
fn one_step_of_a_script_can_lie() {
    let script = Script::new().answer("NOOP", b"200 Fine\r\n200 Again\r\n").on("SYST", |session, _| {
        session.reply("215 Goodbye")?;
        Ok(Flow::Reset)
    });
    let server = ScriptedServer::start(script);
    let mut client = before(&server);
    client.transcript("> NOOP\n< 200 Fine\n< 200 Again\n> SYST\n< 215\n< (end)");
}

/// One session under TLS with a scripted server.
fn before_tls(server: &ScriptedServer, authority: &Authority, version: TlsVersion) -> Client {
    let tls = TlsSetup::trusting(authority.root_pem(), version);
    let mut client = Client::secured_at(server.address(), tls);
    client.log_in();
    client
}

#[test]
fn the_scripted_server_transfers_in_every_mode_with_and_without_tls() {
    let authority = Authority::new();
    for host in ["127.0.0.1", "::1"] {
        let script = Script::new().tls(ScriptTls::explicit(&authority).demanding_reuse());
        let server = ScriptedServer::start_at(host.parse().unwrap(), script);
        let mut client = before_tls(&server, &authority, TlsVersion::Tls12);
        for protects in [true, false] {
            match protects {
                true => client.protect(),
                false => client.unprotect(),
            }
            for &mode in DataMode::all_of(server.address()) {
                client.upload_by(mode, "STOR file", b"content");
                assert_eq!(client.download_by(mode, "RETR file"), b"content", "{host} {mode:?} {protects}");
            }
        }
        assert!(server.record().resumptions().iter().all(|&resumed| resumed));
    }
}

#[test]
fn the_scripted_server_counts_its_tickets() {
    let authority = Authority::new();
    let tls = ScriptTls::explicit(&authority).version(TlsVersion::Tls13).demanding_reuse().tickets(2, 0, 0);
    let server = ScriptedServer::start(Script::new().tls(tls).file("file", b"content"));
    let mut client = before_tls(&server, &authority, TlsVersion::Tls13);
    assert_eq!(client.download("RETR file"), b"content");
    client.upload("STOR file", b"other");
    let data = client.begin_transfer("RETR file");
    client.expect_reply(522);
    drop(data);
    client.expect("NOOP", 200);
    assert_eq!(server.record().resumptions(), [true, true, false]);
}

#[test]
fn the_scripted_server_refuses_uploads_that_end_without_close_notify() {
    let authority = Authority::new();
    let server = ScriptedServer::start(Script::filezilla_server().tls(ScriptTls::implicit(&authority)));
    let tls = TlsSetup::trusting(authority.root_pem(), TlsVersion::Tls12);
    let mut client = Client::connect_implicit(server.address(), tls);
    client.greeting();
    client.log_in();
    client.expect("PBSZ 0", 200);
    client.expect("PROT C", 534);
    client.protect();
    let mut data = client.begin_transfer("STOR half");
    data.write(b"half");
    data.cut();
    client.expect_reply(426);
    assert_eq!(server.record().wait_upload().end, End::Fin);
}

#[test]
fn a_scripted_server_can_die_and_live_again_and_freeze_and_thaw() {
    let mut server = ScriptedServer::start(Script::zos());
    let mut client = before(&server);
    server.freeze();
    client.send("NOOP");
    assert!(client.is_silent_for(std::time::Duration::from_millis(100)));
    server.thaw();
    client.expect_reply(200);
    server.stop();
    client.expect_end();
    assert!(std::net::TcpStream::connect(server.address()).is_err());
    server.resume();
    let mut client = before(&server);
    client.upload_by(DataMode::Eprt, "STOR file", b"content");
    assert_eq!(client.download_by(DataMode::Port, "RETR file"), b"content");
}
