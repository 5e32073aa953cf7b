//! REST is held and sent right before its transfer command.

use super::harness::{ARM, Wire};

#[test]
fn a_restart() {
    for order in [["C> REST 100\nC< 350 …", ARM], [ARM, "C> REST 100\nC< 350 …"]] {
        let mut wire = Wire::ready();
        wire.play(order[0]);
        wire.play(order[1]);
        wire.play(
            "C> RETR a
             B> REST 100
             B< 100 hm
             B< 350 ok
             B> RETR a
             B< 150 x
             C< 150 x
             * relay download private
             relay complete 1
             B< 226 x
             * finish download
             download ended
             C< 226 x",
        );
        // It was for this one transfer.
        wire.play(ARM);
        wire.play("C> RETR a\nB> RETR a");
    }
}

#[test]
fn rest_0_is_no_restart() {
    let mut wire = Wire::armed();
    wire.play("C> REST 0\nC< 350 …\nC> STOR a\nB> STOR a");
    let mut wire = Wire::armed();
    wire.play("C> REST 9\nC< 350 …\nC> REST 0\nC< 350 …\nC> STOR a\nB> STOR a");
}

#[test]
fn bad_offsets() {
    for offset in ["-1", "x", "9223372036854775808", "1 2"] {
        Wire::ready().play(&format!("C> REST {offset}\nC< 501 …"));
    }
    Wire::ready().play("C> REST\nC< 501 …\nC> REST 9223372036854775807\nC< 350 …");
}

#[test]
fn a_rest_that_is_not_followed_by_a_possible_transfer_is_forgotten() {
    let mut wire = Wire::ready();
    wire.play("C> REST 100\nC< 350 …\nC> RETR a\nC< 425 …");
    wire.play(ARM);
    wire.play("C> RETR a\nB> RETR a");
}

#[test]
fn a_backend_that_leaves_lies_or_is_silent_at_rest() {
    for (event, reason) in [
        ("B closed", "backend_gone"),
        ("B< 421 x", "backend_gone"),
        ("+60s", "backend_timeout"),
        ("B< 226 x", "backend_violation"),
    ] {
        let mut wire = Wire::armed();
        wire.play("C> REST 7\nC< 350 …\nC> RETR a\nB> REST 7");
        wire.play(&format!("{event}\nC< 421 …\n* close\n= closed {reason}"));
    }
}

#[test]
fn a_refused_rest_is_the_answer_to_its_transfer() {
    for reply in ["502 no", "501 no", "450 no"] {
        let mut wire = Wire::armed();
        wire.play(&format!("C> REST 7\nC< 350 …\nC> RETR a\nB> REST 7\nB< {reply}\n* discard\nC< {reply}"));
        wire.play("C> RETR a\nC< 425 …");
        wire.play(ARM);
        wire.play("C> RETR a\nB> RETR a");
    }
}

#[test]
fn an_accepted_rest_whose_transfer_did_not_begin_is_undone() {
    let expired = "
        C> REST 7
        C< 350 …
        C> RETR a
        B> REST 7
        lease expired
        * discard
        C< 425 …
        = transfer RETR 425 0B 0s none
        C> PWD
        B< 350 ok
        B> REST 0";
    let mut wire = Wire::armed();
    wire.play(expired);
    wire.play("B< 100 hm\nB< 350 ok\nB> PWD");
    let mut wire = Wire::armed();
    wire.play(expired);
    wire.play("B< 502 no\nC< 421 …\n* close\n= closed not_resynchronised");
    // A refusal needs no undoing.
    let mut wire = Wire::armed();
    wire.play("C> REST 7\nC< 350 …\nC> RETR a\nB> REST 7\nlease expired\n* discard\nC< 425 …\nB< 502 no");
    wire.play("C> PWD\nB> PWD");
}

#[test]
fn a_transfer_that_waits_for_rest_is_recorded_when_the_session_ends() {
    let mut wire = Wire::armed();
    wire.play("C> REST 7\nC< 350 …\nC> RETR a\nB> REST 7\nB< 226 x\nC< 421 …\n* close");
    wire.play("= violation backend.impossible_reply\n= transfer RETR 421 0B 0s none");
}
