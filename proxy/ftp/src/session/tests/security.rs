//! AUTH, PBSZ, PROT, CCC, HOST, and what each kind of listener demands.

use super::harness::{LOGIN, Scene, Wire};
use crate::session::{Mode, RequireTls};

/// AUTH TLS, whose handshake succeeds.
const AUTH: &str = "
    C> AUTH TLS
    C< 234 Proceed with TLS.
    * handshake
    tls ok
    = tls";

fn explicit(require_tls: RequireTls) -> Wire {
    let mut wire = Scene::explicit().mode(Mode::Explicit, require_tls).begin();
    wire.play("C< 220 ready");
    wire
}

fn implicit() -> Wire {
    let mut wire = Scene::explicit().mode(Mode::Implicit, RequireTls::Data).begin();
    wire.play(
        "* handshake
         tls ok
         = tls
         C< 220 ready",
    );
    wire
}

#[test]
fn auth_in_every_spelling() {
    for (mechanism, prot) in
        [("TLS", "503"), ("tls-c", "503"), ("SSL", "200"), ("TLS-P", "200"), ("ssl", "200")]
    {
        explicit(RequireTls::Data).play(&format!(
            "C> auth {mechanism}
             C< 234 …
             * handshake
             tls ok
             C> PROT P
             C< {prot} …",
        ));
    }
}

#[test]
fn auth_ssl_makes_data_private_at_once() {
    for (mechanism, outcome) in [("SSL", "C< 425 …"), ("TLS", "C< 521 …")] {
        let mut wire = explicit(RequireTls::Data);
        wire.play(&format!("C> AUTH {mechanism}\nC< 234 …\n* handshake\ntls ok"));
        wire.play(LOGIN);
        wire.play(&format!("C> LIST\n{outcome}"));
    }
}

#[test]
fn auth_refused() {
    let mut wire = explicit(RequireTls::Data);
    wire.play("C> AUTH GSSAPI\nC< 504 …\nC> AUTH\nC< 501 …");
    wire.play(AUTH);
    wire.play("C> AUTH TLS\nC< 503 …\nC> AUTH KERBEROS_V4\nC< 504 …");

    let mut plain = Scene::plain().begin();
    plain.play("C< 220 ready\nC> AUTH TLS\nC< 534 …");
    plain.play(LOGIN);
    plain.play("C> AUTH TLS\nC< 534 …");

    implicit().play("C> AUTH TLS\nC< 503 …");
}

#[test]
fn auth_without_a_certificate() {
    let mut scene = Scene::explicit();
    scene.settings.certificate_available = false;
    scene.begin().play("C< 220 ready\nC> AUTH TLS\nC< 431 …");
}

#[test]
fn auth_comes_before_user() {
    let mut wire = explicit(RequireTls::No);
    wire.play(LOGIN);
    wire.play("C> AUTH TLS\nC< 503 …");
}

#[test]
fn nothing_is_read_while_the_handshake_runs() {
    let mut wire = explicit(RequireTls::Data);
    assert!(wire.session.wants_command());
    wire.play("C> AUTH TLS\nC< 234 …\n* handshake");
    assert!(!wire.session.wants_command());
    wire.play("tls ok");
    assert!(wire.session.wants_command());
}

#[test]
fn a_failed_handshake_ends_the_session_without_a_word() {
    let mut wire = explicit(RequireTls::Data);
    wire.play("C> AUTH TLS\nC< 234 …\n* handshake\ntls failed\n* close\n= closed tls_failed");
    let mut wire = Scene::explicit().mode(Mode::Implicit, RequireTls::Login).begin();
    wire.play("* handshake\ntls failed\n* close\n= closed tls_failed");
}

#[test]
fn nothing_is_said_in_the_middle_of_a_handshake() {
    for event in ["kill", "+30s"] {
        let mut wire = explicit(RequireTls::Data);
        wire.play(&format!("C> AUTH TLS\nC< 234 …\n* handshake\n{event}\n* close"));
        let mut wire = Scene::explicit().mode(Mode::Implicit, RequireTls::Data).begin();
        wire.play(&format!("* handshake\n{event}\n* close"));
    }
    // A login failed in clear; its backend is still there.
    for event in ["B closed", "B< 421 bye", "B< 220 x", "B< what", "B desynchronised"] {
        let mut wire = explicit(RequireTls::No);
        wire.play("C> USER a\n* connect\nB connected\nB< 220 x\nB> USER a\nB< 530 no\nC< 530 no");
        wire.play(&format!("C> AUTH TLS\nC< 234 …\n* handshake\n{event}\n* close"));
    }
}

#[test]
fn draining_waits_for_no_handshake() {
    explicit(RequireTls::Data).play("C> AUTH TLS\nC< 234 …\n* handshake\ndrain\n* close");
}

#[test]
fn plaintext_behind_auth_ends_the_session_without_a_word() {
    explicit(RequireTls::Data).play(
        "C> AUTH TLS
         C< 234 …
         * handshake
         tls injected
         * close
         = violation tls.plaintext_injection
         = closed client_violation",
    );
}

