//! The FTP core of ftpsgate. It does no I/O: it knows no socket, no clock, no file system, no TLS library.
//!
//! - [`codec`]: bytes to values and back.
//! - [`session`]: the state machine between a client and a backend.
//! - [`client`]: a small client for health checks, probes and the demo.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod client;
pub mod codec;
pub mod session;
