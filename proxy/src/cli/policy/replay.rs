//! `policy replay`: what another policy would have said of the commands of an audit log.

mod blocks;
mod change;
mod deed;
mod judge;
mod report;
mod tally;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use ftpsgate_policies::rule::{Mode, Rule};
use ftpsgate_policies::{Definition, Policy};

use crate::config::{self, Config, Diagnostics};
use crate::logging::color_on_stderr;

use super::super::output::{print, print_json, say};
use super::super::{CliError, ConfigFile, DEFAULT_CONFIG_FILE, Exit};
use blocks::{Block, Blocks, parts};
use change::{Explain, Place};
use deed::Fault;
use judge::{Clocks, Entry, Judge};
use report::{Report, grouped};
use tally::Tally;

/// Arguments of `policy replay`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ReplayArgs {
    /// Logs of the audit, in their order; - is standard input
    #[arg(required = true, value_name = "AUDIT")]
    pub logs: Vec<PathBuf>,
    /// The policy to try: a configuration, or a policy file, which then stands for all rules of the configuration
    #[arg(long, value_name = "FILE")]
    pub with: PathBuf,
    /// What a policy file on trial does not say itself: listeners, backends, default and mode.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Judge as if nothing were under observation: every rule, and the policy, enforced
    #[arg(long)]
    pub enforce_observed: bool,
    /// Rows of each table
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub top: u32,
    /// How many changes of each kind are shown
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub first: u32,
    /// Exit with 1 if anything is newly denied or newly allowed
    #[arg(long)]
    pub expect_unchanged: bool,
    /// Write everything as JSON
    #[arg(long)]
    pub json: bool,
}

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("cannot read {}: {source}", log.display())]
    Read { log: PathBuf, source: io::Error },
    #[error("{log} is compressed: `zcat {log} | ftpsgate policy replay - --with …`", log = .0.display())]
    Compressed(PathBuf),
    #[error(
        "{} empty: is this the log of the audit, and was anything logged in that time?",
        if *.0 { "the logs are" } else { "the log is" }
    )]
    Empty(bool),
    #[error(
        "no line of {} is a record ({log}:{line}: {why}): name the JSON log of the audit, one record a line",
        grouped(*lines)
    )]
    NoRecords { lines: u64, log: String, line: u64, why: String },
}

impl From<ReplayError> for CliError {
    fn from(error: ReplayError) -> Self {
        Self::Runtime(Box::new(error))
    }
}

/// Replays logs.
///
/// # Errors
///
/// An invalid configuration, a log that cannot be read or holds no record, or standard output that cannot be written.
pub(super) fn run(args: &ReplayArgs) -> Result<Exit, CliError> {
    let loaded = config::load_with(&args.file.path, &args.with)?;
    say(&Diagnostics::new(loaded.warnings.clone()).render(color_on_stderr()));
    let enforced = args.enforce_observed.then(|| enforced(&loaded.config)).transpose()?;
    let policy = enforced.as_ref().unwrap_or(&loaded.config.policy);
    let tally = replay(args, &Judge::new(&loaded.config, policy))?;
    let base = Some(args.file.path.as_path()).filter(|path| *path != Path::new(DEFAULT_CONFIG_FILE));
    let report = Report {
        tally: &tally,
        explain: Explain { base, with: &args.with },
        rows_max: args.top as usize,
        enforces_observed: args.enforce_observed,
    };
    if args.json {
        print_json(&report.to_json())?;
    } else {
        print(&report.render())?;
    }
    Ok(if args.expect_unchanged && tally.has_changes() { Exit::Failure } else { Exit::Success })
}

/// The same policy, as if nothing were under observation.
fn enforced(config: &Config) -> Result<Policy, CliError> {
    let rules = config.rules.rules.iter();
    let definition = Definition {
        rules: rules.map(|rule| Rule { mode: Mode::Enforce, ..rule.clone() }).collect(),
        groups: config.rules.groups.clone(),
        default: config.rules.default,
        mode: Mode::Enforce,
    };
    Policy::compile(definition).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        CliError::Runtime(errors.join("; ").into())
    })
}

