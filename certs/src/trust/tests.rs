//! Clients with the right certificate, a wrong one, none, and a revoked one.

use std::fs;

use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::{
    CertificateError,
    sign::{CertifiedKey, SingleCertAndKey},
    version,
};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::{
    Pinned,
    fixture::{self, Established, Pair, PartnerCa},
    subject_of,
};

/// A server, a partner CA, and what trusts it.
struct Scene {
    folder: TempDir,
    server: Pair,
    ca: PartnerCa,
}

impl Scene {
    fn new() -> Self {
        Self::of("Partners")
    }

    fn of(authority: &str) -> Self {
        let folder = tempdir().unwrap();
        let server = Pair::new(&["ftp.example.com"]);
        server.write(folder.path(), "ftp");
        let ca = PartnerCa::new(authority);
        fs::write(folder.path().join("ca.pem"), ca.certificate.pem()).unwrap();
        Self { folder, server, ca }
    }

    fn trust(&self, crl: Option<&Path>) -> ClientTrust {
        ClientTrust::load(&self.folder.path().join("ca.pem"), crl).unwrap()
    }

    /// Writes a list that revokes `serials` and ends in `end`.
    fn revoke(&self, serials: &[u64], end: i32) -> PathBuf {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(end, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let file = self.folder.path().join("ca.crl");
        fs::write(&file, params.signed_by(&self.ca.issuer).unwrap().pem().unwrap()).unwrap();
        file
    }

    fn meet(
        &self,
        verifier: Arc<dyn ClientCertVerifier>,
        presented: Option<CertifiedKey>,
    ) -> Result<Established, rustls::Error> {
        let files = (self.folder.path().join("ftp.pem"), self.folder.path().join("ftp.key"));
        let identity = crate::Identity::load(&files.0, &files.1).unwrap();
        let client = fixture::client(&self.server.der, &version::TLS13);
        let client = match presented {
            Some(key) => client.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => client.with_no_client_auth(),
        };
        let server = fixture::server(Arc::new(Pinned(identity.certified_key())), Some(verifier));
        fixture::handshake(client, server, "ftp.example.com")
    }
}

fn reason(result: Result<Established, rustls::Error>) -> CertificateError {
    match result.unwrap_err() {
        rustls::Error::InvalidCertificate(reason) => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn request_lets_in_who_has_none_and_refuses_a_wrong_one() {
    let scene = Scene::new();
    let trust = scene.trust(None);
    assert!(scene.meet(trust.request(), None).unwrap().presented.is_none());
    let right = scene.meet(trust.request(), Some(scene.ca.client("partner-7", 7))).unwrap();
    assert_eq!(subject_of(&right.presented.unwrap()).as_deref(), Some("CN=partner-7"));
    let wrong = PartnerCa::new("Partners").client("partner-7", 7);
    scene.meet(trust.request(), Some(wrong)).unwrap_err();
}

#[test]
fn require_refuses_who_has_none() {
    let scene = Scene::new();
    let trust = scene.trust(None);
    let error = scene.meet(trust.require(), None).unwrap_err();
    assert!(matches!(error, rustls::Error::NoCertificatesPresented), "{error}");
    scene.meet(trust.require(), Some(scene.ca.client("partner-7", 7))).unwrap();
}

#[test]
fn clients_are_told_which_authority_is_asked_for() {
    let scene = Scene::new();
    assert_eq!(scene.trust(None).require().root_hint_subjects().len(), 1);
}

#[test]
fn a_revoked_certificate_is_refused_from_the_next_poll_on() {
    let scene = Scene::new();
    let crl = scene.revoke(&[], 2090);
    let trust = scene.trust(Some(&crl));
    let verifier = trust.require();
    let meet = |serial| scene.meet(Arc::clone(&verifier), Some(scene.ca.client("partner", serial)));
    meet(7).unwrap();

    scene.revoke(&[7], 2090);
    assert!(matches!(trust.refresh(), Some(TrustRefresh::Reloaded { .. })));
    assert!(trust.refresh().is_none());
    assert_eq!(reason(meet(7)), CertificateError::Revoked);
    meet(8).unwrap();

    // A spoilt list is told once, and the last good one stays in force.
    fs::write(&crl, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").unwrap();
    assert!(matches!(
        trust.refresh(),
        Some(TrustRefresh::Failed { error: Error::UnusableRevocationList { .. } })
    ));
    assert!(trust.refresh().is_none());
    assert_eq!(reason(meet(7)), CertificateError::Revoked);
}

#[test]
fn a_list_that_has_ended_refuses_everybody() {
    let scene = Scene::new();
    let trust = scene.trust(Some(&scene.revoke(&[], 2022)));
    assert!(trust.revocation_lists_end().unwrap() < SystemTime::now());
    let refused = scene.meet(trust.require(), Some(scene.ca.client("partner", 7)));
    assert!(matches!(reason(refused), CertificateError::ExpiredRevocationListContext { .. }));
    assert!(scene.meet(trust.request(), None).is_ok());
}

#[test]
fn a_list_of_another_authority_covers_nobody() {
    let scene = Scene::new();
    let meet = |stranger: &Scene| {
        let trust = scene.trust(Some(&stranger.revoke(&[], 2090)));
        scene.meet(trust.require(), Some(scene.ca.client("partner", 7))).unwrap_err()
    };
    let error = meet(&Scene::of("Others"));
    assert_eq!(error, CertificateError::UnknownRevocationStatus.into());
    let error = meet(&Scene::of("Partners"));
    assert_eq!(error, rustls::CertRevocationListError::BadSignature.into(), "its name alone does not help");
}

#[test]
fn a_list_in_der_is_taken() {
    let scene = Scene::new();
    let crl = scene.revoke(&[7], 2090);
    let der = pem::revocation_lists(&crl).unwrap().remove(0);
    fs::write(&crl, &*der).unwrap();
    let refused = scene.meet(scene.trust(Some(&crl)).require(), Some(scene.ca.client("partner", 7)));
    assert_eq!(reason(refused), CertificateError::Revoked);
}

#[test]
fn unusable_files_are_named() {
    let scene = Scene::new();
    let folder = scene.folder.path();
    let (ca, empty) = (folder.join("ca.pem"), folder.join("empty"));
    fs::write(&empty, "").unwrap();
    let load = |ca: &Path, crl: Option<&Path>| ClientTrust::load(ca, crl).unwrap_err();
    assert!(matches!(load(&empty, None), Error::NoCertificate { .. }));
    assert!(matches!(load(&folder.join("ftp.key"), None), Error::KeyInsteadOfCertificate { .. }));
    assert!(matches!(load(&ca, Some(&empty)), Error::NoRevocationList { .. }));
    assert!(matches!(load(&ca, Some(&ca)), Error::NoRevocationList { .. }));
    fs::write(&empty, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(matches!(load(&empty, None), Error::UnusableCertificate { position: 1, .. }));
}
