//! A fresh login for tickets: what is said on both connections, what is kept, and every way in which it fails.

use super::harness::{Scene, Wire};
use crate::codec::Protection;
use crate::session::UpstreamTls;

/// Logged in to an FTPS server, with a ticket left.
fn ready() -> Wire {
    log_in(Scene::plain())
}

fn log_in(mut scene: Scene) -> Wire {
    let upstream = scene.upstream();
    upstream.tls = UpstreamTls::Explicit;
    upstream.protection = Protection::Private;
    upstream.may_renew = true;
    upstream.tries = 3;
    let mut wire = scene.begin();
    wire.play("C< 220 ready\nC> USER anna\n* connect\nB connected");
    wire.play(SECURE);
    wire.play("B< 331 x\nC< 331 x\nC> PASS hunter2\nB> PASS hunter2\nB< 230 x\nC< 230 x");
    wire
}

const SECURE: &str = "
    B< 220 x
    B> AUTH TLS
    B< 234 x
    * secure upstream
    B secured
    B> PBSZ 0
    B< 200 x
    B> PROT P
    B< 200 x
    B> USER anna";

/// The client wants a data connection, and no ticket is left.
fn asked() -> Wire {
    let mut wire = ready();
    wire.play("C> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …\nB< 229 (|||2000|)\n* dial 2000\ndial ok");
    wire.play("tickets spent\nC> EPSV\n* discard\n* lease\nB> PWD\nlease ok\nC< 229 …");
    wire
}

fn dialled() -> Wire {
    let mut wire = asked();
    wire.play("B< 257 \"/in\" is it\n* renew");
    wire
}

fn secured() -> Wire {
    let mut wire = dialled();
    wire.play("B connected");
    wire.play(SECURE);
    wire
}

fn logged_in() -> Wire {
    let mut wire = secured();
    wire.play("B< 331 x\nB> PASS hunter2\ntickets available\nB< 230 x\nB> CWD /in");
    wire
}

fn arrived() -> Wire {
    let mut wire = logged_in();
    wire.play("B< 250 x\nB> PWD");
    wire
}

/// The transfer gets its 425, and the session goes on over the old connection.
const REFUSED: &str = "
    = renewed false
    C> RETR a
    * discard
    C< 425 …
    C> PWD
    B> PWD
    B< 257 x
    C< 257 x";

#[test]
fn with_tickets_nothing_is_renewed() {
    let mut wire = ready();
    wire.play("tickets spent\ntickets available\nC> EPSV\n* lease\nB> EPSV");
}

#[test]
fn a_fresh_login_comes_before_the_data_connection() {
    let mut wire = logged_in();
    wire.play(
        "B< 250 ok
         B> PWD
         B< 257 \"/in\" is it still
         * keep the new
         B> EPSV
         = renewed true
         B< 229 (|||2001|)
         * dial 2001
         dial ok
         C> RETR a
         B> RETR a
         B< 150 x
         C< 150 x
         * relay download clear, upstream private",
    );
}

#[test]
fn what_the_client_set_is_set_again() {
    let mut wire = ready();
    for (command, reply) in [
        ("OPTS UTF8 OFF", "200 ok"),
        ("OPTS MLST type;", "200 ok"),
        ("TYPE A", "200 ok"),
        ("TYPE I", "200 ok"),
        ("TYPE A", "500 no"),
        ("OPTS utf8 ON", "200 ok"),
        ("OPTS MLST size;", "501 no"),
        ("OPTS HASH SHA-256", "200 ok"),
    ] {
        wire.play(&format!("C> {command}\nB> {command}\nB< {reply}\nC< {reply}"));
    }
    wire.play(
        "tickets spent\nC> PASV\n* lease\nB> PWD\nlease ok\nC< 227 …\nB< 257 \"/a \"\"b\"\"\"\n* renew",
    );
    wire.play("B connected");
    wire.play(SECURE);
    wire.play(
        "B< 230 x
         B> OPTS MLST type;
         B< 200 x
         B> OPTS utf8 ON
         B< 200 x
         B> OPTS HASH SHA-256
         B< 200 x
         B> TYPE I
         B< 200 x
         B> CWD /a \\\"b\\\"
         tickets available
         B< 250 x
         B> PWD
         B< 257 \"/a \"\"b\"\"\"
         * keep the new
         B> EPSV",
    );
}

