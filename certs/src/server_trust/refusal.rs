//! Why a server's certificate is not believed, said so that an operator knows what to write.
//!
//! A server chooses what its certificate says: names come here parsed or escaped, and bounded.

use std::{fmt, path::PathBuf};

use rustls::{CertificateError, OtherError};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::time::ASN1Time;

use crate::{
    Pin,
    identity::{alternative_names, parse},
    subject::written,
};

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is no X.509 certificate that can be read.
    Unreadable {
        /// What the parser said.
        reason: String,
    },
    /// It has ended, or one of its chain has.
    Expired {
        /// Its last day, `2026-01-31`.
        on: String,
        /// The server's key.
        pin: Pin,
    },
    /// It has not begun.
    NotYetValid {
        /// Its first day.
        on: String,
    },
    /// It is for other names.
    WrongName {
        /// The name that was asked for.
        expected: String,
        /// Some of the names that it has; not its common name, which no longer counts.
        presented: Vec<String>,
        /// The server's key.
        pin: Pin,
    },
    /// None of those who are trusted have issued it.
    UnknownIssuer {
        /// Whose it is.
        subject: String,
        /// Who issued it.
        issuer: String,
        /// Whether that is the same.
        is_self_signed: bool,
        /// Who is trusted: this file, or the system's roots.
        file: Option<PathBuf>,
        /// The server's key.
        pin: Pin,
    },
    /// Its key is not one of the pinned ones.
    PinMismatch {
        /// The server's key.
        presented: Pin,
    },
    /// It was issued for something else than servers.
    NotForServers,
    /// Anything else, in the TLS library's words.
    Other {
        /// These.
        reason: String,
    },
}

impl Refusal {
    /// Finds the refusal in what a handshake failed with.
    pub fn within(error: &rustls::Error) -> Option<&Self> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
                error.downcast_ref()
            }
            _ => None,
        }
    }

    /// Translates what rustls found in `certificate`, which is readable.
    pub(super) fn from_rustls(
        error: rustls::Error,
        certificate: &CertificateDer<'_>,
        expected: &str,
        file: Option<&PathBuf>,
    ) -> Self {
        let rustls::Error::InvalidCertificate(error) = error else {
            return Self::Other { reason: error.to_string() };
        };
        let (leaf, pin) = match (parse(certificate), Pin::of(certificate)) {
            (Ok(leaf), Some(pin)) => (leaf, pin),
            (Err(reason), _) => return Self::Unreadable { reason },
            (Ok(_), None) => return Self::Unreadable { reason: error.to_string() },
        };
        match error {
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired { on: day(not_after), pin },
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid { on: day(not_before) }
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let names = alternative_names(&leaf);
                let presented = names.iter().take(NAMES_MAX).map(ToString::to_string).collect();
                Self::WrongName { expected: expected.into(), presented, pin }
            }
            // A certificate of a CA that shows itself is one that nobody else has issued.
            CertificateError::UnknownIssuer => Self::unknown_issuer(&leaf, pin, file),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::NotForServers
            }
            error if is_ca_as_server(&error) => Self::unknown_issuer(&leaf, pin, file),
            error => Self::Other { reason: error.to_string() },
        }
    }

    fn unknown_issuer(
        leaf: &x509_parser::certificate::X509Certificate<'_>,
        pin: Pin,
        file: Option<&PathBuf>,
    ) -> Self {
        let name = |name| written(name).unwrap_or_else(|| "(no name)".into());
        Self::UnknownIssuer {
            subject: name(leaf.subject()),
            issuer: name(leaf.issuer()),
            is_self_signed: leaf.subject().as_raw() == leaf.issuer().as_raw(),
            file: file.cloned(),
            pin,
        }
    }
}

impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(std::sync::Arc::new(refusal))))
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { reason } => {
                write!(formatter, "the server's certificate cannot be read: {reason}")
            }
            Self::Expired { on, pin } => write!(
                formatter,
                "the server's certificate, or one of its chain, ended on {on}: renew it there; \
                 `tls_pin = [\"{pin}\"]` alone trusts the server's key whatever the date"
            ),
            Self::NotYetValid { on } => write!(
                formatter,
                "the server's certificate begins on {on}: is this machine's clock right?"
            ),
            Self::WrongName { expected, presented, pin } => {
                write!(formatter, "the server's certificate is not for `{expected}` but ")?;
                match presented.as_slice() {
                    [] => write!(
                        formatter,
                        "for no name at all (it has no subjectAltName): \
                         write `tls_pin = [\"{pin}\"]` alone to trust its key"
                    ),
                    [first, rest @ ..] => {
                        write!(formatter, "for `{first}`")?;
                        for name in rest {
                            write!(formatter, ", `{name}`")?;
                        }
                        let own = presented.iter().find(|name| !name.starts_with("*."));
                        let own = own.map_or("a name of these", String::as_str);
                        write!(formatter, ": if this is the right server, write `tls_server_name = \"{own}\"`")
                    }
                }
            }
            Self::UnknownIssuer { subject, issuer, is_self_signed, file, pin } => {
                let trusted = match file {
                    Some(file) => format!("nothing in {}", file.display()),
                    None => "none of the system's roots".into(),
                };
                if *is_self_signed {
                    write!(
                        formatter,
                        "the server's certificate `{subject}` is self-signed, and {trusted} equals it: \
                         write the certificate into the file that `tls_ca` names, or `tls_pin = [\"{pin}\"]`, \
                         once you have checked it"
                    )
                } else {
                    write!(
                        formatter,
                        "the server's certificate `{subject}` was issued by `{issuer}`, and {trusted} vouches for \
                         that: name the CA's certificate with `tls_ca`, have the server send its intermediates, \
                         or write `tls_pin = [\"{pin}\"]` once you have checked it"
                    )
                }
            }
            Self::PinMismatch { presented } => write!(
                formatter,
                "the server's key is not a pinned one: it is `{presented}`; if the server has a new key, \
                 write this into `tls_pin`, else somebody stands in between"
            ),
            Self::NotForServers => formatter.write_str(
                "the server's certificate was not issued for servers (its extended key usage leaves out serverAuth)",
            ),
            Self::Other { reason } => write!(formatter, "the server's certificate is refused: {reason}"),
        }
    }
}

/// What webpki calls it when the server's own certificate is that of a CA; rustls has no word for it.
fn is_ca_as_server(error: &CertificateError) -> bool {
    match error {
        CertificateError::Other(OtherError(error)) => error.to_string() == "CaUsedAsEndEntity",
        _ => false,
    }
}

/// The day of `time` in UTC.
pub(super) fn day(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    match seconds.and_then(|seconds| ASN1Time::from_timestamp(seconds).ok()) {
        Some(time) => time.to_datetime().date().to_string(),
        None => "an impossible date".into(),
    }
}

/// Names that a message lists; a certificate may have hundreds.
const NAMES_MAX: usize = 8;
