//! What a session needs to know of the configuration.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ftpsgate_policies::hours::LocalTime;
use ftpsgate_policies::route::{AllowedHost, Route};
use ftpsgate_policies::{PathProfile, Policy};

use crate::codec::{FeatureSet, Protection};

/// Shared by all sessions of one listener under one configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The listener's name.
    pub listener: String,
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
    /// From USER or PASS to the answer that the login failed, at least.
    pub failed_login_delay: Duration,
    /// Names of certificates, in lower case: HOST may give them where the client sent no SNI, and names that the
    /// routes ask for.
    pub hosts: Vec<String>,
    /// Decides every command, until `Session::handle_policy_changed`.
    pub policy: Arc<Policy>,
    /// Records are kept: it is worth while to reckon where clients are.
    pub is_audited: bool,
    /// Tells policy what time it is.
    pub clock: LocalClock,
    /// From connect to a completed login.
    pub login_timeout: Duration,
    /// Silence outside transfers.
    pub idle_timeout: Duration,
    /// Whether the client may use PORT and EPRT.
    pub active: bool,
    /// Which backend a session gets: the first that matches…
    pub routes: Vec<Route>,
    /// …else this one of [`Settings::backends`]; `None`: 530.
    pub default_backend: Option<usize>,
    /// Servers that `USER name@host` may ask for; empty: a name with `@` is passed on as it is.
    pub user_at_host: Vec<AllowedHost>,
    /// All backends that the routes name, and the default one.
    pub backends: Vec<Arc<UpstreamSettings>>,
}

/// Tells the time in a policy's zones. Zones need files, which are somebody else's.
#[derive(Clone)]
pub struct LocalClock(Arc<LocalTimes>);

/// From a moment and the names of zones to the time in each, in their order.
pub type LocalTimes = dyn Fn(SystemTime, &[String]) -> Vec<LocalTime> + Send + Sync;

impl LocalClock {
    /// One that asks `times`.
    pub fn new(times: impl Fn(SystemTime, &[String]) -> Vec<LocalTime> + Send + Sync + 'static) -> Self {
        Self(Arc::new(times))
    }

    /// One that knows no zone: rules that allow during some hours allow nothing then, rules that deny, deny.
    pub fn none() -> Self {
        Self::new(|_, _| Vec::new())
    }

    pub(super) fn times(&self, moment: SystemTime, zones: &[String]) -> Vec<LocalTime> {
        (self.0)(moment, zones)
    }
}

impl fmt::Debug for LocalClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LocalClock")
    }
}

/// What a session needs to know of one backend.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// Its name; routes name it so.
    pub name: String,
    /// How TLS begins there.
    pub tls: UpstreamTls,
    /// Of data connections to it; Clear where there is no TLS.
    pub protection: Protection,
    /// How data connections to it are made.
    pub data: UpstreamData,
    /// How it reads paths.
    pub paths: PathProfile,
    /// The login is kept, so that the session can log in afresh when no TLS ticket is left for a data connection.
    pub may_renew: bool,
    /// Connections that are tried, each to another server, before the client is told that there is none.
    pub tries: u32,
    /// Dialling a server, and its 220. Then once more: all from the 220 to USER, where there is TLS.
    pub connect_timeout: Duration,
    /// Each later reply of a server.
    pub reply_timeout: Duration,
}

/// How TLS towards a backend begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamTls {
    /// Never.
    Off,
    /// With AUTH TLS. A server that refuses is not used.
    Explicit,
    /// Before the 220; the driver sees to it when it dials.
    Implicit,
}

/// How data connections to a backend are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamData {
    /// EPSV, else PASV.
    Passive,
    /// EPRT or PORT, right before the transfer command.
    Active,
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
