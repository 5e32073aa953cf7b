//! Texts with a syntax of their own: addresses, servers, networks, port ranges, names.
//!
//! Nothing here knows where in a file a text stood, so that the command line can use it as well.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ftpsgate_certs::Pin;
use ipnet::IpNet;

use super::model::{Advertise, PassivePeer, PassivePorts, ServerAddress};
use super::spelling::printable;
use super::units::UnitError;

/// Why a text cannot be read, and what would have been right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong, without the name of the key.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl SyntaxError {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl From<UnitError> for SyntaxError {
    fn from(error: UnitError) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}

impl FromStr for ServerAddress {
    type Err = SyntaxError;

    /// Reads `HOST`, `HOST:PORT`, `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`; the port is 21
    /// where none is written.
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Self::parse(text, 21)
    }
}

impl ServerAddress {
    /// Reads what [`FromStr`] reads, with the port that holds where none is written.
    pub(super) fn parse(text: &str, default_port: u16) -> Result<Self, SyntaxError> {
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(SyntaxError::new(
                format!("{} is an URL, not a server", quoted(text)),
                format!(
                    "write the host and the port alone, without `{}://`: {}",
                    printable(scheme),
                    quoted(rest)
                ),
            ));
        }
        let (host, port) = split_port(text)?;
        let port = port.map_or(Ok(default_port), server_port)?;
        match host.parse::<IpAddr>() {
            Ok(address) => Ok(Self { host: server_ip(address)?.to_string(), port }),
            Err(_) => {
                check_host(host)?;
                Ok(Self { host: host.to_owned(), port })
            }
        }
    }
}

/// A port that servers may listen on.
pub(super) fn server_port(text: &str) -> Result<u16, SyntaxError> {
    port(text).ok_or_else(|| {
        SyntaxError::new(
            format!("{} is not a port", quoted(text)),
            "ports are 1 to 65535; FTP servers listen on 21",
        )
    })
}

/// An address that servers may have.
pub(super) fn server_ip(address: IpAddr) -> Result<IpAddr, SyntaxError> {
    if address.is_unspecified() || address.is_multicast() {
        return Err(SyntaxError::new(
            format!("nothing can connect to {address}"),
            "write the address that the server listens on, \"127.0.0.1\" for this machine",
        ));
    }
    Ok(address)
}

/// The host and, if one is written, the port of a server.
pub(super) fn split_port(text: &str) -> Result<(&str, Option<&str>), SyntaxError> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').unwrap_or((bracketed, "?"));
        let port = rest.strip_prefix(':');
        if address.parse::<Ipv6Addr>().is_err() || (port.is_none() && !rest.is_empty()) {
            return Err(SyntaxError::new(
                format!("{} is not a server", quoted(text)),
                "an IPv6 address with its port is written \"[2001:db8::1]:21\"",
            ));
        }
        return Ok((address, port));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    Ok(text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

/// Reads an address to listen on.
///
/// # Errors
///
/// When it is not an IP address with a port.
pub fn parse_bind(text: &str) -> Result<SocketAddr, SyntaxError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let hint = if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        format!("add the port: \"{}\"", SocketAddr::new(address, 21))
    } else if let Ok(port) = text.trim_start_matches(['*', ':']).parse::<u16>() {
        format!("for every address of this machine write \"0.0.0.0:{port}\" and \"[::]:{port}\"")
    } else {
        "write an address and a port such as \"0.0.0.0:21\" or \"[::]:21\"".to_owned()
    };
    Err(SyntaxError::new(format!("{} is not an address to listen on", quoted(text)), hint))
}

/// Reads `LOW-HIGH` or `auto:COUNT`.
pub(super) fn passive_ports(text: &str) -> Result<PassivePorts, SyntaxError> {
    if let Some(count) = text.strip_prefix("auto:") {
        return match count.parse() {
            Ok(count @ 1..=AUTO_PORTS_MAX) => Ok(PassivePorts::Auto(count)),
            Ok(_) | Err(_) => Err(SyntaxError::new(
                format!("{} is not a number of ports", quoted(count)),
                format!("`auto:` takes a number from 1 to {AUTO_PORTS_MAX}, as in \"auto:10\""),
            )),
        };
    }
    let Some((low, high)) = text.split_once('-') else {
        let hint = match text.trim().parse::<u16>() {
            Ok(port) => format!("a range of one port is written \"{port}-{port}\""),
            Err(_) => "write a range such as \"61000-61009\", or \"auto:10\"".to_owned(),
        };
        return Err(SyntaxError::new(format!("{} is not a range of ports", quoted(text)), hint));
    };
    let (Some(low), Some(high)) = (port(low), port(high)) else {
        return Err(SyntaxError::new(
            format!("{} is not a range of ports", quoted(text)),
            "ports are 1 to 65535, as in \"61000-61009\"",
        ));
    };
    if low > high {
        return Err(SyntaxError::new(
            format!("the range {} ends before it begins", quoted(text)),
            format!("did you mean \"{high}-{low}\"?"),
        ));
    }
    Ok(PassivePorts::Range(low..=high))
}

