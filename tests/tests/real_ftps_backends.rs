//! Real clients through the gateway to real servers that speak TLS themselves, and demand that data connections resume
//! their session. `direct` goes without the gateway: what fails there is not its fault.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ftpsgate_tests::client::{Client, DataMode, TlsSetup};
use ftpsgate_tests::gateway::CANARY;
use ftpsgate_tests::peers::clients::TlsVersion::{self, Tls12, Tls13};
use ftpsgate_tests::peers::clients::{ClientKind, How, Listing, Protection, Step};
use ftpsgate_tests::peers::prepare;
use ftpsgate_tests::peers::samples::{assert_same, write_noise};
use ftpsgate_tests::peers::scene::Scene;
use ftpsgate_tests::peers::servers::{Server, ServerKind, ServerTls, USER};

/// One server behind the gateway, as strict as it can be, and the version of TLS that the gateway speaks to it.
macro_rules! cells {
    ($($name:ident: $Server:ident $Tls:ident $version:ident;)+) => {
        $(#[test]
        fn $name() {
            every_client_moves_files(ServerKind::$Server, ServerTls::$Tls, $version);
        })+
    };
}

cells! {
    vsftpd_plain: Vsftpd Off Tls12;
    vsftpd_explicit_tls12: Vsftpd Explicit Tls12;
    vsftpd_explicit_tls13: Vsftpd Explicit Tls13;
    vsftpd_implicit_tls12: Vsftpd Implicit Tls12;
    vsftpd_implicit_tls13: Vsftpd Implicit Tls13;
    proftpd_plain: ProFtpd Off Tls12;
    proftpd_explicit_tls12: ProFtpd Explicit Tls12;
    proftpd_explicit_tls13: ProFtpd Explicit Tls13;
    proftpd_implicit_tls12: ProFtpd Implicit Tls12;
    proftpd_implicit_tls13: ProFtpd Implicit Tls13;
    pure_ftpd_plain: PureFtpd Off Tls12;
    pure_ftpd_explicit_tls12: PureFtpd Explicit Tls12;
    pure_ftpd_explicit_tls13: PureFtpd Explicit Tls13;
}

/// The first client takes TLS 1.3, the next one 1.2: what the client speaks has nothing to do with the server.
fn every_client_moves_files(kind: ServerKind, tls: ServerTls, version: TlsVersion) {
    if ![ClientKind::Curl, ClientKind::Lftp, ClientKind::Ftplib].iter().all(|&client| prepare(kind, client)) {
        return;
    }
    let server = Server::shared_with(kind, tls, CANARY);
    for client_version in [Tls13, Tls12] {
        let protection = Protection::Explicit(client_version);
        let gateway = Scene::gateway(&server, protection, version);
        for client in [ClientKind::Curl, ClientKind::Lftp, ClientKind::Ftplib] {
            let scene = || Scene::before(client, Arc::clone(&server), Arc::clone(&gateway), protection);
            move_files(&scene());
            move_files(&scene().active());
        }
    }
}

/// Up, listed, down, twice in one session.
fn move_files(scene: &Scene) {
    let [sent, back, list] = ["sent.bin", "back.bin", "list"].map(|name| scene.local(name));
    write_noise(&sent, 300_001, 7);
    let mut steps = Vec::new();
    for name in ["one.bin", "two.bin"] {
        let remote = scene.remote(name);
        steps.push(Step::Put { how: How::Whole, local: sent.clone(), remote: remote.clone() });
        steps.push(Step::List { form: Listing::Long, folder: scene.remote_folder(), local: list.clone() });
        steps.push(Step::Get { how: How::Whole, remote, local: back.clone() });
    }
    scene.run(&steps);
    assert_same(&sent, &scene.stored("one.bin"));
    assert_same(&sent, &scene.stored("two.bin"));
    assert_same(&sent, &back);
    assert!(read(&list).contains("two.bin"), "the list shows what was uploaded");
}

/// With the default TLS 1.2 towards the server nothing ever runs out.
#[test]
fn sixty_mixed_transfers_in_one_session_resume_on_every_server() {
    for kind in [ServerKind::Vsftpd, ServerKind::ProFtpd, ServerKind::PureFtpd] {
        for &tls in kind.offers().iter().filter(|&&tls| tls != ServerTls::Off) {
            sixty_transfers(kind, tls, Tls12);
        }
    }
}

