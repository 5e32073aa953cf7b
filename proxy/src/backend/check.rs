//! Looking after servers: one task for each, which visits it again and again.
//!
//! A task never has two checks under way: one that takes longer than `every` delays the next. Where checks do not get
//! as far as a greeting, the task asks once for the server's features and then, for `off`, is done.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use ftpsgate_ftp::client::{Client, Login, Plan};
use ftpsgate_ftp::codec::{Command, FeatureSet, Kind, Protection, Verb};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;
use zeroize::Zeroizing;

use super::health::Observer;
use super::runner::{Seen, VisitError, knock, visit};
use super::{Backend, Server};
use crate::config::{BackendData, BackendTlsMode, CheckKind, CheckLogin};

/// Looks after one server for as long as it is polled. May be cancelled at any time.
pub async fn look_after(backend: Arc<Backend>, server: Arc<Server>) {
    match &backend.config().check.kind {
        CheckKind::Off => learn_features(&backend, &server).await,
        CheckKind::Tcp => {
            tokio::join!(learn_features(&backend, &server), check_for_ever(&backend, &server));
        }
        CheckKind::Greeting | CheckKind::Tls | CheckKind::Login(_) | CheckKind::Data(_) => {
            check_for_ever(&backend, &server).await;
        }
    }
}

/// The first check is at once: who is down should be known before the first session. The second comes after a random
/// part of the interval, so that servers that were configured together are not checked together.
async fn check_for_ever(backend: &Backend, server: &Server) {
    let every = backend.config().check.every;
    let mut pause = every.mul_f64(FIRST_PAUSE_MIN + (1.0 - FIRST_PAUSE_MIN) * random_fraction());
    loop {
        let next = Instant::now() + pause;
        check_and_report(backend, server).await;
        sleep_until(next).await;
        pause = every.mul_f64(1.0 + JITTER * (2.0 * random_fraction() - 1.0));
    }
}

async fn check_and_report(backend: &Backend, server: &Server) {
    match check(backend, server).await {
        Ok(()) => server.passed(Observer::Check),
        Err(error) => server.failed(Observer::Check, error),
    }
}

/// One check, of the configured kind.
async fn check(backend: &Backend, server: &Server) -> Result<(), CheckError> {
    let mut seen = Seen::default();
    let asks_features = server.features().is_none() || !server.is_up();
    let result = match &backend.config().check.kind {
        CheckKind::Off => return Ok(()),
        CheckKind::Tcp => return Ok(knock(backend, server, &mut seen).await?),
        CheckKind::Greeting => {
            visit(backend, server, Client::new(greeting_plan(asks_features)), &mut seen).await
        }
        CheckKind::Tls => {
            visit(backend, server, Client::new(tls_plan(backend, asks_features)), &mut seen).await
        }
        CheckKind::Login(login) => {
            let plan = login_plan(backend, asks_features, read_login(login).await?).quit();
            visit(backend, server, Client::new(plan), &mut seen).await
        }
        CheckKind::Data(login) => {
            let plan = login_plan(backend, asks_features, read_login(login).await?);
            let plan = listing(plan, backend, login.path.as_deref())?.quit();
            visit(backend, server, Client::new(plan), &mut seen).await
        }
    };
    remember_features(server, &seen);
    Ok(result?)
}

