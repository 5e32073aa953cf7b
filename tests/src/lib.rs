//! The harness of ftpsgate's end-to-end tests.
//!
//! [`gateway`] runs the built binary; [`client`] and [`scripted`] are the peers that tests let misbehave, one
//! before the gateway and one behind it; [`scene`] is all three together; [`libunftp`] is a server that nobody
//! wrote for the tests; [`peers`] are the servers and clients of a Debian system. [`authority`] issues the certificates
//! of servers and clients; [`namespaces`] are networks that only a test can see. [`differential`] holds policies against
//! real servers over a marked tree.

pub mod authority;
pub mod client;
pub mod differential;
pub mod gateway;
pub mod libunftp;
pub mod namespaces;
pub mod peers;
pub mod scene;
pub mod scripted;
