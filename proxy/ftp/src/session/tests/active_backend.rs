//! Backends that dial us: they are told where right before the transfer command, and never earlier.

use super::harness::{Scene, Wire};

/// The client has its port, and the backend was told nothing.
fn ready() -> Wire {
    let mut wire = Scene::plain().active().active_backend().log_in();
    wire.play("C> EPSV\n* lease\nlease ok\nC< 229 …");
    wire
}

/// A port of ours is being leased.
fn leasing(command: &str) -> Wire {
    let mut wire = ready();
    wire.play(&format!("C> {command}\n* lease upstream"));
    wire
}

/// PORT was sent.
fn told(command: &str) -> Wire {
    let mut wire = leasing(command);
    wire.play("lease upstream 198.51.100.9:62000\nB> PORT 198,51,100,9,242,48");
    wire
}

fn relaying(command: &str) -> Wire {
    let direction = if command.starts_with("RETR") { "download" } else { "upload" };
    let mut wire = told(command);
    wire.play(&format!("B< 200 ok\nB> {command}\nB< 150 x\nC< 150 x\n* relay {direction} clear"));
    wire
}

#[test]
fn nothing_is_said_before_the_transfer_command() {
    for setup in [
        "C> PASV\n* lease\nlease ok\nC< 227 …",
        "C> EPSV\n* lease\nlease ok\nC< 229 …",
        "C> PORT 192,0,2,7,200,1\n* client at 192.0.2.7:51201\nC< 200 …",
        "C> EPRT |1|192.0.2.7|51201|\n* client at 192.0.2.7:51201\nC< 200 …",
    ] {
        let mut wire = Scene::plain().active().active_backend().log_in();
        wire.play(setup);
        wire.play("C> CWD a\nB> CWD a\nB< 250 x\nC< 250 x\nC> TYPE I\nB> TYPE I\nB< 200 x\nC< 200 x");
        wire.play(
            "C> RETR a
             * lease upstream
             lease upstream 198.51.100.9:62000
             B> PORT 198,51,100,9,242,48
             B< 200 ok
             B> RETR a
             B< 150 x
             C< 150 x
             * relay download clear",
        );
    }
}

#[test]
fn ipv6_is_told_by_eprt_and_mapped_ipv4_by_port() {
    let end = "B< 200 ok\nB> STOR a\nB< 150 x\nC< 150 x\n* relay upload clear";
    leasing("STOR a")
        .play(&format!("lease upstream [2001:db8::9]:62000\nB> EPRT |2|2001:db8::9|62000|\n{end}"));
    leasing("STOR a")
        .play(&format!("lease upstream [::ffff:198.51.100.9]:62000\nB> PORT 198,51,100,9,242,48\n{end}"));
}

#[test]
fn a_backend_without_port_is_told_by_eprt() {
    for refusal in ["500 PORT?", "502 PORT?"] {
        let mut wire = told("RETR a");
        wire.play(&format!("B< 100 hm\nB< {refusal}\nB> EPRT |1|198.51.100.9|62000|"));
        wire.play("B< 100 hm\nB< 200 ok\nB> RETR a\nB< 150 x\nC< 150 x\n* relay download clear");
    }
}

#[test]
fn rest_stands_between_port_and_its_transfer() {
    let mut wire = ready();
    wire.play("C> REST 7\nC< 350 …\nC> RETR a\n* lease upstream");
    wire.play("lease upstream 198.51.100.9:62000\nB> PORT 198,51,100,9,242,48\nB< 200 ok\nB> REST 7\nB< 350 ok\nB> RETR a");
    wire.play("B< 150 x\nC< 150 x\n* relay download clear");
}

#[test]
fn a_refused_rest_lets_go_of_the_port() {
    let mut wire = ready();
    wire.play("C> REST 7\nC< 350 …\nC> RETR a\n* lease upstream");
    wire.play("lease upstream 198.51.100.9:62000\nB> PORT 198,51,100,9,242,48\nB< 200 ok\nB> REST 7\nB< 502 no\n* discard\nC< 502 no");
    wire.play("C> RETR a\nC< 425 …");
}

