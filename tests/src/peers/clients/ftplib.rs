//! Python's ftplib: a job in JSON for `tests/peers/ftplib_client.py`.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{ClientKind, DataWay, How, Listing, Login, Protection, Step, write_script};
use crate::peers::packages;

/// The command line that does all of `steps`.
pub(super) fn command(login: &Login, steps: &[Step], scratch: &Path) -> Command {
    let (tls, version) = match login.protection {
        Protection::Off => ("off", None),
        Protection::Explicit(version) => ("explicit", Some(version)),
        Protection::Implicit(version) => ("implicit", Some(version)),
    };
    let job = json!({
        "host": login.address.ip(),
        "port": login.address.port(),
        "user": login.user,
        "password": login.password,
        "tls": tls,
        "tls_version": version.map(|version| version.number()),
        "ca_file": login.ca_file,
        "passive": login.data == DataWay::Passive,
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
    });
    let script = write_script(scratch, &job.to_string());
    let mut command = Command::new(ClientKind::Ftplib.program());
    // Isolated, and without compiled files beside the script.
    command.args(["-I", "-B"]).arg(packages::script("ftplib_client.py")).arg(script);
    command
}

fn step(step: &Step) -> Value {
    match step {
        Step::Put { how, local, remote } => {
            json!({"do": "put", "how": word(*how), "local": local, "remote": remote})
        }
        Step::Append { tail, whole: _, remote } => json!({"do": "append", "local": tail, "remote": remote}),
        Step::Get { how, remote, local } => {
            json!({"do": "get", "how": word(*how), "remote": remote, "local": local})
        }
        Step::List { form, folder, local } => {
            let form = match form {
                Listing::Long => "long",
                Listing::Names => "names",
                Listing::Facts => "facts",
            };
            json!({"do": "list", "form": form, "folder": folder, "local": local})
        }
        Step::MakeFolder(folder) => json!({"do": "make_folder", "folder": folder}),
        Step::RemoveFolder(folder) => json!({"do": "remove_folder", "folder": folder}),
        Step::Rename(from, to) => json!({"do": "rename", "from": from, "to": to}),
        Step::Delete(remote) => json!({"do": "delete", "remote": remote}),
        Step::Abort(remote) => json!({"do": "abort", "remote": remote}),
        Step::Refused(remote, code) => json!({"do": "refused", "remote": remote, "code": code.to_string()}),
    }
}

fn word(how: How) -> &'static str {
    match how {
        How::Whole => "whole",
        How::Resume => "resume",
        How::Text => "text",
    }
}
