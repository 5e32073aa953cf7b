//! What walking costs, when it is spared, and that a server is asked for its data connection where the transfer takes
//! place.

use super::harness::{ARM, LEASE, Scene, Wire};
use super::paths::{STRICT, TREE, at, fast, strict, tree};
use super::policy::policy;

/// The client fetches a file; what the backend was told until the end.
fn fetch(wire: &mut Wire, name: &str, directory: &str) -> Vec<String> {
    wire.play(LEASE);
    let told = wire.answer_all(&format!("C> RETR {name}"), directory);
    wire.play("relay complete 1\nB< 226 x\n* finish download\ndownload ended\nC< 226 x");
    told
}

fn is_walk(line: &str) -> bool {
    line.starts_with("CWD") || line.starts_with("PWD")
}

#[test]
fn twenty_files_of_one_directory_cost_one_walk_and_of_twenty_directories_one_each() {
    for rules in [STRICT, "allow * /in/** /home/**\ndeny"] {
        let mut wire = at(rules, "/home");
        let mut told: Vec<String> = Vec::new();
        for number in 0..20 {
            told.extend(fetch(&mut wire, &format!("/in/a/{number}"), "/in/a"));
        }
        // EPSV and RETR are sent in any case.
        assert_eq!((told.iter().filter(|line| is_walk(line)).count(), told.len()), (2, 2 + 40));
        assert_eq!(told[..4], ["CWD /in/a", "PWD", "EPSV", "RETR 0"]);
        told.clear();
        for number in 0..20 {
            told.extend(fetch(&mut wire, &format!("/in/{number}/x"), &format!("/in/{number}")));
        }
        assert_eq!((told.iter().filter(|line| is_walk(line)).count(), told.len()), (40, 40 + 40));
        // Where the client goes itself, there is nothing left to walk.
        wire.play("C> CWD /in/b\nB> CWD /in/b\nB< 250 x\nB> PWD\nB< 257 \"/in/b\"\nC< 250 x");
        let told: Vec<String> = (0..20).flat_map(|_| fetch(&mut wire, "x", "")).collect();
        assert_eq!(told.len(), 40);
    }
}

#[test]
fn a_link_in_the_one_tree_that_is_allowed_does_not_lead_out_of_it() {
    for command in ["RETR link/x", "STOR link/x", "DELE link/x", "LIST link", "SIZE /in/link/x"] {
        let mut wire = tree();
        wire.play(LEASE);
        wire.play(&format!(
            "C> {command}
             B> CWD /in/link
             B< 250 x
             B> PWD
             B< 257 \"/secret\"
             B> CWD /in
             B< 250 x
             B> PWD
             B< 257 \"/in\"
             C< 55…"
        ));
    }
}

#[test]
fn rules_about_names_alone_walk_to_listings_alone() {
    const NAMES: &str = "deny * **/*.exe\nallow";
    let mut wire = at(NAMES, "/home");
    wire.play(ARM);
    wire.play("C> RETR /in/x\nB> RETR /in/x\nB< 550 no\n* withdraw\nC< 550 no");
    wire.play("C> DELE /in/x\nB> DELE /in/x\nB< 250 x\nC< 250 x\nC> DELE /in/x.exe\nC< 550 …");
    wire.play(ARM);
    wire.play("C> RETR /in/X.EXE\nC< 550 …\nC> LIST\nB> LIST\nB< 550 no\n* withdraw\nC< 550 no");
    let entered = "B> CWD /in\nB< 250 x\nB> PWD";
    wire.play(ARM);
    wire.play(&format!(
        "C> LIST -l /in\n{entered}\nB< 257 \"/in\"\nreach\nB> LIST -l\nB< 550 no\n* withdraw\nC< 550 no"
    ));
    let mut wire = at(NAMES, "/home");
    wire.play(&format!("C> STAT /in\n{entered}\nB< 257 \"/x.exe\"\nB> CWD /home\nB< 250 x\nB> PWD\nB< 257 \"/home\"\nC< 550 …"));
    // Without `list` there is nothing to be entered.
    let mut wire = at("deny download,upload **/*.exe\nallow", "/home");
    wire.play(ARM);
    wire.play("C> LIST /in\nB> LIST /in");
}

