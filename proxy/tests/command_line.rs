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
