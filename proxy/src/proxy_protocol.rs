//! The PROXY protocol: who a balancer's connection is really from, and telling a backend who ours is from.
//!
//! The header is the first thing on a connection, in clear, before TLS. Not a byte behind it is read. Whether somebody
//! may send one is not decided here.
//!
//! <https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>: §2.1 (version 1), §2.2 (version 2).

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use proxy_header::{ParseConfig, ProxiedAddress, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::config::ProxyProtocol;

#[cfg(test)]
mod tests;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The connection was made for somebody else.
    Proxied(Endpoints),
    /// LOCAL (version 2) or UNKNOWN: the connection's own ends count, as where a balancer looks whether we live.
    Local,
}

/// The two ends of the connection that a balancer accepted. IPv4-mapped addresses are IPv4 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// Who dialled.
    pub client: SocketAddr,
    /// What was dialled: an address of the balancer, as a rule.
    pub dialled: SocketAddr,
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The peer went away without a byte: most probably it only looked whether the port is open.
    #[error("the connection ended before a PROXY header")]
    Closed,
    /// The first bytes are something else.
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    /// It begins like one, and is none.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// More than a header may have.
    #[error("the PROXY header is too long")]
    TooLong,
    /// It is for a Unix socket or for datagrams.
    #[error("the PROXY header is not for a TCP connection")]
    NotTcp,
    /// It did not come in time.
    #[error("the PROXY header did not come in time")]
    Deadline,
    /// The connection broke.
    #[error("the connection broke before its PROXY header: {0}")]
    Io(#[source] io::Error),
}

/// Reads a header of either version, and nothing behind it.
///
/// Not cancel-safe: what was read is lost, and the connection is good for nothing.
///
/// # Errors
///
/// See [`HeaderError`]; the connection is to be closed without a word.
pub async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> Result<Header, HeaderError> {
    let header = async {
        let mut header = Vec::with_capacity(V1_BYTES_MAX);
        loop {
            let missing = match examine(&header)? {
                Progress::Complete(header) => return Ok(header),
                Progress::Missing(count) => count,
            };
            let begin = header.len();
            header.resize(begin + missing, 0);
            match stream.read(&mut header[begin..]).await {
                Ok(0) if begin == 0 => return Err(HeaderError::Closed),
                Ok(0) => return Err(HeaderError::Malformed),
                Ok(count) => header.truncate(begin + count),
                Err(error) if begin == 0 && error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(HeaderError::Closed);
                }
                Err(error) => return Err(HeaderError::Io(error)),
            }
        }
    };
    timeout(patience, header).await.unwrap_or(Err(HeaderError::Deadline))
}

/// Which of the two headers is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

impl Version {
    /// What a backend's control connections begin with.
    pub fn of_control(configured: ProxyProtocol) -> Option<Self> {
        match configured {
            ProxyProtocol::Off => None,
            ProxyProtocol::V1 => Some(Self::V1),
            ProxyProtocol::V2 | ProxyProtocol::V2Data => Some(Self::V2),
        }
    }

    /// What its data connections begin with, where the gateway dials them.
    pub fn of_data(configured: ProxyProtocol) -> Option<Self> {
        match configured {
            ProxyProtocol::Off | ProxyProtocol::V1 | ProxyProtocol::V2 => None,
            ProxyProtocol::V2Data => Some(Self::V2),
        }
    }
}

/// Writes the header of a connection made for `client`, which had dialled `dialled`. It must be the first thing that is
/// written. Cancelled half-way, it leaves a connection that is good for nothing.
///
/// # Errors
///
/// The connection is broken.
pub async fn write_header(
    stream: &mut (impl AsyncWrite + Unpin),
    version: Version,
    client: SocketAddr,
    dialled: SocketAddr,
) -> io::Result<()> {
    stream.write_all(&encode(version, client, dialled)).await
}

/// The header's bytes. Where only one address is IPv4 it is written as an IPv4-mapped one, since a header has one family
/// (§2.1: TCP4 or TCP6).
pub fn encode(version: Version, client: SocketAddr, dialled: SocketAddr) -> Vec<u8> {
    let (client, dialled) = (canonical(client), canonical(dialled));
    let address = if client.is_ipv4() && dialled.is_ipv4() {
        ProxiedAddress::stream(client, dialled)
    } else {
        ProxiedAddress::stream(as_v6(client), as_v6(dialled))
    };
    let header = ProxyHeader::with_address(address);
    let mut bytes = Vec::with_capacity(V1_BYTES_MAX);
    let encoded = match version {
        Version::V1 => header.encode_v1(&mut bytes),
        Version::V2 => header.encode_v2(&mut bytes),
    };
    encoded.expect("two TCP addresses of one family can be encoded");
    bytes
}

