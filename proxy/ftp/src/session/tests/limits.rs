//! Lockouts, sessions of a user, and the delay before a failed login.

use std::time::Duration;

use super::harness::{Scene, Wire};

/// A plain session that has been asked for its password, whose failed logins are answered after a second.
fn delayed() -> Wire {
    let mut scene = Scene::plain();
    scene.settings.failed_login_delay = Duration::from_secs(1);
    let mut wire = scene.begin();
    wire.play(
        "C< 220 ready\nC> USER anna\n* connect\nB connected\nB< 220 x\nB> USER anna\nB< 331 ?\nC< 331 ?",
    );
    wire
}

#[test]
fn who_is_locked_out_hears_what_a_wrong_password_hears_and_the_backend_nothing() {
    let mut wire = delayed();
    wire.locked_by = Some("per address".into());
    wire.play("C> PASS hunter2\n= locked out anna by per address 530\n+1s\nC< 530 Login incorrect.");
    assert_eq!(wire.session.user(), None);
    wire.locked_by = None;
    wire.play("C> USER anna\nB> USER anna\nB< 331 ?\nC< 331 ?\nC> PASS hunter2\nB> PASS hunter2\nB< 230 ok\nC< 230 ok");
}

#[test]
fn a_failed_login_is_answered_after_a_second_whatever_the_backend_does_meanwhile() {
    let mut wire = delayed();
    wire.play("C> PASS hunter2\nB> PASS hunter2\nB< 530 no\n= login failed anna 530");
    // Pipelined: it waits.
    wire.play("C> NOOP\n+999ms");
    wire.play("+1ms\nC< 530 no\nC< 200 OK");
}

#[test]
fn a_backend_that_leaves_after_a_failed_login_takes_nothing_from_the_delay() {
    let mut wire = delayed();
    wire.play("C> PASS hunter2\nB> PASS hunter2\nB< 530 no\nB< 421 bye\n+1s\nC< 530 no");
    wire.play("C> USER anna\n* connect");
}

#[test]
fn an_unknown_user_is_refused_no_sooner() {
    let mut scene = Scene::plain();
    scene.settings.failed_login_delay = Duration::from_secs(1);
    let mut wire = scene.begin();
    wire.play("C< 220 ready\nC> USER eve\n* connect\nB connected\nB< 220 x\nB> USER eve\nB< 530 who?\n+1s\nC< 530 who?");
}

#[test]
fn a_user_who_has_too_many_sessions_gets_no_more() {
    let mut wire = delayed();
    wire.is_full = true;
    wire.play("C> PASS hunter2\nB> PASS hunter2\nB< 230 ok\nC< 421 …\nB> QUIT\n* close\n= closed limit");
}

#[test]
fn too_many_commands_end_the_session() {
    Wire::ready().play("C limited\nC< 421 …\nB> QUIT\n* close\n= closed limit");
}
