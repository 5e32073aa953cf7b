//! The load generator: a blocking FTPS client on rustls with large buffers. Its own CPU is counted nowhere.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_tests::gateway::CANARY;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, ProtocolVersion, SignatureScheme,
    StreamOwned, version,
};

use super::backend::{ZEROS, zeros};

/// What a session does to its data connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// PROT C
    Clear,
    /// PROT P
    Private,
}

/// A session that is logged in.
pub(super) struct Client {
    control: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    server: SocketAddr,
    protection: Protection,
    config: Arc<ClientConfig>,
    scratch: Vec<u8>,
    /// Data connections so far…
    pub(super) transfers: usize,
    /// …and how many of them resumed the session's TLS.
    pub(super) resumed: usize,
}

impl Client {
    /// AUTH TLS, login, binary type. TLS sessions are never resumed from another client's.
    pub(super) fn login(
        server: SocketAddr,
        version: ProtocolVersion,
        protection: Protection,
    ) -> io::Result<Self> {
        let config = Arc::new(config(version));
        let tcp = connect(server)?;
        let mut plain = BufReader::new(tcp);
        expect(&mut plain, 220)?;
        plain.get_mut().write_all(b"AUTH TLS\r\n")?;
        expect(&mut plain, 234)?;
        let control = handshake(&config, plain.into_inner())?;
        let mut client = Self {
            control: BufReader::with_capacity(1024, control),
            server,
            protection,
            config,
            scratch: Vec::new(),
            transfers: 0,
            resumed: 0,
        };
        client.command("USER bench", 331)?;
        client.command(&format!("PASS {CANARY}"), 230)?;
        client.command("PBSZ 0", 200)?;
        match protection {
            Protection::Clear => client.command("PROT C", 200)?,
            Protection::Private => client.command("PROT P", 200)?,
        };
        client.command("TYPE I", 200)?;
        Ok(client)
    }

    /// QUIT.
    pub(super) fn quit(mut self) -> io::Result<()> {
        self.command("QUIT", 221).map(drop)
    }

    /// One command that is forwarded to the backend and costs it nothing.
    pub(super) fn noop(&mut self) -> io::Result<()> {
        self.command("NOOP", 200).map(drop)
    }

    /// Downloads `length` bytes.
    pub(super) fn get(&mut self, length: usize) -> io::Result<()> {
        let tcp = self.open("RETR", &zeros(length))?;
        self.scratch.resize(BUFFER_BYTES, 0);
        let received = match self.protection {
            Protection::Clear => read_plain(tcp, &mut self.scratch)?,
            Protection::Private => {
                let StreamOwned { conn, sock } = self.secure(tcp)?;
                read_tls(conn, sock, &mut self.scratch)?
            }
        };
        if received != length {
            return Err(io::Error::other(format!("{received} bytes of {length}")));
        }
        expect(&mut self.control, 226).map(drop)
    }

    /// Uploads `length` bytes, and leaves the data connection only after the server has.
    pub(super) fn put(&mut self, length: usize) -> io::Result<()> {
        let mut tcp = self.open("STOR", "upload")?;
        match self.protection {
            Protection::Clear => {
                write_zeros(&mut tcp, length)?;
                tcp.shutdown(std::net::Shutdown::Write)?;
                read_plain(tcp, &mut [0; 64])?;
            }
            Protection::Private => {
                let mut tls = self.secure(tcp)?;
                tls.conn.set_buffer_limit(None);
                write_zeros(&mut tls, length)?;
                tls.conn.send_close_notify();
                tls.flush()?;
                tls.sock.shutdown(std::net::Shutdown::Write)?;
                read_plain(tls.sock, &mut [0; 1024])?;
            }
        }
        expect(&mut self.control, 226).map(drop)
    }

    fn command(&mut self, line: &str, code: u16) -> io::Result<String> {
        self.say(line)?;
        expect(&mut self.control, code)
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        self.control.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.control.get_mut().flush()
    }

