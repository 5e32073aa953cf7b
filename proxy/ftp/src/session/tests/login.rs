//! USER, PASS, ACCT: with a backend that answers, refuses, is silent, leaves or lies.

use super::harness::{LOGIN, Scene, Wire};

fn greeted() -> Wire {
    let mut wire = Scene::plain().begin();
    wire.play("C< 220 ready");
    wire
}

fn connecting() -> Wire {
    let mut wire = greeted();
    wire.play("C> USER anna\n* connect");
    wire
}

fn named() -> Wire {
    let mut wire = connecting();
    wire.play("B connected\nB< 220 x\nB> USER anna");
    wire
}

fn asked_for_password() -> Wire {
    let mut wire = named();
    wire.play("B< 331 Password?\nC< 331 Password?");
    wire
}

fn password_sent() -> Wire {
    let mut wire = asked_for_password();
    wire.play("C> PASS hunter2\nB> PASS hunter2");
    wire
}

#[test]
fn a_login() {
    let mut wire = greeted();
    wire.play(LOGIN);
    assert_eq!(wire.session.user(), Some(&b"anna"[..]));
}

#[test]
fn nobody_is_connected_to_before_user() {
    greeted().play(
        "C> FEAT
         C< 211-…
         C> SYST
         C< 215 UNIX Type: L8
         C> NOOP
         C< 200 …
         C> HELP
         C< 214-…
         C> HELP RETR
         C< 214 Syntax: RETR path
         C> HELP FROB
         C< 502 …
         C> QUIT
         C< 221 …
         * close
         = closed quit",
    );
}

#[test]
fn before_the_login_nothing_else() {
    let mut wire = greeted();
    for command in [
        "PWD",
        "CWD /",
        "CDUP",
        "MKD a",
        "RMD a",
        "DELE a",
        "SIZE a",
        "MDTM a",
        "MLST",
        "MFMT 1 a",
        "RNFR a",
        "RNTO a",
        "TYPE I",
        "MODE S",
        "STRU F",
        "ALLO 1",
        "SITE x",
        "STAT",
        "STAT a",
        "PORT 192,0,2,7,200,1",
        "EPRT |1|192.0.2.7|51201|",
        "PASV",
        "EPSV",
        "LIST",
        "RETR a",
        "STOR a",
        "STOU",
        "APPE a",
        "NLST",
        "MLSD",
        "REST 1",
        "ABOR",
        "LANG en",
        "CLNT x",
    ] {
        wire.play(&format!("C> {command}\nC< 530 …"));
    }
    wire.play("= denied CLNT x 530");
}

#[test]
fn password_and_account_out_of_order() {
    greeted().play("C> PASS hunter2\nC< 503 …\nC> ACCT x\nC< 503 …");
    asked_for_password().play("C> ACCT x\nC< 503 …");
    Wire::ready().play("C> PASS hunter2\nC< 503 …\nC> USER anna\nC< 503 …");
}

#[test]
fn a_name_that_needs_no_password() {
    named().play("B< 230 Hello\nC< 230 Hello\n= logged in\nC> PASS x\nC< 503 …");
}

#[test]
fn an_account_is_asked_for_after_the_password_or_at_once() {
    password_sent().play(
        "B< 332 Account?
         C< 332 Account?
         C> PASS again
         C< 503 …
         C> ACCT sales
         B> ACCT sales
         B< 230 ok
         C< 230 ok
         = logged in",
    );
    named().play("B< 332 Account?\nC< 332 Account?\nC> ACCT sales\nB> ACCT sales\nB< 230 ok\nC< 230 ok");
}

#[test]
fn an_account_for_single_commands() {
    Wire::ready().play("C> ACCT sales\nB> ACCT sales\nB< 202 superfluous\nC< 202 superfluous");
}

#[test]
fn a_wrong_password_and_then_the_right_one_on_the_same_connection() {
    let mut wire = password_sent();
    wire.play("B< 530 Login incorrect\nC< 530 Login incorrect\n= login failed anna 530");
    assert_eq!(wire.session.user(), None);
    wire.play(
        "C> PASS hunter2
         C< 503 …
         C> USER berta
         B> USER berta
         B< 331 x
         C< 331 x
         C> PASS swordfish
         B> PASS swordfish
         B< 230 x
         C< 230 x
         = logged in",
    );
    assert_eq!(wire.session.user(), Some(&b"berta"[..]));
}

#[test]
fn another_name_before_the_password() {
    asked_for_password().play(
        "C> USER berta
         B> USER berta
         B< 331 x
         C< 331 x
         C> PASS p
         B> PASS p
         B< 230 x
         C< 230 x",
    );
}

#[test]
fn the_third_failure_is_the_last() {
    let mut wire = greeted();
    wire.play("C> USER a\n* connect\nB connected\nB< 220 x\nB> USER a\nB< 530 no\nC< 530 no");
    wire.play("C> USER b\nB> USER b\nB< 331 x\nC< 331 x\nC> PASS p\nB> PASS p\nB< 430 no\nC< 430 no");
    wire.play(
        "C> USER c
         B> USER c
         B< 331 x
         C< 331 x
         C> PASS p
         B> PASS p
         B< 530 no
         C< 530 no
         C< 421 …
         * close
         = login failed c 530
         = closed login_attempts",
    );
}

