//! The gateway's end of the admin socket.
//!
//! Whoever connects must be root, or have the gateway's own user or group; others are cut off unheard. The file's mode
//! says the same, but a directory may have been opened too far. Requests have a bound and a deadline, and there are
//! only so many connections at a time: nobody can hold more of the gateway than that.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{getegid, geteuid};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::{REQUEST_BYTES_MAX, Request, Unlock, VERSION, Verb, status};
use crate::audit::text::{escape, unescape};
use crate::limits::SharedLimits;
use crate::server::Server;

/// Who answers requests.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The gateway.
    pub server: Arc<Server>,
    /// Reloads are one after the other, with those that signals ask for.
    pub reloads: mpsc::Sender<Reload>,
}

/// A reload that was asked for.
#[derive(Debug)]
pub struct Reload {
    /// For the reason why it failed, or what is doubtful about the new configuration.
    pub answer: oneshot::Sender<Result<Vec<String>, String>>,
}

/// The socket; dropping it removes it, but not what has taken its place.
#[derive(Debug)]
pub struct AdminSocket {
    path: PathBuf,
    /// Which file it is. While the listener is there, no other can have that number.
    inode: Inode,
    _task: AbortOnDropHandle<()>,
}

impl AdminSocket {
    /// Opens the socket, and answers on it from now on. A socket that a gateway left behind that is gone is replaced.
    ///
    /// # Errors
    ///
    /// The system's; `AddrInUse` where another gateway answers there, `AlreadyExists` where there is something else than
    /// a socket.
    pub fn open(path: &Path, desk: Desk) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        make_way(path)?;
        let listener = UnixListener::bind(path)?;
        let inode = inode(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
        info!(path = %path.display(), "admin socket");
        let task = AbortOnDropHandle::new(tokio::spawn(accept(listener, desk)));
        Ok(Self { path: path.to_owned(), inode, _task: task })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let removed = inode(&self.path).and_then(|found| match found == self.inode {
            true => std::fs::remove_file(&self.path),
            false => Err(io::Error::other("another file has taken its place")),
        });
        if let Err(error) = removed {
            warn!(path = %self.path.display(), %error, "the admin socket cannot be removed");
        }
    }
}

/// A device and a number on it.
type Inode = (u64, u64);

/// What stands at the path itself, not where a link there leads.
fn inode(path: &Path) -> io::Result<Inode> {
    std::fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Removes a socket on which nobody listens, and nothing else: a path written by mistake may be that of any file.
fn make_way(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            let problem = "there is something else than a socket, and it stays";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
        }
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

async fn accept(listener: UnixListener, desk: Desk) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = desk.clone();
                tokio::spawn(async move {
                    serve(stream, &desk).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "the admin socket cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(mut stream: UnixStream, desk: &Desk) {
    match stream.peer_cred() {
        Ok(peer) if is_trusted(peer.uid(), peer.gid()) => {}
        Ok(peer) => return warn!(uid = peer.uid(), gid = peer.gid(), "a stranger at the admin socket"),
        Err(error) => return warn!(%error, "nobody knows who is at the admin socket"),
    }
    let mut answer = match timeout(REQUEST_TIMEOUT, read_line(&mut stream)).await {
        Ok(Ok(line)) => match parse(&line) {
            Ok(verb) => perform(verb, desk).await,
            Err(error) => refusal(&error),
        },
        Ok(Err(error)) => refusal(&error.to_string()),
        Err(_) => refusal("the request did not come in time"),
    };
    answer["version"] = VERSION.into();
    let text = format!("{answer}\n");
    // Who asks and does not listen is gone, or soon is.
    let _ = timeout(REQUEST_TIMEOUT, stream.write_all(text.as_bytes())).await;
}

fn is_trusted(uid: u32, gid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw() || gid == getegid().as_raw()
}

async fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut part = [0; 512];
    loop {
        let count = stream.read(&mut part).await?;
        line.extend_from_slice(&part[..count]);
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.len() > REQUEST_BYTES_MAX {
            return Err(io::Error::other(format!("a request has up to {REQUEST_BYTES_MAX} bytes")));
        }
    }
}

fn parse(line: &[u8]) -> Result<Verb, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))?;
    match value["version"].as_u64() {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            return Err(format!("version {version} is not understood; this gateway speaks {VERSION}"));
        }
        None => return Err("the request names no version".to_owned()),
    }
    serde_json::from_value(value)
        .map(|request: Request| request.verb)
        .map_err(|error| format!("not a request: {error}"))
}

