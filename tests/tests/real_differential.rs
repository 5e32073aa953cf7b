//! Random programs of lines through the gateway, under every policy, on every real server: nothing that is denied is
//! shown or changed, every line has one final reply, and what is allowed works. See `ftpsgate_tests::differential`.

use ftpsgate_tests::differential::is_deep;
use std::cell::RefCell;
use std::time::Instant;

use ftpsgate_tests::differential::rules::{self, Rules};
use ftpsgate_tests::differential::stage::Stage;
use ftpsgate_tests::peers::clients::ClientKind;
use ftpsgate_tests::peers::prepare;
use ftpsgate_tests::peers::servers::ServerKind;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestError, TestRunner};

macro_rules! policies {
    ($($policy:ident: $Rules:ident;)+) => {
        $(mod $policy {
            use crate::*;

            #[test]
            fn vsftpd() {
                run(ServerKind::Vsftpd, rules::$Rules);
            }

            #[test]
            fn proftpd() {
                run(ServerKind::ProFtpd, rules::$Rules);
            }

            #[test]
            fn pure_ftpd() {
                run(ServerKind::PureFtpd, rules::$Rules);
            }
        })+
    };
}

policies! {
    deny_beneath: BENEATH;
    one_tree: ONE_TREE;
    walled_trees: WALLED;
    read_only: READING;
    write_once: WRITE_ONCE;
    single_operations: SINGLE;
    no_keys: KEYS;
    own_homes: HOMES;
}

/// What a policy leaves alone is as it is without a gateway: the same codes, contents, listings, and changes.
mod what_nothing_denies {
    use crate::*;

    #[test]
    fn vsftpd() {
        compare(ServerKind::Vsftpd);
    }

    #[test]
    fn proftpd() {
        compare(ServerKind::ProFtpd);
    }

    #[test]
    fn pure_ftpd() {
        compare(ServerKind::PureFtpd);
    }
}

/// Somebody else removes the directory to which the gateway walked: the session goes on.
mod a_directory_that_goes_away {
    use crate::*;

    #[test]
    fn vsftpd() {
        remove_behind(ServerKind::Vsftpd);
    }

    #[test]
    fn proftpd() {
        remove_behind(ServerKind::ProFtpd);
    }

    #[test]
    fn pure_ftpd() {
        remove_behind(ServerKind::PureFtpd);
    }
}

fn remove_behind(kind: ServerKind) {
    if !prepare(kind, ClientKind::Curl) {
        return;
    }
    let stage = Stage::start(kind, rules::BENEATH);
    let mut visitor = stage.visitor();
    let mut say = |line: &str, code| assert_eq!(visitor.say(line).code, Some(code), "{kind}: {line}");
    say("CWD /in", 250);
    say("MKD gone", 257);
    say("SIZE gone/x", 550);
    let mut other = stage.direct_visitor();
    assert_eq!(other.say("RMD /in/gone").code, Some(250), "{kind}");
    other.leave().expect("one reply to each line");
    for _ in 0..2 {
        say("CWD /in/nowhere", 550);
        say("PWD", 257);
        say("SIZE gone/x", 550);
    }
    say("RETR f", 226);
    say("NLST", 226);
    visitor.leave().expect("one reply to each line");
}

fn compare(kind: ServerKind) {
    if !prepare(kind, ClientKind::Curl) {
        return;
    }
    let stage = RefCell::new(Stage::start(kind, rules::NOTHING));
    // Each program has two sessions of its own, which ProFTPD is slow to accept.
    let mut runner = TestRunner::new(ProptestConfig { cases: cases() / 3, ..config() });
    let program = vec(plain_lines(), 1..6).prop_map(|lines| lines.concat());
    let result =
        runner.run(&program, |lines| stage.borrow_mut().compare(&lines).map_err(TestCaseError::fail));
    settle(result);
}

/// A command, or the two of a pair, on names as users have them.
fn plain_lines() -> impl Strategy<Value = Vec<String>> {
    let path = || {
        prop_oneof![
            3 => select(PLAIN.to_vec()).prop_map(str::to_owned),
            1 => select(vec!["f", "x", "sub", "..", "../in", "sub/deep", "new", "new/x", "two words", "a[1].pdf"])
                .prop_map(str::to_owned),
        ]
    };
    // Of several words LIST and NLST are refused (docs/policy.md).
    let is_listing = |line: &str| line.starts_with("LIST") || line.starts_with("NLST");
    let line = (select(PLAIN_LINES.to_vec()), path())
        .prop_filter("names of several words are not listed", move |(line, path)| {
            !(is_listing(line) && path.contains(' '))
        })
        .prop_map(|(line, path)| vec![line.replace('@', &path)]);
    let pair = (path(), path()).prop_map(|(from, to)| vec![format!("RNFR {from}"), format!("RNTO {to}")]);
    prop_oneof![8 => line, 1 => pair]
}

