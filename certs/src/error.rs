//! Everything that can go wrong in this crate, said so that an operator knows which file to open and what to
//! do there.
//!
//! No message holds key material or bytes of a key file.

use std::{io, net::IpAddr, path::PathBuf};

/// What went wrong, where, and what helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A path names a directory, a pipe or a device.
    #[error("{} is not a regular file", file.display())]
    NotAFile {
        /// The path.
        file: PathBuf,
    },
    /// A file is larger than anything that belongs here.
    #[error("{} is larger than {bytes_max} bytes: is it the right file?", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The bound, in bytes.
        bytes_max: u64,
    },
    /// A file holds DER or PKCS#12 where PEM is expected.
    #[error(
        "{} is binary (DER or PKCS#12), not PEM: convert it, for example with \
         `openssl x509 -inform der`, `openssl pkey -inform der` or `openssl pkcs12 -nodes`",
        file.display()
    )]
    NotPem {
        /// The file.
        file: PathBuf,
    },
    /// A PEM section does not hold together; also what a file looks like that is only half written.
    #[error("{} is not valid PEM: {reason}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file that should hold certificates holds none.
    #[error("no certificate in {}: it needs at least one `-----BEGIN CERTIFICATE-----` section", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// A file that should hold certificates holds only a private key.
    #[error("{} holds a private key and no certificate: are `chain` and `key` swapped?", file.display())]
    KeyInsteadOfCertificate {
        /// The file.
        file: PathBuf,
    },
    /// A file that should hold a private key holds none.
    #[error(
        "no private key in {}: it needs a `-----BEGIN PRIVATE KEY-----`, `RSA PRIVATE KEY` or `EC PRIVATE KEY` section",
        file.display()
    )]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// A file that should hold a private key holds only certificates.
    #[error("{} holds a certificate and no private key: are `chain` and `key` swapped?", file.display())]
    CertificateInsteadOfKey {
        /// The file.
        file: PathBuf,
    },
    /// The private key needs a pass phrase.
    #[error(
        "the private key in {0} is encrypted, and nobody is there to type its pass phrase: \
         write it without one, `openssl pkey -in {0} -out new.key`, and keep that file at mode 0600",
        file.display()
    )]
    EncryptedKey {
        /// The file.
        file: PathBuf,
    },
    /// The private key is of a kind that TLS here cannot use.
    #[error(
        "the private key in {} cannot be used ({reason}): \
         RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, and Ed25519 can",
        file.display()
    )]
    UnusableKey {
        /// The file.
        file: PathBuf,
        /// What the TLS library said.
        reason: String,
    },
    /// A certificate cannot be read as X.509 version 3.
    #[error("certificate {position} in {} cannot be used: {reason}", file.display())]
    UnusableCertificate {
        /// The file.
        file: PathBuf,
        /// Which one, from 1.
        position: usize,
        /// What the parser said.
        reason: String,
    },
    /// A chain is longer than any client follows: a CA bundle, most likely.
    #[error(
        "{} holds {count} certificates and a chain may have {count_max}: \
         it should be the server's certificate and its intermediates, not a bundle of CAs",
        file.display()
    )]
    ChainTooLong {
        /// The file.
        file: PathBuf,
        /// How many there are.
        count: usize,
        /// How many there may be.
        count_max: usize,
    },
    /// Key and certificate are not a pair.
    #[error(
        "the private key in {} does not belong to the certificate in {}: \
         both must come from the same request",
        key.display(), chain.display()
    )]
    Mismatch {
        /// The file with the certificate.
        chain: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// The key belongs to a certificate of the chain, and that one is not the first.
    #[error(
        "the private key in {} belongs to certificate {position} in {}: \
         the server's own certificate must be the first, its intermediates follow",
        key.display(), chain.display()
    )]
    ChainOrder {
        /// The file with the certificates.
        chain: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// Where the server's certificate stands, from 1.
        position: usize,
    },
    /// A revocation list cannot be used.
    #[error("the revocation list in {} cannot be used: {reason}", file.display())]
    UnusableRevocationList {
        /// The file.
        file: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// A file that should hold revocation lists holds none.
    #[error("no revocation list in {}: it needs at least one `-----BEGIN X509 CRL-----` section", file.display())]
    NoRevocationList {
        /// The file.
        file: PathBuf,
    },
    /// A text is neither a DNS name nor an address.
    #[error("`{}` is neither a DNS name nor an IP address", text.escape_debug())]
    InvalidName {
        /// The text.
        text: String,
    },
    /// A certificate was asked for without any name.
    #[error("a certificate needs at least one name, a DNS name or an IP address")]
    Nameless,
    /// More names were asked for than one certificate should carry.
    #[error("a certificate may carry {count_max} names, not {count}")]
    TooManyNames {
        /// How many were asked for.
        count: usize,
        /// How many there may be.
        count_max: usize,
    },
    /// A certificate was asked for that would end too late, or at once.
    #[error("a certificate may be valid for 1 to {days_max} days, not {days}")]
    InvalidValidity {
        /// What was asked for, in days.
        days: u32,
        /// What is possible, in days: the CA's own end is a bound, too.
        days_max: u32,
    },
    /// The local CA's files could not be written.
    #[error("cannot {action} {}: {source}", path.display())]
    Write {
        /// What was being done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no local CA yet.
    #[error("there is no local CA in {}: `ftpsgate ca init` makes one", directory.display())]
    AuthorityMissing {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// One of the local CA's two files is not there.
    #[error(
        "the local CA in {} is incomplete: {missing} is missing; restore it from a backup, or remove the \
         directory to get a new CA, which every client must then be made to trust",
        directory.display()
    )]
    AuthorityIncomplete {
        /// Where it is.
        directory: PathBuf,
        /// The file that is not there.
        missing: &'static str,
    },
    /// Somebody else may read or replace the local CA's key.
    #[error(
        "{} has mode {mode:04o}: others could read or replace the key of the local CA, and pass for any server; \
         if nobody did, `chmod {wanted:04o}` it, else remove the directory to get a new CA",
        path.display()
    )]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// The local CA's certificate is not one that can sign.
    #[error("{} is not the certificate of a CA: {reason}", file.display())]
    NotAnAuthority {
        /// The file.
        file: PathBuf,
        /// What it lacks.
        reason: &'static str,
    },
    /// The local CA's own certificate has come to its end.
    #[error(
        "the certificate of the local CA in {} has ended: remove the directory to get a new one, \
         which every client must then be made to trust",
        directory.display()
    )]
    AuthorityExpired {
        /// Where it is.
        directory: PathBuf,
    },
    /// More new names were asked for in a second than the local CA mints.
    #[error("too many new names a second: no certificate was made for {name}")]
    MintingTooFast {
        /// The name that got none.
        name: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {source}")]
    Signing {
        /// What the library said.
        #[from]
        source: rcgen::Error,
    },
    /// The TLS library refused a key that was made here.
    #[error("cannot use a key that was just made: {source}")]
    FreshKey {
        /// What the library said.
        #[from]
        source: rustls::Error,
    },
    /// A profile has neither certificates nor a CA.
    #[error(
        "no certificate to show to a client that dialled {dialled}: none is configured, and the local CA is off"
    )]
    NothingToServe {
        /// The address that was dialled.
        dialled: IpAddr,
    },
    /// A text is not a pin.
    #[error("`{}` is not a pin: it is `sha256/` and the 44 characters of base64 that name a key", text.escape_debug())]
    InvalidPin {
        /// The text.
        text: String,
    },
    /// A server is to be judged by pins, and there are none.
    #[error("no pin is written, and neither `tls_ca` nor the system's roots are to decide")]
    NoPins,
    /// The machine has no list of CAs.
    #[error(
        "no CA is known to this system{}: install its CA certificates (the package `ca-certificates`), \
         or name a file with `tls_ca`",
        reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
    )]
    NoSystemRoots {
        /// What the system said.
        reason: Option<String>,
    },
}
