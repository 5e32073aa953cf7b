//! A certificate's subject as text (RFC 4514): `CN=partner-7,O=Acme`.
//!
//! Routes and rules match this text and logs show it, so two different subjects never read the same, and no
//! character in it moves a cursor or reorders a line: separators and control characters are escaped.

use std::fmt::Write;
use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::{
    der_parser::asn1_rs::{Oid, ToDer},
    extensions::GeneralName,
    x509::{AttributeTypeAndValue, X509Name},
};

use crate::{Pin, identity::parse};

/// The subject of `certificate`, most specific part first; none if it cannot be read, is empty or is longer
/// than [`SUBJECT_BYTES_MAX`].
pub fn subject_of(certificate: &CertificateDer<'_>) -> Option<String> {
    written(parse(certificate).ok()?.subject())
}

/// The alternative names of `certificate` that are texts: DNS names, mail addresses, URIs, and addresses as they are
/// usually written. None if it cannot be read; names with invisible characters, and those behind the first
/// [`NAMES_MAX`], are left out.
pub fn alternative_names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = parse(certificate) else { return Vec::new() };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            (!name.chars().any(invisible)).then(|| (*name).to_owned())
        }
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                .ok()
                .map(|address| address.to_string())
        }
        _ => None,
    };
    extension.value.general_names.iter().take(NAMES_MAX).filter_map(text).collect()
}

/// Alternative names that are looked at.
pub const NAMES_MAX: usize = 100;

/// What a person wants to know of a certificate that a server has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whose it is, escaped; none as with [`subject_of`].
    pub subject: Option<String>,
    /// Who has issued it, likewise.
    pub issuer: Option<String>,
    /// Its last day in UTC, `2026-01-31`.
    pub ends_on: String,
    /// Its key.
    pub pin: Pin,
}

impl CertificateFacts {
    /// Reads `certificate`; none if it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let pin = Pin::of(certificate)?;
        let certificate = parse(certificate).ok()?;
        Some(Self {
            subject: written(certificate.subject()),
            issuer: written(certificate.issuer()),
            ends_on: certificate.validity().not_after.to_datetime().date().to_string(),
            pin,
        })
    }
}

/// A distinguished name as text, under the same conditions.
pub(crate) fn written(name: &X509Name<'_>) -> Option<String> {
    let mut subject = String::new();
    // RFC 4514 §2.1: from the last to the first, where DER goes from the country down.
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        for (index, attribute) in part.iter().enumerate() {
            match index {
                0 if subject.is_empty() => {}
                0 => subject.push(','),
                _ => subject.push('+'),
            }
            write_attribute(&mut subject, attribute)?;
            if subject.len() > SUBJECT_BYTES_MAX {
                return None;
            }
        }
    }
    (!subject.is_empty()).then_some(subject)
}

/// The longest subject that is read, in bytes of text.
pub const SUBJECT_BYTES_MAX: usize = 2048;

fn write_attribute(subject: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let oid = attribute.attr_type();
    let keyword = keyword(oid);
    match (keyword, attribute.as_str()) {
        (Some(keyword), Ok(value)) => {
            write!(subject, "{keyword}=").ok()?;
            write_value(subject, value);
        }
        // RFC 4514 §2.4: a value that is no string, or of a type without keyword, as its DER.
        _ => {
            match keyword {
                Some(keyword) => write!(subject, "{keyword}=#").ok()?,
                None => write!(subject, "{}=#", oid.to_id_string()).ok()?,
            }
            for byte in attribute.attr_value().to_der_vec().ok()? {
                write!(subject, "{byte:02x}").ok()?;
            }
        }
    }
    Some(())
}

/// RFC 4514 §2.4, and hexadecimal pairs for what should not reach a terminal or a log.
fn write_value(subject: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => subject.extend(['\\', character]),
            '#' if index == 0 => subject.push_str("\\#"),
            ' ' if index == 0 || index == last => subject.push_str("\\ "),
            _ if invisible(character) => {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    subject.push_str(&format!("\\{byte:02X}"));
                }
            }
            _ => subject.push(character),
        }
    }
}

