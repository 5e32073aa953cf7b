//! A server is made ready for USER: dial, 220, AUTH TLS, PBSZ, PROT; and what comes after one that fails.

use super::harness::{Scene, Wire};
use crate::codec::Protection;
use crate::session::UpstreamTls::{self, Explicit, Implicit, Off};

fn scene(tls: UpstreamTls, protection: Protection, tries: u32) -> Scene {
    let mut scene = Scene::plain();
    let upstream = scene.upstream();
    upstream.tls = tls;
    upstream.protection = protection;
    upstream.tries = tries;
    scene
}

fn connecting(tls: UpstreamTls, tries: u32) -> Wire {
    let mut wire = scene(tls, Protection::Private, tries).begin();
    wire.play("C< 220 ready\nC> USER anna\n* connect");
    wire
}

/// What happens between the dial and USER, where all goes well: an event and what it leads to in each entry.
fn steps(tls: UpstreamTls) -> Vec<&'static str> {
    let mut steps = vec!["B connected"];
    steps.extend(match tls {
        Off => vec!["B< 220 x\nB> USER anna"],
        Explicit => vec!["B< 220 x\nB> AUTH TLS", "B< 234 x\n* secure upstream", "B secured\nB> PBSZ 0"],
        Implicit => vec!["B< 220 x\nB> PBSZ 0"],
    });
    if tls != Off {
        steps.extend(["B< 200 x\nB> PROT P", "B< 200 x\nB> USER anna"]);
    }
    steps
}

/// Each point before USER: how many steps were made.
fn at_each_step(tls: UpstreamTls, tries: u32) -> impl Iterator<Item = (usize, Wire)> {
    (0..steps(tls).len()).map(move |made| {
        let mut wire = connecting(tls, tries);
        for step in &steps(tls)[..made] {
            wire.play(step);
        }
        (made, wire)
    })
}

#[test]
fn explicit_tls_comes_before_user() {
    let mut wire = connecting(Explicit, 1);
    for step in steps(Explicit) {
        wire.play(step);
    }
    wire.play("B< 331 x\nC< 331 x\nC> PASS hunter2\nB> PASS hunter2\nB< 230 x\nC< 230 x\n= logged in");
    wire.play(
        "C> STAT
         C< 211-Status of this session: |  Connected from 192.0.2.7 |  logged in as anna | \
         \x20Control connection: clear; data connections: clear | \
         \x20To legacy: control connection: TLS; data connections: TLS | 211 End",
    );
}

#[test]
fn implicit_tls_is_the_drivers() {
    let mut wire = connecting(Implicit, 1);
    for step in steps(Implicit) {
        wire.play(step);
    }
    wire.play("B< 331 x\nC< 331 x");
}

#[test]
fn clear_data_connections_are_asked_for_and_a_refusal_is_tolerated() {
    for reply in ["200 ok", "500 what?", "530 who?"] {
        let mut wire = scene(Explicit, Protection::Clear, 1).begin();
        wire.play("C< 220 ready\nC> USER anna\n* connect\nB connected\nB< 220 x\nB> AUTH TLS");
        wire.play("B< 234 x\n* secure upstream\nB secured\nB> PBSZ 0\nB< 200 x\nB> PROT C");
        wire.play(&format!("B< {reply}\nB> USER anna\nB< 331 x\nC< 331 x\nC> PASS hunter2\nB> PASS hunter2"));
        wire.play("B< 230 x\nC< 230 x");
    }
}

#[test]
fn a_refusal_of_pbsz_is_tolerated() {
    for reply in ["500 what?", "503 no", "100 hm\\n534 no", "331 hm"] {
        let mut wire = connecting(Implicit, 1);
        wire.play("B connected\nB< 220 x\nB> PBSZ 0");
        wire.play(&format!("B< {reply}\nB> PROT P\nB< 200 x\nB> USER anna\nB< 230 x\nC< 230 x"));
    }
}

#[test]
fn a_server_that_does_not_begin_tls_hears_no_user() {
    for reply in ["500 what?", "534 no", "431 later", "200 ok", "334 hm", "120 soon", "230 in", "220 x"] {
        let mut wire = connecting(Explicit, 1);
        wire.play("B connected\nB< 220 x\nB> AUTH TLS");
        let code = &reply[..3];
        wire.play(&format!("B< {reply}\nC< 421 …\n* close"));
        wire.play(&format!("= upstream failed false: it refuses AUTH TLS with {code}"));
        wire.play("= closed backend_unavailable");
    }
}

