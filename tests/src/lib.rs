//! The harness of ftpsgate's end-to-end tests.
//!
//! [`gateway`] runs the built binary; [`client`] and [`scripted`] are the peers that tests let misbehave, one
//! before the gateway and one behind it; [`libunftp`] is a peer that behaves.

pub mod client;
pub mod gateway;
pub mod libunftp;
pub mod scripted;
