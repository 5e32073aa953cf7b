//! The audit log of a real gateway: one record for each command, none lost, none doubled, no secret.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ftpsgate::audit::Record;
use ftpsgate::audit::record::{By, Event};
use ftpsgate_tests::client::{Client, TlsSetup, TlsVersion};
use ftpsgate_tests::gateway::{
    CANARY, Event as LogEvent, Gateway, GatewayOptions, PATIENCE, binary, wait_until,
};
use ftpsgate_tests::libunftp::LibunftpServer;
use ftpsgate_tests::scene::{Scene, content};
use ftpsgate_tests::scripted::Script;

const AUDIT: &str = "[[audit]]\npath = \"audit.jsonl\"\n";

/// A gateway that keeps an audit log, in front of a server with a small tree.
struct Stage {
    gateway: Gateway,
    server: LibunftpServer,
}

impl Stage {
    fn start(policy: &str) -> Self {
        let server = LibunftpServer::start();
        for directory in ["in", "out", "secret"] {
            std::fs::create_dir(server.path(directory)).expect("the folder can be written");
        }
        for file in ["out/a.csv", "secret/key"] {
            server.put(file, file.as_bytes());
        }
        let options = GatewayOptions::all_modes(server.address()).extra(policy).extra(AUDIT);
        Self { gateway: Gateway::start(options), server }
    }

    fn log(&self) -> PathBuf {
        self.gateway.directory().join("audit.jsonl")
    }

    /// The log's lines, once a session has ended.
    fn lines(&self) -> String {
        wait_until("the end of the session is recorded", || {
            read(&self.log()).contains("\"event\":\"disconnect\"")
        });
        read(&self.log())
    }

    fn visitor(&self) -> Client {
        let mut client = Client::connect(self.gateway.address("plain"));
        client.greeting();
        client
    }

    fn plain(&self) -> Client {
        Client::logged_in_plain(&self.gateway)
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn records(lines: &str) -> Vec<Record<'_>> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// What was asked for and what came of it: `VERB argument -> code`, and who denied.
fn brief(record: &Record<'_>) -> String {
    let command = record.command.as_ref().expect("a record of a command");
    let argument = command.argument.as_ref().map(|argument| format!(" {argument}")).unwrap_or_default();
    let code = record.code.map_or("-".to_owned(), |code| code.to_string());
    let denial = record.decision.as_ref().filter(|decision| !decision.allowed);
    let denial = denial.map(|decision| match (&decision.rule, decision.by) {
        (Some(rule), _) => format!(" denied by {}", rule.name),
        (None, by) => format!(" denied by {by:?}"),
    });
    format!("{}{argument} -> {code}{}", command.verb, denial.unwrap_or_default())
}

fn commands(lines: &str) -> Vec<String> {
    let records = records(lines);
    records.iter().filter(|record| record.event == Event::Command).map(brief).collect()
}

/// The record of the only command of this verb.
fn only<'a, 'r>(records: &'a [Record<'r>], verb: &str) -> &'a Record<'r> {
    let mut found =
        records.iter().filter(|record| record.command.as_ref().is_some_and(|command| command.verb == verb));
    let first = found.next().unwrap_or_else(|| panic!("no record of {verb}"));
    assert!(found.next().is_none(), "two records of {verb}");
    first
}

/// The paths that a record's command would touch, with what is done to them.
fn paths(record: &Record<'_>) -> Vec<String> {
    let accesses = record.command.iter().flat_map(|command| &command.accesses);
    let path = |access: &ftpsgate::audit::record::Access<'_>| match &access.path {
        Some(path) => format!("{} {path}", access.operation),
        None if access.unresolved => format!("{} ?", access.operation),
        None => access.operation.to_string(),
    };
    accesses.map(path).collect()
}

