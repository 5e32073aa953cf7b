//! Pairs that load, of every kind of key, and every way in which a pair does not.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use rcgen::{
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, date_time_ymd,
};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::fixture::{Pair, params};

/// Loads `chain` and `key` after writing them to a folder.
fn load(chain: &str, key: &str) -> (TempDir, Result<Identity, Error>) {
    let folder = tempdir().unwrap();
    let (chain_file, key_file) = (folder.path().join("ftp.pem"), folder.path().join("ftp.key"));
    fs::write(&chain_file, chain).unwrap();
    fs::write(&key_file, key).unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    let identity = Identity::load(&chain_file, &key_file);
    (folder, identity)
}

fn failure(chain: &str, key: &str) -> Error {
    load(chain, key).1.unwrap_err()
}

#[test]
fn every_kind_of_key_is_taken() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        let pair = Pair::with_algorithm(&["ftp.example.com"], algorithm);
        let (_folder, identity) = load(&pair.chain, &pair.key);
        let identity = identity.unwrap();
        assert_eq!(identity.fingerprint(), Fingerprint::of(&pair.der), "{algorithm:?}");
        assert!(identity.certified_key().keys_match().is_ok());
        assert_eq!(identity.warnings(SystemTime::now()), []);
    }
}

/// The old forms, PKCS#1 and SEC1, as `openssl … -traditional` writes them; skipped where there is no openssl.
#[test]
fn every_form_of_key_is_taken() {
    for (algorithm, label) in
        [(&PKCS_RSA_SHA256, "BEGIN RSA PRIVATE KEY"), (&PKCS_ECDSA_P256_SHA256, "BEGIN EC PRIVATE KEY")]
    {
        let pair = Pair::with_algorithm(&["ftp.example.com"], algorithm);
        let folder = tempdir().unwrap();
        let (chain, key) = pair.write(folder.path(), "ftp");
        let mut openssl = Command::new("openssl");
        let Ok(output) = openssl.args(["pkey", "-traditional", "-in"]).arg(&key).output() else { return };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(label));
        fs::write(&key, text).unwrap();
        Identity::load(&chain, &key).unwrap();
    }
}

#[test]
fn one_file_may_hold_both_with_the_key_first() {
    let pair = Pair::new(&["ftp.example.com"]);
    let both = format!("{}{}", pair.key, pair.chain);
    load(&both, &both).1.unwrap();
}

#[test]
fn names_come_from_the_alternative_names() {
    let pair = Pair::new(&["FTP.example.com", "*.example.org", "192.0.2.1", "2001:db8::1"]);
    let names: Vec<String> =
        load(&pair.chain, &pair.key).1.unwrap().names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["ftp.example.com", "*.example.org", "192.0.2.1", "2001:db8::1"]);
}

#[test]
fn the_common_name_stands_in_only_where_there_is_no_other() {
    let with_common_name = |names: &[&str], common_name: &str| {
        let mut params = params(names);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let pair = Pair::with_params(params, &KeyPair::generate().unwrap());
        let identity = load(&pair.chain, &pair.key).1.unwrap();
        (identity.names().to_vec(), identity.warnings(SystemTime::now()))
    };
    let name = |text: &str| vec![text.parse::<SubjectName>().unwrap()];
    assert_eq!(with_common_name(&["a.example"], "b.example"), (name("a.example"), vec![]));
    assert_eq!(with_common_name(&[], "b.example"), (name("b.example"), vec![Warning::CommonNameOnly]));
    assert_eq!(with_common_name(&[], "FTP Server"), (vec![], vec![Warning::Nameless]));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, other) = (Pair::new(&["a.example"]), Pair::new(&["a.example"]));
    assert!(matches!(failure(&one.chain, &other.key), Error::Mismatch { .. }));
    let rsa = Pair::with_algorithm(&["a.example"], &PKCS_RSA_SHA256);
    assert!(matches!(failure(&one.chain, &rsa.key), Error::Mismatch { .. }));
}

