//! Where the peers' programs are, and what is missing.
//!
//! The servers cannot be installed beside each other, so `tests/run` unpacks their packages, with the
//! libraries that the system lacks, into `target/peers/root`. Clients are the system's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::clients::ClientKind;
use super::servers::ServerKind;
use crate::gateway::target_directory;

/// The folder in which a server's package is unpacked, laid out like `/`.
pub fn root() -> PathBuf {
    target_directory().join("peers/root")
}

/// A file of `tests/peers`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

/// Why this pair cannot run here, if it cannot.
pub fn missing(server: ServerKind, client: ClientKind) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root, for the server's mount namespace".to_owned());
    }
    if !namespaces_work() {
        return Some("needs the right to make mount and process namespaces".to_owned());
    }
    if !root().join(server.program()).is_file() {
        return Some(format!("{server} is not unpacked; run tests/run"));
    }
    let programs = [client.program(), "openssl"];
    let absent = programs.into_iter().find(|program| !on_path(program))?;
    Some(format!("{absent} is not installed; run tests/run"))
}

/// `LD_LIBRARY_PATH` of the unpacked servers.
pub fn library_path() -> String {
    let root = root();
    let folders = std::fs::read_dir(root.join("usr/lib")).into_iter().flatten().flatten();
    let multiarch =
        folders.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("-linux-"));
    let paths = multiarch.flat_map(|path| {
        let name = path.file_name().expect("an entry of a folder has a name").to_owned();
        [root.join("lib").join(name), path]
    });
    paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn namespaces_work() -> bool {
    static WORK: OnceLock<bool> = OnceLock::new();
    *WORK.get_or_init(|| {
        Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "true"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}