#[test]
fn a_backend_that_dials_is_told_where_after_the_fresh_login() {
    let renewing = || {
        let mut wire = log_in(Scene::plain().active_backend());
        wire.play("tickets spent\nC> EPSV\n* lease\nlease ok\nC< 229 …\nC> RETR a\nB> PWD");
        wire.play("B< 257 \"/in\"\n* renew");
        wire
    };
    let mut wire = renewing();
    wire.play("B connected");
    wire.play(SECURE);
    wire.play("B< 230 x\nB> CWD /in\ntickets available\nB< 250 x\nB> PWD");
    wire.play("B< 257 \"/in\"\n* keep the new\n* lease upstream");
    wire.play("lease upstream 198.51.100.9:62000\nB> PORT 198,51,100,9,242,48\nB< 200 ok\nB> RETR a");

    renewing().play("B refused\n* keep the old\n* discard\nC< 425 …\n= renewed false");
    renewing().play("lease expired\n* discard\nC< 425 …\nB refused\n* keep the old\nC> PWD\nB> PWD");
    // The transfer is given up at once; the ABOR itself is answered when the backend can be spoken to.
    let mut wire = renewing();
    wire.play("C> ABOR\n* discard\nC< 426 …\nB refused\n* keep the old\nC< 226 …\nC> PWD\nB> PWD");
    renewing().play("C closed\n* close\n= transfer RETR 421 0B 0s none\n= closed client_gone");
}

#[test]
fn utf8_that_was_promised_is_set_again() {
    let mut scene = Scene::plain();
    scene.features = super::features::utf8();
    let upstream = scene.upstream();
    upstream.tls = UpstreamTls::Implicit;
    upstream.protection = Protection::Private;
    upstream.may_renew = true;
    let mut wire = scene.begin();
    wire.play("C< 220 ready\nC> OPTS UTF8 ON\nC< 200 …\nC> USER anna\n* connect\nB connected");
    wire.play("B< 220 x\nB> PBSZ 0\nB< 200 x\nB> PROT P\nB< 200 x\nB> USER anna\nB< 230 x\nB> OPTS UTF8 ON");
    wire.play("B< 200 x\nC< 230 x\ntickets spent\nC> EPSV\n* lease\nB> PWD\nB< 257 \"/\"\n* renew");
    wire.play("B connected\nB< 220 x\nB> PBSZ 0\nB< 200 x\nB> PROT P\nB< 200 x\nB> USER anna");
    wire.play("B< 230 x\nB> OPTS UTF8 ON");
    wire.play("B< 200 x\nB> CWD /");
}

#[test]
fn an_account_is_given_again() {
    let mut wire = Scene::plain();
    let upstream = wire.upstream();
    upstream.tls = UpstreamTls::Implicit;
    upstream.protection = Protection::Private;
    upstream.may_renew = true;
    let mut wire = wire.begin();
    wire.play("C< 220 ready\nC> USER anna\n* connect\nB connected\nB< 220 x\nB> PBSZ 0\nB< 200 x\nB> PROT P");
    wire.play(
        "B< 503 x\nB> USER anna\nB< 331 x\nC< 331 x\nC> PASS hunter2\nB> PASS hunter2\nB< 332 x\nC< 332 x",
    );
    wire.play("C> ACCT hunter2\nB> ACCT hunter2\nB< 230 x\nB> PROT P\nB< 200 x\nC< 230 x");
    // On the new connection too the server wants the login before PROT.
    wire.play(
        "tickets spent\nC> EPSV\n* lease\nB> PWD\nB< 257 \"/\"\n* renew\nB connected\nB< 220 x\nB> PBSZ 0",
    );
    wire.play("B< 200 x\nB> PROT P\nB< 530 x\nB> USER anna\nB< 331 x\nB> PASS hunter2");
    wire.play("B< 332 x\nB> ACCT hunter2\nB< 100 hm\nB< 230 x\nB> PROT P\nB< 200 x\nB> CWD /");
    wire.play("tickets available");
    wire.play("B< 250 x\nB> PWD\nB< 257 \"/\"\n* keep the new\nB> EPSV\n= renewed true");
}

