//! The command line as a whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(arguments: &str) -> Result<Cli, ErrorKind> {
    let arguments = std::iter::once("ftpsgate").chain(arguments.split_whitespace());
    Cli::try_parse_from(arguments).map_err(|error| error.kind())
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn what_is_accepted_and_what_is_not() {
    for right in [
        "run",
        "run -c x.toml",
        "run --config x.toml",
        "run --backend legacy",
        "run --backend [::1]:2121 --listen 127.0.0.1:0 --implicit [::]:990",
        "status --json",
        "reload -c x.toml",
        "unlock 192.0.2.7 --socket s",
        "unlock --user anna",
        "check",
        "check -c x.toml --json",
        "check --probe --json",
        "demo --once --json",
        "explain --user a --from ::1 --tls none --certificate CN=a --at 2026-11-22T15:00Z --json NOOP",
        "explain --from 10.0.0.1 connect",
        "policy test -c x.toml --json",
        "policy replay a.jsonl b.jsonl --with new.toml -c x.toml --top 0 --first 1000 --json",
        "policy replay - --with new.toml --enforce-observed --expect-unchanged",
        "explain --with new.toml --from ::1 NOOP",
        "ca init",
        "ca root --state-dir /s",
        "ca --state-dir /s root",
        "ca issue --name a --name 10.0.0.1 --days 30 --out d --force",
        "config show --backend legacy:21 --json",
        "config schema",
        "completions bash",
        "man",
    ] {
        assert!(parse(right).is_ok(), "{right}");
    }
    for (wrong, kind) in [
        ("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("frobnicate", ErrorKind::InvalidSubcommand),
        ("run -c x --backend y", ErrorKind::ArgumentConflict),
        ("run --listen 127.0.0.1:0", ErrorKind::MissingRequiredArgument),
        ("run --backend ftp://x", ErrorKind::ValueValidation),
        ("run --backend x --listen 21", ErrorKind::ValueValidation),
        ("ca issue --out d", ErrorKind::MissingRequiredArgument),
        ("ca issue --name a_b/c --out d", ErrorKind::ValueValidation),
        ("ca root -c x --state-dir y", ErrorKind::ArgumentConflict),
        ("explain NOOP", ErrorKind::MissingRequiredArgument),
        ("explain --from 10.0.0.1", ErrorKind::MissingRequiredArgument),
        ("explain --from 10.0.0.1 FOO", ErrorKind::ValueValidation),
        ("explain --from 10.0.0.1 --tls 1.1 NOOP", ErrorKind::ValueValidation),
        ("policy", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("policy replay --with new.toml", ErrorKind::MissingRequiredArgument),
        ("policy replay a.jsonl", ErrorKind::MissingRequiredArgument),
        ("policy replay a.jsonl --with b --first 1001", ErrorKind::ValueValidation),
        ("--help", ErrorKind::DisplayHelp),
        ("--version", ErrorKind::DisplayVersion),
    ] {
        assert_eq!(parse(wrong).err(), Some(kind), "{wrong}");
    }
}

#[test]
fn every_verb_says_what_it_is_for() {
    fn visit(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
        command.get_subcommands().for_each(visit);
    }
    let mut command = Cli::command();
    command.build();
    visit(&command);
}

#[test]
fn a_certificate_is_issued_into_files_and_never_over_others() {
    let directory = tempfile::tempdir().unwrap();
    let (state, out) = (directory.path().join("state"), directory.path().join("new/certs"));
    let issue = |force: &str| {
        let (state, out) = (state.display(), out.display());
        let arguments = format!("ca --state-dir {state} issue --name *.example.com --out {out} {force}");
        parse(&arguments).unwrap().execute()
    };
    assert_eq!(issue("").unwrap(), Exit::Success);
    let (chain, key) = (out.join("_.example.com.pem"), out.join("_.example.com.key"));
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&chain), mode(&key)), (0o644, 0o600));
    let first = fs::read(&key).unwrap();

    let error = issue("").unwrap_err();
    assert!(matches!(&error, CliError::Exists(path) if *path == chain), "{error}");
    assert_eq!(error.exit(), Exit::Failure);
    assert_eq!(fs::read(&key).unwrap(), first);

    assert_eq!(issue("--force").unwrap(), Exit::Success);
    assert_ne!(fs::read(&key).unwrap(), first);
    ftpsgate_certs::Identity::load(&chain, &key).unwrap();
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2, "no temporary file stays");
}

#[test]
fn the_state_directory_may_come_from_a_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gate.toml");
    let init = format!("ca init -c {}", file.display());
    let error = parse(&init).unwrap().execute().unwrap_err();
    assert_eq!(error.exit(), Exit::Configuration);

    fs::write(&file, format!("{}[gateway]\nstate_dir = 'here'\n", crate::config::MINIMAL)).unwrap();
    assert_eq!(parse(&init).unwrap().execute().unwrap(), Exit::Success);
    assert!(directory.path().join("here/ca").is_dir());
}
