//! One client before one server, and a folder on each side.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::clients::{ClientKind, DataWay, Login, Protection, Step, TlsVersion};
use super::process::{Outcome, Running};
use super::servers::{Server, ServerKind, ServerTls, USER};
use crate::gateway::{CANARY, Event, Gateway, GatewayOptions, ListenerOptions, wait_until};

/// A client, a server, and what stands between them.
#[derive(Debug)]
pub struct Scene {
    client: ClientKind,
    server: Arc<Server>,
    login: Login,
    /// The folder of this scene below the server's root.
    folder: String,
    /// The client's side.
    scratch: TempDir,
    /// What stands between them, if anything does.
    gateway: Option<Arc<Gateway>>,
}

impl Scene {
    /// The client talks plain FTP to the server itself: what fails here is not the gateway's fault.
    pub fn direct(client: ClientKind, server: ServerKind) -> Self {
        let server = Server::shared(server, CANARY);
        let address = server.address();
        Self::new(client, server, address, Protection::Off)
    }

    /// The client talks to a gateway of its own, whose `[tls.default]` has the lines `tls_keys`.
    ///
    /// # Panics
    ///
    /// If the gateway does not start.
    pub fn through_gateway(
        client: ClientKind,
        server: ServerKind,
        protection: Protection,
        tls_keys: &str,
    ) -> Self {
        let server = Server::shared(server, CANARY);
        let options = GatewayOptions::new(server.address()).listener(door(protection)).tls_keys(tls_keys);
        let gateway = Arc::new(Gateway::start(options));
        Self::before(client, server, gateway, protection)
    }

    /// A gateway before a server that speaks TLS itself, or does not, for any number of scenes. Towards the server it
    /// speaks `version` alone.
    pub fn gateway(server: &Server, protection: Protection, version: TlsVersion) -> Arc<Gateway> {
        let mode = match server.tls() {
            ServerTls::Off => None,
            ServerTls::Explicit => Some("explicit"),
            ServerTls::Implicit => Some("implicit"),
        };
        let number = version.number();
        let keys = mode.map_or_else(String::new, |mode| {
            format!(
                "tls = {mode:?}\ntls_ca = {:?}\ntls_min_version = {number:?}\ntls_max_version = {number:?}\n",
                server.ca_file().display().to_string(),
            )
        });
        let listener = match protection {
            Protection::Off => door(protection),
            // curl in active mode has no TLS on data connections.
            Protection::Explicit(_) | Protection::Implicit(_) => {
                door(protection).keys("require_tls = \"login\"")
            }
        };
        let options = GatewayOptions::new(server.address()).listener(listener).backend_keys(&keys);
        Arc::new(Gateway::start(options))
    }

    /// The client talks to this gateway before this server.
    ///
    /// # Panics
    ///
    /// If the gateway has no CA.
    pub fn before(
        client: ClientKind,
        server: Arc<Server>,
        gateway: Arc<Gateway>,
        protection: Protection,
    ) -> Self {
        let mut scene = Self::new(client, server, gateway.address("door"), protection);
        fs::write(&scene.login.ca_file, gateway.ca_root_pem()).expect("the scratch folder can be written");
        scene.gateway = Some(gateway);
        scene
    }

    /// The gateway connects to the client for data.
    pub fn active(mut self) -> Self {
        self.login.data = DataWay::Active;
        self
    }

    /// Which client it is.
    pub fn client(&self) -> ClientKind {
        self.client
    }

    /// Which server it is.
    pub fn server(&self) -> ServerKind {
        self.server.kind()
    }

