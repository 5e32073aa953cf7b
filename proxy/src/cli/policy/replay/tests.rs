//! Logs against policies.

use clap::Parser;
use serde_json::{Value, json};

use crate::cli::{Cli, Command};
use crate::config::MINIMAL;
use crate::question;

use super::super::PolicyCommand;
use super::change::Change;
use super::*;

mod below;

/// What is said of some records by some rules; the listener is `ftps`, the backend `legacy`.
fn replayed_with(rules: &str, records: &[Value], options: &str) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let [with, log] = ["new.toml", "audit.jsonl"].map(|name| directory.path().join(name));
    std::fs::write(&with, format!("{MINIMAL}[policy]\nfiles = []\n{rules}\n{ASKING}")).unwrap();
    let lines: Vec<String> = records.iter().map(|record| format!("{record}\n")).collect();
    std::fs::write(&log, lines.concat()).unwrap();
    let line = format!("ftpsgate policy replay {} --with {} {options}", log.display(), with.display());
    let Command::Policy(policy) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
        panic!("another verb")
    };
    let PolicyCommand::Replay(args) = policy.command else { panic!("another verb") };
    let loaded = config::load_with(&args.file.path, &args.with).unwrap_or_else(|error| panic!("{error}"));
    let enforced = args.enforce_observed.then(|| enforced(&loaded.config).unwrap());
    let judge = Judge::new(&loaded.config, enforced.as_ref().unwrap_or(&loaded.config.policy));
    let tally = replay(&args, &judge).unwrap();
    let report = Report {
        tally: &tally,
        explain: Explain { base: Some(Path::new("gate.toml")), with: Path::new("new.toml") },
        rows_max: args.top as usize,
        enforces_observed: args.enforce_observed,
    };
    assert!(!report.render().is_empty());
    if !args.enforce_observed {
        tally
            .denied
            .first
            .iter()
            .for_each(|change| assert!(!explained(&loaded.config, change), "{change:?}"));
        tally
            .allowed
            .first
            .iter()
            .for_each(|change| assert!(explained(&loaded.config, change), "{change:?}"));
    }
    report.to_json()
}

/// Certificates count where clients are asked for them.
const ASKING: &str = "[tls.default]\nclient_certificates = 'request'\nclient_ca = 'ca'\n";

/// What `explain` says when it is asked as is proposed; where nothing is proposed, what was found.
fn explained(config: &Config, change: &Change) -> bool {
    let Some(words) = &change.question else { return change.becomes.starts_with("allowed") };
    let words = ["ftpsgate", "explain"].into_iter().chain(words.iter().map(String::as_str));
    let Command::Explain(args) = Cli::try_parse_from(words).unwrap().command else { panic!("another verb") };
    let question = args.into_question().unwrap();
    question::ask(config, &question).unwrap_or_else(|error| panic!("{error}: {change:?}")).is_allowed()
}

fn replayed(rules: &str, records: &[Value]) -> Value {
    replayed_with(rules, records, "")
}

/// A command of anna's in an ordinary session, allowed by default.
fn command(verb: &str, argument: &str, accesses: Value) -> Value {
    json!({
        "seq": 1, "time": "2026-11-20T12:00:00.000000Z", "gateway": "gw1", "event": "command", "session": "s1",
        "client": "10.0.0.7:50000", "dialled": "10.1.0.1:21", "listener": "ftps",
        "tls": { "version": "1.3", "suite": "TLS13_AES_128_GCM_SHA256", "resumed": false },
        "user": "anna", "backend": "legacy", "server": "10.2.0.11:21",
        "command": { "verb": verb, "argument": argument, "accesses": accesses },
        "decision": { "allowed": true, "by": "default" }, "code": 226,
    })
}

fn download(path: &str) -> Value {
    command("RETR", path, json!([{ "operation": "download", "path": path }]))
}

fn denied(mut record: Value) -> Value {
    record["decision"] = json!({
        "allowed": false, "by": "rule", "rule": { "name": "old", "file": "old.toml", "line": 7 },
    });
    record["code"] = json!(550);
    record
}