/// A transfer that could not begin: its answer, its record, and nothing left of it.
const NOT_BEGUN: &str = "
    * discard
    C< 425 The server's data connection cannot be opened.
    = transfer RETR 425 0B 0s none
    C> RETR a
    C< 425 Send PASV, EPSV, PORT or EPRT first.
    C> EPSV
    * lease
    lease ok
    C< 229 …
    C> RETR b
    * lease upstream
    lease upstream 198.51.100.9:62001
    B> PORT 198,51,100,9,242,49
    B< 200 ok
    B> RETR b";

#[test]
fn no_port_is_free_for_the_backend() {
    let mut wire = leasing("RETR a");
    wire.play_partly("lease upstream none");
    wire.play(NOT_BEGUN);
}

#[test]
fn a_backend_that_refuses_to_dial() {
    for refusal in ["501 no", "504 no", "522 no", "550 no", "421 bye", "425 no", "350 hm"] {
        let mut wire = told("RETR a");
        wire.play_partly(&format!("B< {refusal}"));
        if refusal.starts_with("421") {
            wire.play("C< 421 bye\n* close\n= closed backend_gone");
        } else {
            wire.play(NOT_BEGUN);
        }
    }
    for refusal in ["500 no", "501 no", "502 no", "522 no", "425 no"] {
        let mut wire = told("RETR a");
        wire.play("B< 500 PORT?\nB> EPRT |1|198.51.100.9|62000|");
        wire.play_partly(&format!("B< {refusal}"));
        wire.play(NOT_BEGUN);
        let mut wire = leasing("RETR a");
        wire.play("lease upstream [2001:db8::9]:62000\nB> EPRT |2|2001:db8::9|62000|");
        wire.play_partly(&format!("B< {refusal}"));
        wire.play(NOT_BEGUN);
    }
}

#[test]
fn a_held_restart_does_not_outlive_a_transfer_that_did_not_begin() {
    for failure in ["lease upstream none", "lease expired"] {
        let mut wire = ready();
        wire.play("C> REST 7\nC< 350 …\nC> RETR a\n* lease upstream");
        wire.play(&format!("{failure}\n* discard\nC< 425 …"));
        wire.play("C> EPSV\n* lease\nlease ok\nC< 229 …\nC> RETR a\n* lease upstream");
        wire.play("lease upstream 198.51.100.9:62000\nB> PORT 198,51,100,9,242,48\nB< 200 ok\nB> RETR a");
    }
}

#[test]
fn a_backend_that_refuses_the_transfer() {
    // Who could not connect may still try; who refuses will not.
    for (reply, end) in [("550 no", "withdraw"), ("425 cannot connect", "discard"), ("522 reuse", "withdraw")]
    {
        let mut wire = told("RETR a");
        wire.play(&format!("B< 200 ok\nB> RETR a\nB< {reply}\n* {end}\nC< {reply}\nC> PWD\nB> PWD"));
    }
}

#[test]
fn a_backend_that_never_dials() {
    for command in ["RETR a", "STOR a"] {
        relaying(command)
            .play("relay backend-failed 0\nB< 425 cannot connect\nC< 425 cannot connect\nC> PWD\nB> PWD");
    }
    relaying("RETR a").play("relay backend-failed 0\nB< 226 Done\nC< 426 …\nC> PWD\nB> PWD");
}

#[test]
fn every_transfer_leases_its_own_port() {
    let mut wire = relaying("STOR a");
    for port in [62001, 62002, 62003] {
        wire.play("relay complete 1\nB< 226 x\nC< 226 x\nC> PASV\n* lease\nlease ok\nC< 227 …");
        wire.play(&format!(
            "C> STOR a
             * lease upstream
             lease upstream 198.51.100.9:{port}
             B> PORT 198,51,100,9,242,{}
             B< 200 ok
             B> STOR a
             B< 150 x
             C< 150 x
             * relay upload clear",
            port - 61952
        ));
    }
}

