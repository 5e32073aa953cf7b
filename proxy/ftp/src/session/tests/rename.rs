//! RNFR is held and sent together with its RNTO.

use super::harness::Wire;

#[test]
fn a_rename() {
    Wire::ready().play(
        "C> RNFR a
         C< 350 …
         C> RNTO b
         B> RNFR a
         B< 100 hm
         B< 350 ok
         B> RNTO b
         B< 250 renamed
         C< 250 renamed
         = finished RNTO 250
         C> RNTO c
         C< 503 …",
    );
}

#[test]
fn rnto_without_rnfr() {
    Wire::ready().play("C> RNTO b\nC< 503 …");
}

#[test]
fn the_second_of_two_rnfr_counts() {
    Wire::ready().play("C> RNFR a\nC< 350 …\nC> RNFR b\nC< 350 …\nC> RNTO c\nB> RNFR b\nB< 350 x\nB> RNTO c");
}

#[test]
fn a_held_rnfr_does_not_move_to_another_directory() {
    for command in ["CWD d", "CDUP", "DELE a", "SYST"] {
        Wire::ready().play(&format!(
            "C> RNFR a\nC< 350 …\nC> {command}\nB> {command}\nB< 250 x\nC< 250 x\nC> RNTO b\nC< 503 …"
        ));
    }
    Wire::ready().play("C> RNFR a\nC< 350 …\nC> NOOP\nB> NOOP\nB< 200 x\nC< 200 x\nC> RNTO b\nB> RNFR a");
}

#[test]
fn what_the_backend_thinks_of_rnfr_is_the_answer_to_rnto() {
    Wire::ready().play("C> RNFR a\nC< 350 …\nC> RNTO b\nB> RNFR a\nB< 550 No such file\nC< 550 No such file");
    Wire::ready().play("C> RNFR a\nC< 350 …\nC> RNTO b\nB> RNFR a\nB< 450 Busy\nC< 450 Busy\nC> PWD\nB> PWD");
    Wire::ready().play("C> RNFR a\nC< 350 …\nC> RNTO b\nB> RNFR a\nB< 250 done?\nC< 550 …\nC> PWD\nB> PWD");
}

#[test]
fn a_backend_that_leaves_or_is_silent_in_mid_rename() {
    for (event, reason) in
        [("B closed", "backend_gone"), ("B< 421 x", "backend_gone"), ("+60s", "backend_timeout")]
    {
        let mut wire = Wire::ready();
        wire.play("C> RNFR a\nC< 350 …\nC> RNTO b\nB> RNFR a");
        wire.play(&format!("{event}\nC< 421 …\n* close\n= closed {reason}"));
    }
}
