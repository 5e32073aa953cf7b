//! Servers with the right certificate and with every kind of wrong one.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{ClientConfig, SupportedProtocolVersion, version};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::{
    Identity, Pinned,
    fixture::{self, Established, Pair, params, provider},
};

const HOST: &str = "ftp.example.com";

fn meet_over(
    trust: &ServerTrust,
    server: &Pair,
    name: &str,
    version: &'static SupportedProtocolVersion,
) -> Result<Established, rustls::Error> {
    let folder = tempdir().unwrap();
    let (chain, key) = server.write(folder.path(), "server");
    let identity = Identity::load(&chain, &key).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(trust.verifier())
        .with_no_client_auth();
    fixture::handshake(client, fixture::server(Arc::new(Pinned(identity.certified_key())), None), name)
}

/// The same on both versions.
fn meet(trust: &ServerTrust, server: &Pair, name: &str) -> Result<(), Refusal> {
    let results = [&version::TLS12, &version::TLS13].map(|version| {
        meet_over(trust, server, name, version)
            .map(|_| ())
            .map_err(|error| Refusal::within(&error).unwrap_or_else(|| panic!("{error}")).clone())
    });
    assert_eq!(results[0], results[1]);
    let [result, _] = results;
    result
}

fn trusting(folder: &TempDir, certificates: &[&str]) -> ServerTrust {
    ServerTrust::by_roots(&TrustedRoots::File(written(folder.path(), certificates)), Vec::new()).unwrap()
}

fn written(folder: &Path, certificates: &[&str]) -> PathBuf {
    let file = folder.join("trusted.pem");
    fs::write(&file, certificates.concat()).unwrap();
    file
}

fn pin(server: &Pair) -> Pin {
    Pin::of(&server.der).unwrap()
}

/// A CA and what it issues.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { chain: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }
}

fn ended(names: &[&str]) -> CertificateParams {
    let mut params = params(names);
    params.not_after = date_time_ymd(2021, 3, 4);
    params
}

#[test]
fn a_chain_to_a_trusted_authority_is_believed() {
    let (folder, ca) = (tempdir().unwrap(), Ca::new("Vendor CA"));
    let trust = trusting(&folder, &[&Ca::new("Another").pem, &ca.pem]);
    let server = ca.issue(params(&[HOST, "192.0.2.7", "2001:db8::7"]));
    for name in [HOST, "FTP.example.com", "192.0.2.7", "2001:db8::7"] {
        meet(&trust, &server, name).unwrap();
    }
}

#[test]
fn an_unknown_issuer_is_named_with_what_to_write() {
    let folder = tempdir().unwrap();
    let trust = trusting(&folder, &[&Ca::new("Another").pem]);
    let mut about = params(&[HOST]);
    about.distinguished_name = rcgen::DistinguishedName::new();
    about.distinguished_name.push(DnType::CommonName, "the server");
    let server = Ca::new("Vendor CA").issue(about);
    let refusal = meet(&trust, &server, HOST).unwrap_err();
    let message = refusal.to_string();
    for part in ["CN=the server", "Vendor CA", "trusted.pem", "tls_ca", &pin(&server).to_string()] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(matches!(refusal, Refusal::UnknownIssuer { is_self_signed: false, .. }));
}

/// A vendor's FTP server with `openssl req -x509`: a certificate that says it is a CA.
#[test]
fn a_servers_own_certificate_is_believed_even_where_it_says_that_it_is_a_ca() {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let folder = tempdir().unwrap();
        let mut about = params(&[HOST]);
        about.is_ca = is_ca;
        let server = Pair::with_params(about, &KeyPair::generate().unwrap());
        meet(&trusting(&folder, &[&Ca::new("Another").pem, &server.chain]), &server, HOST)
            .unwrap_or_else(|refusal| panic!("{is_ca:?}: {refusal}"));

        let refusal = meet(&trusting(&folder, &[&Ca::new("Another").pem]), &server, HOST).unwrap_err();
        assert!(matches!(refusal, Refusal::UnknownIssuer { is_self_signed: true, .. }), "{refusal:?}");
        assert!(refusal.to_string().contains("self-signed"), "{refusal}");
    }
}

/// Same subject and same key are not enough: the file holds another certificate.
#[test]
fn a_servers_own_certificate_must_be_equal_byte_for_byte() {
    let folder = tempdir().unwrap();
    let mut renewed = params(&[HOST]);
    renewed.not_after = date_time_ymd(2091, 1, 1);
    renewed.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut about = params(&[HOST]);
    about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let (known, server) = (Pair::with_params(about, &key), Pair::with_params(renewed, &key));
    let refusal = meet(&trusting(&folder, &[&known.chain]), &server, HOST).unwrap_err();
    assert!(matches!(refusal, Refusal::UnknownIssuer { is_self_signed: true, .. }), "{refusal:?}");
}

