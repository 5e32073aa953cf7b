//! The demo's FTPS client: [`ftpsgate_ftp::client`] over tokio and rustls.
//!
//! It trusts the gateway's CA and nothing else, and resumes the control connection's TLS session on every data
//! connection.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ftpsgate_ftp::client::{Action, Client, Failure, Fault, Plan};
use ftpsgate_ftp::codec::Protection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::wire::{self, Event, Message, Replies, Side, Tap};

/// Someone who can carry out plans at one gateway.
pub(super) struct Visitor {
    address: SocketAddr,
    connector: TlsConnector,
    tap: Tap,
}

/// What a visit brought.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    /// What the plan's downloads gave, in order.
    pub(super) downloads: Vec<Vec<u8>>,
    /// One for each data connection, in order.
    pub(super) data: Vec<DataConnection>,
}

/// A data connection as the client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DataConnection {
    pub(super) port: u16,
    pub(super) resumed: bool,
}

/// Why a visit came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// The certificate of the CA is of no use.
    #[error("the CA's certificate: {0}")]
    Trust(#[from] rustls::Error),
    /// The gateway did not do what the plan wanted.
    #[error("{failure}{}", because(.source))]
    Failed {
        /// Where and why.
        failure: Failure,
        /// What the operating system or TLS said.
        source: Option<io::Error>,
    },
}

fn because(error: &Option<io::Error>) -> String {
    error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default()
}

impl Visitor {
    pub(super) fn new(
        address: SocketAddr,
        root: &CertificateDer<'static>,
        tap: Tap,
    ) -> Result<Self, VisitError> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"ftp".to_vec()];
        Ok(Self { address, connector: TlsConnector::from(Arc::new(config)), tap })
    }

    /// Connects and does what the plan says. `uploads` are what its uploads send, in order.
    pub(super) async fn visit(
        &self,
        plan: Plan,
        uploads: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Harvest, VisitError> {
        let mut visit = Visit {
            visitor: self,
            client: Client::new(plan),
            control: Control::Gone,
            replies: Replies::new(Side::Downstream),
            data: None,
            uploads: uploads.into_iter().collect(),
            harvest: Harvest::default(),
            error: None,
        };
        visit.run().await
    }

    /// The name is the address that was dialled: the CA mints a certificate for it.
    async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(ServerName::from(self.address.ip()), stream).await
    }
}

/// One visit.
struct Visit<'a> {
    visitor: &'a Visitor,
    client: Client,
    control: Control,
    replies: Replies,
    data: Option<(u16, TcpStream)>,
    uploads: VecDeque<Vec<u8>>,
    harvest: Harvest,
    /// The reason behind the last fault.
    error: Option<io::Error>,
}

enum Control {
    Gone,
    Clear(TcpStream),
    Private(Box<TlsStream<TcpStream>>),
}

