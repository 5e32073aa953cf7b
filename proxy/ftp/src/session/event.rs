//! What a session is told, what it asks for, and what it says has happened.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use ftpsgate_policies::request::Certificate;
use ftpsgate_policies::{CanonicalPath, Permit, RuleRef};

use crate::codec::{Command, FeatureSet, Protection, Reply, Verb};

use super::fault::UpstreamFault;
use super::record::{AccessRecord, CommandRecord, Decision};

/// The time, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since some fixed moment; every deadline is made of this.
    pub monotonic: Duration,
    /// For rules and records only.
    pub wall: SystemTime,
}

/// What the driver must do, in the order in which it is polled.
#[derive(Debug)]
pub enum Action {
    /// Write a reply to the client.
    Reply(Reply),
    /// If nothing is buffered behind the AUTH: write the reply, then handshake as TLS server. Answered by
    /// `handle_tls_established`, `handle_tls_failed` or `handle_plaintext_injection`.
    UpgradeDownstream(Reply),
    /// Handshake at once (implicit listeners). Answered like an upgrade.
    AcceptTls,
    /// Choose a server that was not tried yet and dial it, with everything up to (not with) its 220: PROXY header,
    /// implicit TLS. A connection or dial that was there is dropped: it has failed, unless it was for another backend
    /// or server; a USER that leads elsewhere begins anew. `handle_upstream_placed` tells when the dial begins, where that
    /// is not at once; answered by `handle_upstream_connected` or `handle_upstream_failed`.
    ConnectUpstream(Destination),
    /// Dial the present server once more, beside the present connection. Answered like `ConnectUpstream`; from
    /// `handle_upstream_connected` on the new connection is the one that is spoken to, and nothing is heard of the old
    /// one until the renewal is settled. Its tickets are told before the reply that they came with.
    RenewUpstream,
    /// The renewal is over. `true`: the old connection is let go of. `false`: the new one is, if there is one, and the
    /// old one is spoken to again.
    SettleRenewal(bool),
    /// The server said 234: handshake as TLS client, if nothing is buffered behind it. Answered by
    /// `handle_upstream_secured` or `handle_upstream_failed`.
    SecureUpstream,
    /// Write a command to the backend, if nothing unread is there; otherwise `handle_desynchronised`.
    SendUpstream(Command),
    /// Write this command to the backend whatever is there: ABOR does not wait for the reply before it, and neither
    /// does the NOOP that marks the end of the replies to it.
    AbortUpstream(Command),
    /// The client gave a password, or an account or a name in place of one: may it be tried? Answered at once by `handle_login_judged`.
    JudgeLogin,
    /// The client's TLS is known: may it keep its session? Answered at once by `handle_client_admitted`.
    AdmitClient,
    /// The backend accepted the login: may this user have one more session? Answered at once by
    /// `handle_user_admitted`.
    AdmitUser,
    /// Policy allowed a transfer: may there be one more? Answered at once by `handle_transfer_admitted`. It lasts until
    /// the [`Fact::CommandFinished`] of that transfer.
    AdmitTransfer,
    /// Lease a passive port for this client. Answered by `handle_port_leased`; later, if nobody came, by
    /// `handle_lease_expired`.
    LeasePort,
    /// The client listens here, instead of dialling a leased port: it is dialled when the relay starts. Not answered.
    SetClientAddress(SocketAddr),
    /// Lease a port of ours for the backend to dial. Answered by `handle_upstream_port_leased`.
    LeaseUpstreamPort,
    /// Dial this port on the host of the backend's control connection. Answered by `handle_backend_dialled`.
    DialBackendData(u16),
    /// Let go of the leased ports, of the client's address and of the backend's data connection; nothing was moved over
    /// them. What was asked for and is not answered will not be.
    DiscardData,
    /// The same where the server refused the transfer for good: it will not dial the port that it was given.
    WithdrawData,
    /// Join the two data connections. Answered by `handle_relay_finished`.
    StartRelay(RelayOrder),
    /// From now on the relay that runs may hand over so many bytes in all, as in [`RelayOrder::bytes_max`]. Not answered.
    BoundRelay(Option<u64>),
    /// Stop the relay, or what was to become one: both data connections end so that nobody can take them for
    /// complete. Not answered.
    CancelRelay,
    /// The download is good: end the client's data connection cleanly. Answered by `handle_download_finished`.
    FinishDownload,
    /// The download is not good: end the client's data connection so that it shows. Not answered.
    ResetDownload,
    /// Write what is still to be written, then close both control connections and everything else.
    Close,
}

/// How to run one relay. Holding it proves that policy allowed the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayOrder {
    /// The transfer command, for the records.
    pub command: Command,
    /// Where the bytes go.
    pub direction: Direction,
    /// Of the client's leg.
    pub protection: Protection,
    /// Of the backend's leg.
    pub upstream_protection: Protection,
    /// What policy said.
    pub permit: Permit,
    /// Bytes that may be handed over: with more to come the relay ends as [`RelayEnd::TooLarge`]. `None`: no bound.
    pub bytes_max: Option<u64>,
}

