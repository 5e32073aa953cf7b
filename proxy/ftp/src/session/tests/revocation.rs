//! What was allowed and is no more: by another policy, at another hour.

use std::time::{Duration, SystemTime};

use ftpsgate_policies::hours::LocalTime;

use super::harness::{ARM, LEASE, Scene, Wire};
use super::policy::policy;
use crate::session::{LocalClock, Mode, RequireTls};

/// A clock that shows UTC; the first moment was a Thursday's midnight.
fn utc() -> LocalClock {
    LocalClock::new(|moment, zones| {
        let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let minutes = seconds / 60;
        let weekday = u8::try_from((minutes / 1_440 + 3) % 7).unwrap();
        let time = LocalTime::new(weekday, u16::try_from(minutes % 1_440).unwrap()).unwrap();
        zones.iter().map(|_| time).collect()
    })
}

fn session(rules: &str) -> Wire {
    Scene::plain().policy(policy(rules)).log_in()
}

fn relaying(mut wire: Wire, command: &str, direction: &str) -> Wire {
    wire.play(ARM);
    wire.play(&format!("C> {command}\nB> {command}\nB< 150 x\nC< 150 x\n* relay {direction} clear"));
    wire
}

#[test]
fn another_policy_counts_from_the_next_command_on() {
    let mut wire = session("allow");
    wire.play("C> DELE /x\nB> DELE /x\nB< 250 x\nC< 250 x");
    wire.change_policy(policy("deny delete\nallow"));
    wire.play("C> DELE /x\nC< 550 …\n= denied DELE /x 550 by deny delete (rules:1)");
    wire.change_policy(policy("allow"));
    wire.play("C> DELE /x\nB> DELE /x");
}

#[test]
fn path_rules_that_come_later_ask_the_server_where_it_is() {
    let mut wire = session("allow");
    wire.change_policy(policy("allow * /in/**\ndeny"));
    wire.play("C> DELE x\nB> PWD\nB< 257 \"/in\"\nB> DELE x\nB< 250 x\nC< 250 x\nC> DELE /x\nC< 550 …");
}

#[test]
fn path_rules_that_go_leave_the_session_as_it_was() {
    let mut wire = session("allow");
    wire.change_policy(policy("deny * /secret/**\nallow"));
    wire.play("C> PWD\nB> PWD\nB< 257 \"/in\"\nC< 257 \"/in\" …");
    wire.play("C> DELE a/x\nB> CWD /in/a\nB< 250 x\nB> PWD\nB< 257 \"/in/a\"\nB> DELE x\nB< 250 x\nC< 250 x");
    wire.change_policy(policy("allow"));
    wire.play("C> DELE y\nB> DELE /in/y\nB< 250 x\nC< 250 x");
    wire.play("C> MLST\nB> CWD /in\nB< 250 x\nB> PWD\nB< 257 \"/in\"\nB> MLST\nB< 250 x\nC< 250 x");
    wire.play("C> DELE y\nB> DELE y\nB< 250 x\nC< 250 x\nC> PWD\nB> PWD");
}

#[test]
fn a_running_transfer_that_is_no_longer_allowed_ends_at_once() {
    for (command, direction) in [("RETR /x", "download"), ("STOR /x", "upload")] {
        let mut wire = relaying(session("allow"), command, direction);
        wire.change_policy(policy("deny download,upload\nallow"));
        let verb = &command[..4];
        wire.play(&format!(
            "* cancel
             C< 426 …
             B>! ABOR
             = revoked {verb} 426 by deny download,upload
             B< 426 x
             B< 226 x
             C> NOOP
             B> PWD
             B< 257 \"/\"
             B> NOOP"
        ));
    }
}

/// Nobody looked whether there was such a file: what is denied for one that is, or for one that is not, ends.
#[test]
fn a_running_upload_of_an_unknown_kind_ends_if_either_kind_is_denied() {
    for operation in ["upload", "overwrite"] {
        let mut wire = relaying(session("allow"), "STOR /x", "upload");
        wire.change_policy(policy(&format!("deny {operation}\nallow")));
        wire.play(&format!("* cancel\nC< 426 …\nB>! ABOR\n= revoked STOR 426 by deny {operation}"));
        let mut wire = relaying(session("allow"), "STOR /x", "upload");
        wire.change_policy(policy(&format!("allow {operation},login,connect\ndeny")));
        wire.play("* cancel\nC< 426 …\nB>! ABOR\n= revoked STOR 426 by the default");
    }
    let mut wire = relaying(session("allow"), "STOR /x", "upload");
    wire.change_policy(policy("allow upload,overwrite,login,connect\ndeny"));
    wire.play("relay complete 9\nB< 226 x\nC< 226 x");
}

#[test]
fn a_running_transfer_that_is_still_allowed_goes_on() {
    let mut wire = relaying(session("allow"), "RETR /in/x", "download");
    wire.change_policy(policy("allow * /in/**\ndeny"));
    wire.play("relay complete 9\nB< 226 x\n* finish download\ndownload ended\nC< 226 x");
}