fn with(mut record: Value, key: &str, value: Value) -> Value {
    *record.pointer_mut(&format!("/{key}")).unwrap() = value;
    record
}

fn login(session: &str, verb: &str, user: &str) -> Value {
    let record = command(verb, user, json!([{ "operation": "login" }]));
    with(with(record, "session", session.into()), "user", user.into())
}

fn rule(matchers: &str, action: &str) -> String {
    let default = if action == "deny" { "allow" } else { "deny" };
    format!("default = '{default}'\n[[rule]]\nname = 'new'\n{matchers}\naction = '{action}'\n")
}

fn counts(report: &Value) -> [u64; 4] {
    let count = |pointer: &str| report.pointer(pointer).unwrap().as_u64().unwrap();
    [
        count("/unchanged"),
        count("/newly_denied/count"),
        count("/newly_allowed/count"),
        count("/cannot_be_told/count"),
    ]
}

const KEY: &str = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

const UNCHANGED: [u64; 4] = [1, 0, 0, 0];
const DENIED: [u64; 4] = [0, 1, 0, 0];
const ALLOWED: [u64; 4] = [0, 0, 1, 0];
const UNTOLD: [u64; 4] = [0, 0, 0, 1];

#[test]
fn each_matcher_is_asked_with_what_the_record_says() {
    let certificate = json!({ "subject": "CN=acme-7,O=Acme", "names": ["ftp.acme.example"], "key": KEY });
    let mut shown = download("/in/a");
    shown["certificate"] = certificate;
    let chmod = with(
        command("SITE", "CHMOD 644 a", json!([{ "operation": "site", "path": "/in/a" }])),
        "command",
        json!({ "verb": "SITE", "subcommand": "CHMOD", "argument": "CHMOD 644 a",
            "accesses": [{ "operation": "site", "path": "/in/a" }] }),
    );
    let upload = command("STOR", "a", json!([{ "operation": "upload", "path": "/in/a" }]));
    let large = with(
        upload,
        "command",
        json!({ "verb": "STOR", "argument": "a", "size_bytes": 2_000_000,
        "accesses": [{ "operation": "upload", "path": "/in/a" }] }),
    );
    let resumed = with(download("/in/a"), "tls/resumed", true.into());
    for (matches, fails, record) in [
        ("users = ['an*']", "users = ['bob']", download("/in/a")),
        ("from = ['10.0.0.0/24']", "from = ['10.0.1.0/24']", download("/in/a")),
        (
            "from = ['10.0.0.0/24']",
            "from = ['::/0']",
            with(download("/a"), "client", "[::ffff:10.0.0.7]:9".into()),
        ),
        ("listeners = ['ftps']", "from = ['::1']", download("/in/a")),
        ("backends = ['legacy']", "from = ['::1']", download("/in/a")),
        ("certificates = ['CN=acme-*']", "certificates = ['CN=b*']", shown.clone()),
        ("certificates = ['san:*.acme.example']", "certificates = ['san:b']", shown),
        ("tls = '>=1.3'", "tls = '=1.2'", download("/in/a")),
        ("tls = 'resumed'", "tls = 'none'", resumed),
        ("operations = ['download']", "operations = ['upload']", download("/in/a")),
        ("commands = ['SITE CHMOD']", "commands = ['SITE UTIME']", chmod),
        ("paths = ['/in/**']", "paths = ['/out/**']", download("/in/a")),
        ("paths = ['/home/$user/**']", "paths = ['/home/$user']", download("/home/anna/a")),
        ("larger_than = '1MB'", "larger_than = '2MB'", large),
        ("hours = 'Fri 12:00-12:01'\ntimezone = 'UTC'", "hours = 'Sat'\ntimezone = 'UTC'", download("/in/a")),
    ] {
        let of = |rules: &str, record: &Value| counts(&replayed(rules, std::slice::from_ref(record)));
        assert_eq!(of(&rule(matches, "deny"), &record), DENIED, "{matches}");
        assert_eq!(of(&rule(fails, "deny"), &record), UNCHANGED, "{fails}");
        let record = denied(record);
        assert_eq!(of(&rule(matches, "allow"), &record), ALLOWED, "{matches}");
        assert_eq!(of(&rule(fails, "allow"), &record), UNCHANGED, "{fails}");
    }
}

