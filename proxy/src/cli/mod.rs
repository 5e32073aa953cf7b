//! The command line: one file per verb.
//!
//! What a command was asked for goes to standard output; everything else that it says goes to standard error.

pub mod admin;
pub mod ca;
pub mod check;
pub mod completions;
pub mod config;
pub mod demo;
mod error;
pub mod explain;
mod files;
pub mod man;
mod output;
pub mod policy;
mod probe;
mod question;
pub mod run;
mod source;
pub mod trust;

use clap::{Parser, Subcommand};

pub use error::{CliError, Exit};
pub use source::{ConfigFile, ConfigSource, DEFAULT_CONFIG_FILE};

/// Encryption in front of FTP servers that nobody can change.
///
/// ftpsgate speaks FTPS to clients and plain FTP to the servers behind it, so that an old server gets TLS
/// without being touched.
#[derive(Debug, Parser)]
#[command(name = "ftpsgate", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Run(run::RunArgs),
    /// Check a configuration, and show everything that is wrong with it
    Check(check::CheckArgs),
    /// Say what policy makes of a command, and why
    Explain(explain::ExplainArgs),
    /// Try the tests of a policy, or a policy on what was logged
    Policy(policy::PolicyArgs),
    /// Show a gateway at work: an FTP server, the gateway and a client, offline
    Demo(demo::DemoArgs),
    /// Show how a running gateway is: sessions, servers, lockouts
    Status(admin::AskArgs),
    /// Have a running gateway read its configuration again, and say what is wrong with it
    Reload(admin::AskArgs),
    /// End the lockouts of an address or a user
    Unlock(admin::UnlockArgs),
    /// Use the local certificate authority
    Ca(ca::CaArgs),
    /// Show a configuration with its defaults, or the schema of configurations
    Config(config::ConfigArgs),
    /// Write completions for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual page
    Man,
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    ///
    /// Whatever prevents it; [`CliError::exit`] is the exit code.
    pub fn execute(self) -> Result<Exit, CliError> {
        match self.command {
            Command::Run(args) => {
                crate::logging::init();
                run::run(args).map(|()| Exit::Success)
            }
            Command::Check(args) => check::run(&args),
            Command::Explain(args) => explain::run(args),
            Command::Policy(args) => policy::run(&args),
            Command::Demo(args) => demo::run(args).map(|()| Exit::Success),
            Command::Status(args) => admin::status(&args).map(|()| Exit::Success),
            Command::Reload(args) => admin::reload(&args).map(|()| Exit::Success),
            Command::Unlock(args) => admin::unlock(&args).map(|()| Exit::Success),
            Command::Ca(args) => ca::run(&args).map(|()| Exit::Success),
            Command::Config(args) => config::run(&args).map(|()| Exit::Success),
            Command::Completions(args) => completions::run(&args).map(|()| Exit::Success),
            Command::Man => man::run().map(|()| Exit::Success),
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  ftpsgate demo                                see it work, without any configuration
  ftpsgate run --backend 10.2.0.11:21          put TLS in front of that server, now
  ftpsgate config show --backend 10.2.0.11:21  the configuration file that would do the same
  ftpsgate check -c ftpsgate.toml              all errors of a configuration at once
  ftpsgate run -c ftpsgate.toml                run it
  ftpsgate explain --user anna --from 10.0.0.7 \"STOR /in/a.csv\"
  ftpsgate policy replay audit.jsonl --with new.toml
  ftpsgate ca root > ftpsgate-ca.pem           what clients must trust, and how

Exit codes:
  0   done
  1   it failed while running
  2   wrong usage of the command line
  3   no running gateway answers
  4   policy denies what was asked about (explain)
  78  the configuration is invalid

Environment:
  FTPSGATE_LOG  what is logged: debug, or info,ftpsgate::driver=trace; default info";

#[cfg(test)]
mod tests;
