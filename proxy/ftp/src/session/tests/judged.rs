//! What policy is asked once paths are known: uploads that replace, renames, sizes; and what clients are told.

use super::harness::{ARM, LEASE, Scene};
use super::paths::{STRICT, at, fast, login, of, strict, tree};
use super::policy::policy;

/// Files that are there may not be replaced.
const NO_OVERWRITE: &str = "deny overwrite /in/**\nallow * /in/**\ndeny";

#[test]
fn an_upload_is_an_overwrite_where_mlst_knows_the_file() {
    let armed = || {
        let mut wire = at(NO_OVERWRITE, "/in");
        wire.play(LEASE);
        wire.play("C> STOR x\nB> MLST /in/x");
        wire
    };
    armed().play("B< 250-x\\n type=file; /in/x\\n250 end\nC< 553 …\n= denied STOR x 553 by deny overwrite /in/** (rules:1)");
    armed().play("B< 550 No such file\nreach\nB> STOR x");
    armed().play("B< 450 Busy\nB> TYPE I");
}

#[test]
fn an_upload_is_an_overwrite_where_size_knows_the_file() {
    let asked = || {
        let mut wire = at(NO_OVERWRITE, "/in");
        wire.play(LEASE);
        wire.play("C> STOR x\nB> MLST /in/x\nB< 500 what\nB> TYPE I\nB< 200 x\nB> SIZE /in/x");
        wire
    };
    asked().play("B< 213 9\nB> TYPE A\nB< 200 x\nC< 553 …");
    asked().play("B< 450 Busy\nB> TYPE A\nB< 200 x\nC< 553 …");
    let mut wire = asked();
    wire.play("B< 550 No such file\nB> TYPE A\nB< 200 x\nreach\nB> STOR x\nB< 550 x\n* withdraw\nC< 550 x");
    wire.play(LEASE);
    // What the server does not know is not asked again.
    wire.play(
        "C> TYPE I\nB> TYPE I\nB< 200 x\nC< 200 x\nC> STOR y\nB> SIZE /in/y\nB< 550 x\nreach\nB> STOR y",
    );
    asked().play("B< 550 No such file\nB> TYPE A\nB< 500 x\nC< 421 …\n* close\n= closed not_resynchronised");
}

#[test]
fn a_server_that_refuses_type_i_counts_as_having_the_file() {
    let mut wire = at(NO_OVERWRITE, "/in");
    wire.play(LEASE);
    wire.play("C> STOR x\nB> MLST /in/x\nB< 502 what\nB> TYPE I\nB< 504 x\nC< 553 …");
}

#[test]
fn nothing_is_probed_where_no_rule_cares() {
    let mut wire = fast();
    wire.play(ARM);
    wire.play("C> STOR x\nB> STOR /in/x");
    let mut wire = tree();
    wire.play(LEASE);
    wire.play("C> STOR x\nreach\nB> STOR x");
    let mut wire = at("deny upload,overwrite /in/**\nallow", "/in");
    wire.play(LEASE);
    wire.play("C> STOR x\nC< 553 …");
}

#[test]
fn appe_and_a_restarted_upload_are_judged_as_what_they_are() {
    let mut wire = at(NO_OVERWRITE, "/in");
    wire.play(LEASE);
    wire.play("C> REST 5\nC< 350 …\nC> STOR x\nC< 553 …\nC> REST 5\nC< 350 …\nC> APPE x\nC< 553 …");
    wire.play("C> APPE x\nreach\nB> APPE x");
    let mut wire = at("deny append\nallow * /in/**\ndeny", "/in");
    wire.play(LEASE);
    wire.play("C> APPE x\nC< 553 …");
}

#[test]
fn a_rename_needs_both_names() {
    let mut wire = tree();
    wire.play("C> RNFR a\nC< 350 …\nC> RNTO ../out/b\nC< 553 …\nC> RNTO b\nC< 503 …");
    wire.play("C> RNFR ../out/a\nC< 553 …\nC> RNTO b\nC< 503 …");
    wire.play("C> RNFR a\nC< 350 …\nC> RNTO b\nB> RNFR /in/a\nB< 350 x\nB> RNTO /in/b\nB< 250 x\nC< 250 x");
}

#[test]
fn a_strict_rename_walks_to_both_names() {
    let mut wire = strict();
    wire.play(
        "C> RNFR a/x
         C< 350 …
         C> RNTO b/y
         B> CWD /home/a
         B< 250 x
         B> PWD
         B< 257 \"/home/a\"
         B> CWD /home/b
         B< 250 x
         B> PWD
         B< 257 \"/other\"
         B> RNFR /home/a/x
         B< 350 x
         B> RNTO /other/y
         B< 250 x
         C< 250 x",
    );
}