/// Reads `exact` or `/PREFIX`.
pub(super) fn passive_peer(text: &str) -> Result<PassivePeer, SyntaxError> {
    if text == "exact" {
        return Ok(PassivePeer::Exact);
    }
    match text.strip_prefix('/').map(str::parse) {
        Some(Ok(bits @ 1..=128)) => Ok(PassivePeer::Prefix(bits)),
        Some(Ok(0)) => Err(SyntaxError::new(
            "\"/0\" would let anyone take a session's data connection",
            "write \"exact\", or the prefix that a client's addresses have in common, such as \"/24\"",
        )),
        Some(Ok(_) | Err(_)) | None => Err(SyntaxError::new(
            format!("{} is neither \"exact\" nor a prefix", quoted(text)),
            "write \"exact\", or a prefix of 1 to 128 bits such as \"/24\"",
        )),
    }
}

/// Reads `auto`, an address or a host name.
pub(super) fn advertise(text: &str) -> Result<Advertise, SyntaxError> {
    if text == "auto" {
        return Ok(Advertise::Auto);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return dialable(address).map(Advertise::Address);
    }
    check_host(text)?;
    Ok(Advertise::Host(text.to_owned()))
}

/// Reads an address that clients can be told.
pub(super) fn address(text: &str) -> Result<IpAddr, SyntaxError> {
    match text.parse() {
        Ok(address) => dialable(address),
        Err(_) => Err(SyntaxError::new(
            format!("{} is not an address", quoted(text)),
            "write an address such as \"10.1.1.1\"",
        )),
    }
}

/// Reads `ADDRESS/BITS`, or an address for itself alone.
pub(super) fn network(text: &str) -> Result<IpNet, SyntaxError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| {
        SyntaxError::new(
            format!("{} is not a network", quoted(text)),
            "write an address and the length of its prefix, such as \"10.0.0.0/8\"",
        )
    })?;
    if network.trunc() == network {
        return Ok(network);
    }
    Err(SyntaxError::new(
        format!("{} has bits behind its prefix", quoted(text)),
        format!("did you mean \"{}\" or \"{}\"?", network.trunc(), IpNet::from(network.addr())),
    ))
}

/// Reads the name of a listener, a backend or a profile.
pub(super) fn name(text: &str) -> Result<String, SyntaxError> {
    let allowed = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, ':' | '/');
    if text.is_empty() {
        return Err(SyntaxError::new(
            "a name cannot be empty",
            "logs and other keys refer to it by its name",
        ));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(SyntaxError::new(
            "the name is too long",
            format!("names have up to {NAME_BYTES_MAX} bytes"),
        ));
    }
    match text.chars().find(|c| !allowed(*c)) {
        None => Ok(text.to_owned()),
        Some(character) => Err(SyntaxError::new(
            format!("a name cannot contain {character:?}"),
            "names are one word without `:` and `/`, such as \"ftps-partners\"",
        )),
    }
}

/// Reads a text that is shown to people, of one line.
pub(super) fn line(text: &str) -> Result<String, SyntaxError> {
    if text.len() > LINE_BYTES_MAX {
        return Err(SyntaxError::new("the text is too long", format!("up to {LINE_BYTES_MAX} bytes fit")));
    }
    match text.chars().find(|c| c.is_control()) {
        None => Ok(text.to_owned()),
        Some(character) => Err(SyntaxError::new(
            format!("the text contains the control character {character:?}"),
            "write one line of printable text",
        )),
    }
}

/// Reads the local address of connections; `None` for `auto`.
pub(super) fn source(text: &str) -> Result<Option<IpAddr>, SyntaxError> {
    match text.parse::<IpAddr>() {
        _ if text == "auto" => Ok(None),
        Ok(address) if !address.is_unspecified() && !address.is_multicast() => Ok(Some(address)),
        _ if text == "client" => Err(SyntaxError::new(
            "\"client\" is not available in this version",
            "servers see an address of the gateway; `proxy_protocol` tells them the client's",
        )),
        Ok(_) | Err(_) => Err(SyntaxError::new(
            format!("{} is not an address of this machine", quoted(text)),
            "write an address such as \"10.2.0.1\", or \"auto\" for the kernel's choice",
        )),
    }
}

/// Reads the name that a server's certificate must have: a host name or an address.
pub(super) fn certificate_name(text: &str) -> Result<String, SyntaxError> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => check_host(text).map(|()| text.to_owned()),
    }
}

/// Reads `sha256/` and a digest in Base64.
pub(super) fn pin(text: &str) -> Result<Pin, SyntaxError> {
    text.parse().map_err(|_| {
        SyntaxError::new(
            format!(
                "{} is not a pin: it is `sha256/` and the 44 characters of Base64 that name a key",
                quoted(text)
            ),
            "`openssl x509 -in server.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 \
             -binary | openssl base64` prints those of a certificate",
        )
    })
}

/// Reads a user name that the gateway sends to servers.
pub(super) fn user(text: &str) -> Result<String, SyntaxError> {
    if text.is_empty() {
        return Err(SyntaxError::new("a user name cannot be empty", "write the name that the server knows"));
    }
    line(text)
}