#[test]
fn hours_are_those_of_the_zone_when_the_command_began() {
    let rules = rule("hours = 'Fri 12:00-13:00'\ntimezone = 'Europe/Berlin'", "deny");
    // 12:00 in Berlin is 11:00 UTC in winter and 10:00 in summer.
    for (time, expected) in [
        ("2026-11-20T10:59:59.999999Z", UNCHANGED),
        ("2026-11-20T11:00:00Z", DENIED),
        ("2026-07-17T10:30:00Z", DENIED),
        ("2026-07-17T11:30:00Z", UNCHANGED),
    ] {
        let record = with(download("/a"), "time", time.into());
        assert_eq!(counts(&replayed(&rules, &[record])), expected, "{time}");
    }
    let mut record = with(download("/a"), "time", "2026-11-20T12:00:10Z".into());
    assert_eq!(counts(&replayed(&rules, &[record.clone()])), UNCHANGED);
    record["transfer"] = json!({ "direction": "download", "bytes": 5, "duration_ms": 20_000 });
    assert_eq!(counts(&replayed(&rules, &[record])), DENIED);
}

#[test]
fn each_minute_has_its_own_time() {
    let rules = rule("hours = 'Fri 12:01-12:02'\ntimezone = 'UTC'", "deny");
    let records: Vec<Value> = ["12:00:59", "12:01:00", "12:01:59", "12:02:00"]
        .iter()
        .map(|time| with(download("/a"), "time", format!("2026-11-20T{time}Z").into()))
        .collect();
    assert_eq!(counts(&replayed(&rules, &records)), [2, 2, 0, 0]);
}

#[test]
fn what_is_under_observation_counts_only_when_asked_for() {
    let observed = rule("operations = ['download']\nmode = 'observe'", "deny");
    let report = replayed(&observed, &[download("/a")]);
    assert_eq!((counts(&report), report["observed_denials"].as_u64()), (UNCHANGED, Some(1)));
    let report = replayed_with(&observed, &[download("/a")], "--enforce-observed");
    assert_eq!(counts(&report), DENIED);
    let whole = format!("mode = 'observe'\n{}", rule("operations = ['download']", "deny"));
    assert_eq!(counts(&replayed(&whole, &[download("/a")])), UNCHANGED);
    assert_eq!(counts(&replayed_with(&whole, &[download("/a")], "--enforce-observed")), DENIED);
}

#[test]
fn what_hangs_on_an_unknown_path_cannot_be_told() {
    let record = command("RETR", "a", json!([{ "operation": "download", "unresolved": true }]));
    let of = |rules: &str| counts(&replayed(rules, std::slice::from_ref(&record)));
    assert_eq!(of(&rule("paths = ['/secret/**']", "deny")), UNTOLD);
    assert_eq!(of(&rule("paths = ['/in/**']", "allow")), UNTOLD);
    // Here it hangs on nothing.
    assert_eq!(of(&rule("paths = ['/secret/**']\nusers = ['bob']", "deny")), UNCHANGED);
    assert_eq!(of(&rule("operations = ['download']", "deny")), DENIED);
    // And of the other path enough is known.
    let rename = command(
        "RNTO",
        "b",
        json!([
            { "operation": "rename", "path": "/secret/a" }, { "operation": "rename", "unresolved": true },
        ]),
    );
    assert_eq!(counts(&replayed(&rule("paths = ['/secret/**']", "deny"), &[rename])), DENIED);
}

#[test]
fn what_hangs_on_an_unknown_size_cannot_be_told() {
    let upload = command("STOR", "/a", json!([{ "operation": "upload", "path": "/a" }]));
    let large = rule("larger_than = '1MB'", "deny");
    assert_eq!(counts(&replayed(&large, &[denied(upload.clone())])), UNTOLD);
    let of_bob = rule("larger_than = '1MB'\nusers = ['bob']", "deny");
    assert_eq!(counts(&replayed(&of_bob, &[upload])), UNCHANGED);
    assert_eq!(counts(&replayed(&large, &[download("/a")])), UNCHANGED);
}