#[test]
fn a_server_that_refuses_private_data_is_not_used() {
    for reply in ["500 what?", "534 no", "536 no", "504 no", "431 no", "331 hm"] {
        let mut wire = connecting(Implicit, 2);
        wire.play("B connected\nB< 220 x\nB> PBSZ 0\nB< 200 x\nB> PROT P");
        let code = &reply[..3];
        wire.play(&format!("B< {reply}\n* connect\n= upstream failed true: it refuses PROT P with {code}"));
    }
}

#[test]
fn a_server_that_wants_the_login_first_gets_prot_once_more() {
    for reply in ["503 no", "530 log in first"] {
        let login = |end: &str| {
            let mut wire = connecting(Implicit, 3);
            wire.play("B connected\nB< 220 x\nB> PBSZ 0\nB< 200 x\nB> PROT P");
            wire.play(&format!("B< {reply}\nB> USER anna\nB< 331 x\nC< 331 x"));
            wire.play("C> PASS hunter2\nB> PASS hunter2\nB< 230 Welcome\nB> PROT P\nC> PWD");
            wire.play(end);
        };
        login("B< 100 hm\nB< 200 ok\nC< 230 Welcome\n= logged in\nB> PWD");
        for refusal in ["530 no", "534 no", "331 hm"] {
            let code = &refusal[..3];
            login(&format!(
                "B< {refusal}\nC< 421 …\n* close\n\
                 = upstream failed false: it refuses PROT P after login, with {code}\n\
                 = closed backend_unavailable"
            ));
        }
        login("B closed\nC< 421 …\n* close\n= closed backend_gone");
        login("B< 421 bye\nC< 421 bye\n* close\n= closed backend_gone");
    }
}

#[test]
fn a_server_that_wants_the_login_before_pbsz_gets_both_once_more() {
    let mut wire = connecting(Implicit, 1);
    wire.play(
        "B connected
         B< 220 x
         B> PBSZ 0
         B< 530 no
         B> PROT P
         B< 503 no
         B> USER anna
         B< 530 not you
         C< 530 not you
         C> USER berta
         B> USER berta
         B< 230 Welcome
         B> PBSZ 0
         B< 200 x
         B> PROT P
         B< 200 x
         C< 230 Welcome
         = logged in",
    );
}

const FAILURES: [&str; 5] = ["B closed", "B< 421 full", "B< SSH-2.0-x", "B desynchronised", "+5s"];

/// What the records say of one of [`FAILURES`], after so many steps.
fn fault(failure: &str, made: usize) -> &'static str {
    match (failure, made) {
        ("B closed", _) => "it closed the connection",
        ("B< 421 full", 1) => "its greeting was 421 \"full\"",
        ("B< 421 full", _) => "it said 421",
        ("B< SSH-2.0-x", _) => "it does not follow the protocol (backend.malformed_reply)",
        ("B desynchronised", _) => "it does not follow the protocol (backend.unsolicited_reply)",
        ("+5s", 0) => "there was no connection to it in time",
        ("+5s", 1) => "it did not greet in time",
        ("+5s", _) => "it did not answer in time",
        _ => panic!("no failure: {failure}"),
    }
}

#[test]
fn whatever_fails_before_user_the_next_server_is_tried() {
    for tls in [Off, Explicit, Implicit] {
        let last = steps(tls).len() - 1;
        for failure in FAILURES {
            for (made, mut wire) in at_each_step(tls, 2) {
                if made == 0 && failure != "+5s" {
                    // Nobody is there who could do it.
                    continue;
                }
                let fault = fault(failure, made);
                wire.play(&format!("{failure}\n* connect\n= to 0 anna\n= upstream failed true: {fault}"));
                for step in steps(tls) {
                    wire.play(step);
                }
                wire.play("B< 331 x\nC< 331 x");
                assert!(made <= last);
            }
        }
    }
    connecting(Off, 2)
        .play("B refused\n* connect\n= upstream failed true: it cannot be reached\nB connected");
    let mut wire = connecting(Explicit, 2);
    wire.play("B connected\nB< 220 x\nB> AUTH TLS\nB< 234 x\n* secure upstream\nB refused\n* connect");
    wire.play("= upstream failed true: the TLS handshake with it failed");
}

#[test]
fn the_last_failure_ends_the_session() {
    for tls in [Off, Explicit, Implicit] {
        for failure in FAILURES {
            for (made, mut wire) in at_each_step(tls, 1) {
                if made > 0 || failure == "+5s" {
                    let fault = fault(failure, made);
                    wire.play(&format!(
                        "{failure}
                         C< 421 The server is not available; closing the connection.
                         * close
                         = upstream failed false: {fault}
                         = closed backend_unavailable"
                    ));
                }
            }
        }
    }
}

