//! One record for each command: what it would do, to what, who decided, how it ended.

use super::harness::{LEASE, Scene, Wire};
use super::paths::{STRICT, at};
use super::policy::policy;
use crate::session::{AccessRecord, AccessTarget, CommandRecord, DecidedBy, LoginVerdict};

/// `VERB argument code: operation path, …; who decided`.
fn brief(record: &CommandRecord) -> String {
    let argument = record.argument.as_ref().map(|argument| format!(" {}", argument.escape_ascii()));
    let code = record.code.map_or("-".to_owned(), |code| code.to_string());
    let accesses: Vec<String> = record.accesses.iter().map(access).collect();
    let decision = record.decision.as_ref().map(|decision| {
        let by = match &decision.by {
            DecidedBy::Rule(rule) => rule.name().to_owned(),
            DecidedBy::Default => "default".to_owned(),
            DecidedBy::Gateway => "gateway".to_owned(),
            DecidedBy::Limit => format!("limit {}", record.limit.as_deref().unwrap_or_default()),
        };
        format!("; {} by {by}", if decision.is_allowed { "allowed" } else { "denied" })
    });
    format!(
        "{}{} {code}: {}{}",
        record.verb_name(),
        argument.unwrap_or_default(),
        accesses.join(", "),
        decision.unwrap_or_default()
    )
}

fn access(access: &AccessRecord) -> String {
    let below = if access.is_below { "/**" } else { "" };
    let target = match &access.target {
        AccessTarget::Nothing => String::new(),
        AccessTarget::Unresolved => " ?".to_owned(),
        AccessTarget::Path(path) => format!(" {path}"),
        AccessTarget::Reckoned(path) => format!(" ~{path}"),
    };
    format!("{}{target}{below}", access.operation.name())
}

/// The records since the last call.
fn records(wire: &mut Wire) -> Vec<String> {
    wire.records.drain(..).map(|record| brief(&record)).collect()
}

/// A session whose login is recorded already.
fn audited() -> Wire {
    let mut scene = Scene::plain();
    scene.settings.is_audited = true;
    let mut wire = scene.log_in();
    wire.records.clear();
    wire
}

/// A command that the server answers so.
fn exchange(command: &str, reply: &str) -> String {
    format!("C> {command}\nB> {command}\nB< {reply}\nC< {reply}\n")
}

#[test]
fn a_login_is_two_commands_and_no_password() {
    let mut wire = Scene::plain().log_in();
    let user = wire.records[1].user.clone();
    assert_eq!(user.as_deref(), Some(b"anna".as_slice()));
    assert_eq!(wire.records[1].backend, "legacy");
    assert_eq!(
        records(&mut wire),
        ["USER anna 331: login; allowed by default", "PASS 230: login; allowed by default"]
    );
}

#[test]
fn a_failed_login_is_that_of_the_name_that_was_tried() {
    let mut wire = Scene::plain().begin();
    wire.play("C< 220 ready\nC> USER eve\n* connect\nB connected\nB< 220 x\nB> USER eve\nB< 331 ?\nC< 331 ?");
    wire.play("C> PASS hunter2\nB> PASS hunter2\nB< 530 no\nC< 530 no\nC> NOOP\nC< 200 OK");
    let [_, password, noop] = wire.records.as_slice() else { panic!("{:?}", wire.records) };
    assert!(password.has_failed_login && !noop.has_failed_login);
    assert_eq!((password.user.as_deref(), noop.user.as_deref()), (Some(b"eve".as_slice()), None));
}

#[test]
fn who_is_locked_out_is_refused_by_the_limit() {
    let mut wire = Scene::plain().begin();
    wire.verdict = LoginVerdict::LockedOut("five tries".to_owned());
    wire.play("C< 220 ready\nC> USER eve\n* connect\nB connected\nB< 220 x\nB> USER eve\nB< 331 ?\nC< 331 ?");
    wire.play("C> PASS hunter2\nC< 530 …");
    assert_eq!(wire.records[1].user.as_deref(), Some(b"eve".as_slice()));
    assert_eq!(records(&mut wire)[1], "PASS 530: login; denied by limit five tries");
}

