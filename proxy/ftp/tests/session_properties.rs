//! What holds for a session whatever client, backend, driver and clock do: see [`world`].

mod world;

use std::time::Duration;

use ftpsgate_ftp::codec::LineError;
use ftpsgate_ftp::session::{CloseReason, Mode, RequireTls};
use proptest::collection::vec;
use proptest::prelude::*;

use world::{Step, World};

fn listener() -> impl Strategy<Value = (Mode, RequireTls)> {
    prop_oneof![
        Just((Mode::Plain, RequireTls::No)),
        (
            prop_oneof![Just(Mode::Explicit), Just(Mode::Implicit)],
            prop_oneof![Just(RequireTls::Data), Just(RequireTls::Login), Just(RequireTls::No)]
        ),
    ]
}

/// What an orderly client, driver and backend do.
fn orderly_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<usize>().prop_map(Step::Command),
        8 => (any::<usize>(), any::<usize>()).prop_map(|(which, how)| Step::Report(which, how)),
        10 => any::<usize>().prop_map(Step::Answer),
        1 => Just(Step::Pass(Duration::from_millis(700))),
        1 => any::<bool>().prop_map(Step::PartialLine),
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
    ]
}

/// Choices for [`Step::Command`] that log in: AUTH, PBSZ, PROT, USER, PASS.
fn log_in(world: &mut World, mode: Mode) {
    let hello: &[usize] = match mode {
        Mode::Explicit => &[0, 3, 4, 7, 9],
        Mode::Implicit => &[3, 4, 7, 9],
        Mode::Plain => &[7, 9],
    };
    world.finish();
    for &choice in hello {
        world.step(&Step::Command(choice));
        world.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn everything_holds_whatever_happens(
        (mode, require_tls) in listener(),
        is_logged_in in any::<bool>(),
        steps in vec(any_step(), 0..80),
    ) {
        let mut world = World::new(mode, require_tls);
        if is_logged_in {
            log_in(&mut world, mode);
        }
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
        (mode, require_tls) in listener(),
        is_logged_in in any::<bool>(),
        steps in vec(orderly_step(), 0..120),
    ) {
        let mut world = World::new(mode, require_tls);
        if is_logged_in {
            log_in(&mut world, mode);
        }
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
                | CloseReason::Draining),
            ) => panic!("the session ended: {reason:?}"),
        }
    }
}
