//! TLS towards clients: one shared [`Profile`] per `[tls.NAME]`, one cheap [`SessionTls`] per control
//! connection, and timed handshakes on both.
//!
//! What ties a data connection to its control connection is made here and nowhere else: every session has its
//! own ticket key, so a resumed data handshake can only come from the client that holds the session's tickets
//! ([`SameSession`], RFC 4217 §10.2). Nothing in this module logs, prints or stores a secret beyond the session.
//!
//! RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 5077 (tickets), RFC 4217 (FTP over TLS).

mod handshake;
mod pending_io;
mod profile;
mod resumption;
mod session;

pub use handshake::HandshakeError;
pub use pending_io::PendingIo;
pub use profile::{Profile, ProfileError};
pub use resumption::SameSession;
pub use session::{ControlTls, DataKind, DataTls, DataTlsError, SessionTls};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
