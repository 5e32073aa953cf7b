//! What the demo tells: events as they happen, then a summary. For people (`columns`) or for programs (`json`).

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::wire::Event;

/// Somebody to tell.
pub(super) trait Report {
    /// Something happened.
    fn event(&mut self, event: &Event) -> io::Result<()>;
    /// The gateway named its own port instead of the backend's.
    fn rewritten(&mut self, rewritten: Rewritten) -> io::Result<()>;
    /// Nothing happens for the moment: show what was held back.
    fn pause(&mut self) -> io::Result<()>;
    /// The scripted run is over.
    fn summary(&mut self, summary: &Summary) -> io::Result<()>;
    /// The gateway stays up: what now comes is the doing of the user's own clients.
    fn stays(&mut self, summary: &Summary) -> io::Result<()>;
}

/// The ports of one data connection: where the client goes, and where the gateway goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rewritten {
    pub(super) backend: u16,
    pub(super) gateway: u16,
}

/// How the scripted run went, and where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) gateway: SocketAddr,
    pub(super) backend: SocketAddr,
    /// PEM file of the CA's certificate.
    pub(super) root: PathBuf,
    pub(super) config: PathBuf,
    /// The text of that file.
    pub(super) toml: String,
    pub(super) checks: Vec<Check>,
}

/// One thing that had to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) what: &'static str,
    pub(super) ok: bool,
    /// What was found.
    pub(super) found: String,
}

impl Summary {
    pub(super) fn is_ok(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.ok)
    }

    /// Command lines that do what the script did.
    pub(super) fn commands(&self) -> [Command; 4] {
        let root = self.root.display();
        let url = format!("ftp://{}", self.gateway);
        let curl = |rest: String| {
            let login = format!("--user {USER}:{PASSWORD}");
            vec![format!("curl --ssl-reqd --cacert '{root}'"), format!("{login} {rest}")]
        };
        let lftp = vec![
            format!("lftp -u {USER},{PASSWORD} -e \"set ssl:ca-file '{root}';"),
            format!("set ftp:ssl-force yes; set ftp:ssl-protect-data yes\" {url}"),
        ];
        [
            Command { name: "list", words: curl(format!("{url}/")) },
            Command { name: "download", words: curl(format!("{url}/readme.txt")) },
            Command { name: "upload", words: curl(format!("--upload-file FILE {url}/")) },
            Command { name: "lftp", words: lftp },
        ]
    }

    /// Where everything is.
    pub(super) fn folder(&self) -> &Path {
        self.config.parent().unwrap_or(&self.config)
    }
}

/// A command line to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) name: &'static str,
    /// One a line; a blank, or a backslash and the end of the line, stands between two.
    pub(super) words: Vec<String>,
}

/// Of the scripted client; the backend takes any.
pub(super) const USER: &str = "demo";
/// Shown in the command lines for the user's own clients, never on the wire.
pub(super) const PASSWORD: &str = "demo";
