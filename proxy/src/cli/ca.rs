//! `ca`: the local certificate authority.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ftpsgate_certs::{Authority, Error, SubjectName};
use tempfile::NamedTempFile;

use crate::config;

use super::CliError;
use super::output::{print, say};
use super::source::DEFAULT_CONFIG_FILE;
use super::trust::Trust;

/// Arguments of `ca`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct CaArgs {
    /// Take the state directory from this configuration file [default: /etc/ftpsgate/ftpsgate.toml, if there]
    #[arg(short = 'c', long = "config", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The state directory
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "config")]
    pub state_dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: CaCommand,
}

/// What `ca` does.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make the local CA, unless there is one
    Init,
    /// Write the CA's certificate to standard output, and to standard error how clients are made to trust it
    Root,
    /// Issue a server certificate
    #[command(after_help = ISSUE_AFTER_HELP)]
    Issue(IssueArgs),
}

/// Arguments of `ca issue`.
#[derive(Debug, Args)]
pub struct IssueArgs {
    /// A DNS name or an address that the certificate is for; may be repeated
    #[arg(long = "name", value_name = "NAME", required = true)]
    pub names: Vec<SubjectName>,
    /// For how many days it is valid
    #[arg(long, default_value_t = 397)]
    pub days: u32,
    /// Directory for NAME.pem and NAME.key, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
}

/// Uses the CA.
///
/// # Errors
///
/// A CA that cannot be made or used, an invalid configuration, files that cannot be written.
pub fn run(args: &CaArgs) -> Result<(), CliError> {
    let state_dir = state_dir(args)?;
    match &args.command {
        CaCommand::Init => {
            let authority = open(&state_dir)?;
            print(&format!("{}\nSHA-256 {}\n", authority.directory().display(), authority.fingerprint()))
        }
        CaCommand::Root => {
            let authority = open(&state_dir)?;
            say(&instructions(&authority));
            print(authority.root_pem())
        }
        CaCommand::Issue(args) => issue(&open(&state_dir)?, args),
    }
}

fn state_dir(args: &CaArgs) -> Result<PathBuf, CliError> {
    let default_file = Path::new(DEFAULT_CONFIG_FILE);
    match (&args.state_dir, &args.config) {
        (Some(directory), _) => Ok(directory.clone()),
        (None, Some(file)) => Ok(config::load(file)?.config.gateway.state_dir),
        (None, None) if default_file.exists() => Ok(config::load(default_file)?.config.gateway.state_dir),
        (None, None) => Ok(config::default_state_dir()),
    }
}

/// Opens the CA, or makes one and says so: a gateway that runs as another user may have another.
fn open(state_dir: &Path) -> Result<Authority, CliError> {
    match Authority::open(state_dir) {
        Err(Error::AuthorityMissing { .. }) => {
            let authority = Authority::open_or_create(state_dir)?;
            say(&format!(
                "A new local CA was made in {}. A gateway with another state directory has another CA.\n\n",
                authority.directory().display()
            ));
            Ok(authority)
        }
        opened => Ok(opened?),
    }
}

fn instructions(authority: &Authority) -> String {
    let trust = Trust {
        ca_file: "ftpsgate-ca.pem",
        host: "ftp.example.com",
        explicit: Some(21),
        implicit: Some(990),
        fingerprint: &authority.fingerprint().to_string(),
    };
    trust.instructions()
}

fn issue(authority: &Authority, args: &IssueArgs) -> Result<(), CliError> {
    let issued = authority.issue(&args.names, args.days)?;
    let Some(first) = args.names.first() else { return Err(Error::Nameless.into()) };
    // A name is letters, digits, dots and hyphens, or an address; only a wildcard needs another spelling.
    let stem = first.to_string().replace('*', "_");
    let (chain, key) = (args.out.join(format!("{stem}.pem")), args.out.join(format!("{stem}.key")));
    fs::create_dir_all(&args.out).map_err(|source| CliError::Write { path: args.out.clone(), source })?;
    if let (false, Some(there)) = (args.force, [&chain, &key].into_iter().find(|path| path.exists())) {
        return Err(CliError::Exists(there.clone()));
    }
    write(&key, issued.key_pem.expose(), 0o600)?;
    write(&chain, &issued.chain_pem, 0o644)?;
    // Paths in a configuration are relative to its file, wherever that is.
    let quoted = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        toml::Value::from(path.to_string_lossy().into_owned())
    };
    print(&format!(
        "# SHA-256 {}\n[tls.default]\ncertificates = [{{ chain = {}, key = {} }}]\n",
        issued.fingerprint,
        quoted(&chain),
        quoted(&key)
    ))
}

/// Puts a whole file in place at once: a gateway that watches it never reads half of it.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let place = || {
        // Temporary files are born with mode 0600.
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    place().map_err(|source| CliError::Write { path: path.to_owned(), source })
}

const AFTER_HELP: &str = "\
Without certificates of your own, the gateway mints them with a CA that it keeps in its state directory. \
Clients verify them once they trust that CA's certificate.

Examples:
  ftpsgate ca root > ftpsgate-ca.pem
  ftpsgate ca issue --name ftp.example.com --out certs";

const ISSUE_AFTER_HELP: &str = "\
Writes NAME.pem and NAME.key (mode 0600), NAME being the first one, and prints the lines that make the \
gateway use them. A running gateway sees replaced files by itself.";
