//! ProFTPD: an account of its own user file.

use std::process::Command;

use super::{ServerKind, ServerTls, Site, USER, USER_ID};
use crate::peers::packages;

/// Writes the configuration, and gives the command line.
pub(super) fn configure(tls: ServerTls, site: &Site<'_>) -> Command {
    let ServerTls::Off = tls;
    site.write("users", &site.account(&site.hash));
    site.write("groups", &format!("{USER}:x:{USER_ID}:\n"));

    let port = site.address.port();
    let address = site.address.ip();
    let (users, groups) = (site.path("users"), site.path("groups"));
    let (pid, scoreboard) = (site.path("proftpd.pid"), site.path("scoreboard"));
    site.write(
        "proftpd.conf",
        &format!(
            "\
ServerName test
ServerType standalone
DefaultAddress {address}
SocketBindTight on
Port {port}
UseIPv6 off
UseReverseDNS off
User nobody
Group nogroup
MaxInstances 400
PidFile {pid}
ScoreboardFile {scoreboard}
AuthOrder mod_auth_file.c
AuthUserFile {users}
AuthGroupFile {groups}
RequireValidShell off
DelayEngine off
DefaultRoot ~
Umask 022
AllowOverwrite on
AllowStoreRestart on
AllowRetrieveRestart on
SyslogLevel error
TransferLog none
WtmpLog off
"
        ),
    );
    let mut command = Command::new(packages::root().join(ServerKind::ProFtpd.program()));
    command.args(["--nodaemon", "--config", &site.path("proftpd.conf")]);
    command
}