#[test]
fn a_directory_that_cannot_be_returned_to_is_not_left() {
    let long = format!("257 \"/{}\"", "x".repeat(4096));
    for reply in [
        "550 no",
        "257 /in",
        "257 \"in\"",
        "257 \"\"",
        "257 \"'ANNA.'\"",
        "257 \"/in",
        "257 \"/a\\x01b\"",
        "257 \"/a?b\"",
        "257 \"/a\"b\" is it",
        "257 \"/a\" b\" is it",
        "250 \"/in\"",
        "331 \"/in\"",
        &long,
    ] {
        let mut wire = asked();
        wire.play(&format!("B< {reply}"));
        wire.play(REFUSED);
    }
}

#[test]
fn a_server_that_cannot_be_reached_again() {
    for failure in ["B refused", "B unreachable", "B full", "+65s"] {
        let mut wire = dialled();
        wire.play(&format!("{failure}\n* keep the old"));
        wire.play(REFUSED);
    }
}

#[test]
fn whatever_fails_on_the_new_connection_the_old_one_serves() {
    let steps = SECURE.lines().map(str::trim).filter(|line| !line.is_empty()).count();
    for made in 0..=steps {
        let mut script: Vec<&str> = SECURE.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        script.truncate(made);
        // A step ends where the gateway has said its part.
        if script.last().is_some_and(|line| line.starts_with("B<") || *line == "B secured") {
            continue;
        }
        for failure in ["B closed", "B< 421 bye", "B< SSH-2.0-x", "B desynchronised", "+65s", "B< 534 no"] {
            if failure == "B< 534 no" && script.last() == Some(&"B> PBSZ 0") {
                continue;
            }
            let mut wire = dialled();
            wire.play("B connected");
            wire.play(&script.join("\n"));
            wire.play(&format!("{failure}\n* keep the old"));
            wire.play(REFUSED);
        }
    }
    for mut wire in [secured(), logged_in()] {
        wire.play("B< 530 no\n* keep the old");
        wire.play(REFUSED);
    }
    for failure in ["B closed", "B< 421 bye", "B< 550 no", "B< 350 hm", "+65s"] {
        for mut wire in [logged_in(), arrived()] {
            wire.play(&format!("{failure}\n* keep the old"));
            wire.play("tickets spent");
            wire.play(REFUSED);
        }
    }
}

/// The old connection stands in `/in" b`, of which the server does not double the quote, or CWD means something else.
#[test]
fn an_upload_does_not_land_in_another_directory() {
    for elsewhere in [
        "257 \"/\"",
        "257 \"/in2\"",
        "257 \"/home/anna/in\"",
        "257 \"/in\" b\" is it",
        "257 \"/in",
        "250 \"/in\"",
        "257 \"\"",
        "550 no",
        "331 \"/in\"",
    ] {
        let mut wire = arrived();
        wire.play(&format!("C> STOR a\nB< {elsewhere}\n* keep the old\n* discard\nC< 425 …"));
        wire.play("= renewed false\nC> PWD\nB> PWD");
    }
    arrived().play("B< 150 hm\nB< 257 \"/in\"\n* keep the new\nB> EPSV");
    // Quotes that were doubled are so again.
    let mut wire = asked();
    wire.play("B< 257 \"/a\"\"b\"\n* renew\nB connected");
    wire.play(SECURE);
    wire.play("B< 230 x\nB> CWD /a\\\"b\nB< 250 x\nB> PWD\nB< 257 \"/a\"b\"\n* keep the old");
    wire.play("= renewed false");
}