/// A server whose own certificate is trusted must not thereby become an authority.
#[test]
fn a_servers_own_certificate_vouches_for_nobody() {
    let folder = tempdir().unwrap();
    let about = params(&["known.example.com"]);
    let key = KeyPair::generate().unwrap();
    let known = about.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(about, key);
    let key = KeyPair::generate().unwrap();
    let forged = params(&[HOST]).signed_by(&key, &issuer).unwrap();
    let forged = Pair { chain: forged.pem(), key: key.serialize_pem(), der: forged.der().clone() };
    let refusal = meet(&trusting(&folder, &[&known]), &forged, HOST).unwrap_err();
    assert!(matches!(refusal, Refusal::UnknownIssuer { .. }), "{refusal:?}");
}

#[test]
fn an_ended_certificate_is_refused_with_its_day() {
    let (folder, ca) = (tempdir().unwrap(), Ca::new("Vendor CA"));
    let own = Pair::with_params(ended(&[HOST]), &KeyPair::generate().unwrap());
    let trust = trusting(&folder, &[&ca.pem, &own.chain]);
    for server in [ca.issue(ended(&[HOST])), own] {
        let refusal = meet(&trust, &server, HOST).unwrap_err();
        assert_eq!(refusal, Refusal::Expired { on: "2021-03-04".into(), pin: pin(&server) });
        assert!(refusal.to_string().contains("ended on 2021-03-04"), "{refusal}");
    }
}

#[test]
fn a_certificate_of_the_future_is_refused_with_its_day() {
    let (folder, ca) = (tempdir().unwrap(), Ca::new("Vendor CA"));
    let mut about = params(&[HOST]);
    about.not_before = date_time_ymd(2089, 3, 4);
    let own = Pair::with_params(about.clone(), &KeyPair::generate().unwrap());
    let trust = trusting(&folder, &[&ca.pem, &own.chain]);
    for server in [ca.issue(about), own] {
        let refusal = meet(&trust, &server, HOST).unwrap_err();
        assert_eq!(refusal, Refusal::NotYetValid { on: "2089-03-04".into() });
    }
}

#[test]
fn a_wrong_name_is_refused_with_the_right_ones() {
    let (folder, ca) = (tempdir().unwrap(), Ca::new("Vendor CA"));
    let names = ["*.example.org", "ftp.example.org", "192.0.2.7"];
    let own = Pair::new(&names);
    let trust = trusting(&folder, &[&ca.pem, &own.chain]);
    for server in [ca.issue(params(&names)), own] {
        for name in [HOST, "192.0.2.8", "2001:db8::7"] {
            let refusal = meet(&trust, &server, name).unwrap_err();
            assert_eq!(
                refusal,
                Refusal::WrongName {
                    expected: name.into(),
                    presented: names.map(String::from).to_vec(),
                    pin: pin(&server)
                }
            );
            assert!(refusal.to_string().contains("tls_server_name = \"ftp.example.org\""), "{refusal}");
        }
        meet(&trust, &server, "any.example.org").unwrap();
    }
}

/// RFC 9525 §2: the common name does not count, and an old server has nothing else.
#[test]
fn a_certificate_without_names_is_refused_with_its_pin() {
    let (folder, ca) = (tempdir().unwrap(), Ca::new("Vendor CA"));
    let mut about = params(&[]);
    about.distinguished_name.push(DnType::CommonName, HOST);
    let server = ca.issue(about);
    let refusal = meet(&trusting(&folder, &[&ca.pem]), &server, HOST).unwrap_err();
    assert!(refusal.to_string().contains(&pin(&server).to_string()), "{refusal}");
    meet(&ServerTrust::by_pins(vec![pin(&server)]).unwrap(), &server, HOST).unwrap();
}

#[test]
fn a_certificate_for_clients_is_none_for_servers() {
    let (folder, ca) = (tempdir().unwrap(), Ca::new("Vendor CA"));
    let mut about = params(&[HOST]);
    about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = Pair::with_params(about.clone(), &KeyPair::generate().unwrap());
    let trust = trusting(&folder, &[&ca.pem, &own.chain]);
    for server in [ca.issue(about), own] {
        assert_eq!(meet(&trust, &server, HOST), Err(Refusal::NotForServers));
    }
}