#[test]
fn words_that_leave_open_what_they_mean_are_refused_where_paths_count() {
    let list = command("LIST", "/a b", json!([{ "operation": "list", "path": "/a b" }]));
    let report = replayed(&rule("paths = ['/secret/**']", "deny"), std::slice::from_ref(&list));
    assert_eq!(counts(&report), DENIED);
    assert_eq!(counts(&replayed(&rule("operations = ['delete']", "deny"), &[list])), UNCHANGED);
}

#[test]
fn what_was_denied_stays_denied_where_words_leave_open_what_they_mean() {
    let list = denied(command("LIST", "-t /home", json!([{ "operation": "list", "path": "/home" }])));
    let report = replayed(&rule("paths = ['/secret/**']", "deny"), std::slice::from_ref(&list));
    assert_eq!(counts(&report), UNCHANGED);
    assert_eq!(counts(&replayed(&rule("operations = ['delete']", "deny"), &[list])), ALLOWED);
}

#[test]
fn uploads_that_might_have_replaced_a_file_are_pointed_out() {
    let upload = |operation: &str| command("STOR", "/a", json!([{ "operation": operation, "path": "/a" }]));
    let rules = rule("operations = ['overwrite']", "deny");
    let report = replayed(&rules, &[upload("upload")]);
    assert_eq!((counts(&report), report["judged_as_new_files"].as_u64()), (UNCHANGED, Some(1)));
    let report = replayed(&rules, &[upload("overwrite")]);
    assert_eq!((counts(&report), report["judged_as_new_files"].as_u64()), (DENIED, Some(0)));
}

#[test]
fn names_are_compared_as_they_were_and_shown_as_they_are_written() {
    let record = with(download("/a"), "user", r"b\\o\x1b\xff".into());
    let report = replayed(&rule(r"users = ['b\\\\o??']", "deny"), std::slice::from_ref(&record));
    assert_eq!(counts(&report), UNCHANGED);
    let report = replayed(&rule("users = ['b*']", "deny"), &[record]);
    assert_eq!(counts(&report), DENIED);
    assert_eq!(report["users"][0]["user"], r"b\\o\x1b\xff");
    assert_eq!(report["newly_denied"]["first"][0]["explain"], Value::Null);
}

#[test]
fn a_change_is_shown_with_its_cause_and_the_question_to_ask() {
    let record =
        denied(command("RETR", "it's.csv", json!([{ "operation": "download", "path": "/in/it's.csv" }])));
    let report = replayed(&rule("paths = ['/in/**']", "allow"), &[record]);
    let first = &report["newly_allowed"]["first"][0];
    assert_eq!(first["was"], "denied by rule `old` (old.toml:7)");
    assert!(first["becomes"].as_str().unwrap().starts_with("allowed by rule `new` ("), "{first}");
    assert!(first["becomes"].as_str().unwrap().ends_with("new.toml:11)"), "{first}");
    assert_eq!(
        (&first["line"], &first["user"], &first["from"]),
        (&json!(1), &json!("anna"), &json!("10.0.0.7"))
    );
    assert_eq!(
        first["explain"],
        "ftpsgate explain -c gate.toml --with new.toml --user anna --from 10.0.0.7 --listener ftps \
         --at 2026-11-20T12:00:00Z --backend legacy --tls 1.3 --directory /in 'RETR it'\\''s.csv'"
    );
    assert_eq!(report["newly_allowed"]["rules"][0]["count"], 1);
}

