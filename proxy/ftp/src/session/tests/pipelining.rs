//! Commands that do not wait for the answers to those before them.

use super::harness::{Scene, Wire};

#[test]
fn answers_come_in_order() {
    Wire::ready().play(
        "C> PWD
         B> PWD
         C> AUTH GSSAPI
         C> SYST
         C> FROB
         C> PBSZ 0
         B< 257 x
         C< 257 x
         C< 504 …
         B> SYST
         B< 215 x
         C< 215 x
         C< 500 …
         C< 200 PBSZ=0",
    );
}

#[test]
fn a_whole_login_in_one_packet() {
    let mut wire = Scene::plain().begin();
    wire.play(
        "C< 220 ready
         C> USER anna
         * connect
         C> PASS hunter2
         C> SYST
         C> QUIT
         B connected
         B< 220 x
         B> USER anna
         B< 331 x
         C< 331 x
         B> PASS hunter2
         B< 230 x
         C< 230 x
         B> SYST
         B< 215 x
         C< 215 x
         C< 221 …
         B> QUIT
         * close",
    );
}

#[test]
fn passive_and_transfer_in_one_packet() {
    Wire::ready().play(
        "C> PASV
         * lease
         B> EPSV
         C> STOR a
         C> NOOP
         lease ok
         C< 227 …
         B< 229 (|||2000|)
         * dial 2000
         dial ok
         B> STOR a
         B< 150 x
         C< 150 x
         * relay upload private
         C< 200 …",
    );
}

#[test]
fn port_and_stor_in_one_packet() {
    Wire::ready()
        .play("C> PWD\nB> PWD\nC> PORT 192,0,2,7,200,1\nC> STOR a\nB< 257 x\nC< 257 x\nC< 502 …\nC< 425 …");
}

#[test]
fn during_a_transfer_noop_and_stat_are_answered_at_once() {
    for command in ["RETR a", "STOR a"] {
        Wire::relaying(command).play(
            "C> NOOP
             C< 200 …
             C> STAT
             C< 213 …
             C> noop x
             C< 200 …",
        );
        Wire::relaying(command).play("relay complete 1\nC> NOOP\nC< 200 …\nC> STAT\nC< 213 …");
    }
}

#[test]
fn during_a_transfer_everything_else_waits() {
    Wire::relaying("STOR a").play(
        "C> STAT a
         C> NOOP
         C> FROB
         relay complete 1
         B< 226 x
         C< 226 x
         B> STAT a
         B< 213 x
         C< 213 x
         B> NOOP
         B< 200 x
         C< 200 x
         C< 500 …",
    );
}

#[test]
fn quit_lets_the_transfer_finish() {
    Wire::relaying("RETR a").play(
        "C> QUIT
         relay complete 1
         B< 226 x
         * finish download
         download ended
         C< 226 x
         C< 221 …
         B> QUIT
         * close
         = closed quit",
    );
}

#[test]
fn quit_behind_an_abort() {
    Wire::relaying("RETR a").play(
        "C> ABOR
         * cancel
         C< 426 …
         B>! ABOR
         C> QUIT
         B< 426 x
         B< 226 x
         C< 226 …
         C< 221 …
         B> QUIT
         * close",
    );
}

#[test]
fn sixteen_lines_wait_at_most() {
    let mut wire = Wire::relaying("RETR a");
    for _ in 0..16 {
        assert!(wire.session.wants_command());
        wire.play("C> PWD");
    }
    assert!(!wire.session.wants_command());
    wire.play("relay complete 1\nB< 226 x\n* finish download\ndownload ended\nC< 226 x\nB> PWD");
    assert!(wire.session.wants_command());
}

#[test]
fn eight_kibibytes_wait_at_most() {
    let mut wire = Wire::relaying("RETR a");
    let line = format!("C> CWD {}", "x".repeat(4000));
    wire.play(&line);
    wire.play(&line);
    assert!(wire.session.wants_command());
    wire.play(&line);
    assert!(!wire.session.wants_command());
}

#[test]
fn refused_lines_count_too() {
    let mut wire = Wire::relaying("RETR a");
    for _ in 0..16 {
        assert!(wire.session.wants_command());
        wire.play("C> FROB");
    }
    assert!(!wire.session.wants_command());
}
