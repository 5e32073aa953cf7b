//! curl: a configuration file with one section for each step; sections share the connection.

use std::path::Path;
use std::process::Command;

use super::{ClientKind, DataWay, How, Listing, Login, Protection, Step, quoted, write_script};

/// The command line that does all of `steps`.
pub(super) fn command(login: &Login, steps: &[Step], scratch: &Path) -> Command {
    let sections = steps.iter().map(|step| section(login, step)).collect::<Vec<_>>();
    let script = write_script(scratch, &sections.join("next\n"));
    let mut command = Command::new(ClientKind::Curl.program());
    // --disable: no file of the user's is read.
    command.args(["--disable", "--silent", "--show-error", "--fail-early", "--config"]).arg(script);
    command
}

fn section(login: &Login, step: &Step) -> String {
    let mut section = Section::new(login);
    match step {
        Step::Put { how, local, remote } => {
            section.set("upload-file", &local.display().to_string());
            match how {
                How::Whole => {}
                // curl asks for SIZE, and appends.
                How::Resume => section.set("continue-at", "-"),
                How::Text => section.flag("use-ascii"),
            }
            section.url(remote);
        }
        Step::Append { tail, whole: _, remote } => {
            section.set("upload-file", &tail.display().to_string());
            section.flag("append");
            section.url(remote);
        }
        Step::Get { how, remote, local } => {
            section.set("output", &local.display().to_string());
            match how {
                // No SIZE: curl 7.88 looks for its answer only after 200 ms, since it waits for the data
                // connection, which here says nothing before RETR.
                How::Whole => section.flag("ignore-content-length"),
                How::Resume => section.set("continue-at", "-"),
                How::Text => section.flag("use-ascii"),
            }
            section.url(remote);
        }
        Step::List { form, folder, local } => {
            section.set("output", &local.display().to_string());
            match form {
                Listing::Long => {}
                Listing::Names => section.flag("list-only"),
                Listing::Facts => section.set("request", "MLSD"),
            }
            section.url(&format!("{folder}/"));
        }
        Step::MakeFolder(folder) => section.quote(&[&format!("MKD {folder}")]),
        Step::RemoveFolder(folder) => section.quote(&[&format!("RMD {folder}")]),
        Step::Rename(from, to) => section.quote(&[&format!("RNFR {from}"), &format!("RNTO {to}")]),
        Step::Delete(remote) => section.quote(&[&format!("DELE {remote}")]),
        Step::Abort(remote) => {
            // Enough of it being there, curl closes the data connection, and then the control connection.
            section.set("range", "0-999");
            section.set("output", "/dev/null");
            section.url(remote);
        }
        Step::Refused(..) => unreachable!("curl ends at the first refusal"),
    }
    section.text
}

/// The options of one transfer.
struct Section {
    text: String,
    base: String,
}

impl Section {
    fn new(login: &Login) -> Self {
        let (scheme, tls) = match login.protection {
            Protection::Off => ("ftp", None),
            Protection::Explicit(version) => ("ftp", Some(version)),
            Protection::Implicit(version) => ("ftps", Some(version)),
        };
        let mut section = Self { text: String::new(), base: format!("{scheme}://{}", login.address) };
        // Where the first command of a transfer is EPSV, and its answer is there at once, curl 7.88 sleeps for
        // a second before it connects.
        section.set("quote", "NOOP");
        section.set("user", &format!("{}:{}", login.user, login.password));
        if login.data == DataWay::Active {
            section.set("ftp-port", "-");
        }
        if let Some(version) = tls {
            section.flag(match login.data {
                DataWay::Passive => "ssl-reqd",
                DataWay::Active => "ftp-ssl-control",
            });
            section.flag(&format!("tlsv{}", version.number()));
            section.set("tls-max", version.number());
            section.set("cacert", &login.ca_file.display().to_string());
        }
        section
    }

    fn set(&mut self, option: &str, value: &str) {
        self.text += &format!("{option} = {}\n", quoted(value));
    }

    fn flag(&mut self, option: &str) {
        self.text += &format!("{option}\n");
    }

    fn url(&mut self, path: &str) {
        let encoded = path.bytes().map(|byte| match byte {
            b'/' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        });
        let url = format!("{}{}", self.base, encoded.collect::<String>());
        self.set("url", &url);
        // The server's replies, for the reader of a failed test. They hold no password.
        self.set("dump-header", "-");
    }

    /// Only these commands, and no transfer.
    fn quote(&mut self, commands: &[&str]) {
        for command in commands {
            self.set("quote", command);
        }
        self.flag("head");
        self.url("/");
    }
}
