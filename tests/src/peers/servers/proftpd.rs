//! ProFTPD: an account of its own user file, and the modules that bring commands with paths: SITE CPFR, MKDIR, SYMLINK, HASH….

use std::process::Command;

use super::{ServerKind, ServerTls, Site, USER, USER_ID};
use crate::peers::packages;

/// Writes the configuration, and gives the command line.
pub(super) fn configure(tls: ServerTls, site: &Site<'_>) -> Command {
    site.write("users", &site.account(&site.hash));
    site.write("groups", &format!("{USER}:x:{USER_ID}:\n"));

    let port = site.address.port();
    let address = site.address.ip();
    let (users, groups) = (site.path("users"), site.path("groups"));
    let (pid, scoreboard) = (site.path("proftpd.pid"), site.path("scoreboard"));
    let modules = packages::root().join("usr/lib/proftpd").display().to_string();
    let tls = tls_directives(tls, site);
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
ModulePath {modules}
LoadModule mod_copy.c
LoadModule mod_site_misc.c
LoadModule mod_digest.c
{tls}"
        ),
    );
    let mut command = Command::new(packages::root().join(ServerKind::ProFtpd.program()));
    command.args(["--nodaemon", "--config", &site.path("proftpd.conf")]);
    command
}

/// mod_tls with its defaults: data connections must resume the session of their control connection.
fn tls_directives(tls: ServerTls, site: &Site<'_>) -> String {
    let options = match tls {
        ServerTls::Off => return String::new(),
        ServerTls::Explicit => "",
        ServerTls::Implicit => "TLSOptions UseImplicitSSL",
    };
    let [certificate, key, authority, log] =
        ["server.pem", "server.key", "ca.pem", "tls.log"].map(|name| site.path(name));
    format!(
        "\
LoadModule mod_tls.c
TLSEngine on
TLSRequired on
TLSProtocol TLSv1.2 TLSv1.3
TLSECCertificateFile {certificate}
TLSECCertificateKeyFile {key}
TLSCACertificateFile {authority}
TLSVerifyClient off
TLSLog {log}
{options}
"
    )
}
