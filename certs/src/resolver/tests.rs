//! Handshakes in memory: who is shown which certificate, and whether clients believe it.

use std::net::Ipv4Addr;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::{CertificateError, ProtocolVersion, version};
use rustls_pki_types::CertificateDer;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::fixture::{self, Pair};

const DIALLED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn local_ca() -> (TempDir, Arc<Authority>, Arc<Certificates>) {
    let folder = tempdir().unwrap();
    let authority = Arc::new(Authority::open_or_create(folder.path()).unwrap());
    let certificates = Arc::new(Certificates::new(None, Some(Arc::clone(&authority))));
    (folder, authority, certificates)
}

fn configured(folder: &TempDir, names: &[&str]) -> (Pair, Arc<Store>) {
    let pair = Pair::new(names);
    let store = Store::load(&[pair.write(folder.path(), "ftp")]).unwrap();
    (pair, Arc::new(store))
}

/// Shakes hands and returns what was shown.
fn shown(
    resolver: Arc<dyn ResolvesServerCert>,
    root: &CertificateDer<'static>,
    name: &str,
) -> Result<CertificateDer<'static>, rustls::Error> {
    let client = fixture::client(root, &version::TLS13).with_no_client_auth();
    fixture::handshake(client, fixture::server(resolver, None), name).map(|established| established.shown)
}

#[test]
fn clients_of_both_versions_believe_the_local_ca_by_name_and_by_address() {
    let (_folder, authority, certificates) = local_ca();
    for (version, expected) in
        [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        for name in ["ftp.example.com", "192.0.2.1"] {
            let resolver = Arc::new(SessionResolver::new(Arc::clone(&certificates), DIALLED));
            let client = fixture::client(authority.root(), version).with_no_client_auth();
            let server = fixture::server(resolver.clone(), None);
            let established = fixture::handshake(client, server, name).unwrap();
            assert_eq!(established.version, expected);
            assert_eq!(established.shown, resolver.chosen().unwrap().cert[0]);
        }
    }
}

#[test]
fn an_address_that_was_not_dialled_is_not_minted() {
    let (_folder, authority, certificates) = local_ca();
    let resolver = Arc::new(SessionResolver::new(certificates, DIALLED));
    let error = shown(resolver, authority.root(), "192.0.2.2").unwrap_err();
    assert!(matches!(
        error,
        rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })
    ));
}

#[test]
fn an_ipv6_address_is_minted() {
    let (_folder, authority, certificates) = local_ca();
    let resolver = Arc::new(SessionResolver::new(certificates, "2001:db8::1".parse().unwrap()));
    shown(resolver, authority.root(), "2001:db8::1").unwrap();
}

#[test]
fn data_connections_show_what_the_control_connection_showed_also_after_a_reload() {
    let folder = tempdir().unwrap();
    let (old, store) = configured(&folder, &["ftp.example.com"]);
    let certificates = Arc::new(Certificates::new(Some(Arc::clone(&store)), None));
    let session = Arc::new(SessionResolver::new(Arc::clone(&certificates), DIALLED));
    assert!(session.chosen().is_none());
    shown(session.clone(), &old.der, "ftp.example.com").unwrap();

    let new = Pair::new(&["ftp.example.com"]);
    new.write(folder.path(), "ftp");
    assert_eq!(store.refresh().len(), 1);

    let pinned = Arc::new(Pinned(session.chosen().unwrap()));
    assert_eq!(shown(pinned, &old.der, "ftp.example.com").unwrap(), old.der);
    assert_eq!(shown(session, &old.der, "ftp.example.com").unwrap(), old.der, "the first choice wins");
    let next = Arc::new(SessionResolver::new(certificates, DIALLED));
    assert_eq!(shown(next, &new.der, "ftp.example.com").unwrap(), new.der);
}

#[test]
fn a_client_of_tls_1_2_without_ecdsa_suites_gets_the_rsa_certificate() {
    let folder = tempdir().unwrap();
    let ecdsa = Pair::with_algorithm(&["ftp.example.com"], &PKCS_ECDSA_P256_SHA256);
    let rsa = Pair::with_algorithm(&["ftp.example.com"], &PKCS_RSA_SHA256);
    let store = Store::load(&[ecdsa.write(folder.path(), "ecdsa"), rsa.write(folder.path(), "rsa")]).unwrap();
    let certificates = Arc::new(Certificates::new(Some(Arc::new(store)), None));

    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains("ECDHE_RSA"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rsa.der.clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let resolver = Arc::new(SessionResolver::new(certificates, DIALLED));
    let established = fixture::handshake(client, fixture::server(resolver, None), "ftp.example.com").unwrap();
    assert_eq!(established.shown, rsa.der);
}

#[test]
fn configured_certificates_come_before_the_local_ca() {
    let (folder, authority, _) = local_ca();
    let (pair, store) = configured(&folder, &["ftp.example.com"]);
    let certificates = Certificates::new(Some(store), Some(authority));
    let chosen = certificates.choose(Some("unknown.example"), DIALLED, |_| true).unwrap();
    assert_eq!(chosen.cert[0], pair.der);
    assert!(certificates.has_name("ftp.example.com") && !certificates.has_name("unknown.example"));
}

#[test]
fn an_empty_store_leaves_the_choice_to_the_local_ca() {
    let (_folder, authority, _) = local_ca();
    let empty = || Some(Arc::new(Store::load(&[]).unwrap()));
    assert!(Certificates::new(empty(), Some(authority)).available());
    assert!(!Certificates::new(empty(), None).available());
}

#[test]
fn nothing_to_serve_ends_the_handshake_and_says_why() {
    let certificates = Arc::new(Certificates::new(None, None));
    assert!(!certificates.available() && !certificates.has_name("a.example"));
    let resolver = Arc::new(SessionResolver::new(certificates, DIALLED));
    shown(resolver.clone(), &Pair::new(&["a.example"]).der, "a.example").unwrap_err();
    assert!(matches!(resolver.refused(), Some(Error::NothingToServe { .. })));
    assert!(resolver.chosen().is_none());
}

#[test]
fn a_flood_of_names_is_refused_and_the_reason_kept() {
    let (_folder, _, certificates) = local_ca();
    // The clock is the real one: whatever it does meanwhile, a thousand names in a moment are too many.
    let refused = (0..1000)
        .find_map(|index| certificates.choose(Some(&format!("n{index}.example")), DIALLED, |_| true).err());
    assert!(matches!(refused, Some(Error::MintingTooFast { .. })));
}

#[test]
fn debug_output_holds_no_certificate_and_no_key() {
    let (_folder, _, certificates) = local_ca();
    let resolver = SessionResolver::new(Arc::clone(&certificates), DIALLED);
    let key = certificates.choose(None, DIALLED, |_| true).unwrap();
    let text = format!("{certificates:?} {resolver:?} {:?}", Pinned(key));
    assert!(text.len() < 400, "{text}");
}
