//! Backends that lie about, break or never end their data connections.

use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use ftpsgate_tests::client::{Client, End, Reply};
use ftpsgate_tests::scene::{Scene, content};
use ftpsgate_tests::scripted::{Flow, Script};

/// A gate that a script waits at until the test opens it.
fn gate() -> (Sender<()>, Mutex<Receiver<()>>) {
    let (open, wait) = mpsc::channel();
    (open, Mutex::new(wait))
}

fn pass(gate: &Mutex<Receiver<()>>) {
    // The test that opens the gate may have failed and gone.
    let _ = gate.lock().expect("one session at a time").recv();
}

fn codes(replies: &[Reply]) -> Vec<u16> {
    replies.iter().map(|reply| reply.code).collect()
}

/// Starts a download whose data connection may break before its handshake is through; insists that it does not end
/// cleanly.
fn broken_download(client: &mut Client) {
    let mut data = client.open_data();
    client.expect("RETR file", 150);
    if data.start_tls(client.tls()).is_ok() {
        assert_ne!(data.read_to_end().1, End::CloseNotify);
    }
}

/// Starts `RETR file`, takes what comes of it, and insists that it was no success.
fn failed_download(client: &mut Client) -> (Vec<u8>, Reply) {
    let data = client.open_data();
    client.send("RETR file");
    let first = client.reply();
    if first.code >= 200 {
        assert!(first.code >= 400, "{first}");
        return (Vec::new(), first);
    }
    let (received, end) = client.secure(data).read_to_end();
    assert_ne!(end, End::CloseNotify, "a broken download must not end cleanly");
    let last = client.final_reply();
    assert!(last.code >= 400, "{last}");
    (received, last)
}

#[test]
fn a_backend_killed_in_mid_download_gives_426_and_no_clean_end() {
    let scene = Scene::start(Script::new().on("RETR", |session, _| {
        let mut data = session.start_transfer()?;
        data.send(&content(100_000))?;
        data.reset();
        Ok(Flow::Reset)
    }));
    let mut client = scene.client();
    broken_download(&mut client);
    let codes = codes(&client.replies_to_end());
    assert!(codes.contains(&426) && !codes.contains(&226), "{codes:?}");
}

#[test]
fn a_backend_killed_in_mid_upload_gives_426() {
    let scene = Scene::start(Script::new().on("STOR", |session, _| {
        let mut data = session.start_transfer()?;
        data.receive(1000)?;
        data.reset();
        Ok(Flow::Reset)
    }));
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR file");
    // At some point nobody takes it any more.
    while data.try_write(&content(100_000)).is_ok() {}
    let codes = codes(&client.replies_to_end());
    assert!(codes.contains(&426) && !codes.contains(&226), "{codes:?}");
}

#[test]
fn a_backend_whose_machine_vanishes_in_mid_transfer_ends_the_session() {
    let scene = Scene::start(Script::new().on("RETR", |session, _| {
        let mut data = session.start_transfer()?;
        data.send(&content(1000))?;
        session.stall()
    }));
    let mut client = scene.client();
    let mut data = client.begin_transfer("RETR file");
    data.read_exactly(1000);
    scene.server.kill_sessions();
    assert_ne!(data.read_to_end().1, End::CloseNotify);
    let codes = codes(&client.replies_to_end());
    assert!(!codes.contains(&226) && !codes.is_empty(), "{codes:?}");
}