#[test]
fn a_handshake_that_fails_on_the_new_connection() {
    let mut wire = dialled();
    wire.play("B connected\nB< 220 x\nB> AUTH TLS\nB< 234 x\n* secure upstream\nB refused\n* keep the old");
    wire.play(REFUSED);
}

#[test]
fn a_failed_renewal_is_tried_again_unless_the_login_was_refused() {
    let mut wire = dialled();
    wire.play("B refused\n* keep the old\nC> EPSV\n* discard\n* lease\nB> PWD");

    for refusal in ["530 no", "332 account?", "230 x"] {
        let mut wire = secured();
        wire.play("B< 331 x\nB> PASS hunter2");
        if refusal == "230 x" {
            // A password that works is no refusal.
            wire.play("B< 230 x\nB> CWD /in\nB< 550 gone\n* keep the old");
            wire.play("C> EPSV\n* discard\n* lease\nB> PWD");
            continue;
        }
        wire.play(&format!("B< {refusal}\n* keep the old"));
        wire.play("C> EPSV\n* discard\n* lease\nlease ok\nC< 229 …\nC> RETR a\n* discard\nC< 425 …");
    }
}

#[test]
fn tickets_of_a_failed_renewal_are_none_of_the_old_connections() {
    // What is pipelined runs at once, before the driver can tell of tickets again.
    let pipelined = "C> STOR a\nC> EPSV\nC> STOR b";
    let mut wire = secured();
    wire.play(&format!("{pipelined}\nB< 331 x\nB> PASS hunter2\ntickets available"));
    wire.play(
        "B< 530 no\n* keep the old\n* discard\nC< 425 …\n* lease\nlease ok\nC< 229 …\n* discard\nC< 425 …",
    );
    wire.play("= transfer STOR 425 0B 0s none\n= transfer STOR 425 0B 0s none");
    // Where the login is still good, the second one asks for another.
    let mut wire = logged_in();
    wire.play(&format!("{pipelined}\nB< 550 gone\n* keep the old\n* discard\nC< 425 …\n* lease\nB> PWD"));
}

#[test]
fn a_login_that_brings_no_ticket() {
    let mut wire = secured();
    wire.play("B< 230 x\nB> CWD /in\nB< 250 x\nB> PWD\nB< 257 \"/in\"\n* keep the new\n= renewed true");
    wire.play("C> RETR a\n* discard\nC< 425 …\nC> PWD\nB> PWD");
}

#[test]
fn where_nothing_may_be_kept_the_transfer_is_refused() {
    let mut scene = Scene::plain();
    scene.upstream().tls = UpstreamTls::Implicit;
    scene.upstream().protection = Protection::Private;
    let mut wire = scene.begin();
    wire.play("C< 220 ready\nC> USER anna\n* connect\nB connected\nB< 220 x\nB> PBSZ 0\nB< 200 x\nB> PROT P");
    wire.play(
        "B< 200 x\nB> USER anna\nB< 230 x\nC< 230 x\ntickets spent\nC> EPSV\n* lease\nlease ok\nC< 229 …",
    );
    wire.play("C> RETR a\n* discard\nC< 425 …\nC> PWD\nB> PWD");
}

#[test]
fn clear_data_connections_need_no_ticket() {
    let mut wire = Wire::ready();
    wire.play("tickets spent\nC> EPSV\n* lease\nB> EPSV");
}

#[test]
fn the_whole_renewal_has_one_deadline() {
    let mut wire = asked();
    wire.play("+30s\nB< 257 \"/in\"\n* renew\n+4s\nB connected\nB< 120 x\n+20s\nB< 220 x\nB> AUTH TLS\n+10s");
    wire.play("B< 234 x\n* secure upstream\n+1s\n* keep the old");
    wire.play(REFUSED);
    let mut wire = dialled();
    wire.play("+60s\nB placed\n+5s\n* keep the old");
    wire.play(REFUSED);
}