#[test]
fn preliminary_replies_during_login_are_waited_out() {
    let mut wire = connecting();
    wire.play(
        "B connected
         B< 120 in a minute
         B< 220 now
         B> USER anna
         B< 100 hm
         B< 331 x
         C< 331 x
         C> PASS p
         B> PASS p
         B< 100 hm
         B< 230 ok
         C< 230 ok",
    );
}

#[test]
fn the_backend_cannot_be_reached() {
    connecting().play("B unreachable\nC< 421 …\n* close\n= closed backend_unavailable");
}

#[test]
fn the_backend_does_not_greet() {
    connecting().play("+4s\n+1s\nC< 421 …\n* close\n= closed backend_unavailable");
    connecting().play("B connected\n+5s\nC< 421 …\n* close\n= closed backend_unavailable");
    connecting().play("B connected\nB closed\nC< 421 …\n* close\n= closed backend_unavailable");
    for greeting in ["421 full", "530 no", "331 hm", "450 no"] {
        connecting()
            .play(&format!("B connected\nB< {greeting}\nC< 421 …\n* close\n= closed backend_unavailable"));
    }
}

#[test]
fn a_backend_that_is_not_ready_gets_no_more_time() {
    connecting().play(
        "+2s
         B connected
         B< 120 in a minute
         +2s
         B< 120 in a minute
         +1s
         C< 421 …
         * close
         = closed backend_unavailable",
    );
}

#[test]
fn the_backend_says_nothing_sensible_at_any_step() {
    for mut wire in [named(), password_sent()] {
        wire.play(
            "B< hello\nC< 421 …\n* close\n= violation backend.malformed_reply\n= closed backend_violation",
        );
    }
    connecting().play("B connected\nB< SSH-2.0-x\nC< 421 …\n* close\n= violation backend.malformed_reply");
    password_sent().play("B< 331 again\nC< 421 …\n* close\n= violation backend.impossible_reply");
}

#[test]
fn the_backend_is_silent_at_any_step() {
    for mut wire in [named(), password_sent()] {
        // The login's deadline is nearer than the reply's.
        wire.play("+29s\n+1s\nC< 421 …\n* close\n= closed login_timeout");
    }
    let mut scene = Scene::plain();
    scene.upstream().reply_timeout = std::time::Duration::from_secs(3);
    let mut wire = scene.begin();
    wire.play("C< 220 ready\nC> USER a\n* connect\nB connected\nB< 220 x\nB> USER a");
    wire.play("+3s\nC< 421 …\n* close\n= closed backend_timeout");
}

#[test]
fn the_backend_leaves_at_any_step() {
    for mut wire in [named(), asked_for_password(), password_sent()] {
        wire.play("B closed\nC< 421 …\n* close\n= closed backend_gone");
    }
    for mut wire in [named(), asked_for_password(), password_sent()] {
        wire.play("B< 421 Going down\nC< 421 Going down\n* close\n= closed backend_gone");
    }
}

#[test]
fn the_client_leaves_at_any_step() {
    for mut wire in [greeted(), connecting(), named(), password_sent()] {
        wire.play("C closed\n* close\n= closed client_gone");
    }
    asked_for_password().play("C closed\nB> QUIT\n* close");
}

#[test]
fn the_client_quits_at_any_step() {
    greeted().play("C> QUIT\nC< 221 …\n* close");
    asked_for_password().play("C> QUIT\nC< 221 …\nB> QUIT\n* close");
    named().play("C> QUIT\nB< 331 x\nC< 331 x\nC< 221 …\nB> QUIT\n* close");
    password_sent().play("C> QUIT\nB< 230 x\nC< 230 x\nC< 221 …\nB> QUIT\n* close");
}

#[test]
fn the_gateway_stops_at_any_step() {
    for mut wire in [greeted(), connecting(), named(), asked_for_password(), password_sent()] {
        wire.play("kill\nC< 421 …\n* close\n= closed draining");
    }
}

#[test]
fn draining_waits_for_the_answer_under_way() {
    greeted().play("drain\nC< 421 …\n* close\n= closed draining");
    asked_for_password().play("drain\nC< 421 …\n* close");
    named().play("drain\nB< 331 x\nC< 331 x\nC< 421 …\n* close");
}

#[test]
fn an_unasked_reply_between_login_commands_ends_the_session() {
    asked_for_password().play("B< 230 early\nC< 421 …\n* close\n= violation backend.unsolicited_reply");
    asked_for_password().play("B desynchronised\nC< 421 …\n* close\n= violation backend.unsolicited_reply");
}

#[test]
fn an_empty_password_is_sent_with_its_blank() {
    asked_for_password().play("C> PASS\nB> PASS …\nB< 230 x\nC< 230 x");
}
