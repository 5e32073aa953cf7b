//! The names that a certificate is for: DNS names, wildcards among them, and addresses (RFC 6125, RFC 5280
//! §4.2.1.6).
//!
//! A name is checked once, when it becomes a value of these types. It is kept in lower case and without a
//! final dot, so that equal names are equal values.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::Error;

/// One name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectName {
    /// A dNSName.
    Dns(DnsName),
    /// An iPAddress; never an IPv4 address in IPv6's clothes.
    Address(IpAddr),
}

/// A DNS name, or a wildcard for one label: `*.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(String);

impl SubjectName {
    /// The name of an address; `::ffff:192.0.2.1` is `192.0.2.1`.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl DnsName {
    /// The name as text, in lower case and without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name stands for every name with one label in place of the `*`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }
}

impl FromStr for DnsName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let name = fold(text);
        let host = name.strip_prefix("*.").unwrap_or(&name);
        match rustls_pki_types::DnsName::try_from(host) {
            Ok(_) => Ok(Self(name)),
            Err(_) => Err(Error::InvalidName { text: text.into() }),
        }
    }
}

impl FromStr for SubjectName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match address_literal(text) {
            Some(address) => Ok(Self::address(address)),
            None => text.parse().map(Self::Dns),
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(formatter),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

/// A host name as names are compared: lower case, without the final dot of the root.
pub(crate) fn fold(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The wildcard that covers `host`, which is already folded: `*.example.com` for `ftp.example.com`.
pub(crate) fn wildcard_over(host: &str) -> Option<String> {
    let (label, rest) = host.split_once('.')?;
    (!label.is_empty() && !rest.is_empty()).then(|| format!("*.{rest}"))
}

/// The address in `192.0.2.1`, `2001:db8::1` or, as RFC 7151 writes it for HOST, `[2001:db8::1]`.
pub(crate) fn address_literal(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded() {
        let name: SubjectName = "FTP.Example.COM.".parse().unwrap();
        assert_eq!(name.to_string(), "ftp.example.com");
        let name: SubjectName = "*.Example.com".parse().unwrap();
        assert!(matches!(&name, SubjectName::Dns(name) if name.is_wildcard()));
    }

    #[test]
    fn addresses_are_addresses() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
        ] {
            let name: SubjectName = text.parse().unwrap();
            assert_eq!(name, SubjectName::Address(address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            ".",
            "*",
            "*.",
            "*.*.example.com",
            "f*.example.com",
            "a..b",
            "a b",
            "a\r\nb",
            "1.2.3",
            "ä.example",
        ] {
            assert!(text.parse::<SubjectName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        assert_eq!(wildcard_over("ftp.example.com").as_deref(), Some("*.example.com"));
        assert_eq!(wildcard_over("localhost"), None);
        assert_eq!(wildcard_over(".com"), None);
    }
}
