//! Lockouts, sessions of a user, and the delay before a failed login.

use std::time::Duration;

use super::harness::{ARM, Scene, Wire};
use crate::session::{LoginVerdict, Mode};

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
    wire.verdict = LoginVerdict::LockedOut("per address".into());
    wire.play("C> PASS hunter2\n= locked out anna by per address 530\n+1s\nC< 530 Login incorrect.");
    assert_eq!(wire.session.user(), None);
    wire.verdict = LoginVerdict::Try;
    wire.play("C> USER anna\nB> USER anna\nB< 331 ?\nC< 331 ?\nC> PASS hunter2\nB> PASS hunter2\nB< 230 ok\nC< 230 ok");
}

#[test]
fn an_account_in_place_of_a_password_is_judged_as_one() {
    let asked = || {
        let mut wire = Scene::plain().begin();
        wire.play(
            "C< 220 ready\nC> USER anna\n* connect\nB connected\nB< 220 x\nB> USER anna\nB< 332 ?\nC< 332 ?",
        );
        wire
    };
    let mut wire = asked();
    wire.verdict = LoginVerdict::LockedOut("per address".into());
    wire.play("C> ACCT hunter2\n= locked out anna by per address 530\nC< 530 Login incorrect.");
    let mut wire = asked();
    wire.verdict = LoginVerdict::TooMany("l".into());
    wire.play("C> ACCT hunter2\nC< 421 …\nB> QUIT\n* close\n= closed limit");
    // One that completes a password belongs to it.
    let mut wire = delayed();
    wire.play("C> PASS hunter2\nB> PASS hunter2\nB< 332 ?\nC< 332 ?");
    wire.verdict = LoginVerdict::TooMany("l".into());
    wire.play("C> ACCT sales\nB> ACCT sales\nB< 230 ok\nC< 230 ok");
}

#[test]
fn a_name_that_needs_no_password_is_judged_before_it_is_logged_in() {
    for (verdict, rest) in [
        (LoginVerdict::Try, "C< 230 ok"),
        (
            LoginVerdict::LockedOut("per address".into()),
            "C< 421 Login incorrect; …\nB> QUIT\n* close\n= closed limit",
        ),
        (LoginVerdict::TooMany("l".into()), "C< 421 …\nB> QUIT\n* close\n= closed limit"),
    ] {
        let mut wire = Scene::plain().begin();
        wire.verdict = verdict;
        wire.play(&format!(
            "C< 220 ready\nC> USER anna\n* connect\nB connected\nB< 220 x\nB> USER anna\nB< 230 ok\n{rest}"
        ));
    }
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

#[test]
fn a_client_whose_tls_counts_learns_after_its_handshake_that_there_are_too_many() {
    let mut wire = Scene::explicit().begin();
    wire.is_full = true;
    wire.play(
        "C< 220 ready\nC> AUTH TLS\nC< 234 …\n* handshake\ntls ok\nC< 421 …\n* close\n= tls\n= closed limit",
    );
    let mut scene = Scene::explicit();
    scene.settings.mode = Mode::Implicit;
    let mut wire = scene.begin();
    wire.is_full = true;
    wire.play("* handshake\ntls ok\nC< 421 …\n* close");
}

#[test]
fn a_password_too_many_ends_the_session_and_the_backend_does_not_hear_it() {
    let mut wire = delayed();
    wire.verdict = LoginVerdict::TooMany("l".into());
    wire.play("C> PASS hunter2\nC< 421 …\nB> QUIT\n* close\n= closed limit");
}

/// Text, code and time of what two clients hear of whom one knows the password.
#[test]
fn a_lockout_sounds_like_a_wrong_password() {
    let answer = |verdict: LoginVerdict| {
        let mut wire = delayed();
        wire.verdict = verdict.clone();
        match verdict {
            LoginVerdict::Try => {
                wire.play("C> PASS hunter2\nB> PASS hunter2\n+400ms\nB< 530 Login incorrect.\n+599ms");
            }
            LoginVerdict::LockedOut(_) | LoginVerdict::TooMany(_) => wire.play("C> PASS hunter2\n+999ms"),
        }
        wire.play("+1ms\nC< 530 Login incorrect.");
    };
    answer(LoginVerdict::Try);
    answer(LoginVerdict::LockedOut("per address".into()));
}

#[test]
fn a_transfer_too_many_is_told_to_come_again_and_the_session_goes_on() {
    let mut wire = Wire::ready();
    wire.play(ARM);
    wire.is_busy = true;
    wire.play("C> RETR a\n* discard\nC< 450 …\n= transfer RETR 450 0B 0s none");
    wire.is_busy = false;
    wire.play("C> NOOP\nB> NOOP\nB< 200 ok\nC< 200 ok");
    wire.play("C> RETR a\nC< 425 …");
}

#[test]
fn a_refused_transfer_leaves_no_offset_behind() {
    let mut wire = Wire::ready();
    wire.play("C> REST 5\nC< 350 …");
    wire.play(ARM);
    wire.is_busy = true;
    wire.play("C> RETR a\n* discard\nC< 450 …");
    wire.is_busy = false;
    wire.play(ARM);
    wire.play("C> RETR a\nB> RETR a");
}

#[test]
fn a_password_whose_account_is_not_given_is_no_longer_tried_from_the_next_name_on() {
    let mut wire = delayed();
    wire.play("C> PASS hunter2\nB> PASS hunter2\nB< 332 ?\nC< 332 ?");
    wire.play("C> USER berta\n= login abandoned\nB> USER berta\nB< 331 ?\nC< 331 ?");
}

/// Servers are slow to refuse and quick to accept: who leaves in between has tried a password all the same.
#[test]
fn a_password_that_is_not_waited_for_counts_as_a_wrong_one() {
    for (end, code) in [("C closed", 421), ("C! bare LF\nC< 500 …", 500)] {
        let mut wire = delayed();
        wire.play("C> PASS hunter2\nB> PASS hunter2\n+500ms");
        wire.play(&format!("{end}\n* close\n= login failed anna {code}"));
    }
    // A server that does not answer, or leaves, is nobody else's fault.
    for end in [
        "+30s\nC< 421 …\n* close\n= closed login_timeout",
        "+1s\nB< 421 full\nC< 421 full\n* close\n= closed backend_gone",
        "+1s\nB closed\nC< 421 …\n* close\n= closed backend_gone",
    ] {
        let mut wire = delayed();
        wire.play("C> PASS hunter2\nB> PASS hunter2");
        wire.play(end);
        assert!(wire.records.iter().all(|record| !record.has_failed_login), "{end}");
    }
}

#[test]
fn a_server_that_cannot_tell_now_makes_no_failed_login() {
    for (code, outcome) in
        [(450, "undecided"), (434, "undecided"), (430, "failed"), (530, "failed"), (532, "failed")]
    {
        let mut wire = delayed();
        wire.play("C> PASS hunter2\nB> PASS hunter2");
        wire.play(&format!("B< {code} no\n= login {outcome} anna {code}\n+1s\nC< {code} no"));
        let password = wire.records.last().unwrap();
        assert_eq!(password.has_failed_login, outcome == "failed", "{code}");
        assert_eq!(password.user.as_deref(), Some(&b"anna"[..]));
    }
}

#[test]
fn a_client_that_is_one_too_many_once_its_tls_is_known_is_recorded() {
    let mut wire = Scene::explicit().begin();
    wire.is_full = true;
    wire.play("C< 220 ready\nC> AUTH TLS\nC< 234 …\n* handshake\ntls ok\nC< 421 …\n* close\n= limit l\n= closed limit");
}
