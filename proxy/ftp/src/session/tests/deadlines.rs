//! What runs out, when, and what pauses it.

use super::harness::{Scene, Wire};
use crate::session::{Mode, RequireTls};

#[test]
fn the_login_must_be_complete_in_time() {
    let mut wire = Scene::explicit().begin();
    wire.play("C< 220 ready\n+20s\nC> NOOP\nC< 200 …\n+9s\n+1s\nC< 421 …\n* close\n= closed login_timeout");
}

#[test]
fn after_the_login_its_deadline_is_gone() {
    Wire::ready().play("+299s");
}

#[test]
fn idling_ends() {
    Wire::ready().play("+299s\n+1s\nC< 421 …\nB> QUIT\n* close\n= closed idle_timeout");
}

#[test]
fn every_command_begins_the_idle_time_anew() {
    Wire::ready().play("+200s\nC> NOOP\nB> NOOP\nB< 200 x\nC< 200 x\n+299s\n+1s\nC< 421 …\nB> QUIT\n* close");
    Wire::ready().play("+200s\nC> FROB\nC< 500 …\n+299s\n+1s\nC< 421 …\nB> QUIT\n* close");
    Wire::ready().play("+200s\nC! too long\nC< 500 …\n+299s\n+1s\nC< 421 …\nB> QUIT\n* close");
}

#[test]
fn idling_with_data_connections_prepared_ends_too() {
    Wire::armed().play("+300s\nC< 421 …\nB> QUIT\n* close\n= closed idle_timeout");
}

#[test]
fn the_idle_time_pauses_during_a_transfer() {
    Wire::relaying("RETR a").play(
        "+10000s
         C> NOOP
         C< 200 …
         +10000s
         relay complete 1
         B< 226 x
         * finish download
         download ended
         C< 226 x
         +299s
         +1s
         C< 421 …
         B> QUIT
         * close",
    );
}

#[test]
fn the_idle_time_does_not_run_while_the_backend_is_asked() {
    let mut scene = Scene::plain();
    scene.settings.idle_timeout = std::time::Duration::from_secs(10);
    let mut wire = scene.begin();
    wire.play("C< 220 ready");
    wire.play(super::harness::LOGIN);
    wire.play("C> PWD\nB> PWD\n+50s\nB< 257 x\nC< 257 x\n+10s\nC< 421 …\nB> QUIT\n* close");
}

#[test]
fn a_backend_that_does_not_answer() {
    Wire::ready().play("C> PWD\nB> PWD\n+59s\n+1s\nC< 421 …\n* close\n= closed backend_timeout");
}

#[test]
fn a_line_that_was_begun_must_end() {
    Wire::ready().play("C partial\n+29s\nC partial\n+1s\nC< 421 …\n* close\n= closed line_timeout");
    Wire::ready().play("C partial\n+29s\nC whole\n+100s\nC partial\n+29s\nC whole");
    Scene::explicit().begin().play("C< 220 ready\n+1s\nC partial\n+29s\nC< 421 …\n* close");
}

#[test]
fn a_dripped_line_in_mid_transfer_cuts_it_off() {
    Wire::relaying("STOR a")
        .play("C partial\n+30s\n* cancel\nC< 426 …\nC< 421 …\n* close\n= closed line_timeout");
}

#[test]
fn a_line_that_the_gateway_does_not_read_need_not_end() {
    let mut wire = Wire::relaying("RETR a");
    for _ in 0..16 {
        wire.play("C> PWD");
    }
    wire.play(
        "C partial\n+95s\nrelay complete 1\nB< 226 x\n* finish download\ndownload ended\nC< 226 x\nB> PWD",
    );
    wire.play("+24s\n+1s\nC< 421 …\n* close\n= closed line_timeout");
}

#[test]
fn the_handshake_is_the_drivers_to_time() {
    let mut wire = Scene::explicit().mode(Mode::Implicit, RequireTls::Data).begin();
    wire.play("* handshake\n+29s\ntls ok\nC< 220 ready\n+1s\nC< 421 …\n* close\n= closed login_timeout");
}
