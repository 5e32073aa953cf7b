//! Rules at work: allowed, denied, denied after a reload; what clients are told, what the log says; and that
//! `ftpsgate explain` says what then happens.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::client::{Client, DataConnection, Reply, TlsSetup, TlsVersion};
use ftpsgate_tests::gateway::{CANARY, Gateway, GatewayOptions, PATIENCE, binary};
use ftpsgate_tests::libunftp::LibunftpServer;

/// A gateway in front of a server with a small tree.
struct Stage {
    gateway: Gateway,
    server: LibunftpServer,
}

impl Stage {
    fn start(policy: &str) -> Self {
        let server = LibunftpServer::start();
        for directory in ["in", "reports", "reports/old", "home", "home/anna", "home/bob", "secret"] {
            std::fs::create_dir(server.path(directory)).expect("the folder can be written");
        }
        for file in
            ["in/there", "reports/q3.csv", "reports/old/q1.csv", "home/anna/f", "home/bob/f", "secret/key"]
        {
            server.put(file, file.as_bytes());
        }
        let gateway = Gateway::start(GatewayOptions::all_modes(server.address()).extra(policy));
        Self { gateway, server }
    }

    /// Puts another policy in place of the present one, and waits until it holds.
    fn reload(&self, policy: &str) {
        let mark = self.gateway.log().mark();
        self.gateway.rewrite_config(GatewayOptions::all_modes(self.server.address()).extra(policy));
        self.gateway.sighup();
        self.gateway.log().wait_since(mark, |event| event.is("reloaded"), PATIENCE).expect("it reloads");
    }

    fn visitor(&self) -> Client {
        let mut client = Client::connect(self.gateway.address("plain"));
        client.greeting();
        client
    }

    fn user(&self, name: &str) -> Client {
        let mut client = self.visitor();
        client.log_in_as(name);
        client
    }

    fn ftpsgate(&self, arguments: &[&str]) -> Output {
        let output =
            Command::new(binary()).args(arguments).arg("-c").arg(self.gateway.config_file()).output();
        output.expect("the gateway's binary starts")
    }

    fn explain(&self, user: &str, more: &[&str], command: &str) -> Output {
        let fixed = ["explain", "--user", user, "--from", "127.0.0.1", "--listener", "plain"];
        self.ftpsgate(&[&fixed, more, &[command]].concat())
    }

    /// The event of the denial that began after `mark`.
    fn denial(&self, mark: usize) -> (String, String, u64) {
        let event = self.gateway.log().wait_since(mark, |event| event.is("denied"), PATIENCE);
        let event = event.expect("the denial is recorded");
        (
            event.text("rule").to_owned(),
            event.text("rule_at").to_owned(),
            event.number("code").expect("a code"),
        )
    }
}

