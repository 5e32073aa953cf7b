//! The addresses in PORT, EPRT, 227 and 229: RFC 959 §5.3, RFC 2428.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use super::reply::Reply;

/// Network protocol numbers of RFC 2428 §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 1
    V4,
    /// 2
    V6,
}

impl Family {
    /// The family of an address; IPv4-mapped ones are IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The digit on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }
}

/// What EPSV may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpsvArgument {
    /// Nothing: the family of the control connection.
    Default,
    /// `1` or `2`.
    Family(Family),
    /// `ALL`: from now on nothing but EPSV.
    All,
}

/// Why an argument of PORT, EPRT or EPSV is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// 501
    #[error("malformed address")]
    Malformed,
    /// 522
    #[error("unknown network protocol")]
    UnknownFamily,
}

/// Parses the argument of EPSV.
///
/// # Errors
///
/// A number other than 1 and 2 is an unknown family; anything else is malformed.
pub fn parse_epsv(argument: Option<&[u8]>) -> Result<EpsvArgument, AddressError> {
    match argument {
        None => Ok(EpsvArgument::Default),
        Some(word) if word.eq_ignore_ascii_case(b"ALL") => Ok(EpsvArgument::All),
        Some(word) => parse_family(word).map(EpsvArgument::Family),
    }
}

fn parse_family(word: &[u8]) -> Result<Family, AddressError> {
    match word {
        b"1" => Ok(Family::V4),
        b"2" => Ok(Family::V6),
        _ if !word.is_empty() && word.iter().all(u8::is_ascii_digit) => Err(AddressError::UnknownFamily),
        _ => Err(AddressError::Malformed),
    }
}

/// Parses `h1,h2,h3,h4,p1,p2`, the argument of PORT.
///
/// # Errors
///
/// Anything that is not exactly six numbers up to 255.
pub fn parse_port(argument: &[u8]) -> Result<SocketAddrV4, AddressError> {
    let mut numbers = [0u8; 6];
    let mut parts = argument.split(|&byte| byte == b',');
    for number in &mut numbers {
        let part = parts.next().ok_or(AddressError::Malformed)?;
        *number = parse_octet(part).ok_or(AddressError::Malformed)?;
    }
    if parts.next().is_some() {
        return Err(AddressError::Malformed);
    }
    Ok(socket_v4(numbers))
}

/// Parses `|family|address|port|`, the argument of EPRT.
///
/// # Errors
///
/// See [`AddressError`].
pub fn parse_eprt(argument: &[u8]) -> Result<SocketAddr, AddressError> {
    let (&delimiter, rest) = argument.split_first().ok_or(AddressError::Malformed)?;
    if !is_delimiter(delimiter) {
        return Err(AddressError::Malformed);
    }
    let parts: Vec<&[u8]> = rest.splitn(5, |&byte| byte == delimiter).collect();
    let &[family, address, port, b""] = parts.as_slice() else { return Err(AddressError::Malformed) };
    let family = parse_family(family)?;
    let address = std::str::from_utf8(address).map_err(|_| AddressError::Malformed)?;
    let address: IpAddr = match family {
        Family::V4 => address.parse::<Ipv4Addr>().map_err(|_| AddressError::Malformed)?.into(),
        Family::V6 => address.parse::<Ipv6Addr>().map_err(|_| AddressError::Malformed)?.into(),
    };
    let port = parse_number(port).ok_or(AddressError::Malformed)?;
    Ok(SocketAddr::new(address, port))
}

/// The address in a 227: six numbers anywhere in the text, as RFC 1123 §4.1.2.6 wants it. Port 0 is none.
pub fn parse_pasv_reply(reply: &Reply) -> Option<SocketAddrV4> {
    let text = reply.last_text();
    (0..text.len())
        .filter(|&start| text[start].is_ascii_digit() && (start == 0 || !text[start - 1].is_ascii_digit()))
        .find_map(|start| parse_six(&text[start..]))
        .filter(|address| address.port() != 0)
}

fn parse_six(text: &[u8]) -> Option<SocketAddrV4> {
    let mut numbers = [0u8; 6];
    let mut rest = text;
    for (index, number) in numbers.iter_mut().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(b",")?;
        }
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *number = parse_octet(&rest[..digits])?;
        rest = &rest[digits..];
    }
    Some(socket_v4(numbers))
}

/// The port in a 229: `(|||port|)` with any delimiter from 33 to 126. Port 0 is none.
pub fn parse_epsv_reply(reply: &Reply) -> Option<u16> {
    let text = reply.last_text();
    let open = text.iter().rposition(|&byte| byte == b'(')?;
    let inside = &text[open + 1..];
    let &delimiter = inside.first()?;
    if !is_delimiter(delimiter) {
        return None;
    }
    // The family and address fields are empty (RFC 2428 §3), but a server may fill them in.
    let parts: Vec<&[u8]> = inside.splitn(6, |&byte| byte == delimiter).collect();
    let &[b"", _, _, port, rest, ..] = parts.as_slice() else { return None };
    if !rest.starts_with(b")") {
        return None;
    }
    parse_number(port).filter(|&port| port != 0)
}