/// FileZilla Server's MKD and ProFTPD's SITE MKDIR and SITE CPTO create the directories above as well.
#[test]
fn no_directory_comes_into_being_on_the_way_to_another() {
    let refused = "B> CWD /in/x.exe\nB< 550 no\nB> PWD\nB< 257 \"/home\"\nC< 550 no";
    let entered = "B> CWD /in/a\nB< 250 x\nB> PWD\nB< 257 \"/in/a\"";
    for rules in ["deny * **/*.exe\nallow", "deny mkdir **/*.exe\nallow"] {
        for command in ["MKD", "SITE MKDIR"] {
            let mut wire = at(rules, "/home");
            wire.play(&format!("C> {command} /in/x.exe/a\n{refused}\nC> {command} /in/a/x.exe\nC< 55…"));
            let mut wire = at(rules, "/home");
            wire.play(&format!("C> {command} /in/a/b\n{entered}\nB> {command} b\nB< 257 x\nC< 257 x"));
        }
        let mut wire = at(rules, "/home");
        wire.play(&format!("C> SITE CPFR y\nC< 350 …\nC> SITE CPTO /in/x.exe/a\n{refused}"));
    }
    // A rule under observation changes nothing.
    let mut wire = at("deny * **/*.exe observe\nallow", "/home");
    wire.play("C> SITE MKDIR /in/x.exe/a\nB> SITE MKDIR /in/x.exe/a\nB< 257 x\nC< 257 x");
}

#[test]
fn the_server_is_asked_for_its_data_connection_where_the_transfer_takes_place() {
    let mut wire = strict();
    wire.play("C> PASV\n* lease\nlease ok\nC< 227 …\nC> STOR a/x\nB> CWD /home/a\nB< 250 x\nB> PWD\nB< 257 \"/home/a\"\nreach\nB> STOR x");
    // Fast, it is asked while the client gets its answer.
    fast().play("C> EPSV\n* lease\nB> EPSV");
}

#[test]
fn a_data_connection_from_before_a_change_of_directory_is_not_used() {
    // The client's own.
    let mut wire = fast();
    wire.play(ARM);
    wire.play(
        "C> CWD a\nB> CWD /in/a\nB< 250 x\nB> PWD\nB< 257 \"/in/a\"\nC< 250 x\nC> LIST\nreach\nB> LIST",
    );
    // A policy's that came in between.
    for (dialled, rest) in [("dial ok\n", ""), ("", "dial ok\n"), ("dial failed\n", "")] {
        let mut wire = fast();
        wire.play("C> EPSV\n* lease\nB> EPSV\nlease ok\nC< 229 …\nB< 229 (|||2000|)\n* dial 2000");
        wire.play(dialled);
        wire.change_policy(policy(TREE));
        wire.play(&format!(
            "C> STOR a/x\nB> CWD /in/a\n{rest}B< 250 x\nB> PWD\nB< 257 \"/in/a\"\nreach\nB> STOR x"
        ));
    }
    // A walk that led nowhere changes nothing.
    let mut wire = fast();
    wire.play(ARM);
    wire.play("C> CWD a\nB> CWD /in/a\nB< 550 x\nB> PWD\nB< 257 \"/in\"\nC< 550 x\nC> LIST\nB> LIST");
}

#[test]
fn a_server_that_refuses_epsv_after_the_walk_is_asked_for_pasv_or_given_up() {
    let asked = || {
        let mut wire = strict();
        wire.play(LEASE);
        wire.play("C> RETR x\nB> EPSV");
        wire
    };
    asked().play("B< 500 what\nB> PASV\nB< 227 (198,51,100,3,7,208)\n* dial 2000\ndial ok\nB> RETR x");
    asked().play("B< 500 what\nB> PASV\nB< 421 bye\nC< 421 …\n* close\n= transfer RETR 421 0B 0s none");
    asked().play(
        "B< 229 (|||2000|)\n* dial 2000\ndial failed\n* discard\nC< 425 …\n= transfer RETR 425 0B 0s none",
    );
    asked().play("lease expired\n* discard\nC< 425 …\nB< 229 (|||2000|)\nC> NOOP\nB> NOOP");
    asked().play("C> ABOR\n* discard\nC< 426 …\nB< 229 (|||2000|)\nC< 226 …");
}

#[test]
fn opaque_backends_keep_the_overlap() {
    let mut scene = Scene::plain().policy(policy(STRICT));
    scene.upstream().paths = ftpsgate_policies::PathProfile::Opaque;
    let mut wire = scene.log_in();
    wire.play("C> EPSV\n* lease\nB> EPSV");
}
