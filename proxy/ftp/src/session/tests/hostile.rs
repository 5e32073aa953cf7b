//! Clients and backends that mean harm.

use super::harness::{Scene, Wire};

#[test]
fn lines_on_which_servers_disagree_end_the_session() {
    for error in ["bare LF", "bare CR", "NUL"] {
        let script = format!("C! {error}\nC< 500 …\n* close\n= violation client.malformed_line");
        Wire::ready().play(&script);
        let mut wire = Scene::explicit().begin();
        wire.play("C< 220 ready");
        wire.play(&script);
    }
}

#[test]
fn the_third_long_line_is_the_last() {
    Wire::ready().play(
        "C! too long
         C< 500 …
         C> NOOP
         B> NOOP
         B< 200 x
         C< 200 x
         C! telnet
         C< 500 …
         C! too long
         C< 500 …
         * close
         = violation client.long_lines",
    );
}

#[test]
fn lines_that_end_the_session_in_mid_transfer_cut_it_off() {
    for command in ["RETR a", "STOR a"] {
        for error in ["bare LF", "bare CR", "NUL"] {
            let mut wire = Wire::relaying(command);
            wire.play(&format!("progress 5\nC! {error}\n* cancel\nC< 426 …\nC< 500 …\n* close"));
            wire.play(&format!("= transfer {} 426 5B 0s none\n= closed client_violation", &command[..4]));
        }
        let mut wire = Wire::relaying(command);
        wire.play("C! too long\nC! telnet\nC! too long\n* cancel\nC< 426 …\nC< 500 …\n* close");
    }
}

#[test]
fn a_tls_record_on_a_clear_connection_gets_no_echo() {
    let mut wire = Scene::explicit().begin();
    wire.play("C< 220 ready\nC! tls\n* close\n= violation client.unexpected_tls");
}

#[test]
fn other_protocols_get_no_echo() {
    for line in ["GET / HTTP/1.1", "POST /x", "EHLO mail", "SSH-2.0-OpenSSH_9.2"] {
        let mut wire = Scene::explicit().begin();
        wire.play(&format!("C< 220 ready\nC> {line}\n* close\n= violation client.foreign_protocol"));
    }
}

#[test]
fn a_proxy_header_from_a_client_gets_no_answer() {
    for header in ["> PROXY TCP4 192.0.2.7 192.0.2.1 50000 21", "! PROXY"] {
        let mut wire = Scene::explicit().begin();
        wire.play(&format!("C< 220 ready\nC{header}\n* close\n= violation client.proxy_header"));
    }
}

#[test]
fn a_password_is_in_no_debug_output() {
    let mut wire = Scene::plain().begin();
    wire.play("C< 220 ready\nC> USER anna\n* connect\nC> PASS canary\nC> ACCT canary");
    let shown = format!("{:?}", wire.session);
    // As text, and as a list of bytes.
    assert!(!shown.contains("canary") && !shown.contains("99, 97, 110, 97"), "{shown}");
    assert!(shown.contains("PASS ***"), "{shown}");
}

#[test]
fn commands_before_the_refused_one_are_answered_first() {
    Wire::ready().play("C> PWD\nB> PWD\nC> FROB\nC! too long\nB< 257 x\nC< 257 x\nC< 500 …\nC< 500 …");
}

#[test]
fn ten_thousand_commands_are_held_back_not_stored() {
    let mut wire = Wire::ready();
    wire.play("C> PWD\nB> PWD");
    let mut sent = 0;
    while wire.session.wants_command() {
        wire.play("C> NOOP");
        sent += 1;
        assert!(sent <= 16, "more than 16 lines wait");
    }
    assert_eq!(sent, 16);
    for _ in 0..10_000 {
        wire.play("B< 200 x\nC< 200 x\nB> NOOP");
        assert!(wire.session.wants_command());
        wire.play("C> NOOP");
        assert!(!wire.session.wants_command());
    }
}

#[test]
fn a_backend_that_answers_before_it_is_asked() {
    Wire::ready().play("B< 257 forged\nC< 421 …\n* close\n= violation backend.unsolicited_reply");
    Wire::ready().play("C> PWD\nB> PWD\nB desynchronised\nC< 421 …\n* close\n= closed backend_violation");
    Wire::ready().play("C> PWD\nB> PWD\nB< 257 x\\n257 y\nC< 257 x\nC< 421 …\n* close");
}

#[test]
fn an_endless_reply_ends_the_session() {
    let reply = format!("215-x{}", "\\ny".repeat(600));
    Wire::ready().play(&format!(
        "C> SYST\nB> SYST\nB< {reply}\nC< 421 …\n* close\n= violation backend.malformed_reply"
    ));
}

#[test]
fn announcements_without_end_end_the_session() {
    let chatter = "B< 100 hm\n".repeat(100);
    Wire::ready().play(&format!("C> PWD\nB> PWD\n{chatter}B< 257 x\nC< 257 x\nC> PWD\nB> PWD\n{chatter}"));
    let mut wire = Wire::ready();
    wire.play(&format!(
        "C> PWD\nB> PWD\n{chatter}B< 100 hm\nC< 421 …\n* close\n= violation backend.malformed_reply"
    ));
    let mut wire = Wire::opening("STOR a");
    wire.play("B< 150 x\nC< 150 x\n* relay upload private\nrelay complete 1");
    wire.play(&format!("{}* cancel\nC< 426 …\nC< 421 …\n* close", "B< 150 x\n".repeat(100)));
}

#[test]
fn a_421_at_any_time_is_the_end() {
    Wire::ready().play("B< 421 Timeout\nC< 421 Timeout\n* close\n= closed backend_gone");
    Wire::ready().play("C> PWD\nB> PWD\nB< 421 Timeout\nC< 421 Timeout\n* close");
}

#[test]
fn nothing_comes_after_the_end() {
    let mut wire = Wire::relaying("STOR a");
    wire.play("kill\n* cancel\nC< 426 …\nC< 421 …\n* close");
    wire.play(
        "C> PWD
         C! too long
         C! NUL
         C partial
         C closed
         B< 226 x
         B< what
         B closed
         B desynchronised
         B connected
         B unreachable
         lease ok
         lease expired
         dial ok
         progress 7 ended
         relay complete 7
         download ended
         tls ok
         tls failed
         tls injected
         drain
         kill
         +10000s",
    );
}

#[test]
fn reports_that_nobody_asked_for_change_nothing() {
    Wire::ready().play(
        "B connected
         B unreachable
         lease ok
         lease none
         lease expired
         dial ok
         dial failed
         progress 7 ended
         relay complete 7
         download ended
         tls ok
         C> PWD
         B> PWD",
    );
}