const POLICY: &str = "\
[policy]
default = \"deny\"
[[group]]
name = \"readers\"
users = [\"read-*\"]
[[rule]]
name = \"no deletion on plain listeners\"
listeners = [\"plain\"]
operations = [\"delete\", \"rmdir\"]
action = \"deny\"
reply = \"550 Nothing is deleted here\"
[[rule]]
name = \"no chmod\"
commands = [\"SITE CHMOD\"]
action = \"deny\"
[[rule]]
name = \"no noop for bob\"
users = [\"bob\"]
commands = [\"NOOP\"]
action = \"deny\"
[[rule]]
name = \"nothing secret\"
paths = [\"/secret/**\", \"**/*.exe\"]
action = \"deny\"
[[rule]]
name = \"readers read reports\"
groups = [\"readers\"]
operations = [\"list\", \"download\", \"metadata\"]
paths = [\"/reports/**\"]
action = \"allow\"
[[rule]]
name = \"own directory\"
users = [\"anna\", \"bob\"]
paths = [\"/home/$user/**\"]
action = \"allow\"
[[rule]]
name = \"drop box\"
users = [\"anna\"]
operations = [\"upload\"]
paths = [\"/in/*\"]
action = \"allow\"
[[rule]]
name = \"eve may not log in\"
users = [\"eve\"]
operations = [\"login\"]
action = \"deny\"
";

#[test]
fn what_is_denied_is_told_and_recorded_with_the_rule_and_its_place() {
    let stage = Stage::start(POLICY);
    let file = stage.gateway.config_file().display().to_string();
    for (command, code, text, rule) in [
        ("DELE /home/anna/f", 550, "Nothing is deleted here", "no deletion on plain listeners"),
        ("RETR /secret/key", 550, "Not allowed", "nothing secret"),
        ("STOR /home/anna/x.EXE", 553, "Not allowed", "nothing secret"),
        ("MKD /reports/new", 553, "Not allowed", ""),
        ("RETR /home/bob/f", 550, "Not allowed", ""),
    ] {
        let mark = stage.gateway.log().mark();
        let reply = first_reply(&stage, "anna", command);
        assert_eq!(reply.code, code, "{command}: {reply:?}");
        assert!(reply.mentions(text), "{command}: {reply:?}");
        let (name, place, recorded) = stage.denial(mark);
        assert_eq!((name.as_str(), recorded), (rule, u64::from(code)), "{command}");
        assert_eq!(place.starts_with(&file), !rule.is_empty(), "{command}: {place}");
    }
    assert!(!stage.server.path("reports/new").exists());
    // This server reads names from the directory in which the session was at EPSV, so clients go there first.
    let mut client = stage.user("anna");
    client.expect("CWD /home/anna", 250);
    assert_eq!(client.download("RETR f"), b"home/anna/f");
    client.expect("CWD /in", 250);
    client.upload("STOR new", b"content");
    assert_eq!(stage.server.content("in/new"), b"content");
    client.expect("NOOP", 200);
}

#[test]
fn a_login_that_is_denied_never_reaches_the_server() {
    let stage = Stage::start(POLICY);
    let mut client = stage.visitor();
    client.expect("USER eve", 530);
    client.expect("USER anna", 331);
    client.expect(&format!("PASS {CANARY}"), 230);
}

#[test]
fn who_may_not_connect_is_told_so_and_nothing_else() {
    let policy = "[policy]\ndefault = \"allow\"\n[[rule]]\nname = \"nobody\"\nlisteners = [\"plain\"]\nfrom = [\"127.0.0.0/8\"]\noperations = [\"connect\"]\naction = \"deny\"\n";
    let stage = Stage::start(policy);
    let mut client = Client::connect(stage.gateway.address("plain"));
    assert_eq!(client.reply().code, 421);
    client.expect_end();
    let event = stage.gateway.wait_named("connection denied", PATIENCE);
    assert_eq!(event.text("rule"), "nobody");
    let mut other = Client::connect(stage.gateway.address("explicit"));
    other.greeting();
    let connect = |listener| {
        let arguments = ["explain", "--from", "127.0.0.1", "--listener", listener, "CONNECT"];
        stage.ftpsgate(&arguments).status.code()
    };
    assert_eq!((connect("plain"), connect("explicit")), (Some(4), Some(0)));
}

#[test]
fn a_rule_may_ask_for_tls() {
    let policy = "[policy]\ndefault = \"allow\"\n[[rule]]\nname = \"new TLS\"\noperations = [\"login\"]\ntls = \"<1.3\"\naction = \"deny\"\n";
    let stage = Stage::start(policy);
    stage.visitor().expect("USER anna", 530);
    let mut old = Client::secured(&stage.gateway, TlsSetup::new(&stage.gateway, TlsVersion::Tls12));
    old.expect("USER anna", 530);
    let mut new = Client::secured(&stage.gateway, TlsSetup::new(&stage.gateway, TlsVersion::Tls13));
    new.log_in();
}

#[test]
fn a_rule_may_ask_for_a_certificate() {
    let authority = Authority::new();
    let keys = format!("client_certificates = \"request\"\nclient_ca = {:?}", authority.root_file());
    let policy = "[policy]\ndefault = \"allow\"\n[[rule]]\nname = \"acme\"\ncertificates = [\"CN=acme-*\"]\noperations = [\"login\"]\naction = \"allow\"\n[[rule]]\nname = \"others\"\noperations = [\"login\"]\naction = \"deny\"\n";
    let server = LibunftpServer::start();
    let gateway = Gateway::start(GatewayOptions::all_modes(server.address()).tls_keys(&keys).extra(policy));
    let tls = TlsSetup::new(&gateway, TlsVersion::Tls13);
    let come = |tls: TlsSetup| Client::secured(&gateway, tls).command("USER anna").code;
    assert_eq!(come(tls.forgetful().showing(&authority.client("acme-7"))), 331);
    assert_eq!(come(tls.forgetful().showing(&authority.client("bob"))), 530);
    assert_eq!(come(tls.forgetful()), 530);
}

#[test]
fn an_upload_is_stopped_where_it_grows_too_large() {
    let policy = "[policy]\ndefault = \"allow\"\n[[rule]]\nname = \"small files\"\nlarger_than = \"64KiB\"\noperations = [\"upload\", \"overwrite\"]\naction = \"deny\"\n";
    let stage = Stage::start(policy);
    let mut client = stage.user("anna");
    client.upload("STOR /in/small", &[0; 1000]);
    client.expect("ALLO 100000", 202);
    let _data = client.open_data();
    client.expect("STOR /in/announced", 552);
    let mut client = stage.user("anna");
    let mut data = client.begin_transfer("STOR /in/large");
    let begun = Instant::now();
    while data.try_write(&[0; 4096]).is_ok() && begun.elapsed() < PATIENCE {}
    let reply = client.reply();
    assert_eq!(reply.code, 552, "{reply:?}");
    let event = stage.gateway.wait_named("no longer allowed", PATIENCE);
    assert_eq!(event.text("rule"), "small files");
    client.expect("NOOP", 200);
}

#[test]
fn rules_keep_hours() {
    // Every minute of the week but those around now, by the clock of UTC.
    let policy = |hours: &str| {
        format!(
            "[policy]\ndefault = \"allow\"\n[[rule]]\nname = \"closed\"\noperations = [\"login\"]\nhours = \"{hours}\"\ntimezone = \"UTC\"\naction = \"deny\"\n"
        )
    };
    let stage = Stage::start(&policy("Mon-Sun"));
    stage.visitor().expect("USER anna", 530);
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let hour = |ahead: u64| (seconds / 3600 + ahead) % 24;
    // From the day's hour after the next one to the one before this: far from now at any moment.
    stage.reload(&policy(&format!("{:02}:00-{:02}:00", hour(2), hour(23))));
    stage.visitor().expect("USER anna", 331);
    assert_eq!(stage.explain("anna", &[], "USER anna").status.code(), Some(0));
}

#[test]
fn a_rule_under_observation_is_recorded_and_not_enforced() {
    let rule =
        "[[rule]]\nname = \"watch\"\noperations = [\"download\"]\naction = \"deny\"\nmode = \"observe\"\n";
    let whole = "[[rule]]\nname = \"watch\"\noperations = [\"download\"]\naction = \"deny\"\n";
    for policy in [
        format!("[policy]\ndefault = \"allow\"\n{rule}"),
        format!("[policy]\ndefault = \"allow\"\nmode = \"observe\"\n{whole}"),
    ] {
        let stage = Stage::start(&policy);
        let mut client = stage.user("anna");
        assert_eq!(client.download("RETR /home/anna/f"), b"home/anna/f");
        let event = stage.gateway.wait_named("observed", PATIENCE);
        assert_eq!((event.text("rule"), event.text("would"), event.text("verb")), ("watch", "deny", "RETR"));
        let explained = stage.explain("anna", &[], "RETR /home/anna/f");
        assert_eq!(explained.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&explained.stdout).contains("observation"));
    }
}

#[test]
fn a_reload_counts_for_the_next_command_of_a_running_session() {
    let allow = "[policy]\ndefault = \"allow\"\n";
    let deny = "[policy]\ndefault = \"allow\"\n[[rule]]\nname = \"no more\"\nusers = [\"anna\"]\noperations = [\"mkdir\"]\naction = \"deny\"\n";
    let stage = Stage::start(allow);
    let mut client = stage.user("anna");
    client.expect("MKD one", 257);
    stage.reload(deny);
    client.expect("MKD two", 553);
    assert!(!stage.server.path("two").exists());
    stage.user("anna").expect("MKD three", 553);
    stage.reload(allow);
    client.expect("MKD two", 257);
}

#[test]
fn a_bad_reload_changes_nothing() {
    let deny = "[policy]\ndefault = \"allow\"\n[[rule]]\nname = \"no more\"\noperations = [\"mkdir\"]\naction = \"deny\"\n";
    let stage = Stage::start(deny);
    let mut client = stage.user("anna");
    let mark = stage.gateway.log().mark();
    let broken = GatewayOptions::all_modes(stage.server.address())
        .extra("[[rule]]\nname = \"x\"\naction = \"allow\"\n");
    stage.gateway.rewrite_config(broken);
    stage.gateway.sighup();
    let complaint = stage.gateway.log().wait_since(mark, |event| event.text("level") == "ERROR", PATIENCE);
    assert!(complaint.is_some(), "nobody said why");
    client.expect("MKD one", 553);
    stage.user("anna").expect("MKD one", 553);
}

#[test]
fn a_reload_ends_a_transfer_that_is_no_longer_allowed_within_a_second() {
    let stage = Stage::start("[policy]\ndefault = \"allow\"\n");
    let mut client = stage.user("anna");
    let mut data = client.begin_transfer("STOR /in/slow");
    data.write(b"the first part");
    stage.reload("[policy]\ndefault = \"allow\"\n[[rule]]\nname = \"no more\"\noperations = [\"upload\", \"overwrite\"]\naction = \"deny\"\n");
    let begun = Instant::now();
    let reply = client.reply();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(reply.code >= 400, "{reply:?}");
    let event = stage.gateway.wait_named("no longer allowed", PATIENCE);
    assert_eq!((event.text("rule"), event.text("verb")), ("no more", "STOR"));
    drop(data);
    client.expect("NOOP", 200);
}

#[test]
fn a_reload_ends_the_session_of_a_user_who_may_no_longer_log_in() {
    let stage = Stage::start("[policy]\ndefault = \"allow\"\n");
    let (mut anna, mut bob) = (stage.user("anna"), stage.user("bob"));
    stage.reload("[policy]\ndefault = \"allow\"\n[[rule]]\nname = \"anna is gone\"\nusers = [\"anna\"]\noperations = [\"login\"]\naction = \"deny\"\n");
    assert_eq!(anna.reply().code, 421);
    anna.expect_end();
    bob.expect("NOOP", 200);
}

/// User, arguments of `explain`, command.
type Case = (&'static str, &'static [&'static str], &'static str);

const CASES: &[Case] = &[
    ("anna", &[], "LIST"),
    ("anna", &[], "LIST /"),
    ("anna", &[], "LIST /home"),
    ("anna", &[], "LIST /home/anna"),
    ("anna", &[], "LIST /home/anna/*"),
    ("anna", &[], "NLST /home/bob"),
    ("anna", &[], "NLST /home/anna/../bob"),
    ("anna", &[], "MLSD /home/anna"),
    ("anna", &[], "MLST /home/anna/f"),
    ("anna", &[], "STAT /home/anna"),
    ("anna", &[], "STAT"),
    ("anna", &[], "CWD /home"),
    ("anna", &[], "CWD /home/anna"),
    ("anna", &[], "CWD /home/bob"),
    ("anna", &[], "CWD /secret"),
    ("anna", &[], "CWD /in"),
    ("anna", &[], "CWD /reports"),
    ("anna", &[], "CDUP"),
    ("anna", &[], "PWD"),
    ("anna", &[], "RETR /home/anna/f"),
    ("anna", &[], "RETR home/anna/f"),
    ("anna", &[], "RETR //home/./anna//f"),
    ("anna", &[], "RETR /home/bob/../anna/f"),
    ("anna", &[], "RETR /home/bob/f"),
    ("anna", &[], "RETR /secret/key"),
    ("anna", &[], "RETR /SECRET/key"),
    ("anna", &[], "RETR ~/f"),
    ("anna", &[], "RETR ~root"),
    ("anna", &[], "SIZE /home/anna/f"),
    ("anna", &[], "SIZE /in/there"),
    ("anna", &[], "MDTM /home/anna/f"),
    ("anna", &[], "STOR /in/fresh"),
    ("anna", &["--exists"], "STOR /in/there"),
    ("anna", &[], "STOR /in/sub/fresh"),
    ("anna", &[], "STOR /home/anna/new.exe"),
    ("anna", &[], "STOR /home/anna/new"),
    ("anna", &[], "APPE /in/there"),
    ("anna", &[], "APPE /home/anna/f2"),
    ("anna", &[], "DELE /home/anna/f"),
    ("anna", &[], "RMD /home/anna/none"),
    ("anna", &[], "MKD /home/anna/new-directory"),
    ("anna", &[], "MKD /in/new-directory"),
    ("anna", &[], "RNFR /home/anna/f"),
    ("anna", &[], "RNFR /in/there"),
    ("anna", &[], "SITE CHMOD 600 /home/anna/f"),
    ("anna", &[], "NOOP"),
    ("anna", &[], "SYST"),
    ("bob", &[], "NOOP"),
    ("bob", &[], "RETR /home/bob/f"),
    ("bob", &[], "RETR /home/anna/f"),
    ("bob", &[], "STOR /in/fresh-too"),
    ("read-1", &[], "RETR /reports/q3.csv"),
    ("read-1", &[], "RETR /reports/old/q1.csv"),
    ("read-1", &[], "LIST /reports"),
    ("read-1", &[], "STOR /reports/new"),
    ("read-1", &[], "CWD /reports/old"),
    ("read-1", &[], "DELE /reports/q3.csv"),
    ("read-1", &[], "MFMT 20260101000000 /reports/q3.csv"),
    ("nobody", &[], "RETR /reports/q3.csv"),
    ("nobody", &[], "TYPE I"),
];

/// The first reply to a command, with a data connection where it needs one.
fn first_reply(stage: &Stage, user: &str, command: &str) -> Reply {
    let mut client = stage.user(user);
    let verb = command.split(' ').next().unwrap_or_default();
    let is_transfer = ["LIST", "NLST", "MLSD", "RETR", "STOR", "APPE"].contains(&verb);
    let data = is_transfer.then(|| {
        let address = client.epsv();
        DataConnection::connect(address)
    });
    let reply = client.command(command);
    drop(data);
    reply
}

#[test]
fn explain_says_what_then_happens() {
    let stage = Stage::start(POLICY);
    let mut counts = [0, 0];
    for (user, more, command) in CASES {
        let explained = stage.explain(user, more, command);
        let text = String::from_utf8_lossy(&explained.stdout).into_owned();
        let is_denied = match explained.status.code() {
            Some(0) => false,
            Some(4) => true,
            other => panic!("{user} {command}: {other:?} {}", String::from_utf8_lossy(&explained.stderr)),
        };
        let mark = stage.gateway.log().mark();
        let reply = first_reply(&stage, user, command);
        let was_denied =
            reply.code >= 500 && (reply.mentions("Not allowed") || reply.mentions("Nothing is deleted"));
        assert_eq!(is_denied, was_denied, "{user} {command}: {reply:?}\n{text}");
        if was_denied {
            let (rule, _, _) = stage.denial(mark);
            let named =
                if rule.is_empty() { "by default".to_owned() } else { format!("denied by rule `{rule}`") };
            assert!(text.contains(&named) || text.contains("could hold"), "{user} {command}: {rule}\n{text}");
        }
        counts[usize::from(was_denied)] += 1;
    }
    assert!(counts[0] > 15 && counts[1] > 15, "{counts:?}");
}

#[test]
fn explain_tells_what_is_refused_to_everybody() {
    let stage = Stage::start("[policy]\ndefault = \"allow\"\n");
    for (command, code) in [("REIN", 502), ("MODE Z", 504), ("SMNT /x", 502)] {
        let output = stage.explain("anna", &[], command);
        assert_eq!(output.status.code(), Some(4), "{command}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("by the gateway itself") && text.contains(&format!("reply: {code} ")),
            "{text}"
        );
        stage.user("anna").expect(command, code);
    }
}

#[test]
fn explain_writes_json_for_programs() {
    let stage = Stage::start(POLICY);
    let output = stage.explain("anna", &["--json"], "RETR /secret/key");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((&json["decision"], &json["rule"]["name"]), (&"deny".into(), &"nothing secret".into()));
    assert_eq!(json["accesses"][0]["path"], "/secret/key");
    let passed = json["accesses"][0]["passed"].as_array().expect("rules before it");
    assert_eq!((&passed[0]["failed"], passed.len()), (&"operations".into(), 3));
    assert!(json["rule"]["line"].as_u64().is_some_and(|line| line > 1));
}

#[test]
fn tests_beside_the_rules_are_tried() {
    let right = "[[test]]\nuser = \"anna\"\nfrom = \"10.0.0.1\"\ncommand = \"RETR /secret/key\"\nexpect = \"deny\"\nrule = \"nothing secret\"\n";
    let wrong = right.replace("\"deny\"", "\"allow\"");
    let stage = Stage::start(&format!("{POLICY}{right}"));
    for (policy, tested, checked) in
        [(format!("{POLICY}{right}"), 0, 0), (format!("{POLICY}{right}{wrong}"), 1, 78)]
    {
        stage.gateway.rewrite_config(GatewayOptions::all_modes(stage.server.address()).extra(&policy));
        let output = stage.ftpsgate(&["policy", "test"]);
        assert_eq!(output.status.code(), Some(tested), "{output:?}");
        assert_eq!(stage.ftpsgate(&["check"]).status.code(), Some(checked));
        if tested != 0 {
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(text.contains("expects allow") && text.contains("rule `nothing secret`"), "{text}");
            assert_eq!(output.stdout, b"1 of 2 tests passed\n");
        }
    }
}
