//! `check`: everything that is wrong with a configuration, before it is run.

use clap::Args;

use crate::config::{self, Config, Diagnostics};
use crate::logging::color_on_stderr;

use super::output::{print, print_json, say};
use super::probe::Probed;
use super::{CliError, ConfigFile, Exit, files, policy, probe};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct CheckArgs {
    /// The file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Write {ok, errors: [{file, line, column, message, hint}], warnings} to standard output
    #[arg(long)]
    pub json: bool,
    /// Also visit every server of every backend once, and show what works
    #[arg(long)]
    pub probe: bool,
}

/// Checks the file, the files that it names and, if asked to, the servers.
///
/// # Errors
///
/// Only that standard output cannot be written: an invalid configuration is the answer to the question.
pub fn run(args: &CheckArgs) -> Result<Exit, CliError> {
    let (found, summary, config) = match config::load(&args.file.path) {
        Err(diagnostics) => (diagnostics, String::new(), None),
        Ok(loaded) => {
            let beyond = files::check(&loaded);
            let failures: Vec<_> =
                policy::failures(&loaded).iter().map(|failure| failure.diagnostic(&loaded)).collect();
            let summary = summary(&loaded.config);
            let found = Diagnostics::new(loaded.warnings.into_iter().chain(beyond).chain(failures));
            (found, summary, Some(loaded.config))
        }
    };
    let probed = match config.filter(|_| args.probe && found.is_ok()) {
        Some(config) => {
            if !args.json {
                say(&found.render(color_on_stderr()));
            }
            Some(probe::run(&config)?)
        }
        None => None,
    };
    if args.json {
        let mut json = found.to_json();
        if let Some(probed) = &probed {
            json["ok"] = probed.iter().all(Probed::is_good).into();
            json["servers"] = probed.iter().map(Probed::to_json).collect();
        }
        print_json(&json)?;
    } else if let Some(probed) = &probed {
        probe::print_table(probed)?;
    } else {
        say(&found.render(color_on_stderr()));
        if found.is_ok() {
            print(&summary)?;
        }
    }
    let is_all_good = probed.iter().flatten().all(Probed::is_good);
    Ok(match (found.is_ok(), is_all_good) {
        (false, _) => Exit::Configuration,
        (true, false) => Exit::Failure,
        (true, true) => Exit::Success,
    })
}

fn summary(config: &Config) -> String {
    let counts = [
        (config.listeners.len(), "listener"),
        (config.backends.len(), "backend"),
        (config.rules.rules.len(), "rule"),
        (config.limits.len(), "limit"),
        (config.rules.tests.len(), "test"),
    ];
    let is_told = |(number, noun): &&(usize, &str)| *number > 0 || matches!(*noun, "listener" | "backend");
    let told: Vec<String> =
        counts.iter().filter(is_told).map(|(number, noun)| count(*number, noun)).collect();
    format!("ok: {}\n", told.join(", "))
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

const AFTER_HELP: &str = "\
Errors and warnings go to standard error, each with file, line, column and a hint. Certificates and keys \
that the configuration names are read, too, and each [[test]] is tried. Nothing is bound, and without --probe nothing is dialled.

With --probe each server is visited as sessions and checks would: address, PROXY header, TLS, greeting, FEAT; \
where the backend's check is \"login\" or \"data\", its user logs in and lists, with EPSV and with PASV. A table \
and the certificates go to standard output, and for each failure what to do about it. With --json the object \
has the member `servers`, too.

Exit codes: 0 if the configuration can be run, and all servers passed; 1 if one did not; 78 if the \
configuration is invalid.";