fn assert_numbered(records: &[Record<'_>]) {
    let numbers: Vec<u64> = records.iter().map(|record| record.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn each_command_is_one_record_whatever_becomes_of_it() {
    let stage = Stage::start("");
    let mut client = stage.visitor();
    for (command, code) in
        [("NOOP", 200), ("LIST", 530), ("HELLO there", 500), ("USER", 501), ("FEAT", 211), ("USER anna", 331)]
    {
        client.expect(command, code);
    }
    client.expect(&format!("PASS {CANARY}"), 230);
    for (command, code) in [
        ("USER bob", 503),
        ("PWD", 257),
        ("CWD out", 250),
        ("TYPE I", 200),
        ("MODE Z", 504),
        ("REST 0", 350),
        ("RNFR a.csv", 350),
        ("RNTO b.csv", 250),
        ("RNTO c.csv", 503),
        ("CPSV", 502),
        ("MKD /in/new", 257),
        ("DELE nothing", 550),
        ("ABOR", 226),
        ("RETR b.csv", 425),
    ] {
        client.expect(command, code);
    }
    assert_eq!(client.download("RETR b.csv"), b"out/a.csv");
    client.upload("STOR /in/up.bin", &content(3000));
    client.expect("QUIT", 221);
    let lines = stage.lines();
    let mut expected: Vec<String> =
        "NOOP -> 200|LIST -> 530 denied by Gateway| -> 500|USER -> 501|FEAT -> 211|\
        USER anna -> 331|PASS -> 230|USER bob -> 503|PWD -> 257|CWD out -> 250|TYPE I -> 200|MODE Z -> 504|\
        REST 0 -> 350|RNFR a.csv -> 350|RNTO b.csv -> 250|RNTO c.csv -> 503|CPSV -> 502 denied by Gateway|\
        MKD /in/new -> 257|DELE nothing -> 550|ABOR -> 226|RETR b.csv -> 425|RETR b.csv -> 226|\
        STOR /in/up.bin -> 226|QUIT -> 221"
            .split('|')
            .map(str::to_owned)
            .collect();
    let mut found = commands(&lines);
    // How a data connection is asked for is the harness's choice.
    found.retain(|brief| !brief.starts_with("EPSV") && !brief.starts_with("PASV"));
    found.dedup();
    expected.dedup();
    assert_eq!(found, expected);

    let records = records(&lines);
    assert_numbered(&records);
    assert_eq!((records[0].event, records[records.len() - 1].event), (Event::Connect, Event::Disconnect));
    let end = &records[records.len() - 1];
    assert_eq!(
        (end.reason.as_deref(), end.uploaded_bytes, end.downloaded_bytes),
        (Some("quit"), Some(3000), Some(9))
    );
    let upload = only(&records, "STOR");
    let moved = upload.transfer.as_ref().expect("it was a transfer");
    assert_eq!((&*moved.direction, moved.bytes, moved.end.as_deref()), ("upload", 3000, Some("complete")));
    assert_eq!(upload.command.as_ref().unwrap().size_bytes, Some(3000));
    assert_eq!((upload.user.as_deref(), upload.backend.as_deref()), (Some("anna"), Some("legacy")));
    assert_eq!(upload.server, Some(stage.server.address()));
    assert_eq!(
        upload.decision.as_ref().map(|decision| (decision.allowed, decision.by)),
        Some((true, By::Default))
    );
    // No policy asks for paths: where the client is was reckoned from the server's replies.
    assert_eq!(paths(upload), ["upload /in/up.bin"]);
    assert_eq!(paths(only(&records, "DELE")), ["delete /out/nothing"]);
    assert_eq!(paths(only(&records, "MKD")), ["mkdir /in/new"]);
    assert_eq!(stage.log().metadata().unwrap().permissions().mode() & 0o137, 0);
}

#[test]
fn a_denial_names_its_rule_and_what_was_only_observed() {
    let stage = Stage::start(
        "[policy]\ndefault = \"allow\"\n\
         [[rule]]\nname = \"no secrets\"\npaths = [\"/secret/**\"]\naction = \"deny\"\n\
         [[rule]]\nname = \"one day\"\noperations = [\"delete\"]\naction = \"deny\"\nmode = \"observe\"\n",
    );
    let mut client = stage.plain();
    client.expect("CWD /out", 250);
    client.expect("DELE ../secret/key", 550);
    client.expect("SIZE ../secret/key", 550);
    client.expect("MDTM a.csv", 213);
    client.expect("DELE a.csv", 250);
    let mut data = client.begin_transfer("LIST");
    data.read_to_end();
    client.expect_reply(226);
    client.expect("QUIT", 221);
    let lines = stage.lines();
    let records = records(&lines);
    let size = only(&records, "SIZE");
    let decision = size.decision.as_ref().expect("policy was asked");
    let rule = decision.rule.as_ref().expect("a rule denied");
    assert_eq!((decision.allowed, decision.by, &*rule.name), (false, By::Rule, "no secrets"));
    assert!(rule.file.ends_with("ftpsgate.toml") && rule.line > 1, "{rule:?}");
    assert_eq!((paths(size), size.code), (vec!["metadata /secret/key".to_owned()], Some(550)));
    let deleted: Vec<_> = records
        .iter()
        .filter(|one| one.command.as_ref().is_some_and(|command| command.verb == "DELE"))
        .collect();
    assert_eq!(
        deleted.iter().map(|one| paths(one)).collect::<Vec<_>>(),
        [["delete /secret/key"], ["delete /out/a.csv"]]
    );
    let observed = &deleted[1].decision.as_ref().unwrap().observed;
    assert_eq!(observed.len(), 1);
    assert_eq!((observed[0].allowed, &*observed[0].rule.as_ref().unwrap().name), (false, "one day"));
    assert_eq!(paths(only(&records, "MDTM")), ["metadata /out/a.csv"]);
    assert_eq!(paths(only(&records, "LIST")), ["list /out"]);

    // The policy that decided decides the same of what it recorded.
    let replay = Command::new(binary())
        .args(["policy", "replay", "--expect-unchanged", "--with"])
        .arg(stage.gateway.config_file())
        .arg(stage.log())
        .output()
        .expect("the gateway's binary starts");
    let said = String::from_utf8_lossy(&replay.stdout);
    assert!(replay.status.success(), "{said}{}", String::from_utf8_lossy(&replay.stderr));
}

#[test]
fn a_session_under_tls_says_so_in_each_record() {
    let stage = Stage::start("");
    let mut client = Client::logged_in(&stage.gateway, TlsSetup::new(&stage.gateway, TlsVersion::Tls13));
    client.upload("STOR /in/a", b"abc");
    client.expect("QUIT", 221);
    let lines = stage.lines();
    let records = records(&lines);
    assert_eq!(records[0].tls, None);
    assert_eq!(brief(only(&records, "AUTH")), "AUTH TLS -> 234");
    let upload = only(&records, "STOR");
    assert_eq!(upload.tls.as_ref().map(|tls| &*tls.version), Some("1.3"));
    let moved = upload.transfer.as_ref().unwrap();
    assert!(moved.downstream.as_ref().is_some_and(|tls| tls.resumed && tls.close_notify));
    assert_eq!(moved.upstream, None);
    assert!(
        records.windows(2).all(|pair| pair[0].session == pair[1].session && pair[0].client == pair[1].client)
    );
}

#[test]
fn a_file_size_limit_of_the_process_is_a_full_disk_and_no_sudden_death() {
    let stage = Stage::start("");
    let mut client = stage.plain();
    stage.gateway.limit_file_size(Some(24 << 10));
    let is_large = || std::fs::metadata(stage.log()).is_ok_and(|log| log.len() == 24 << 10);
    let mut commands_given = 0;
    while !is_large() {
        client.expect("NOOP", 200);
        commands_given += 1;
    }
    let is_said = |event: &LogEvent| event.text("message").starts_with("the audit log cannot be written");
    stage.gateway.wait_event(is_said, PATIENCE);
    client.expect("QUIT", 221);
    stage.gateway.limit_file_size(None);
    let lines = stage.lines();
    let records = records(&lines);
    assert_numbered(&records);
    let is_noop =
        |record: &&Record<'_>| record.command.as_ref().is_some_and(|command| command.verb == "NOOP");
    assert_eq!(records.iter().filter(is_noop).count(), commands_given);
}

#[test]
fn failed_logins_are_recorded_with_the_name_that_was_tried() {
    let scene =
        Scene::start_with(Script::new().answer("PASS", b"530 no\r\n"), |options| options.extra(AUDIT));
    let mut client = Client::connect(scene.gateway.address("plain"));
    client.greeting();
    client.expect("USER mallory", 331);
    client.expect(&format!("PASS {CANARY}"), 530);
    client.expect("QUIT", 221);
    let log = scene.gateway.directory().join("audit.jsonl");
    wait_until("the end is recorded", || read(&log).contains("disconnect"));
    let lines = read(&log);
    let records = records(&lines);
    let login = only(&records, "PASS");
    assert_eq!((login.user.as_deref(), login.code), (Some("mallory"), Some(530)));
    assert_eq!(login.reason.as_deref(), Some("login_failed"));
    assert_eq!(only(&records, "QUIT").user, None);
}

#[test]
fn a_transfer_that_is_cut_off_has_its_record() {
    let stage = Stage::start("");
    stage.server.put("out/large", &content(8 << 20));
    let mut client = stage.plain();
    client.expect("TYPE I", 200);
    let mut data = client.begin_transfer("RETR /out/large");
    data.read_exactly(1000);
    client.send("ABOR");
    client.expect_reply(426);
    client.expect_reply(226);
    drop(data);
    let mut data = client.begin_transfer("RETR /out/large");
    data.read_exactly(1000);
    client.expect("NOOP", 200);
    client.reset();
    let lines = stage.lines();
    let found = commands(&lines);
    let of = |verb: &str| {
        found.iter().filter(|brief| brief.starts_with(verb)).map(String::as_str).collect::<Vec<_>>()
    };
    assert_eq!(of("RETR"), ["RETR /out/large -> 426"; 2]);
    assert_eq!((of("ABOR"), of("NOOP")), (vec!["ABOR -> 226"], vec!["NOOP -> 200"]));
    let records = records(&lines);
    assert_numbered(&records);
    let end = &records[records.len() - 1];
    assert_eq!((end.event, end.reason.as_deref()), (Event::Disconnect, Some("client_gone")));
    assert!(end.downloaded_bytes > Some(1000), "{end:?}");
}

#[test]
fn a_command_under_way_when_the_client_goes_is_recorded_without_a_code() {
    let script = Script::new().on("SIZE", |session, _| session.stall());
    let scene = Scene::start_with(script, |options| options.extra(AUDIT));
    let mut client = scene.plain_client();
    client.send("SIZE /a");
    scene.server.record().wait_command("SIZE");
    client.reset();
    let log = scene.gateway.directory().join("audit.jsonl");
    wait_until("the end is recorded", || read(&log).contains("disconnect"));
    let lines = read(&log);
    assert!(commands(&lines).contains(&"SIZE /a -> -".to_owned()), "{lines}");
}

#[test]
fn no_way_to_type_a_password_leads_it_into_the_log() {
    let stage = Stage::start("");
    let mut client = stage.visitor();
    for line in
        ["PASS {}", "ACCT {}", "{}", "PASSWORD {}", " PASS {}", "PASS\t{}", "QUIT {}", "SITE PSWD {} {}"]
    {
        client.command(&line.replace("{}", CANARY));
    }
    client.expect("USER x PASS y", 331);
    client.expect(&format!("PASS {CANARY}"), 230);
    for line in ["PASS {}", "ACCT {}", "SITE PSWD {} {}", "site pass {}", "PWD {}", "pass {}"] {
        client.command(&line.replace("{}", CANARY));
    }
    for line in [
        "SITE  PSWD {} x",
        "SITE PSWD\t{}",
        "SITE PASSWORD {}",
        "site chpass anna {}",
        "SITE CPWD {}",
        "SITE SETPW {}",
    ] {
        client.command(&line.replace("{}", CANARY));
    }
    client.expect("QUIT", 221);
    let lines = stage.lines();
    assert!(!lines.contains(CANARY), "{lines}");
    assert!(commands(&lines).contains(&"USER x PASS y -> 331".to_owned()), "{lines}");
    assert_eq!(commands(&lines).len(), 23);
}

#[test]
fn names_that_would_forge_a_line_are_spelled_out() {
    let stage = Stage::start("");
    let mut client = stage.plain();
    client.send_bytes(b"DELE /\x1b[2J\"},{\xff\xff\r\n");
    client.reply();
    client.expect("QUIT", 221);
    let lines = stage.lines();
    let records = records(&lines);
    let argument = only(&records, "DELE").command.as_ref().unwrap().argument.as_ref().unwrap();
    assert_eq!(argument, "/\\x1b[2J\"},{\\xff");
}

#[test]
fn fifty_sessions_write_one_sequence() {
    let stage = Stage::start("");
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let mut client = stage.plain();
                (0..20).for_each(|_| drop(client.expect("NOOP", 200)));
                client.expect("QUIT", 221);
            });
        }
    });
    wait_until("all ends are recorded", || {
        read(&stage.log()).matches("\"event\":\"disconnect\"").count() == 50
    });
    let lines = read(&stage.log());
    let records = records(&lines);
    assert_numbered(&records);
    assert_eq!(commands(&lines).iter().filter(|brief| *brief == "NOOP -> 200").count(), 1000);
}

