//! What one control connection to a server may be resumed with: a TLS 1.2 session, or TLS 1.3 tickets.
//!
//! rustls asks by server name; here there is one name, because a store serves one control connection and its data
//! connections. Only the key-exchange hint is shared with other sessions: it is no secret, and saves a round trip.
//!
//! A handshake stores its session before anybody could ask whose it is. So a data connection sees the store through a
//! [`DataStore`], which withholds what the handshake leaves until its peer is known to be the control connection's:
//! else the next data connection would resume with whoever answered this one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ftpsgate_ftp::session::DataTickets;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use super::SameServer;

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

    /// A data connection begins: its server does without the tickets that come from now on.
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
        push_ticket(&mut kept.tls13, value);
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

/// The store as one data connection sees it.
///
/// Dropped without a verdict, it has changed nothing but for the ticket that the handshake took: whoever was shown it,
/// it was shown.
pub(super) struct DataStore {
    store: Arc<SessionStore>,
    stage: Mutex<Stage>,
}

/// Whether what comes over the data connection counts.
enum Stage {
    /// It will, if the peer turns out to be the control connection's.
    Withheld(Changes),
    /// It does: so it is.
    Accepted,
}

/// What a handshake would change.
#[derive(Default)]
struct Changes {
    /// The session that takes the place of the one in the store, or that it is forgotten.
    tls12: Option<Option<Tls12ClientSessionValue>>,
    /// Oldest first; at most [`TICKETS_MAX`].
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl DataStore {
    pub(super) fn new(store: Arc<SessionStore>) -> Self {
        Self { store, stage: Mutex::new(Stage::Withheld(Changes::default())) }
    }

    /// From now on all that the peer gives counts, and what it gave before.
    pub(super) fn accept(&self, _: SameServer) {
        let Stage::Withheld(changes) = std::mem::replace(&mut *self.stage(), Stage::Accepted) else { return };
        let mut kept = self.store.kept();
        if let Some(tls12) = changes.tls12 {
            kept.tls12 = tls12;
        }
        for ticket in changes.tls13 {
            push_ticket(&mut kept.tls13, ticket);
        }
    }

    fn set_tls12(&self, session: Option<Tls12ClientSessionValue>) {
        match &mut *self.stage() {
            Stage::Withheld(changes) => changes.tls12 = Some(session),
            Stage::Accepted => self.store.kept().tls12 = session,
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for DataStore {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.store.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.store.kx_hint(name)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.set_tls12(Some(value));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.store.tls12_session(name)
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.set_tls12(None);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        match &mut *self.stage() {
            Stage::Withheld(changes) => push_ticket(&mut changes.tls13, value),
            Stage::Accepted => push_ticket(&mut self.store.kept().tls13, value),
        }
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.store.take_tls13_ticket(name)
    }
}

impl fmt::Debug for DataStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DataStore").field("store", &self.store).finish_non_exhaustive()
    }
}

fn push_ticket(tickets: &mut VecDeque<Tls13ClientSessionValue>, ticket: Tls13ClientSessionValue) {
    if tickets.len() == TICKETS_MAX {
        tickets.pop_front();
    }
    tickets.push_back(ticket);
}

/// A server may send as many as it likes; the newest are kept.
const TICKETS_MAX: usize = 32;
