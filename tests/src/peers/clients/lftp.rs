//! lftp: a script of its own commands.

use std::path::Path;
use std::process::Command;

use super::{ClientKind, DataWay, How, Listing, Login, Protection, Step, quoted, write_script};

/// The command line that does all of `steps`.
pub(super) fn command(login: &Login, steps: &[Step], scratch: &Path) -> Command {
    let mut script = SETTINGS.to_owned();
    let (scheme, version) = match login.protection {
        Protection::Off => ("ftp", None),
        Protection::Explicit(version) => ("ftp", Some(version)),
        Protection::Implicit(version) => ("ftps", Some(version)),
    };
    if login.data == DataWay::Active {
        script += "set ftp:passive-mode false\n";
    }
    match version {
        None => script += "set ftp:ssl-allow false\n",
        Some(version) => {
            let ca_file = quoted(&login.ca_file.display().to_string());
            script += "set ftp:ssl-force true\nset ftp:ssl-protect-data true\n";
            script += &format!("set ssl:ca-file {ca_file}\n");
            script += &format!("set ssl:priority NORMAL:-VERS-ALL:+VERS-TLS{}\n", version.number());
        }
    }
    script += &format!("open -u {},{} {scheme}://{}\n", login.user, quoted(&login.password), login.address);
    for step in steps {
        script += &line(step);
        script.push('\n');
    }
    let script = write_script(scratch, &script);

    let mut command = Command::new(ClientKind::Lftp.program());
    command.arg("--norc").arg("-f").arg(script);
    // lftp keeps files in the home folder.
    command.env("LFTP_HOME", scratch).env("HOME", scratch);
    // Names of files are UTF-8 on every side.
    command.env("LC_ALL", "C.UTF-8");
    command
}

const SETTINGS: &str = "\
set cmd:fail-exit true
set cmd:interactive false
set net:timeout 20
set net:max-retries 1
set net:persist-retries 0
set xfer:clobber true
set cache:enable false
set ftp:charset UTF-8
set ftp:auto-passive-mode false
";

fn line(step: &Step) -> String {
    let quoted_path = |path: &Path| quoted(&path.display().to_string());
    match step {
        Step::Put { how, local, remote } => {
            format!("put {} {} -o {}", option(*how), quoted_path(local), quoted(remote))
        }
        Step::Append { tail: _, whole, remote } => {
            format!("put -c {} -o {}", quoted_path(whole), quoted(remote))
        }
        Step::Get { how, remote, local } => {
            format!("get {} {} -o {}", option(*how), quoted(remote), quoted_path(local))
        }
        Step::List { form, folder, local } => {
            let (folder, local) = (quoted(folder), quoted_path(local));
            match form {
                Listing::Long => format!("ls {folder} > {local}"),
                Listing::Names => format!("nlist {folder} > {local}"),
                Listing::Facts => {
                    format!("set ftp:use-mlsd true\ncls {folder} > {local}\nset ftp:use-mlsd false")
                }
            }
        }
        Step::MakeFolder(folder) => format!("mkdir {}", quoted(folder)),
        Step::RemoveFolder(folder) => format!("rmdir {}", quoted(folder)),
        Step::Rename(from, to) => format!("mv {} {}", quoted(from), quoted(to)),
        Step::Delete(remote) => format!("rm {}", quoted(remote)),
        // The reader goes away after the first bytes; that is a failure in lftp's eyes.
        Step::Abort(remote) => format!(
            "set cmd:fail-exit false\ncat {} | head -c 1000 > /dev/null\nset cmd:fail-exit true",
            quoted(remote)
        ),
        Step::Refused(..) => unreachable!("lftp would try again"),
    }
}

fn option(how: How) -> &'static str {
    match how {
        How::Whole => "",
        How::Resume => "-c",
        How::Text => "-a",
    }
}