/// Under TLS 1.3 each ticket works once; the gateway logs in afresh where none is left.
#[test]
fn sixty_mixed_transfers_in_one_session_go_on_where_tickets_run_out() {
    for kind in [ServerKind::Vsftpd, ServerKind::ProFtpd, ServerKind::PureFtpd] {
        sixty_transfers(kind, ServerTls::Explicit, Tls13);
    }
}

fn sixty_transfers(kind: ServerKind, tls: ServerTls, version: TlsVersion) {
    if !prepare(kind, ClientKind::Curl) {
        return;
    }
    let server = Server::shared_with(kind, tls, CANARY);
    let gateway = Scene::gateway(&server, Protection::Explicit(Tls13), version);
    let folder = server.make_folder();
    let setup = TlsSetup::new(&gateway, ftpsgate_tests::client::TlsVersion::Tls13);
    let mut client = Client::secured_at(gateway.address("door"), setup);
    client.log_in_as(USER);
    client.expect("TYPE I", 200);
    client.expect(&format!("CWD {folder}"), 250);
    let mut names = BTreeSet::new();
    for number in 0..20_u8 {
        let name = format!("file-{number}");
        let content = vec![number; 1000 * usize::from(number)];
        let mode = [DataMode::Epsv, DataMode::Pasv][usize::from(number) % 2];
        client.upload_by(mode, &format!("STOR {name}"), &content);
        assert!(client.download_by(mode, &format!("RETR {name}")) == content, "{kind} {tls:?}: {name}");
        names.insert(name);
        let listed = String::from_utf8(client.download_by(mode, "NLST")).expect("names of ASCII letters");
        // Pure-FTPd lists the folder and the one above it, too.
        let files = listed.lines().filter(|name| !matches!(*name, "." | ".."));
        let listed: BTreeSet<String> = files.map(str::to_owned).collect();
        assert_eq!(listed, names, "{kind} {tls:?}");
    }
    client.expect("QUIT", 221);
}

mod direct {
    use super::*;

    /// The raw client itself, with TLS 1.2, on each server that speaks TLS.
    #[test]
    fn the_servers_demand_and_get_resumption() {
        for kind in [ServerKind::Vsftpd, ServerKind::ProFtpd, ServerKind::PureFtpd] {
            if !prepare(kind, ClientKind::Curl) {
                return;
            }
            for &tls in kind.offers().iter().filter(|&&tls| tls != ServerTls::Off) {
                let server = Server::shared_with(kind, tls, CANARY);
                let root = fs::read_to_string(server.ca_file()).expect("the server's folder is there");
                let setup = TlsSetup::trusting(&root, ftpsgate_tests::client::TlsVersion::Tls12);
                let mut client = match tls {
                    ServerTls::Implicit => {
                        let mut client = Client::connect_implicit(server.address(), setup);
                        client.greeting();
                        client.expect("PBSZ 0", 200);
                        client.protect();
                        client
                    }
                    ServerTls::Off | ServerTls::Explicit => Client::secured_at(server.address(), setup),
                };
                client.log_in_as(USER);
                let name = format!("/{}/file", server.make_folder());
                client.expect("TYPE I", 200);
                // Where the server connects before its 150, it is the passive client that must not wait for it.
                let data = client.open_data();
                client.expect(&format!("STOR {name}"), 150);
                let mut data = client.secure(data);
                assert!(data.is_resumed(), "{kind} {tls:?}");
                data.write(b"content");
                data.finish();
                client.expect_reply(226);
                assert_eq!(client.download(&format!("RETR {name}")), b"content", "{kind} {tls:?}");
                if kind != ServerKind::PureFtpd {
                    let mut data = client.open_data();
                    client.expect(&format!("RETR {name}"), 150);
                    let stranger = client.tls().forgetful();
                    // Some refuse within the handshake, and some behind it.
                    let _ = data.start_tls(&stranger);
                    drop(data);
                    assert!(client.reply().code >= 400, "{kind} {tls:?} demands resumption");
                }
            }
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