    /// EPSV, the connection, the command and its 150.
    fn open(&mut self, verb: &str, name: &str) -> io::Result<TcpStream> {
        let reply = self.command("EPSV", 229)?;
        let port = reply.split('|').nth(3).and_then(|port| port.parse().ok());
        let port = port.ok_or_else(|| io::Error::other(reply))?;
        let tcp = connect(SocketAddr::new(self.server.ip(), port))?;
        self.command(&format!("{verb} {name}"), 150)?;
        Ok(tcp)
    }

    fn secure(&mut self, tcp: TcpStream) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let stream = handshake(&self.config, tcp)?;
        self.transfers += 1;
        self.resumed += usize::from(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed));
        Ok(stream)
    }
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(server)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    Ok(tcp)
}

fn handshake(
    config: &Arc<ClientConfig>,
    mut sock: TcpStream,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a host name");
    let mut conn = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while conn.is_handshaking() {
        conn.complete_io(&mut sock)?;
    }
    Ok(StreamOwned::new(conn, sock))
}

/// Reads a whole reply, and complains unless it has this code.
fn expect(control: &mut impl BufRead, code: u16) -> io::Result<String> {
    let mut reply = String::new();
    loop {
        let start = reply.len();
        if control.read_line(&mut reply)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = &reply[start..];
        if line.as_bytes().get(3) == Some(&b' ') && line[..3].parse() == Ok(code) {
            return Ok(reply);
        }
        if line.as_bytes().get(3) == Some(&b' ') && line[..3].parse::<u16>().is_ok() {
            return Err(io::Error::other(format!("expected {code}, got: {reply}")));
        }
    }
}

fn read_plain(mut tcp: TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut received = 0;
    loop {
        match tcp.read(buffer)? {
            0 => return Ok(received),
            bytes => received += bytes,
        }
    }
}

/// Reads to the end through `buffer`, half of which takes ciphertext; answers the end, as polite clients do.
fn read_tls(mut conn: ClientConnection, mut tcp: TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (cipher, plain) = buffer.split_at_mut(BUFFER_BYTES / 2);
    let mut received = 0;
    // The handshake may have read ahead.
    let mut state = conn.process_new_packets().map_err(io::Error::other)?;
    loop {
        while state.plaintext_bytes_to_read() > 0 && received != usize::MAX {
            match conn.reader().read(plain) {
                Ok(0) => break,
                Ok(bytes) => received += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if state.peer_has_closed() {
            conn.send_close_notify();
            // The server may have gone already.
            let _ = conn.write_tls(&mut tcp);
            return Ok(received);
        }
        let bytes = tcp.read(cipher)?;
        if bytes == 0 {
            return Err(io::Error::other("no close_notify"));
        }
        let mut unread = &cipher[..bytes];
        while !unread.is_empty() {
            conn.read_tls(&mut unread)?;
            state = conn.process_new_packets().map_err(io::Error::other)?;
            while let Ok(bytes @ 1..) = conn.reader().read(plain) {
                received += bytes;
            }
        }
    }
}

fn write_zeros(sink: &mut impl Write, mut length: usize) -> io::Result<()> {
    while length > 0 {
        length -= sink.write(&ZEROS[..length.min(BUFFER_BYTES / 2)])?;
    }
    sink.flush()
}

/// AES-256-GCM only. A new configuration for every session, with tickets of its own.
fn config(version: ProtocolVersion) -> ClientConfig {
    let mut provider = default_provider();
    provider.cipher_suites =
        vec![cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384];
    provider.kx_groups = vec![kx_group::X25519, kx_group::SECP256R1];
    let version = if version == ProtocolVersion::TLSv1_2 { &version::TLS12 } else { &version::TLS13 };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[version]).expect("the suites fit the version");
    let verifier = Arc::new(AnyCertificate);
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(8);
    config
}

/// Takes whatever the gateway shows: who it is does not matter here, and to check it would only slow the load down.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

const BUFFER_BYTES: usize = 512 * 1024;

/// No single step takes longer, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);