#[test]
fn commands_pipelined_behind_auth_are_never_run() {
    let mut wire = explicit(RequireTls::No);
    wire.play(
        "C> USER anna
         * connect
         C> AUTH TLS
         C> USER mallory
         B connected
         B< 220 x
         B> USER anna
         B< 530 no
         C< 530 no
         * close
         = violation tls.plaintext_injection",
    );
}

#[test]
fn pbsz_and_prot() {
    let mut wire = explicit(RequireTls::Data);
    wire.play("C> PBSZ 0\nC< 503 …\nC> PROT P\nC< 503 …");
    wire.play(AUTH);
    wire.play(
        "C> PROT P
         C< 503 …
         C> PBSZ many
         C< 501 …
         C> PROT P
         C< 503 …
         C> PBSZ 4096
         C< 200 PBSZ=0
         C> PROT S
         C< 536 …
         C> PROT E
         C< 536 …
         C> PROT X
         C< 504 …
         C> PROT C
         C< 534 …
         = denied PROT C 534
         C> PROT p
         C< 200 …",
    );
}

#[test]
fn prot_c_where_only_the_login_must_be_private() {
    for require_tls in [RequireTls::Login, RequireTls::No] {
        let mut wire = explicit(require_tls);
        wire.play(AUTH);
        wire.play("C> PBSZ 0\nC< 200 …\nC> PROT P\nC< 200 …\nC> PROT C\nC< 200 …");
    }
}

#[test]
fn implicit_sessions_start_as_after_prot_p() {
    let mut wire = implicit();
    wire.play("C> PROT C\nC< 534 …");
    wire.play(LOGIN);
    wire.play("C> LIST\nC< 425 …");
}

#[test]
fn the_control_connection_stays_under_tls() {
    let mut wire = explicit(RequireTls::Data);
    wire.play("C> CCC\nC< 534 …");
    Wire::ready().play("C> CCC\nC< 534 …\n= denied CCC 534");
}

#[test]
fn no_login_in_clear_where_tls_is_required() {
    for require_tls in [RequireTls::Data, RequireTls::Login] {
        explicit(require_tls).play(
            "C> USER anna
             C< 530 …
             = denied USER anna 530
             C> PASS hunter2
             C< 530 …
             = denied PASS 530
             C> ACCT hunter2
             C< 530 …",
        );
    }
}

#[test]
fn login_in_clear_where_tls_is_not_required() {
    explicit(RequireTls::No).play(LOGIN);
    let mut plain = Scene::plain().begin();
    plain.play("C< 220 ready");
    plain.play(LOGIN);
}

#[test]
fn transfers_in_clear_are_refused_where_data_must_be_private() {
    let mut wire = explicit(RequireTls::Data);
    wire.play(AUTH);
    wire.play(LOGIN);
    for command in ["RETR a", "STOR a", "STOU", "APPE a", "LIST", "NLST", "MLSD"] {
        wire.play(&format!("C> {command}\nC< 521 …"));
    }
    wire.play("= denied MLSD 521");
}

#[test]
fn the_relay_is_told_the_protection_of_the_moment() {
    let mut wire = explicit(RequireTls::Login);
    wire.play(AUTH);
    wire.play(LOGIN);
    wire.play(super::harness::ARM);
    wire.play("C> LIST\nB> LIST\nB< 150 x\nC< 150 x\n* relay download clear");

    Wire::relaying("STOR a");
}

#[test]
fn host_is_the_name_that_the_handshake_was_for() {
    let mut wire = explicit(RequireTls::Data);
    wire.play("C> AUTH TLS\nC< 234 …\n* handshake\ntls ok FTP.example.org");
    wire.play(
        "C> HOST ftp.example.com
         C< 504 …
         C> HOST ftp.EXAMPLE.org
         C< 220 …",
    );
}

#[test]
fn host_without_a_server_name() {
    explicit(RequireTls::No).play(
        "C> HOST FTP.example.com
         C< 220 …
         C> HOST x.example.net
         C< 220 …
         C> HOST example.net
         C< 504 …
         C> HOST a.b.example.net
         C< 504 …
         C> HOST elsewhere.example
         C< 504 …",
    );
}

#[test]
fn host_comes_before_user() {
    let mut wire = explicit(RequireTls::No);
    wire.play("C> USER anna\n* connect\nB connected\nB< 220 x\nB> USER anna\nB< 331 x\nC< 331 x");
    wire.play("C> HOST ftp.example.com\nC< 503 …");
    Wire::ready().play("C> HOST ftp.example.com\nC< 503 …");
}

#[test]
fn what_was_said_before_the_handshake_is_forgotten() {
    let mut scene = Scene::explicit().mode(Mode::Explicit, RequireTls::No);
    scene.features = super::features::utf8();
    let mut wire = scene.begin();
    wire.play("C< 220 ready\nC> OPTS UTF8 ON\nC< 200 …");
    wire.play(AUTH);
    // LOGIN has no OPTS.
    wire.play(LOGIN);
}