#[test]
fn a_pin_alone_replaces_chain_name_and_dates() {
    let server = Pair::with_params(ended(&["other.example.org"]), &KeyPair::generate().unwrap());
    let other = pin(&Pair::new(&[HOST]));
    meet(&ServerTrust::by_pins(vec![other, pin(&server)]).unwrap(), &server, HOST).unwrap();

    let refusal = meet(&ServerTrust::by_pins(vec![other]).unwrap(), &server, HOST).unwrap_err();
    assert_eq!(refusal, Refusal::PinMismatch { presented: pin(&server) });
    assert!(refusal.to_string().contains(&pin(&server).to_string()), "{refusal}");
    assert!(matches!(ServerTrust::by_pins(Vec::new()), Err(Error::NoPins)));
}

#[test]
fn a_pin_beside_roots_must_hold_as_well() {
    let (folder, ca) = (tempdir().unwrap(), Ca::new("Vendor CA"));
    let server = ca.issue(params(&[HOST]));
    let trust = |certificate: &str, pin| {
        let file = written(folder.path(), &[certificate]);
        ServerTrust::by_roots(&TrustedRoots::File(file), vec![pin]).unwrap()
    };
    let (right, wrong) = (pin(&server), pin(&Pair::new(&[HOST])));
    meet(&trust(&ca.pem, right), &server, HOST).unwrap();
    assert!(matches!(meet(&trust(&ca.pem, wrong), &server, HOST), Err(Refusal::PinMismatch { .. })));
    let stranger = Ca::new("Another").pem;
    assert!(matches!(meet(&trust(&stranger, right), &server, HOST), Err(Refusal::UnknownIssuer { .. })));
    assert!(matches!(meet(&trust(&ca.pem, right), &server, "x.org"), Err(Refusal::WrongName { .. })));
}

#[test]
fn danger_believes_any_certificate_but_keeps_pins() {
    let server = Pair::with_params(ended(&["other.example.org"]), &KeyPair::generate().unwrap());
    meet(&ServerTrust::danger_any(Vec::new()), &server, HOST).unwrap();
    meet(&ServerTrust::danger_any(vec![pin(&server)]), &server, HOST).unwrap();
    let refusal = meet(&ServerTrust::danger_any(vec![pin(&Pair::new(&[HOST]))]), &server, HOST);
    assert!(matches!(refusal, Err(Refusal::PinMismatch { .. })));
}

/// Whoever shows somebody's certificate without having the key is refused by every judge.
#[test]
fn a_server_that_has_not_the_key_is_refused_even_in_danger() {
    let (shown, held) = (Pair::new(&[HOST]), Pair::new(&[HOST]));
    let key =
        rustls_pki_types::PrivateKeyDer::try_from(KeyPair::from_pem(&held.key).unwrap().serialize_der());
    let key = aws_lc_rs::sign::any_supported_type(&key.unwrap()).unwrap();
    let thief = Arc::new(rustls::sign::CertifiedKey::new(vec![shown.der.clone()], key));
    for trust in [ServerTrust::danger_any(Vec::new()), ServerTrust::by_pins(vec![pin(&shown)]).unwrap()] {
        for version in [&version::TLS12, &version::TLS13] {
            let client = ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&[version])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(trust.verifier())
                .with_no_client_auth();
            let server = fixture::server(Arc::new(Pinned(Arc::clone(&thief))), None);
            let error = fixture::handshake(client, server, HOST).unwrap_err();
            let bad = rustls::CertificateError::BadSignature;
            assert!(error == rustls::Error::InvalidCertificate(bad), "{error}");
        }
    }
}

#[test]
fn unusable_files_are_named() {
    let folder = tempdir().unwrap();
    let load = |text: &str| {
        let file = written(folder.path(), &[text]);
        ServerTrust::by_roots(&TrustedRoots::File(file), Vec::new()).unwrap_err().to_string()
    };
    assert!(load("").contains("no certificate in"));
    let garbage = load("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(garbage.contains("certificate 1 in") && garbage.contains("trusted.pem"), "{garbage}");
    let missing = TrustedRoots::File(folder.path().join("missing.pem"));
    let missing = ServerTrust::by_roots(&missing, Vec::new()).unwrap_err().to_string();
    assert!(missing.contains("missing.pem"), "{missing}");
}

/// Where this machine has any.
#[test]
fn the_systems_roots_are_read_once_and_do_not_know_strangers() {
    let Ok(trust) = ServerTrust::by_roots(&TrustedRoots::System, Vec::new()) else { return };
    assert!(Arc::ptr_eq(&system_roots().unwrap(), &system_roots().unwrap()));
    let refusal = meet(&trust, &Pair::new(&[HOST]), HOST).unwrap_err();
    assert!(refusal.to_string().contains("none of the system's roots"), "{refusal}");
}

#[test]
fn one_backend_has_one_verifier() {
    let trust = ServerTrust::danger_any(Vec::new());
    assert!(Arc::ptr_eq(&trust.verifier(), &trust.clone().verifier()));
}