#[test]
fn nobody_opens_the_clients_port() {
    ready().play("lease expired\n* discard\nC> RETR a\nC< 425 …");
    leasing("RETR a").play("lease expired\n* discard\nC< 425 …\nlease upstream 198.51.100.9:62000");
    // What the backend was told does not matter any more.
    for reply in ["200 ok", "500 PORT?", "425 no", "350 hm"] {
        let mut wire = told("RETR a");
        wire.play(&format!("lease expired\n* discard\nC< 425 …\nC> PWD\nB< {reply}\nB> PWD"));
    }
    let mut wire = told("STOR a");
    wire.play("B< 200 ok\nB> STOR a\nlease expired\n* cancel\nC< 425 …\nB>! ABOR\nB< 425 x\nB< 226 x");
    wire.play("C> PWD\nB> PWD");
}

#[test]
fn a_setup_that_is_replaced_was_never_told() {
    ready().play(
        "C> PORT 192,0,2,7,200,1
         * discard
         * client at 192.0.2.7:51201
         C< 200 …
         C> PASV
         * discard
         * lease
         lease ok
         C< 227 …
         C> ABOR
         * discard
         C< 226 …
         C> RETR a
         C< 425 …",
    );
}

#[test]
fn abort_while_the_backend_is_told() {
    leasing("STOR a").play("C> ABOR\n* discard\nC< 426 …\nC< 226 …\nlease upstream 198.51.100.9:62000");
    for reply in ["200 ok", "500 PORT?", "425 no"] {
        let mut wire = told("STOR a");
        wire.play(&format!("C> ABOR\n* discard\nC< 426 …\nC> PWD\nB< {reply}\nC< 226 …\nB> PWD"));
    }
    let end = "* cancel\nC< 426 …\nB>! ABOR\nB< 426 x\nB< 226 x\nC< 226 …";
    told("RETR a").play(&format!("B< 200 ok\nB> RETR a\nC> ABOR\n{end}"));
    relaying("RETR a").play(&format!("C> ABOR\n{end}"));
}

#[test]
fn other_commands_wait_while_the_backend_is_told() {
    let mut wire = leasing("STOR a");
    wire.play("C> PASV\nC> NOOP\nC> QUIT\nlease upstream 198.51.100.9:62000\nB> PORT 198,51,100,9,242,48");
    wire.play("B< 200 ok\nB> STOR a\nB< 150 x\nC< 150 x\n* relay upload clear\nrelay complete 1");
    wire.play("B< 226 x\nC< 226 x\n* lease\nlease ok\nC< 227 …\nB> NOOP\nB< 200 x\nC< 200 x\nC< 221 …\nB> QUIT\n* close");
}

#[test]
fn the_session_ends_while_the_backend_is_told() {
    let recorded = "= transfer RETR 421 0B 0s none";
    leasing("RETR a").play(&format!("C closed\nB> QUIT\n* close\n{recorded}\n= closed client_gone"));
    leasing("RETR a").play(&format!("kill\nC< 421 …\n* close\n{recorded}\n= closed draining"));
    leasing("RETR a").play(&format!("B closed\nC< 421 …\n* close\n{recorded}\n= closed backend_gone"));
    leasing("RETR a").play("B< 200 hm\nC< 421 …\n* close\n= violation backend.unsolicited_reply");
    told("RETR a").play(&format!("C ended\n* close\n{recorded}\n= closed client_gone"));
    told("RETR a").play(&format!("C closed\n* close\n{recorded}\n= closed client_gone"));
    told("RETR a").play(&format!("kill\nC< 421 …\n* close\n{recorded}\n= closed draining"));
    told("RETR a").play(&format!("B closed\nC< 421 …\n* close\n{recorded}\n= closed backend_gone"));
    told("RETR a").play("+59s\n+1s\nC< 421 …\n* close\n= closed backend_timeout");
    told("RETR a").play("B< what\nC< 421 …\n* close\n= closed backend_violation");
    told("RETR a")
        .play("B< 200 ok\\n200 ok\nB> RETR a\n* cancel\nC< 421 …\n* close\n= closed backend_violation");
}