#[test]
fn a_denied_user_leaves_its_name_in_the_record_alone() {
    let mut wire = Scene::plain().policy(policy("deny login users=eve\nallow")).begin();
    wire.play("C< 220 ready\nC> USER eve\nC< 530 …");
    assert_eq!(wire.records[0].user.as_deref(), Some(b"eve".as_slice()));
    assert_eq!(records(&mut wire), ["USER eve 530: login; denied by deny login users=eve"]);
}

#[test]
fn lines_that_are_no_commands_are_recorded_without_a_word_of_theirs() {
    let mut wire = audited();
    wire.play(
        "C> HELLO hunter2\nC< 500 …\nC> QUIT hunter2\nC< 501 …\nC> USER\nC< 501 …\nC! too long\nC< 500 …",
    );
    assert_eq!(records(&mut wire), [" 500: ", "QUIT 501: ", "USER 501: ", " 500: "]);
}

#[test]
fn a_password_change_that_is_spelled_oddly_leaves_no_argument() {
    let passed = ["SITE PASSWORD new", "SITE chpass anna new"].map(|line| exchange(line, "200 changed"));
    let refused = ["SITE  PSWD old new", "SITE PSWD\told new"].map(|line| format!("C> {line}\nC< 501 …"));
    for line in passed.iter().chain(&refused) {
        let mut wire = audited();
        wire.play(line);
        let [record] = wire.records.as_slice() else { panic!("{:?}", wire.records) };
        assert_eq!(record.argument, None, "{line}");
        assert!(!format!("{record:?}").contains("new"), "{line}: {record:?}");
    }
}

#[test]
fn the_listeners_own_rules_decide_as_the_gateway() {
    let mut wire = audited();
    wire.play("C> CPSV\nC< 502 …\nC> NLST\nC< 425 …");
    wire.play(&exchange("SITE PSWD old new", "200 changed"));
    assert_eq!(
        records(&mut wire),
        [
            "CPSV 502: ; denied by gateway",
            "NLST 425: list ?; allowed by default",
            "SITE 200: site; allowed by default"
        ]
    );
}

#[test]
fn what_is_answered_while_data_moves_has_a_record_of_its_own() {
    let mut wire = Wire::relaying("RETR a");
    wire.records.clear();
    wire.play("progress 40\nC> NOOP\nC< 200 …\nC> STAT\nC< 213 …");
    wire.play("relay complete 100\nB< 226 Done\n* finish download\ndownload ended\nC< 226 Done");
    assert_eq!(
        records(&mut wire),
        ["NOOP 200: ", "STAT 213: ", "RETR a 226: download ?; allowed by default"]
    );
}

#[test]
fn a_command_that_ends_with_its_session_is_recorded() {
    for (end, code) in [
        ("C closed\n* close", "-"),
        ("B closed\nC< 421 …\n* close", "421"),
        ("B< 421 Bye\nC< 421 Bye\n* close", "421"),
        ("+60s\nC< 421 …\n* close", "421"),
    ] {
        let mut wire = audited();
        wire.play("C> SIZE /a\nB> SIZE /a\nC> NOOP");
        wire.play(end);
        assert_eq!(records(&mut wire), [format!("SIZE /a {code}: metadata /a; allowed by default")], "{end}");
    }
}

