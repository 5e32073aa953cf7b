//! `config show`: a configuration with every default; `config schema`: what editors want to know.

use clap::{Args, Subcommand};

use crate::config::{Diagnostics, json_schema, to_json, to_toml};
use crate::logging::color_on_stderr;

use super::output::{print, print_json, say};
use super::{CliError, ConfigSource};

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to show.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `config` shows.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a configuration with every default filled in; running it does the same
    #[command(after_help = SHOW_AFTER_HELP)]
    Show(ShowArgs),
    /// Write a JSON Schema of configuration files, for editors
    Schema,
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub source: ConfigSource,
    /// Write JSON instead of TOML
    #[arg(long)]
    pub json: bool,
}

/// Shows it.
///
/// # Errors
///
/// An invalid configuration, or standard output that cannot be written.
pub fn run(args: &ConfigArgs) -> Result<(), CliError> {
    match &args.command {
        ConfigCommand::Schema => print_json(&json_schema()),
        ConfigCommand::Show(args) => {
            let (config, warnings) = args.source.load()?;
            say(&Diagnostics::new(warnings).render(color_on_stderr()));
            if args.json { print_json(&to_json(&config)) } else { print(&to_toml(&config)) }
        }
    }
}

const SHOW_AFTER_HELP: &str = "\
Examples:
  ftpsgate config show -c ftpsgate.toml
  ftpsgate config show --backend legacy:21 > ftpsgate.toml    from a trial run to a file";
