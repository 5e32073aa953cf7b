//! `status`, `reload`, `unlock`: what a running gateway is asked over its admin socket.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use ipnet::IpNet;
use serde_json::Value;

use super::output::{print, print_json, say};
use super::{CliError, ConfigFile, DEFAULT_CONFIG_FILE};
use crate::admin::client::{AskError, ask};
use crate::admin::{Unlock, Verb};
use crate::audit::text::escape;
use crate::config::admin_socket;

/// Which gateway.
#[derive(Debug, Args)]
pub struct Target {
    /// The file that the gateway runs with; it says where the admin socket is, and may be broken otherwise.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The admin socket, instead of the one that the file names
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Write the gateway's answer to standard output as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `status` and `reload`.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
}

/// Arguments of `unlock`.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// An address, a network such as 192.0.2.0/24 with all within it, or a user name; each as `status` writes it
    #[arg(value_name = "ADDRESS|NETWORK|USER", value_parser = NonEmptyStringValueParser::new())]
    pub whom: String,
    /// Take it for a user name, even if it looks like an address or a network
    #[arg(long)]
    pub user: bool,
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
}

/// Shows how the gateway is.
///
/// # Errors
///
/// No gateway answers, or standard output cannot be written.
pub fn status(args: &AskArgs) -> Result<(), CliError> {
    answer(&args.target, Verb::Status, status_text)
}

/// Has the gateway read its configuration again.
///
/// # Errors
///
/// No gateway answers, or the reason why nothing has changed.
pub fn reload(args: &AskArgs) -> Result<(), CliError> {
    answer(&args.target, Verb::Reload, |answer| {
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            say(&format!("warning: {}\n", warning.as_str().unwrap_or_default()));
        }
        "reloaded\n".to_owned()
    })
}

/// Ends lockouts.
///
/// # Errors
///
/// No gateway answers, or standard output cannot be written.
pub fn unlock(args: &UnlockArgs) -> Result<(), CliError> {
    let whom = &args.whom;
    let (unlock, looked_for) = match (whom.parse::<IpAddr>(), whom.parse::<IpNet>()) {
        (Ok(address), _) if !args.user => {
            (Unlock::Address(address), format!("the address {address}, nor of a network that holds it"))
        }
        (_, Ok(network)) if !args.user => {
            (Unlock::Network(network), format!("the network {network}, nor within it"))
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => {
            (Unlock::User(whom.clone()), format!("the user `{}`", escape(whom.as_bytes())))
        }
    };
    answer(&args.target, Verb::Unlock(unlock), |answer| match answer["unlocked"].as_u64() {
        Some(1) => "1 lockout ended\n".to_owned(),
        Some(0) | None => {
            say(&format!("there is no lockout of {looked_for}\n"));
            "0 lockouts ended\n".to_owned()
        }
        Some(count) => format!("{count} lockouts ended\n"),
    })
}

fn answer(target: &Target, verb: Verb, show: impl FnOnce(&Value) -> String) -> Result<(), CliError> {
    let socket = target.socket.clone().unwrap_or_else(|| socket_of(&target.file.path));
    match ask(&socket, verb) {
        Ok(answer) if target.json => print_json(&answer),
        Ok(answer) => print(&show(&answer)),
        Err(error) => {
            if let (AskError::Refused { answer, .. }, true) = (&error, target.json) {
                print_json(answer)?;
            }
            Err(error.into())
        }
    }
}

/// The socket that the file names. A gateway that runs without a file is asked without one, so that the usual one may
/// be missing.
fn socket_of(file: &Path) -> PathBuf {
    let (socket, problem) = admin_socket(file);
    let is_expected =
        |error: &io::Error| error.kind() == io::ErrorKind::NotFound && file == Path::new(DEFAULT_CONFIG_FILE);
    if let Some(error) = problem.filter(|error| !is_expected(error)) {
        let (file, socket) = (file.display(), socket.display());
        say(&format!("warning: cannot read {file}: {error}; asking at {socket}\n"));
    }
    socket
}

fn status_text(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let list = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    let mut lines = vec![format!(
        "{}: ftpsgate {}, process {}, up for {} s, {} sessions, {} transfers",
        text(&answer["name"]),
        text(&answer["gateway_version"]),
        answer["process"],
        answer["uptime_seconds"],
        answer["sessions"],
        answer["transfers"],
    )];
    for listener in list("listeners") {
        let addresses: Vec<_> = listener["addresses"].as_array().into_iter().flatten().map(text).collect();
        lines.push(format!(
            "listener {} ({}): {} sessions; {}",
            text(&listener["name"]),
            text(&listener["mode"]),
            listener["sessions"],
            addresses.join(", ")
        ));
    }
    for backend in list("backends") {
        for server in backend["servers"].as_array().into_iter().flatten() {
            lines.push(format!(
                "backend {} {}: {}{}, {} sessions",
                text(&backend["name"]),
                text(&server["address"]),
                if server["up"] == true { "up" } else { "down" },
                if server["backup"] == true { ", backup" } else { "" },
                server["sessions"],
            ));
        }
    }
    for lockout in list("lockouts") {
        let (key, limit) = (text(&lockout["key"]), text(&lockout["limit"]));
        lines.push(format!("locked out: {key} by `{limit}`, for {} s", lockout["seconds_left"]));
    }
    for fill in list("fullest") {
        let percent = fill["share"].as_f64().unwrap_or(0.0) * 100.0;
        let (key, limit, what) = (text(&fill["key"]), text(&fill["limit"]), text(&fill["what"]));
        lines.push(format!("{percent:.0} % full: {what} of {key} under `{limit}`"));
    }
    lines.join("\n") + "\n"
}
