//! Commands that are one question to the backend, or none.

use super::harness::{Scene, Wire};

#[test]
fn one_question_one_answer() {
    let mut wire = Wire::ready();
    for command in [
        "CWD /a b",
        "CDUP",
        "PWD",
        "MKD a",
        "RMD a",
        "RMDA a",
        "DELE a",
        "SIZE a",
        "MDTM a",
        "MLST",
        "MLST a",
        "MFMT 20200101000000 a",
        "HASH a",
        "XCRC a",
        "AVBL",
        "LANG en",
        "CLNT x",
        "SYST",
        "HELP",
        "HELP RETR",
        "NOOP",
        "STAT a",
        "TYPE I",
        "TYPE A",
        "TYPE A N",
        "TYPE L 8",
        "MODE S",
        "STRU F",
        "ALLO 10",
        "ALLO 10 R 5",
        "SITE CHMOD 644 a",
    ] {
        wire.play(&format!("C> {command}\nB> {command}\nB< 250 done\nC< 250 done"));
    }
    wire.play("= finished SITE 250");
}

#[test]
fn aliases_are_written_as_their_modern_names() {
    let mut wire = Wire::ready();
    for (alias, name) in [("XCWD a", "CWD a"), ("xpwd", "PWD"), ("XMKD a", "MKD a"), ("XRMD a", "RMD a")] {
        wire.play(&format!("C> {alias}\nB> {name}\nB< 250 done\nC< 250 done"));
    }
}

#[test]
fn a_refusal_is_passed_on_as_it_is() {
    let mut wire = Wire::ready();
    for reply in ["550 No such file", "450 Busy", "599 Odd", "350 Really?", "631 x"] {
        wire.play(&format!("C> DELE a\nB> DELE a\nB< {reply}\nC< {reply}"));
    }
}

#[test]
fn announcements_of_slow_commands_are_waited_out() {
    Wire::ready().play(
        "C> HASH a
         B> HASH a
         B< 150 counting
         +59s
         B< 150 still counting
         +59s
         B< 213 deadbeef
         C< 213 deadbeef",
    );
}

#[test]
fn parameters_that_the_gateway_does_not_speak() {
    let mut wire = Wire::ready();
    for (command, code) in [
        ("TYPE E", 504),
        ("TYPE A T", 504),
        ("TYPE L 36", 504),
        ("TYPE X", 501),
        ("TYPE", 501),
        ("MODE Z", 504),
        ("MODE B", 504),
        ("MODE C", 504),
        ("MODE ZZ", 501),
        ("STRU R", 504),
        ("STRU P", 504),
        ("STRU 1", 501),
        ("ALLO", 501),
        ("ALLO -1", 501),
        ("ALLO 99999999999999999999999999", 501),
        ("SITE", 501),
        ("SITE $x", 501),
    ] {
        wire.play(&format!("C> {command}\nC< {code} …"));
    }
}

#[test]
fn commands_that_are_refused_to_everybody() {
    for mut wire in [Wire::ready(), Wire::ready_in_clear()] {
        for command in [
            "ADAT x",
            "MIC x",
            "CONF x",
            "ENC x",
            "SSCN ON",
            "CPSV",
            "REIN",
            "LPSV",
            "LPRT 4,1",
            "SMNT /",
            "RANG 1 2",
            "PORT 192,0,2,7,200,1",
            "EPRT |1|192.0.2.7|51201|",
        ] {
            wire.play(&format!("C> {command}\nC< 502 …"));
        }
        wire.play("= denied EPRT |1|192.0.2.7|51201| 502");
    }
}

#[test]
fn commands_that_are_refused_before_the_login_already() {
    let mut wire = Scene::explicit().begin();
    wire.play("C< 220 ready");
    for command in ["ADAT x", "MIC x", "CONF x", "ENC x", "SSCN ON", "CPSV", "REIN"] {
        wire.play(&format!("C> {command}\nC< 502 …"));
    }
}

#[test]
fn what_is_no_command() {
    for mut wire in [Wire::ready(), Wire::ready_in_clear()] {
        wire.play(
            "C> FROB x
             C< 500 …
             C> \\x20PWD
             C< 500 …
             C> \\x50\\x57\\x44\\x09x
             C< 500 …
             C> RETR
             C< 501 …
             C> STOR
             C< 501 …
             C> PASV x
             C< 501 …
             C> GET /
             C< 500 …",
        );
    }
}

#[test]
fn the_session_answers_for_its_own_status() {
    Wire::ready().play(
        "C> STAT
         C< 211-Status of this session: |  Connected from 192.0.2.7 |  logged in as anna | \
         \x20Control connection: TLS; data connections: TLS | \
         \x20To legacy: control connection: clear; data connections: clear | 211 End",
    );
    Wire::ready_in_clear().play(
        "C> STAT
         C< 211-Status of this session: |  Connected from 192.0.2.7 |  logged in as anna | \
         \x20Control connection: clear; data connections: clear | \
         \x20To legacy: control connection: clear; data connections: clear | 211 End",
    );
}

#[test]
fn a_byte_255_is_doubled_towards_the_backend() {
    Wire::ready().play("C> DELE \\xff\nB> DELE \\xff\\xff\nB< 250 x\nC< 250 x");
}

#[test]
fn quit_at_rest_is_passed_on() {
    Wire::ready().play("C> QUIT\nC< 221 …\nB> QUIT\n* close\n= finished QUIT 221\n= closed quit");
}

#[test]
fn quit_behind_a_command_waits_for_its_answer() {
    Wire::ready().play("C> PWD\nB> PWD\nC> QUIT\nC> NOOP\nB< 257 x\nC< 257 x\nC< 221 …\nB> QUIT\n* close");
}
