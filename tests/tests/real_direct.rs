//! Real clients on real servers, in plain FTP, without the gateway: these prove the scenarios themselves. What
//! fails in `real_matrix` and not here is the gateway's fault.

use ftpsgate_tests::peers::clients::ClientKind;
use ftpsgate_tests::peers::scene::Scene;
use ftpsgate_tests::peers::servers::ServerKind;
use ftpsgate_tests::peers::{prepare, scenarios};

macro_rules! pairs {
    ($($client:ident: $Client:ident;)+) => {
        $(mod $client {
            use super::*;

            #[test]
            fn vsftpd() {
                run(ClientKind::$Client, ServerKind::Vsftpd);
            }

            #[test]
            fn proftpd() {
                run(ClientKind::$Client, ServerKind::ProFtpd);
            }

            #[test]
            fn pure_ftpd() {
                run(ClientKind::$Client, ServerKind::PureFtpd);
            }
        })+
    };
}

pairs! {
    curl: Curl;
    lftp: Lftp;
    ftplib: Ftplib;
}

fn run(client: ClientKind, server: ServerKind) {
    if prepare(server, client) {
        scenarios::all(&Scene::direct(client, server));
    }
}
