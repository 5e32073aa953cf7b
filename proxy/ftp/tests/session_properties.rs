//! What holds for a session whatever client, backend, driver and clock do: see [`world`].

mod world;

use std::time::Duration;

use ftpsgate_ftp::codec::{LineError, Protection};
use ftpsgate_ftp::session::{CloseReason, Mode, RequireTls, UpstreamData, UpstreamTls};
use proptest::collection::vec;
use proptest::prelude::*;

use world::{Servers, Step, World};

fn listener() -> impl Strategy<Value = (Mode, RequireTls)> {
    prop_oneof![
        Just((Mode::Plain, RequireTls::No)),
        (
            prop_oneof![Just(Mode::Explicit), Just(Mode::Implicit)],
            prop_oneof![Just(RequireTls::Data), Just(RequireTls::Login), Just(RequireTls::No)]
        ),
    ]
}

fn servers() -> impl Strategy<Value = Servers> {
    let tls = prop_oneof![
        Just((UpstreamTls::Off, Protection::Clear)),
        Just((UpstreamTls::Explicit, Protection::Clear)),
        Just((UpstreamTls::Explicit, Protection::Private)),
        Just((UpstreamTls::Implicit, Protection::Private)),
    ];
    let data = prop_oneof![Just(UpstreamData::Passive), Just(UpstreamData::Active)];
    (tls, data, any::<bool>(), any::<bool>(), 1..4u32, any::<bool>()).prop_map(
        |((tls, protection), data, wants_login, may_renew, tries, has_paths)| Servers {
            tls,
            protection,
            data,
            wants_login,
            may_renew,
            tries,
            has_paths,
        },
    )
}

/// How the client of a session that is armed has asked for its data connection.
fn setup() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("EPSV"), Just("PASV"), Just("PORT 192,0,2,7,200,1"), Just("EPRT |1|192.0.2.7|51201|")]
}

/// What an orderly client, driver and backend do.
fn orderly_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<usize>().prop_map(Step::Command),
        8 => (any::<usize>(), any::<usize>()).prop_map(|(which, how)| Step::Report(which, how)),
        10 => any::<usize>().prop_map(Step::Answer),
        4 => Just(Step::Pass(Duration::from_millis(700))),
        1 => any::<bool>().prop_map(Step::PartialLine),
        2 => any::<bool>().prop_map(Step::Tickets),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => orderly_step(),
        3 => any::<usize>().prop_map(Step::Lie),
        1 => prop_oneof![
            Just(LineError::TooLong), Just(LineError::Telnet), Just(LineError::Nul), Just(LineError::TlsRecord)
        ].prop_map(Step::BadLine),
        1 => any::<usize>().prop_map(Step::BackendFails),
        1 => (0..100u64).prop_map(|seconds| Step::Pass(Duration::from_secs(seconds))),
        1 => any::<bool>().prop_map(Step::Stop),
        1 => Just(Step::ClientCloses),
        1 => Just(Step::ClientEnds),
    ]
}

/// How far a session is before the random steps begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Greeted,
    /// A server is being dialled.
    Connecting,
    /// It was sent USER.
    Named,
    LoggedIn,
    /// No ticket is left, and a data connection is wanted.
    Renewing,
    Armed,
    Downloading,
    Uploading,
}

fn depth() -> impl Strategy<Value = Depth> {
    prop_oneof![
        Just(Depth::Greeted),
        Just(Depth::Connecting),
        Just(Depth::Named),
        Just(Depth::Renewing),
        Just(Depth::LoggedIn),
        Just(Depth::Armed),
        Just(Depth::Downloading),
        Just(Depth::Uploading),
    ]
}

/// A session that got so far with orderly peers.
fn world_at(depth: Depth, (mode, require_tls): (Mode, RequireTls), servers: &Servers, setup: &str) -> World {
    let mut world = World::new(mode, require_tls, servers);
    if depth > Depth::Greeted {
        world.finish();
    }
    if depth > Depth::Greeted && mode == Mode::Explicit {
        for command in ["AUTH TLS", "PBSZ 0", "PROT P"] {
            world.say(command);
            world.finish();
        }
    }
    if depth > Depth::Greeted {
        world.say("USER anna");
    }
    if depth > Depth::Connecting {
        while !world.has_named_user() {
            world.step(&Step::Report(0, 0));
            world.step(&Step::Answer(0));
        }
    }
    if depth >= Depth::LoggedIn {
        world.finish();
        world.say("PASS canary");
        world.finish();
    }
    if depth == Depth::Renewing {
        world.step(&Step::Tickets(false));
        world.say("EPSV");
    }
    if depth >= Depth::Armed {
        world.say(setup);
        for step in [Step::Report(0, 0), Step::Answer(0), Step::Report(0, 0)] {
            world.step(&step);
        }
    }
    match depth {
        Depth::Greeted
        | Depth::Connecting
        | Depth::Named
        | Depth::LoggedIn
        | Depth::Renewing
        | Depth::Armed => {}
        Depth::Downloading => world.say("RETR a"),
        Depth::Uploading => world.say("STOR a"),
    }
    if depth > Depth::Armed {
        // An active backend is told first where to dial.
        for step in [Step::Answer(0), Step::Report(0, 0), Step::Answer(0), Step::Answer(0)] {
            if !world.is_relaying() {
                world.step(&step);
            }
        }
        assert!(world.is_relaying());
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn everything_holds_whatever_happens(
        depth in depth(),
        listener in listener(),
        servers in servers(),
        setup in setup(),
        steps in vec(any_step(), 0..80),
    ) {
        let mut world = world_at(depth, listener, &servers, setup);
        for step in &steps {
            world.step(step);
        }
        world.finish();
        // After the end nothing more comes, whatever happens.
        world.step(&Step::Stop(true));
        for step in &steps {
            world.step(step);
        }
    }

    #[test]
    fn orderly_peers_get_every_answer_and_keep_their_session(
        depth in depth(),
        listener in listener(),
        servers in servers(),
        setup in setup(),
        steps in vec(orderly_step(), 0..120),
    ) {
        let mut world = world_at(depth, listener, &servers, setup);
        // Nobody is so slow that a deadline would pass; the wait before an abort's marker does.
        let mut passes = 0;
        for step in &steps {
            passes += usize::from(matches!(step, Step::Pass(_)));
            if passes <= 12 || !matches!(step, Step::Pass(_)) {
                world.step(step);
            }
        }
        world.finish();
        match world.closed_for {
            None | Some(CloseReason::Quit | CloseReason::LoginAttempts | CloseReason::ClientViolation(_)) => {}
            Some(
                reason @ (CloseReason::ClientGone
                | CloseReason::TlsFailed
                | CloseReason::LoginTimeout
                | CloseReason::IdleTimeout
                | CloseReason::LineTimeout
                | CloseReason::BackendUnavailable
                | CloseReason::BackendGone
                | CloseReason::BackendTimeout
                | CloseReason::BackendViolation(_)
                | CloseReason::NotResynchronised
                | CloseReason::Denied
                | CloseReason::Limit
                | CloseReason::Draining),
            ) => panic!("the session ended: {reason:?}"),
        }
    }
}
