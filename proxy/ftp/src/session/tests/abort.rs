//! ABOR, and the backend's replies brought back into step.

use super::harness::{ARM, Wire};

/// Aborted by the client, who asks something else at once.
fn aborting(command: &str) -> Wire {
    let mut wire = Wire::relaying(command);
    wire.play("C> ABOR\n* cancel\nC< 426 …\nB>! ABOR\nC> PWD");
    wire
}

/// What follows when both sides are in step again.
const IN_STEP: &str = "
    C< 226 …
    B> PWD
    B< 257 \"/\"
    C< 257 \"/\"";

#[test]
fn abort_at_rest() {
    Wire::ready().play("C> ABOR\nC< 226 …\n= finished ABOR 226");
    Wire::armed().play("C> ABOR\n* discard\nC< 226 …\nC> LIST\nC< 425 …");
}

#[test]
fn replies_that_bring_back_into_step_at_once() {
    for replies in [
        &["426 aborted", "226 ok"][..],
        // The transfer had just ended.
        &["226 Done", "225 nothing to abort"],
        &["226 Done", "226 ok"],
        &["225 ok"],
        &["426 aborted", "500 ABOR?"],
        &["426 aborted", "502 ABOR?"],
        &["551 broken", "226 ok"],
        // The 150 was under way.
        &["150 Here", "426 aborted", "225 ok"],
    ] {
        for command in ["RETR a", "STOR a"] {
            let mut wire = aborting(command);
            for reply in replies {
                wire.play_partly(&format!("B< {reply}"));
            }
            wire.play(IN_STEP);
        }
    }
}

#[test]
fn one_reply_and_then_a_marker() {
    for reply in ["226 ok", "426 aborted", "250 ok", "500 ABOR?"] {
        let mut wire = aborting("RETR a");
        wire.play(&format!("B< {reply}\n+999ms\n+1ms\nB>! NOOP"));
        wire.play_partly("B< 200 NOOP");
        wire.play(IN_STEP);
    }
}

#[test]
fn late_replies_do_not_pass_for_the_marker() {
    for late in ["226 ok", "225 ok", "426 aborted", "500 ABOR?", "502 ABOR?"] {
        let mut wire = aborting("STOR a");
        wire.play("B< 426 aborted\n+1s\nB>! NOOP");
        wire.play(&format!("B< {late}"));
        wire.play_partly("B< 200 NOOP");
        wire.play(IN_STEP);
    }
}

#[test]
fn a_backend_that_is_silent_after_abor() {
    aborting("RETR a").play("+9s\n+1s\nC< 421 …\n* close\n= closed not_resynchronised");
    aborting("RETR a").play("B< 150 hm\n+10s\nC< 421 …\n* close\n= closed not_resynchronised");
    let mut wire = aborting("RETR a");
    wire.play("B< 426 x\n+1s\nB>! NOOP\n+10s\nC< 421 …\n* close\n= closed not_resynchronised");
}

#[test]
fn a_backend_that_chatters_after_abor_is_bounded_too() {
    let mut wire = aborting("RETR a");
    for _ in 0..9 {
        wire.play("B< 150 hm\n+1s");
    }
    wire.play("B< 150 hm\n+1s\nC< 421 …\n* close\n= closed not_resynchronised");
}

#[test]
fn a_backend_that_leaves_or_lies_after_abor() {
    for (event, reason) in [
        ("B closed", "backend_gone"),
        ("B< 421 bye", "backend_gone"),
        ("B< 350 hm", "backend_violation"),
        ("B< what", "backend_violation"),
    ] {
        aborting("RETR a").play(&format!("{event}\nC< 421 …\n* close\n= closed {reason}"));
    }
}

#[test]
fn the_gateway_or_the_client_ends_after_abor() {
    aborting("RETR a").play("kill\nC< 421 …\n* close\n= closed draining");
    aborting("RETR a").play("C closed\n* close\n= closed client_gone");
    aborting("RETR a").play("drain\nB< 225 x\nC< 421 …\n* close\n= closed draining");
}

#[test]
fn abort_before_the_150() {
    Wire::opening("STOR a").play(
        "C> ABOR
         * cancel
         C< 426 …
         = transfer STOR 426 0B 0s none
         B>! ABOR
         B< 150 Go
         B< 426 aborted
         B< 226 ok
         C< 226 …",
    );
}

/// A transfer command that waits for the backend's data connection.
const WAITING: &str = "
    C> EPSV
    * lease
    B> EPSV
    lease ok
    C< 229 …
    B< 229 (|||2000|)
    * dial 2000
    C> STOR a";

