//! How large a file may be: by rules (`larger_than`), by limits (`file_size`), before it moves and while it does.

use ftpsgate_policies::PathProfile;

use super::harness::{ARM, LEASE, Scene, Wire};
use super::paths::{TREE, at, fast};
use super::policy::policy;

const SMALL: &str = "deny upload,overwrite larger=100\nallow";

fn session(rules: &str) -> Wire {
    Scene::plain().policy(policy(rules)).log_in()
}

/// An upload whose relay has begun.
fn uploading(mut wire: Wire, bound: &str) -> Wire {
    wire.play(ARM);
    wire.play(&format!("C> STOR /x\nB> STOR /x\nB< 150 x\nC< 150 x\n* relay upload clear{bound}"));
    wire
}

/// A session under a limit for files, whose data connections stand.
fn limited(bytes: u64) -> Wire {
    let mut wire = session("allow");
    wire.play(ARM);
    wire.play(&format!("files up to {bytes}"));
    wire
}

#[test]
fn an_upload_is_stopped_at_the_byte_from_which_a_rule_denies_it() {
    let mut wire = uploading(session(SMALL), ", at most 100");
    wire.play("progress 100\nrelay too-large 100\nC< 552 Larger than policy allows.\nB>! ABOR");
    wire.play("= revoked STOR 552 by deny upload,overwrite larger=100\n= transfer STOR 552 100B 0s TooLarge(Upload)");
    wire.play("B< 426 x\nB< 226 x\nC> NOOP\nB> NOOP");
    let mut wire = uploading(session(SMALL), ", at most 100");
    wire.play("relay complete 100\nB< 226 done\nC< 226 done");
}

#[test]
fn the_rules_own_reply_is_given_for_a_size() {
    let mut wire =
        uploading(session("deny upload,overwrite larger=100 reply=450_Smaller_ones\nallow"), ", at most 100");
    wire.play("relay too-large 90\nC< 450 Smaller ones\nB>! ABOR");
    wire.play("= revoked STOR 450 by deny upload,overwrite larger=100 reply=450_Smaller_ones");
}

/// Whatever nobody looked at counts as either kind.
#[test]
fn a_rule_about_either_kind_of_upload_bounds_it_where_nobody_can_look() {
    for operation in ["upload", "overwrite"] {
        let mut scene = Scene::plain().policy(policy(&format!("deny {operation} larger=100\nallow")));
        scene.upstream().paths = PathProfile::Opaque;
        let mut wire = uploading(scene.log_in(), ", at most 100");
        wire.play("relay too-large 100\nC< 552 …\nB>! ABOR");
    }
}

#[test]
fn a_reload_bounds_the_upload_that_runs_and_ends_the_one_that_is_beyond() {
    let smaller = "deny upload,overwrite larger=50\nallow";
    let mut wire = uploading(session("allow"), "");
    wire.play("progress 20");
    wire.change_policy(policy(SMALL));
    wire.play("* bound 100\nprogress 60");
    wire.change_policy(policy(SMALL));
    wire.play("progress 61");
    wire.change_policy(policy(smaller));
    wire.play("* cancel\nC< 552 …\nB>! ABOR\n= revoked STOR 552 by deny upload,overwrite larger=50");
    // It goes as far as the last one allows.
    let mut wire = uploading(session(SMALL), ", at most 100");
    wire.change_policy(policy("allow"));
    wire.play("* bound nothing\nrelay complete 101\nB< 226 x\nC< 226 x");
    let mut wire = uploading(session("allow"), "");
    wire.change_policy(policy(smaller));
    wire.play("* bound 50\nrelay too-large 50\nC< 552 …\nB>! ABOR");
}

/// A rule that nobody looked at before the relay was complete: the server has it, but nobody is told that all is well.
#[test]
fn an_upload_that_was_too_large_when_it_ended_is_not_confirmed() {
    let mut wire = uploading(session(SMALL), ", at most 100");
    wire.play("relay complete 101\nC< 552 …\nB>! ABOR");
    wire.play("= revoked STOR 552 by deny upload,overwrite larger=100");
}

