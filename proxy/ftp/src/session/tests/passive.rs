//! PASV and EPSV, on both sides: the client's from a leased port, the backend's dialled.

use super::harness::{LOGIN, Scene, Wire};

/// A client on IPv6.
fn ready_on_v6() -> Wire {
    Scene::plain().from("2001:db8::7").log_in()
}

#[test]
fn pasv_is_answered_while_the_backend_is_asked() {
    Wire::ready().play(
        "C> PASV
         * lease
         B> EPSV
         lease ok 203.0.113.1:61000
         C< 227 Entering Passive Mode (203,0,113,1,238,72).
         B< 229 Extended (|||2000|)
         * dial 2000
         dial ok",
    );
}

#[test]
fn the_lease_may_come_after_the_backend() {
    Wire::ready().play(
        "C> EPSV
         * lease
         B> EPSV
         B< 229 Extended (|||2000|)
         * dial 2000
         dial ok
         lease ok
         C< 229 …
         C> LIST
         B> LIST",
    );
}

#[test]
fn no_port_is_free() {
    for reason in ["none", "unresolved"] {
        Wire::ready().play(&format!(
            "C> PASV
             * lease
             B> EPSV
             lease {reason}
             * discard
             C< 425 …
             = finished PASV 425
             C> PWD
             B< 229 Extended (|||2000|)
             B> PWD
             B< 257 x
             C< 257 x
             C> LIST
             C< 425 …"
        ));
    }
}

#[test]
fn pasv_over_ipv6() {
    ready_on_v6().play("C> PASV\n* lease\nB> EPSV\nlease ok [2001:db8::1]:61000\n* discard\nC< 425 …");
    ready_on_v6().play("C> EPSV\n* lease\nB> EPSV\nlease ok [2001:db8::1]:61000\nC< 229 …");
}

#[test]
fn epsv_for_the_other_family() {
    Wire::ready().play("C> EPSV 2\nC< 522 Network protocol not supported, use (1)");
    Wire::ready().play("C> EPSV 3\nC< 522 …\nC> EPSV x\nC< 501 …\nC> EPSV 1\n* lease\nB> EPSV");
    ready_on_v6()
        .play("C> EPSV 1\nC< 522 Network protocol not supported, use (2)\nC> EPSV 2\n* lease\nB> EPSV");
}

#[test]
fn after_epsv_all_nothing_but_epsv() {
    Wire::ready().play(
        "C> EPSV ALL
         C< 200 …
         C> PASV
         C< 503 …
         C> PORT 192,0,2,7,200,1
         C< 503 …
         C> EPRT |1|192.0.2.7|51201|
         C< 503 …
         C> EPSV
         * lease
         B> EPSV",
    );
}

#[test]
fn a_backend_without_epsv_is_asked_for_pasv_and_that_is_remembered() {
    for refusal in ["500 what?", "501 what?", "502 no", "522 no", "229 ok", "229 (|||0|)", "227 x", "200 ok"]
    {
        Wire::ready().play(&format!(
            "C> EPSV
             * lease
             B> EPSV
             lease ok
             C< 229 …
             B< {refusal}
             B> PASV
             = epsv refused
             B< 227 ok (127,0,0,1,8,0)
             * dial 2048
             dial ok
             C> PASV
             * discard
             * lease
             B> PASV"
        ));
    }
}

#[test]
fn a_server_known_to_lack_epsv_is_asked_for_pasv() {
    let mut wire = Scene::plain().begin();
    wire.play("C< 220 ready");
    wire.play(&LOGIN.replace("B connected", "B connected 198.51.100.3:21 without EPSV"));
    wire.play("C> EPSV\n* lease\nB> PASV\nlease ok\nC< 229 …\nB< 227 =1,2,3,4,8,1\n* dial 2049");
}

#[test]
fn pasv_is_not_asked_of_a_server_on_ipv6() {
    let mut wire = Scene::plain().begin();
    wire.play("C< 220 ready");
    wire.play(&LOGIN.replace("B connected", "B connected [2001:db8::3]:21"));
    // Twice: an EPSV that was refused without an alternative is not given up.
    for _ in 0..2 {
        for refusal in ["500 no", "502 no", "522 no", "229 x"] {
            wire.play(&format!(
                "C> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …\nB< {refusal}\nC> LIST\n* discard\nC< 425 …"
            ));
        }
    }
}

#[test]
fn a_refused_pasv_is_425_and_the_session_goes_on() {
    for refusal in ["500 no", "502 no", "425 no", "227 x", "350 hm"] {
        let mut wire = Scene::plain().begin();
        wire.play("C< 220 ready");
        wire.play(&LOGIN.replace("B connected", "B connected 198.51.100.3:21 without EPSV"));
        wire.play(&format!("C> EPSV\n* lease\nB> PASV\nlease ok\nC< 229 …\nB< {refusal}"));
        wire.play("C> RETR a\n* discard\nC< 425 …\nC> PWD\nB> PWD");
    }
}

#[test]
fn an_answer_to_epsv_that_nobody_waits_for_is_not_followed_by_pasv() {
    let mut wire = Wire::ready();
    wire.play("C> EPSV\n* lease\nB> EPSV\nlease none\n* discard\nC< 425 …\nB< 502 no\n= epsv refused");
    wire.play("C> EPSV\n* lease\nB> PASV");
}

#[test]
fn a_227_to_epsv_is_no_refusal() {
    Wire::ready().play(
        "C> EPSV
         * lease
         B> EPSV
         lease ok
         C< 229 …
         B< 227 ok (10,0,0,1,7,208)
         * dial 2000
         dial ok
         C> EPSV
         * discard
         * lease
         B> EPSV",
    );
}

