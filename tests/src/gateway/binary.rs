//! Finds the binary under test, and has cargo bring it up to date once per test process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The `ftpsgate` binary of the profile under which the tests were built.
///
/// `FTPSGATE_BIN` names another one, for tests of an installed package; then nothing is built.
///
/// # Panics
///
/// If there is no binary and none can be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("FTPSGATE_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// Cargo's target folder.
///
/// # Panics
///
/// If the running test does not lie in a target folder.
pub fn target_directory() -> &'static Path {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    TARGET.get_or_init(|| {
        let profile = profile_directory();
        profile.parent().expect("a profile's folder lies in the target folder").to_owned()
    })
}

/// A binary that merely exists may be older than the sources, since cargo does not build another package's
/// binaries for a test; so cargo decides. Its own lock keeps parallel test processes apart.
fn build() -> PathBuf {
    let profile_directory = profile_directory();
    let profile = match profile_directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "ftpsgate", "--bin", "ftpsgate", "--profile", profile])
        .arg("--target-dir")
        .arg(target_directory())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .stdin(Stdio::null())
        .status()
        .expect("cargo starts");
    assert!(status.success(), "cargo could not build the binary under test");
    profile_directory.join("ftpsgate")
}

/// `target/debug`, from `target/debug/deps/TEST`.
fn profile_directory() -> PathBuf {
    let executable = std::env::current_exe().expect("a test knows its own path");
    let directory = executable.parent().expect("an executable lies in a folder");
    if directory.ends_with("deps") || directory.ends_with("examples") {
        directory.parent().expect("deps lies in a profile's folder").to_owned()
    } else {
        directory.to_owned()
    }
}
