//! `run`: the gateway.

use clap::Args;

use super::{CliError, ConfigSource};

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct RunArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub source: ConfigSource,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
///
/// An invalid configuration, or what keeps the gateway from running.
pub fn run(args: RunArgs) -> Result<(), CliError> {
    args.source.load()?;
    Err(CliError::Unavailable("run"))
}

const AFTER_HELP: &str = "\
Examples:
  ftpsgate run                                        with /etc/ftpsgate/ftpsgate.toml
  ftpsgate run -c ./ftpsgate.toml
  ftpsgate run --backend legacy:21                    without a file
  ftpsgate run --backend legacy:21 --listen 0.0.0.0:2121 --implicit 0.0.0.0:2990

Signals:
  SIGHUP           read the configuration again; an invalid one changes nothing
  SIGTERM, SIGINT  finish running transfers, then stop; a second one stops now";