#[test]
fn a_log_that_is_rotated_under_load_loses_nothing_and_a_stop_writes_the_rest() {
    let mut stage = Stage::start("");
    let is_over = AtomicBool::new(false);
    let mut files = Vec::new();
    let asked: usize = std::thread::scope(|scope| {
        let load = || {
            let mut client = stage.plain();
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                client.expect("NOOP", 200);
                count += 1;
            }
            count
        };
        let loads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        for number in 0..8 {
            let mark = stage.gateway.log().mark();
            let rotated = stage.gateway.directory().join(format!("audit.{number}"));
            std::fs::rename(stage.log(), &rotated).expect("the log is there");
            files.push(rotated);
            stage.gateway.sighup();
            stage.gateway.log().wait_since(mark, |event| event.is("reloaded"), PATIENCE).expect("it reloads");
        }
        is_over.store(true, Ordering::Relaxed);
        loads.into_iter().map(|load| load.join().expect("the load ends well")).sum()
    });
    stage.gateway.sigterm();
    assert!(stage.gateway.wait_exit(PATIENCE).success());
    files.push(stage.log());
    let text: String = files.iter().map(|file| read(file)).collect();
    let records = records(&text);
    assert_numbered(&records);
    assert_eq!(commands(&text).iter().filter(|brief| *brief == "NOOP -> 200").count(), asked);
    assert_eq!(records.iter().filter(|record| record.event == Event::Disconnect).count(), 4);
}

