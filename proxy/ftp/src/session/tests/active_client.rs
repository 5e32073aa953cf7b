//! PORT and EPRT from clients: whom they may name, and what becomes of a client that listens.

use super::harness::{Scene, Wire};

/// An IPv4 client.
fn v4() -> Wire {
    Scene::plain().active().log_in()
}

/// An IPv6 client.
fn v6() -> Wire {
    Scene::plain().active().from("2001:db8::7").log_in()
}

/// A client that listens, and a backend that is connected.
fn armed() -> Wire {
    let mut wire = v4();
    wire.play(ARM);
    wire
}

fn opening(command: &str) -> Wire {
    let mut wire = armed();
    wire.play(&format!("C> {command}\nB> {command}"));
    wire
}

fn relaying(command: &str) -> Wire {
    let direction = if command.starts_with("RETR") { "download" } else { "upload" };
    let mut wire = opening(command);
    wire.play(&format!("B< 150 x\nC< 150 x\n* relay {direction} clear"));
    wire
}

const ARM: &str = "
    C> PORT 192,0,2,7,200,1
    * client at 192.0.2.7:51201
    C< 200 …
    B> EPSV
    B< 229 Extended (|||2000|)
    * dial 2000
    dial ok";

/// What is refused, with which code, and whether that is on record as a denial.
#[track_caller]
fn refused(mut wire: Wire, command: &str, answer: &str, is_denied: bool) {
    let (verb, argument) = command.split_once(' ').unwrap();
    let code = &answer[..3];
    wire.play(&format!("C> {command}\nC< {answer}"));
    if is_denied {
        wire.play(&format!("= denied {verb} {argument} {code}"));
    } else {
        wire.play(&format!("= finished {verb} {code}"));
    }
    // Nothing was prepared, and the session goes on.
    wire.play("C> RETR a\nC< 425 Send PASV, EPSV, PORT or EPRT first.\nC> PWD\nB> PWD");
}

#[test]
fn a_listener_without_active_mode() {
    for command in ["PORT 192,0,2,7,200,1", "EPRT |1|192.0.2.7|51201|", "PORT x", "EPRT |7|x|1|"] {
        let mut wire = Wire::ready_in_clear();
        let verb = command.split_once(' ').unwrap().0;
        wire.play(&format!("C> {command}\nC< 502 {verb} is not offered here.\n= denied {command} 502"));
        wire.play("C> RETR a\nC< 425 Send PASV or EPSV first.");
    }
}

#[test]
fn another_host_is_refused() {
    for host in [
        "192.0.2.8",
        "198.51.100.3",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "203.0.113.1",
        "10.0.0.1",
    ] {
        refused(v4(), &format!("PORT {},200,1", host.replace('.', ",")), "500 …", true);
        refused(v4(), &format!("EPRT |1|{host}|51201|"), "500 …", true);
        // In the other spelling, too.
        refused(v4(), &format!("EPRT |2|::ffff:{host}|51201|"), "500 …", true);
    }
    for host in ["2001:db8::8", "::1", "::", "ff02::1", "fe80::1"] {
        refused(v6(), &format!("EPRT |2|{host}|51201|"), "500 …", true);
    }
    // Whose port is low does not matter any more.
    refused(v4(), "PORT 192,0,2,8,0,22", "500 …", true);
}

#[test]
fn a_port_of_a_service_is_refused() {
    for (high, low) in [(0, 1), (0, 21), (3, 255)] {
        refused(v4(), &format!("PORT 192,0,2,7,{high},{low}"), "504 …", true);
    }
    for port in [1, 22, 1023] {
        refused(v4(), &format!("EPRT |1|192.0.2.7|{port}|"), "504 …", true);
        refused(v6(), &format!("EPRT |2|2001:db8::7|{port}|"), "504 …", true);
    }
    v4().play("C> PORT 192,0,2,7,4,0\n* client at 192.0.2.7:1024\nC< 200 …\nB> EPSV");
    v6().play("C> EPRT |2|2001:db8::7|65535|\n* client at [2001:db8::7]:65535\nC< 200 …\nB> EPSV");
}