#[test]
fn a_directory_with_denied_children_is_not_renamed() {
    let rules = "deny * /in/x/secret/**\nallow";
    let renaming = || {
        let mut wire = at(rules, "/in");
        wire.play("C> RNFR x\nC< 350 …\nC> RNTO y\nB> MLST /in/x");
        wire
    };
    renaming().play("B< 250-x\\n type=dir;size=1; /in/x\\n250 end\nC< 550 …");
    renaming().play("B< 250-x\\n size=1;Type=file; /in/x\\n250 end\nB> RNFR /in/x\nB< 350 x\nB> RNTO /in/y");
    renaming().play("B< 550 No such file\nC< 550 No such file");
    renaming().play("B< 250-x\\n size=1; /in/x\\n250 end\nB> TYPE I\nB< 200 x\nB> SIZE /in/x\nB< 213 1\nB> TYPE A\nB< 200 x\nB> RNFR /in/x");
    renaming().play("B< 500 what\nB> TYPE I\nB< 200 x\nB> SIZE /in/x\nB< 550 no plain file\nB> TYPE A\nB< 200 x\nC< 550 …");
    renaming().play("B< 500 what\nB> TYPE I\nB< 500 x\nC< 550 …");
}

#[test]
fn a_server_whose_directory_was_renamed_says_anew_where_it_is() {
    let mut wire = strict();
    wire.play(
        "C> DELE a/x
         B> CWD /home/a
         B< 250 x
         B> PWD
         B< 257 \"/home/a\"
         B> DELE x
         B< 250 x
         C< 250 x
         C> RNFR /home
         C< 350 …
         C> RNTO /b
         B> CWD /
         B< 250 x
         B> PWD
         B< 257 \"/\"
         B> RNFR /home
         B< 350 x
         B> RNTO /b
         B< 250 x
         C< 250 x",
    );
    let mut wire = fast();
    wire.play("C> CWD a\nB> CWD /in/a\nB< 250 x\nB> PWD\nB< 257 \"/in/a\"\nC< 250 x");
    wire.play(
        "C> RNFR /in/a\nC< 350 …\nC> RNTO /in/b\nB> RNFR /in/a\nB< 350 x\nB> RNTO /in/b\nB< 250 x\nC< 250 x",
    );
    // Another directory may have that name now.
    wire.play(
        "C> MLST\nB> PWD\nB< 257 \"/in/b\"\nB> CWD /in/a\nB< 550 none\nB> PWD\nB< 257 \"/in/b\"\nC< 550 none",
    );
}

#[test]
fn a_renewal_goes_where_the_view_is() {
    let mut scene = Scene::plain().secure_backend().policy(policy(STRICT));
    scene.upstream().may_renew = true;
    let mut wire = scene.begin();
    wire.play(
        &login("257 \"/home\"").replace("B> USER", "B> PBSZ 0\nB< 200 ok\nB> PROT P\nB< 200 ok\nB> USER"),
    );
    wire.play("C> CWD a\nB> CWD /home/a\nB< 250 x\nB> PWD\nB< 257 \"/home/a\"\nC< 250 x\ntickets spent");
    wire.play(LEASE);
    let renewed = "C> RETR b
         * renew
         B connected
         tickets available
         B< 220 hello
         B> PBSZ 0
         B< 200 ok
         B> PROT P
         B< 200 ok
         B> USER anna
         B< 331 x
         B> PASS hunter2
         B< 230 x
         B> CWD /home/a
         B< 250 x
         B> PWD";
    wire.play(renewed);
    wire.play(
        "B< 257 \"/home/a\"\n* keep the new\nB> EPSV\nB< 229 (|||2000|)\n* dial 2000\ndial ok\nB> RETR b",
    );
}

#[test]
fn a_renewal_that_stands_elsewhere_is_not_used() {
    let mut scene = Scene::plain().secure_backend().policy(policy(STRICT));
    scene.upstream().may_renew = true;
    let mut wire = scene.begin();
    wire.play(
        &login("257 \"/home\"").replace("B> USER", "B> PBSZ 0\nB< 200 ok\nB> PROT P\nB< 200 ok\nB> USER"),
    );
    wire.play(
        "tickets spent\nC> EPSV\n* lease\nlease ok\nC< 229 …\nC> RETR b\n* renew\nB connected\nB< 220 x\nB> PBSZ 0\nB< 200 ok
         B> PROT P\nB< 200 ok\nB> USER anna\nB< 230 x\nB> CWD /home\nB< 250 x\nB> PWD\nB< 257 \"/secret\"
         * keep the old\n= renewed false\n* discard\nC< 425 …",
    );
}

