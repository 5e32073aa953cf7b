//! Who is found for which name, and what reloads do.

use std::{fs, path::Path};

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::SignatureScheme;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::{Fingerprint, fixture::Pair};

/// A store with one certificate for each list of names.
fn store(certificates: &[&[&str]]) -> (TempDir, Store, Vec<Pair>) {
    let folder = tempdir().unwrap();
    let pairs: Vec<Pair> = certificates.iter().map(|names| Pair::new(names)).collect();
    let files: Vec<_> =
        pairs.iter().enumerate().map(|(index, pair)| pair.write(folder.path(), &index.to_string())).collect();
    let store = Store::load(&files).unwrap();
    (folder, store, pairs)
}

#[test]
fn the_choice_by_server_name() {
    let (_folder, store, pairs) = store(&[
        &["default.example"],
        &["*.example.com", "192.0.2.1"],
        &["ftp.example.com"],
        &["ftp.example.com", "twice.example.com"],
        &["*.deep.example.com"],
    ]);
    for (server_name, index, matched) in [
        (None, 0, Match::First),
        (Some("default.example"), 0, Match::Exact),
        (Some("ftp.example.com"), 2, Match::Exact),
        (Some("FTP.EXAMPLE.COM"), 2, Match::Exact),
        (Some("ftp.example.com."), 2, Match::Exact),
        (Some("twice.example.com"), 3, Match::Exact),
        (Some("other.example.com"), 1, Match::Wildcard),
        (Some("deep.example.com"), 1, Match::Wildcard),
        (Some("a.deep.example.com"), 4, Match::Wildcard),
        (Some("a.b.example.com"), 0, Match::First),
        (Some("example.com"), 0, Match::First),
        (Some(".example.com"), 0, Match::First),
        (Some("*.example.com"), 0, Match::First),
        (Some("192.0.2.1"), 0, Match::First),
        (Some("unknown.example"), 0, Match::First),
        (Some(""), 0, Match::First),
    ] {
        let found = store.find(server_name).unwrap();
        assert_eq!(found.identity.fingerprint(), Fingerprint::of(&pairs[index].der), "{server_name:?}");
        assert_eq!(found.matched, matched, "{server_name:?}");
    }
}

#[test]
fn the_names_for_host() {
    let (_folder, store, _pairs) =
        store(&[&["ftp.example.com"], &["*.example.org", "192.0.2.1", "2001:db8::1"]]);
    for host in
        ["ftp.example.com", "Ftp.Example.Com", "a.example.org", "192.0.2.1", "[2001:db8::1]", "[192.0.2.1]"]
    {
        assert!(store.has_name(host), "{host}");
    }
    for host in [
        "",
        "example.org",
        "a.b.example.org",
        "*.example.org",
        "*.example.org.",
        "192.0.2.2",
        "[2001:db8::2]",
        "ftp",
    ] {
        assert!(!store.has_name(host), "{host}");
    }
}

#[test]
fn a_client_without_ecdsa_gets_the_rsa_certificate_of_the_same_name() {
    let folder = tempdir().unwrap();
    let ecdsa = Pair::with_algorithm(&["ftp.example.com"], &PKCS_ECDSA_P256_SHA256);
    let rsa = Pair::with_algorithm(&["ftp.example.com"], &PKCS_RSA_SHA256);
    let store = Store::load(&[ecdsa.write(folder.path(), "ecdsa"), rsa.write(folder.path(), "rsa")]).unwrap();
    let find = |schemes: &[SignatureScheme]| {
        let usable = |key: &CertifiedKey| key.key.choose_scheme(schemes).is_some();
        store.find_usable(Some("ftp.example.com"), usable).unwrap().identity.fingerprint()
    };
    let both = [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];
    assert_eq!(find(&both), Fingerprint::of(&ecdsa.der));
    assert_eq!(find(&[SignatureScheme::RSA_PKCS1_SHA256]), Fingerprint::of(&rsa.der));
    assert_eq!(find(&[SignatureScheme::ED25519]), Fingerprint::of(&ecdsa.der));
}

#[test]
fn an_empty_store_finds_nothing() {
    let store = Store::load(&[]).unwrap();
    assert!(store.is_empty() && store.find(None).is_none() && store.find(Some("a.example")).is_none());
    assert!(store.refresh().is_empty());
}

