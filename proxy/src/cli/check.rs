//! `check`: everything that is wrong with a configuration, before it is run.

use clap::Args;

use crate::config::{self, Diagnostics};
use crate::logging::color_on_stderr;

use super::output::{print, print_json, say};
use super::{CliError, ConfigFile, Exit, files};

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
}

/// Checks the file and the files that it names.
///
/// # Errors
///
/// Only that standard output cannot be written: an invalid configuration is the answer to the question.
pub fn run(args: &CheckArgs) -> Result<Exit, CliError> {
    let (found, summary) = match config::load(&args.file.path) {
        Err(diagnostics) => (diagnostics, String::new()),
        Ok(loaded) => {
            let beyond = files::check(&loaded);
            let summary = format!(
                "ok: {}, {}\n",
                count(loaded.config.listeners.len(), "listener"),
                count(loaded.config.backends.len(), "backend")
            );
            (Diagnostics::new(loaded.warnings.into_iter().chain(beyond)), summary)
        }
    };
    if args.json {
        print_json(&found.to_json())?;
    } else {
        say(&found.render(color_on_stderr()));
        if found.is_ok() {
            print(&summary)?;
        }
    }
    Ok(if found.is_ok() { Exit::Success } else { Exit::Configuration })
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

const AFTER_HELP: &str = "\
Errors and warnings go to standard error, each with file, line, column and a hint. Certificates and keys
that the configuration names are read, too. Nothing is bound, and nothing is dialled.

Exit codes: 0 if the configuration can be run, 78 if not.";