async fn perform(verb: Verb, desk: &Desk) -> Value {
    match verb {
        Verb::Status => status::status(&desk.server).await,
        Verb::Unlock(unlock) => {
            let limits = desk.server.limits();
            let (whom, unlocked) = match &unlock {
                Unlock::Address(address) => (address.to_string(), limits.unlock_address(*address)),
                Unlock::Network(network) => (network.to_string(), limits.unlock_network(*network)),
                Unlock::User(user) => (escape(user.as_bytes()).into_owned(), unlock_user(limits, user)),
            };
            info!(target: "audit", whom, unlocked, "unlocked by an operator");
            json!({ "ok": true, "unlocked": unlocked })
        }
        Verb::Reload => {
            let (answer, answered) = oneshot::channel();
            let asked = desk.reloads.send(Reload { answer }).await.is_ok();
            match timeout(RELOAD_TIMEOUT, answered).await {
                Ok(Ok(Ok(warnings))) => json!({ "ok": true, "warnings": warnings }),
                Ok(Ok(Err(reason))) => refusal(&reason),
                Ok(Err(_)) => refusal("the gateway is stopping"),
                Err(_) if asked => refusal("the reload takes long; the log says how it ends"),
                Err(_) => refusal("the gateway is stopping"),
            }
        }
    }
}

/// As it is, and as `status` writes it.
fn unlock_user(limits: &SharedLimits, user: &str) -> usize {
    let written = unescape(user).map_or(0, |name| limits.unlock_user(&name));
    written + limits.unlock_user(user.as_bytes())
}

fn refusal(error: &str) -> Value {
    json!({ "ok": false, "error": error })
}

/// At a time; operators and their scripts.
const CONNECTIONS_MAX: usize = 16;
/// For a request to come, and for its answer to be taken.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the client's patience.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_understood_or_refused_with_the_reason() {
        let verb = |line: &str| parse(line.as_bytes());
        assert_eq!(verb(r#"{"version":1,"verb":"status"}"#), Ok(Verb::Status));
        assert_eq!(verb(r#"{"version":1,"verb":"reload"}"#), Ok(Verb::Reload));
        let address = Unlock::Address("192.0.2.7".parse().unwrap());
        assert_eq!(verb(r#"{"version":1,"verb":"unlock","address":"192.0.2.7"}"#), Ok(Verb::Unlock(address)));
        let network = Unlock::Network("192.0.2.0/24".parse().unwrap());
        assert_eq!(
            verb(r#"{"version":1,"verb":"unlock","network":"192.0.2.0/24"}"#),
            Ok(Verb::Unlock(network))
        );
        let user = Unlock::User("anna".into());
        assert_eq!(verb(r#"{"version":1,"verb":"unlock","user":"anna"}"#), Ok(Verb::Unlock(user)));
        for (line, part) in [
            ("", "not a request"),
            ("{}", "no version"),
            (r#"{"version":2,"verb":"status"}"#, "version 2"),
            (r#"{"version":1,"verb":"stop"}"#, "unknown variant"),
            (r#"{"version":1,"verb":"unlock"}"#, "not a request"),
            (r#"{"version":1,"verb":"unlock","address":"x"}"#, "not a request"),
        ] {
            let error = verb(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for verb in [
            Verb::Status,
            Verb::Reload,
            Verb::Unlock(Unlock::Address("2001:db8::1".parse().unwrap())),
            Verb::Unlock(Unlock::Network("::/48".parse().unwrap())),
            Verb::Unlock(Unlock::User("anna".into())),
        ] {
            let line = serde_json::to_vec(&Request { version: VERSION, verb: verb.clone() }).unwrap();
            assert_eq!(parse(&line), Ok(verb));
        }
    }

    #[test]
    fn a_file_at_the_sockets_path_is_not_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&file, "precious").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            let error = make_way(path).unwrap_err();
            assert!(error.to_string().contains("something else than a socket"), "{error}");
        }
        assert_eq!(std::fs::read(&link).unwrap(), b"precious");
        let left_over = directory.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&left_over).unwrap());
        make_way(&left_over).unwrap();
        assert!(!left_over.exists());
        make_way(&left_over).unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_another_gateway_put_in_its_place_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let inode = inode(&path).unwrap();
        let task = tokio::spawn(async move {
            listener.accept().await.ok();
        });
        let ours = AdminSocket { path: path.clone(), inode, _task: AbortOnDropHandle::new(task) };
        std::fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
    }

    #[test]
    fn root_and_our_own_are_trusted() {
        assert!(is_trusted(0, 12345) && is_trusted(geteuid().as_raw(), 12345));
        assert!(is_trusted(12345, getegid().as_raw()) && !is_trusted(12345, 12345));
    }
}
