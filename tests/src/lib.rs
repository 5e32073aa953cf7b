//! The harness of ftpsgate's end-to-end tests.
//!
//! [`gateway`] runs the built binary; [`client`] and [`scripted`] are the peers that tests let misbehave, one
//! before the gateway and one behind it; [`libunftp`] is a peer that behaves, and [`peers`] are the real ones.

pub mod client;
pub mod gateway;
pub mod libunftp;
pub mod peers;
pub mod scripted;
