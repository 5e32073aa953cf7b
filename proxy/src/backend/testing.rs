//! Backends for tests, and a server that they can visit.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Backend, BackendData, Balance, Check, CheckKind, ProxyProtocol, Server, ServerAddress};
use crate::tls::testing::SOON;

/// A backend with these servers, each of weight 1, whose checks nobody runs.
pub(crate) fn backend_config(addresses: &[SocketAddr]) -> Backend {
    let server = |address: &SocketAddr| Server {
        address: ServerAddress { host: address.ip().to_string(), port: address.port() },
        weight: 1,
        backup: false,
    };
    Backend {
        name: "legacy".to_owned(),
        servers: addresses.iter().map(server).collect(),
        tls: None,
        data: BackendData::Passive,
        balance: Balance::LeastSessions,
        check: Check { kind: CheckKind::Greeting, every: Duration::from_secs(10), fall: 3, rise: 2 },
        proxy_protocol: ProxyProtocol::Off,
        source: None,
        max_sessions: 0,
        connect_timeout: Duration::from_secs(5),
        reply_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(5),
    }
}

/// A server that takes connections and says nothing.
pub(crate) async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port that refuses connections, for as long as the socket is kept: it is bound, so that nobody else gets the port,
/// and does not listen.
pub(crate) fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// How an [`FtpServer`] behaves; it may change between two commands.
#[derive(Clone)]
pub(crate) struct Manners {
    /// `None`: it takes connections and says nothing.
    pub(crate) greeting: Option<&'static str>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) has_epsv: bool,
    /// The firewall lets the port through that EPSV or PASV names.
    pub(crate) data_ports_open: bool,
    /// Listings end without close_notify.
    pub(crate) cuts_listings: bool,
}

impl Manners {
    pub(crate) const GOOD: Self = Self {
        greeting: Some("220 Ready"),
        tls: None,
        has_epsv: true,
        data_ports_open: true,
        cuts_listings: false,
    };
}

/// A server in this process; its one user is `monitor` with the password `canary-pw`.
pub(crate) struct FtpServer {
    pub(crate) address: SocketAddr,
    manners: Arc<Mutex<Manners>>,
    lines: watch::Sender<Vec<String>>,
    _task: AbortOnDropHandle<()>,
}

impl FtpServer {
    pub(crate) async fn start(manners: Manners) -> Self {
        let (listener, address) = listening().await;
        let manners = Arc::new(Mutex::new(manners));
        let lines = watch::Sender::default();
        let session = Session { manners: Arc::clone(&manners), lines: lines.clone() };
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let session = session.clone();
                sessions.spawn(async move {
                    // A client that leaves early is its own affair.
                    let _ = session.serve(stream).await;
                });
            }
        });
        Self { address, manners, lines, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.manners.lock().unwrap());
    }

    /// Until it was told so many lines.
    pub(crate) async fn hears(&self, count: usize) {
        let mut lines = self.lines.subscribe();
        let heard = lines.wait_for(|lines| lines.len() >= count);
        timeout(SOON, heard).await.expect("it hears so much").unwrap();
    }

    /// What it was told, on all connections.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }
}

/// A server's TLS, with TLS 1.2 session resumption.
pub(crate) fn server_tls(key: &CertifiedKey) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone())));
    Arc::new(config)
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

#[derive(Clone)]
struct Session {
    manners: Arc<Mutex<Manners>>,
    lines: watch::Sender<Vec<String>>,
}

impl Session {
    fn manners(&self) -> Manners {
        self.manners.lock().unwrap().clone()
    }

    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let Some(greeting) = self.manners().greeting else {
            std::future::pending::<()>().await;
            return Ok(());
        };
        let mut control: BufReader<Box<dyn Stream>> = BufReader::new(Box::new(stream));
        say(&mut control, greeting).await?;
        let (mut passive, mut is_private) = (None, false);
        loop {
            let mut line = String::new();
            if control.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            self.lines.send_modify(|lines| lines.push(line.clone()));
            let manners = self.manners();
            match line.split(' ').next().unwrap_or_default() {
                "FEAT" => say(&mut control, "211-Features:\r\n MLST size*;\r\n UTF8\r\n211 End").await?,
                "AUTH" => match &manners.tls {
                    Some(tls) => {
                        say(&mut control, "234 Go on").await?;
                        let stream = TlsAcceptor::from(Arc::clone(tls)).accept(control.into_inner()).await?;
                        control = BufReader::new(Box::new(stream));
                    }
                    None => say(&mut control, "502 No TLS here").await?,
                },
                "USER" => say(&mut control, "331 Password").await?,
                "PASS" if line == "PASS canary-pw" => say(&mut control, "230 In").await?,
                "PASS" => say(&mut control, "530 Wrong").await?,
                "PROT" => {
                    is_private = line == "PROT P";
                    say(&mut control, "200 Fine").await?;
                }
                "EPSV" if !manners.has_epsv => say(&mut control, "500 What?").await?,
                verb @ ("EPSV" | "PASV") => {
                    let (listener, socket);
                    let port = if manners.data_ports_open {
                        (listener, _) = listening().await;
                        let port = listener.local_addr()?.port();
                        passive = Some(Passive::Open(listener));
                        port
                    } else {
                        let address;
                        (socket, address) = refusing();
                        passive = Some(Passive::Closed { _socket: socket });
                        address.port()
                    };
                    let reply = match verb {
                        "EPSV" => format!("229 Entering (|||{port}|)"),
                        _ => format!("227 Entering (127,0,0,1,{},{})", port >> 8, port & 255),
                    };
                    say(&mut control, &reply).await?;
                }
                "LIST" => {
                    let Some(Passive::Open(listener)) = passive.take() else {
                        say(&mut control, "425 No data connection").await?;
                        continue;
                    };
                    let (data, _) = listener.accept().await?;
                    say(&mut control, "150 Here it comes").await?;
                    let mut data: Box<dyn Stream> = match &manners.tls {
                        Some(tls) if is_private => {
                            Box::new(TlsAcceptor::from(Arc::clone(tls)).accept(data).await?)
                        }
                        Some(_) | None => Box::new(data),
                    };
                    data.write_all(b"-rw-r--r-- 1 a b 3 Jan 1 00:00 a\r\n").await?;
                    data.flush().await?;
                    if !manners.cuts_listings {
                        data.shutdown().await?;
                    }
                    drop(data);
                    say(&mut control, "226 Done").await?;
                }
                "QUIT" => return say(&mut control, "221 Bye").await,
                _ => say(&mut control, "200 Fine").await?,
            }
        }
    }
}

enum Passive {
    Open(TcpListener),
    Closed { _socket: Socket },
}

async fn say(control: &mut BufReader<Box<dyn Stream>>, line: &str) -> io::Result<()> {
    control.write_all(format!("{line}\r\n").as_bytes()).await?;
    control.flush().await
}
