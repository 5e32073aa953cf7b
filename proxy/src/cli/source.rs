//! Where the configuration comes from: `-c FILE`, or `--backend HOST:PORT` without any file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Config, Diagnostic, ServerAddress, SyntaxError};

use super::CliError;

/// The configuration file where none is named.
pub const DEFAULT_CONFIG_FILE: &str = "/etc/ftpsgate/ftpsgate.toml";

/// `-c FILE`.
#[derive(Debug, Clone, Args)]
pub struct ConfigFile {
    /// Configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = DEFAULT_CONFIG_FILE)]
    pub path: PathBuf,
}

/// `-c FILE | --backend HOST:PORT [--listen ADDR] [--implicit ADDR]`.
#[derive(Debug, Clone, Args)]
pub struct ConfigSource {
    /// Configuration file
    #[command(flatten)]
    pub file: ConfigFile,
    /// Run without a file, in front of this FTP server (the port may be left out: 21)
    #[arg(long, value_name = "HOST:PORT", value_parser = server, conflicts_with = "path")]
    pub backend: Option<ServerAddress>,
    /// Where to listen for explicit FTPS, instead of port 21 of every address (2121 where 21 may not be bound)
    #[arg(long, value_name = "ADDR", value_parser = bind, requires = "backend")]
    pub listen: Option<SocketAddr>,
    /// Where to listen for implicit FTPS, instead of port 990 of every address (2990 where 990 may not be bound)
    #[arg(long, value_name = "ADDR", value_parser = bind, requires = "backend")]
    pub implicit: Option<SocketAddr>,
}

impl ConfigSource {
    /// The configuration, and what is doubtful about it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file.
    pub fn load(&self) -> Result<(Config, Vec<Diagnostic>), CliError> {
        match &self.backend {
            Some(backend) => {
                let state_dir = config::default_state_dir();
                Ok((config::quick(backend.clone(), self.listen, self.implicit, state_dir), Vec::new()))
            }
            None => {
                let loaded = config::load(&self.file.path)?;
                Ok((loaded.config, loaded.warnings))
            }
        }
    }
}

fn server(text: &str) -> Result<ServerAddress, String> {
    text.parse().map_err(|error| sentence(&error))
}

fn bind(text: &str) -> Result<SocketAddr, String> {
    config::parse_bind(text).map_err(|error| sentence(&error))
}

fn sentence(error: &SyntaxError) -> String {
    format!("{}; {}", error.message, error.hint)
}
