//! Every string of up to three symbols of an alphabet as the argument of every kind of command, through the gateway, on
//! every real server; with `tests/run --deep` of up to five, or as many as `FTPSGATE_SYMBOLS` says.
//!
//! The strings are said from `/é`, where they lead to an allowed file, a denied directory, a link to another denied
//! one, names of blanks, stars and backslashes, and above the root. See `ftpsgate_tests::differential`.

use std::io::Write;
use std::time::{Duration, Instant};

use ftpsgate_tests::differential::is_deep;
use ftpsgate_tests::differential::rules::{self, Rules};
use ftpsgate_tests::differential::stage::Stage;
use ftpsgate_tests::differential::strings;
use ftpsgate_tests::differential::visitor::Visitor;
use ftpsgate_tests::peers::clients::ClientKind;
use ftpsgate_tests::peers::prepare;
use ftpsgate_tests::peers::servers::ServerKind;

#[test]
fn vsftpd() {
    run(ServerKind::Vsftpd, rules::BENEATH);
}

#[test]
fn proftpd() {
    run(ServerKind::ProFtpd, rules::BENEATH);
}

#[test]
fn pure_ftpd() {
    run(ServerKind::PureFtpd, rules::BENEATH);
}

fn run(kind: ServerKind, rules: Rules) {
    if !prepare(kind, ClientKind::Curl) {
        return;
    }
    let mut stage = Stage::start(kind, rules);
    let longest = symbols();
    let total = (1..=longest).map(strings::count).sum::<usize>();
    let (start, mut shown) = (Instant::now(), Instant::now());
    let mut visitor = arrive(&stage);
    let all: Vec<String> = strings::up_to(longest).collect();
    for (number, chunk) in all.chunks(STRINGS_AT_ONCE).enumerate() {
        for group in GROUPS {
            say(&mut stage, kind, &mut visitor, group, chunk);
        }
        if is_deep() && shown.elapsed() > Duration::from_secs(30) {
            shown = Instant::now();
            report(kind, &stage, start, number * STRINGS_AT_ONCE, total);
        }
    }
    visitor.leave().expect("one reply to each line");
    report(kind, &stage, start, total, total);
    for verb in ["CWD", "RETR", "STOR", "LIST", "NLST", "DELE", "MDTM", "MKD", "RMD", "RNTO"] {
        assert!(stage.tally.done.contains_key(verb), "{verb} never worked: {:?}", stage.tally);
    }
    assert_eq!(stage.tally.ended, 0, "sessions were ended: {:?}", stage.tally);
}

/// Lines about some strings, judged together, in one session as long as its directory is there.
fn say(stage: &mut Stage, kind: ServerKind, visitor: &mut Visitor, group: &Group, strings: &[String]) {
    let mut lines = Vec::new();
    for (string, line) in strings.iter().flat_map(|string| group.lines.iter().map(move |line| (string, line)))
    {
        lines.push(line.replace('@', string));
        match kind {
            // It answers every further CWD that fails 100 ms later, until one succeeds.
            ServerKind::PureFtpd if !line.starts_with("RNFR") => lines.push("CWD /é".to_owned()),
            ServerKind::Vsftpd | ServerKind::ProFtpd | ServerKind::PureFtpd => {}
        }
    }
    let mut answers = Vec::new();
    if group.moves_data {
        answers.extend(lines.iter().map(|line| visitor.say(line)));
    } else {
        for some in lines.chunks(LINES_AT_ONCE) {
            answers.extend(visitor.say_together(some));
        }
    }
    let is_lost = stage.judge(&lines, &answers, visitor).unwrap_or_else(|problem| panic!("{problem}"));
    if is_lost || !visitor.is_open() {
        let next = arrive(stage);
        std::mem::replace(visitor, next).leave().expect("one reply to each line");
    }
}

/// A session where the strings are said.
fn arrive(stage: &Stage) -> Visitor {
    let mut visitor = stage.visitor();
    assert_eq!(visitor.say("CWD /é").code, Some(250));
    assert_eq!(visitor.say("TYPE I").code, Some(200));
    visitor
}

fn symbols() -> u32 {
    let asked = std::env::var("FTPSGATE_SYMBOLS").ok().and_then(|count| count.parse().ok());
    asked.unwrap_or(if is_deep() { 5 } else { 3 })
}

/// Past libtest, which shows the output of failed tests only.
fn report(kind: ServerKind, stage: &Stage, start: Instant, done: usize, total: usize) {
    let (lines, seconds) = (stage.tally.lines, start.elapsed().as_secs_f64());
    let line = format!(
        "exhaustive {kind}: {done} of {total} strings, {lines} lines in {seconds:.0} s, {:.0} lines/s\n",
        lines as f64 / seconds,
    );
    std::io::stderr().write_all(line.as_bytes()).expect("standard error can be written");
}

/// Lines that are said of each string; `@` is the string.
struct Group {
    lines: &'static [&'static str],
    moves_data: bool,
}

/// What changes nothing, and what changes something, apart.
const GROUPS: &[Group] = &[
    Group { lines: &["CWD @", "PWD", "CWD /é", "SIZE @", "MDTM @", "MLST @", "STAT @"], moves_data: false },
    Group { lines: &["RETR @", "LIST @", "NLST @", "MLSD @"], moves_data: true },
    Group { lines: &["STOR @"], moves_data: true },
    Group { lines: &["DELE @"], moves_data: false },
    Group { lines: &["MKD @"], moves_data: false },
    Group { lines: &["RMD @"], moves_data: false },
    Group { lines: &["RNFR @", "RNTO /é/moved"], moves_data: false },
    Group { lines: &["RNFR /é/é", "RNTO @"], moves_data: false },
    Group { lines: &["SITE CHMOD 777 @"], moves_data: false },
];

/// Strings whose lines are judged together.
const STRINGS_AT_ONCE: usize = 32;

/// The gateway holds 16 lines.
const LINES_AT_ONCE: usize = 14;
