//! The admin socket: how an operator on this machine asks a running gateway something, and tells it something.
//!
//! A Unix socket that root, and whoever the gateway runs as, may use. One connection is one line of JSON each way:
//!
//! ```text
//! > {"version":1,"verb":"unlock","address":"192.0.2.7"}
//! < {"version":1,"ok":true,"unlocked":1}
//! < {"version":1,"ok":false,"error":"…"}
//! ```
//!
//! - [`socket`]: the gateway's end. It never makes anybody wait but the one who asks.
//! - [`status`]: what `status` answers.
//! - [`client`]: the other end, which the command line uses.

pub mod client;
pub mod socket;
pub mod status;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The version of the protocol. Another one is refused.
pub const VERSION: u32 = 1;

/// A request. The line that holds it has [`REQUEST_BYTES_MAX`] bytes at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What is to be done.
    #[serde(flatten)]
    pub verb: Verb,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub enum Verb {
    /// How the gateway is.
    Status,
    /// Read the configuration again. Answered when it is in place, or with the reason why it is not.
    Reload,
    /// End the lockouts of an address, a network or a user.
    Unlock(Unlock),
}

/// Whose lockouts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unlock {
    /// Of an address, and of the networks that hold it.
    Address(IpAddr),
    /// Of a network, and of what is within it.
    Network(IpNet),
    /// Of a user, as it is or as `status` writes it.
    User(String),
}

/// A line with more is refused.
pub const REQUEST_BYTES_MAX: usize = 4096;
