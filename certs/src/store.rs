//! The configured identities of one TLS profile, found by name and reloaded when their files change.
//!
//! Readers take a snapshot and never wait: a reload builds the next snapshot beside it and swaps. A pair that
//! fails to load keeps the identity that it had, so that a half-written file or a key that arrives a second
//! after its certificate never takes a listener down.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;

use crate::{Error, Identity, SubjectName, name, watch::Watch};

/// Identities in the order of the configuration.
pub struct Store {
    current: ArcSwap<Snapshot>,
    /// One for each identity; held by [`Store::refresh`] alone.
    pairs: Mutex<Vec<Pair>>,
}

/// What [`Store::find`] found.
#[derive(Clone, Debug)]
pub struct Found {
    /// What to present.
    pub identity: Arc<Identity>,
    /// Why this one.
    pub matched: Match,
}

/// Why an identity was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It has the very name.
    Exact,
    /// It has a wildcard over the name.
    Wildcard,
    /// The client named no server, or one that nobody here is: the first of the configuration answers.
    First,
}

/// What a poll of the files brought to light.
#[derive(Debug)]
pub enum Refresh {
    /// A pair changed; new sessions get the new identity.
    Reloaded {
        /// The new identity.
        identity: Arc<Identity>,
    },
    /// A pair changed and is not usable; the old identity stays. Said once for each fault.
    Failed {
        /// The identity that stays.
        kept: Arc<Identity>,
        /// What is wrong with the new files.
        error: Error,
    },
}

impl Store {
    /// Loads pairs of chain and key. With no pairs the store is empty and finds nothing.
    ///
    /// # Errors
    ///
    /// The faults of all pairs at once.
    pub fn load(pairs: &[(PathBuf, PathBuf)]) -> Result<Self, Vec<Error>> {
        let mut watched = Vec::new();
        let mut identities = Vec::new();
        let mut errors = Vec::new();
        for (chain, key) in pairs {
            watched.push(Pair::new(chain.clone(), key.clone()));
            match Identity::load(chain, key) {
                Ok(identity) => identities.push(Arc::new(identity)),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { current: ArcSwap::from_pointee(Snapshot::new(identities)), pairs: Mutex::new(watched) })
    }

    /// Looks at all files, and reads again what changed. Cheap where nothing did (one `stat` for each file), and
    /// meant to be called every few seconds; it blocks on the file system.
    pub fn refresh(&self) -> Vec<Refresh> {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut identities = self.current.load().identities.clone();
        let mut swap = false;
        let mut refreshed = Vec::new();
        for (pair, identity) in pairs.iter_mut().zip(&mut identities) {
            if !pair.watch.changed() {
                continue;
            }
            match Identity::load(&pair.chain, &pair.key) {
                Ok(loaded) => {
                    if pair.watch.recover() || !loaded.same_chain(identity) {
                        *identity = Arc::new(loaded);
                        swap = true;
                        refreshed.push(Refresh::Reloaded { identity: Arc::clone(identity) });
                    }
                }
                Err(error) => {
                    if pair.watch.complain(&error) {
                        refreshed.push(Refresh::Failed { kept: Arc::clone(identity), error });
                    }
                }
            }
        }
        if swap {
            self.current.store(Arc::new(Snapshot::new(identities)));
        }
        refreshed
    }

    /// The identity for a server name: one that has the very name, else one with a wildcard over it, else the
    /// first. None only where the store is empty.
    pub fn find(&self, server_name: Option<&str>) -> Option<Found> {
        self.find_usable(server_name, |_| true)
    }

    /// As [`Store::find`], but passes over identities that the client cannot verify, so that an RSA and an ECDSA
    /// certificate of one name serve old and new clients. Where none is usable, the best name is found, and
    /// the handshake fails for its own reason.
    pub fn find_usable(
        &self,
        server_name: Option<&str>,
        usable: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<Found> {
        let snapshot = self.current.load();
        let candidates = || snapshot.candidates(server_name);
        let (matched, identity) = candidates()
            .find(|(_, identity)| usable(&identity.certified_key()))
            .or_else(|| candidates().next())?;
        Some(Found { identity: Arc::clone(identity), matched })
    }

    /// Whether a certificate is for `host`: exactly, by wildcard, or by address (`HOST [2001:db8::1]`, RFC 7151).
    pub fn has_name(&self, host: &str) -> bool {
        let snapshot = self.current.load();
        match name::address_literal(host) {
            Some(address) => {
                let wanted = SubjectName::address(address);
                snapshot.identities.iter().any(|identity| identity.names().contains(&wanted))
            }
            None => snapshot.named(host).next().is_some(),
        }
    }

    /// All identities, in the order of the configuration.
    pub fn identities(&self) -> Vec<Arc<Identity>> {
        self.current.load().identities.clone()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.current.load().identities.is_empty()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.current.load().identities).finish()
    }
}

/// The files of one identity.
struct Pair {
    chain: PathBuf,
    key: PathBuf,
    watch: Watch,
}

impl Pair {
    fn new(chain: PathBuf, key: PathBuf) -> Self {
        let watch = Watch::new([chain.clone(), key.clone()]);
        Self { chain, key, watch }
    }
}

/// All identities at one moment, and where their names lead.
struct Snapshot {
    identities: Vec<Arc<Identity>>,
    /// DNS names, wildcards as written, to indices in the order of the configuration.
    by_name: HashMap<String, Vec<usize>>,
}

impl Snapshot {
    fn new(identities: Vec<Arc<Identity>>) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, identity) in identities.iter().enumerate() {
            for name in identity.names() {
                match name {
                    SubjectName::Dns(name) => by_name.entry(name.as_str().into()).or_default().push(index),
                    // No server name in TLS is an address (RFC 6066 §3).
                    SubjectName::Address(_) => {}
                }
            }
        }
        Self { identities, by_name }
    }

    /// Identities from the best to the worst.
    fn candidates(&self, server_name: Option<&str>) -> impl Iterator<Item = (Match, &Arc<Identity>)> {
        let named = server_name.into_iter().flat_map(|host| self.named(host));
        named.chain(self.identities.iter().map(|identity| (Match::First, identity)))
    }

    /// Identities that are for `host`, exact names first. No host is a wildcard itself, whatever follows HOST.
    fn named(&self, host: &str) -> impl Iterator<Item = (Match, &Arc<Identity>)> {
        let host = Some(name::fold(host)).filter(|host| !host.starts_with('*'));
        let wildcard = host.as_deref().and_then(name::wildcard_over);
        let exact = host.and_then(|host| self.by_name.get(&host)).map(|indices| (Match::Exact, indices));
        let covering =
            wildcard.and_then(|name| self.by_name.get(&name)).map(|indices| (Match::Wildcard, indices));
        exact.into_iter().chain(covering).flat_map(move |(matched, indices)| {
            indices.iter().map(move |index| (matched, &self.identities[*index]))
        })
    }
}

#[cfg(test)]
mod tests;