/// Reads a directory on servers.
pub(super) fn directory(text: &str) -> Result<String, SyntaxError> {
    if text.is_empty() {
        return Err(SyntaxError::new(
            "a directory cannot be empty",
            "leave the key out for the directory where the login leads",
        ));
    }
    line(text)
}

pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", printable(text))
}

fn port(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port != 0)
}

fn dialable(address: IpAddr) -> Result<IpAddr, SyntaxError> {
    if address.is_unspecified() || address.is_multicast() {
        return Err(SyntaxError::new(
            format!("clients cannot connect to {address}"),
            "write the address under which clients reach this gateway",
        ));
    }
    Ok(address)
}

/// RFC 1123 names, and underscores because they occur.
pub(super) fn check_host(host: &str) -> Result<(), SyntaxError> {
    let label = |label: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len()) && label.chars().all(allowed)
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if name.len() <= 253 && name.split('.').all(label) && !numeric {
        return Ok(());
    }
    Err(SyntaxError::new(
        format!("{} is neither an address nor a host name", quoted(host)),
        "write an address such as \"10.2.0.11\" or a name such as \"ftp.example.com\"",
    ))
}

/// More sockets than this for data connections are a mistake.
const AUTO_PORTS_MAX: u16 = 1000;

/// Fits the name of a socket that systemd passes on.
const NAME_BYTES_MAX: usize = 64;

/// Fits one reply line.
const LINE_BYTES_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        for (text, host, port) in [
            ("10.2.0.11:21", "10.2.0.11", 21),
            ("10.2.0.11", "10.2.0.11", 21),
            ("legacy", "legacy", 21),
            ("ftp.example.com:2121", "ftp.example.com", 2121),
            ("[::1]:2121", "::1", 2121),
            ("[2001:DB8::1]", "2001:db8::1", 21),
            ("::1", "::1", 21),
        ] {
            let server: ServerAddress = text.parse().unwrap();
            assert_eq!((server.host.as_str(), server.port), (host, port), "{text}");
            assert_eq!(server.to_string().parse(), Ok(server), "{text}");
        }
        let wrong = "|:21|host:|host:0|host:65536|host:ftp|a b|[::1|[::1]21|[h]:21|1.2.3:21|300.1.1.1|0.0.0.0:21|\
                     [::]:21|ftp://host|é.example|a..b|224.0.0.1|[::1]:";
        for text in wrong.split('|') {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn binds() {
        assert_eq!(parse_bind("0.0.0.0:21"), Ok(([0, 0, 0, 0], 21).into()));
        assert_eq!(parse_bind("[::]:0"), Ok((Ipv6Addr::UNSPECIFIED, 0).into()));
        for (text, hint) in [
            ("21", "\"0.0.0.0:21\""),
            (":21", "\"0.0.0.0:21\""),
            ("*:990", "\"[::]:990\""),
            ("10.0.0.1", "\"10.0.0.1:21\""),
            ("::1", "\"[::1]:21\""),
            ("[::1]", "\"[::1]:21\""),
            ("localhost:21", "\"0.0.0.0:21\""),
        ] {
            let error = parse_bind(text).unwrap_err();
            assert!(error.hint.contains(hint), "{text}: {error} {}", error.hint);
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(passive_ports("61000-61009"), Ok(PassivePorts::Range(61000..=61009)));
        assert_eq!(passive_ports("1 - 65535"), Ok(PassivePorts::Range(1..=65535)));
        assert_eq!(passive_ports("auto:1"), Ok(PassivePorts::Auto(1)));
        assert_eq!(passive_ports("auto:1000"), Ok(PassivePorts::Auto(1000)));
        for text in ["", "-", "0-1", "1-65536", "2-1", "61000", "auto", "auto:", "auto:0", "auto:1001", "a-b"]
        {
            assert!(passive_ports(text).is_err(), "{text}");
        }
        assert_eq!(passive_ports("2-1").unwrap_err().hint, "did you mean \"1-2\"?");
    }

    #[test]
    fn peers_networks_and_what_is_advertised() {
        assert_eq!(passive_peer("exact"), Ok(PassivePeer::Exact));
        assert_eq!(passive_peer("/24"), Ok(PassivePeer::Prefix(24)));
        for text in ["", "/", "/0", "/129", "24", "any"] {
            assert!(passive_peer(text).is_err(), "{text}");
        }
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        assert!(network("10.1.0.0/8").unwrap_err().hint.contains("\"10.0.0.0/8\""));
        assert!(network("10.0.0.0/33").is_err());
        assert_eq!(advertise("auto"), Ok(Advertise::Auto));
        assert_eq!(advertise("10.1.1.1"), Ok(Advertise::Address([10, 1, 1, 1].into())));
        assert_eq!(advertise("ftp.example.com"), Ok(Advertise::Host("ftp.example.com".to_owned())));
        for text in ["", "0.0.0.0", "10.1.1.1:21", "a b", "10.1.1"] {
            assert!(advertise(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(name("ftps-1").as_deref(), Ok("ftps-1"));
        for text in ["", "a b", "a:b", "a/b", "a\n", &"x".repeat(65)] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
