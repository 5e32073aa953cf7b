//! What an operator may do about a handshake with a server that came to nothing.

use rustls::{AlertDescription, PeerIncompatible};

use super::HandshakeError;

/// A hint that goes behind the error in a log line: which key of the backend's configuration may be at fault. None
/// where the error says enough: a refused certificate names its remedy itself.
pub fn advice(error: &HandshakeError) -> Option<&'static str> {
    match error {
        HandshakeError::ClosedBefore | HandshakeError::ClosedDuring | HandshakeError::Reset => Some(
            "the server gave no reason: see its log; many refuse so a TLS version (`tls_min_version`, \
             `tls_max_version`) or a missing client certificate (`tls_client_certificate`)",
        ),
        HandshakeError::Deadline => Some(
            "with `tls = \"implicit\"` the port must be one on which the server begins with TLS, usually 990",
        ),
        HandshakeError::Tls(error) => of_rustls(error),
        HandshakeError::Io(_) => None,
    }
}

fn of_rustls(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidMessage(_) => Some(
            "what the server sent is no TLS: `tls = \"implicit\"` needs a port on which it begins with TLS, \
             usually 990; on port 21 write `tls = \"explicit\"`",
        ),
        rustls::Error::PeerIncompatible(PeerIncompatible::ExtendedMasterSecretExtensionRequired) => {
            Some("the server lacks the extended master secret (RFC 7627): write `require_ems = false`")
        }
        rustls::Error::PeerIncompatible(_) => Some(
            "the server speaks no TLS that is allowed here: see `tls_min_version` and `tls_max_version`; \
             nothing older than TLS 1.2 is spoken",
        ),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
                Some("the server speaks another version of TLS: see `tls_min_version` and `tls_max_version`")
            }
            AlertDescription::HandshakeFailure => Some(
                "the server shares no cipher suite with us, or wants a client certificate: \
                 see `tls_max_version` and `tls_client_certificate`",
            ),
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
                Some("the server wants a client certificate: write `tls_client_certificate`")
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => {
                Some("the server does not accept our certificate: see `tls_client_certificate`")
            }
            AlertDescription::UnrecognisedName => {
                Some("the server does not know this name: see `tls_server_name`")
            }
            _ => None,
        },
        _ => None,
    }
}