#[test]
fn a_data_connection_reset_alone_gives_426_and_keeps_the_session() {
    let scene = Scene::start(Script::new().on("RETR", |session, _| {
        let mut data = session.start_transfer()?;
        data.send(&content(1000))?;
        data.reset();
        session.reply("426 Broken")?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    let (_, reply) = failed_download(&mut client);
    assert_eq!(reply.code, 426);
    client.expect("NOOP", 200);
}

#[test]
fn a_reset_behind_which_the_backend_claims_success_is_no_success() {
    let scene = Scene::start(Script::new().on("RETR", |session, _| {
        let mut data = session.start_transfer()?;
        data.send(&content(1000))?;
        data.reset();
        session.reply("226 All sent")?;
        Ok(Flow::Continue)
    }));
    let (_, reply) = failed_download(&mut scene.client());
    assert_eq!(reply.code, 426);
}

#[test]
fn an_error_behind_a_complete_download_takes_its_clean_end_away() {
    let scene = Scene::start(Script::new().on("RETR", |session, _| {
        let mut data = session.start_transfer()?;
        data.send(&content(1000))?;
        data.finish();
        session.reply("451 Disk read error")?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    let (received, reply) = failed_download(&mut client);
    assert!(received.len() <= 1000);
    assert_eq!(reply.code, 451);
    client.expect("NOOP", 200);
}

#[test]
fn an_upload_is_stored_only_when_the_backend_says_so() {
    let scene = Scene::start(Script::new().on("STOR", |session, _| {
        session.start_transfer()?.receive_to_end();
        session.reply("452 Disk full")?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR file");
    data.write(b"content");
    data.finish();
    client.transcript("< 452\n> NOOP\n< 200");
}

#[test]
fn a_227_that_names_another_host_is_dialled_at_the_control_peer() {
    let script =
        Script::new().file("file", b"content").answer("EPSV", b"500 What?\r\n").on("PASV", |session, _| {
            let [high, low] = session.open_port()?.to_be_bytes();
            session.reply(&format!("227 Passive (192,0,2,1,{high},{low})"))?;
            Ok(Flow::Continue)
        });
    assert_eq!(Scene::start(script).client().download("RETR file"), b"content");
}

#[test]
fn a_data_port_below_1024_is_not_dialled() {
    for (epsv, pasv) in
        [(&b"229 (|||80|)\r\n"[..], &b"502 No\r\n"[..]), (b"500 What?\r\n", b"227 (127,0,0,1,0,22)\r\n")]
    {
        let scene = Scene::start(Script::new().file("file", b"x").answer("EPSV", epsv).answer("PASV", pasv));
        let mut client = scene.client();
        let (_, reply) = failed_download(&mut client);
        assert_eq!(reply.code, 425);
        assert!(!scene.server.record().has_command("RETR"));
        client.expect("NOOP", 200);
    }
}

#[test]
fn a_malformed_passive_reply_gives_425_and_keeps_the_session() {
    let malformed: [&'static [u8]; 8] = [
        b"229 Nothing here\r\n",
        b"229 (|||99999|)\r\n",
        b"229 (|||0|)\r\n",
        b"229 (|||-1|)\r\n",
        b"227 (127,0,0,1)\r\n",
        b"227 (127,0,0,1,300,1)\r\n",
        b"227 (127,0,0,1,0,0)\r\n",
        b"200 Fine\r\n",
    ];
    for reply in malformed {
        let scene =
            Scene::start(Script::new().file("file", b"x").answer("EPSV", reply).answer("PASV", reply));
        let mut client = scene.client();
        let (_, answer) = failed_download(&mut client);
        assert_eq!(answer.code, 425, "{}", reply.escape_ascii());
        client.expect("NOOP", 200);
    }
}

#[test]
fn an_odd_but_clear_passive_reply_is_understood() {
    type Wording = fn(u16) -> String;
    let wordings: [Wording; 4] = [
        |port| format!("229 Extended (!!!{port}!)"),
        |port| format!("229 ({port})").replace('(', "(|||").replace(')', "|)"),
        |port| format!("227 Instead of 229 (127,0,0,1,{},{})", port >> 8, port & 255),
        |port| format!("227 =127,0,0,1,{},{}", port >> 8, port & 255),
    ];
    for wording in wordings {
        let scene = Scene::start(Script::new().file("file", b"content").on("EPSV", move |session, _| {
            let port = session.open_port()?;
            session.reply(&wording(port))?;
            Ok(Flow::Continue)
        }));
        assert_eq!(scene.client().download("RETR file"), b"content", "{}", wording(50_000));
    }
}

#[test]
fn a_backend_that_refuses_epsv_is_asked_once() {
    for refusal in [&b"500 What?\r\n"[..], b"501 No\r\n", b"502 No\r\n", b"522 No\r\n"] {
        let scene = Scene::start(Script::new().file("file", b"content").answer("EPSV", refusal));
        for _ in 0..2 {
            let mut client = scene.client();
            assert_eq!(client.download("RETR file"), b"content");
            assert_eq!(client.download("RETR file"), b"content");
        }
        let record = scene.server.record();
        assert_eq!((record.count("EPSV"), record.count("PASV")), (1, 4), "{:?}", record.commands());
    }
}

#[test]
fn a_226_before_an_uploads_end_is_426_and_the_end() {
    let scene = Scene::start(Script::new().on("STOR", |session, _| {
        let mut data = session.start_transfer()?;
        data.receive(4)?;
        session.reply("226 Stored already")?;
        data.receive_to_end();
        session.stall()
    }));
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR file");
    data.write(b"half of it");
    let codes = codes(&client.replies_to_end());
    assert!(matches!(codes[..], [426] | [426, 421]), "{codes:?}");
}

#[test]
fn an_early_error_on_an_upload_is_relayed_and_stops_it() {
    let scene = Scene::start(Script::new().on("STOR", |session, _| {
        let mut data = session.start_transfer()?;
        data.receive(4)?;
        session.reply("552 Quota")?;
        drop(data);
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR file");
    data.write(b"half of it");
    client.expect_reply(552);
    assert_eq!(data.read_to_end().1, End::Reset);
    client.expect("NOOP", 200);
}

#[test]
fn a_226_before_a_downloads_end_is_held() {
    let (open, waiting) = gate();
    let scene = Scene::start(Script::new().on("RETR", move |session, _| {
        let mut data = session.start_transfer()?;
        data.send(b"first half, ")?;
        session.reply("226 Sent")?;
        pass(&waiting);
        data.send(b"second half")?;
        data.finish();
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    let mut data = client.begin_transfer("RETR file");
    data.read_exactly(b"first half, ".len());
    assert!(client.is_silent_for(Duration::from_millis(100)), "226 before the data's end");
    open.send(()).expect("the server waits");
    assert_eq!(data.read_to_end(), (b"second half".to_vec(), End::CloseNotify));
    client.transcript("< 226\n> NOOP\n< 200");
}

#[test]
fn a_226_whose_data_never_ends_is_426() {
    let scene = Scene::start_with(
        Script::new().on("RETR", |session, _| {
            let mut data = session.start_transfer()?;
            data.send(b"some")?;
            session.reply("226 Sent")?;
            let flow = session.stall();
            drop(data);
            flow
        }),
        |options| options.backend_keys(r#"stall_timeout = "1s""#),
    );
    let (received, reply) = failed_download(&mut scene.client());
    assert_eq!((received.as_slice(), reply.code), (&b"some"[..], 426));
}

#[test]
fn a_226_without_a_data_connection_is_no_success() {
    let scene = Scene::start_with(Script::new().answer("RETR", b"226 Sent\r\n"), |options| {
        options.backend_keys(r#"stall_timeout = "1s""#)
    });
    failed_download(&mut scene.client());
}

#[test]
fn a_transfer_in_which_no_byte_moves_ends() {
    let scene = Scene::start_with(
        Script::new().on("RETR", |session, _| {
            let mut data = session.start_transfer()?;
            data.send(b"some")?;
            session.answer_abort(data)
        }),
        |options| options.backend_keys(r#"stall_timeout = "1s""#),
    );
    let (_, reply) = failed_download(&mut scene.client());
    assert_eq!(reply.code, 426);
}

#[test]
fn a_421_in_mid_transfer_ends_the_session_without_a_226() {
    let scene = Scene::start(Script::new().on("RETR", |session, _| {
        let mut data = session.start_transfer()?;
        data.send(&content(1000))?;
        session.reply("421 Shutting down")?;
        data.reset();
        Ok(Flow::Close)
    }));
    let mut client = scene.client();
    broken_download(&mut client);
    let codes = codes(&client.replies_to_end());
    assert!(matches!(codes[..], [421] | [426] | [426, 421]), "{codes:?}");
}

#[test]
fn a_second_150_is_harmless() {
    let scene = Scene::start(Script::new().on("RETR", |session, _| {
        let mut data = session.start_transfer()?;
        session.reply("150-Still\r\n 226 not yet\r\n150 there")?;
        data.send(b"content")?;
        data.finish();
        session.reply("226 Sent")?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    let mut data = client.begin_transfer("RETR file");
    assert_eq!(data.read_to_end(), (b"content".to_vec(), End::CloseNotify));
    assert_eq!(client.final_reply().code, 226);
    client.expect("NOOP", 200);
}

#[test]
fn a_150_may_be_followed_by_an_error() {
    let scene = Scene::start(Script::new().on("RETR", |session, _| {
        session.start_transfer()?;
        session.reply("550 It has just gone")?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    let (received, reply) = failed_download(&mut client);
    assert_eq!((received.len(), reply.code), (0, 550));
    client.expect("NOOP", 200);
}

#[test]
fn an_error_instead_of_150_is_relayed_and_the_next_transfer_works() {
    let scene = Scene::start(Script::new().file("file", b"content"));
    let mut client = scene.client();
    let mut data = client.open_data();
    client.expect("RETR missing", 550);
    assert!(data.read_to_end().0.is_empty());
    assert_eq!(client.download("RETR file"), b"content");
}

#[test]
fn a_transfer_may_end_with_250() {
    let scene = Scene::start(Script::new().on("RETR", |session, _| {
        let mut data = session.accept_data()?;
        session.reply("125-Sending\r\n125 data set")?;
        data.send(b"content")?;
        data.finish();
        session.reply("250 Transfer completed")?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    let data = client.open_data();
    client.expect("RETR file", 125);
    assert_eq!(client.secure(data).read_to_end(), (b"content".to_vec(), End::CloseNotify));
    client.expect_reply(250);
}

#[test]
fn a_backend_that_sends_150_before_it_accepts_is_served() {
    let scene = Scene::start(Script::new().on("RETR", |session, _| {
        session.reply("150 Coming")?;
        let mut data = session.accept_data()?;
        data.send(b"content")?;
        data.finish();
        session.reply("226 Sent")?;
        Ok(Flow::Continue)
    }));
    assert_eq!(scene.client().download("RETR file"), b"content");
}

#[test]
fn data_from_a_backend_that_should_receive_is_not_delivered() {
    let scene = Scene::start(Script::new().on("STOR", |session, _| {
        let mut data = session.start_transfer()?;
        data.send(b"forged")?;
        data.receive_to_end();
        session.reply("226 Stored")?;
        Ok(Flow::Continue)
    }));
    let mut client = scene.client();
    let mut data = client.begin_transfer("STOR file");
    data.write(b"content");
    let _ = data.finish();
    client.final_reply();
}

#[test]
fn a_slow_client_makes_the_backend_wait_and_not_the_memory_grow() {
    let large = content(64 << 20);
    let scene = Scene::start(Script::new().file("large", &large));
    let mut client = scene.client();
    let before = scene.gateway.resident_bytes();
    let mut data = client.begin_transfer("RETR large");
    data.read_exactly(1 << 20);
    let grown = scene.gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    let (rest, end) = data.read_to_end();
    assert!(rest == large[1 << 20..]);
    assert_eq!(end, End::CloseNotify);
    client.expect_reply(226);
}