/// Why a server did not pass.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The visit failed.
    #[error(transparent)]
    Visit(#[from] VisitError),
    /// Who should log in is not known. That is no fault of the server's, but nothing is known of it either.
    #[error("the password file {}: {source}", file.display())]
    Password {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user, the password or the path has a line break or a NUL.
    #[error("the check's {0} cannot be sent in one line")]
    Unsendable(&'static str),
}

/// Greeting, perhaps FEAT, QUIT.
fn greeting_plan(asks_features: bool) -> Plan {
    ask_features(Plan::new(), asks_features).quit()
}

/// The same behind a verified handshake. With implicit TLS that was before the greeting.
fn tls_plan(backend: &Backend, asks_features: bool) -> Plan {
    ask_features(secured(backend), asks_features).quit()
}

/// Up to a login.
pub(super) fn login_plan(backend: &Backend, asks_features: bool, login: Login) -> Plan {
    ask_features(secured(backend), asks_features).login(login)
}

/// A plan whose user names and passwords travel as those of sessions do.
pub(super) fn secured(backend: &Backend) -> Plan {
    match backend.config().tls.as_ref().map(|tls| tls.mode) {
        Some(BackendTlsMode::Explicit) => Plan::new().secure(),
        Some(BackendTlsMode::Implicit) | None => Plan::new(),
    }
}

fn ask_features(plan: Plan, asks_features: bool) -> Plan {
    if asks_features { plan.ask(Command::bare(Verb::Feat)) } else { plan }
}

/// PBSZ, PROT, CWD, LIST.
///
/// # Errors
///
/// The path cannot be sent.
pub(super) fn listing(plan: Plan, backend: &Backend, path: Option<&str>) -> Result<Plan, CheckError> {
    let plan = match &backend.config().tls {
        Some(tls) if tls.protects_data => plan.protect(Protection::Private),
        Some(_) => plan.protect(Protection::Clear),
        None => plan,
    };
    let plan = match path {
        Some(path) => plan.command(Command::with(Verb::Cwd, path).ok_or(CheckError::Unsendable("path"))?),
        None => plan,
    };
    match backend.config().data {
        BackendData::Passive => Ok(plan.download(Command::bare(Verb::List))),
        // The client of checks has no ports of its own: a passive listing would say nothing about active ones.
        BackendData::Active(_) => Ok(plan),
    }
}

/// Reads the password anew each time: it may have been changed. It is wiped after use.
///
/// # Errors
///
/// The file cannot be read, or what stands there cannot be sent.
pub(super) async fn read_login(login: &CheckLogin) -> Result<Login, CheckError> {
    let file = login.password_file.clone();
    let read = tokio::task::spawn_blocking(move || read_password(&file)).await;
    let password = read.unwrap_or_else(|error| Err(io::Error::other(error)));
    let password =
        password.map_err(|source| CheckError::Password { file: login.password_file.clone(), source })?;
    Login::new(&login.user, password.as_slice()).ok_or(CheckError::Unsendable("user or password"))
}

/// A relative path is the name of a systemd credential.
fn read_password(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let file = match credentials {
        Some(directory) if file.is_relative() => Path::new(&directory).join(file),
        Some(_) | None => file.to_owned(),
    };
    if std::fs::metadata(&file)?.len() > PASSWORD_BYTES_MAX {
        return Err(io::Error::other(format!("longer than {PASSWORD_BYTES_MAX} bytes")));
    }
    let mut password = Zeroizing::new(std::fs::read(&file)?);
    for end in [b'\n', b'\r'] {
        if password.last() == Some(&end) {
            password.pop();
        }
    }
    Ok(password)
}

/// Asks until the server has answered once. Some clients ask only before their login, when there is no server of
/// theirs to ask, and would never learn of MLST.
async fn learn_features(backend: &Backend, server: &Server) {
    while server.features().is_none() {
        let mut seen = Seen::default();
        if let Err(error) = visit(backend, server, Client::new(Plan::features()), &mut seen).await {
            debug!(backend = server.backend(), %server, %error, "the server did not answer FEAT yet");
        }
        remember_features(server, &seen);
        if server.features().is_none() {
            sleep(LEARN_PAUSE).await;
        }
    }
}

/// A refusal is remembered only where nothing is: some servers answer FEAT after the login alone, and sessions have
/// told us already.
fn remember_features(server: &Server, seen: &Seen) {
    if let Some(reply) = &seen.features
        && (reply.kind() == Kind::Completion || server.features().is_none())
    {
        server.remember_features(FeatureSet::parse(reply));
    }
}

/// From 0 to 1.
fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    rand::fill(&mut bytes).expect("the system has a random source");
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

/// Of `every`, both ways.
const JITTER: f64 = 0.2;
/// Of `every`, before the second check.
const FIRST_PAUSE_MIN: f64 = 0.2;
/// Between two attempts to learn features.
const LEARN_PAUSE: Duration = Duration::from_secs(10);
/// Of a password file.
const PASSWORD_BYTES_MAX: u64 = 4096;

#[cfg(test)]
mod tests;