#[test]
fn a_rules_own_reply_is_given() {
    let mut wire = at("deny delete /in/** reply=450_Later\nallow", "/in");
    wire.play("C> DELE x\nC< 450 Later\n= denied DELE x 450 by deny delete /in/** reply=450_Later (rules:1)");
}

#[test]
fn denials_have_the_codes_of_the_table() {
    let mut wire = at("deny * /no/**\nallow", "/in");
    wire.play(LEASE);
    for (command, code) in [
        ("RETR /no/x", 550),
        ("LIST /no", 550),
        ("DELE /no/x", 550),
        ("CWD /no", 550),
        ("SIZE /no/x", 550),
        ("RMD /no/x", 550),
        ("STOR /no/x", 553),
        ("APPE /no/x", 553),
        ("MKD /no/x", 553),
        ("RNFR /no/x", 553),
    ] {
        wire.play(&format!(
            "C> {command}\nC< {code} …\n= denied {command} {code} by deny * /no/** (rules:1)"
        ));
    }
}

#[test]
fn an_announced_size_is_judged() {
    let mut wire = at("deny upload,overwrite larger=100\nallow * /in/**\ndeny", "/in");
    wire.play(LEASE);
    wire.play("C> ALLO 101\nB> ALLO 101\nB< 200 x\nC< 200 x\nC> STOR x\nC< 552 …");
    wire.play("C> ALLO 100\nB> ALLO 100\nB< 200 x\nC< 200 x\nC> STOR x\nreach\nB> STOR x");
    // The announcement was for one upload.
    let mut wire = at("deny upload,overwrite larger=100\nallow * /in/**\ndeny", "/in");
    wire.play(LEASE);
    wire.play(
        "C> ALLO 101\nB> ALLO 101\nB< 200 x\nC< 200 x\nC> STOR x\nC< 552 …\nC> STOR x\nreach\nB> STOR x",
    );
}

#[test]
fn a_denial_without_path_rules_does_not_speak_of_directories() {
    let mut wire = Scene::plain().policy(policy("deny upload,overwrite,delete\nallow")).log_in();
    wire.play("C> DELE x\nC< 550 Not allowed by policy.");
    wire.play(ARM);
    wire.play("C> STOR x\nC< 553 Not allowed by policy.");
}

#[test]
fn what_is_only_observed_changes_nothing() {
    let mut wire = at("deny delete /in/** observe\nallow", "/in");
    wire.play("C> DELE x\nB> DELE /in/x\n= observed DELE denied by deny delete /in/** observe");
    let scene = Scene::plain().policy(super::policy::observed_policy(STRICT));
    let mut wire = of(scene, "/home");
    wire.play("C> CWD /secret\nB> CWD /secret\nB< 250 x\nB> PWD\nB< 257 \"/secret\"\nC< 250 x");
    wire.play("= observed CWD denied by deny * /secret/**\nC> DELE ~/x\nB> DELE ~/x");
}

#[test]
fn commands_without_operation_are_judged_by_their_names() {
    let mut wire = at("deny SYST,PWD,TYPE\ndeny SITE_CHMOD\nallow * /in/**\ndeny", "/in");
    wire.play(
        "C> SYST\nC< 550 …\nC> PWD\nC< 550 …\nC> TYPE I\nC< 550 …\nC> NOOP\nB> NOOP\nB< 200 x\nC< 200 x",
    );
    wire.play(
        "C> SITE CHMOD 644 x\nC< 550 …\nC> SITE UTIME 20200101000000 x\nB> MLST /in/x\nB< 250-x\\n type=file; x\\n250 x
         B> SITE UTIME 20200101000000 x",
    );
}

/// Nothing lies below a file: then nothing is asked about it, least of all the command by its name alone.
#[test]
fn a_command_that_an_earlier_rule_allows_is_not_denied_by_its_name() {
    let mut wire =
        Scene::plain().policy(policy("allow download\nallow login\ndeny RETR,PASS\nallow")).log_in();
    wire.play(ARM);
    wire.play("C> RETR x\nB> RETR x");
}
