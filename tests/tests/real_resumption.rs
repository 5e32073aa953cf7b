//! Whether data connections resume the TLS session of their control connection, as real clients do it: lftp
//! (GnuTLS) offers one ticket again and again, ftplib never offers any.

use std::fs;

use ftpsgate_tests::peers::clients::TlsVersion::{self, Tls12, Tls13};
use ftpsgate_tests::peers::clients::{ClientKind, How, Protection, Step};
use ftpsgate_tests::peers::prepare;
use ftpsgate_tests::peers::samples::assert_same;
use ftpsgate_tests::peers::scene::Scene;
use ftpsgate_tests::peers::servers::ServerKind;

#[test]
fn lftp_resumes_every_data_connection_tls12() {
    lftp_resumes(Tls12, "");
}

#[test]
fn lftp_resumes_every_data_connection_tls13() {
    lftp_resumes(Tls13, "");
}

#[test]
fn lftp_passes_where_resumption_is_required_tls12() {
    lftp_resumes(Tls12, REQUIRE);
}

#[test]
fn lftp_passes_where_resumption_is_required_tls13() {
    lftp_resumes(Tls13, REQUIRE);
}

#[test]
fn require_refuses_ftplib_with_522_and_keeps_its_session_tls12() {
    ftplib_is_refused(Tls12);
}

#[test]
fn require_refuses_ftplib_with_522_and_keeps_its_session_tls13() {
    ftplib_is_refused(Tls13);
}

/// 20 uploads and downloads in one session, many more than the tickets that a control connection is given.
fn lftp_resumes(version: TlsVersion, tls_keys: &str) {
    for server in SERVERS {
        if !prepare(server, ClientKind::Lftp) {
            return;
        }
        let scene = Scene::through_gateway(ClientKind::Lftp, server, Protection::Explicit(version), tls_keys);
        let (sent, back) = (scene.local("sent"), scene.local("back"));
        fs::write(&sent, b"a small file\n").expect("the scratch folder can be written");
        let mut steps = Vec::new();
        for number in 0..FILES {
            let remote = scene.remote(&number.to_string());
            steps.push(Step::Put { how: How::Whole, local: sent.clone(), remote: remote.clone() });
            steps.push(Step::Get { how: How::Whole, remote, local: back.clone() });
        }
        scene.run(&steps);
        assert_same(&sent, &back);

        scene.assert_resumed(true, 2 * FILES);
    }
}

fn ftplib_is_refused(version: TlsVersion) {
    for server in SERVERS {
        if !prepare(server, ClientKind::Ftplib) {
            return;
        }
        let protection = Protection::Explicit(version);
        let scene = Scene::through_gateway(ClientKind::Ftplib, server, protection, REQUIRE);
        fs::write(scene.stored("secret"), b"not for everyone\n").expect("root can write everywhere");
        scene.run(&[
            Step::Refused(scene.remote("secret"), 522),
            Step::MakeFolder(scene.remote("after")),
            Step::Refused(scene.remote("secret"), 522),
            Step::RemoveFolder(scene.remote("after")),
        ]);
    }
}

const SERVERS: [ServerKind; 3] = [ServerKind::Vsftpd, ServerKind::ProFtpd, ServerKind::PureFtpd];
const REQUIRE: &str = "data_resumption = \"require\"";
const FILES: usize = 10;
