//! Which clients' certificates are believed: those that a configured CA issued for clients and did not revoke.
//!
//! The CA is fixed until the configuration is reloaded; revocation lists are replaced far more often, by a timer
//! job and not by an administrator, so they are watched and reloaded like certificates.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::aws_lc_rs,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use x509_parser::{prelude::FromDer, revocation_list::CertificateRevocationList};

use crate::{Error, identity::system_time, pem, watch::Watch};

/// A CA for clients and its revocation lists.
pub struct ClientTrust {
    roots: Arc<RootCertStore>,
    current: Arc<Current>,
    revocation: Option<Revocation>,
}

/// What a poll of the revocation lists brought to light.
#[derive(Debug)]
pub enum TrustRefresh {
    /// The lists changed; new handshakes, in running configurations too, go by the new ones.
    Reloaded {
        /// Where they were read.
        file: PathBuf,
    },
    /// The lists changed and are not usable; the old ones stay. Said once for each fault.
    Failed {
        /// What is wrong with the new ones.
        error: Error,
    },
}

impl ClientTrust {
    /// Reads the certificates of the CAs in `ca`, and with `crl` their revocation lists (PEM, or one in DER).
    ///
    /// With revocation lists, every certificate between the client's and the CA must be covered by a list that
    /// is not past its next update; what no list covers is refused.
    ///
    /// # Errors
    ///
    /// Files that cannot be read, hold none or hold unusable ones.
    pub fn load(ca: &Path, crl: Option<&Path>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in pem::certificates(ca)?.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| Error::UnusableCertificate {
                file: ca.into(),
                position: index + 1,
                reason: error.to_string(),
            })?;
        }
        let roots = Arc::new(roots);
        let revocation = crl.map(Revocation::new);
        let lists = Lists::read(&roots, crl)?;
        let hints = lists.verifier.root_hint_subjects().to_vec();
        let current = Arc::new(Current { hints, lists: ArcSwap::from_pointee(lists) });
        Ok(Self { roots, current, revocation })
    }

    /// A verifier that asks for a certificate and lets clients without one in; a wrong one ends the handshake.
    pub fn request(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Verifier { current: Arc::clone(&self.current), mandatory: false })
    }

    /// A verifier without whose approval nobody gets in.
    pub fn require(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Verifier { current: Arc::clone(&self.current), mandatory: true })
    }

    /// Looks at the revocation lists, and reads them again if their file changed. Cheap where it did not; it
    /// blocks on the file system.
    pub fn refresh(&self) -> Option<TrustRefresh> {
        let revocation = self.revocation.as_ref()?;
        let mut watch = revocation.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if !watch.changed() {
            return None;
        }
        match Lists::read(&self.roots, Some(&revocation.file)) {
            Ok(lists) => {
                let news = watch.recover() || lists.ders != self.current.lists.load().ders;
                self.current.lists.store(Arc::new(lists));
                news.then(|| TrustRefresh::Reloaded { file: revocation.file.clone() })
            }
            Err(error) => watch.complain(&error).then_some(TrustRefresh::Failed { error }),
        }
    }

    /// When the first of the revocation lists ends; from then on clients of its CA are refused. None without
    /// lists, or where none says.
    pub fn revocation_lists_end(&self) -> Option<SystemTime> {
        self.current.lists.load().next_update
    }
}

impl fmt::Debug for ClientTrust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientTrust")
            .field("roots", &self.roots.len())
            .field("revocation", &self.revocation.as_ref().map(|revocation| &revocation.file))
            .finish_non_exhaustive()
    }
}

/// The file of revocation lists.
struct Revocation {
    file: PathBuf,
    watch: Mutex<Watch>,
}

impl Revocation {
    fn new(file: &Path) -> Self {
        Self { file: file.into(), watch: Mutex::new(Watch::new([file.into()])) }
    }
}

/// What all verifiers of one [`ClientTrust`] go by.
struct Current {
    /// The names of the CAs, told to clients so that they can pick a certificate; they outlive reloads.
    hints: Vec<DistinguishedName>,
    lists: ArcSwap<Lists>,
}

/// A verifier that was built with the revocation lists of one moment.
struct Lists {
    verifier: Arc<dyn ClientCertVerifier>,
    ders: Vec<CertificateRevocationListDer<'static>>,
    next_update: Option<SystemTime>,
}

impl Lists {
    fn read(roots: &Arc<RootCertStore>, crl: Option<&Path>) -> Result<Self, Error> {
        let ders = crl.map(pem::revocation_lists).transpose()?.unwrap_or_default();
        // Without a file there is nothing that could be wrong with it, and `load` has seen to the roots.
        let file = crl.unwrap_or(Path::new(""));
        let unusable = |reason| Error::UnusableRevocationList { file: file.into(), reason };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider)
            .with_crls(ders.iter().cloned())
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let mut next_update = None;
        for der in &ders {
            let (_, list) =
                CertificateRevocationList::from_der(der).map_err(|error| unusable(error.to_string()))?;
            let end = list.next_update().map(|time| system_time(time.timestamp()));
            next_update = next_update.into_iter().chain(end).min();
        }
        Ok(Self { verifier, ders, next_update })
    }
}

/// Asks the verifier of the moment.
struct Verifier {
    current: Arc<Current>,
    mandatory: bool,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.current.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.current.lists.load().verifier.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current.lists.load().verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current.lists.load().verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.lists.load().verifier.supported_verify_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Verifier").field("mandatory", &self.mandatory).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
