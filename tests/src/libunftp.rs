//! An ordinary FTP server over a temporary folder: libunftp in its own runtime thread.
//!
//! It takes every user and password. Files are read and written past it, through [`LibunftpServer::path`].

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread::JoinHandle;

use libunftp::ServerBuilder;
use tempfile::TempDir;
use tokio::sync::oneshot;
use unftp_sbe_fs::Filesystem;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct LibunftpServer {
    address: SocketAddr,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LibunftpServer {
    /// Starts a server over an empty folder, on a port of 127.0.0.1 that the kernel chooses.
    ///
    /// # Panics
    ///
    /// If the machine has no folder, port or thread left.
    pub fn start() -> Self {
        let directory =
            tempfile::Builder::new().prefix("ftpsgate-backend-").tempdir().expect("a temporary folder");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let root = directory.path().to_owned();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("libunftp".into())
            .spawn(move || serve(listener, root, stopped))
            .expect("a thread can be started");
        Self { address, directory, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A file or folder of the server, on this machine's disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name.trim_start_matches('/'))
    }

    /// Puts a file there.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).expect("the backend's folder can be written");
    }

    /// What a file holds.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    pub fn content(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

impl Drop for LibunftpServer {
    fn drop(&mut self) {
        // Either end may be gone already when a test fails.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// libunftp's own `listen` does not tell its port, so connections are accepted here.
fn serve(listener: std::net::TcpListener, root: PathBuf, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("the socket is non-blocking");
        let accept = async {
            while let Ok((stream, _)) = listener.accept().await {
                let root = root.clone();
                let storage = move || Filesystem::new(root.clone()).expect("the folder exists");
                // Ports 0 to 0: the kernel chooses.
                let server = ServerBuilder::new(Box::new(storage))
                    .passive_ports(0..=0)
                    .build()
                    .expect("the options are complete");
                tokio::spawn(server.service(stream));
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}
