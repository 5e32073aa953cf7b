//! What a limit says, and whose state it counts.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::fold::fold_text;
use crate::request::Subject;
use crate::rule::{Matchers, Origin};

/// One `[[limit]]`. What is `None` is not limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// For people.
    pub name: String,
    /// Where it stands.
    pub origin: Origin,
    /// What is counted together.
    pub per: Scope,
    /// Whom it is about. Only what is known of a subject counts: users, groups, from, certificates, listeners,
    /// backends and tls.
    pub matchers: Matchers,
    /// Control connections at once.
    pub sessions: Option<u32>,
    /// Transfers at once.
    pub transfers: Option<u32>,
    /// New control connections.
    pub connections: Option<EventRate>,
    /// Attempts to log in.
    pub logins: Option<EventRate>,
    /// Commands.
    pub commands: Option<EventRate>,
    /// As many failures within the period lock out.
    pub failed_logins: Option<EventRate>,
    /// For how long.
    pub lockout: Duration,
    /// Bytes per second from clients.
    pub upload_rate_bytes: Option<u64>,
    /// Bytes per second to clients.
    pub download_rate_bytes: Option<u64>,
    /// The largest file.
    pub file_bytes_max: Option<u64>,
}

/// Events in a period: `60/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventRate {
    /// How many.
    pub count: NonZeroU32,
    /// In how long.
    pub period: Duration,
}

/// What a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    Gateway,
    /// Each listener.
    Listener,
    /// Each backend.
    Backend,
    /// Each IPv4 address, and each /64 of IPv6: a host may have a new address there for each connection.
    Address,
    /// Each network of these prefix lengths.
    Network {
        /// At most 32.
        v4_prefix: u8,
        /// At most 128.
        v6_prefix: u8,
    },
    /// Each user name.
    User,
    /// Each session.
    Session,
}

/// Whose state it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Everybody's.
    Gateway,
    /// A listener's.
    Listener(Arc<str>),
    /// A backend's.
    Backend(Arc<str>),
    /// An address', or a /64's by its first address.
    Address(IpAddr),
    /// A network's.
    Network(IpNet),
    /// A user's; of long names the beginning.
    User(Arc<[u8]>),
    /// A session's.
    Session(u64),
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Gateway => formatter.write_str("gateway"),
            Key::Listener(name) => write!(formatter, "listener {name}"),
            Key::Backend(name) => write!(formatter, "backend {name}"),
            Key::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
            Key::Address(IpAddr::V6(address)) => write!(formatter, "{address}/{V6_HOST_PREFIX}"),
            Key::Network(network) => write!(formatter, "{network}"),
            Key::User(name) => write!(formatter, "user {}", name.escape_ascii()),
            Key::Session(number) => write!(formatter, "session {number}"),
        }
    }
}

/// Who is counted.
#[derive(Debug, Clone, Copy)]
pub struct Party<'a> {
    /// Who.
    pub subject: &'a Subject,
    /// The caller's number for the session.
    pub session: u64,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client.
    Upload,
    /// To the client.
    Download,
}

/// A definition that is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct LimitError {
    /// The limit at fault.
    pub origin: Origin,
    /// What is wrong with it.
    pub problem: LimitProblem,
}

/// What is wrong with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitProblem {
    /// It asks for something that is not known of a subject.
    #[error("a limit knows no `{0}`")]
    Matcher(&'static str),
    /// A period of no time, or of more than a year.
    #[error("a period is longer than nothing and not longer than a year")]
    Period,
    /// Every failure within the period is remembered.
    #[error("`failed_logins` counts up to 1000")]
    Failures,
    /// Two limits of one name: buckets and lockouts are told apart by it.
    #[error("there is another limit of that name")]
    DuplicateName,
    /// A prefix that no address has.
    #[error("a network's prefix has up to 32 bits, of IPv6 up to 128")]
    Prefix,
}

