//! The life of the process: signals, the service manager, and the order of things at start and end.
//!
//! SIGHUP reads the configuration anew. SIGTERM and SIGINT let transfers finish; a second one does not.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{error, info, warn};

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
    let server = Server::start(config, inherited).await?;
    info!("ready");
    notify(&[NotifyState::Ready]);
    started(&server).await;
    let mut watchdog = watchdog();
    loop {
        select! {
            _ = signals.hangup.recv() => reload(&server, source.as_ref()).await,
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            () = tick(&mut watchdog) => notify(&[NotifyState::Watchdog]),
        }
    }
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

async fn reload(server: &Server, source: Option<&Source>) {
    let Some(source) = source else {
        return warn!("nothing to reload: the configuration came from the command line");
    };
    info!("reloading");
    match NotifyState::monotonic_usec_now() {
        Ok(stamp) => notify(&[NotifyState::Reloading, stamp]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
    match source() {
        Err(diagnostics) => error!("configuration not reloaded:\n{}", diagnostics.render(false)),
        Ok(Loaded { config, warnings, .. }) => {
            for warning in warnings {
                warn!(hint = warning.hint(), "configuration: {}", warning.message());
            }
            match server.reload(config).await {
                Ok(()) => info!("reloaded"),
                Err(error) => error!("configuration not reloaded: {error}"),
            }
        }
    }
    notify(&[NotifyState::Ready]);
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
