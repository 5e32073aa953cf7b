//! Every way in which a client may have its data connection, with every way in which a backend has its own.

use super::harness::{LOGIN, Scene, Wire, secure_login};
use crate::codec::Protection;
use crate::session::{Mode, RequireTls, UpstreamData};

/// One side of a data connection, as both wires show it.
#[derive(Debug, Clone, Copy)]
struct ClientWay {
    address: &'static str,
    /// Up to where the backend may be asked.
    asks: &'static str,
    /// What is left to say to the client.
    is_told: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct BackendWay {
    server: &'static str,
    data: UpstreamData,
    /// Right behind the client's command.
    is_asked: &'static str,
    /// And what comes of it.
    answers: &'static str,
    /// Between the client's transfer command and the same to the backend.
    is_told: &'static str,
}

const CLIENTS: [ClientWay; 6] = [
    ClientWay {
        address: "192.0.2.7",
        asks: "C> PASV\n* lease",
        is_told: "lease ok 203.0.113.1:61000\nC< 227 Entering Passive Mode (203,0,113,1,238,72).",
    },
    ClientWay {
        address: "192.0.2.7",
        asks: "C> EPSV\n* lease",
        is_told: "lease ok 203.0.113.1:61000\nC< 229 Entering Extended Passive Mode (|||61000|)",
    },
    ClientWay {
        address: "2001:db8::7",
        asks: "C> EPSV 2\n* lease",
        is_told: "lease ok [2001:db8::1]:61000\nC< 229 Entering Extended Passive Mode (|||61000|)",
    },
    ClientWay {
        address: "192.0.2.7",
        asks: "C> PORT 192,0,2,7,200,1\n* client at 192.0.2.7:51201\nC< 200 PORT command successful.",
        is_told: "",
    },
    ClientWay {
        address: "192.0.2.7",
        asks: "C> EPRT |1|192.0.2.7|51201|\n* client at 192.0.2.7:51201\nC< 200 EPRT command successful.",
        is_told: "",
    },
    ClientWay {
        address: "2001:db8::7",
        asks: "C> EPRT |2|2001:db8::7|51201|\n* client at [2001:db8::7]:51201\nC< 200 EPRT command successful.",
        is_told: "",
    },
];

const BACKENDS: [BackendWay; 6] = [
    BackendWay {
        server: "198.51.100.3:21",
        data: UpstreamData::Passive,
        is_asked: "B> EPSV",
        answers: "B< 229 ok (|||2000|)\n* dial 2000\ndial ok",
        is_told: "",
    },
    BackendWay {
        server: "[2001:db8::3]:21",
        data: UpstreamData::Passive,
        is_asked: "B> EPSV",
        answers: "B< 229 ok (|||2000|)\n* dial 2000\ndial ok",
        is_told: "",
    },
    BackendWay {
        server: "198.51.100.3:21",
        data: UpstreamData::Passive,
        is_asked: "B> EPSV",
        answers: "B< 500 EPSV?\nB> PASV\nB< 227 ok (10,0,0,1,7,208)\n* dial 2000\ndial ok",
        is_told: "",
    },
    BackendWay {
        server: "198.51.100.3:21",
        data: UpstreamData::Active,
        is_asked: "",
        answers: "",
        is_told: "
            * lease upstream
            lease upstream 198.51.100.9:62000
            B> PORT 198,51,100,9,242,48
            B< 200 ok",
    },
    BackendWay {
        server: "198.51.100.3:21",
        data: UpstreamData::Active,
        is_asked: "",
        answers: "",
        is_told: "
            * lease upstream
            lease upstream 198.51.100.9:62000
            B> PORT 198,51,100,9,242,48
            B< 502 PORT?
            B> EPRT |1|198.51.100.9|62000|
            B< 200 ok",
    },
    BackendWay {
        server: "[2001:db8::3]:21",
        data: UpstreamData::Active,
        is_asked: "",
        answers: "",
        is_told: "
            * lease upstream
            lease upstream [2001:db8::9]:62000
            B> EPRT |2|2001:db8::9|62000|
            B< 200 ok",
    },
];

const PROTECTIONS: [Protection; 2] = [Protection::Clear, Protection::Private];

fn log_in(client: ClientWay, downstream: Protection, backend: BackendWay, upstream: Protection) -> Wire {
    let mut scene = match downstream {
        Protection::Clear => Scene::plain(),
        Protection::Private => Scene::explicit().mode(Mode::Implicit, RequireTls::Data),
    };
    scene = scene.active().from(client.address);
    scene.upstream().data = backend.data;
    let login = match upstream {
        Protection::Clear => LOGIN.to_owned(),
        Protection::Private => secure_login(),
    };
    if upstream == Protection::Private {
        scene = scene.secure_backend();
    }
    let mut wire = scene.begin();
    match downstream {
        Protection::Clear => wire.play("C< 220 ready"),
        Protection::Private => wire.play("* handshake\ntls ok\nC< 220 ready"),
    }
    wire.play(&login.replace("B connected", &format!("B connected {}", backend.server)));
    wire
}

fn set_up(wire: &mut Wire, client: ClientWay, backend: BackendWay) {
    wire.play(&[client.asks, backend.is_asked, client.is_told, backend.answers].join("\n"));
}

fn relay(direction: &str, downstream: Protection, upstream: Protection) -> String {
    let downstream = match downstream {
        Protection::Clear => "clear",
        Protection::Private => "private",
    };
    let upstream = match upstream {
        Protection::Clear => "",
        Protection::Private => ", upstream private",
    };
    format!("* relay {direction} {downstream}{upstream}")
}

/// Every pair of ways, with every pair of protections.
fn every_pair(mut then: impl FnMut(ClientWay, BackendWay, Protection, Protection)) {
    let mut pairs = 0;
    for client in CLIENTS {
        for backend in BACKENDS {
            for downstream in PROTECTIONS {
                for upstream in PROTECTIONS {
                    then(client, backend, downstream, upstream);
                    pairs += 1;
                }
            }
        }
    }
    assert_eq!(pairs, 144);
}

#[test]
fn a_download_and_an_upload_in_every_pair_of_modes() {
    every_pair(|client, backend, downstream, upstream| {
        let mut wire = log_in(client, downstream, backend, upstream);
        set_up(&mut wire, client, backend);
        wire.play(&begin("RETR a", backend, &relay("download", downstream, upstream)));
        wire.play("relay complete 7\nB< 226 x\n* finish download\ndownload ended\nC< 226 x");
        // The other direction in a fresh session: a backend may be remembered to lack EPSV.
        let mut wire = log_in(client, downstream, backend, upstream);
        set_up(&mut wire, client, backend);
        wire.play(&begin("STOR a", backend, &relay("upload", downstream, upstream)));
        wire.play("progress 7 ended\nrelay complete 7\nB< 226 x\nC< 226 x\nC> PWD\nB> PWD");
    });
}

#[test]
fn a_transfer_that_fails_in_every_pair_of_modes() {
    for (end, backend_says, answer) in [
        ("not-connected", "B>! ABOR\nB< 426 x\nB< 226 x", "425"),
        ("tls-failed", "B>! ABOR\nB< 426 x\nB< 226 x", "522"),
        ("client-failed", "B>! ABOR\nB< 426 x\nB< 226 x", "426"),
        ("backend-failed", "", "451"),
        ("backend-tls-failed", "", "451"),
    ] {
        every_pair(|client, backend, downstream, upstream| {
            let mut wire = log_in(client, downstream, backend, upstream);
            set_up(&mut wire, client, backend);
            wire.play(&begin("RETR a", backend, &relay("download", downstream, upstream)));
            if backend_says.is_empty() {
                wire.play(&format!("relay {end} 0\nB< 451 disk\nC< {answer} …"));
            } else {
                wire.play(&format!("relay {end} 0\nC< {answer} …\n{backend_says}"));
            }
            wire.play("C> PWD\nB> PWD");
        });
    }
}

/// From the transfer command to its relay.
fn begin(command: &str, backend: BackendWay, relay: &str) -> String {
    let (asked, sent) = (format!("C> {command}"), format!("B> {command}"));
    [&asked, backend.is_told, &sent, "B< 150 x", "C< 150 x", relay].join("\n")
}