fn replay(args: &ReplayArgs, judge: &Judge<'_>) -> Result<Tally, ReplayError> {
    let mut tally = Tally::new(args.first as usize);
    let mut progress = Progress::new();
    for log in &args.logs {
        let cannot = |source| ReplayError::Read { log: log.clone(), source };
        if log == Path::new("-") {
            read(
                &Log { path: log, name: "standard input" },
                io::stdin().lock(),
                judge,
                &mut tally,
                &mut progress,
            )?;
        } else {
            let file = File::open(log).map_err(cannot)?;
            let name = log.display().to_string();
            read(&Log { path: log, name: &name }, file, judge, &mut tally, &mut progress)?;
        }
    }
    progress.end();
    match tally.first_unreadable.first() {
        _ if tally.records > 0 => Ok(tally),
        Some(first) => Err(ReplayError::NoRecords {
            lines: tally.unreadable,
            log: first.log.clone(),
            line: first.line,
            why: first.why.clone(),
        }),
        None => Err(ReplayError::Empty(args.logs.len() > 1)),
    }
}

/// One of the logs.
struct Log<'a> {
    path: &'a Path,
    name: &'a str,
}

/// Reads a log block by block. The parts of a block are judged at the same time, and counted in their order.
fn read(
    log: &Log<'_>,
    input: impl Read,
    judge: &Judge<'_>,
    tally: &mut Tally,
    progress: &mut Progress,
) -> Result<(), ReplayError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let mut blocks = Blocks::new(input, BLOCK_BYTES);
    let mut is_first = true;
    while let Some(block) =
        blocks.next().map_err(|source| ReplayError::Read { log: log.path.to_owned(), source })?
    {
        match block {
            Block::TooLong { line } => tally.add(Place { log: log.name, line }, Err(Fault::TooLong)),
            Block::Lines { line, bytes } => {
                if is_first && bytes.starts_with(&GZIP) {
                    return Err(ReplayError::Compressed(log.path.to_owned()));
                }
                thread::scope(|scope| {
                    let parts = parts(bytes, line, threads).into_iter();
                    let judged: Vec<_> = parts
                        .map(|(line, part)| scope.spawn(move || judge_part(judge, line, part)))
                        .collect();
                    for part in judged {
                        for (line, read) in part.join().expect("judging never panics") {
                            tally.add(Place { log: log.name, line }, read);
                        }
                    }
                });
            }
        }
        is_first = false;
        progress.tell(tally.records);
    }
    Ok(())
}

/// The lines that are not empty.
fn judge_part<'l>(judge: &Judge<'_>, first: u64, part: &'l [u8]) -> Vec<(u64, Result<Entry<'l>, Fault>)> {
    let mut clocks = Clocks::default();
    let lines = part.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    (first..)
        .zip(lines)
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| (number, judge.read(line, &mut clocks)))
        .collect()
}

/// How far it is, for a person who waits.
struct Progress {
    started: Instant,
    told: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { started: Instant::now(), told: None, is_shown: io::stderr().is_terminal() }
    }

    fn tell(&mut self, records: u64) {
        let now = Instant::now();
        if self.is_shown && now.duration_since(self.told.unwrap_or(self.started)) >= PROGRESS_EVERY {
            say(&format!("\r{} records", grouped(records)));
            self.told = Some(now);
        }
    }

    /// Clears the line.
    fn end(&self) {
        if self.told.is_some() {
            say("\r\x1b[K");
        }
    }
}

/// How often it is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Some thousands of records.
const BLOCK_BYTES: usize = 4 << 20;

/// More would wait for the one that counts.
const THREADS_MAX: usize = 8;

/// How files begin that gzip wrote.
const GZIP: [u8; 2] = [0x1f, 0x8b];

const AFTER_HELP: &str = "\
Every connection, login and command of the logs is put to the policy in FILE, as it was recorded: by that user, from \
that address, at that time. Shown is what would be newly denied and newly allowed, by which rule, for whom, and the \
first of each. Nothing is changed, and nothing is dialled.

FILE is a configuration with the change in it, or a policy file: [[rule]], [[group]], [[test]], and if need be a \
[policy] of its own. A policy file stands for all rules; what it does not say comes from -c.

What followed a connection or login that is newly denied counts as no longer reached. What the log does not tell (the \
path of a relative name while no rule had paths, the size of an upload that was refused) is said to be untold. What the \
gateway or a limit decided is not judged.

Examples:
  ftpsgate policy replay /var/log/ftpsgate/audit.jsonl --with new.toml
  zcat audit.jsonl.*.gz | ftpsgate policy replay - --with policies.d/partners.toml
  ftpsgate policy replay audit.jsonl --with ftpsgate.toml --enforce-observed

Exit codes: 0 if it was replayed; 1 if a log cannot be read or holds no record, and with --expect-unchanged if \
anything changes; 78 if the configuration is invalid.";

#[cfg(test)]
mod tests;