#[test]
fn replies_that_are_nearly_229() {
    for (reply, port) in [
        ("229 ok (!!!2000!)", 2000),
        ("227 ok (10,0,0,1,7,208)", 2000),
        ("229 ok (|1|10.0.0.9|2000|)", 2000),
        ("100 hm\\n229 (|||65535|)", 65535),
    ] {
        Wire::ready()
            .play(&format!("C> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …\nB< {reply}\n* dial {port}"));
    }
    for reply in ["229 ok", "229 (|||0|)", "229 (|||65536|)", "229 (|||x|)", "200 ok"] {
        Wire::ready().play(&format!("C> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …\nB< {reply}\nB> PASV"));
    }
}

#[test]
fn a_backend_that_prepares_nothing() {
    for (reply, pasv) in
        [("425 no", ""), ("550 no", ""), ("500 no", "B> PASV\nB< 500 no"), ("229 x", "B> PASV\nB< 227 x")]
    {
        let mut wire = Wire::ready();
        wire.play(&format!("C> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …\nB< {reply}\n{pasv}"));
        wire.play("C> RETR a\n* discard\nC< 425 …\n= transfer RETR 425 0B 0s none");
        // Once is enough: the next one begins afresh.
        wire.play_partly("C> RETR a\nC< 425 …\nC> EPSV\n* lease");
        wire.play(if pasv.is_empty() { "B> EPSV" } else { "B> PASV" });
    }
}

#[test]
fn the_host_in_a_227_is_ignored_and_a_privileged_port_refused() {
    let passive = "C> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …\nB< 502 no\nB> PASV\n";
    Wire::ready().play(&format!("{passive}B< 227 (10,9,8,7,4,0)\n* dial 1024"));
    let mut wire = Wire::ready();
    wire.play(&format!("{passive}B< 227 (10,9,8,7,3,255)"));
    wire.play("= violation backend.low_port\nC> RETR a\n* discard\nC< 425 …");
}

#[test]
fn the_transfer_command_waits_for_the_data_connection() {
    let dialling = "C> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …\nC> RETR a\nB< 229 (|||2000|)\n* dial 2000";
    let mut wire = Wire::ready();
    wire.play(dialling);
    wire.play("dial ok\nB> RETR a\nB< 150 x\nC< 150 x\n* relay download private");
    let mut wire = Wire::ready();
    wire.play(dialling);
    wire.play("dial failed\n* discard\nC< 425 …\n= transfer RETR 425 0B 0s none\nC> NOOP\nB> NOOP");
}

#[test]
fn nobody_opens_the_leased_port() {
    Wire::armed().play("lease expired\n* discard\nC> RETR a\nC< 425 …");
    // While the transfer command waits for the backend.
    Wire::ready().play(
        "C> EPSV
         * lease
         B> EPSV
         lease ok
         C< 229 …
         B< 229 (|||2000|)
         * dial 2000
         C> RETR a
         +10s
         lease expired
         * discard
         C< 425 …
         = transfer RETR 425 0B 10s none
         C> PWD
         B> PWD",
    );
}

#[test]
fn nobody_opens_the_leased_port_before_the_150() {
    for command in ["RETR a", "STOR a"] {
        Wire::opening(command).play(
            "lease expired
             * cancel
             C< 425 …
             B>! ABOR
             C> PWD
             B< 150 Here it comes
             B< 426 aborted
             B< 226 ok
             B> PWD",
        );
    }
    // Afterwards the relay is asked.
    Wire::relaying("RETR a").play("lease expired\nrelay not-connected 0\nC< 425 …\nB>! ABOR");
}

#[test]
fn a_second_pasv_replaces_the_first() {
    Wire::armed().play(
        "C> PASV
         * discard
         * lease
         B> EPSV
         lease ok 203.0.113.1:61001
         C< 227 …
         B< 229 (|||2001|)
         * dial 2001
         dial ok
         C> LIST
         B> LIST",
    );
}

#[test]
fn a_second_epsv_while_the_first_is_dialled() {
    Wire::ready().play(
        "C> EPSV
         * lease
         B> EPSV
         lease ok
         C< 229 …
         B< 229 (|||2000|)
         * dial 2000
         C> EPSV
         * discard
         * lease
         B> EPSV
         lease ok
         C< 229 …
         B< 229 (|||2001|)
         * dial 2001
         C> LIST
         dial ok
         B> LIST",
    );
}

#[test]
fn every_transfer_needs_its_own_setup() {
    let mut wire = Wire::ready();
    for command in ["RETR a", "STOR a", "STOU", "APPE a", "LIST", "NLST", "MLSD"] {
        wire.play(&format!("C> {command}\nC< 425 …"));
    }
    wire.play("= transfer RETR 425 0B 0s none\n= transfer MLSD 425 0B 0s none");
}

#[test]
fn data_connections_that_are_ready_outlive_other_commands() {
    Wire::armed().play(
        "C> CWD a
         B> CWD a
         B< 250 x
         C< 250 x
         C> TYPE I
         B> TYPE I
         B< 200 x
         C< 200 x
         C> STOR a
         B> STOR a",
    );
}

#[test]
fn the_backend_leaves_or_is_silent_at_its_own_epsv() {
    let asked = "C> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …";
    for (event, reason) in
        [("B closed", "backend_gone"), ("B< 421 x", "backend_gone"), ("+60s", "backend_timeout")]
    {
        let mut wire = Wire::ready();
        wire.play(asked);
        wire.play(&format!("{event}\nC< 421 …\n* close\n= closed {reason}"));
    }
    let mut wire = Wire::ready();
    wire.play(asked);
    wire.play(
        "B< 229 (|||2000|)\\n229 (|||2001|)
         * dial 2000
         C< 421 …
         * close
         = violation backend.unsolicited_reply",
    );
}
