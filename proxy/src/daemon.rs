//! The life of the process: signals, the service manager, and the order of things at start and end.
//!
//! SIGHUP reads the configuration anew. SIGTERM and SIGINT let transfers finish; a second one does not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::admin::socket::{AdminSocket, Desk, Reload};
use crate::config::{Config, Diagnostics, Loaded};
use crate::server::{Inherited, Server, StartError};

/// Where a configuration comes from, again and again.
pub type Source = Box<dyn Fn() -> Result<Loaded, Diagnostics> + Send + Sync>;

/// Why the daemon ended with a failure.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// It could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The admin socket cannot be had where it is to be.
    #[error("the admin socket cannot be opened: {0}")]
    AdminSocket(#[source] io::Error),
    /// The system refused something that every process needs.
    #[error("cannot run: {0}")]
    System(#[from] io::Error),
}

/// Serves until it is told to end. `started` is called once everything listens.
///
/// # Errors
///
/// It could not start.
pub async fn serve(
    config: Config,
    source: Option<Source>,
    inherited: Inherited,
    started: impl AsyncFnOnce(&Server),
) -> Result<(), DaemonError> {
    let mut signals = Signals::new()?;
    raise_descriptor_limit();
    let admin = config.clone();
    let server = Arc::new(Server::start(config, inherited).await?);
    let (reloads, mut asked_for) = mpsc::channel(1);
    let desk = Desk { server: Arc::clone(&server), reloads };
    let mut socket = open_admin_socket(&admin, &desk).map_err(DaemonError::AdminSocket)?;
    info!("ready");
    notify(&[NotifyState::Ready]);
    started(&server).await;
    let mut watchdog = watchdog();
    loop {
        select! {
            _ = signals.hangup.recv() => {
                // The log says how it went.
                let _ = reload(&server, source.as_ref(), &mut socket, &desk).await;
            }
            Some(Reload { answer }) = asked_for.recv() => {
                let outcome = reload(&server, source.as_ref(), &mut socket, &desk).await;
                // Who asked may have gone.
                let _ = answer.send(outcome);
            }
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            () = tick(&mut watchdog) => notify(&[NotifyState::Watchdog]),
        }
    }
    drop(asked_for);
    let patience = server.drain_timeout().await;
    info!(drain_timeout_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX), "draining");
    notify(&[NotifyState::Stopping]);
    let drain = server.drain(patience);
    tokio::pin!(drain);
    loop {
        select! {
            () = &mut drain => break,
            _ = signals.terminate.recv() => break server.stop().await,
            _ = signals.interrupt.recv() => break server.stop().await,
            () = tick(&mut watchdog) => notify(&[NotifyState::Watchdog]),
        }
    }
    server.finish_audit().await;
    info!("stopped");
    Ok(())
}

/// Reads the configuration again, and puts it in place or changes nothing. What is doubtful about it, or the reason.
async fn reload(
    server: &Server,
    source: Option<&Source>,
    socket: &mut Option<AdminSocket>,
    desk: &Desk,
) -> Result<Vec<String>, String> {
    let Some(source) = source else {
        let reason = "nothing to reload: the configuration came from the command line";
        warn!("{reason}");
        return Err(reason.to_owned());
    };
    info!("reloading");
    match NotifyState::monotonic_usec_now() {
        Ok(stamp) => notify(&[NotifyState::Reloading, stamp]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
    let outcome = match source() {
        Err(diagnostics) => Err(diagnostics.render(false)),
        Ok(Loaded { config, warnings, .. }) => {
            for warning in &warnings {
                warn!(hint = warning.hint(), "configuration: {}", warning.message());
            }
            let replaced = replace_configuration(server, config, socket, desk).await;
            replaced.map(|()| warnings.iter().map(|warning| warning.message().to_owned()).collect())
        }
    };
    match &outcome {
        Ok(_) => info!("reloaded"),
        Err(reason) if reason.contains('\n') => error!("configuration not reloaded:\n{reason}"),
        Err(reason) => error!("configuration not reloaded: {reason}"),
    }
    notify(&[NotifyState::Ready]);
    outcome
}

async fn replace_configuration(
    server: &Server,
    config: Config,
    socket: &mut Option<AdminSocket>,
    desk: &Desk,
) -> Result<(), String> {
    let is_there = socket.as_ref().is_some_and(|socket| socket.path() == config.admin_socket());
    let opened = if is_there {
        None
    } else {
        Some(
            open_admin_socket(&config, desk)
                .map_err(|error| format!("the admin socket cannot be opened: {error}"))?,
        )
    };
    server.reload(config).await.map_err(|error| error.to_string())?;
    if let Some(opened) = opened {
        *socket = opened;
    }
    Ok(())
}

/// A gateway serves without an admin socket, unless one was asked for.
fn open_admin_socket(config: &Config, desk: &Desk) -> io::Result<Option<AdminSocket>> {
    let path = config.admin_socket();
    match AdminSocket::open(&path, desk.clone()) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if config.admin.socket.is_none() => {
            warn!(path = %path.display(), %error, "there is no admin socket");
            Ok(None)
        }
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// Shells and service managers give few descriptors by default, and let a process take more (systemd.exec(5),
/// LimitNOFILE): a session with a transfer needs four, six where bytes are spliced.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        // A file that may not grow any more (`ulimit -f`, `LimitFSIZE=`) is an error to who writes it, and not the end:
        // once the signal has a handler, and that stays, it ends nothing.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Twice as often as the service manager wants it.
fn watchdog() -> Option<Interval> {
    let period = sd_notify::watchdog_enabled()? / 2;
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(ticks)
}

async fn tick(watchdog: &mut Option<Interval>) {
    match watchdog {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager does not hear us");
    }
}
