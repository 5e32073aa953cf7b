//! Pure-FTPd: a virtual account of a PureDB; everything else is options.

use std::process::Command;

use super::{ServerKind, ServerTls, Site, USER, USER_ID};
use crate::peers::packages;

/// Writes the user database, and gives the command line.
///
/// # Panics
///
/// If `pure-pw` refuses the account.
pub(super) fn configure(tls: ServerTls, site: &Site<'_>) -> Command {
    let root = site.path("root");
    site.write("users", &format!("{USER}:{}:{USER_ID}:{USER_ID}::{root}/./::::::::::::\n", site.hash));
    let (users, database) = (site.path("users"), site.path("users.pdb"));
    let made = Command::new(packages::root().join("usr/bin/pure-pw"))
        .args(["mkdb", &database, "-f", &users])
        .env("LD_LIBRARY_PATH", packages::library_path())
        .status()
        .expect("pure-pw is a part of the package");
    assert!(made.success(), "pure-pw refuses the account");

    let mut command = Command::new(packages::root().join(ServerKind::PureFtpd.program()));
    command.args(["--bind", &format!("{},{}", site.address.ip(), site.address.port())]);
    command.args(["--login", &format!("puredb:{database}")]);
    command.args(["--pidfile", &site.path("pure-ftpd.pid")]);
    command.args(["--maxclientsnumber", "400", "--maxclientsperip", "400"]);
    command.args(["--noanonymous", "--chrooteveryone", "--dontresolve"]);
    command.args(["--umask", "022:022", "--syslogfacility", "none"]);
    match tls {
        ServerTls::Off => {}
        ServerTls::Explicit => {
            command.args(["--tls", "2", "--certfile", &site.path("both.pem")]);
        }
        ServerTls::Implicit => unreachable!("Pure-FTPd has no implicit TLS"),
    }
    command
}
