//! What one control connection to a server may be resumed with: a TLS 1.2 session, or TLS 1.3 tickets.
//!
//! rustls asks by server name; here there is one name, because a store serves one control connection and its data
//! connections. Only the key-exchange hint is shared with other sessions: it is no secret, and saves a round trip.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ftpsgate_ftp::session::DataTickets;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// The key-exchange group that a backend's servers chose last. A wrong hint costs a round trip (HelloRetryRequest).
#[derive(Debug, Default)]
pub(super) struct KeyExchangeHint(Mutex<Option<NamedGroup>>);

/// The sessions and tickets of one control connection.
pub(super) struct SessionStore {
    key_exchange: Arc<KeyExchangeHint>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    tls12: Option<Tls12ClientSessionValue>,
    /// Oldest first; at most [`TICKETS_MAX`].
    tls13: VecDeque<Tls13ClientSessionValue>,
    /// Whether a ticket came before the first data connection.
    given_on_control: bool,
    data_has_begun: bool,
}

impl SessionStore {
    pub(super) fn new(key_exchange: Arc<KeyExchangeHint>) -> Self {
        Self { key_exchange, kept: Mutex::default() }
    }

    /// A data connection begins: tickets that come from now on may be its own.
    pub(super) fn data_begins(&self) {
        self.kept().data_has_begun = true;
    }

    /// Whether there is a TLS 1.3 ticket for a data connection whose server may want one.
    pub(super) fn tickets(&self) -> DataTickets {
        let kept = self.kept();
        match kept.given_on_control && kept.tls13.is_empty() {
            true => DataTickets::Spent,
            false => DataTickets::Available,
        }
    }

    #[cfg(test)]
    pub(super) fn tickets_kept(&self) -> usize {
        self.kept().tls13.len()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for SessionStore {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        *self.key_exchange.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        *self.key_exchange.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept().tls12 = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.kept().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.kept();
        kept.given_on_control |= !kept.data_has_begun;
        if kept.tls13.len() == TICKETS_MAX {
            kept.tls13.pop_front();
        }
        kept.tls13.push_back(value);
    }

    /// The newest, which lives longest.
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut kept = self.kept();
        let ticket = kept.tls13.pop_back();
        kept.tls13.shrink_to_fit();
        ticket
    }
}

impl fmt::Debug for SessionStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept();
        formatter
            .debug_struct("SessionStore")
            .field("tls12", &kept.tls12.is_some())
            .field("tls13", &kept.tls13.len())
            .finish_non_exhaustive()
    }
}

/// A server may send as many as it likes; the newest are kept.
const TICKETS_MAX: usize = 32;
