//! The server that nobody can change: libunftp over a temporary folder, in clear text, any user and password.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use libunftp::ServerBuilder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use unftp_sbe_fs::Filesystem;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Backend {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Backend {
    /// Puts the sample files into `folder` and listens on a port that the kernel chooses.
    pub(super) async fn start(folder: &Path) -> io::Result<Self> {
        for (name, content) in SAMPLES {
            tokio::fs::write(folder.join(name), content).await?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, folder.to_owned()));
        Ok(Self { address, _tasks: tasks })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener, folder: PathBuf) {
    let mut sessions = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while sessions.try_join_next().is_some() {}
        sessions.spawn(session(stream, folder.clone()));
    }
}

/// libunftp's own `listen` does not tell its port, hence one server for each connection.
async fn session(stream: TcpStream, folder: PathBuf) {
    let storage = move || Filesystem::new(folder.clone()).expect("the folder outlives the server");
    let built = ServerBuilder::new(Box::new(storage))
        .greeting("legacy FTP server, clear text only")
        // From 0 to 0: the kernel chooses.
        .passive_ports(0..=0)
        .build();
    if let Ok(server) = built {
        // How a session ends is seen on the wire.
        let _ = server.service(stream).await;
    }
}

/// What is in the folder from the start.
pub(super) const SAMPLES: [(&str, &[u8]); 3] = [
    ("readme.txt", b"These files live on a server that speaks FTP in clear text only.\r\n"),
    ("orders.csv", b"order,customer,amount\r\n1001,acme,250.00\r\n1002,initech,99.95\r\n"),
    ("empty.dat", b""),
];
