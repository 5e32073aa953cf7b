//! The program as its callers see it: exit codes, what goes to which output, and readers that go away.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const MINIMAL: &str = "[[listener]]\n\n[[backend]]\nservers = ['10.2.0.11']\n";

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ftpsgate"));
    command.current_dir(directory).args(arguments).stdin(Stdio::null()).env_remove("FTPSGATE_LOG");
    command
}

fn output(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        command(directory, arguments).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    (status.code().expect("it ends by itself"), text(stdout), text(stderr))
}

#[test]
fn check_says_ok_or_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("right.toml"), MINIMAL).unwrap();
    fs::write(directory.join("wrong.toml"), format!("{MINIMAL}nmae = 'x'\ntls = 'on'\n")).unwrap();

    let check = |arguments: &[&str]| output(directory, &[&["check"], arguments].concat());
    assert_eq!(check(&["-c", "right.toml"]), (0, "ok: 1 listener, 1 backend\n".into(), String::new()));

    let limit = "[[limit]]\nname = 'l'\nper = 'address'\nsessions = 9\n";
    fs::write(directory.join("limited.toml"), format!("{MINIMAL}{limit}")).unwrap();
    assert_eq!(check(&["-c", "limited.toml"]).1, "ok: 1 listener, 1 backend, 1 limit\n");

    let (code, stdout, stderr) = check(&["-c", "wrong.toml"]);
    assert_eq!((code, stdout.as_str()), (78, ""));
    assert!(stderr.contains("error: unknown key `nmae`") && stderr.contains("wrong.toml:5:1"), "{stderr}");
    assert!(stderr.contains("did you mean `name`?") && stderr.contains("wrong.toml:6:7"), "{stderr}");

    let (code, stdout, stderr) = check(&["-c", "wrong.toml", "--json"]);
    assert_eq!((code, stderr.as_str()), (78, ""));
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["errors"][0]["line"], 5);
    assert_eq!(json["errors"][1]["column"], 7);

    let (code, stdout, _) = check(&["-c", "right.toml", "--json"]);
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json, serde_json::json!({ "ok": true, "errors": [], "warnings": [] }));

    assert_eq!(check(&["-c", "missing.toml"]).0, 78);
    assert_eq!(check(&["--frobnicate"]).0, 2);
}