/// How far a header has come.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Complete(Header),
    /// At least so many more bytes belong to it; at least one.
    Missing(usize),
}

/// Looks at the first bytes of a connection.
fn examine(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let begins = |begin: &[u8]| {
        let common = bytes.len().min(begin.len());
        bytes[..common] == begin[..common]
    };
    if begins(V2_SIGNATURE) {
        examine_v2(bytes)
    } else if begins(V1_BEGIN) {
        examine_v1(bytes)
    } else {
        Err(HeaderError::Absent)
    }
}

fn examine_v1(line: &[u8]) -> Result<Progress, HeaderError> {
    if line.len() < BYTES_MIN {
        return Ok(Progress::Missing(BYTES_MIN - line.len()));
    }
    match line {
        [.., b'\r', b'\n'] => {}
        _ if line.len() >= V1_BYTES_MAX => return Err(HeaderError::TooLong),
        [.., b'\r'] => return Ok(Progress::Missing(1)),
        // A whole CRLF is still to come.
        _ => return Ok(Progress::Missing(2.min(V1_BYTES_MAX - line.len()))),
    }
    // The crate takes "+21" for a port.
    if line.contains(&b'+') {
        return Err(HeaderError::Malformed);
    }
    parse(line)
}

fn examine_v2(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let fixed =
        bytes.get(V2_SIGNATURE.len()..V2_FIXED_BYTES).and_then(|fixed| <[u8; 4]>::try_from(fixed).ok());
    let Some([command, family, length_high, length_low]) = fixed else {
        // Until it is told apart from version 1, no more than the shortest header of all is read.
        let wanted = if bytes.len() < BYTES_MIN { BYTES_MIN } else { V2_FIXED_BYTES };
        return Ok(Progress::Missing(wanted - bytes.len()));
    };
    let rest = usize::from(u16::from_be_bytes([length_high, length_low]));
    if rest > V2_REST_BYTES_MAX {
        return Err(HeaderError::TooLong);
    }
    let is_local = match command {
        V2_LOCAL => true,
        V2_PROXY => false,
        _ => return Err(HeaderError::Malformed),
    };
    match family {
        _ if is_local => {}
        V2_UNSPECIFIED | V2_TCP4 | V2_TCP6 => {}
        _ => return Err(HeaderError::NotTcp),
    }
    if bytes.len() < V2_FIXED_BYTES + rest {
        return Ok(Progress::Missing(V2_FIXED_BYTES + rest - bytes.len()));
    }
    // §2.2: with LOCAL the receiver discards the addresses, their family included.
    if is_local { Ok(Progress::Complete(Header::Local)) } else { parse(bytes) }
}

/// Parses a whole header.
fn parse(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let config = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, length)) if length == bytes.len() => {
            Ok(Progress::Complete(match header.proxied_address() {
                None => Header::Local,
                Some(address) => Header::Proxied(Endpoints {
                    client: canonical(address.source),
                    dialled: canonical(address.destination),
                }),
            }))
        }
        Ok(_) | Err(_) => Err(HeaderError::Malformed),
    }
}

/// The same address, an IPv4-mapped one as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

fn as_v6(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        SocketAddr::V6(_) => address,
    }
}

const V1_BEGIN: &[u8] = b"PROXY ";
/// §2.1: the longest line with its CRLF.
const V1_BYTES_MAX: usize = 107;

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, command, family and length.
const V2_FIXED_BYTES: usize = 16;
/// Addresses and TLVs; §2.2 wants a header to fit into one segment of 536 bytes.
const V2_REST_BYTES_MAX: usize = 536;
const V2_LOCAL: u8 = 0x20;
const V2_PROXY: u8 = 0x21;
const V2_UNSPECIFIED: u8 = 0x00;
const V2_TCP4: u8 = 0x11;
const V2_TCP6: u8 = 0x21;

/// `PROXY UNKNOWN` and its CRLF: no header of either version is shorter.
const BYTES_MIN: usize = 15;