impl Scope {
    /// Whose count a party has a part in; `None`: it has none yet (no user, no backend).
    pub fn key(self, party: Party<'_>) -> Option<Key> {
        let subject = party.subject;
        match self {
            Scope::Gateway => Some(Key::Gateway),
            Scope::Listener => Some(Key::Listener(subject.listener.as_str().into())),
            Scope::Backend if subject.backend.is_empty() => None,
            Scope::Backend => Some(Key::Backend(subject.backend.as_str().into())),
            Scope::Address => Some(address_key(subject.address)),
            Scope::Network { v4_prefix, v6_prefix } => {
                let address = subject.address.to_canonical();
                let prefix = if address.is_ipv4() { v4_prefix } else { v6_prefix };
                let network =
                    IpNet::new(address, prefix).expect("prefixes were checked when the limit was made");
                Some(Key::Network(network.trunc()))
            }
            Scope::User => subject.user.as_deref().map(user_key),
            Scope::Session => Some(Key::Session(party.session)),
        }
    }
}

pub(super) fn address_key(address: IpAddr) -> Key {
    Key::Address(match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> V6_HOST_PREFIX << V6_HOST_PREFIX).into()),
    })
}

/// What of a network an address' key stands for.
pub(super) fn host_network(address: IpAddr) -> IpNet {
    let prefix = if address.is_ipv4() { 32 } else { V6_HOST_PREFIX };
    IpNet::new(address, prefix).expect("an address has so many bits")
}

/// Names that a server may take for the same one, whatever their case, count as one: else each spelling would have a
/// count of its own.
pub(super) fn user_key(user: &[u8]) -> Key {
    let folded = match std::str::from_utf8(user) {
        Ok(name) => fold_text(name).into_bytes(),
        Err(_) => user.to_ascii_lowercase(),
    };
    Key::User(folded[..folded.len().min(USER_BYTES_MAX)].into())
}

pub(super) fn problems(limit: &Limit) -> Vec<LimitError> {
    let Matchers {
        users: _,
        groups: _,
        from: _,
        certificates: _,
        listeners: _,
        backends: _,
        tls: _,
        operations,
        commands,
        paths,
        larger_than_bytes,
        hours,
    } = &limit.matchers;
    let unknown = [
        ("operations", !operations.is_empty()),
        ("commands", !commands.is_empty()),
        ("paths", !paths.is_empty()),
        ("larger_than", larger_than_bytes.is_some()),
        ("hours", hours.is_some()),
    ];
    let unknown =
        unknown.into_iter().filter(|(_, is_asked)| *is_asked).map(|(name, _)| LimitProblem::Matcher(name));
    let rates = [limit.connections, limit.logins, limit.commands, limit.failed_logins];
    let is_wrong = |rate: &EventRate| rate.period.is_zero() || rate.period > PERIOD_MAX;
    let periods = rates.into_iter().flatten().filter(is_wrong).map(|_| LimitProblem::Period);
    let failures =
        limit.failed_logins.filter(|rate| rate.count.get() > FAILURES_MAX).map(|_| LimitProblem::Failures);
    let prefix = match limit.per {
        Scope::Network { v4_prefix, v6_prefix } if v4_prefix > 32 || v6_prefix > 128 => {
            Some(LimitProblem::Prefix)
        }
        Scope::Network { .. }
        | Scope::Gateway
        | Scope::Listener
        | Scope::Backend
        | Scope::Address
        | Scope::User
        | Scope::Session => None,
    };
    unknown
        .chain(periods)
        .chain(failures)
        .chain(prefix)
        .map(|problem| LimitError { origin: limit.origin.clone(), problem })
        .collect()
}

/// Providers give a customer's host at least that much (RFC 6177).
const V6_HOST_PREFIX: u8 = 64;
/// A client may send a name as long as a line; what is kept of it must not be.
const USER_BYTES_MAX: usize = 64;
/// Longer periods are mistakes, and would overflow sums of nanoseconds.
const PERIOD_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Each remembered failure costs eight bytes per key.
const FAILURES_MAX: u32 = 1000;
