//! Properties of the codec: decode∘encode is identity, the cuts of a stream do not matter, nothing panics, nothing grows.

mod properties;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use ftpsgate_ftp::codec::address::{
    epsv_reply, format_eprt, format_port, parse_eprt, parse_epsv_reply, parse_pasv_reply, parse_port,
    pasv_reply,
};
use ftpsgate_ftp::codec::reply::{REPLY_BYTES_MAX, REPLY_LINES_MAX};
use ftpsgate_ftp::codec::{Arity, Command, LineError, Reply, ReplyError, Verb};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn lines_of_any_bytes(data in vec(any::<u8>(), 0..512)) {
        properties::line(&data);
    }

    #[test]
    fn lines_of_nearly_sound_bytes(data in bytes_like(&LINE_PIECES)) {
        properties::line(&data);
    }

    #[test]
    fn replies_of_any_bytes(data in vec(any::<u8>(), 0..512)) {
        properties::reply(&data);
    }

    #[test]
    fn replies_of_nearly_sound_bytes(data in bytes_like(&REPLY_PIECES)) {
        properties::reply(&data);
    }

    #[test]
    fn commands_of_any_bytes(data in vec(any::<u8>(), 0..256)) {
        properties::command(&data);
    }

    #[test]
    fn commands_of_nearly_sound_bytes(data in bytes_like(&COMMAND_PIECES)) {
        properties::command(&data);
    }

    #[test]
    fn addresses_of_any_bytes(data in vec(any::<u8>(), 0..64)) {
        properties::address(&data);
    }

    #[test]
    fn addresses_of_nearly_sound_bytes(data in bytes_like(&ADDRESS_PIECES)) {
        properties::address(&data);
    }

    #[test]
    fn a_command_is_read_as_it_was_written(command in command()) {
        properties::is_one_line(&command);
    }

    #[test]
    fn a_reply_is_read_as_it_was_written(reply in reply()) {
        properties::is_read_alike_by_all(&reply);
    }

    #[test]
    fn replies_in_a_row_stay_apart(replies in vec(reply(), 0..8), piece in 1usize..64) {
        let wire: Vec<u8> = replies.iter().flat_map(Reply::encode).collect();
        let read: Result<Vec<Reply>, ReplyError> = properties::replies(&wire, piece).into_iter().collect();
        prop_assert_eq!(read, Ok(replies));
    }

    #[test]
    fn an_address_is_read_as_it_was_written(ip in ip(), port in any::<u16>()) {
        let written = format_eprt(SocketAddr::new(ip, port));
        prop_assert_eq!(parse_eprt(written.as_bytes()), Ok(SocketAddr::new(ip.to_canonical(), port)));
        prop_assert_eq!(parse_epsv_reply(&epsv_reply(port)), (port != 0).then_some(port));
        if let IpAddr::V4(ip) = ip.to_canonical() {
            let address = SocketAddrV4::new(ip, port);
            prop_assert_eq!(parse_port(format_port(address).as_bytes()), Ok(address));
            prop_assert_eq!(parse_pasv_reply(&pasv_reply(address)), (port != 0).then_some(address));
        }
    }
}

#[test]
fn a_line_without_end_is_not_kept() {
    let stream = vec![b'x'; 1 << 20];
    assert_eq!(properties::lines(&stream, 4096), []);
    let ended = [stream.as_slice(), b"\r\nNOOP\r\n"].concat();
    assert_eq!(properties::lines(&ended, 4096), [Err(LineError::TooLong), Ok(b"NOOP".to_vec())]);
}

#[test]
fn a_reply_without_end_is_not_kept() {
    let line = vec![b'x'; REPLY_BYTES_MAX * 4];
    assert_eq!(properties::replies(&line, 4096), [Err(ReplyError::TooLong)]);
    let wide = [b"215-x\r\n".to_vec(), [&[b'y'; 1022][..], b"\r\n"].concat().repeat(256)].concat();
    assert_eq!(properties::replies(&wide, 4096), [Err(ReplyError::TooLong)]);
    let long = [b"215-x\r\n".to_vec(), b"y\r\n".repeat(REPLY_LINES_MAX * 4)].concat();
    assert_eq!(properties::replies(&long, 64), [Err(ReplyError::TooManyLines)]);
}

/// Pieces that grammars are made of, in any order, with noise: random bytes alone seldom reach the depths.
fn bytes_like(pieces: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => select(pieces).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..48).prop_map(|pieces| pieces.concat())
}

fn command() -> impl Strategy<Value = Command> {
    let argument =
        vec(any::<u8>().prop_filter("fits in a line", |byte| !matches!(byte, b'\r' | b'\n' | 0)), 1..100);
    (select(Verb::ALL), proptest::option::of(argument)).prop_map(|(verb, argument)| {
        match (verb.arity(), argument) {
            (Arity::None, _) | (Arity::Optional, None) => Command::bare(verb),
            (Arity::Required, None) => Command::with(verb, "x").expect("a literal argument fits"),
            (Arity::Optional | Arity::Required, Some(bytes)) => {
                Command::with(verb, bytes).expect("it was filtered")
            }
        }
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    let text = "[ -~\t\r\n\0\u{7f}]{0,40}|[0-9]{3}( [a-z]*)?";
    (100u16..=659, text, vec(text, 0..8), text).prop_map(|(code, first, between, last)| {
        if between.is_empty() {
            Reply::new(code, first)
        } else {
            Reply::multiline(code, &first, between, &last)
        }
    })
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        any::<u32>().prop_map(|bits| IpAddr::V6(Ipv4Addr::from_bits(bits).to_ipv6_mapped())),
    ]
}

const LINE_PIECES: [&[u8]; 12] = [
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"NOOP",
    b"RETR a",
    b"\xff\xff",
    b"\xff\xf4",
    b"\xff\xf2",
    b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];
const REPLY_PIECES: [&[u8]; 14] = [
    b"220 ",
    b"220-",
    b"220",
    b"226 ",
    b"226",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b" SIZE",
    b"\x1b[2J",
    b"(|||2100|)",
    b"text",
];
const COMMAND_PIECES: [&[u8]; 12] =
    [b"RETR", b"PASS", b"list", b"PASV", b"XCWD", b" ", b" ", b"a", b"\xff", b"\xff\xff", b"\r\n", b"\t"];
const ADDRESS_PIECES: [&[u8]; 16] = [
    b"|",
    b"|",
    b"|",
    b"1",
    b"2",
    b"127,0,0,1,",
    b"192.0.2.1",
    b"::1",
    b"::ffff:1.2.3.4",
    b"65535",
    b"256",
    b",",
    b"(",
    b")",
    b"!",
    b"0",
];