fn run(kind: ServerKind, rules: Rules) {
    if !prepare(kind, ClientKind::Curl) {
        return;
    }
    let stage = RefCell::new(Stage::start(kind, rules));
    control(&mut stage.borrow_mut());
    let mut runner = TestRunner::new(config());
    let start = Instant::now();
    let result = runner.run(&program(), |lines| {
        let played = stage.borrow_mut().play(&lines);
        played.map(drop).map_err(TestCaseError::fail)
    });
    let tally = &stage.borrow().tally;
    println!("{} on {kind}: {:.1} s, {tally:?}", rules.name, start.elapsed().as_secs_f64());
    settle(result);
    assert_eq!(tally.ended, 0, "sessions were ended: {tally:?}");
}

/// What each policy allows works, and what it is about is refused: no test passes because nothing works.
fn control(stage: &mut Stage) {
    for (line, is_allowed) in stage.rules().control {
        let lines = [(*line).to_owned()];
        let lines: Vec<String> = lines[0].split(" | ").map(str::to_owned).collect();
        let answers = stage.play(&lines).unwrap_or_else(|problem| panic!("{problem}"));
        let code = answers.last().and_then(|answer| answer.code);
        let is_done = code.is_some_and(|code| (200..300).contains(&code));
        assert_eq!(is_done, *is_allowed, "{}: {line}: {code:?}", stage.rules().name);
    }
}

fn settle(result: Result<(), TestError<Vec<String>>>) {
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, lines)) => panic!("{reason}\nshortest program: {lines:?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// A failure is printed as its shortest program, which is all that is needed to repeat it; PROPTEST_RNG_SEED repeats a run.
fn config() -> ProptestConfig {
    ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() }
}

/// Programs for one policy on one server; `FTPSGATE_PROGRAMS` says how many.
fn cases() -> u32 {
    let asked = std::env::var("FTPSGATE_PROGRAMS").ok().and_then(|count| count.parse().ok());
    asked.unwrap_or(if is_deep() { 2_000 } else { 120 })
}

/// A path of pieces that somebody might try.
fn path() -> impl Strategy<Value = String> {
    let parts = |count| vec(select(PARTS.to_vec()), count).prop_map(|parts| parts.join("/"));
    prop_oneof![
        3 => parts(1..4),
        3 => parts(1..4).prop_map(|path| format!("/{path}")),
        8 => select(KNOWN.to_vec()).prop_map(str::to_owned),
        4 => (select(KNOWN.to_vec()), parts(1..3)).prop_map(|(known, path)| format!("{known}/{path}")),
        3 => vec(select(ODD.to_vec()), 0..6).prop_map(|pieces| pieces.concat()),
    ]
}

fn program() -> impl Strategy<Value = Vec<String>> {
    let filled = |line: &str, one: &str, two: &str| line.replacen('@', one, 1).replacen('@', two, 1);
    let line = (select(LINES.to_vec()), path(), path())
        .prop_map(move |(line, one, two)| vec![filled(line, &one, &two)]);
    let together = (select(TOGETHER.to_vec()), path(), path()).prop_map(move |(lines, one, two)| {
        filled(lines, &one, &two).split(" | ").map(str::to_owned).collect::<Vec<_>>()
    });
    vec(prop_oneof![6 => line, 1 => together], 1..8).prop_map(|lines| lines.concat())
}

const PARTS: [&str; 27] = [
    "..", "..", ".", "pub", "pub", "sub", "deep", "secret", "secret", "in", "home", "tester", "other", "d",
    "f", "f", "x", "x.key", "link", "inner", "near", "up", "out", "back", "é", "a", "new",
];

