//! `demo`: a gateway at work, offline.

use clap::Args;

use super::CliError;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End after the scripted run, with 0 if all went well
    #[arg(long)]
    pub once: bool,
    /// Write what happens as JSON lines
    #[arg(long)]
    pub json: bool,
}

/// Runs the demo.
///
/// # Errors
///
/// What went wrong in it.
pub fn run(_args: DemoArgs) -> Result<(), CliError> {
    Err(CliError::Unavailable("demo"))
}