#[test]
fn where_the_client_is_is_reckoned_from_what_the_server_says() {
    let mut wire = audited();
    let mut then = |command: &str, reply: &str, recorded: &str| {
        wire.play(&exchange(command, reply));
        assert_eq!(records(&mut wire), [recorded], "{command}");
    };
    then("SIZE f", "213 1", "SIZE f 213: metadata ?; allowed by default");
    then("CWD sub", "250 ok", "CWD sub 250: traverse ?; allowed by default");
    then("PWD", "257 \"/home/anna\" is here", "PWD 257: ; allowed by default");
    then("SIZE f", "213 1", "SIZE f 213: metadata ~/home/anna/f; allowed by default");
    then("CWD sub/../in", "250 ok", "CWD sub/../in 250: traverse ~/home/anna/in; allowed by default");
    then("CWD no", "550 no", "CWD no 550: traverse ~/home/anna/in/no; allowed by default");
    then("DELE f", "250 ok", "DELE f 250: delete ~/home/anna/in/f; allowed by default");
    then("CDUP", "200 ok", "CDUP 200: traverse ~/home/anna; allowed by default");
    then("CWD /pub", "250 ok", "CWD /pub 250: traverse /pub; allowed by default");
    then("MLST", "250 x", "MLST 250: metadata ~/pub; allowed by default");
    then(
        "SITE CHMOD 600 f",
        "200 x",
        "SITE CHMOD 600 f 200: site ~/pub/f, metadata ~/pub/f; allowed by default",
    );
    then("SIZE f", "213 1", "SIZE f 213: metadata ~/pub/f; allowed by default");
    then("CWD /pub", "250 ok", "CWD /pub 250: traverse /pub; allowed by default");
    then("PWD", "257 \"/a\"b\" is odd", "PWD 257: ; allowed by default");
    then("SIZE f", "213 1", "SIZE f 213: metadata ?; allowed by default");
}

#[test]
fn nobody_knows_where_an_unknown_site_command_leads() {
    let mut wire = audited();
    wire.play(&exchange("CWD /a", "250 ok"));
    wire.play(&exchange("SITE WHAT", "200 x"));
    wire.records.clear();
    wire.play(&exchange("SIZE f", "213 1"));
    assert_eq!(records(&mut wire), ["SIZE f 213: metadata ?; allowed by default"]);
}

#[test]
fn a_directory_that_was_renamed_is_not_where_it_was() {
    let renamed = |from: &str| {
        let mut wire = audited();
        wire.play(&exchange("CWD /a/b", "250 ok"));
        wire.play(&format!(
            "C> RNFR {from}\nC< 350 …\nC> RNTO /x\nB> RNFR {from}\nB< 350 x\nB> RNTO /x\nB< 250 x\nC< 250 x"
        ));
        wire.records.clear();
        wire.play(&exchange("SIZE f", "213 1"));
        records(&mut wire).remove(0)
    };
    assert_eq!(renamed("/a"), "SIZE f 213: metadata ?; allowed by default");
    assert_eq!(renamed("g"), "SIZE f 213: metadata ~/a/b/f; allowed by default");
}

#[test]
fn both_halves_of_a_rename_and_all_that_is_below_are_in_its_second_record() {
    let mut wire = audited();
    wire.play("C> RNFR /a\nC< 350 …\nC> RNTO /b\nB> RNFR /a\nB< 350 x\nB> RNTO /b\nB< 250 x\nC< 250 x");
    wire.play(&exchange("RMDA /d", "250 x"));
    assert_eq!(
        records(&mut wire),
        [
            "RNFR /a 350: rename /a; allowed by default",
            "RNTO /b 250: rename /a, rename /a/**, rename /b, rename /b/**; allowed by default",
            "RMDA /d 250: rmdir /d, delete /d/**, rmdir /d/**; allowed by default"
        ]
    );
}

#[test]
fn a_denial_where_paths_count_names_the_path_that_was_judged() {
    let mut wire = at(STRICT, "/home");
    wire.records.clear();
    wire.play("C> DELE ../secret/a\nC< 550 …\nC> CWD /secret\nC< 550 …\nC> PWD\nC< 257 …");
    assert_eq!(
        records(&mut wire),
        [
            "DELE ../secret/a 550: delete /secret/a; denied by deny * /secret/**",
            "CWD /secret 550: traverse /secret; denied by deny * /secret/**",
            "PWD 257: ; allowed by default"
        ]
    );
}

#[test]
fn an_upload_says_what_was_announced_and_what_it_replaces() {
    let mut wire = at("deny overwrite /in/**\nallow * /in/**\ndeny", "/in");
    wire.play(LEASE);
    wire.play(&exchange("ALLO 900", "200 ok"));
    wire.records.clear();
    wire.play("C> STOR x\nB> MLST /in/x\nB< 250-x\\n type=file; /in/x\\n250 end\nC< 553 …");
    assert_eq!(wire.records[0].announced_bytes, Some(900));
    assert_eq!(records(&mut wire), ["STOR x 553: overwrite /in/x; denied by deny overwrite /in/**"]);
}