#[test]
fn a_transfer_that_is_aborted_while_it_waits_is_never_sent() {
    let mut wire = Wire::ready();
    wire.play(WAITING);
    wire.play("C> ABOR\n* discard\nC< 426 …\n= transfer STOR 426 0B 0s none\nC< 226 …\ndial ok");
    wire.play("C> PWD\nB> PWD");
    // With a QUIT behind it, too.
    let mut wire = Wire::ready();
    wire.play(WAITING);
    wire.play("C> QUIT\nC> ABOR\n* discard\nC< 426 …\nC< 221 …\nB> QUIT\n* close");
}

#[test]
fn a_transfer_that_is_aborted_at_its_rest_is_never_sent() {
    let mut wire = Wire::armed();
    wire.play("C> REST 7\nC< 350 …\nC> STOR a\nB> REST 7\nC> ABOR\n* discard\nC< 426 …");
    wire.play("B< 350 ok\nB> REST 0\nB< 350 ok\nC< 226 …");
    // A REST that was not sent does not outlive its transfer.
    let mut wire = Wire::ready();
    wire.play("C> REST 7\nC< 350 …");
    wire.play(WAITING);
    wire.play("C> ABOR\n* discard\nC< 426 …\nC< 226 …");
    wire.play(ARM);
    wire.play("C> STOR a\nB> STOR a");
}

#[test]
fn a_transfer_that_waits_ends_with_its_client() {
    let mut wire = Wire::ready();
    wire.play(WAITING);
    wire.play("C ended\nB> QUIT\n* close\n= transfer STOR 421 0B 0s none\n= closed client_gone");
    let mut wire = Wire::ready();
    wire.play(WAITING);
    wire.play("C> QUIT\nC ended\ndial ok\nB> STOR a\nB< 150 x\nC< 150 x\n* relay upload private");
}

#[test]
fn abort_when_the_backend_is_done_already() {
    Wire::relaying("RETR a").play("B< 226 Done\nC> ABOR\n* cancel\nC< 426 …\nC< 226 …\nC> PWD\nB> PWD");
    Wire::relaying("STOR a").play("progress 1 ended\nB< 226 Done\nC> ABOR\n* cancel\nC< 426 …\nC< 226 …");
}

#[test]
fn abort_when_all_bytes_have_moved_comes_too_late() {
    Wire::relaying("STOR a").play("relay complete 1\nC> ABOR\nB< 226 Done\nC< 226 Done\nC< 226 …");
    Wire::relaying("RETR a").play(
        "relay complete 1
         C> ABOR
         B< 226 Done
         * finish download
         download ended
         C< 226 Done
         C< 226 No transfer to abort.",
    );
    Wire::relaying("RETR a").play("relay backend-failed 1\nC> ABOR\nB< 451 disk\nC< 451 disk\nC< 226 …");
}

#[test]
fn abort_behind_other_commands_is_heard_at_once_and_answered_in_its_turn() {
    Wire::relaying("RETR a").play(
        "C> CWD b
         C> ABOR
         * cancel
         C< 426 …
         B>! ABOR
         C> NOOP
         B< 426 x
         B< 226 x
         B> CWD b
         B< 250 x
         C< 250 x
         C< 226 …
         B> NOOP
         B< 200 x
         C< 200 x",
    );
}

#[test]
fn two_aborts_have_two_answers() {
    Wire::relaying("RETR a").play(
        "C> ABOR
         * cancel
         C< 426 …
         B>! ABOR
         C> ABOR
         B< 426 x
         B< 226 x
         C< 226 …
         C< 226 …",
    );
}

#[test]
fn after_an_abort_the_next_transfer_runs() {
    let mut wire = aborting("RETR a");
    wire.play_partly("B< 426 x");
    wire.play_partly("B< 226 x");
    wire.play(IN_STEP);
    wire.play(ARM);
    wire.play("C> RETR b\nB> RETR b\nB< 150 x\nC< 150 x\n* relay download private");
    wire.play("relay complete 1\nB< 226 x\n* finish download\ndownload ended\nC< 226 x");
}

#[test]
fn a_third_answer_to_an_abort_ends_the_session() {
    let mut wire = Wire::relaying("RETR a");
    wire.play("C> ABOR\n* cancel\nC< 426 …\nB>! ABOR\nB< 426 x\nB< 226 x\nC< 226 …");
    wire.play("B< 225 x\nC< 421 …\n* close\n= violation backend.unsolicited_reply");
}
