//! Every real client through the gateway to every real server, explicit and implicit, under TLS 1.2 and 1.3. What
//! each pair does is in [`scenarios`]; the tests are named `client::server::mode_version`. lftp resumes the TLS session on
//! every data connection, ftplib on none.

use ftpsgate_tests::peers::clients::TlsVersion::{Tls12, Tls13};
use ftpsgate_tests::peers::clients::{ClientKind, Protection};
use ftpsgate_tests::peers::scene::Scene;
use ftpsgate_tests::peers::servers::ServerKind;
use ftpsgate_tests::peers::{prepare, scenarios};

macro_rules! matrix {
    ($($client:ident: $Client:ident;)+) => {
        $(mod $client {
            protections! { $Client, vsftpd: Vsftpd }
            protections! { $Client, proftpd: ProFtpd }
            protections! { $Client, pure_ftpd: PureFtpd }
        })+
    };
}

macro_rules! protections {
    ($Client:ident, $server:ident: $Server:ident) => {
        mod $server {
            use crate::*;

            #[test]
            fn explicit_tls12() {
                run(ClientKind::$Client, ServerKind::$Server, Protection::Explicit(Tls12));
            }

            #[test]
            fn explicit_tls13() {
                run(ClientKind::$Client, ServerKind::$Server, Protection::Explicit(Tls13));
            }

            #[test]
            fn implicit_tls12() {
                run(ClientKind::$Client, ServerKind::$Server, Protection::Implicit(Tls12));
            }

            #[test]
            fn implicit_tls13() {
                run(ClientKind::$Client, ServerKind::$Server, Protection::Implicit(Tls13));
            }
        }
    };
}

matrix! {
    curl: Curl;
    lftp: Lftp;
    ftplib: Ftplib;
}

fn run(client: ClientKind, server: ServerKind, protection: Protection) {
    if !prepare(server, client) {
        return;
    }
    let scene = Scene::through_gateway(client, server, protection, "");
    scenarios::all(&scene);
    match client {
        // How often it resumes is its own affair: it takes each ticket once.
        ClientKind::Curl => {}
        ClientKind::Lftp => scene.assert_resumed(true, TRANSFERS),
        ClientKind::Ftplib => scene.assert_resumed(false, TRANSFERS),
    }
}

/// At least so many are among the scenarios.
const TRANSFERS: usize = 600;
