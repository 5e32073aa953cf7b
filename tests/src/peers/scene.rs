//! One client before one server, and a folder on each side.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::clients::{ClientKind, Login, Protection, Step};
use super::process::{Outcome, Running};
use super::servers::{Server, ServerKind, USER};
use crate::gateway::CANARY;

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
}

impl Scene {
    /// The client talks plain FTP to the server itself: what fails here is not the gateway's fault.
    pub fn direct(client: ClientKind, server: ServerKind) -> Self {
        let server = Server::shared(server, CANARY);
        let scratch = tempfile::Builder::new().prefix("ftpsgate-client-").tempdir().expect("a scratch folder");
        let login = Login {
            address: server.address(),
            protection: Protection::Off,
            ca_file: PathBuf::new(),
            user: USER.to_owned(),
            password: CANARY.to_owned(),
        };
        let folder = server.make_folder();
        Self { client, server, login, folder, scratch }
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

    fn start_as(&self, login: &Login, steps: &[Step]) -> Running {
        let command = self.client.command(login, steps, self.scratch_path());
        Running::start(command, SESSION_PATIENCE)
    }

    fn scratch_path(&self) -> &Path {
        self.scratch.path()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Big files need not wait for the last test; what is left goes with the server's folder.
        let _ = std::fs::remove_dir_all(self.stored(""));
    }
}

/// The longest session moves 300 files both ways, on a busy machine.
const SESSION_PATIENCE: Duration = Duration::from_secs(240);