#[test]
fn while_the_disk_is_full_sessions_stand_still_and_then_nothing_is_missing() {
    let stage = Stage::start("");
    std::fs::remove_file(stage.log()).expect("the log is there");
    symlink("/dev/full", stage.log()).expect("a link can be made");
    let mark = stage.gateway.log().mark();
    stage.gateway.sighup();
    stage.gateway.log().wait_since(mark, |event| event.is("reloaded"), PATIENCE).expect("it reloads");
    let mut client = stage.plain();
    let mut count = 0;
    while {
        client.send("NOOP");
        count += 1;
        !client.is_silent_for(Duration::from_secs(1))
    } {
        client.expect_reply(200);
    }
    let failures = |gateway: &Gateway| {
        gateway
            .events()
            .iter()
            .filter(|event| event.text("message").starts_with("the audit log cannot"))
            .count()
    };
    assert_eq!(failures(&stage.gateway), 1, "one complaint");
    let mark = stage.gateway.log().mark();
    std::fs::remove_file(stage.log()).expect("the link is there");
    stage.gateway.sighup();
    stage.gateway.log().wait_since(mark, |event| event.is("reloaded"), PATIENCE).expect("it reloads");
    client.expect_reply(200);
    client.expect("QUIT", 221);
    let lines = stage.lines();
    let records = records(&lines);
    assert_numbered(&records);
    assert_eq!(commands(&lines).iter().filter(|brief| *brief == "NOOP -> 200").count(), count);
}

