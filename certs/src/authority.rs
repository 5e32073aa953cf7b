//! The local CA: what makes a gateway without certificates work at once, for clients that are told to trust it.
//!
//! It lives in two files of the state directory (`files`), signs what the operator asks for
//! ([`Authority::issue`]) and, for listeners without certificates, mints short-lived ones for the names and
//! addresses that clients dial ([`Authority::mint`]). Those stay in memory (`minted`), bounded in number and in
//! rate, since a client chooses the names.
//!
//! It never parses requests, never answers anybody over a network, and its key never leaves this module.

mod certificate;
mod files;
mod minted;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rcgen::{Issuer, KeyPair};
use rustls::{crypto::aws_lc_rs::sign::any_ecdsa_type, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use self::minted::{Known, Minted};
use crate::{Error, Fingerprint, SubjectName};

/// A CA with its key. Shared by all listeners that fall back to it.
pub struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_pem: String,
    not_after: SystemTime,
    minted: Mutex<Minted>,
}

/// A certificate that was issued to be kept in files.
#[derive(Debug)]
pub struct Issued {
    /// The certificate in PEM. The root is not part of it: clients have it, or they do not trust it.
    pub chain_pem: String,
    /// Its private key, PKCS#8 in PEM.
    pub key_pem: PrivateKeyPem,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// When it ends.
    pub not_after: SystemTime,
}

/// A private key in PEM, which shows itself to nobody who does not ask, and is wiped when dropped.
pub struct PrivateKeyPem(Zeroizing<String>);

impl Authority {
    /// Opens the CA in `state_dir`, or makes one. Processes that do so at the same time end with the same CA.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or written, a key that others can read, half of a CA, one that has ended.
    pub fn open_or_create(state_dir: &Path) -> Result<Self, Error> {
        let now = SystemTime::now();
        files::Authority::open_or_create(state_dir, now).and_then(|files| Self::new(files, now))
    }

    /// Opens the CA in `state_dir`.
    ///
    /// # Errors
    ///
    /// As [`Authority::open_or_create`], and [`Error::AuthorityMissing`].
    pub fn open(state_dir: &Path) -> Result<Self, Error> {
        let now = SystemTime::now();
        let directory = files::directory(state_dir);
        match files::Authority::open(&directory)? {
            Some(files) => Self::new(files, now),
            None => Err(Error::AuthorityMissing { directory }),
        }
    }

    /// The CA's own certificate in PEM, for clients to trust.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The CA's own certificate in DER.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// SHA-256 of the CA's own certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.root)
    }

    /// When the CA's own certificate ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Issues a server certificate for `names`, the first of which becomes its common name, and a fresh ECDSA
    /// P-256 key. Valid for `days`, and from an hour ago, for clients whose clock is slow.
    ///
    /// # Errors
    ///
    /// No names or too many, no days or more than the CA itself has left.
    pub fn issue(&self, names: &[SubjectName], days: u32) -> Result<Issued, Error> {
        if names.is_empty() {
            return Err(Error::Nameless);
        }
        if names.len() > ISSUED_NAMES_MAX {
            return Err(Error::TooManyNames { count: names.len(), count_max: ISSUED_NAMES_MAX });
        }
        let now = SystemTime::now();
        let left = self.time_left(now)?;
        let days_max = u32::try_from(left.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX);
        if days == 0 || days > days_max {
            return Err(Error::InvalidValidity { days, days_max });
        }
        let not_after = now + days * DAY;
        let key = certificate::new_key()?;
        let certificate = certificate::leaf(names, &key, &self.issuer, now - BACKDATED_BY..not_after)?;
        Ok(Issued {
            chain_pem: certificate.pem(),
            key_pem: PrivateKeyPem(Zeroizing::new(key.serialize_pem())),
            fingerprint: Fingerprint::of(certificate.der()),
            not_after,
        })
    }

    /// The certificate for a name that a client dialled: made at its first use, kept in memory, renewed when it
    /// nears its end. 256 names are kept, and at most 20 are made in a second.
    ///
    /// # Errors
    ///
    /// [`Error::MintingTooFast`] over that rate (the name that was made before stays usable), and
    /// [`Error::AuthorityExpired`].
    pub fn mint(&self, name: &SubjectName) -> Result<Arc<CertifiedKey>, Error> {
        self.mint_at(name, SystemTime::now(), Instant::now())
    }

    /// As [`Authority::mint`] at a given time: `wall` dates certificates, `monotonic` measures the rate.
    fn mint_at(
        &self,
        name: &SubjectName,
        wall: SystemTime,
        monotonic: Instant,
    ) -> Result<Arc<CertifiedKey>, Error> {
        // Making one takes some 0.1 ms, so whoever waits here waits no longer than for a handshake of his own.
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = match minted.find(name, wall) {
            Known::Fresh(key) => return Ok(key),
            Known::Ageing(key) => Some(key),
            Known::No => None,
        };
        if !minted.may_make(monotonic) {
            return usable.ok_or_else(|| Error::MintingTooFast { name: name.to_string() });
        }
        let lifetime = self.time_left(wall)?.min(MINTED_FOR);
        let validity = wall - BACKDATED_BY..wall + lifetime;
        let key = certificate::new_key()?;
        let certificate =
            certificate::leaf(std::slice::from_ref(name), &key, &self.issuer, validity.clone())?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let certified_key =
            Arc::new(CertifiedKey::new(vec![certificate.der().clone()], any_ecdsa_type(&key)?));
        minted.keep(name.clone(), Arc::clone(&certified_key), validity, wall + lifetime * 2 / 3);
        Ok(certified_key)
    }

    fn new(files: files::Authority, now: SystemTime) -> Result<Self, Error> {
        let files::Authority { directory, key, root, root_pem, not_after } = files;
        let issuer = Issuer::from_ca_cert_der(&root, key)?;
        let minted = Mutex::new(Minted::new());
        let authority = Self { directory, issuer, root, root_pem, not_after, minted };
        authority.time_left(now)?;
        Ok(authority)
    }

    fn time_left(&self, now: SystemTime) -> Result<Duration, Error> {
        match self.not_after.duration_since(now) {
            Ok(left) if !left.is_zero() => Ok(left),
            Ok(_) | Err(_) => Err(Error::AuthorityExpired { directory: self.directory.clone() }),
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("directory", &self.directory)
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

impl PrivateKeyPem {
    /// The text itself, for whoever writes it to a file that nobody else may read.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKeyPem(…)")
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a minted certificate is valid; it is renewed after two thirds of that.
const MINTED_FOR: Duration = Duration::from_secs(90 * DAY.as_secs());

/// How far a certificate's begin lies in the past, for clients whose clock is slow.
const BACKDATED_BY: Duration = Duration::from_secs(60 * 60);

/// Names in one issued certificate; public CAs take a hundred, too.
const ISSUED_NAMES_MAX: usize = 100;

#[cfg(test)]
mod tests;
