//! `run`: the gateway.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use clap::Args;
use tracing::warn;

use super::output::say;
use super::trust::Trust;
use super::{CliError, ConfigSource};
use crate::config::{self, Config, Mode, QUICK_FALLBACK_PORTS};
use crate::daemon::{self, Source};
use crate::inherited;
use crate::server::Server;

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct RunArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub source: ConfigSource,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
///
/// An invalid configuration, or what keeps the gateway from running.
pub fn run(args: RunArgs) -> Result<(), CliError> {
    let (mut config, warnings) = args.source.load()?;
    for warning in warnings {
        warn!(hint = warning.hint(), "configuration: {}", warning.message());
    }
    let is_quick = args.source.backend.is_some();
    if is_quick {
        choose_ports(&mut config);
    }
    let source = (!is_quick).then(|| {
        let path = args.source.file.path.clone();
        let source: Source = Box::new(move || config::load(&path));
        source
    });
    let sockets = inherited::take_sockets().map_err(runtime_error)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(runtime_error)?;
    let shown = config.clone();
    let started = async move |server: &Server| {
        if is_quick {
            introduce(&shown, server).await;
        }
    };
    runtime.block_on(daemon::serve(config, source, sockets, started))?;
    Ok(())
}

fn runtime_error(error: io::Error) -> CliError {
    CliError::Runtime(Box::new(error))
}

/// Where a default port may not be bound, its stand-in is used.
fn choose_ports(config: &mut Config) {
    for listener in &mut config.listeners {
        if listener.bind_written || listener.bind.iter().any(|&address| may_bind(address)) {
            continue;
        }
        for address in &mut Arc::make_mut(listener).bind {
            let stand_in = QUICK_FALLBACK_PORTS.iter().find(|(port, _)| *port == address.port());
            if let Some((_, port)) = stand_in {
                address.set_port(*port);
            }
        }
    }
}

fn may_bind(address: SocketAddr) -> bool {
    match TcpListener::bind(address) {
        Ok(_) => true,
        // Somebody else's port is worth an error, not another port.
        Err(error) => error.kind() != io::ErrorKind::PermissionDenied,
    }
}

/// Says how clients are made to trust the gateway, and which file would do the same.
async fn introduce(config: &Config, server: &Server) {
    let mut ports = [None, None];
    for listener in &config.listeners {
        let port = server.addresses(&listener.name).await.first().map(SocketAddr::port);
        match listener.mode {
            Mode::Explicit | Mode::Plain => ports[0] = port,
            Mode::Implicit => ports[1] = port,
        }
    }
    let [explicit, implicit] = ports;
    if let Some(authority) = server.authority().await {
        let fingerprint = authority.fingerprint().to_string();
        let trust =
            Trust { ca_file: CA_FILE, host: "localhost", explicit, implicit, fingerprint: &fingerprint };
        say(&format!("\n{}\nThe CA's certificate: ftpsgate ca root > {CA_FILE}\n", trust.instructions()));
    }
    say(&format!("\nThe same as a configuration file:\n\n{}\n", config::to_toml(config)));
}

/// How the instructions call the CA's certificate.
const CA_FILE: &str = "ftpsgate-ca.pem";

const AFTER_HELP: &str = "\
Examples:
  ftpsgate run                                        with /etc/ftpsgate/ftpsgate.toml
  ftpsgate run -c ./ftpsgate.toml
  ftpsgate run --backend legacy:21                    without a file
  ftpsgate run --backend legacy:21 --listen 0.0.0.0:2121 --implicit 0.0.0.0:2990

Signals:
  SIGHUP           read the configuration again; an invalid one changes nothing
  SIGTERM, SIGINT  finish running transfers, then stop; a second one stops now";