impl Visit<'_> {
    async fn run(&mut self) -> Result<Harvest, VisitError> {
        match TcpStream::connect(self.visitor.address).await {
            Ok(stream) => self.control = Control::Clear(stream),
            Err(error) => self.fault(Fault::ControlClosed, Some(error)),
        }
        let mut buffer = [0; CONTROL_BYTES];
        loop {
            while let Some(action) = self.client.poll_action() {
                if let Action::Done(result) = action {
                    let source = self.error.take();
                    result.map_err(|failure| VisitError::Failed { failure, source })?;
                    return Ok(std::mem::take(&mut self.harvest));
                }
                self.perform(action).await;
            }
            match self.control.read(&mut buffer).await {
                Ok(0) => self.fault(Fault::ControlClosed, None),
                Ok(count) => {
                    wire::show(&self.visitor.tap, self.replies.read(&buffer[..count])).await;
                    self.client.handle_bytes(&buffer[..count]);
                }
                Err(error) => self.fault(Fault::ControlClosed, Some(error)),
            }
        }
    }

    async fn perform(&mut self, action: Action) {
        match action {
            Action::Send(command) => {
                wire::show(&self.visitor.tap, vec![Message::request(Side::Downstream, &command)]).await;
                if let Err(error) = self.control.write(&command.encode()).await {
                    self.fault(Fault::ControlClosed, Some(error));
                }
            }
            Action::SecureControl => match self.secure().await {
                Ok(()) => self.client.handle_secured(),
                Err(error) => self.fault(Fault::HandshakeFailed, Some(error)),
            },
            Action::OpenData { port } => match TcpStream::connect((self.visitor.address.ip(), port)).await {
                Ok(stream) => {
                    self.data = Some((port, stream));
                    self.client.handle_data_opened();
                }
                Err(error) => self.fault(Fault::DataRefused, Some(error)),
            },
            Action::ReceiveData(protection) => match self.receive(protection).await {
                Ok(()) => self.client.handle_data_finished(),
                Err(error) => self.fault(Fault::DataBroken, Some(error)),
            },
            Action::SendData(protection) => match self.send(protection).await {
                Ok(()) => self.client.handle_data_finished(),
                Err(error) => self.fault(Fault::DataBroken, Some(error)),
            },
            // The recorder has shown it, and the end is the caller's.
            Action::Answered(..) | Action::Done(_) => {}
        }
    }

    fn fault(&mut self, fault: Fault, error: Option<io::Error>) {
        self.error = error;
        self.client.handle_fault(fault);
    }

    async fn secure(&mut self) -> io::Result<()> {
        let Control::Clear(stream) = std::mem::replace(&mut self.control, Control::Gone) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let stream = self.visitor.handshake(stream).await?;
        self.note(format!("{}, certificate verified", describe(&stream))).await;
        self.control = Control::Private(Box::new(stream));
        Ok(())
    }

    async fn receive(&mut self, protection: Protection) -> io::Result<()> {
        let (port, stream) = self.data.take().ok_or(io::ErrorKind::NotConnected)?;
        let mut content = Vec::new();
        match protection {
            Protection::Clear => read_all(stream, &mut content).await?,
            Protection::Private => {
                let stream = self.secure_data(port, stream).await?;
                // An end without close_notify is an error here: rustls says so.
                read_all(stream, &mut content).await?;
            }
        }
        self.note(format!("{} came", count(content.len()))).await;
        self.harvest.downloads.push(content);
        Ok(())
    }

    async fn send(&mut self, protection: Protection) -> io::Result<()> {
        let (port, stream) = self.data.take().ok_or(io::ErrorKind::NotConnected)?;
        let content = self.uploads.pop_front().unwrap_or_default();
        match protection {
            Protection::Clear => write_all(stream, &content).await?,
            Protection::Private => {
                let stream = self.secure_data(port, stream).await?;
                write_all(stream, &content).await?;
            }
        }
        self.note(format!("{} went", count(content.len()))).await;
        Ok(())
    }

    async fn secure_data(&mut self, port: u16, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.visitor.handshake(stream).await?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        let session = if resumed { "resumed" } else { "a new session" };
        self.note(format!("port {port}: {}, {session}", describe(&stream))).await;
        self.harvest.data.push(DataConnection { port, resumed });
        Ok(stream)
    }

    async fn note(&self, text: String) {
        // Nobody listens any more: the demo is about to end.
        let _ = self.visitor.tap.send(Event::Note(Side::Downstream, text)).await;
    }
}

impl Control {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gone => Ok(0),
            Self::Clear(stream) => stream.read(buffer).await,
            Self::Private(stream) => stream.read(buffer).await,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
            Self::Clear(stream) => stream.write_all(bytes).await,
            Self::Private(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }
}

async fn read_all(mut stream: impl AsyncRead + AsyncWrite + Unpin, content: &mut Vec<u8>) -> io::Result<()> {
    (&mut stream).take(DOWNLOAD_BYTES_MAX).read_to_end(content).await?;
    stream.shutdown().await
}

/// Everything, close_notify, FIN; then what the gateway may still say, so that nothing of ours is reset.
async fn write_all(mut stream: impl AsyncRead + AsyncWrite + Unpin, content: &[u8]) -> io::Result<()> {
    stream.write_all(content).await?;
    stream.shutdown().await?;
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

fn describe(stream: &TlsStream<TcpStream>) -> &'static str {
    match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    }
}

fn count(bytes: usize) -> String {
    if bytes == 1 { "1 byte".into() } else { format!("{bytes} bytes") }
}

const CONTROL_BYTES: usize = 4096;
/// Many times what the script downloads.
const DOWNLOAD_BYTES_MAX: u64 = 64 * 1024 * 1024;
