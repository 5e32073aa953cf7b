//! `ftpsgate demo`: a gateway before an FTP server, and a client that uses it, all in one process and offline.
//!
//! ```text
//!   visitor ══ TLS ══ gateway ── clear text ── relay ── backend
//!      └───────── events ────────┬───────────────┘
//!                             report
//! ```
//!
//! Everything is real but the server's age: the gateway is [`Server`] with a configuration from a file, the CA is
//! the one that `ftpsgate run` would make, TLS is verified, the server is libunftp. Nothing outside one temporary folder
//! is written, and the folder goes when the demo ends.

mod backend;
mod columns;
mod json;
mod relay;
mod report;
mod script;
#[cfg(test)]
mod tests;
mod visitor;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::{self, Diagnostics};
use crate::server::{Inherited, Server, StartError};

use backend::Backend;
use columns::Columns;
use json::Json;
use relay::Relay;
use report::{Report, Rewritten, Summary};
use visitor::Visitor;
use wire::{Event, Side};

pub use visitor::VisitError;

/// How the demo is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// In two columns.
    Columns {
        /// Of the terminal, in characters.
        width: usize,
        /// Whether it shows colours.
        color: bool,
    },
    /// One JSON object a line.
    Json,
}

/// Why there was nothing to show, or what was shown is wrong.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No folder, or no port, for the demo.
    #[error("the demo has no place: {0}")]
    Place(#[source] io::Error),
    /// The demo's own configuration is refused.
    #[error("the demo's configuration is wrong:\n{}", .0.render(false))]
    Config(Box<Diagnostics>),
    /// The gateway does not start.
    #[error("the gateway does not start: {0}")]
    Gateway(#[from] StartError),
    /// The gateway runs, but has no port or no CA.
    #[error("the gateway has no {0}")]
    Missing(&'static str),
    /// The scripted client did not come through.
    #[error("the scripted client failed at {0}")]
    Visit(#[from] VisitError),
    /// The scripted client is still waiting.
    #[error("the scripted client was not done within {} s", SCRIPT_TIMEOUT.as_secs())]
    Late,
    /// It came through, but something is not as it must be.
    #[error("not as it must be: {0}")]
    Wrong(String),
    /// It was told to end before the script had come to its end.
    #[error("interrupted")]
    Interrupted,
    /// Nobody reads what the demo tells.
    #[error("output: {0}")]
    Output(#[source] io::Error),
}

/// Runs the demo: to the end of the script, where `once`, else until `stop` says so. It makes a runtime of its own, on
/// which `stop` is called before anything is written to disk.
///
/// # Errors
///
/// See [`DemoError`]. A demo that was stopped is one only where `once`.
pub fn run<S: Future<Output = ()>>(
    style: Style,
    once: bool,
    output: impl io::Write,
    stop: impl FnOnce() -> io::Result<S>,
) -> Result<(), DemoError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(DemoError::Place)?;
    let stopped = {
        let _entered = runtime.enter();
        stop().map_err(DemoError::Place)?
    };
    let folder = tempfile::Builder::new().prefix("ftpsgate-demo-").tempdir().map_err(DemoError::Place)?;
    let result = runtime.block_on(async {
        tokio::select! {
            // Whichever is cancelled is not needed any more.
            result = perform(style, once, output, folder.path()) => result,
            () = stopped => if once { Err(DemoError::Interrupted) } else { Ok(()) },
        }
    });
    // Who might still write into the folder goes first.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    let removed = folder.close().map_err(DemoError::Place);
    result.and(removed)
}

async fn perform(style: Style, once: bool, output: impl io::Write, folder: &Path) -> Result<(), DemoError> {
    match style {
        Style::Json => tell(&mut Json::new(output), once, folder).await,
        Style::Columns { width, color } => {
            let mut columns = Columns::new(output, width, color);
            columns.begin().map_err(DemoError::Output)?;
            tell(&mut columns, once, folder).await
        }
    }
}

async fn tell(report: &mut impl Report, once: bool, folder: &Path) -> Result<(), DemoError> {
    let (tap, mut events) = mpsc::channel(EVENTS_MAX);
    let stage = Stage::set(folder, tap.clone()).await?;
    let root = stage.gateway.authority().await.ok_or(DemoError::Missing("CA"))?.root().clone();
    let visitor = Visitor::new(stage.address, &root, tap)?;

    let mut ports = Ports::default();
    let played = {
        let mut script = pin!(timeout(SCRIPT_TIMEOUT, script::play(&visitor)));
        loop {
            tokio::select! {
                // Cancelling a receive loses no event; the script is only polled again.
                Some(event) = events.recv() => show(report, &event, &mut ports)?,
                played = &mut script => break played,
            }
        }
    };
    // The gateway says its own farewell, and then parts with the backend.
    while let Ok(Some(event)) = timeout(QUIET, events.recv()).await {
        show(report, &event, &mut ports)?;
    }
    report.pause().map_err(DemoError::Output)?;

    let harvest = played.map_err(|_| DemoError::Late)??;
    let summary = stage.summary(script::judge(&harvest, &stage.files(), &ports.rewritten));
    report.summary(&summary).map_err(DemoError::Output)?;
    if !summary.is_ok() {
        let wrong: Vec<&str> =
            summary.checks.iter().filter(|check| !check.ok).map(|check| check.what).collect();
        return Err(DemoError::Wrong(wrong.join(", ")));
    }
    if once {
        stage.gateway.stop().await;
        return Ok(());
    }
    report.stays(&summary).map_err(DemoError::Output)?;
    loop {
        match timeout(QUIET, events.recv()).await {
            Ok(Some(event)) => show(report, &event, &mut ports)?,
            Ok(None) | Err(_) => report.pause().map_err(DemoError::Output)?,
        }
    }
}

fn show(report: &mut impl Report, event: &Event, ports: &mut Ports) -> Result<(), DemoError> {
    report.event(event).map_err(DemoError::Output)?;
    match ports.hear(event) {
        Some(rewritten) => report.rewritten(rewritten).map_err(DemoError::Output),
        None => Ok(()),
    }
}

/// Which ports the gateway named instead of which ports of the backend's.
#[derive(Debug, Default)]
struct Ports {
    gateway: Option<u16>,
    backend: Option<u16>,
    /// Bounded by the script: what the gateway says to the user's own clients cannot be heard.
    rewritten: Vec<Rewritten>,
}

impl Ports {
    fn hear(&mut self, event: &Event) -> Option<Rewritten> {
        let Event::Message(message) = event else { return None };
        let port = message.data_port?;
        match message.side {
            Side::Downstream => self.gateway = Some(port),
            Side::Upstream => self.backend = Some(port),
        }
        let rewritten = Rewritten { gateway: self.gateway?, backend: self.backend? };
        (self.gateway, self.backend) = (None, None);
        self.rewritten.push(rewritten);
        Some(rewritten)
    }
}

/// All that runs. It ends when it is dropped.
struct Stage<'a> {
    folder: &'a Path,
    toml: String,
    backend: Backend,
    _relay: Relay,
    gateway: Server,
    address: SocketAddr,
}

impl<'a> Stage<'a> {
    async fn set(folder: &'a Path, tap: wire::Tap) -> Result<Self, DemoError> {
        let files = folder.join(FILES);
        tokio::fs::create_dir(&files).await.map_err(DemoError::Place)?;
        let backend = Backend::start(&files).await.map_err(DemoError::Place)?;
        let relay = Relay::start(backend.address(), tap).await.map_err(DemoError::Place)?;

        let toml = configuration(relay.address());
        let file = folder.join(CONFIG);
        tokio::fs::write(&file, &toml).await.map_err(DemoError::Place)?;
        let loaded = config::load(&file).map_err(|all| DemoError::Config(Box::new(all)))?;
        let gateway = Server::start(loaded.config, Inherited::new()).await?;
        let address = *gateway.addresses(LISTENER).await.first().ok_or(DemoError::Missing("port"))?;
        Ok(Self { folder, toml, backend, _relay: relay, gateway, address })
    }

    fn files(&self) -> PathBuf {
        self.folder.join(FILES)
    }

    fn summary(&self, checks: Vec<report::Check>) -> Summary {
        Summary {
            gateway: self.address,
            backend: self.backend.address(),
            root: self.folder.join(STATE).join("ca").join("root.pem"),
            config: self.folder.join(CONFIG),
            toml: self.toml.clone(),
            checks,
        }
    }
}

/// As a user would write it.
fn configuration(backend: SocketAddr) -> String {
    format!(
        r#"[gateway]
state_dir = "{STATE}"             # beside this file: the local CA

[[listener]]
name = "{LISTENER}"
bind = ["127.0.0.1:0"]          # the kernel chooses the port
backend = "legacy"

[listener.passive]
ports = "auto:10"               # the kernel chooses these, too

[[backend]]
name = "legacy"
servers = ["{backend}"]
"#
    )
}

const LISTENER: &str = "demo";
/// In the folder: what the backend serves, the gateway's state, the configuration.
const FILES: &str = "files";
const STATE: &str = "state";
const CONFIG: &str = "ftpsgate.toml";
/// Not yet shown.
const EVENTS_MAX: usize = 256;
/// Hundreds of times what it takes.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(60);
/// For what is in the middle of writing.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// After which a message has no counterpart.
const QUIET: Duration = Duration::from_millis(200);