/// Where the bytes of a transfer go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Client to server.
    Upload,
    /// Server to client; listings too.
    Download,
}

/// The outcome of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayReport {
    /// Bytes of payload written to the receiving side.
    pub bytes: u64,
    /// How it ended.
    pub end: RelayEnd,
    /// The TLS of the client's leg, if it got that far.
    pub tls: Option<DataTls>,
    /// The TLS of the backend's leg, if it got that far.
    pub upstream_tls: Option<DataTls>,
}

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayEnd {
    /// All of the source's bytes were handed over and the source ended as it should.
    Complete,
    /// The client never opened its data connection.
    NotConnected,
    /// The TLS handshake with the client failed.
    TlsFailed,
    /// The client made a full handshake where resumption is required.
    NotResumed,
    /// A TLS upload ended without close_notify.
    Truncated,
    /// The client's data connection broke.
    ClientFailed,
    /// The backend's data connection broke, or ended before its time.
    BackendFailed,
    /// The backend's data connection could not be put under TLS, or is not the control connection's peer.
    BackendTlsFailed,
    /// No byte moved for the stall timeout.
    Stalled,
    /// Slower than the minimum rate.
    TooSlow,
    /// There was more to come than [`RelayOrder::bytes_max`]; no byte beyond was handed over.
    TooLarge(Direction),
    /// Bytes came from the side that had none to send.
    Violation,
}

/// The TLS of a data connection, as records show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataTls {
    /// "1.2" or "1.3".
    pub version: &'static str,
    /// The suite's name.
    pub suite: String,
    /// Proven to be the control connection's session.
    pub resumed: bool,
    /// Whether the peer ended it with close_notify.
    pub close_notify: bool,
}

/// The TLS of the control connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlTls {
    /// The name that the client asked for.
    pub server_name: Option<String>,
    /// "1.2" or "1.3".
    pub version: &'static str,
    /// The suite's name.
    pub suite: String,
    /// Whether the handshake resumed an earlier session.
    pub resumed: bool,
    /// The certificate that the client proved to hold.
    pub client_certificate: Option<Box<Certificate>>,
}

/// Where a session is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Index in `Settings::backends`.
    pub backend: usize,
    /// The server that `USER name@host` asked for, which was allowed; `None`: the backend's choice.
    pub server: Option<RequestedServer>,
    /// The user name as the server will see it; some balancers go by it.
    pub user: Vec<u8>,
}

/// A server that the client named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedServer {
    /// Host name or address, in lower case.
    pub host: String,
    /// If one was named.
    pub port: Option<u16>,
}

/// Why there is no connection to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamFailure {
    /// This one did not work; another may.
    Unreachable,
    /// No server that could be tried is up, or all were tried.
    NoServer,
    /// All servers are full, and none became free in time.
    Full,
}

/// Whether a data connection to the backend can prove that it belongs to the control connection's TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataTickets {
    /// There is nothing to prove, or there is something to prove it with. Also where the server never gave a ticket: it
    /// cannot demand one.
    Available,
    /// Every ticket that the server gave was used (TLS 1.3: each works once).
    Spent,
}

/// What the driver knows about a backend's control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamInfo {
    /// The server.
    pub server: SocketAddr,
    /// This server refused EPSV before.
    pub prefer_pasv: bool,
}

/// Whether a login may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginVerdict {
    /// It may.
    Try,
    /// A limit of this name has locked the client or the user out.
    LockedOut(String),
    /// Too many were tried lately: more than the limit of this name allows.
    TooMany(String),
}

/// Why no port could be leased, for the client or for the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// All are taken.
    #[error("no port is free")]
    NoneFree,
    /// The advertised address is not known.
    #[error("the address to advertise cannot be resolved")]
    NoAddress,
}

