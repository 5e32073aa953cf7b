//! TLS in both roles, with timed handshakes. Towards clients: one shared [`Profile`] per `[tls.NAME]`, one cheap
//! [`SessionTls`] per control connection. Towards backends: one shared [`BackendProfile`] per backend, one
//! [`UpstreamTls`] per control connection.
//!
//! What ties a data connection to its control connection is made here and nowhere else: every session has its
//! own ticket key, so a resumed data handshake can only come from the client that holds the session's tickets
//! ([`SameSession`], RFC 4217 §10.2); and a server's data connection resumes a session of its control
//! connection's server, or shows the same certificate ([`SameServer`]). Nothing in this module logs, prints or stores a secret beyond the session.
//!
//! RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 5077 (tickets), RFC 4217 (FTP over TLS).

mod handshake;
mod pending_io;
mod profile;
mod resumption;
mod session;
mod upstream;

pub use handshake::HandshakeError;
pub use pending_io::PendingIo;
pub use profile::{Profile, ProfileError};
pub use resumption::SameSession;
pub use session::{ControlTls, DataKind, DataTls, DataTlsError, SessionTls};
pub use upstream::{
    BackendProfile, BackendProfileError, SameServer, UpstreamControl, UpstreamDataError, UpstreamDataTls,
    UpstreamTls, advice,
};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