#[test]
fn the_smaller_of_rule_and_limit_bounds_an_upload() {
    for (limit, bound, fact) in [
        (200, 100, "= revoked STOR 552 by deny upload,overwrite larger=100"),
        (100, 100, "= revoked STOR 552 by deny upload,overwrite larger=100"),
        (99, 99, "= transfer STOR 552 9B 0s TooLarge(Upload)"),
    ] {
        let mut wire = session(SMALL);
        wire.play(&format!("files up to {limit}"));
        let mut wire = uploading(wire, &format!(", at most {bound}"));
        wire.play(&format!("relay too-large 9\nC< 552 …\nB>! ABOR\n{fact}"));
    }
}

#[test]
fn an_upload_that_announces_too_much_is_refused_before_anything_is_sent() {
    let announce = "C> ALLO 101\nB> ALLO 101\nB< 200 x\nC< 200 x";
    let mut wire = limited(100);
    for command in ["STOR x", "APPE x"] {
        wire.play(announce);
        wire.play(&format!(
            "C> {command}\nC< 552 The file is larger than you may store.\n= denied {command} 552"
        ));
    }
    // The announcement was for one upload, and is none for a download; the data connections are still there.
    wire.play(announce);
    wire.play("C> STOU\nC< 552 …\nC> STOR x\nB> STOR x\nB< 550 x\n* withdraw\nC< 550 x");
    let mut wire = limited(101);
    wire.play(announce);
    wire.play("C> STOR x\nB> STOR x\nB< 150 x\nC< 150 x\n* relay upload clear, at most 101");
    // Nobody is led anywhere for it.
    let mut wire = at(TREE, "/in");
    wire.play(LEASE);
    wire.play("files up to 100");
    wire.play(announce);
    wire.play("C> STOR a/x\nC< 552 …");
}

#[test]
fn a_download_that_is_too_large_is_refused_by_its_size() {
    let mut wire = limited(100);
    wire.play(
        "C> RETR x
         B> TYPE I
         B< 200 x
         B> SIZE x
         B< 213 101
         B> TYPE A
         B< 200 x
         C< 550 The file is larger than you may fetch.
         = transfer RETR 550 0B 0s none
         C> TYPE I
         B> TYPE I
         B< 200 x
         C< 200 x
         C> RETR y
         B> SIZE y
         B< 213 100
         B> RETR y
         B< 150 x
         C< 150 x
         * relay download clear, at most 100",
    );
    // It has grown meanwhile.
    wire.play("relay too-large-download 100\nC< 426 …\nB>! ABOR");
}

#[test]
fn nothing_is_asked_where_no_limit_for_files_holds() {
    let mut wire = limited(100);
    wire.play("files of any size\nC> RETR x\nB> RETR x\nB< 550 x\n* withdraw\nC< 550 x");
    wire.play(ARM);
    wire.play("files up to 1\nC> LIST\nB> LIST\nB< 150 x\nC< 150 x\n* relay download clear");
}

#[test]
fn what_the_server_does_not_tell_is_counted() {
    for (answers, sent) in [
        ("B> TYPE I\nB< 504 x", "B> RETR x"),
        ("B> TYPE I\nB< 200 x\nB> SIZE x\nB< 550 no plain file\nB> TYPE A\nB< 200 x", "B> RETR x"),
        ("B> TYPE I\nB< 200 x\nB> SIZE x\nB< 213 many\nB> TYPE A\nB< 200 x", "B> RETR x"),
        ("B> TYPE I\nB< 200 x\nB> SIZE x\nB< 120 hm\nB< 450 busy\nB> TYPE A\nB< 200 x", "B> RETR x"),
    ] {
        let mut wire = limited(100);
        wire.play(&format!(
            "C> RETR x\n{answers}\n{sent}\nB< 150 x\nC< 150 x\n* relay download clear, at most 100"
        ));
    }
    // A server that has no SIZE is asked once.
    let mut wire = limited(100);
    wire.play("C> RETR x\nB> TYPE I\nB< 200 x\nB> SIZE x\nB< 502 what\nB> TYPE A\nB< 200 x\nB> RETR x\nB< 550 x\n* withdraw\nC< 550 x");
    wire.play(ARM);
    wire.play("C> RETR x\nB> RETR x");
}