#[test]
fn a_reload_begins_and_ends_a_log_for_sessions_that_run() {
    let server = LibunftpServer::start();
    let options = || GatewayOptions::all_modes(server.address());
    let gateway = Gateway::start(options());
    let reload = |options: GatewayOptions| {
        let mark = gateway.log().mark();
        gateway.rewrite_config(options);
        gateway.sighup();
        gateway.log().wait_since(mark, |event| event.is("reloaded"), PATIENCE).expect("it reloads");
    };
    let mut client = Client::logged_in_plain(&gateway);
    client.expect("SYST", 215);
    reload(options().extra(AUDIT));
    client.expect("NOOP", 200);
    reload(options());
    client.expect("PWD", 257);
    let log = gateway.directory().join("audit.jsonl");
    wait_until("the command is recorded", || !read(&log).is_empty());
    client.expect("QUIT", 221);
    assert_eq!(commands(&read(&log)), ["NOOP -> 200"]);
}

#[test]
fn clients_that_are_turned_away_are_recorded_with_the_limit() {
    let stage = Stage::start("[[limit]]\nname = \"one each\"\nper = \"address\"\nsessions = 1\n");
    let mut first = stage.plain();
    let mut second = Client::connect(stage.gateway.address("plain"));
    second.expect_reply(421);
    first.expect("QUIT", 221);
    let lines = stage.lines();
    let records = records(&lines);
    let refused: Vec<_> = records
        .iter()
        .filter(|one| one.event == Event::Connect && one.decision.as_ref().is_some_and(|said| !said.allowed))
        .collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].decision.as_ref().map(|decision| decision.by), Some(By::Limit));
    assert_eq!((refused[0].reason.as_deref(), refused[0].session.as_deref()), (Some("one each"), None));
}

