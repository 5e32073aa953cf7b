//! The time between our end of a data connection and the peer's.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use rustls::Connection;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Leg, SCRATCH_BYTES, UNSOLICITED_MAX, poll_read, take_plaintext};

/// A leg whose clean end is written, and whose peer may not have closed yet.
///
/// To close it at once could destroy what is still in flight: a socket that is closed with unread bytes (the peer's
/// own close_notify is enough) answers with RST, and RST discards what the peer has not read.
///
/// What a server still sends may hold TLS 1.3 tickets, without which its next data connection may be refused: they
/// are taken in.
#[derive(Debug)]
pub struct Lingering {
    leg: Leg,
    /// Of a leg whose peer is a server; it may bring tickets until its end.
    tickets: Option<Box<Connection>>,
}

impl Lingering {
    pub(super) fn new(mut leg: Leg) -> Self {
        // A client has nothing more to say that TLS would have to understand.
        let tickets = leg.tls.take().filter(|connection| match **connection {
            Connection::Client(_) => true,
            Connection::Server(_) => false,
        });
        Self { leg, tickets }
    }

    /// Waits for the peer's own end, at most two seconds, then closes.
    pub async fn linger(mut self) {
        let mut scratch = [0; SCRATCH_BYTES];
        let mut discarded = 0;
        let end = poll_fn(|context| {
            loop {
                match ready!(poll_read(&mut self.leg.tcp, context, &mut scratch)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(bytes) => {
                        discarded += bytes;
                        take_tickets(&mut self.tickets, &scratch[..bytes]);
                    }
                }
                if discarded > UNSOLICITED_MAX {
                    return Poll::Ready(());
                }
            }
        });
        // A peer that does not close gets a close all the same; it has everything that was to be had.
        let _ = timeout(LINGER_MAX, end).await;
    }

    /// Lingers in a task of its own, which ends within two seconds. A client that never closes its side could have
    /// thousands of them: beyond a bound, connections are closed at once.
    pub fn detach(self) {
        if let Ok(place) = LINGERING.try_acquire() {
            tokio::spawn(async move {
                self.linger().await;
                drop(place);
            });
        }
    }
}

/// Shows `received` to TLS, which keeps tickets and no payload. After the peer's close_notify, or what is no TLS,
/// nothing is looked at any more.
fn take_tickets(tickets: &mut Option<Box<Connection>>, mut received: &[u8]) {
    let Some(connection) = tickets else { return };
    let mut scratch = [0; SCRATCH_BYTES];
    let mut goes_on = true;
    while goes_on && !received.is_empty() {
        // Payload that nobody has asked for would fill TLS up.
        while take_plaintext(connection.reader(), &mut scratch).is_ok_and(|bytes| bytes > 0) {}
        goes_on = matches!(connection.read_tls(&mut received), Ok(1..))
            && connection.process_new_packets().is_ok_and(|state| !state.peer_has_closed());
    }
    if !goes_on {
        *tickets = None;
    }
}

/// Places for connections of the whole process that only wait for their peers' ends.
static LINGERING: Semaphore = Semaphore::const_new(LINGERING_MAX);
const LINGERING_MAX: usize = 512;

/// How long a peer may take to close after our end; IIS never answers close_notify and waits for the TCP close.
const LINGER_MAX: Duration = Duration::from_secs(2);
