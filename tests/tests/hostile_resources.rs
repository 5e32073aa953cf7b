//! What sessions cost while they run and leave behind when they end: descriptors, memory, processor time.

use std::time::Duration;

use ftpsgate_tests::client::Client;
use ftpsgate_tests::gateway::wait_until;
use ftpsgate_tests::scene::Scene;
use ftpsgate_tests::scripted::{Flow, Script};

/// A server that can also be slow in every way.
fn script() -> Script {
    Script::new()
        .file("file", b"content")
        .on("USER", |session, argument| match argument {
            b"slow" => session.stall(),
            _ => session.behave("USER", argument),
        })
        .on("RETR", |session, argument| match argument {
            b"stalled" => {
                let mut data = session.start_transfer()?;
                data.send(&[7; 1000])?;
                session.answer_abort(data)
            }
            b"endless" => {
                let mut data = session.start_transfer()?;
                while data.send(&[7; 64 * 1024]).is_ok() {}
                session.stall()
            }
            b"killed" => {
                let mut data = session.start_transfer()?;
                data.send(&[7; 1000])?;
                data.reset();
                Ok(Flow::Reset)
            }
            _ => session.behave("RETR", argument),
        })
        .on("STOR", |session, argument| match argument {
            b"unconfirmed" => {
                session.start_transfer()?.receive_to_end();
                session.stall()
            }
            _ => session.behave("STOR", argument),
        })
        .on("SYST", |session, _| session.stall())
        .on("HELP", |session, _| {
            let mut reply = b"214-Help\r\n".to_vec();
            reply.extend([&[b' '; 120][..], b"\r\n"].concat().repeat(400));
            reply.extend(b"214 End\r\n");
            session.send(&reply)?;
            Ok(Flow::Continue)
        })
}