#[test]
fn draining_waits_for_a_transfer_that_was_asked_for() {
    ready().play("drain\nC< 421 …\n* close\n= closed draining");
    leasing("STOR a").play("drain\nlease upstream none\n* discard\nC< 425 …\nC< 421 …\n* close");
    told("STOR a").play(
        "drain
         B< 200 ok
         B> STOR a
         B< 150 x
         C< 150 x
         * relay upload clear
         relay complete 1
         B< 226 x
         C< 226 x
         C< 421 …
         * close
         = closed draining",
    );
}

/// A server that gave no ticket for another data connection, and a transfer command that needs one.
fn renewing() -> Wire {
    let mut scene = Scene::plain().active_backend().secure_backend();
    scene.upstream().may_renew = true;
    let mut wire = scene.log_in();
    wire.play("tickets spent\nC> EPSV\n* lease\nlease ok\nC< 229 …\nC> STOR a\nB> PWD");
    wire
}

/// From the old connection's directory to the last command over the new one.
const LOGGED_IN_AFRESH: &str = "
    B< 257 \"/in\"
    * renew
    B connected
    B< 220 again
    B> PBSZ 0
    B< 200 ok
    B> PROT P
    B< 200 ok
    B> USER anna
    B< 331 Password?
    B> PASS hunter2
    B< 230 Welcome
    B> CWD /in
    B< 250 ok
    B> PWD
    tickets available";

#[test]
fn a_ticket_is_there_before_a_port_is_leased() {
    let mut wire = renewing();
    wire.play(LOGGED_IN_AFRESH);
    wire.play(
        "B< 257 \"/in\"
         * keep the new
         = renewed true
         * lease upstream
         lease upstream 198.51.100.9:62000
         B> PORT 198,51,100,9,242,48
         B< 200 ok
         B> STOR a
         B< 150 x
         C< 150 x
         * relay upload clear, upstream private",
    );
}

#[test]
fn without_a_ticket_no_port_is_leased() {
    renewing().play("B< 550 no\n* discard\nC< 425 …\n= renewed false\n= transfer STOR 425 0B 0s none");
    let mut wire = renewing();
    wire.play("B< 257 \"/\"\n* renew\nB refused\n* keep the old\n* discard\nC< 425 …\nC> PWD\nB> PWD");
}

#[test]
fn a_transfer_that_is_given_up_while_the_session_logs_in_afresh() {
    let mut wire = renewing();
    wire.play("C> ABOR\n* discard\nC< 426 …");
    wire.play(LOGGED_IN_AFRESH);
    wire.play("B< 257 \"/in\"\n* keep the new\nC< 226 …\nC> PWD\nB> PWD");
    let mut wire = renewing();
    wire.play("lease expired\n* discard\nC< 425 …");
    wire.play(LOGGED_IN_AFRESH);
    wire.play("B< 257 \"/in\"\n* keep the new\nC> PWD\nB> PWD");
}

#[test]
fn reports_that_nobody_asked_for() {
    Wire::ready().play("lease upstream 198.51.100.9:62000\nlease upstream none\nC> PWD\nB> PWD");
    ready().play("lease upstream 198.51.100.9:62000\nlease upstream none\ndial ok\ndial failed");
    leasing("RETR a").play("dial ok\ndial failed");
    told("RETR a").play("lease upstream none\ndial ok\ndial failed\nB< 200 ok\nB> RETR a");
    relaying("RETR a").play("lease upstream none\nlease upstream 198.51.100.9:62000");
    // A passive backend is asked for its port, and given none.
    Wire::armed().play("lease upstream none\nC> RETR a\nB> RETR a");
}