/// Control characters, line separators, and those that reorder or hide text.
fn invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// RFC 4514 §3, and the two that certificates of people and devices carry beyond it.
fn keyword(oid: &Oid<'_>) -> Option<&'static str> {
    Some(match oid.to_id_string().as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn subject(parts: &[(DnType, DnValue)]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        subject_of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    fn common_name(value: &str) -> Option<String> {
        subject(&[(DnType::CommonName, value.into())])
    }

    #[test]
    fn is_written_from_the_most_specific_part() {
        let parts = [
            (DnType::CountryName, "DE".into()),
            (DnType::OrganizationName, "Acme".into()),
            (DnType::CommonName, "partner-7".into()),
        ];
        assert_eq!(subject(&parts).as_deref(), Some("CN=partner-7,O=Acme,C=DE"));
        assert_eq!(subject(&[]), None);
    }

    #[test]
    fn alternative_names_are_texts() {
        use rcgen::SanType;
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![
            SanType::DnsName("ftp.Acme.example".try_into().unwrap()),
            SanType::Rfc822Name("ops@acme.example".try_into().unwrap()),
            SanType::URI("spiffe://acme/ftp".try_into().unwrap()),
            SanType::IpAddress([192, 0, 2, 1].into()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
        ];
        let mut names = |more: usize| {
            params
                .subject_alt_names
                .extend((0..more).map(|number| SanType::DnsName(format!("n{number}").try_into().unwrap())));
            let certificate = params.clone().self_signed(&KeyPair::generate().unwrap()).unwrap();
            alternative_names_of(certificate.der())
        };
        let expected =
            ["ftp.Acme.example", "ops@acme.example", "spiffe://acme/ftp", "192.0.2.1", "2001:db8::1"];
        assert_eq!(names(0), expected);
        assert_eq!(names(200).len(), NAMES_MAX);
        assert_eq!(alternative_names_of(&CertificateDer::from(vec![1, 2])), [""; 0]);
    }

    #[test]
    fn nothing_passes_for_a_separator() {
        for (value, text) in [
            ("partner-7,O=Acme", r"CN=partner-7\,O=Acme"),
            ("a+b\"c;d<e>f\\g", r#"CN=a\+b\"c\;d\<e\>f\\g"#),
            ("#1 a", r"CN=\#1 a"),
            (" a ", r"CN=\ a\ "),
            (" ", r"CN=\ "),
            ("a\r\nb\0\u{1B}[2J", r"CN=a\0D\0Ab\00\1B[2J"),
            ("a\u{85}\u{202E}b", r"CN=a\C2\85\E2\80\AEb"),
            ("Müller", "CN=Müller"),
        ] {
            assert_eq!(common_name(value).as_deref(), Some(text), "{value:?}");
        }
    }

    #[test]
    fn types_without_keyword_are_written_as_der() {
        let parts = [(DnType::CustomDnType(vec![1, 2, 3, 4]), "ab".into())];
        assert_eq!(subject(&parts).as_deref(), Some("1.2.3.4=#0c026162"));
    }

    #[test]
    fn a_subject_without_end_is_none() {
        assert!(common_name(&"a".repeat(SUBJECT_BYTES_MAX - 3)).is_some());
        assert_eq!(common_name(&"a".repeat(SUBJECT_BYTES_MAX)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_value_can_be_read_back(value in "\\PC{1,20}|[ -~]{1,20}|[,+\\\\ #\u{0}-\u{20}]{1,8}") {
            let text = common_name(&value).unwrap();
            prop_assert!(!text.chars().any(invisible));
            let mut bytes = Vec::new();
            let mut rest = text.strip_prefix("CN=").unwrap().as_bytes();
            while let [first, tail @ ..] = rest {
                rest = match (*first, tail) {
                    (b'\\', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                        let pair = str::from_utf8(&[*high, *low]).unwrap().to_owned();
                        bytes.push(u8::from_str_radix(&pair, 16).unwrap());
                        tail
                    }
                    (b'\\', [escaped, tail @ ..]) => {
                        bytes.push(*escaped);
                        tail
                    }
                    (byte, tail) => {
                        bytes.push(byte);
                        tail
                    }
                };
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), value);
        }
    }
}