#[test]
fn a_transfer_that_waits_is_judged_by_the_policy_of_its_moment() {
    let mut wire = session("allow");
    wire.play("C> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …\nB< 229 (|||2000|)\n* dial 2000\nC> RETR /x");
    wire.change_policy(policy("deny download\nallow"));
    wire.play("* discard\nC< 426 …\n= revoked RETR 426 by deny download");
}

#[test]
fn a_transfer_in_mid_walk_is_judged_by_the_policy_of_its_moment() {
    let mut wire = session("allow");
    wire.change_policy(policy("deny * /secret/**\nallow"));
    wire.play("C> PWD\nB> PWD\nB< 257 \"/in\"\nC< 257 \"/in\" …");
    wire.play(LEASE);
    wire.play("C> RETR a/x\nB> CWD /in/a");
    wire.change_policy(policy("deny * /in/a/**\nallow"));
    wire.play("B< 250 x\nB> PWD\nB< 257 \"/in/a\"\nC< 550 …");
}

#[test]
fn a_stricter_policy_walks_to_what_is_on_its_way() {
    let mut wire = session("allow");
    wire.change_policy(policy("deny overwrite\nallow"));
    wire.play("C> PWD\nB> PWD\nB< 257 \"/in\"\nC< 257 \"/in\" …");
    wire.play(ARM);
    wire.play("C> STOR a/x\nB> MLST /in/a/x");
    wire.change_policy(policy("deny * /secret/**\nallow"));
    wire.play("B< 550 x\nB> CWD /in/a\nB< 250 x\nB> PWD\nB< 257 \"/secret\"\nB> CWD /in\nB< 250 x\nB> PWD\nB< 257 \"/in\"\nC< 550 …");
}

#[test]
fn a_login_that_is_no_longer_allowed_ends_at_once() {
    let mut wire = session("allow");
    wire.change_policy(policy("deny login\nallow"));
    wire.play("C< 421 …\n* close\n= revoked PASS 421 by deny login\n= closed denied");
    let mut wire = relaying(session("allow"), "STOR /x", "upload");
    wire.change_policy(policy("deny login users=anna\nallow"));
    wire.play(
        "* cancel\nC< 426 …\nC< 421 …\n* close\n= revoked PASS 421 by deny login users=anna\n= closed denied",
    );
    let mut wire = session("allow");
    wire.change_policy(policy("deny connect from=192.0.2.0/24\nallow"));
    wire.play("C< 421 …\n* close");
    let mut wire = Scene::plain().begin();
    wire.play("C< 220 ready");
    wire.change_policy(policy("deny connect\nallow"));
    wire.play("C< 421 …\n* close\n= closed denied");
    let mut wire = session("allow");
    wire.change_policy(policy("deny login users=bob\nallow"));
    wire.play("C> NOOP\nB> NOOP");
}

#[test]
fn a_login_under_way_that_is_no_longer_allowed_ends() {
    let mut wire = Scene::plain().begin();
    wire.play("C< 220 ready\nC> USER anna\n* connect\nB connected\nB< 220 x\nB> USER anna");
    wire.change_policy(policy("deny login\nallow"));
    wire.play("C< 421 …\n* close\n= closed denied");
}

#[test]
fn connections_are_refused_before_anything_is_said() {
    let rules = "deny connect from=192.0.2.0/24\nallow";
    Scene::plain()
        .policy(policy(rules))
        .begin()
        .play("C< 421 …\n* close\n= connection denied by deny connect from=192.0.2.0/24");
    Scene::explicit().policy(policy(rules)).begin().play("C< 421 …\n* close\n= closed denied");
    let implicit = Scene::explicit().mode(Mode::Implicit, RequireTls::Data);
    implicit.policy(policy(rules)).begin().play("* close\n= closed denied");
    Scene::plain().from("198.51.100.1").policy(policy(rules)).begin().play("C< 220 ready");
}

#[test]
fn a_login_is_refused_before_the_backend_is_contacted() {
    Scene::plain().policy(policy("deny login users=anna\nallow")).begin().play(
        "C< 220 ready\nC> USER anna\nC< 530 …\n= denied USER anna 530 by deny login users=anna (rules:1)",
    );
}

/// A download that is allowed until one in the morning.
pub(super) fn an_hour_passes() {
    let mut scene = Scene::plain().policy(policy("allow download hours=00:00-01:00\ndeny"));
    scene.settings.clock = utc();
    scene.settings.idle_timeout = Duration::from_secs(10_000);
    let mut wire = scene.log_in();
    wire.play("+3590s");
    let mut wire = relaying(wire, "RETR /x", "download");
    wire.play("+9s");
    wire.play("+2s\n* cancel\nC< 426 …\nB>! ABOR\n= revoked RETR 426 by the default\nB< 426 x\nB< 226 x\nC> RETR /x\nC< 550 …");
}

#[test]
fn hours_that_nobody_can_tell_allow_nothing() {
    let mut wire = session("allow download hours=00:00-24:00\ndeny");
    wire.play(ARM);
    wire.play("C> RETR /x\nC< 550 …");
}

#[test]
fn nothing_is_reviewed_where_nothing_can_change() {
    let wire = relaying(session("deny delete\nallow"), "STOR /x", "upload");
    assert_eq!(wire.session.poll_timeout(), None);
}