#[test]
fn the_whole_files_size_counts_after_rest() {
    let mut wire = limited(100);
    wire.play("C> TYPE I\nB> TYPE I\nB< 200 x\nC< 200 x");
    wire.play("C> REST 90\nC< 350 …\nC> RETR x\nB> SIZE x\nB< 213 101\nC< 550 …");
    // What REST said was for that one.
    wire.play("C> RETR y\nB> SIZE y\nB< 213 9\nB> RETR y\nB< 550 x\n* withdraw\nC< 550 x");
    wire.play(ARM);
    wire.play("C> REST 90\nC< 350 …\nC> RETR x\nB> SIZE x\nB< 213 100\nB> REST 90\nB< 350 x\nB> RETR x");
}

#[test]
fn a_size_is_asked_for_by_the_words_that_retr_will_have() {
    let mut wire = at(TREE, "/in");
    wire.play(LEASE);
    wire.play("files up to 9");
    wire.play(
        "C> RETR a/x
         B> CWD /in/a
         B< 250 x
         B> PWD
         B< 257 \"/in/a\"
         B> TYPE I
         B< 200 x
         B> SIZE x
         B< 213 9
         B> TYPE A
         B< 200 x
         reach
         B> RETR x",
    );
    let mut wire = fast();
    wire.play(ARM);
    wire.play("files up to 9\nC> RETR a/x\nB> TYPE I\nB< 200 x\nB> SIZE /in/a/x\nB< 213 10\nB> TYPE A\nB< 200 x\nC< 550 …");
}

#[test]
fn a_size_is_asked_for_while_the_data_connection_is_made() {
    let dialling = || {
        let mut wire = session("allow");
        wire.play(
            "files up to 9\nC> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …\nB< 229 (|||2000|)\n* dial 2000",
        );
        wire.play("C> RETR x\nB> TYPE I");
        wire
    };
    dialling().play("dial ok\nB< 200 x\nB> SIZE x\nB< 213 9\nB> TYPE A\nB< 200 x\nB> RETR x");
    dialling().play("B< 200 x\nB> SIZE x\nB< 213 9\nB> TYPE A\nB< 200 x\ndial ok\nB> RETR x");
    dialling().play("B< 200 x\nB> SIZE x\ndial failed\n* discard\nC< 425 …\nB< 213 9\nB> TYPE A\nB< 200 x\nC> NOOP\nB> NOOP");
}

#[test]
fn a_transfer_that_is_given_up_while_its_size_is_asked_for_leaves_the_type_as_it_was() {
    for (event, reply) in [("C> ABOR", "C< 426 …"), ("lease expired", "C< 425 …")] {
        let end = if event == "C> ABOR" { "C< 226 …" } else { "" };
        for asked in [
            "B< 200 x\nB> TYPE A\nB< 200 x",
            "B< 200 x\nB> SIZE x\n!\nB< 213 9\nB> TYPE A\nB< 200 x",
            "B< 200 x\nB> SIZE x\nB< 213 9\nB> TYPE A\n!\nB< 200 x",
        ] {
            let (before, after) = asked.split_once("!\n").unwrap_or(("", asked));
            let mut wire = limited(9);
            wire.play(&format!(
                "C> RETR x\nB> TYPE I\n{before}\n{event}\n* discard\n{reply}\n{after}\n{end}"
            ));
            wire.play("C> NOOP\nB> NOOP");
        }
    }
}

#[test]
fn a_server_that_keeps_the_type_or_leaves_ends_the_session() {
    for (event, seconds, reason) in [
        ("B< 213 9\nB> TYPE A\nB< 500 x", 0, "not_resynchronised"),
        ("B closed", 0, "backend_gone"),
        ("+60s", 60, "backend_timeout"),
        ("B desynchronised", 0, "backend_violation"),
    ] {
        let mut wire = limited(9);
        wire.play("C> RETR x\nB> TYPE I\nB< 200 x\nB> SIZE x");
        wire.play(&format!(
            "{event}\nC< 421 …\n* close\n= transfer RETR 421 0B {seconds}s none\n= closed {reason}"
        ));
    }
}
