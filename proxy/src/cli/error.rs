//! What ends a command, and its exit code.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::admin::client::AskError;
use crate::config::Diagnostics;
use crate::daemon::DaemonError;
use crate::logging::color_on_stderr;
use crate::server::StartError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked for.
    Success,
    /// It failed while running.
    Failure,
    /// It was called wrongly.
    Usage,
    /// No running gateway answers.
    Unreachable,
    /// Policy denies what was asked about.
    Denied,
    /// The configuration is invalid (EX_CONFIG of sysexits.h).
    Configuration,
}

impl Exit {
    /// The number that the caller sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Denied => 4,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What prevents a command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Configuration(#[from] Diagnostics),
    /// The local CA cannot be used.
    #[error(transparent)]
    Authority(#[from] ftpsgate_certs::Error),
    /// The running gateway gave no answer, or refused.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Files that stand where new ones should go.
    #[error("{} is there already: `--force` replaces it", .0.display())]
    Exists(PathBuf),
    /// Standard output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The gateway could not start.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The gateway, or the demo, could not start or did not end well.
    #[error(transparent)]
    Runtime(Box<dyn std::error::Error + Send + Sync>),
    /// A question about what is not in the configuration.
    #[error("{0}")]
    Question(String),
    /// The verb is known but does nothing in this build.
    #[error("`{0}` is not available in this build")]
    Unavailable(&'static str),
}

impl CliError {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_)
            | Self::Daemon(DaemonError::Start(
                StartError::Certificates(_)
                | StartError::Profile { .. }
                | StartError::BackendTls { .. }
                | StartError::UnknownSocket { .. },
            )) => Exit::Configuration,
            Self::Question(_) => Exit::Usage,
            Self::Ask(AskError::Unreachable { .. }) => Exit::Unreachable,
            Self::Authority(_)
            | Self::Ask(AskError::Refused { .. })
            | Self::Write { .. }
            | Self::Exists(_)
            | Self::Output(_)
            | Self::Runtime(_)
            | Self::Daemon(_)
            | Self::Unavailable(_) => Exit::Failure,
        }
    }

    /// What to print on standard error, with its newline.
    #[must_use]
    pub fn render(&self) -> String {
        match self {
            Self::Configuration(diagnostics) => diagnostics.render(color_on_stderr()),
            Self::Authority(_)
            | Self::Ask(_)
            | Self::Write { .. }
            | Self::Exists(_)
            | Self::Output(_)
            | Self::Runtime(_)
            | Self::Daemon(_)
            | Self::Question(_)
            | Self::Unavailable(_) => format!("ftpsgate: {self}\n"),
        }
    }
}