#[test]
fn an_audit_log_that_cannot_be_opened_keeps_the_gateway_from_starting() {
    let server = LibunftpServer::start();
    let options = GatewayOptions::all_modes(server.address()).extra("[[audit]]\npath = \"no/audit.jsonl\"\n");
    let mut gateway = Gateway::spawn(options);
    assert!(!gateway.wait_exit(PATIENCE).success());
}

#[test]
fn two_audit_logs_that_are_one_file_through_a_link_fail_the_start_and_the_reload() {
    let server = LibunftpServer::start();
    let options = || GatewayOptions::all_modes(server.address());
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (file, link) = (folder.path().join("audit.jsonl"), folder.path().join("link.jsonl"));
    symlink(&file, &link).expect("a link can be made");
    let sink = |path: &Path| format!("[[audit]]\npath = {path:?}\n");
    let two = format!("{}{}", sink(&file), sink(&link));
    let mut refused = Gateway::spawn(options().extra(&two));
    assert!(!refused.wait_exit(PATIENCE).success());
    let gateway = Gateway::start(options().extra(&sink(&file)));
    let mark = gateway.log().mark();
    gateway.rewrite_config(options().extra(&two));
    gateway.sighup();
    let failure =
        gateway.log().wait_since(mark, |event| event.text("message").contains("are the same file"), PATIENCE);
    failure.expect("the reload fails");
    let mut client = Client::logged_in_plain(&gateway);
    client.expect("QUIT", 221);
    wait_until("the old log goes on", || read(&file).contains("disconnect"));
}
