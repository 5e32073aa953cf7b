//! Both versions, in pieces, cut off, and not at all.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::tls::testing::SOON;

const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

fn endpoints(client: &str, dialled: &str) -> Endpoints {
    Endpoints { client: client.parse().unwrap(), dialled: dialled.parse().unwrap() }
}

/// A peer that says `bytes` in pieces of at most `piece` bytes, and then ends.
struct Peer<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl AsyncRead for Peer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.piece.min(self.bytes.len()).min(buffer.remaining());
        let (piece, rest) = self.bytes.split_at(count);
        buffer.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

/// What is read of `bytes`, and what is left of them.
fn read(bytes: &[u8], piece: usize) -> (Result<Header, HeaderError>, &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut peer = Peer { bytes, piece };
    let header = runtime.block_on(read_header(&mut peer, SOON));
    (header, peer.bytes)
}

/// The header of a connection that says `bytes` and then ends.
fn header(bytes: &[u8]) -> Result<Header, HeaderError> {
    read(bytes, usize::MAX).0
}

fn v2(command: u8, family: u8, length: usize, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(length).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[command, family], &length, rest].concat()
}

#[test]
fn the_first_version_is_a_line() {
    let line = encode(Version::V1, "192.0.2.7:56324".parse().unwrap(), "198.51.100.1:21".parse().unwrap());
    assert_eq!(line, b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 21\r\n");
    let line =
        encode(Version::V1, "[2001:db8::7]:56324".parse().unwrap(), "[2001:db8::1]:21".parse().unwrap());
    assert_eq!(line, b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 21\r\n");
    assert!(matches!(header(b"PROXY UNKNOWN\r\n"), Ok(Header::Local)));
    assert!(matches!(header(b"PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n"), Ok(Header::Local)));
}

#[test]
fn two_families_become_one() {
    let client = "192.0.2.7:56324".parse().unwrap();
    let dialled = "[2001:db8::1]:21".parse().unwrap();
    assert_eq!(encode(Version::V1, client, dialled), b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 56324 21\r\n");
    let mapped = "[::ffff:192.0.2.7]:56324".parse().unwrap();
    let both = encode(Version::V2, mapped, "198.51.100.1:21".parse().unwrap());
    assert_eq!(both[13], V2_TCP4, "a mapped address is IPv4");
}

#[test]
fn what_a_balancer_says_of_itself_is_local() {
    for local in [v2(0x20, 0x00, 0, &[]), v2(0x20, 0x11, 0, &[]), v2(0x20, 0x31, 3, &[4, 0, 0])] {
        assert!(matches!(header(&local), Ok(Header::Local)));
    }
    assert!(matches!(header(&v2(0x21, 0x00, 0, &[])), Ok(Header::Local)));
}

#[test]
fn other_sockets_are_not_tcp() {
    for family in [0x12, 0x22, 0x31, 0x32, 0x41, 0x01] {
        let refused = header(&v2(0x21, family, 216, &[0; 216]));
        assert!(matches!(refused, Err(HeaderError::NotTcp)), "{family:#x}: {refused:?}");
    }
}

#[test]
fn tlvs_are_read_and_not_looked_at() {
    let address = encode(Version::V2, "192.0.2.7:1".parse().unwrap(), "192.0.2.8:2".parse().unwrap());
    let mut bytes = v2(0x21, 0x11, 12 + 7, &address[16..]);
    bytes.extend_from_slice(&[0xEE, 0, 4, 1, 2, 3, 4]);
    bytes.extend_from_slice(b"USER");
    let (read, rest) = read(&bytes, usize::MAX);
    assert_eq!(read.unwrap(), Header::Proxied(endpoints("192.0.2.7:1", "192.0.2.8:2")));
    assert_eq!(rest, b"USER");
}

#[test]
fn malformed_headers_are_told_apart_from_none() {
    for malformed in [
        &b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n"[..],
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 65536\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 +56324 21\r\n",
        b"PROXY TCP4 192.0.2.7 2001:db8::1 56324 21\r\n",
        b"PROXY TCP4 192.0.2.07 198.51.100.1 56324 21\r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 56324 21\r\n",
        b"PROXY TCP5 192.0.2.7 198.51.100.1 56324 21\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 21 \r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 2",
        &v2(0x11, 0x11, 12, &[0; 12]),
        &v2(0x22, 0x11, 12, &[0; 12]),
        &v2(0x21, 0x11, 11, &[0; 11]),
        &v2(0x21, 0x21, 12, &[0; 12]),
        &v2(0x21, 0x11, 12, &[0; 11]),
        b"P",
    ] {
        let refused = header(malformed);
        assert!(matches!(refused, Err(HeaderError::Malformed)), "{}: {refused:?}", malformed.escape_ascii());
    }
    for absent in
        [&b"USER anna\r\n"[..], b"PROXYTCP4 ", b"proxy TCP4", b"\x16\x03\x01", b"\r\nPWD", b"PRO\r\n"]
    {
        let refused = header(absent);
        assert!(matches!(refused, Err(HeaderError::Absent)), "{}: {refused:?}", absent.escape_ascii());
    }
    assert!(matches!(header(b""), Err(HeaderError::Closed)));
}

#[test]
fn a_line_and_a_binary_header_have_their_bounds() {
    let mut longest = b"PROXY UNKNOWN ".to_vec();
    longest.resize(V1_BYTES_MAX - 2, b'x');
    longest.extend_from_slice(b"\r\n");
    assert!(matches!(header(&longest), Ok(Header::Local)));
    longest.insert(20, b'x');
    for piece in [1, 2, 3, 200] {
        let (refused, rest) = read(&longest, piece);
        assert!(matches!(refused, Err(HeaderError::TooLong)), "{refused:?}");
        assert_eq!(rest, b"\n", "not a byte more than the longest line");
    }
    let most = V2_REST_BYTES_MAX;
    assert!(matches!(header(&v2(0x20, 0, most, &vec![0; most])), Ok(Header::Local)));
    let too_long = v2(0x20, 0, most + 1, b"rest");
    let (refused, rest) = read(&too_long, 7);
    assert!(matches!(refused, Err(HeaderError::TooLong)));
    assert_eq!(rest, b"rest");
}

#[tokio::test(start_paused = true)]
async fn silence_has_a_deadline() {
    let (mut near, mut far) = tokio::io::duplex(64);
    far.write_all(b"PROXY TC").await.unwrap();
    let patience = Duration::from_secs(10);
    let started = tokio::time::Instant::now();
    let refused = read_header(&mut near, patience).await;
    assert!(matches!(refused, Err(HeaderError::Deadline)), "{refused:?}");
    assert_eq!(started.elapsed(), patience);
}

#[tokio::test]
async fn a_header_goes_over_a_socket_and_leaves_what_follows() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let expected = endpoints("192.0.2.7:56324", "[2001:db8::1]:990");
    for version in VERSIONS {
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        write_header(&mut near, version, expected.client, expected.dialled).await.unwrap();
        near.write_all(b"USER").await.unwrap();
        assert_eq!(read_header(&mut far, SOON).await.unwrap(), Header::Proxied(expected));
        let mut rest = [0; 4];
        far.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"USER");
    }
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| IpAddr::from(Ipv4Addr::from(octets))),
        any::<[u8; 16]>().prop_map(|octets| IpAddr::from(Ipv6Addr::from(octets)).to_canonical()),
    ];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        client in any_address(),
        dialled in any_address(),
        rest in prop::collection::vec(any::<u8>(), 0..40),
        piece in 1_usize..80,
    ) {
        for version in VERSIONS {
            let mut bytes = encode(version, client, dialled);
            bytes.extend_from_slice(&rest);
            let (read, left) = read(&bytes, piece);
            prop_assert_eq!(read.unwrap(), Header::Proxied(Endpoints { client, dialled }));
            prop_assert_eq!(left, &rest[..]);
        }
    }

    #[test]
    fn garbage_is_refused_within_the_bounds_and_alike_in_all_pieces(
        begin in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", V2_SIGNATURE,
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11", b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x40"]),
        garbage in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b" .:019\r\n".to_vec())], 0..700),
        piece in 1_usize..700,
    ) {
        let bytes = [begin, &garbage].concat();
        let (whole, rest) = read(&bytes, usize::MAX);
        let (pieces, rest_of_pieces) = read(&bytes, piece);
        prop_assert!(bytes.len() - rest.len() <= V2_FIXED_BYTES + V2_REST_BYTES_MAX);
        prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        if whole.is_ok() {
            prop_assert_eq!(rest, rest_of_pieces);
        }
    }
}