#[test]
fn all_faults_are_told_at_once() {
    let folder = tempdir().unwrap();
    let (one, other) = (Pair::new(&["a.example"]), Pair::new(&["b.example"]));
    let (chain, _) = one.write(folder.path(), "a");
    let (_, key) = other.write(folder.path(), "b");
    let missing = folder.path().join("missing");
    let errors = Store::load(&[(chain.clone(), key), (missing, chain)]).unwrap_err();
    assert!(matches!(errors[..], [Error::Mismatch { .. }, Error::Read { .. }]), "{errors:?}");
}

fn shown(store: &Store) -> Fingerprint {
    store.find(None).unwrap().identity.fingerprint()
}

/// Puts a file in its place as careful writers do.
fn replace(file: &Path, text: &str) {
    let temporary = file.with_extension("new");
    fs::write(&temporary, text).unwrap();
    fs::rename(temporary, file).unwrap();
}

#[test]
fn unchanged_files_are_no_news() {
    let (folder, store, pairs) = store(&[&["a.example"]]);
    assert!(store.refresh().is_empty());
    replace(&folder.path().join("0.pem"), &pairs[0].chain);
    assert!(store.refresh().is_empty(), "it was written anew with the same certificate");
}

#[test]
fn a_new_pair_is_served_once_it_is_whole() {
    let (folder, store, pairs) = store(&[&["a.example"], &["b.example"]]);
    let old = Fingerprint::of(&pairs[0].der);
    let new = Pair::new(&["a.example", "new.example"]);
    let (chain, key) = (folder.path().join("0.pem"), folder.path().join("0.key"));

    // Half a certificate.
    fs::write(&chain, &new.chain[..200]).unwrap();
    let refreshed = store.refresh();
    let [Refresh::Failed { kept, error: Error::Syntax { .. } }] = &refreshed[..] else {
        panic!("{refreshed:?}")
    };
    assert_eq!(kept.fingerprint(), old);
    assert!(store.refresh().is_empty(), "said once");
    assert_eq!(shown(&store), old);

    // The whole certificate, with the old key.
    replace(&chain, &new.chain);
    let refreshed = store.refresh();
    assert!(
        matches!(refreshed[..], [Refresh::Failed { error: Error::Mismatch { .. }, .. }]),
        "{refreshed:?}"
    );
    assert!(store.refresh().is_empty(), "said once");
    assert!(!store.has_name("new.example"));
    assert_eq!(shown(&store), old);

    // And its key.
    replace(&key, &new.key);
    let refreshed = store.refresh();
    let [Refresh::Reloaded { identity }] = &refreshed[..] else { panic!("{refreshed:?}") };
    assert_eq!(identity.fingerprint(), Fingerprint::of(&new.der));
    assert_eq!(shown(&store), Fingerprint::of(&new.der));
    assert!(store.has_name("new.example") && store.has_name("b.example"));
    assert!(store.refresh().is_empty());
}

#[test]
fn a_pair_that_vanishes_and_returns_is_told_both_times() {
    let (folder, store, pairs) = store(&[&["a.example"]]);
    let chain = folder.path().join("0.pem");
    fs::remove_file(&chain).unwrap();
    assert!(matches!(store.refresh()[..], [Refresh::Failed { error: Error::Read { .. }, .. }]));
    assert!(store.refresh().is_empty());
    assert_eq!(shown(&store), Fingerprint::of(&pairs[0].der));
    fs::write(&chain, &pairs[0].chain).unwrap();
    assert!(matches!(store.refresh()[..], [Refresh::Reloaded { .. }]));
}

#[test]
fn a_session_keeps_what_it_found() {
    let (folder, store, pairs) = store(&[&["a.example"]]);
    let held = store.find(None).unwrap().identity.certified_key();
    Pair::new(&["a.example"]).write(folder.path(), "0");
    assert!(matches!(store.refresh()[..], [Refresh::Reloaded { .. }]));
    assert_eq!(held.cert[0], pairs[0].der);
    assert_ne!(shown(&store), Fingerprint::of(&pairs[0].der));
}