#[test]
fn what_is_shown_can_be_checked() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (code, shown, stderr) = output(directory, &["config", "show", "--backend", "legacy"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    fs::write(directory.join("shown.toml"), &shown).unwrap();
    let (code, stdout, stderr) = output(directory, &["check", "-c", "shown.toml"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "ok: 2 listeners, 1 backend\n", ""));
    let (code, again, _) = output(directory, &["config", "show", "-c", "shown.toml"]);
    assert_eq!((code, again), (0, shown));
}

#[test]
fn the_root_goes_to_standard_output_and_its_use_to_standard_error() {
    let directory = tempfile::tempdir().unwrap();
    let (code, pem, instructions) = output(directory.path(), &["ca", "root", "--state-dir", "state"]);
    assert_eq!(code, 0);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"), "{pem}");
    assert!(pem.ends_with("-----END CERTIFICATE-----\n"), "{pem}");
    for client in ["curl", "lftp", "FileZilla", "WinSCP"] {
        assert!(instructions.contains(client), "{instructions}");
    }
    let (_, again, _) = output(directory.path(), &["ca", "root", "--state-dir", "state"]);
    assert_eq!(again, pem);
}

#[test]
fn the_manual_has_a_section_for_each_verb() {
    let directory = tempfile::tempdir().unwrap();
    let (code, page, _) = output(directory.path(), &["man"]);
    assert_eq!(code, 0);
    for verb in
        ["RUN", "CHECK", "DEMO", "CA INIT", "CA ROOT", "CA ISSUE", "CONFIG SHOW", "CONFIG SCHEMA", "MAN"]
    {
        assert!(page.contains(&format!(".SH \"FTPSGATE {verb}\"\n")), "{verb}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = output(directory.path(), &["completions", shell]);
        assert!(code == 0 && script.contains("ftpsgate"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    // Longer than a pipe holds, so that the writer meets the closed end.
    for arguments in [["completions", "zsh"], ["config", "schema"]] {
        let mut child = command(directory.path(), &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(stderr, "");
    }
}

#[test]
fn a_log_is_replayed_against_another_policy() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let rule = "[[rule]]\nname = 'nobody deletes'\noperations = ['delete']\naction = 'deny'\n";
    fs::write(directory.join("gate.toml"), format!("{MINIMAL}[policy]\nfiles = []\ndefault = 'allow'\n"))
        .unwrap();
    fs::write(directory.join("new.toml"), rule).unwrap();
    fs::write(directory.join("wrong.toml"), format!("{rule}users = 'anna'\n")).unwrap();
    let record = |verb: &str, operation: &str| {
        format!(
            r#"{{"seq":1,"time":"2026-11-20T12:00:00.5Z","gateway":"gw1","event":"command","session":"s1","client":"10.0.0.7:5000","listener":"ftps","tls":{{"version":"1.3","suite":"x","resumed":false}},"user":"anna","backend":"legacy","command":{{"verb":"{verb}","argument":"a.csv","accesses":[{{"operation":"{operation}","path":"/in/a.csv"}}]}},"decision":{{"allowed":true,"by":"default"}},"code":250}}"#
        )
    };
    let log = format!("{}\nno record\n{}\n", record("DELE", "delete"), record("RETR", "download"));
    fs::write(directory.join("audit.jsonl"), &log).unwrap();
    fs::write(directory.join("empty.jsonl"), "").unwrap();
    fs::write(directory.join("other.log"), "Nov 20 sshd: x\n").unwrap();
    fs::write(directory.join("audit.jsonl.gz"), [0x1f, 0x8b, 8, 0]).unwrap();
    let replay = |arguments: &[&str]| {
        output(directory, &[&["policy", "replay", "-c", "gate.toml", "--with"], arguments].concat())
    };

    let (code, stdout, stderr) = replay(&["new.toml", "audit.jsonl"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for expected in [
        "2 records, 2026-11-20T12:00:00Z to 2026-11-20T12:00:00Z, judged by new.toml\n",
        "  1    newly denied\n",
        "  1    as before\n",
        "audit.jsonl:2: no record: expected ident at column 2\n",
        "  1  allowed by default -> denied by rule `nobody deletes` (new.toml:1)\n",
        "DELE a.csv  [/in/a.csv]\n",
    ] {
        assert!(stdout.contains(expected), "{expected}\n{stdout}");
    }
    let question = stdout.lines().last().unwrap().trim();
    let explained = Command::new("sh")
        .current_dir(directory)
        .args(["-c", &question.replace("ftpsgate", env!("CARGO_BIN_EXE_ftpsgate"))])
        .output()
        .unwrap();
    assert_eq!(explained.status.code(), Some(4), "{question}");
    assert!(
        String::from_utf8_lossy(&explained.stdout)
            .contains("delete /in/a.csv: denied by rule `nobody deletes`")
    );

    assert_eq!(replay(&["new.toml", "audit.jsonl", "--expect-unchanged"]).0, 1);
    assert_eq!(replay(&["gate.toml", "audit.jsonl", "--expect-unchanged"]).0, 0);
    let (code, stdout, _) = replay(&["new.toml", "audit.jsonl", "audit.jsonl", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (code, &json["newly_denied"]["count"], &json["unreadable"]["count"]),
        (0, &2.into(), &2.into())
    );

    let mut piped = command(directory, &["policy", "replay", "-", "-c", "gate.toml", "--with", "new.toml"]);
    let log = fs::File::open(directory.join("audit.jsonl")).unwrap();
    let piped = piped.stdin(Stdio::from(log)).output().unwrap();
    assert!(String::from_utf8_lossy(&piped.stdout).contains("standard input:2: no record"));

    for (arguments, expected, what) in [
        (["wrong.toml", "audit.jsonl"], 78, "wrong.toml:5:9"),
        (["missing.toml", "audit.jsonl"], 78, "cannot read the policy"),
        (["new.toml", "missing.jsonl"], 1, "cannot read missing.jsonl"),
        (["new.toml", "empty.jsonl"], 1, "the log is empty: is this the log of the audit"),
        (["new.toml", "other.log"], 1, "no line of 1 is a record (other.log:1: "),
        (["new.toml", "audit.jsonl.gz"], 1, "zcat audit.jsonl.gz | ftpsgate policy replay - --with"),
    ] {
        let (code, stdout, stderr) = replay(&arguments);
        assert_eq!((code, stdout.as_str()), (expected, ""), "{arguments:?}");
        assert!(stderr.contains(what), "{stderr}");
    }
}