#[test]
fn descriptors_return_to_the_baseline_after_every_kind_of_end() {
    let scene = Scene::start_with(script(), |options| options.backend_keys(r#"reply_timeout = "1s""#));
    scene.plain_client().download("RETR file");
    scene.server.record().wait_disconnected(1);
    let (explicit, implicit) = (scene.gateway.address("explicit"), scene.gateway.address("implicit"));
    let baseline = scene.gateway.open_descriptors();
    type End = fn(&Scene, Client);
    let ends: [End; 14] = [
        |_, client| drop(client),
        |_, client| client.reset(),
        |_, mut client| client.transcript("> QUIT\n< 221\n< (end)"),
        |_, mut client| {
            client.epsv();
        },
        |_, mut client| drop(client.open_data()),
        |_, mut client| drop(client.begin_transfer("RETR stalled")),
        |_, mut client| client.begin_transfer("STOR up").reset(),
        |_, mut client| client.begin_transfer("STOR up").finish_hastily(),
        |_, mut client| drop(client.begin_transfer("RETR endless")),
        |_, mut client| client.send("SYST"),
        |_, mut client| drop(client.begin_transfer("STOR unconfirmed")),
        |_, mut client| {
            let data = client.open_data();
            client.expect("RETR stalled", 150);
            client.transcript("> ABOR\n< 426\n< 226");
            drop(data);
        },
        |_, mut client| {
            let data = client.open_data();
            client.send("RETR killed");
            client.replies_to_end();
            drop(data);
        },
        |_, mut client| {
            let data = client.open_data();
            client.expect("RETR file", 150);
            drop(data);
            client.final_reply();
        },
    ];
    for end in ends {
        end(&scene, scene.client());
        end(&scene, scene.plain_client());
    }
    for garbage in [&b""[..], b"garbage", b"\x16\x03\x01"] {
        for address in [explicit, implicit] {
            let mut client = Client::connect(address);
            let _ = client.try_send_bytes(garbage);
        }
        let mut client = scene.newcomer();
        client.expect("AUTH TLS", 234);
        let _ = client.try_send_bytes(garbage);
    }
    let mut slow = scene.stranger();
    slow.send("USER slow");
    drop(slow);
    wait_until("descriptors are returned", || scene.gateway.open_descriptors() <= baseline);
}

#[test]
fn sessions_that_wait_use_no_processor_time() {
    let scene = Scene::start(script());
    let connect = |listener| Client::connect(scene.gateway.address(listener));
    let mut clients = vec![scene.newcomer(), scene.stranger(), scene.client(), connect("implicit")];
    let mut data = Vec::new();

    let mut in_handshake = scene.newcomer();
    in_handshake.expect("AUTH TLS", 234);
    clients.push(in_handshake);
    let mut in_a_line = scene.newcomer();
    in_a_line.send_bytes(b"NOO");
    clients.push(in_a_line);
    let mut in_login = scene.stranger();
    in_login.send("USER slow");
    clients.push(in_login);
    let mut half_closed = scene.client();
    half_closed.send("SYST");
    half_closed.finish_sending();
    clients.push(half_closed);
    let mut full_queue = scene.client();
    full_queue.send_bytes(&[&b"SYST\r\n"[..], &b"NOOP\r\n".repeat(100)].concat());
    clients.push(full_queue);
    let mut unread = scene.plain_client();
    unread.send_bytes(&b"HELP\r\n".repeat(500));
    clients.push(unread);

    for mut client in [scene.client(), scene.plain_client()] {
        client.epsv();
        clients.push(client);
    }
    for mut client in [scene.client(), scene.plain_client()] {
        data.push(client.open_data());
        clients.push(client);
    }
    for command in ["RETR stalled", "RETR endless", "STOR up"] {
        for mut client in [scene.client(), scene.plain_client()] {
            data.push(client.begin_transfer(command));
            clients.push(client);
        }
    }
    for mut client in [scene.client(), scene.plain_client()] {
        client.begin_transfer("STOR unconfirmed").finish();
        clients.push(client);
        let mut unconnected = scene.client();
        unconnected.epsv();
        unconnected.expect("RETR file", 150);
        clients.push(unconnected);
    }
    let mut no_data_handshake = scene.client();
    data.push(no_data_handshake.open_data());
    no_data_handshake.expect("RETR file", 150);
    clients.push(no_data_handshake);

    let mut watch = scene.client();
    // Buffers fill up first.
    watch.is_silent_for(Duration::from_millis(500));
    let before = scene.gateway.processor_time();
    watch.is_silent_for(Duration::from_secs(1));
    let used = scene.gateway.processor_time() - before;
    assert!(used <= Duration::from_millis(50), "{used:?} in a second of waiting");
    drop((clients, data));
}

#[test]
fn a_client_that_does_not_read_costs_little_and_ends_at_a_deadline() {
    let scene = Scene::start_with(script(), |options| options.backend_keys(r#"reply_timeout = "1s""#));
    let before = scene.gateway.resident_bytes();
    let mut clients: Vec<Client> = (0..4).map(|_| scene.plain_client()).collect();
    for client in &mut clients {
        client.send_bytes(&b"HELP\r\n".repeat(500));
    }
    scene.server.record().wait_disconnected(clients.len());
    let grown = scene.gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[test]
fn without_descriptors_clients_are_turned_away_and_later_served_again() {
    let scene = Scene::start(script());
    let address = scene.gateway.address("plain");
    let mut inside = scene.plain_client();
    let limit = scene.gateway.open_descriptors() + 16;
    scene.gateway.limit_descriptors(limit);
    let mut clients = Vec::new();
    let turned_away = loop {
        let mut client = Client::connect(address);
        let code = client.reply().code;
        if code != 220 {
            break code;
        }
        clients.push(client);
        assert!(clients.len() < 16, "nobody is turned away");
    };
    assert_eq!(turned_away, 421);
    assert_eq!(inside.download("RETR file"), b"content", "what runs has descriptors left");

    // Now there are none at all.
    scene.gateway.limit_descriptors(scene.gateway.open_descriptors());
    for _ in 0..3 {
        Client::connect(address).transcript("< 421\n< (end)");
    }
    inside.expect("NOOP", 200);
    let before = scene.gateway.processor_time();
    inside.is_silent_for(Duration::from_millis(500));
    let used = scene.gateway.processor_time() - before;
    assert!(used <= Duration::from_millis(50), "{used:?} in half a second without descriptors");

    scene.gateway.limit_descriptors(1024);
    drop(clients);
    assert_eq!(inside.download("RETR file"), b"content");
    assert_eq!(scene.plain_client().download("RETR file"), b"content");
}