#[test]
fn a_chain_that_begins_with_the_issuer_is_named() {
    let (server, issuer) = (Pair::new(&["a.example"]), Pair::new(&["ca.example"]));
    let chain = format!("{}{}", issuer.chain, server.chain);
    let error = failure(&chain, &server.key);
    assert!(matches!(error, Error::ChainOrder { position: 2, .. }));
    assert!(error.to_string().contains("must be the first"), "{error}");
}

#[test]
fn a_bundle_of_authorities_is_no_chain() {
    let pair = Pair::new(&["a.example"]);
    let bundle = pair.chain.repeat(CHAIN_CERTIFICATES_MAX + 1);
    assert!(matches!(failure(&bundle, &pair.key), Error::ChainTooLong { count: 11, .. }));
    load(&pair.chain.repeat(CHAIN_CERTIFICATES_MAX), &pair.key).1.unwrap();
}

#[test]
fn a_file_with_something_else_says_what_it_is() {
    let pair = Pair::new(&["a.example"]);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let error = failure(&pair.chain, encrypted);
    assert!(matches!(error, Error::EncryptedKey { .. }));
    assert!(error.to_string().contains("openssl pkey"), "{error}");

    assert!(matches!(failure(&pair.key, &pair.key), Error::KeyInsteadOfCertificate { .. }));
    assert!(matches!(failure(&pair.chain, &pair.chain), Error::CertificateInsteadOfKey { .. }));
    assert!(matches!(failure("", &pair.key), Error::NoCertificate { .. }));
    assert!(matches!(failure(&pair.chain, ""), Error::NoKey { .. }));
    let half = &pair.chain[..pair.chain.len() / 2];
    assert!(matches!(failure(half, &pair.key), Error::Syntax { .. }));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(failure(garbage, &pair.key), Error::UnusableCertificate { position: 1, .. }));
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(failure(&pair.chain, garbage), Error::UnusableKey { .. }));
    let absent = Path::new("/nowhere/ftp.pem");
    let error = Identity::load(absent, absent).unwrap_err();
    assert!(error.to_string().starts_with("cannot read /nowhere/ftp.pem: "), "{error}");
}

#[test]
fn what_is_odd_is_a_warning() {
    let mut ended = params(&["a.example"]);
    ended.not_after = date_time_ymd(2021, 1, 1);
    ended.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let ended = Pair::with_params(ended, &KeyPair::generate().unwrap());
    let unrelated = Pair::with_params(
        {
            let mut params = params(&["ca.example"]);
            params.distinguished_name.push(DnType::CommonName, "someone else");
            params
        },
        &KeyPair::generate().unwrap(),
    );
    let (folder, identity) = load(&format!("{}{}", ended.chain, unrelated.chain), &ended.key);
    let warnings = identity.unwrap().warnings(SystemTime::now());
    assert!(
        matches!(
            warnings[..],
            [Warning::Expired { .. }, Warning::NotForServers, Warning::ChainGap { position: 1 }]
        ),
        "{warnings:?}"
    );

    let key = folder.path().join("ftp.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let identity = Identity::load(&folder.path().join("ftp.pem"), &key).unwrap();
    assert!(identity.warnings(SystemTime::now()).contains(&Warning::KeyExposed { mode: 0o644 }));
}

#[test]
fn debug_output_and_errors_hold_no_key() {
    let pair = Pair::new(&["a.example"]);
    let secret = pair.key.lines().nth(1).unwrap();
    let identity = load(&pair.chain, &pair.key).1.unwrap();
    assert!(!format!("{identity:?} {:?}", identity.certified_key()).contains(secret));

    for key in
        [&pair.key[..pair.key.len() / 2], &pair.key.replace('\n', "\n!"), &pair.key.replace("-----", "----")]
    {
        let error = failure(&pair.chain, key);
        assert!(!format!("{error} {error:?}").contains(&secret[..8]), "{error}");
    }
}
