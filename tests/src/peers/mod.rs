//! Real peers: the FTP servers and clients of a Debian system, and what both are made to do together.
//!
//! `tests/run` fetches the servers and installs the clients. Where one is missing, or where the tests do not run
//! as root (the servers need a mount namespace), [`prepare`] says so and the test counts as skipped.
//!
//! - [`packages`] knows where the programs are, and which are missing;
//! - [`servers`] starts vsftpd, ProFTPD and Pure-FTPd, each in a namespace of its own;
//! - [`clients`] drives curl, lftp and Python's ftplib by one list of [`clients::Step`]s;
//! - [`scene`] puts a client before a server, with or without the gateway between them;
//! - [`scenarios`] are what every pair of them has to get right;
//! - [`process`] runs a program under a deadline; [`samples`] makes files and compares them.

use std::io::Write;

pub mod clients;
pub mod packages;
pub mod process;
pub mod samples;
pub mod scenarios;
pub mod scene;
pub mod servers;

use self::clients::ClientKind;
use self::servers::ServerKind;

/// Whether this test can run with these peers. Where it cannot, one line on standard error says which test was
/// skipped, and why: `tests/run` counts those lines.
pub fn prepare(server: ServerKind, client: ClientKind) -> bool {
    let Some(reason) = packages::missing(server, client) else { return true };
    skip(&reason);
    false
}

/// Says on standard error that the test of this thread is skipped, and why.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {reason}\n", thread.name().unwrap_or("unnamed test"));
    // Not `eprintln!`: libtest captures that, and shows it of failed tests only.
    std::io::stderr().write_all(line.as_bytes()).expect("standard error can be written");
}
