//! SHA-256 of a public key (SubjectPublicKeyInfo), as `tls_pin` names it: `sha256/` and base64 (RFC 7469 §2.4).
//!
//! A pin names a key and not a certificate: it stays the same when the certificate is renewed with the same key.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;

use crate::{Error, identity::parse};

/// One pinned key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; BYTES]);

impl Pin {
    /// The pin of the key in `certificate`; none if it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = parse(certificate).ok()?;
        let digest = digest::digest(&digest::SHA256, certificate.public_key().raw);
        Some(Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes")))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl From<[u8; BYTES]> for Pin {
    fn from(digest: [u8; BYTES]) -> Self {
        Self(digest)
    }
}

impl FromStr for Pin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digest = text.strip_prefix(PREFIX).and_then(decode);
        digest.map(Self).ok_or_else(|| Error::InvalidPin { text: text.into() })
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(PREFIX)?;
        let mut characters = [b'='; CHARACTERS];
        for (group, bytes) in characters.chunks_mut(4).zip(self.0.chunks(3)) {
            let mut padded = [0; 3];
            padded[..bytes.len()].copy_from_slice(bytes);
            let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
            for (index, character) in group.iter_mut().enumerate().take(bytes.len() + 1) {
                *character = ALPHABET[(bits >> (18 - 6 * index) & 63) as usize];
            }
        }
        formatter.write_str(str::from_utf8(&characters).expect("base64 is ASCII"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// 32 bytes from base64, strictly: with its padding, and no bit set where there is no byte.
fn decode(text: &str) -> Option<[u8; BYTES]> {
    let characters = text.as_bytes().strip_suffix(b"=").filter(|rest| rest.len() == CHARACTERS - 1)?;
    let mut digest = [0; BYTES];
    for (bytes, group) in digest.chunks_mut(3).zip(characters.chunks(4)) {
        let mut bits = 0;
        for (index, character) in group.iter().enumerate() {
            let value = ALPHABET.iter().position(|known| known == character)?;
            bits |= (value as u32) << (18 - 6 * index);
        }
        let [_, decoded @ ..] = bits.to_be_bytes();
        bytes.copy_from_slice(&decoded[..bytes.len()]);
        if decoded[bytes.len()..].iter().any(|rest| *rest != 0) {
            return None;
        }
    }
    Some(digest)
}

const PREFIX: &str = "sha256/";
const BYTES: usize = 32;
const CHARACTERS: usize = 44;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_what_other_tools_write() {
        // `printf abc | openssl dgst -sha256 -binary | base64`
        let abc: [u8; 32] = digest::digest(&digest::SHA256, b"abc").as_ref().try_into().unwrap();
        let text = "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(Pin::from(abc).to_string(), text);
        assert_eq!(text.parse::<Pin>().unwrap(), Pin::from(abc));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "sha256/",
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            "sha1/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0",
            "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa1=",
            "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=",
            "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0==",
            "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFäa0=",
        ] {
            assert!(text.parse::<Pin>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(digest: [u8; 32]) {
            let pin = Pin::from(digest);
            prop_assert_eq!(pin.to_string().parse::<Pin>().unwrap(), pin);
        }
    }
}
