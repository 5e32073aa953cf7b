//! `demo`: a gateway at work, offline.

use clap::Args;

use super::CliError;

/// Arguments of `demo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(after_help = AFTER_HELP)]
pub struct DemoArgs {
    /// End after the scripted run, with 0 if all went well
    #[arg(long)]
    pub once: bool,
    /// Write what happens as JSON lines
    #[arg(long)]
    pub json: bool,
}

/// Runs the demo: without `--once` until a signal ends it.
///
/// # Errors
///
/// What went wrong in it.
#[cfg(feature = "demo")]
pub fn run(args: DemoArgs) -> Result<(), CliError> {
    played::run(args).map_err(|error| match error {
        crate::demo::DemoError::Output(error) => CliError::Output(error),
        error => CliError::Runtime(Box::new(error)),
    })
}

/// The demo is not part of this build.
///
/// # Errors
///
/// Always.
#[cfg(not(feature = "demo"))]
pub fn run(_args: DemoArgs) -> Result<(), CliError> {
    Err(CliError::Unavailable("demo"))
}

#[cfg(feature = "demo")]
mod played {
    use std::io::{self, IsTerminal};

    use tokio::signal::unix::{SignalKind, signal};

    use super::DemoArgs;
    use crate::demo::{self, DemoError, Style};

    pub(super) fn run(args: DemoArgs) -> Result<(), DemoError> {
        demo::run(style(args), args.once, io::stdout(), stop)
    }

    /// Ctrl-C, `kill`, or a terminal that goes away.
    fn stop() -> io::Result<impl Future<Output = ()>> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        Ok(async move {
            tokio::select! {
                // Nothing is lost by cancelling: the first signal decides.
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        })
    }

    fn style(args: DemoArgs) -> Style {
        if args.json {
            return Style::Json;
        }
        let size = rustix::termios::tcgetwinsize(io::stdout());
        Style::Columns {
            width: size.map(|size| usize::from(size.ws_col)).ok().filter(|&width| width > 0).unwrap_or(WIDTH),
            // https://no-color.org: any value that is not empty.
            color: io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// Where there is no terminal.
    const WIDTH: usize = 100;
}

const AFTER_HELP: &str = "\
Nothing is needed but this program: no privileges, no network, no files. The ports are the kernel's
choice, and everything lives in a temporary folder that is removed at the end.

Examples:
  ftpsgate demo                        both sides of the wire, then a gateway for your own client
  ftpsgate demo --once                 only the scripted run: 0 if all went well, else 1
  ftpsgate demo --once --json | jq .   for programs; the last line is the summary";
