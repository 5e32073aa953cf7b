//! Servers that are not to be had on a Debian system, each with its own manners: IBM z/OS, IBM i, Microsoft IIS, FileZilla
//! Server, and servers that confirm before they have sent.

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::client::{DataMode, TlsVersion};
use ftpsgate_tests::gateway::GatewayOptions;
use ftpsgate_tests::scene::{Scene, content};
use ftpsgate_tests::scripted::{Flow, Script, ScriptTls};

/// How the gateway talks to the server.
#[derive(Debug, Clone, Copy)]
enum Legs {
    Plain,
    Active,
    Secured(TlsVersion),
}

const ALL_LEGS: [Legs; 4] =
    [Legs::Plain, Legs::Active, Legs::Secured(TlsVersion::Tls12), Legs::Secured(TlsVersion::Tls13)];

fn start(script: Script, legs: Legs, authority: &Authority) -> Scene {
    let script = script.file("old", b"0123456789");
    match legs {
        Legs::Plain => Scene::start(script),
        Legs::Active => Scene::start_with(script, |options: GatewayOptions| {
            options.backend_keys("data = \"active\"\nactive_ports = \"auto:4\"")
        }),
        Legs::Secured(version) => {
            let tls = ScriptTls::explicit(authority).version(version).demanding_reuse().tickets(2, 1, 1);
            Scene::start_secured(script, tls, authority, "tls_max_version = \"1.3\"")
        }
    }
}

/// LIST, RETR, STOR and REST in one session, in both modes of the client; `sent` and `stored` are the final codes.
fn transfers(scene: &Scene, sent: u16, stored: u16, cell: &str) {
    let mut client = scene.client();
    client.expect("SYST", 215);
    client.expect("PWD", 257);
    client.expect("TYPE I", 200);
    for mode in [DataMode::Epsv, DataMode::Eprt, DataMode::Pasv] {
        let large = content(300_001);
        let mut data = client.begin_transfer_by(mode, "STOR new");
        data.write(&large);
        data.finish();
        client.expect_reply(stored);

        let mut data = client.begin_transfer_by(mode, "RETR new");
        let (content, end) = data.read_to_end();
        assert!(content == large && end == client.clean_end(), "{cell} {mode:?}: RETR");
        client.expect_reply(sent);

        client.expect("REST 6", 350);
        let mut data = client.begin_transfer_by(mode, "RETR old");
        assert_eq!(data.read_to_end(), (b"6789".to_vec(), client.clean_end()), "{cell} {mode:?}: REST");
        client.expect_reply(sent);

        let mut data = client.begin_transfer_by(mode, "LIST");
        let list = String::from_utf8(data.read_to_end().0).expect("names of ASCII letters");
        assert!(list.contains("new") && list.contains("old"), "{cell} {mode:?}: {list}");
        client.expect_reply(sent);

        client.expect("DELE new", 250);
        client.expect("RETR new", 425);
        let _unused = client.open_data();
        client.expect("RETR new", 550);
    }
    client.expect("QUIT", 221);
    client.expect_end();
}

#[test]
fn zos_says_125_and_250_in_many_lines() {
    let authority = Authority::new();
    for legs in ALL_LEGS {
        transfers(&start(Script::zos(), legs, &authority), 250, 250, &format!("{legs:?}"));
    }
}

#[test]
fn as400_puts_exclamation_marks_into_its_229() {
    let authority = Authority::new();
    for legs in ALL_LEGS {
        transfers(&start(Script::as400(), legs, &authority), 250, 250, &format!("{legs:?}"));
    }
}

#[test]
fn iis_never_answers_the_close_notify_of_an_upload() {
    let authority = Authority::new();
    for legs in ALL_LEGS {
        transfers(&start(Script::iis(), legs, &authority), 226, 226, &format!("{legs:?}"));
    }
}

#[test]
fn filezilla_server_demands_resumption_and_close_notify() {
    let authority = Authority::new();
    for version in TlsVersion::ALL {
        let scene = start(Script::filezilla_server(), Legs::Secured(version), &authority);
        transfers(&scene, 226, 226, &format!("{version:?}"));
        // What its FEAT says of PASV is its own affair: the gateway has it.
        let mut client = scene.client();
        let features = client.expect("FEAT", 211);
        assert!(features.has_line("EPSV") && features.has_line("AUTH TLS"), "{features}");
        client.pasv();
    }
}

#[test]
fn a_226_before_the_end_of_a_download_is_held() {
    let authority = Authority::new();
    for legs in ALL_LEGS {
        let script = Script::new().early().file("large", &content(3_000_000));
        let scene = start(script, legs, &authority);
        let mut client = scene.client();
        for mode in [DataMode::Epsv, DataMode::Eprt] {
            assert!(client.download_by(mode, "RETR large") == content(3_000_000), "{legs:?} {mode:?}");
            assert_eq!(client.download_by(mode, "NLST"), b"large\r\nold\r\n", "{legs:?} {mode:?}");
        }
    }
}

#[test]
fn a_226_before_the_last_byte_was_even_sent_is_held() {
    let authority = Authority::new();
    for legs in ALL_LEGS {
        let script = Script::new().on("RETR", |session, _| {
            let mut data = session.start_transfer()?;
            data.send(b"begin")?;
            session.reply("226 Sent")?;
            data.send(&content(1_000_000))?;
            data.finish();
            Ok(Flow::Continue)
        });
        let scene = start(script, legs, &authority);
        let mut client = scene.client();
        let whole = [b"begin".as_slice(), &content(1_000_000)].concat();
        assert!(client.download("RETR large") == whole, "{legs:?}");
        client.expect("NOOP", 200);
    }
}

#[test]
fn a_server_that_repeats_its_1yz_is_understood() {
    let script = Script::new().file("old", b"0123456789").on("RETR", |session, argument| {
        session.reply("125-One\r\n moment\r\n125 please")?;
        session.behave("RETR", argument)
    });
    let scene = Scene::start(script);
    let mut client = scene.client();
    let mut data = client.begin_transfer_by(DataMode::Epsv, "RETR old");
    assert_eq!(data.read_to_end().0, b"0123456789");
    assert_eq!(client.final_reply().code, 226);
    client.expect("NOOP", 200);
}
