//! Commands that do something to all that is in a directory.

use super::*;

/// RMDA as the gateway records it; `place` says where.
fn removed(argument: &str, place: &Value) -> Value {
    command("RMDA", argument, with_below(place, &["rmdir"], &["delete", "rmdir"]))
}

fn site(argument: &str, accesses: Value) -> Value {
    let mut record = command("SITE", argument, accesses);
    record["command"]["subcommand"] = argument.split(' ').next().into();
    record
}

fn renamed(path: &str) -> Value {
    command("RNTO", path, with_below(&json!({ "path": path }), &["rename"], &["rename"]))
}

/// What is done to one path, and to all that is below it.
fn with_below(place: &Value, own: &[&str], below: &[&str]) -> Value {
    let access = |operation: &&str, is_below: bool| {
        let mut access = place.clone();
        access["operation"] = (*operation).into();
        if is_below {
            access["below"] = true.into();
        }
        access
    };
    let own = own.iter().map(|operation| access(operation, false));
    own.chain(below.iter().map(|operation| access(operation, true))).collect()
}

#[test]
fn a_directory_is_judged_with_all_that_may_be_in_it() {
    let exe = rule("paths = ['**/*.exe']", "deny");
    assert_eq!(counts(&replayed(&exe, &[removed("/in", &json!({ "path": "/in" }))])), DENIED);
    assert_eq!(counts(&replayed(&exe, &[renamed("/in/a")])), UNTOLD);
    assert_eq!(counts(&replayed(&exe, &[renamed("/in/a.exe")])), DENIED);
    let out = rule("paths = ['/out/**']", "deny");
    assert_eq!(counts(&replayed(&out, &[renamed("/in/a")])), UNCHANGED);
}

#[test]
fn what_is_removed_with_all_that_is_in_it_may_hold_links_to_anywhere() {
    let home = json!({ "path": "/home/x" });
    let rmda = removed("/home/x", &home);
    let rmdir = site("RMDIR /home/x", with_below(&home, &["site", "rmdir"], &["delete", "rmdir"]));
    let of = |rules: &str, record: &Value| counts(&replayed(rules, std::slice::from_ref(record)));
    for record in [&rmda, &rmdir] {
        assert_eq!(of(&rule("paths = ['/secret/**']", "deny"), record), DENIED, "{record}");
        // Only downloads are denied there.
        let downloads = rule("paths = ['/secret/**']\noperations = ['download']", "deny");
        assert_eq!(of(&downloads, record), UNCHANGED, "{record}");
    }
}

#[test]
fn what_is_below_is_not_asked_of_the_directory_itself() {
    let rmda = removed("/home/x", &json!({ "path": "/home/x" }));
    let rules = rule("paths = ['/home/x']\noperations = ['delete']", "deny");
    let report = replayed(&rules, std::slice::from_ref(&rmda));
    assert_eq!(counts(&report), DENIED);
    let becomes = report["newly_denied"]["first"][0]["becomes"].as_str().unwrap();
    assert!(becomes.starts_with("denied, for not all that may be in the directory"), "{becomes}");
    // Rules under observation are asked about the command itself only.
    let observed = rule("operations = ['delete']\nmode = 'observe'", "deny");
    let report = replayed(&observed, &[rmda]);
    assert_eq!((counts(&report), &report["observed_denials"]), (UNCHANGED, &json!(0)));
}

#[test]
fn a_copy_that_would_replace_nothing_if_it_is_a_file_cannot_be_told() {
    let target = with_below(&json!({ "path": "/b" }), &["site", "upload"], &["upload", "overwrite"]);
    let copied = site("CPTO /b", target);
    assert_eq!(counts(&replayed(&rule("operations = ['overwrite']", "deny"), &[copied])), UNTOLD);
}

#[test]
fn what_is_below_is_asked_where_no_rule_has_paths() {
    let rmda = removed("/x", &json!({ "path": "/x" }));
    let report = replayed(&rule("operations = ['delete']", "deny"), std::slice::from_ref(&rmda));
    assert_eq!(counts(&report), DENIED);
    let becomes = report["newly_denied"]["first"][0]["becomes"].as_str().unwrap();
    assert!(becomes.starts_with("denied by rule `new`"), "{becomes}");
    assert_eq!(counts(&replayed(&rule("operations = ['download']", "deny"), &[rmda])), UNCHANGED);
}

#[test]
fn what_is_below_an_unknown_path_is_asked_too() {
    let rmda = removed("x", &json!({ "unresolved": true }));
    let of = |rules: &str| counts(&replayed(rules, std::slice::from_ref(&rmda)));
    let elsewhere = "[[rule]]\nname = 'other'\npaths = ['/pub/**']\noperations = ['list']\naction = 'deny'\n";
    assert_eq!(of(&(rule("operations = ['delete']", "deny") + elsewhere)), DENIED);
    assert_eq!(of(&(rule("operations = ['download']", "deny") + elsewhere)), UNCHANGED);
    // Here it hangs on the path.
    assert_eq!(of(&rule("paths = ['/secret/**']\noperations = ['delete']", "deny")), UNTOLD);
}
