//! What a session needs to know of the configuration.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_policies::Policy;

use crate::codec::FeatureSet;

/// Shared by all sessions of one listener under one configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The listener's name.
    pub listener: String,
    /// The backend's name.
    pub backend: String,
    /// Text of the 220.
    pub banner: String,
    /// How TLS begins.
    pub mode: Mode,
    /// What must be under TLS.
    pub require_tls: RequireTls,
    /// Whether there is a certificate to present.
    pub certificate_available: bool,
    /// Failed logins before 421.
    pub login_attempts: u32,
    /// Names that HOST may give where the client sent no SNI, in lower case.
    pub hosts: Vec<String>,
    /// Decides every command.
    pub policy: Arc<Policy>,
    /// From connect to a completed login.
    pub login_timeout: Duration,
    /// Silence outside transfers.
    pub idle_timeout: Duration,
    /// Dialling the backend, and its 220.
    pub connect_timeout: Duration,
    /// Each later reply of the backend.
    pub reply_timeout: Duration,
}

/// How TLS begins on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With AUTH (RFC 4217).
    Explicit,
    /// With the first byte.
    Implicit,
    /// Never.
    Plain,
}

/// What a listener demands to be under TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequireTls {
    /// Login and data connections.
    Data,
    /// Login.
    Login,
    /// Nothing.
    No,
}

/// One session's client.
#[derive(Debug, Clone)]
pub struct Client {
    /// Canonical: IPv4-mapped addresses are IPv4.
    pub address: IpAddr,
    /// What the listener's backends last said to FEAT.
    pub features: Arc<FeatureSet>,
}
