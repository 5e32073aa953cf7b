//! Which server's certificate is believed, where the gateway is TLS client: towards backends.
//!
//! Who decides is one of: CAs (the system's, or those of a file), in which also a server's own certificate may stand;
//! pinned keys; both; or, in danger, nobody. What never changes: the server must prove that it holds the key of the
//! certificate that it shows.
//!
//! RFC 5280 (chains), RFC 6125 and RFC 9525 (names), RFC 7469 §2.4 (pins).

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{
    Error, Pin,
    identity::{for_servers, parse},
    pem,
};

mod refusal;

pub use refusal::Refusal;

/// The CAs that a server's certificate must lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustedRoots {
    /// Those of the system.
    System,
    /// Those of a PEM file. A certificate in it that equals the server's own byte for byte is trusted as well.
    File(PathBuf),
}

/// How servers of one backend are judged.
///
/// rustls resumes a session only under the very verifier (the same `Arc`) that has judged it first: make one of
/// these for a backend, and give its [`verifier`](Self::verifier) to all its connections.
#[derive(Clone)]
pub struct ServerTrust {
    verifier: Arc<Verifier>,
}

impl ServerTrust {
    /// Chain, dates and name must be in order; with `pins`, the key must also be one of them.
    ///
    /// The system's roots are read once in the life of the process; this blocks on the file system.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, holds no certificate or an unusable one; a system without roots.
    pub fn by_roots(roots: &TrustedRoots, pins: Vec<Pin>) -> Result<Self, Error> {
        let anchors = match roots {
            TrustedRoots::System => Anchors { roots: system_roots()?, own: Vec::new(), file: None },
            TrustedRoots::File(file) => Anchors::read(file)?,
        };
        Ok(Self::new(Judgement::Anchors(anchors), pins))
    }

    /// The key must be one of `pins`, and nothing else counts: neither who issued the certificate, nor its dates
    /// (nobody vouches for them), nor its name.
    ///
    /// # Errors
    ///
    /// There are no pins.
    pub fn by_pins(pins: Vec<Pin>) -> Result<Self, Error> {
        match pins.is_empty() {
            true => Err(Error::NoPins),
            false => Ok(Self::new(Judgement::PinsAlone, pins)),
        }
    }

    /// Any certificate is believed whose key the server holds: protects from listeners, and from nobody who stands in
    /// between. Pins that are written all the same are kept.
    pub fn danger_any(pins: Vec<Pin>) -> Self {
        Self::new(Judgement::Nothing, pins)
    }

    /// The one judge, for rustls.
    pub fn verifier(&self) -> Arc<dyn ServerCertVerifier> {
        Arc::clone(&self.verifier) as _
    }

    fn new(judgement: Judgement, pins: Vec<Pin>) -> Self {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { verifier: Arc::new(Verifier { judgement, pins, algorithms }) }
    }
}

impl fmt::Debug for ServerTrust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verifier.fmt(formatter)
    }
}

/// What is asked of a certificate, apart from pins.
enum Judgement {
    Anchors(Anchors),
    PinsAlone,
    Nothing,
}

/// Where chains may end.
struct Anchors {
    roots: Arc<RootCertStore>,
    /// Certificates that are trusted as they are.
    own: Vec<CertificateDer<'static>>,
    /// Where they were read; none: the system.
    file: Option<PathBuf>,
}

impl Anchors {
    fn read(file: &PathBuf) -> Result<Self, Error> {
        let own = pem::certificates(file)?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in own.iter().enumerate() {
            let unusable =
                |reason| Error::UnusableCertificate { file: file.into(), position: index + 1, reason };
            // Only a CA may vouch for others: webpki would take anything that stands here for one.
            if may_issue(certificate).map_err(unusable)? {
                roots.add(certificate.clone()).map_err(|error| unusable(error.to_string()))?;
            }
        }
        Ok(Self { roots: Arc::new(roots), own, file: Some(file.clone()) })
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Refusal> {
        let refuse = |error| Refusal::from_rustls(error, leaf, &name.to_str(), self.file.as_ref());
        let parsed = ParsedCertificate::try_from(leaf).map_err(refuse)?;
        if self.own.contains(leaf) {
            judge_alone(leaf, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.roots,
                intermediates,
                now,
                algorithms.all,
            )
            .map_err(refuse)?;
        }
        verify_server_name(&parsed, name).map_err(refuse)
    }
}

/// Dates and purpose of a certificate that needs nobody to vouch for it.
fn judge_alone(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), Refusal> {
    let unreadable = |reason| Refusal::Unreadable { reason };
    let certificate = parse(leaf).map_err(unreadable)?;
    let pin = Pin::of(leaf).ok_or_else(|| unreadable("it has no public key".into()))?;
    // Dates before 1970 are as good as 1970.
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let validity = certificate.validity();
    if now.as_secs() > seconds(validity.not_after) {
        let end = std::time::Duration::from_secs(seconds(validity.not_after));
        return Err(Refusal::Expired { on: refusal::day(UnixTime::since_unix_epoch(end)), pin });
    }
    if now.as_secs() < seconds(validity.not_before) {
        let start = std::time::Duration::from_secs(seconds(validity.not_before));
        return Err(Refusal::NotYetValid { on: refusal::day(UnixTime::since_unix_epoch(start)) });
    }
    match for_servers(&certificate) {
        true => Ok(()),
        false => Err(Refusal::NotForServers),
    }
}

/// Whether a certificate is that of a CA; those of X.509 version 1 cannot say.
fn may_issue(certificate: &CertificateDer<'_>) -> Result<bool, String> {
    let certificate = parse(certificate)?;
    Ok(certificate.is_ca() || certificate.version() == x509_parser::x509::X509Version::V1)
}

/// The system's roots, which all backends share. A failure is not remembered: a reload tries again.
fn system_roots() -> Result<Arc<RootCertStore>, Error> {
    let mut shared = SYSTEM_ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(roots) = &*shared {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry the odd old root that webpki cannot use; one less is no reason to stop.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(Error::NoSystemRoots { reason: found.errors.first().map(ToString::to_string) });
    }
    Ok(Arc::clone(shared.insert(Arc::new(roots))))
}

static SYSTEM_ROOTS: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);

struct Verifier {
    judgement: Judgement,
    /// Empty: any key.
    pins: Vec<Pin>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn judge_key(&self, leaf: &CertificateDer<'_>) -> Result<(), Refusal> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let presented = match Pin::of(leaf) {
            Some(pin) => pin,
            None => return Err(Refusal::Unreadable { reason: "it is no X.509 certificate".into() }),
        };
        match self.pins.contains(&presented) {
            true => Ok(()),
            false => Err(Refusal::PinMismatch { presented }),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge_key(leaf)?;
        match &self.judgement {
            Judgement::Anchors(anchors) => anchors.judge(leaf, intermediates, name, now, &self.algorithms)?,
            Judgement::PinsAlone | Judgement::Nothing => {}
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let judgement = match &self.judgement {
            Judgement::Anchors(Anchors { file: Some(file), .. }) => file.display().to_string(),
            Judgement::Anchors(Anchors { file: None, .. }) => "the system's roots".into(),
            Judgement::PinsAlone => "pins alone".into(),
            Judgement::Nothing => "any certificate".into(),
        };
        formatter
            .debug_struct("ServerTrust")
            .field("by", &judgement)
            .field("pins", &self.pins)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
