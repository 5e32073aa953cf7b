//! Which certificate one session shows, as rustls asks for it.
//!
//! [`Certificates`] is what a TLS profile can serve with. A session has a [`SessionResolver`] for its control
//! connection, which remembers the choice, and [`Pinned`] resolvers for its data connections, which repeat it:
//! clients compare the certificates of the two, so a reload in mid-session must not part them.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{Authority, Error, Store, SubjectName};

/// The certificates of one TLS profile: configured ones, or the local CA where none are configured.
#[derive(Debug)]
pub struct Certificates {
    store: Option<Arc<Store>>,
    authority: Option<Arc<Authority>>,
}

impl Certificates {
    /// With configured certificates, with the local CA, with both or with neither. The CA mints only where the
    /// store is empty or absent.
    pub fn new(store: Option<Arc<Store>>, authority: Option<Arc<Authority>>) -> Self {
        Self { store: store.filter(|store| !store.is_empty()), authority }
    }

    /// Whether there is anything to serve with; if not, AUTH TLS is answered with 431.
    pub fn available(&self) -> bool {
        self.store.is_some() || self.authority.is_some()
    }

    /// Whether a configured certificate is for `host` (the HOST command, RFC 7151). The local CA has no names of
    /// its own.
    pub fn has_name(&self, host: &str) -> bool {
        self.store.as_ref().is_some_and(|store| store.has_name(host))
    }

    /// The configured certificates, to be refreshed.
    pub fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// The certificate for a client that asked for `server_name` at the address `dialled`. `usable` says whether
    /// the client can verify it.
    ///
    /// # Errors
    ///
    /// [`Error::NothingToServe`], and those of [`Authority::mint`].
    pub fn choose(
        &self,
        server_name: Option<&str>,
        dialled: IpAddr,
        usable: impl Fn(&CertifiedKey) -> bool,
    ) -> Result<Arc<CertifiedKey>, Error> {
        let found = self.store.as_ref().and_then(|store| store.find_usable(server_name, usable));
        if let Some(found) = found {
            return Ok(found.identity.certified_key());
        }
        let Some(authority) = &self.authority else { return Err(Error::NothingToServe { dialled }) };
        let name = server_name.and_then(|name| name.parse().ok());
        authority.mint(&name.unwrap_or_else(|| SubjectName::address(dialled)))
    }
}

/// Chooses for one session's control connection, once.
pub struct SessionResolver {
    certificates: Arc<Certificates>,
    dialled: IpAddr,
    chosen: OnceLock<Arc<CertifiedKey>>,
    refused: OnceLock<Error>,
}

impl SessionResolver {
    /// For a client that dialled `dialled`.
    pub fn new(certificates: Arc<Certificates>, dialled: IpAddr) -> Self {
        Self { certificates, dialled, chosen: OnceLock::new(), refused: OnceLock::new() }
    }

    /// What was chosen: from the ClientHello on, and for the life of the session.
    pub fn chosen(&self) -> Option<Arc<CertifiedKey>> {
        self.chosen.get().cloned()
    }

    /// Why nothing was chosen, where the handshake failed for want of a certificate.
    pub fn refused(&self) -> Option<&Error> {
        self.refused.get()
    }
}

impl ResolvesServerCert for SessionResolver {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(chosen) = self.chosen.get() {
            // After a HelloRetryRequest rustls asks again.
            return Some(Arc::clone(chosen));
        }
        // rustls has already struck out the schemes that fit no cipher suite of the client.
        let schemes = client_hello.signature_schemes();
        let usable = |certified_key: &CertifiedKey| certified_key.key.choose_scheme(schemes).is_some();
        match self.certificates.choose(client_hello.server_name(), self.dialled, usable) {
            Ok(certified_key) => Some(Arc::clone(self.chosen.get_or_init(|| certified_key))),
            Err(error) => {
                self.refused.get_or_init(|| error);
                None
            }
        }
    }
}

impl fmt::Debug for SessionResolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SessionResolver")
            .field("dialled", &self.dialled)
            .field("chosen", &self.chosen.get().is_some())
            .finish_non_exhaustive()
    }
}

/// Always the same certificate: that of the session whose data connection this is.
pub struct Pinned(pub Arc<CertifiedKey>);

impl ResolvesServerCert for Pinned {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pinned(…)")
    }
}

#[cfg(test)]
mod tests;
