//! Certificates of the tests: an authority, and what it signs for servers and clients.
//!
//! Every [`Authority`] is a new one, so that a gateway that trusts one of them does not trust another.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Who signs certificates.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    root: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    certificate: String,
    key: String,
    pin: String,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    ///
    /// If there is no randomness.
    pub fn new() -> Self {
        let mut params = parameters(&[], "Test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("the system has randomness");
        let root = params.self_signed(&key).expect("the parameters are complete").pem();
        let folder = tempfile::Builder::new().prefix("ftpsgate-ca-").tempdir().expect("a temporary folder");
        fs::write(folder.path().join("ca.pem"), &root).expect("the folder can be written");
        Self { folder, root, issuer: Issuer::new(params, key) }
    }

    /// The root certificate, PEM.
    pub fn root_pem(&self) -> &str {
        &self.root
    }

    /// The file of the root, for `tls_ca` and `client_ca`; it goes with the authority.
    pub fn root_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Puts a certificate and its key into files that go with the authority; their paths.
    ///
    /// # Panics
    ///
    /// If the folder cannot be written.
    pub fn files(&self, identity: &Identity, name: &str) -> (PathBuf, PathBuf) {
        identity.write(self.folder.path(), name)
    }

    /// A server's certificate for 127.0.0.1, ::1 and `localhost`.
    pub fn server(&self) -> Identity {
        self.server_named(&["127.0.0.1", "::1", "localhost"])
    }

    /// A server's certificate for these names and addresses.
    pub fn server_named(&self, names: &[&str]) -> Identity {
        self.sign(names, "Test server", ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate with the subject `CN=name`.
    pub fn client(&self, name: &str) -> Identity {
        self.sign(&[], name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, names: &[&str], common_name: &str, purpose: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = parameters(names, common_name);
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("the system has randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters are complete");
        let pin = base64(&Sha256::digest(key.subject_public_key_info()));
        Identity { certificate: certificate.pem(), key: key.serialize_pem(), pin: format!("sha256/{pin}") }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Identity {
    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The private key, PEM.
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// The SHA-256 of the public key, as `tls_pin` writes it.
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// Writes both into a folder; the paths of chain and key.
    ///
    /// # Panics
    ///
    /// If the folder cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (chain, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&chain, &self.certificate).expect("the folder can be written");
        fs::write(&key, &self.key).expect("the folder can be written");
        (chain, key)
    }

    /// As rustls takes it.
    ///
    /// # Panics
    ///
    /// If rustls does not like what rcgen made.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM");
        let key = aws_lc_rs::sign::any_supported_type(&key).expect("a key that rustls knows");
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("PEM");
        Arc::new(CertifiedKey::new(vec![certificate], key))
    }
}

/// The roots that PEM text holds.
///
/// # Panics
///
/// If it holds none.
pub fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("a certificate");
    }
    assert!(!roots.is_empty(), "no certificate in {pem:?}");
    roots
}

fn parameters(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names of ASCII letters");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_usize, |word, index| {
            word << 8 | usize::from(chunk.get(index).copied().unwrap_or_default())
        });
        for digit in 0..4 {
            text.push(match digit <= chunk.len() {
                true => char::from(ALPHABET[word >> (18 - 6 * digit) & 63]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