    /// A file on the client's side.
    pub fn local(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A file of the scene's folder, as the client names it.
    pub fn remote(&self, name: &str) -> String {
        format!("/{}/{name}", self.folder)
    }

    /// The scene's folder, as the client names it.
    pub fn remote_folder(&self) -> String {
        format!("/{}", self.folder)
    }

    /// A file of the scene's folder, where the server keeps it.
    pub fn stored(&self, name: &str) -> PathBuf {
        self.server.root().join(&self.folder).join(name)
    }

    /// Starts a session that does all of `steps`.
    pub fn start(&self, steps: &[Step]) -> Running {
        self.start_as(&self.login, steps)
    }

    /// One session that does all of `steps`, and has to succeed.
    ///
    /// # Panics
    ///
    /// If the client fails, or was killed at its deadline.
    pub fn run(&self, steps: &[Step]) {
        let outcome = self.start(steps).finish();
        assert!(outcome.succeeded(), "{} failed: {outcome}", self.client);
    }

    /// One session, whose outcome is for the caller to judge.
    pub fn attempt(&self, steps: &[Step]) -> Outcome {
        self.start(steps).finish()
    }

    /// The same with another password.
    pub fn attempt_with_password(&self, password: &str, steps: &[Step]) -> Outcome {
        let login = Login { password: password.to_owned(), ..self.login.clone() };
        self.start_as(&login, steps).finish()
    }

    /// The same as [`Scene::run`], and the client logs in once only, as far as a gateway can tell.
    ///
    /// # Panics
    ///
    /// As [`Scene::run`], and if there was more than one session.
    pub fn run_in_one_session(&self, steps: &[Step]) {
        let before = self.events(SESSION_OPENED).len();
        self.run(steps);
        if self.gateway.is_some() {
            let sessions = self.events(SESSION_OPENED).len() - before;
            assert_eq!(sessions, 1, "{} needed more than one session", self.client);
        }
    }

    /// Asserts of every transfer that was completed so far, of which there were `count` at least, that its data
    /// connection `resumed` the TLS session of its control connection, or that it did not.
    ///
    /// # Panics
    ///
    /// If one is different, or the gateway has not logged that many in time.
    pub fn assert_resumed(&self, resumed: bool, count: usize) {
        let completed = || {
            let finished = self.events(TRANSFER_FINISHED).into_iter();
            finished.filter(|event| event.number("code") == Some(226))
        };
        wait_until("all transfers have ended", || completed().count() >= count);
        let differs = |event: &Event| event.field("tls_resumed").and_then(Value::as_bool) != Some(resumed);
        let odd = completed().find(differs);
        assert!(odd.is_none(), "{}, {}: not resumed = {resumed}: {odd:?}", self.client, self.server());
    }

    /// What the gateway logged under this message; nothing where there is no gateway.
    fn events(&self, message: &str) -> Vec<Event> {
        let events = self.gateway.as_ref().map(|gateway| gateway.events()).unwrap_or_default();
        events.into_iter().filter(|event| event.is(message)).collect()
    }

    fn new(client: ClientKind, server: Arc<Server>, address: SocketAddr, protection: Protection) -> Self {
        let scratch =
            tempfile::Builder::new().prefix("ftpsgate-client-").tempdir().expect("a scratch folder");
        let login = Login {
            address,
            protection,
            ca_file: scratch.path().join("ca.pem"),
            data: DataWay::Passive,
            user: USER.to_owned(),
            password: CANARY.to_owned(),
        };
        let folder = server.make_folder();
        Self { client, server, login, folder, scratch, gateway: None }
    }

    fn start_as(&self, login: &Login, steps: &[Step]) -> Running {
        Running::start(self.client.command(login, steps, self.scratch.path()), SESSION_PATIENCE)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Big files need not wait for the last test; what is left goes with the server's folder.
        let _ = fs::remove_dir_all(self.stored(""));
    }
}

/// The listener that suits a client.
fn door(protection: Protection) -> ListenerOptions {
    match protection {
        Protection::Off => ListenerOptions::plain("door"),
        Protection::Explicit(_) => ListenerOptions::explicit("door"),
        Protection::Implicit(_) => ListenerOptions::implicit("door"),
    }
}

/// The message with which the gateway logs the end of a transfer.
const TRANSFER_FINISHED: &str = "transfer finished";

/// The message with which it logs a client's arrival.
const SESSION_OPENED: &str = "session opened";

/// The longest session moves 300 files both ways, on a busy machine.
const SESSION_PATIENCE: Duration = Duration::from_secs(240);
