//! `run`: the gateway.

use clap::Args;

use crate::{config, daemon, inherited};

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
    let (config, warnings) = args.source.load()?;
    for warning in &warnings {
        tracing::warn!(hint = warning.hint(), "{}", warning.message());
    }
    let inherited = inherited::take_sockets().map_err(runtime)?;
    let reload = args.source.backend.is_none().then(|| {
        let path = args.source.file.path;
        Box::new(move || config::load(&path)) as daemon::Source
    });
    let executor = tokio::runtime::Runtime::new().map_err(runtime)?;
    executor.block_on(daemon::serve(config, reload, inherited, async |_| {})).map_err(runtime)
}

fn runtime(error: impl std::error::Error + Send + Sync + 'static) -> CliError {
    CliError::Runtime(Box::new(error))
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