/// Something that has happened: records and metrics are made of these and of nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The control connection is under TLS.
    TlsEstablished(ControlTls),
    /// A login succeeded.
    LoggedIn,
    /// A route was found for a user, or the default; index in `Settings::backends`.
    Routed(usize),
    /// A server could not be used; another is tried, if `is_retried`.
    UpstreamFailed {
        /// What did not work.
        fault: UpstreamFault,
        /// Whether another is tried.
        is_retried: bool,
    },
    /// The session logged in afresh to get tickets, or could not.
    Renewed {
        /// Whether it did.
        succeeded: bool,
    },
    /// A login failed, with the backend's code or the gateway's.
    LoginFailed {
        /// Who it was said to be.
        user: Option<Vec<u8>>,
        /// Of the reply.
        code: u16,
    },
    /// The backend could not tell now whether a login is right, with its code: that is nobody's wrong password.
    LoginUndecided {
        /// Who it was said to be.
        user: Option<Vec<u8>>,
        /// Of the reply.
        code: u16,
    },
    /// The backend asked for an account behind the password (332), and the client began another login instead.
    LoginAbandoned,
    /// A password was not tried: a limit has locked the client or the user out.
    LockedOut {
        /// Who it was said to be.
        user: Option<Vec<u8>>,
        /// The limit's name.
        limit: String,
        /// Of the reply.
        code: u16,
    },
    /// A command is over: exactly one of these for each that was run.
    CommandFinished(Box<CommandRecord>),
    /// A rule under observation, or a policy, would have decided a command; it did not.
    Observed {
        /// Which.
        verb: Verb,
        /// Its argument, where it is no secret.
        argument: Option<Vec<u8>>,
        /// The path that it means, where that is known.
        path: Option<CanonicalPath>,
        /// The rule; `None`: the default.
        rule: Option<RuleRef>,
        /// Whether it would have denied.
        is_denial: bool,
    },
    /// A client connected; where policy refuses it, before anything was said.
    Connected(Decision),
    /// The client exceeded a limit, which ends its session.
    LimitExceeded {
        /// The limit's name.
        limit: String,
    },
    /// A running transfer, or a login, is no longer allowed.
    Revoked {
        /// The transfer command; PASS for the login.
        verb: Verb,
        /// What the transfer does, to what.
        accesses: Vec<AccessRecord>,
        /// What policy says now.
        decision: Decision,
        /// With what.
        code: u16,
    },
    /// A directory was not where its name says: event `path.symlink`.
    SymlinkFollowed {
        /// Its name.
        asked: CanonicalPath,
        /// Where the server went.
        found: CanonicalPath,
    },
    /// A backend said which features it has.
    BackendFeatures(FeatureSet),
    /// A server does not speak EPSV.
    EpsvRefused,
    /// A peer did what it must not.
    Violation(Violation),
    /// The session is over.
    Closed(CloseReason),
}

/// What a peer did that it must not. The name is what an operator searches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Bytes were buffered behind AUTH.
    PlaintextInjection,
    /// HTTP, SMTP or SSH on the control connection.
    ForeignProtocol,
    /// A PROXY header from somebody who may send none.
    ProxyHeader,
    /// A TLS record where a command was expected.
    UnexpectedTls,
    /// A command line that ends in a way on which servers disagree, or has a NUL.
    MalformedLine,
    /// Over-long lines, again and again.
    LongLines,
    /// The backend said something that nobody asked for.
    UnsolicitedReply,
    /// The backend's bytes are no reply, or a reply without end.
    MalformedReply,
    /// A reply that is impossible where it came.
    ImpossibleReply,
    /// The backend offered a privileged port for its data.
    LowPort,
    /// Upload confirmed before its end.
    EarlyCompletion,
    /// The backend's working directory is not what it must be.
    WrongDirectory,
}

impl Violation {
    /// The event's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::PlaintextInjection => "tls.plaintext_injection",
            Self::ForeignProtocol => "client.foreign_protocol",
            Self::ProxyHeader => "client.proxy_header",
            Self::UnexpectedTls => "client.unexpected_tls",
            Self::MalformedLine => "client.malformed_line",
            Self::LongLines => "client.long_lines",
            Self::UnsolicitedReply => "backend.unsolicited_reply",
            Self::MalformedReply => "backend.malformed_reply",
            Self::ImpossibleReply => "backend.impossible_reply",
            Self::LowPort => "backend.low_port",
            Self::EarlyCompletion => "backend.early_completion",
            Self::WrongDirectory => "backend.wrong_directory",
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said QUIT.
    Quit,
    /// The client closed its control connection.
    ClientGone,
    /// TLS with the client could not be established, or broke.
    TlsFailed,
    /// The client did what it must not.
    ClientViolation(Violation),
    /// Too many failed logins.
    LoginAttempts,
    /// The login took too long.
    LoginTimeout,
    /// Nothing was said for too long.
    IdleTimeout,
    /// A command line took too long.
    LineTimeout,
    /// The backend could not be reached, or did not greet.
    BackendUnavailable,
    /// The backend closed its control connection, or said 421.
    BackendGone,
    /// The backend did not answer in time.
    BackendTimeout,
    /// The backend did what it must not.
    BackendViolation(Violation),
    /// After an abort the backend did not come back into step.
    NotResynchronised,
    /// Policy does not allow it, or no longer.
    Denied,
    /// A limit was exceeded.
    Limit,
    /// The gateway is stopping.
    Draining,
}

impl CloseReason {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::ClientGone => "client_gone",
            Self::TlsFailed => "tls_failed",
            Self::ClientViolation(_) => "client_violation",
            Self::LoginAttempts => "login_attempts",
            Self::LoginTimeout => "login_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::LineTimeout => "line_timeout",
            Self::BackendUnavailable => "backend_unavailable",
            Self::BackendGone => "backend_gone",
            Self::BackendTimeout => "backend_timeout",
            Self::BackendViolation(_) => "backend_violation",
            Self::NotResynchronised => "not_resynchronised",
            Self::Denied => "denied",
            Self::Limit => "limit",
            Self::Draining => "draining",
        }
    }
}