/// Where something is.
const KNOWN: [&str; 32] = [
    "f",
    "/",
    "/f",
    "/pub",
    "/pub",
    "/pub/f",
    "/pub/sub",
    "/pub/sub/f",
    "/pub/empty",
    "/pub/secret",
    "/pub/secret/f",
    "/pub/link",
    "/pub/link/f",
    "/pub/near/f",
    "/pub/inner/d",
    "/pub/sub/out/f",
    "/pub/x.key",
    "/secret",
    "/secret/f",
    "/secret/back/f",
    "/in",
    "/in/f",
    "/in/d",
    "/in/link/f",
    "/in/link/secret/f",
    "/home/tester",
    "/home/tester/f",
    "/home/tester/link/f",
    "/home/tester/secret/f",
    "/home/other/f",
    "/é/\\/a",
    "/é/~/a",
];

const ODD: [&str; 26] = [
    "/",
    "/",
    "/",
    "..",
    ".",
    "secret",
    "pub",
    "home",
    "tester",
    "link",
    "f",
    "a",
    "A",
    "é",
    "~",
    "\\",
    "-",
    "-R",
    "*",
    "?",
    " ",
    "SECRET",
    "．．",
    "[s]ecret",
    "{secret,f}",
    "\"",
];

/// Lines, of which `@` is a path. What is copied is a file: ProFTPD never ends to copy a directory into itself.
const LINES: [&str; 69] = [
    "CWD @",
    "CWD @",
    "CWD @",
    "CWD @",
    "XCWD @",
    "CDUP",
    "XCUP",
    "PWD",
    "RETR @",
    "RETR @",
    "RETR @",
    "STOR @",
    "STOR @",
    "STOR @",
    "APPE @",
    "STOU",
    "STOU @",
    "LIST",
    "LIST @",
    "LIST -la @",
    "LIST -R @",
    "LIST -aR",
    "LIST @*",
    "LIST .?",
    "STAT @?",
    "NLST @*",
    "STOR @ ",
    "MKD @ ",
    "RNTO @ ",
    "NLST",
    "NLST @",
    "NLST -a @",
    "MLSD",
    "MLSD @",
    "STAT @",
    "STAT -a @",
    "SIZE @",
    "MDTM @",
    "MDTM 20200101000000 @",
    "MLST @",
    "MLST",
    "MFMT 20200101000000 @",
    "MFF Modify=20200101000000;UNIX.mode=0777; @",
    "HASH @",
    "XCRC @ 0 9",
    "XSHA1 @",
    "MKD @",
    "XMKD @",
    "RMD @",
    "XRMD @",
    "DELE @",
    "RNFR @",
    "RNFR @",
    "RNTO @",
    "RNTO @",
    "RNTO @",
    "REST 5",
    "TYPE I",
    "SITE CHMOD 777 @",
    "SITE CPFR @/f",
    "SITE CPTO @",
    "SITE SYMLINK @ @",
    "SITE MKDIR @",
    "SITE RMDIR @",
    "SITE UTIME 20200101000000 @",
    "SITE UTIME @ 20200101000000 20200101000000 20200101000000 UTC",
    "SITE CHGRP 0 @",
    "NOOP",
    "TYPE A",
];

/// Lines that mean something only one after the other.
const TOGETHER: [&str; 6] = [
    "RNFR @ | RNTO @",
    "SITE CPFR @/f | SITE CPTO @",
    "TYPE I | REST 5 | STOR @",
    "TYPE I | REST 5 | APPE @",
    "TYPE I | REST 5 | RETR @",
    "MKD @ | CWD @",
];

/// What is there, what is not, and directories.
const PLAIN: [&str; 20] = [
    "/",
    "/f",
    "/pub",
    "/pub/f",
    "/pub/sub",
    "/pub/sub/f",
    "/pub/empty",
    "/pub/new",
    "/pub/near",
    "/pub/near/f",
    "/pub/sub/out/f",
    "/pub/link/d",
    "/in/link/sub",
    "/in",
    "/in/f",
    "/in/new",
    "/in/two words",
    "/é/é",
    "/é/größe.txt",
    "/home/tester/d",
];

const PLAIN_LINES: [&str; 21] = [
    "CWD @",
    "CWD @",
    "CDUP",
    "PWD",
    "RETR @",
    "RETR @",
    "STOR @",
    "STOR @",
    "APPE @",
    "NLST",
    "NLST @",
    "LIST @",
    "MLSD @",
    "SIZE @",
    "MDTM @",
    "MKD @",
    "RMD @",
    "DELE @",
    "TYPE I",
    "SITE CHMOD 700 @",
    "MFMT 20200101000000 @",
];