#[test]
fn malformed_addresses_are_refused() {
    for argument in
        ["192,0,2,7,0,0", "192,0,2,7,200", "192,0,2,7,200,256", "192,0,2,7,200,1,1", "x", "192.0.2.7"]
    {
        refused(v4(), &format!("PORT {argument}"), "501 …", false);
    }
    for argument in [
        "|1|192.0.2.7|0|",
        "|1|192.0.2.7|65536|",
        "|1|192.0.2.7|51201",
        "|1|2001:db8::7|51201|",
        "|2|192.0.2.7|51201|",
        "|1||51201|",
        "||192.0.2.7|51201|",
        "|||51201|",
        "192.0.2.7",
    ] {
        refused(v4(), &format!("EPRT {argument}"), "501 …", false);
    }
    refused(v6(), "EPRT |2|fe80::7%eth0|51201|", "501 …", false);
    v4().play("C> PORT\nC< 501 …\nC> EPRT\nC< 501 …");
}

#[test]
fn another_family_is_refused_with_the_one_that_is_possible() {
    let only = |number: u8| format!("522 Network protocol not supported, use ({number})");
    refused(v4(), "EPRT |2|2001:db8::7|51201|", &only(1), false);
    refused(v4(), "EPRT |3|x|51201|", &only(1), false);
    refused(v4(), "EPRT |0|192.0.2.7|51201|", &only(1), false);
    refused(v6(), "EPRT |1|192.0.2.7|51201|", &only(2), false);
    refused(v6(), "EPRT |2|::ffff:192.0.2.7|51201|", &only(2), false);
    refused(v6(), "EPRT |9|2001:db8::7|51201|", &only(2), false);
    refused(v6(), "PORT 192,0,2,7,200,1", &only(2), false);
}

#[test]
fn an_ipv4_mapped_address_is_the_ipv4_address() {
    let client = "* client at 192.0.2.7:51201\nC< 200 …\nB> EPSV";
    v4().play(&format!("C> EPRT |2|::ffff:192.0.2.7|51201|\n{client}"));
    let mut wire = Scene::plain().active().from("::ffff:192.0.2.7").log_in();
    wire.play(&format!("C> PORT 192,0,2,7,200,1\n{client}"));
    let mut wire = Scene::plain().active().from("::ffff:192.0.2.7").log_in();
    wire.play(&format!("C> EPRT !1!192.0.2.7!51201!\n{client}"));
}

#[test]
fn after_epsv_all_no_client_is_dialled() {
    v4().play(
        "C> EPSV ALL
         C< 200 …
         C> PORT 192,0,2,7,200,1
         C< 503 …
         C> EPRT |1|192.0.2.7|51201|
         C< 503 …",
    );
}

#[test]
fn before_the_login_nobody_is_dialled() {
    for command in ["PORT 192,0,2,7,200,1", "EPRT |1|192.0.2.7|51201|"] {
        Scene::plain().active().begin().play(&format!("C< 220 ready\nC> {command}\nC< 530 …"));
    }
}

#[test]
fn the_client_is_dialled_after_the_150() {
    let mut wire = opening("RETR a");
    wire.play("B< 150 Here\nC< 150 Here\n* relay download clear\nrelay complete 5");
    wire.play(
        "B< 226 Done\n* finish download\ndownload ended\nC< 226 Done\n= transfer RETR 226 5B 0s Complete",
    );
    // It has to listen afresh for the next one.
    wire.play("C> RETR b\nC< 425 …");
}

#[test]
fn a_client_that_cannot_be_dialled() {
    for command in ["RETR a", "STOR a"] {
        relaying(command).play(
            "relay not-connected 0
             C< 425 The data connection was not opened.
             B>! ABOR
             C> PWD
             B< 426 aborted
             B< 226 ok
             B> PWD",
        );
    }
    relaying("RETR a").play("B< 226 Done\nrelay not-connected 0\nC< 425 …\nC> PWD\nB> PWD");
}

#[test]
fn the_backend_refuses_and_the_client_is_never_dialled() {
    for (reply, end) in [("550 no", "withdraw"), ("450 no", "discard"), ("425 no", "discard")] {
        opening("STOR a").play(&format!("B< {reply}\n* {end}\nC< {reply}\nC> STOR a\nC< 425 …"));
    }
}

#[test]
fn a_backend_that_prepares_nothing_for_a_client_that_listens() {
    let mut wire = v4();
    wire.play(&ARM.replace("dial ok", "dial failed"));
    wire.play("C> RETR a\n* discard\nC< 425 The server's data connection cannot be opened.\nC> PWD\nB> PWD");
}

#[test]
fn port_and_stor_in_one_packet() {
    v4().play(
        "C> PORT 192,0,2,7,200,1
         * client at 192.0.2.7:51201
         C< 200 …
         B> EPSV
         C> STOR a
         B< 229 (|||2000|)
         * dial 2000
         dial ok
         B> STOR a
         B< 125 x
         C< 125 x
         * relay upload clear",
    );
}