#[test]
fn what_follows_a_login_that_is_denied_is_not_a_denial_each() {
    let rules = rule("operations = ['login']\nusers = ['anna']", "deny");
    let of = |session: &str| with(download("/a"), "session", session.into());
    let mut records =
        vec![login("s1", "USER", "anna"), login("s1", "PASS", "anna"), of("s1"), of("s1"), of("s2")];
    let report = replayed(&rules, &records);
    assert_eq!(counts(&report), [1, 1, 0, 0]);
    assert_eq!(report["not_reached"], json!({ "count": 3, "logins_denied": 1 }));
    assert_eq!(report["users"][0]["not_reached"], 3);
    // Another name may go on in the same session, and another session may have the same id after it.
    records.extend([login("s1", "USER", "bob"), login("s1", "PASS", "bob"), of("s1")]);
    assert_eq!(counts(&replayed(&rules, &records)), [4, 1, 0, 0]);
    let end = json!({ "seq": 9, "time": "2026-11-20T12:00:00Z", "gateway": "gw1", "event": "disconnect", "session": "s1" });
    let report = replayed(&rules, &[login("s1", "USER", "anna"), end, of("s1")]);
    assert_eq!((counts(&report), &report["other_events"]), ([1, 1, 0, 0], &json!(1)));
}

#[test]
fn a_connection_that_is_denied_ends_everything_behind_it() {
    let connect = json!({
        "seq": 1, "time": "2026-11-20T12:00:00Z", "gateway": "gw1", "event": "connect", "session": "s1",
        "client": "10.0.0.7:50000", "listener": "ftps",
    });
    let rules = rule("operations = ['connect']\nfrom = ['10.0.0.0/8']", "deny");
    let report = replayed(&rules, &[connect.clone(), login("s1", "USER", "anna"), download("/a")]);
    assert_eq!((counts(&report), &report["not_reached"]["count"]), (DENIED, &json!(2)));
    assert_eq!(report["newly_denied"]["first"][0]["command"], "CONNECT");
    let mut refused = connect;
    refused["decision"] = json!({ "allowed": false, "by": "default" });
    assert_eq!(counts(&replayed("default = 'allow'\n", &[refused])), ALLOWED);
}

#[test]
fn what_policy_did_not_decide_is_counted_apart() {
    let by = |by: &str| with(download("/a"), "decision", json!({ "allowed": false, "by": by }));
    let mut noop = download("/a");
    noop.as_object_mut().unwrap().remove("decision");
    let revoked = with(download("/a"), "event", "revoked".into());
    let report = replayed("default = 'allow'\n", &[by("gateway"), by("limit"), noop, revoked]);
    assert_eq!(counts(&report), [0; 4]);
    for key in ["by_gateway", "by_limit", "not_asked", "other_events"] {
        assert_eq!(report[key], 1, "{key}");
    }
    assert_eq!(report["judged"], 0);
}

#[test]
fn a_configuration_that_is_not_of_these_gateways_is_pointed_out() {
    let records = [
        with(download("/a"), "listener", "lan".into()),
        with(download("/a"), "backend", "b".into()),
        download("/a"),
    ];
    let report = replayed(&rule("operations = ['download']", "deny"), &records);
    assert_eq!((counts(&report), &report["by_unknown_names"]), ([0, 3, 0, 0], &json!(2)));
    assert_eq!(report["newly_denied"]["first"][0]["explain"], Value::Null);
}

#[test]
fn tables_and_first_changes_are_as_long_as_asked_for() {
    let records: Vec<Value> =
        (0..30).map(|n| with(download("/a"), "user", format!("u{}", n % 5).into())).collect();
    let report = replayed_with(&rule("operations = ['download']", "deny"), &records, "--top 2 --first 3");
    assert_eq!(counts(&report), [0, 30, 0, 0]);
    assert_eq!(report["newly_denied"]["first"].as_array().unwrap().len(), 3);
    assert_eq!(report["users"].as_array().unwrap().len(), 2);
    assert_eq!((&report["users"][0]["user"], &report["users"][0]["newly_denied"]), (&json!("u0"), &json!(6)));
    assert_eq!(report["users_beyond"]["newly_denied"], 18);
}

