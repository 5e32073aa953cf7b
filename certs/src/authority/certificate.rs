//! The form of the certificates that the local CA makes, for itself and for servers (RFC 5280 §4).
//!
//! Made so that OpenSSL with `-x509_strict` (the default of Python 3.13), GnuTLS and webpki accept them: key
//! identifiers on both sides, critical basic constraints and key usage, random serial numbers.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, date_time_ymd,
};

use super::DAY;
use crate::{Error, SubjectName};

/// A fresh ECDSA P-256 key: every FTPS client in use verifies it, and it signs in 20 µs.
pub(super) fn new_key() -> Result<KeyPair, Error> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// The CA's own certificate: ten years, for servers' certificates only and not for further CAs.
pub(super) fn root(key: &KeyPair, now: SystemTime) -> Result<Certificate, Error> {
    let serial = random_serial();
    let mut params = params(now - ROOT_BACKDATED_BY..now + ROOT_VALID_FOR, serial);
    // Two gateways' CAs must not share a name: clients look for issuers by name first.
    let tag: String = serial[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name.push(DnType::OrganizationName, "ftpsgate");
    params.distinguished_name.push(DnType::CommonName, format!("ftpsgate local CA {tag}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params.self_signed(key)?)
}

/// A server's certificate for `names`, of which there is at least one.
pub(super) fn leaf(
    names: &[SubjectName],
    key: &KeyPair,
    issuer: &Issuer<'_, KeyPair>,
    validity: Range<SystemTime>,
) -> Result<Certificate, Error> {
    let mut params = params(validity, random_serial());
    // Only for people to read; a subject without any is legal, and clients look at the alternative names.
    let first = names.first().map(ToString::to_string).filter(|name| name.len() <= COMMON_NAME_BYTES_MAX);
    if let Some(name) = first {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    for name in names {
        let name = match name {
            SubjectName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            SubjectName::Address(address) => SanType::IpAddress(*address),
        };
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    // Not `NoCa`: only this way rcgen writes a subject key identifier and basic constraints.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(key, issuer)?)
}

fn params(validity: Range<SystemTime>, serial: [u8; SERIAL_BYTES]) -> CertificateParams {
    let time = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs())
    };
    let mut params = CertificateParams::default();
    params.not_before = time(validity.start);
    params.not_after = time(validity.end);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    params
}

/// RFC 5280 §4.1.2.2 wants it positive and unique; the second bit keeps its length the same always.
fn random_serial() -> [u8; SERIAL_BYTES] {
    let mut serial = [0; SERIAL_BYTES];
    rand::fill(&mut serial).expect("the generator of aws-lc does not fail once it is seeded");
    serial[0] = serial[0] & 0x7F | 0x40;
    serial
}

const SERIAL_BYTES: usize = 16;

/// X.520's bound for a common name.
const COMMON_NAME_BYTES_MAX: usize = 64;

/// Ten years with their leap days.
const ROOT_VALID_FOR: Duration = Duration::from_secs(3652 * DAY.as_secs());

/// More than a server's certificate, so that none begins before its issuer.
const ROOT_BACKDATED_BY: Duration = DAY;
