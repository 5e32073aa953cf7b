//! SHA-256 fingerprints, written as `openssl x509 -fingerprint -sha256`, FileZilla and WinSCP write them.

use std::fmt;

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;

/// SHA-256 over a whole certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; BYTES]);

impl Fingerprint {
    /// The fingerprint of `certificate`.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = digest::digest(&digest::SHA256, certificate);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(formatter, "{separator}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

const BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_in_capitals_with_colons() {
        // The known answer of FIPS 180 for "abc".
        let fingerprint = Fingerprint::of(&CertificateDer::from(b"abc".as_slice()));
        assert_eq!(
            fingerprint.to_string(),
            "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD"
        );
    }
}
