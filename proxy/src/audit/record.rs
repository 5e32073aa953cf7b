//! One record: a line of the JSON log, as it is written and as `policy replay` reads it.
//!
//! Each record stands for itself: it says who asked, what for, what policy made of it, and what came of it. Keys that
//! have nothing to say are left out. Names and paths of peers are [`text`](super::text). docs/audit.md has a table.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// Counted from 1 since the process started, without gaps, in the order of the file.
    pub seq: u64,
    /// When it was over: RFC 3339, UTC, microseconds.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    /// `[gateway] name`.
    #[serde(borrow)]
    pub gateway: Cow<'a, str>,
    /// What happened.
    pub event: Event,
    /// The session's id; the same in the process's log.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Cow<'a, str>>,
    /// The client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<SocketAddr>,
    /// The address that it dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialled: Option<SocketAddr>,
    /// Name of the listener.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<Cow<'a, str>>,
    /// TLS of the control connection; absent in clear text.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls<'a>>,
    /// The certificate that the client proved to hold.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate<'a>>,
    /// The user name that the client gave.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Cow<'a, str>>,
    /// Name of the backend.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Cow<'a, str>>,
    /// Its server, where one was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    /// The command, where the event is about one.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command<'a>>,
    /// What policy said, where it was asked.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision<'a>>,
    /// The code of the last reply that the client got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// What moved, where the command was a transfer.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer<'a>>,
    /// Why: of a session's end, a violation, a failed login.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// Of `symlink`: the directory where the server went.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Cow<'a, str>>,
    /// Of `disconnect`: payload that the session handed to servers, listings and failed transfers included…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_bytes: Option<u64>,
    /// …and to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloaded_bytes: Option<u64>,
}

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A client connected, or policy or a limit refused it at once (`decision`).
    Connect,
    /// A command was answered: with what the client asked for, or with a refusal.
    Command,
    /// A running transfer, or a login, is no longer allowed.
    Revoked,
    /// A directory was not where its name says.
    Symlink,
    /// A peer did what it must not.
    Violation,
    /// A limit was reached; `reason` names it.
    Limit,
    /// A session ended.
    Disconnect,
}

/// TLS of a control connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tls<'a> {
    /// "1.2" or "1.3".
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// The suite's name.
    #[serde(borrow)]
    pub suite: Cow<'a, str>,
    /// Whether the handshake resumed an earlier session.
    pub resumed: bool,
    /// The name that the client asked for.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<Cow<'a, str>>,
}

/// A client's certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate<'a> {
    /// The subject as text (RFC 4514).
    #[serde(borrow)]
    pub subject: Cow<'a, str>,
    /// The subject's alternative names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// `sha256/` and the base64 of the hash of the public key.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command<'a> {
    /// In capitals.
    #[serde(borrow)]
    pub verb: Cow<'a, str>,
    /// Of SITE and OPTS: the first word, in capitals.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub subcommand: Option<Cow<'a, str>>,
    /// As the client wrote it; left out for PASS and ACCT.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<Cow<'a, str>>,
    /// What it would do to what; empty for commands that carry no operation.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub accesses: Vec<Access<'a>>,
    /// Uploads: the size that ALLO announced, or what was moved, if that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// One thing that a command would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Access<'a> {
    /// The operation's name in rules.
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    /// To which path, absolute and canonical.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Cow<'a, str>>,
    /// There is a path, and nobody can say which.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unresolved: bool,
    /// To all that is below the path.
    #[serde(default, skip_serializing_if = "is_false")]
    pub below: bool,
}

/// What policy said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision<'a> {
    /// Whether the command was let through.
    pub allowed: bool,
    /// What decided: a rule, the policy's default, or the gateway for itself.
    pub by: By,
    /// The rule.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule<'a>>,
    /// What rules, or a policy, under observation would have decided.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<Observed<'a>>,
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The rule that is named.
    Rule,
    /// `[policy] default`, or that there are no rules.
    Default,
    /// The listener's configuration or the protocol, whatever policy would say: TLS that is required and absent, a
    /// command that no client may use.
    Gateway,
    /// A limit; `reason` names it.
    Limit,
}

/// A rule, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The file.
    #[serde(borrow)]
    pub file: Cow<'a, str>,
    /// Counted from 1.
    pub line: u32,
}

/// What would have been decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed<'a> {
    /// Whether it would have let the command through.
    pub allowed: bool,
    /// The rule; absent: the default.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule<'a>>,
}

/// One transfer, with both its legs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer<'a> {
    /// `upload` or `download`; listings are downloads.
    #[serde(borrow)]
    pub direction: Cow<'a, str>,
    /// Payload that was handed over.
    pub bytes: u64,
    /// From the command to its last reply.
    pub duration_ms: u64,
    /// How the data ended; absent: none moved.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Cow<'a, str>>,
    /// TLS of the client's leg; absent in clear text.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub downstream: Option<DataTls<'a>>,
    /// TLS of the server's leg; absent in clear text.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<DataTls<'a>>,
    /// STOU: the name that the server chose.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub unique_name: Option<Cow<'a, str>>,
}

/// TLS of a data connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataTls<'a> {
    /// "1.2" or "1.3".
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// The suite's name.
    #[serde(borrow)]
    pub suite: Cow<'a, str>,
    /// Proven to be the control connection's session.
    pub resumed: bool,
    /// Whether the peer ended it with close_notify.
    pub close_notify: bool,
}

impl<'a> Record<'a> {
    /// A record that says that something has happened, and nothing more. Its number is the journal's to give.
    pub fn new(event: Event, gateway: &'a str, moment: SystemTime) -> Self {
        Self {
            seq: 0,
            time: timestamp(moment).into(),
            gateway: gateway.into(),
            event,
            session: None,
            client: None,
            dialled: None,
            listener: None,
            tls: None,
            certificate: None,
            user: None,
            backend: None,
            server: None,
            command: None,
            decision: None,
            code: None,
            transfer: None,
            reason: None,
            found: None,
            uploaded_bytes: None,
            downloaded_bytes: None,
        }
    }

    /// The client's address, as rules match it.
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client.map(|client| client.ip().to_canonical())
    }
}

/// A moment as records show it.
pub fn timestamp(moment: SystemTime) -> String {
    // Beyond the year 9999 nobody reads this.
    Timestamp::try_from(moment).map_or_else(|_| String::new(), |moment| format!("{moment:.6}"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_utc_with_microseconds() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_359_600_000_001);
        assert_eq!(timestamp(moment), "2026-11-22T15:00:00.000001Z");
    }
}
