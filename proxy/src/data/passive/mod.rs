//! Data ports of ours, shared by all sessions: clients dial them (PASV, EPSV), and servers of backends that open data
//! connections themselves (PORT, EPRT).
//!
//! A port belongs to the process: it has one listening socket for as long as some listener or backend of the
//! configuration names it, and *expectations* say whose connection the next one is. A session takes a [`Lease`] on a
//! port, tells its peer the number, and gets the peer's connection as a [`DataSocket`]; a connection that nobody
//! expects is closed.
//! So ten ports serve any number of client addresses, and no transfer binds or listens.
//!
//! - Two sessions whose clients could be mistaken for each other never hold the same port at once.
//! - Ports are drawn at random among the free ones; the one used last is drawn only if there is no other.
//! - A stranger's connection does not use up an expectation, nor does it end one.
//! - After an expectation that nobody met, that port rests for that peer: its connection may still come, and must not
//!   be taken for another session's.
//! - A connection from a balancer is from whom its PROXY header says, and only for sessions that trust the balancer.
//!
//! RFC 959 §4.1.2 (PASV), RFC 2428 §3 (EPSV), RFC 2577 §8 (port stealing).

mod lease;
mod peers;
mod plan;
mod port;
mod registry;
mod socket;

pub use lease::{DataSocket, Lease, LeaseEnded, NoPort};
pub use plan::{PortRequest, PortSet, PortUser};
pub use registry::{BindError, PortRegistry};

#[cfg(test)]
mod tests;