/// `Entering Passive Mode (h1,h2,h3,h4,p1,p2).`
pub fn pasv_reply(address: SocketAddrV4) -> Reply {
    Reply::new(227, format!("Entering Passive Mode ({}).", format_port(address)))
}

/// `Entering Extended Passive Mode (|||port|)`
pub fn epsv_reply(port: u16) -> Reply {
    Reply::new(229, format!("Entering Extended Passive Mode (|||{port}|)"))
}

/// `h1,h2,h3,h4,p1,p2`
pub fn format_port(address: SocketAddrV4) -> String {
    let [a, b, c, d] = address.ip().octets();
    let [high, low] = address.port().to_be_bytes();
    format!("{a},{b},{c},{d},{high},{low}")
}

/// `|family|address|port|`
pub fn format_eprt(address: SocketAddr) -> String {
    let ip = address.ip().to_canonical();
    format!("|{}|{ip}|{}|", Family::of(ip).number(), address.port())
}

fn socket_v4([a, b, c, d, high, low]: [u8; 6]) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))
}

/// RFC 2428 §2: any printable ASCII character.
fn is_delimiter(byte: u8) -> bool {
    (33..=126).contains(&byte) && !byte.is_ascii_digit()
}

fn parse_octet(digits: &[u8]) -> Option<u8> {
    parse_number(digits).and_then(|number| u8::try_from(number).ok())
}

fn parse_number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasv_replies_of_many_servers() {
        for (text, expected) in [
            ("Entering Passive Mode (192,0,2,7,4,1).", Some("192.0.2.7:1025")),
            ("Entering Passive Mode 192,0,2,7,4,1", Some("192.0.2.7:1025")),
            ("=192,0,2,7,4,1", Some("192.0.2.7:1025")),
            ("Entering Passive Mode (0,0,0,0,4,1)", Some("0.0.0.0:1025")),
            ("2 ways: (192,0,2,7,4,1)", Some("192.0.2.7:1025")),
            ("(192,0,2,256,4,1)", None),
            ("(192,0,2,7,4)", None),
            ("(192,0,2,7,0,0)", None),
            ("(192,0,2,7,4,999999)", None),
            ("", None),
        ] {
            let parsed = parse_pasv_reply(&Reply::new(227, text));
            assert_eq!(parsed.map(|address| address.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn epsv_replies_of_many_servers() {
        for (text, expected) in [
            ("Entering Extended Passive Mode (|||6446|)", Some(6446)),
            ("Entering Extended Passive Mode (!!!6446!)", Some(6446)),
            ("ok (|1|192.0.2.1|6446|).", Some(6446)),
            ("ok (|||0|)", None),
            ("ok (|||65536|)", None),
            ("ok (|||6446)", None),
            ("ok |||6446|", None),
            ("ok (1116446 1)", None),
        ] {
            assert_eq!(parse_epsv_reply(&Reply::new(229, text)), expected, "{text}");
        }
    }

    #[test]
    fn port_and_eprt_round_trip() {
        let v4: SocketAddrV4 = "192.0.2.7:1025".parse().unwrap();
        assert_eq!(parse_port(format_port(v4).as_bytes()), Ok(v4));
        for address in ["192.0.2.7:1025", "[2001:db8::1]:65535"] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(parse_eprt(format_eprt(address).as_bytes()), Ok(address));
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for argument in
            ["", "1,2,3,4,5", "1,2,3,4,5,6,7", "1,2,3,4,5,256", "1,2,3,4,5,-1", "a,b,c,d,e,f", "1,2,3,4,5,6 "]
        {
            assert_eq!(parse_port(argument.as_bytes()), Err(AddressError::Malformed), "{argument}");
        }
        for argument in [
            "",
            "|",
            "|1|192.0.2.1|x|",
            "|1|::1|21|",
            "|2|192.0.2.1|21|",
            "|1|192.0.2.1|21",
            "|1|192.0.2.1|21|x",
        ] {
            assert_eq!(parse_eprt(argument.as_bytes()), Err(AddressError::Malformed), "{argument}");
        }
        assert_eq!(parse_eprt(b"|3|192.0.2.1|2100|"), Err(AddressError::UnknownFamily));
    }

    #[test]
    fn epsv_arguments() {
        assert_eq!(parse_epsv(None), Ok(EpsvArgument::Default));
        assert_eq!(parse_epsv(Some(b"all")), Ok(EpsvArgument::All));
        assert_eq!(parse_epsv(Some(b"2")), Ok(EpsvArgument::Family(Family::V6)));
        assert_eq!(parse_epsv(Some(b"7")), Err(AddressError::UnknownFamily));
        assert_eq!(parse_epsv(Some(b"x")), Err(AddressError::Malformed));
    }
}
