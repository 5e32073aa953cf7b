//! Certificates of ftpsgate: which one the gateway shows to a client, and which ones of clients and servers it
//! believes.
//!
//! The crate knows rustls (always with the aws-lc-rs provider, named explicitly and never installed as the
//! process's default), PEM files and the clock. It has no sockets and no tasks: what must be done again and
//! again ([`Store::refresh`], [`ClientTrust::refresh`]) is a short blocking call that the gateway makes.
//!
//! Modules, in reading order:
//!
//! - [`error`]: everything that can go wrong, each with the file and what to do about it.
//! - [`name`]: the names that a certificate is for, DNS names and addresses.
//! - [`fingerprint`]: SHA-256 of a certificate, as people compare it.
//! - `pem`: bounded reading of PEM files.
//! - [`identity`]: a chain and the key that was proven to belong to it.
//! - [`warning`]: what is odd about an identity that still works.
//! - `watch`: whether files changed since they were last read.
//! - [`store`]: the configured identities, found by name and reloaded when their files change.
//! - [`authority`]: the local CA: its files, what it issues and what it mints.
//! - [`resolver`]: the certificate of one session, for rustls.
//! - [`trust`]: who may present a client certificate.
//! - [`pin`]: SHA-256 of a public key, as configurations pin it.
//! - [`server_trust`]: which server's certificate is believed where the gateway is the client.
//! - [`subject`]: a certificate's subject as text, for routes, rules and logs.

pub mod authority;
pub mod error;
pub mod fingerprint;
pub mod identity;
pub mod name;
mod pem;
pub mod pin;
pub mod resolver;
pub mod server_trust;
pub mod store;
pub mod subject;
pub mod trust;
pub mod warning;
mod watch;

#[cfg(test)]
mod fixture;

pub use authority::{Authority, Issued, PrivateKeyPem};
pub use error::Error;
pub use fingerprint::Fingerprint;
pub use identity::Identity;
pub use name::{DnsName, SubjectName};
pub use pin::Pin;
pub use resolver::{Certificates, Pinned, SessionResolver};
pub use server_trust::{Refusal, ServerTrust, TrustedRoots};
pub use store::{Found, Match, Refresh, Store};
pub use subject::{CertificateFacts, alternative_names_of, subject_of};
pub use trust::{ClientTrust, TrustRefresh};
pub use warning::Warning;
