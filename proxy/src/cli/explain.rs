//! `explain`: what policy says of one command, and why.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use ftpsgate_ftp::codec::Command;
use ftpsgate_policies::request::TlsVersion;

use crate::config::{
    self, AskedCommand, AskedTime, CertificatePart, Choice, Diagnostics, Question, SyntaxError,
    parse_certificate, parse_command, parse_local_time, parse_size,
};
use crate::logging::color_on_stderr;
use crate::question;

use super::output::{print, print_json, say};
use super::{CliError, ConfigFile, Exit};

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ExplainArgs {
    /// Where the policy comes from.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Judge by the policy of this file instead: a configuration, or a policy file that stands for all rules
    #[arg(long, value_name = "FILE")]
    pub with: Option<PathBuf>,
    /// The user name that the client gives; without: before USER
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    pub from: IpAddr,
    /// The listener's name; without: the first one
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
    /// The name that the client asks for in its TLS handshake; routes look at it
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,
    /// The name that the client gives with HOST, before USER; routes look at it
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// The backend's name; without: where the routes lead
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// When, such as 2026-11-22T15:00:00+01:00, or "2026-11-22 15:00" by the clock of this machine; without: now
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<AskedTime>,
    /// TLS on the control connection: 1.2, 1.3 or none; without: 1.3, on plain listeners none
    #[arg(long, value_name = "VERSION", value_parser = tls)]
    pub tls: Option<AskedTls>,
    /// The client's certificate: its subject such as CN=acme-7, or a part, san:NAME, sha256/HASH; may be repeated
    #[arg(long = "certificate", value_name = "SUBJECT", value_parser = certificate)]
    pub certificates: Vec<CertificatePart>,
    /// The session's working directory
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub directory: String,
    /// How much is uploaded, such as 20MiB; what is announced is a command: "ALLO 1000" before "STOR a"
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub size: Option<u64>,
    /// The file that is uploaded is there already
    #[arg(long)]
    pub exists: bool,
    /// What is renamed or copied is a directory
    #[arg(long)]
    pub is_directory: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
    /// What the client sends, such as "STOR /in/a.csv"; of several commands the last one is explained
    #[arg(required = true, value_name = "COMMAND", value_parser = command)]
    pub commands: Vec<AskedCommand>,
}

/// A version of TLS, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedTls(Option<TlsVersion>);

/// Explains one decision.
///
/// # Errors
///
/// An invalid configuration, a question about what is not in it, or standard output that cannot be written.
pub fn run(args: ExplainArgs) -> Result<Exit, CliError> {
    let loaded = match &args.with {
        None => config::load(&args.file.path)?,
        Some(with) => config::load_with(&args.file.path, with)?,
    };
    say(&Diagnostics::new(loaded.warnings.clone()).render(color_on_stderr()));
    let is_json = args.json;
    let answer = question::ask(&loaded.config, &args.into_question()?).map_err(CliError::Question)?;
    if is_json {
        print_json(&answer.to_json())?;
    } else {
        print(&answer.render())?;
    }
    Ok(if answer.is_allowed() { Exit::Success } else { Exit::Denied })
}

impl ExplainArgs {
    pub(super) fn into_question(self) -> Result<Question, CliError> {
        let mut commands = self.commands;
        let command = commands.pop().expect("clap asks for one command at least");
        let before: Option<Vec<Command>> = commands
            .into_iter()
            .map(|command| match command {
                AskedCommand::Command(command) => Some(command),
                AskedCommand::Connect => None,
            })
            .collect();
        Ok(Question {
            user: self.user,
            from: self.from,
            listener: self.listener,
            backend: self.backend,
            sni: self.sni,
            host: self.host,
            tls: self.tls.map(|AskedTls(version)| version),
            certificates: self.certificates,
            at: self.at,
            directory: self.directory,
            size_bytes: self.size,
            exists: self.exists,
            is_directory: self.is_directory,
            before: before
                .ok_or_else(|| CliError::Question("CONNECT comes before every command".to_owned()))?,
            command,
        })
    }
}

fn time(text: &str) -> Result<AskedTime, String> {
    parse_local_time(text).map_err(|error| sentence(&error))
}

fn tls(text: &str) -> Result<AskedTls, String> {
    let version = Option::<TlsVersion>::from_word(text);
    version.map(AskedTls).ok_or_else(|| "write 1.2, 1.3 or none".to_owned())
}

fn certificate(text: &str) -> Result<CertificatePart, String> {
    parse_certificate(text).map_err(|error| sentence(&error))
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|error| format!("{error}; {}", error.hint()))
}

fn command(text: &str) -> Result<AskedCommand, String> {
    parse_command(text).map_err(|error| sentence(&error))
}

fn sentence(error: &SyntaxError) -> String {
    format!("{}; {}", error.message, error.hint)
}

const AFTER_HELP: &str = "\
The decision goes to standard output, with the rule and where it stands, the reply that the client would read, and \
for every rule before it what did not match. A session is played for it against a server that is only imagined and \
says yes to everything; nothing is dialled. What only a server knows is yours to say: --exists, --is-directory, \
--directory. What was not told and would matter is said as `assuming:`.

Examples:
  ftpsgate explain --user partner-7 --from 198.51.100.9 \"STOR /in/a.csv\"
  ftpsgate explain --user anna --from 10.0.0.7 --at \"2026-11-22 03:00\" \"RETR /reports/q3.csv\"
  ftpsgate explain --user anna --from 10.0.0.7 \"RNFR /in/a\" \"RNTO /out/a\"
  ftpsgate explain --user anna --from 10.0.0.7 \"ALLO 5000000\" \"STOR /in/a\"
  ftpsgate explain --user anna@ftp.example.com --from 10.0.0.7 --listener any \"RETR a\"
  ftpsgate explain --from 203.0.113.9 CONNECT

Exit codes: 0 if the gateway lets it through; 4 if it is denied; 78 if the configuration is invalid.";