#[test]
fn as_many_servers_are_tried_as_are_allowed() {
    let mut wire = connecting(Off, 3);
    wire.play("B refused\n* connect\n+5s\n* connect\nB connected\nB< 530 no\nC< 421 …\n* close");
    wire.play("= upstream failed false: its greeting was 530 \"no\"");
}

#[test]
fn where_no_server_is_left_or_all_are_full_the_client_is_told_which() {
    connecting(Off, 3).play(
        "B unreachable
         C< 421 The server is not available; closing the connection.
         * close
         = upstream failed false: no server is left to try",
    );
    connecting(Off, 3).play(
        "B refused
         * connect
         B full
         C< 421 Too many sessions on the server; try again later.
         * close
         = upstream failed true: it cannot be reached
         = upstream failed false: all servers are full
         = closed backend_unavailable",
    );
}

#[test]
fn once_user_was_sent_no_other_server_is_tried() {
    for failure in ["B closed", "B< 421 bye", "B< SSH-2.0-x", "B desynchronised"] {
        for tls in [Off, Explicit, Implicit] {
            let mut wire = connecting(tls, 5);
            for step in steps(tls) {
                wire.play(step);
            }
            wire.play(&format!("{failure}\nC< 421 …\n* close"));
        }
    }
    let mut wire = connecting(Off, 5);
    wire.play("B connected\nB< 220 x\nB> USER anna\nB refused\nB secured\nB connected\nB< 331 x\nC< 331 x");
}

#[test]
fn each_server_has_its_own_time() {
    connecting(Off, 2).play("+4s\nB refused\n* connect\n+4s\nB connected\n+1s\nC< 421 …\n* close");
    // What follows the 220 has as much again.
    let mut wire = connecting(Explicit, 1);
    wire.play(
        "+4s\nB connected\nB< 220 x\nB> AUTH TLS\n+4s\nB< 234 x\n* secure upstream\n+1s\nC< 421 …\n* close",
    );
}

#[test]
fn waiting_for_room_does_not_eat_the_servers_time() {
    let mut wire = connecting(Off, 2);
    wire.play("+4s\nB placed\n+4s\nB connected\n+1s\n* connect");
    wire.play("= upstream failed true: it did not greet in time");
    // The next one waits too; nobody waits for ever.
    wire.play("+4s\nB placed\n+4s\nB connected\nB< 220 x\nB> USER anna");
    connecting(Off, 1).play("+5s\nC< 421 …\n* close");
}

#[test]
fn a_place_is_nothing_once_the_server_is_there() {
    let mut wire = connecting(Explicit, 1);
    wire.play("+4s\nB connected\nB placed\nB< 220 x\nB> AUTH TLS\nB placed\n+4s\nB placed");
    wire.play("B< 234 x\n* secure upstream\nB placed\n+1s\nC< 421 …\n* close\nB placed");
    let mut wire = connecting(Off, 1);
    wire.play("+4s\nB connected\nB placed\n+1s\nC< 421 …\n* close");
}

#[test]
fn a_server_that_speaks_in_the_middle_of_the_handshake_is_not_used() {
    let mut wire = connecting(Explicit, 2);
    wire.play("B connected\nB< 220 x\nB> AUTH TLS\nB< 234 x\n* secure upstream\nB< 200 x\n* connect");
    wire.play("= violation backend.unsolicited_reply");
    wire.play("= upstream failed true: it does not follow the protocol (backend.unsolicited_reply)");
}

#[test]
fn the_client_leaves_and_the_gateway_stops_at_any_step() {
    for tls in [Off, Explicit, Implicit] {
        for (_, mut wire) in at_each_step(tls, 3) {
            wire.play("C closed\n* close\n= closed client_gone");
        }
        for (_, mut wire) in at_each_step(tls, 3) {
            wire.play("kill\nC< 421 …\n* close\n= closed draining");
        }
    }
}

#[test]
fn what_comes_of_a_dial_or_handshake_after_the_end_is_nothing() {
    for report in ["B refused", "B connected"] {
        connecting(Off, 3).play(&format!("C closed\n* close\n{report}"));
    }
    for report in ["B refused", "B secured"] {
        let mut wire = connecting(Explicit, 3);
        wire.play("B connected\nB< 220 x\nB> AUTH TLS\nB< 234 x\n* secure upstream\nC closed\n* close");
        wire.play(report);
    }
}

#[test]
fn the_login_has_its_deadline_however_many_servers_are_tried() {
    let mut wire = connecting(Off, 100);
    wire.play(
        "+29s\n* connect\n* connect\n* connect\n* connect\n* connect\n+1s\nC< 421 Login timeout…\n* close",
    );
}