#[test]
fn an_old_connection_that_fails_ends_the_session() {
    for (event, end) in [
        ("B closed", "C< 421 …\n* close\n= closed backend_gone"),
        ("B< 421 bye", "C< 421 bye\n* close\n= closed backend_gone"),
        ("B< hello", "C< 421 …\n* close\n= closed backend_violation"),
        ("B desynchronised", "C< 421 …\n* close\n= closed backend_violation"),
    ] {
        for mut wire in [asked(), dialled()] {
            wire.play(&format!("{event}\n{end}"));
        }
    }
    asked().play("+65s\nC< 421 …\n* close\n= closed backend_timeout");
    dialled().play("B< 200 what\nC< 421 …\n* close\n= violation backend.unsolicited_reply");
}

/// A wire at each step of a renewal, and what the backend does to end it well.
fn at_each_step() -> Vec<(Wire, String)> {
    let rest = "B< 230 x\nB> CWD /in\ntickets available\nB< 250 x\nB> PWD\nB< 257 \"/in\"\n* keep the new\nB> EPSV\n\
                B< 229 (|||2001|)\n* dial 2001\ndial ok";
    let secure = format!("B connected{SECURE}\n{rest}");
    vec![
        (asked(), format!("B< 257 \"/in\"\n* renew\n{secure}")),
        (dialled(), secure),
        (secured(), rest.to_owned()),
        (logged_in(), rest.split_once("tickets available\n").unwrap().1.to_owned()),
        (arrived(), rest.split_once("B> PWD\n").unwrap().1.to_owned()),
    ]
}

#[test]
fn what_the_client_says_meanwhile_waits() {
    for (mut wire, rest) in at_each_step() {
        wire.play("C> NOOP\nC> ABOR");
        wire.play_partly(rest.strip_suffix("\n* dial 2001\ndial ok").unwrap());
        wire.play("* dial 2001\nB> NOOP\nB< 200 x\nC< 200 x\n* discard\nC< 226 No transfer…");
    }
    for (mut wire, rest) in at_each_step() {
        wire.play("C> RETR a");
        wire.play_partly(&rest);
        wire.play("B> RETR a");
    }
    for (mut wire, rest) in at_each_step() {
        wire.play("C> QUIT");
        wire.play_partly(rest.strip_suffix("\n* dial 2001\ndial ok").unwrap());
        wire.play("* dial 2001\nC< 221 …\nB> QUIT\n* close\n= closed quit");
    }
}

#[test]
fn the_session_ends_meanwhile() {
    for (mut wire, _) in at_each_step() {
        wire.play("C closed\n* close\n= closed client_gone");
    }
    for (mut wire, _) in at_each_step() {
        wire.play("kill\nC< 421 …\n* close\n= closed draining");
    }
    for (mut wire, rest) in at_each_step() {
        wire.play("drain");
        wire.play_partly(rest.strip_suffix("\n* dial 2001\ndial ok").unwrap());
        wire.play("* dial 2001\nC< 421 …\n* close\n= closed draining");
    }
    for (mut wire, rest) in at_each_step() {
        wire.play("C ended");
        wire.play_partly(rest.strip_suffix("\n* dial 2001\ndial ok").unwrap());
        wire.play("* dial 2001\nB> QUIT\n* close\n= closed client_gone");
    }
}

#[test]
fn nobody_opens_the_leased_port_meanwhile() {
    for (mut wire, rest) in at_each_step() {
        wire.play("lease expired\n* discard");
        wire.play(rest.split_once("\nB> EPSV").unwrap().0);
        wire.play("C> PWD\nB> PWD\nB< 257 x\nC< 257 x");
    }
    let mut wire = dialled();
    wire.play("lease expired\n* discard\nC> PWD\nB refused\n* keep the old\nB> PWD");
}

#[test]
fn no_port_is_free_meanwhile() {
    let mut wire = ready();
    wire.play("tickets spent\nC> EPSV\n* lease\nB> PWD\nlease none\n* discard\nC< 425 …");
    wire.play("B< 257 \"/\"\n* renew\nB refused\n* keep the old\nC> PWD\nB> PWD");
}