#[test]
fn lines_that_are_no_records_are_counted_and_harm_nothing() {
    let good = download("/a").to_string();
    let deep = "[".repeat(100_000);
    let odd = |pointer: &str, value: Value| with(download("/a"), pointer, value).to_string();
    let mut log = Vec::new();
    for line in [
        "hello",
        "{}",
        &deep,
        &format!("{{\"x\":{deep}"),
        &good[..good.len() - 2],
        &odd("time", "yesterday".into()),
        &odd("seq", json!(-1)),
        &odd("code", json!(1e300)),
        &odd("client", "10.0.0.7".into()),
        &odd("user", r"\q".into()),
        &odd("tls/version", "9".into()),
        &odd("command/accesses/0/operation", "fly".into()),
        &odd("event", "\u{1b}[2J".into()),
        &format!("\"{}\"", "x".repeat(deed::LINE_BYTES_MAX)),
        &"x".repeat(BLOCK_BYTES + 5),
    ] {
        log.extend_from_slice(line.as_bytes());
        log.push(b'\n');
    }
    log.extend_from_slice(b"\xff\xfe\n\n  \r\n");
    log.extend_from_slice(good.as_bytes());
    let loaded = config::parse(MINIMAL, "gate.toml", Path::new("/")).unwrap();
    let judge = Judge::new(&loaded.config, &loaded.config.policy);
    let (mut tally, mut progress) = (Tally::new(100), Progress::new());
    let place = Log { path: Path::new("log"), name: "log" };
    read(&place, log.as_slice(), &judge, &mut tally, &mut progress).unwrap();
    assert_eq!((tally.records, tally.unchanged, tally.unreadable), (1, 1, 16));
    let lines: Vec<u64> = tally.first_unreadable.iter().map(|line| line.line).collect();
    assert_eq!(lines, (1..=16).collect::<Vec<_>>());
    for line in &tally.first_unreadable {
        assert!(line.why.len() < 900 && !line.why.chars().any(char::is_control), "{line:?}");
    }
    assert_eq!(tally.first_unreadable[0].why, "expected value at column 1");
    assert_eq!(tally.first_unreadable[14].why, "it is longer than 1048576 bytes");
}

/// Not a test of anything: it says how long a million records take.
#[test]
#[ignore = "a measurement, for a release build: cargo test --release -p ftpsgate --lib -- --ignored --nocapture measure_replay"]
fn measure_replay() {
    use std::io::Write;
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.jsonl");
    let mut file = io::BufWriter::new(File::create(&log).unwrap());
    for n in 0..1_000_000_u32 {
        let path = format!("/in/partner-{}/file-{n}.csv", n % 500);
        let mut record = with(download(&path), "user", format!("partner-{}", n % 500).into());
        record["session"] = format!("0193-{}", n / 20).into();
        record["transfer"] = json!({
            "direction": "download", "bytes": 4096, "duration_ms": 12, "end": "complete",
            "downstream": { "version": "1.3", "suite": "TLS13_AES_128_GCM_SHA256", "resumed": true, "close_notify": true },
        });
        writeln!(file, "{record}").unwrap();
    }
    file.flush().unwrap();
    let bytes = std::fs::metadata(&log).unwrap().len();
    for count in [10, 1_000] {
        let rules: String = (0..count)
            .map(|n| {
                format!("[[rule]]\nname = 'r{n}'\nusers = ['partner-{n}']\npaths = ['/in/partner-{n}/**']\naction = 'allow'\n")
            })
            .collect();
        let text = format!("{MINIMAL}[policy]\nfiles = []\ndefault = 'deny'\n{rules}");
        let loaded = config::parse(&text, "gate.toml", Path::new("/")).unwrap();
        let judge = Judge::new(&loaded.config, &loaded.config.policy);
        let (mut tally, mut progress) = (Tally::new(10), Progress::new());
        let started = Instant::now();
        read(&Log { path: &log, name: "log" }, File::open(&log).unwrap(), &judge, &mut tally, &mut progress)
            .unwrap();
        let seconds = started.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let megabytes = bytes as f64 / 1e6;
        println!(
            "{count} rules: {} records, {megabytes:.0} MB in {seconds:.2} s, {:.0} MB/s; {} newly denied",
            tally.records,
            megabytes / seconds,
            tally.denied.count
        );
    }
}
