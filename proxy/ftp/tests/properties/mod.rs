//! What must hold of the codec for any bytes whatever. Each function takes the bytes and panics where it does not.
//!
//! The same bodies run as property tests (`codec_properties.rs`) and as fuzz targets (`tests/fuzz`, whose library this file is).
#![allow(unreachable_pub, reason = "public where it is a library")]

use ftpsgate_ftp::codec::address::{
    epsv_reply, format_eprt, format_port, parse_eprt, parse_epsv, parse_epsv_reply, parse_pasv_reply,
    parse_port, pasv_reply,
};
use ftpsgate_ftp::codec::features::compose;
use ftpsgate_ftp::codec::reply::{REPLY_BYTES_MAX, REPLY_LINES_MAX};
use ftpsgate_ftp::codec::{
    Command, FeatureSet, LineDecoder, LineError, Reply, ReplyDecoder, ReplyError, Verb,
};

/// The first byte says how a stream is cut, the rest is the stream: lines do not depend on the cuts, are clean, and
/// are not held beyond the limit.
pub fn line(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = lines(stream, stream.len());
    // Two empty lines and a NUL are as fatal; that they begin a PROXY header is only seen if they come at once.
    if whole == [Err(LineError::ProxyHeader)] {
        assert_eq!(lines(stream, 1), [Ok(Vec::new()), Ok(Vec::new()), Err(LineError::Nul)]);
        return;
    }
    assert_eq!(lines(stream, 1), whole, "byte by byte");
    assert_eq!(lines(stream, 1 + usize::from(cut)), whole, "in pieces of {}", 1 + usize::from(cut));
    for line in whole.iter().flatten() {
        assert!(line.len() + 2 <= LINE_BYTES_MAX);
        assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
}

/// Any line that is a command is sent on as one line, and is the same command there.
pub fn command(data: &[u8]) {
    let mut stream = data.to_vec();
    stream.extend_from_slice(b"\r\n");
    for line in lines(&stream, stream.len()).into_iter().flatten() {
        if let Ok(command) = Command::parse(&line) {
            is_one_line(&command);
        }
    }
    for &verb in Verb::ALL {
        if let Some(command) = Command::with(verb, data) {
            assert!(one_line(&command.encode()), "{command:?}");
        }
    }
}

/// The first byte says how a stream is cut, the rest is the stream: replies do not depend on the cuts, are bounded, and
/// what a client gets of them has one last line and means the same.
pub fn reply(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = replies(stream, stream.len());
    assert_eq!(replies(stream, 1), whole, "byte by byte");
    assert_eq!(replies(stream, 1 + usize::from(cut)), whole, "in pieces of {}", 1 + usize::from(cut));
    for reply in whole.iter().flatten() {
        is_read_alike_by_all(reply);
        let _ = (parse_pasv_reply(reply), parse_epsv_reply(reply), format!("{reply:?}"));
        is_read_alike_by_all(&compose(&["EPSV"], &FeatureSet::parse(reply)));
    }
}

/// Arguments and replies that name addresses: what parses is written, and what is written parses, alike.
pub fn address(data: &[u8]) {
    let _ = parse_epsv(Some(data));
    if let Ok(address) = parse_port(data) {
        assert_eq!(parse_port(format_port(address).as_bytes()), Ok(address));
        assert_eq!(parse_pasv_reply(&pasv_reply(address)), (address.port() != 0).then_some(address));
    }
    if let Ok(address) = parse_eprt(data) {
        let written = parse_eprt(format_eprt(address).as_bytes()).expect("our own EPRT parses");
        assert_eq!((written.ip(), written.port()), (address.ip().to_canonical(), address.port()));
    }
    if let Some(address) = parse_pasv_reply(&Reply::new(227, data)) {
        assert_eq!(parse_pasv_reply(&pasv_reply(address)), Some(address));
    }
    if let Some(port) = parse_epsv_reply(&Reply::new(229, data)) {
        assert_eq!(parse_epsv_reply(&epsv_reply(port)), Some(port));
    }
}

/// The gateway's own form of a command is one line that is read back as the same command.
pub fn is_one_line(command: &Command) {
    let wire = command.encode();
    assert!(one_line(&wire), "{command:?}");
    let read = lines(&wire, wire.len());
    let [Ok(line)] = read.as_slice() else {
        // Doubled 255s count twice, so that a line at the limit may pass it.
        assert!(wire.len() > LINE_BYTES_MAX, "{command:?}: {read:?}");
        return;
    };
    assert_eq!(Command::parse(line).as_ref(), Ok(command));
}

/// Whoever looks for `ddd ` only, for `ddd` and a blank of the same code, or for the last CRLF, finds the same end.
pub fn is_read_alike_by_all(reply: &Reply) {
    let wire = reply.encode();
    let text = wire.strip_suffix(b"\r\n").expect("a reply ends with CRLF");
    let lines: Vec<&[u8]> = split_lines(text);
    let (last, others) = lines.split_last().expect("a reply has a line");
    assert!(lines.len() <= REPLY_LINES_MAX && text.len() <= REPLY_BYTES_MAX + REPLY_LINES_MAX + 2);
    assert!(looks_final(last));
    for (index, other) in others.iter().enumerate() {
        assert!(!looks_final(other), "line {index} of {reply:?}");
        assert!(index > 0 || other.starts_with(format!("{}-", reply.code()).as_bytes()));
    }
    for line in lines {
        assert!(!line.iter().any(|&byte| (byte.is_ascii_control() && byte != b'\t') || byte == 255));
    }
    // Blanks that are put before inner lines may carry a reply at the limit beyond it.
    if wire.len() <= REPLY_BYTES_MAX {
        assert_eq!(replies(&wire, wire.len()), [Ok(reply.clone())]);
    }
}

/// All lines of a stream that comes in pieces, up to the first fatal error. Nothing held grows beyond the limit.
pub fn lines(stream: &[u8], piece: usize) -> Vec<Result<Vec<u8>, LineError>> {
    let mut decoder = LineDecoder::new(LINE_BYTES_MAX);
    let mut lines = Vec::new();
    for bytes in stream.chunks(piece.max(1)) {
        decoder.feed(bytes);
        while let Some(line) = decoder.next_line() {
            let fatal = matches!(line, Err(error) if error.is_fatal());
            lines.push(line);
            if fatal {
                return lines;
            }
        }
        assert!(shown(&decoder) <= ESCAPED * LINE_BYTES_MAX + 256);
    }
    lines
}

/// All replies of a stream that comes in pieces, up to the first error. Nothing held grows beyond the limits.
pub fn replies(stream: &[u8], piece: usize) -> Vec<Result<Reply, ReplyError>> {
    let mut decoder = ReplyDecoder::default();
    let mut replies = Vec::new();
    for bytes in stream.chunks(piece.max(1)) {
        decoder.feed(bytes);
        while let Some(reply) = decoder.next_reply() {
            let failed = reply.is_err();
            replies.push(reply);
            if failed {
                return replies;
            }
        }
        if stream.len() > REPLY_BYTES_MAX {
            assert!(shown(&decoder) <= ESCAPED * (REPLY_BYTES_MAX + piece));
        }
    }
    replies
}

/// A decoder's `Debug` shows all that it holds, each byte as at most [`ESCAPED`] characters.
fn shown(decoder: &impl std::fmt::Debug) -> usize {
    format!("{decoder:?}").len()
}

fn one_line(wire: &[u8]) -> bool {
    wire.strip_suffix(b"\r\n").is_some_and(|line| !line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)))
}

fn split_lines(mut text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(end) = text.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&text[..end]);
        text = &text[end + 2..];
    }
    lines.push(text);
    lines
}

fn looks_final(line: &[u8]) -> bool {
    line.len() >= 3 && line[..3].iter().all(u8::is_ascii_digit) && matches!(line.get(3), None | Some(b' '))
}

/// Small, so that random lines reach it.
pub const LINE_BYTES_MAX: usize = 128;
const ESCAPED: usize = 8;
