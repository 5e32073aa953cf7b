//! `status`, `reload`, `unlock`: what a running gateway is asked over its admin socket.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::output::{print, print_json, say};
use super::{CliError, ConfigFile};
use crate::admin::client::ask;
use crate::admin::{Unlock, Verb};
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
    /// An address, or a user name
    #[arg(value_name = "ADDRESS|USER")]
    pub whom: String,
    /// Take it for a user name, even if it looks like an address
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
    let unlock = match args.whom.parse::<IpAddr>() {
        Ok(address) if !args.user => Unlock::Address(address),
        Ok(_) | Err(_) => Unlock::User(args.whom.clone()),
    };
    answer(&args.target, Verb::Unlock(unlock), |answer| match answer["unlocked"].as_u64() {
        Some(1) => "1 lockout ended\n".to_owned(),
        count => format!("{} lockouts ended\n", count.unwrap_or(0)),
    })
}

fn answer(target: &Target, verb: Verb, show: impl FnOnce(&Value) -> String) -> Result<(), CliError> {
    let socket = target.socket.clone().unwrap_or_else(|| admin_socket(&target.file.path));
    let answer = ask(&socket, verb)?;
    if target.json { print_json(&answer) } else { print(&show(&answer)) }
}

fn status_text(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let list = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    let mut lines = vec![format!(
        "{}: ftpsgate {}, process {}, up for {} s, {} sessions",
        text(&answer["name"]),
        text(&answer["gateway_version"]),
        answer["process"],
        answer["uptime_seconds"],
        answer["sessions"],
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
