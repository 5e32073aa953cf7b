//! Resumption that is bound to one session: its ticket key, its session-ID store, and the proof that a data
//! connection resumed it.
//!
//! Why not rustls' own: its TLS 1.3 store is single-use, while GnuTLS clients (lftp, FileZilla) offer one ticket
//! for every data connection; its ticketer rotates keys and so breaks long sessions; and both are shared between
//! sessions, so that a resumed handshake would not say *which* session it resumed.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{constant_time, rand};
use rustls::server::{ProducesTickets, ServerConnection, StoresServerSessions};
use rustls::{HandshakeKind, ProtocolVersion};
use zeroize::Zeroizing;

/// Proof that a data connection resumed this session's TLS, so that its peer is the session's client.
///
/// Only the secret of the session itself makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SameSession(());

/// What every ticket of a session carries, and no other session's does.
pub(super) struct SessionSecret(Zeroizing<[u8; SECRET_BYTES]>);

impl SessionSecret {
    pub(super) fn random() -> Result<Self, rustls::Error> {
        Ok(Self(random()?))
    }

    /// Tickets of `connection` will carry this secret. New tickets carry the *new* connection's data, so this
    /// is called before every handshake, resumed or not.
    pub(super) fn mark(&self, connection: &mut ServerConnection) {
        connection.set_resumption_data(&self.0[..]);
    }

    /// Whether `connection` resumed this session.
    ///
    /// rustls reports resumption data on TLS 1.3 only; on 1.2 the session's own ticket key and store are the whole
    /// proof, on 1.3 they are the first half.
    pub(super) fn prove(&self, connection: &ServerConnection) -> Option<SameSession> {
        if connection.handshake_kind() != Some(HandshakeKind::Resumed) {
            return None;
        }
        if connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            let received = connection.received_resumption_data()?;
            constant_time::verify_slices_are_equal(received, &self.0[..]).ok()?;
        }
        Some(SameSession(()))
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionSecret(…)")
    }
}

/// Seals tickets with AES-256-GCM under a key that lives exactly as long as the session.
///
/// Only the key's 32 bytes are kept: an expanded key costs a kilobyte in every idle session, and expanding it
/// again for a handshake costs less than a microsecond.
pub(super) struct SessionTickets {
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl SessionTickets {
    pub(super) fn random() -> Result<Self, rustls::Error> {
        Ok(Self { key: random()? })
    }

    fn cipher(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.key[..]).ok()
    }
}

impl ProducesTickets for SessionTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        TICKET_LIFETIME_SECONDS
    }

    /// Nonce, then ciphertext with its tag.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_BYTES));
        sealed.extend_from_slice(plain);
        let nonce = self.cipher()?.seal_in_place_append_tag(Aad::empty(), &mut *sealed).ok()?;
        let mut ticket = Vec::with_capacity(NONCE_LEN + sealed.len());
        ticket.extend_from_slice(nonce.as_ref());
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_first_chunk::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut opened = sealed.to_vec();
        let plain = self.cipher()?.open_in_place(nonce, Aad::empty(), &mut opened).ok()?.len();
        opened.truncate(plain);
        Some(opened)
    }
}

impl fmt::Debug for SessionTickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionTickets(…)")
    }
}

/// Keeps the sessions of TLS 1.2 clients that resume by session ID.
///
/// `take` leaves the entry in place: such a client offers the same ID for every data connection. Nothing is
/// allocated until a first session is put, and the oldest of [`STORED_SESSIONS_MAX`] makes room for the next.
#[derive(Default)]
pub(super) struct SessionStore {
    stored: Mutex<Vec<Stored>>,
}

struct Stored {
    id: Vec<u8>,
    value: Zeroizing<Vec<u8>>,
}

impl StoresServerSessions for SessionStore {
    fn put(&self, id: Vec<u8>, value: Vec<u8>) -> bool {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.retain(|entry| entry.id != id);
        if stored.len() == STORED_SESSIONS_MAX {
            stored.remove(0);
        }
        stored.reserve_exact(1);
        stored.push(Stored { id, value: Zeroizing::new(value) });
        true
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.iter().find(|entry| entry.id == id).map(|entry| entry.value.to_vec())
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.get(id)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for SessionStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionStore(…)")
    }
}

fn random<const BYTES: usize>() -> Result<Zeroizing<[u8; BYTES]>, rustls::Error> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    rand::fill(&mut bytes[..]).map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
    Ok(bytes)
}

const SECRET_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// Seven days, the most that RFC 8446 §4.6.1 allows: the key dies with the session, long before.
const TICKET_LIFETIME_SECONDS: u32 = 7 * 24 * 60 * 60;

/// A client resumes the session that it got last; more than a few are of no use to anyone.
const STORED_SESSIONS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_under_its_own_key_only_and_not_when_touched() {
        let mine = SessionTickets::random().unwrap();
        let ticket = mine.encrypt(b"resume me").unwrap();
        assert_eq!(mine.decrypt(&ticket).as_deref(), Some(&b"resume me"[..]));
        assert_eq!(mine.decrypt(&ticket).as_deref(), Some(&b"resume me"[..]), "as often as it is offered");
        assert_ne!(mine.encrypt(b"resume me").unwrap(), ticket, "nonces are random");
        assert_eq!(SessionTickets::random().unwrap().decrypt(&ticket), None);
        for position in 0..ticket.len() {
            let mut touched = ticket.clone();
            touched[position] ^= 1;
            assert_eq!(mine.decrypt(&touched), None, "byte {position}");
            assert_eq!(mine.decrypt(&ticket[..position]), None, "cut at {position}");
        }
    }

    #[test]
    fn the_store_is_bounded_and_take_leaves_the_entry() {
        let store = SessionStore::default();
        for id in 0..10u8 {
            assert!(store.put(vec![id], vec![id; 3]));
            assert!(store.put(vec![id], vec![id; 4]), "the same ID again takes no second place");
        }
        assert_eq!(store.stored.lock().unwrap().len(), STORED_SESSIONS_MAX);
        assert_eq!(store.get(&[5]), None);
        assert_eq!(store.take(&[6]), Some(vec![6; 4]));
        assert_eq!(store.take(&[6]), Some(vec![6; 4]));
    }

    #[test]
    fn secrets_do_not_print() {
        let printed = format!(
            "{:?} {:?} {:?}",
            SessionSecret(Zeroizing::new([77; SECRET_BYTES])),
            SessionTickets { key: Zeroizing::new([77; KEY_BYTES]) },
            SessionStore::default(),
        );
        assert!(!printed.contains("77"), "{printed}");
    }
}
