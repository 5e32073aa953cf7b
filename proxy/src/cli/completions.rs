//! `completions`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::print;
use super::{Cli, CliError};

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Writes the completions.
///
/// # Errors
///
/// Standard output that cannot be written.
pub fn run(args: &CompletionsArgs) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ftpsgate", &mut script);
    print(&String::from_utf8_lossy(&script))
}

const AFTER_HELP: &str = "\
Examples:
  ftpsgate completions bash > /etc/bash_completion.d/ftpsgate
  ftpsgate completions zsh > ~/.zfunc/_ftpsgate
  ftpsgate completions fish > ~/.config/fish/completions/ftpsgate.fish";
