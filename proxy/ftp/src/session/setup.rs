//! What is made ready before a transfer: the client's data connection, and the backend's.
//!
//! The two know nothing of each other. What a client may ask for is in [`super::client_data`], how a backend is asked
//! in [`super::backend_data`]. Nothing here moves a byte, and no client is dialled from here: that is the relay's,
//! after the 1yz. RFC 959 §3.3.

use super::Session;
use super::event::Action;
use super::transfer::{Running, Transfer};

/// Data connections before a transfer.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) client: ClientData,
    pub(super) backend: BackendData,
    /// A transfer command that waits for the backend's data connection, or for the answer to REST.
    pub(super) waiting: Option<Running>,
}

/// The client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientData {
    /// PASV or EPSV: a port is being leased, and the client has no answer.
    Leasing(Style),
    /// The client dials the leased port.
    Expected,
    /// PORT or EPRT: the client listens, and the relay dials it.
    Listening,
}

/// How a client asked for a passive port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Pasv,
    Epsv,
}

/// The backend's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackendData {
    /// It is being asked, or will be when the session has logged in afresh.
    Pending,
    /// Passive: the port that it named is being dialled.
    Dialling,
    /// It is told nothing before the transfer command comes, and the server is where that takes place.
    Untold,
    /// Active: a port of ours is being leased.
    Leasing,
    /// Active: PORT or EPRT was sent.
    Told,
    /// It is connected, or will connect to us; the transfer command may be sent.
    Ready,
    Failed,
}

impl Setup {
    /// Whether the client's command was answered, and no other waits.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_answered = match self.client {
            ClientData::Leasing(_) => false,
            ClientData::Expected | ClientData::Listening => true,
        };
        is_answered && self.waiting.is_none()
    }
}

impl Session {
    /// Begins afresh: a new PASV, EPSV, PORT or EPRT replaces the one before it (RFC 959 §3.3).
    pub(super) fn begin_setup(&mut self, client: ClientData, backend: BackendData) {
        if self.transfer.take_setup() {
            self.actions.push_back(Action::DiscardData);
        }
        self.transfer = Transfer::Setup(Setup { client, backend, waiting: None });
    }
}

/// Below are the ports of services. A backend that names one as its own means somebody else's service, and a client
/// that does so means an attack on it (RFC 2577 §3).
pub(super) const LOWEST_PORT: u16 = 1024;
