//! vsftpd: an account of the (private) system, checked by PAM against its (private) shadow.

use std::fs;
use std::process::Command;

use super::{ServerKind, ServerTls, Site, USER, USER_ID};
use crate::peers::packages;

/// Writes the configuration, and gives the command line.
pub(super) fn configure(tls: ServerTls, site: &Site<'_>) -> Command {
    let passwd = fs::read_to_string("/etc/passwd").expect("every system has one");
    let group = fs::read_to_string("/etc/group").expect("every system has one");
    site.write("etc/passwd", &(passwd + &site.account("x")));
    site.write("etc/group", &format!("{group}{USER}:x:{USER_ID}:\n"));
    site.write("etc/shadow", &format!("{USER}:{}:19000:0:99999:7:::\n", site.hash));
    site.write(
        "etc/pam.d/ftpsgate-test",
        "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n",
    );
    fs::create_dir(site.directory.join("empty")).expect("the folder can be written");

    let port = site.address.port();
    let address = site.address.ip();
    let empty = site.path("empty");
    let tls = tls_keys(tls, site);
    site.write(
        "vsftpd.conf",
        &format!(
            "\
background=NO
listen=YES
listen_ipv6=NO
listen_address={address}
listen_port={port}
max_clients=400
max_per_ip=400
anonymous_enable=NO
local_enable=YES
pam_service_name=ftpsgate-test
delay_failed_login=0
chroot_local_user=YES
allow_writeable_chroot=YES
secure_chroot_dir={empty}
seccomp_sandbox=NO
write_enable=YES
local_umask=022
utf8_filesystem=YES
ascii_upload_enable=YES
ascii_download_enable=YES
async_abor_enable=YES
ls_recurse_enable=YES
xferlog_enable=NO
{tls}"
        ),
    );
    let mut command = Command::new(packages::root().join(ServerKind::Vsftpd.program()));
    command.arg(site.path("vsftpd.conf"));
    command
}

/// As strict as it can be.
fn tls_keys(tls: ServerTls, site: &Site<'_>) -> String {
    let implicit = match tls {
        ServerTls::Off => return String::new(),
        ServerTls::Explicit => "NO",
        ServerTls::Implicit => "YES",
    };
    let (certificate, key) = (site.path("server.pem"), site.path("server.key"));
    format!(
        "\
ssl_enable=YES
implicit_ssl={implicit}
force_local_data_ssl=YES
force_local_logins_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
rsa_cert_file={certificate}
rsa_private_key_file={key}
"
    )
}