#[test]
fn the_last_of_port_eprt_pasv_and_epsv_counts() {
    let passive = "* discard\n* lease\nB> EPSV\nlease ok\nC< 229 …\nB< 229 (|||2001|)\n* dial 2001\ndial ok";
    let mut wire = armed();
    wire.play(&format!("C> EPSV\n{passive}"));
    wire.play(
        "C> EPRT |1|192.0.2.7|51202|
         * discard
         * client at 192.0.2.7:51202
         C< 200 …
         B> EPSV
         B< 229 (|||2002|)
         * dial 2002
         C> PORT 192,0,2,7,200,3
         * discard
         * client at 192.0.2.7:51203
         C< 200 …
         B> EPSV
         B< 229 (|||2003|)
         * dial 2003
         dial ok
         C> LIST
         B> LIST
         B< 150 x
         C< 150 x
         * relay download clear",
    );
}

#[test]
fn a_refused_port_leaves_the_one_before_it() {
    let mut wire = armed();
    wire.play("C> PORT 10,0,0,1,200,1\nC< 500 …\nC> EPRT |1|192.0.2.7|80|\nC< 504 …\nC> RETR a\nB> RETR a");
}

#[test]
fn a_client_that_listens_has_no_lease_to_expire() {
    armed().play("lease expired\nC> RETR a\nB> RETR a");
    opening("RETR a").play("lease expired\nB< 150 x\nC< 150 x\n* relay download clear");
    relaying("STOR a").play("lease expired\nrelay complete 1\nB< 226 x\nC< 226 x");
}

#[test]
fn abort_with_a_client_that_listens() {
    armed().play("C> ABOR\n* discard\nC< 226 …\nC> RETR a\nC< 425 …");
    for command in ["RETR a", "STOR a"] {
        let end = "* cancel\nC< 426 …\nB>! ABOR\nB< 426 x\nB< 226 x\nC< 226 …";
        opening(command).play(&format!("C> ABOR\n{end}\nC> {command}\nC< 425 …"));
        relaying(command).play(&format!("C> ABOR\n{end}"));
    }
}

#[test]
fn quit_drain_and_loss_with_a_client_that_listens() {
    armed().play("C> QUIT\nC< 221 …\nB> QUIT\n* close\n= closed quit");
    armed().play("drain\nC< 421 …\n* close\n= closed draining");
    armed().play("kill\nC< 421 …\n* close");
    armed().play("C closed\nB> QUIT\n* close\n= closed client_gone");
    armed().play("C ended\nB> QUIT\n* close");
    armed().play("B closed\nC< 421 …\n* close\n= closed backend_gone");
    armed().play("+300s\nC< 421 …\nB> QUIT\n* close\n= closed idle_timeout");
    for command in ["RETR a", "STOR a"] {
        opening(command).play("C closed\n* cancel\n* close");
        opening(command).play("kill\n* cancel\nC< 421 …\n* close");
        relaying(command).play("C closed\n* cancel\nC< 426 …\n* close");
        relaying(command).play("B closed\n* cancel\nC< 426 …\nC< 421 …\n* close");
    }
}

#[test]
fn a_client_that_listens_waits_while_the_session_logs_in_afresh() {
    let mut scene = Scene::plain().active().secure_backend();
    scene.upstream().may_renew = true;
    let mut wire = scene.log_in();
    wire.play(
        "tickets spent
         C> PORT 192,0,2,7,200,1
         * client at 192.0.2.7:51201
         C< 200 …
         B> PWD
         C> STOR a
         B< 257 \"/\"
         * renew
         B connected
         B< 220 again
         B> PBSZ 0
         B< 200 ok
         B> PROT P
         B< 200 ok
         B> USER anna
         B< 230 Welcome
         B> CWD /
         tickets available
         B< 250 ok
         B> PWD
         B< 257 \"/\"
         * keep the new
         B> EPSV
         B< 229 (|||2000|)
         * dial 2000
         dial ok
         B> STOR a
         B< 150 x
         C< 150 x
         * relay upload clear, upstream private",
    );
}

#[test]
fn feat_names_eprt_where_it_is_offered() {
    Scene::plain()
        .active()
        .begin()
        .play("C< 220 ready\nC> FEAT\nC< 211-Features: |  EPRT |  EPSV |  HOST | 211 End");
}
