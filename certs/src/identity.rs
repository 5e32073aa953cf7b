//! An identity: a certificate chain and the private key that was proven to belong to it.
//!
//! Whoever holds an [`Identity`] can serve TLS with it; nothing about it needs to be checked again, except the
//! date.

use std::{
    fmt, fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{InconsistentKeys, crypto::aws_lc_rs::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
};

use crate::{DnsName, Error, Fingerprint, SubjectName, Warning, pem};

/// A chain and its key, ready for rustls. RSA, ECDSA and Ed25519; PKCS#8, PKCS#1 and SEC1.
pub struct Identity {
    chain_file: PathBuf,
    key_file: PathBuf,
    certified_key: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
    leaf: Leaf,
    /// Those that do not depend on the date.
    warnings: Vec<Warning>,
}

impl Identity {
    /// Reads a chain (the server's certificate first, then its intermediates) and its key from PEM files, which
    /// may be one and the same file. Each file may have a megabyte.
    ///
    /// # Errors
    ///
    /// Whatever keeps the pair from working: a file that cannot be read or is no PEM, no certificate, no key or
    /// an encrypted one, a key that does not belong to the first certificate. A certificate that has ended is no
    /// error: see [`Identity::warnings`].
    pub fn load(chain: &Path, key: &Path) -> Result<Self, Error> {
        let certificates = pem::certificates(chain)?;
        if certificates.len() > CHAIN_CERTIFICATES_MAX {
            return Err(Error::ChainTooLong {
                file: chain.into(),
                count: certificates.len(),
                count_max: CHAIN_CERTIFICATES_MAX,
            });
        }
        let signing_key = any_supported_type(&pem::private_key(key)?)
            .map_err(|error| Error::UnusableKey { file: key.into(), reason: error.to_string() })?;
        let certified_key = CertifiedKey::new(certificates, signing_key);
        prove(&certified_key, chain, key)?;

        let unusable =
            |(position, reason)| Error::UnusableCertificate { file: chain.into(), position, reason };
        let leaf = Leaf::read(&certified_key.cert[0]).map_err(|reason| unusable((1, reason)))?;
        let mut warnings = leaf.warnings.clone();
        warnings.extend(chain_gap(&certified_key.cert).map_err(unusable)?);
        warnings.extend(key_exposed(key));
        Ok(Self {
            chain_file: chain.into(),
            key_file: key.into(),
            fingerprint: Fingerprint::of(&certified_key.cert[0]),
            certified_key: Arc::new(certified_key),
            leaf,
            warnings,
        })
    }

    /// The pair as rustls wants it.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified_key)
    }

    /// The names that the certificate is for: its subjectAltName's DNS names and addresses, or its common name
    /// where it has none of these (RFC 6125 §6.4.4).
    pub fn names(&self) -> &[SubjectName] {
        &self.leaf.names
    }

    /// When the certificate begins.
    pub fn not_before(&self) -> SystemTime {
        self.leaf.not_before
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> SystemTime {
        self.leaf.not_after
    }

    /// SHA-256 of the server's own certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Where the chain was read.
    pub fn chain_file(&self) -> &Path {
        &self.chain_file
    }

    /// Where the key was read.
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }

    /// What is odd about it at `now`.
    pub fn warnings(&self, now: SystemTime) -> Vec<Warning> {
        let dates = Warning::of_dates(self.not_before(), self.not_after(), now);
        dates.into_iter().chain(self.warnings.iter().cloned()).collect()
    }

    /// Whether both present the same certificates, and so, as keys are proven, sign with the same key.
    pub(crate) fn same_chain(&self, other: &Self) -> bool {
        self.certified_key.cert == other.certified_key.cert
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("chain_file", &self.chain_file)
            .field("names", &self.leaf.names)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// What is read from the server's own certificate.
struct Leaf {
    names: Vec<SubjectName>,
    not_before: SystemTime,
    not_after: SystemTime,
    warnings: Vec<Warning>,
}

impl Leaf {
    fn read(der: &CertificateDer<'_>) -> Result<Self, String> {
        let certificate = parse(der)?;
        let mut warnings = Vec::new();
        let mut names = alternative_names(&certificate);
        if names.is_empty() {
            names = common_name(&certificate);
            warnings.push(if names.is_empty() { Warning::Nameless } else { Warning::CommonNameOnly });
        }
        if !for_servers(&certificate) {
            warnings.push(Warning::NotForServers);
        }
        let validity = certificate.validity();
        Ok(Self {
            names,
            not_before: system_time(validity.not_before.timestamp()),
            not_after: system_time(validity.not_after.timestamp()),
            warnings,
        })
    }
}

/// Reads one certificate; the whole of it must be one.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("there are bytes behind it".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Seconds since 1970 as the system counts them; 1970 itself for what lies outside its range.
pub(crate) fn system_time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(distance),
        false => SystemTime::UNIX_EPOCH.checked_add(distance),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Proves that the key belongs to the first certificate, and says which one it belongs to if not.
fn prove(certified_key: &CertifiedKey, chain: &Path, key: &Path) -> Result<(), Error> {
    match certified_key.keys_match() {
        Ok(()) => Ok(()),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            let belongs = |certificate: &CertificateDer<'static>| {
                let candidate = CertifiedKey::new(vec![certificate.clone()], Arc::clone(&certified_key.key));
                candidate.keys_match().is_ok()
            };
            let (chain, key) = (chain.into(), key.into());
            Err(match certified_key.cert.iter().position(belongs) {
                Some(index) => Error::ChainOrder { chain, key, position: index + 1 },
                None => Error::Mismatch { chain, key },
            })
        }
        Err(error) => {
            Err(Error::UnusableCertificate { file: chain.into(), position: 1, reason: error.to_string() })
        }
    }
}

/// The DNS names and addresses of the subjectAltName. A name that TLS could not ask for is left out.
pub(crate) fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<SubjectName> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) => text.parse::<DnsName>().ok().map(SubjectName::Dns),
        GeneralName::IPAddress(octets) => address(octets).map(SubjectName::address),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

/// The last common name, where it reads as a DNS name or an address: `CN=FTP Server` names no host.
fn common_name(certificate: &X509Certificate<'_>) -> Vec<SubjectName> {
    let last = certificate.subject().iter_common_name().last();
    last.and_then(|name| name.as_str().ok()?.parse().ok()).into_iter().collect()
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

pub(crate) fn for_servers(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().all(|extension| match extension.parsed_extension() {
        ParsedExtension::ExtendedKeyUsage(usage) => usage.server_auth || usage.any,
        _ => true,
    })
}

/// The first certificate that the one after it did not issue, by name.
fn chain_gap(chain: &[CertificateDer<'_>]) -> Result<Option<Warning>, (usize, String)> {
    let parsed =
        chain.iter().enumerate().map(|(index, der)| parse(der).map_err(|reason| (index + 1, reason)));
    let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
    let gap = parsed.windows(2).position(|pair| pair[0].issuer().as_raw() != pair[1].subject().as_raw());
    Ok(gap.map(|index| Warning::ChainGap { position: index + 1 }))
}

fn key_exposed(key: &Path) -> Option<Warning> {
    let mode = fs::metadata(key).ok()?.permissions().mode() & 0o7777;
    (mode & 0o004 != 0).then_some(Warning::KeyExposed { mode })
}

/// Certificates in a chain. Real ones have two to four, and clients bound the whole handshake message.
const CHAIN_CERTIFICATES_MAX: usize = 10;

#[cfg(test)]
mod tests;
