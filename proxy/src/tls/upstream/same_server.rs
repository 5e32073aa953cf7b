//! The proof that a data connection leads to the server of its control connection. It is asked for whether the
//! handshake resumed a session or not: what a session is worth depends on whose it is.
//!
//! RFC 4217 §10.2, RFC 8446 §4.6.1.

use ftpsgate_certs::Fingerprint;
use rustls::client::ClientConnection;
use rustls::pki_types::CertificateDer;

/// Proof that the peer of a data connection is the server of the control connection: it has shown that server's
/// certificate, or resumed a session in which it was shown.
///
/// Only the comparison of the two makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SameServer(());

impl SameServer {
    /// Compares with the certificate of the `control` connection.
    ///
    /// rustls keeps a server's chain in each session and ticket, and reports it where they are resumed
    /// (`peer_certificates` in `client/tls12.rs` and `client/tls13.rs`, 0.23.46).
    pub(super) fn prove(control: Fingerprint, connection: &ClientConnection) -> Option<Self> {
        if control == Fingerprint::of(leaf(connection)?) { Some(Self(())) } else { None }
    }
}

/// The server's own certificate.
pub(super) fn leaf(connection: &ClientConnection) -> Option<&CertificateDer<'static>> {
    connection.peer_certificates()?.first()
}
