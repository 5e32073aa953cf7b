//! The checked configuration: what the rest of the gateway may rely on.
//!
//! Values of these types have been parsed, checked against each other and given their defaults; nothing
//! downstream validates again. How a TOML file becomes a [`Config`] lives in the sibling modules.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_policies::limit::Limit;
use ftpsgate_policies::route::{AllowedHost, Route};
use ftpsgate_policies::{PathProfile, Policy};
use ipnet::IpNet;

use super::policy::Rules;

/// A whole configuration that can be run.
#[derive(Debug, Clone)]
pub struct Config {
    /// What concerns the process as a whole.
    pub gateway: Gateway,
    /// TLS profiles by name; every listener's `tls` names one of them.
    pub tls: BTreeMap<String, Arc<TlsProfile>>,
    /// At least one.
    pub listeners: Vec<Arc<Listener>>,
    /// At least one; what listeners and routes name is among them.
    pub backends: Vec<Arc<Backend>>,
    /// In order; the first match counts. Each names a backend that exists.
    pub routes: Vec<Route>,
    /// [`Config::rules`], compiled.
    pub policy: Arc<Policy>,
    /// Who may do what, as it is written.
    pub rules: Rules,
    /// Each of a name of its own; listeners and backends that they name exist.
    pub limits: Vec<Limit>,
    /// How an operator reaches the gateway.
    pub admin: Admin,
    /// Where the audit log is written; each to a file of its own.
    pub audit: Vec<Audit>,
}

/// Equal are configurations that mean the same.
impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        let Self { gateway, tls, listeners, backends, routes, rules, policy: _, limits, audit, admin } = self;
        *gateway == other.gateway
            && *tls == other.tls
            && *listeners == other.listeners
            && *backends == other.backends
            && *routes == other.routes
            && *rules == other.rules
            && *limits == other.limits
            && *audit == other.audit
            && *admin == other.admin
    }
}

impl Config {
    /// Where the admin socket is.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        let default = || self.gateway.state_dir.join(super::admin::ADMIN_SOCKET);
        self.admin.socket.clone().unwrap_or_else(default)
    }
}

/// `[[audit]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// In which form.
    pub kind: AuditKind,
    /// The file.
    pub path: PathBuf,
}

/// `kind` of `[[audit]]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditKind {
    /// JSON lines.
    Json,
}

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where its socket is to be; `None`: in the state directory, if it can be there.
    pub socket: Option<PathBuf>,
}

/// `[gateway]`
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    /// How this gateway is called in logs.
    pub name: String,
    /// Local CA; must be writable where the CA is used.
    pub state_dir: PathBuf,
    /// How long running transfers may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// Text of the 220 greeting, one line.
    pub banner: String,
}

/// `[tls.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct TlsProfile {
    /// The NAME.
    pub name: String,
    /// Chosen by SNI; the first is used where none matches.
    pub certificates: Vec<CertificatePair>,
    /// Whether the local CA mints certificates for this profile.
    pub fallback: CertificateFallback,
    /// Lowest version offered to clients.
    pub min_version: TlsVersion,
    /// Highest version offered to clients.
    pub max_version: TlsVersion,
    /// Refuse clients without the extended master secret (RFC 7627) under TLS 1.2.
    pub require_ems: bool,
    /// Whether data connections must resume the control connection's TLS session.
    pub data_resumption: DataResumption,
    /// Whether clients are asked for certificates.
    pub client_certificates: ClientCertificates,
    /// PEM file of the authorities that sign client certificates.
    pub client_ca: Option<PathBuf>,
    /// PEM or DER file of revoked client certificates.
    pub client_crl: Option<PathBuf>,
}

/// A certificate chain and its private key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificatePair {
    /// Leaf first.
    pub chain: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Where certificates come from when none is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFallback {
    /// Nowhere: the handshake fails.
    None,
    /// The local CA mints one.
    LocalCa,
}

/// TLS 1.2 or 1.3; nothing older is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246
    Tls12,
    /// RFC 8446
    Tls13,
}

/// `data_resumption`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataResumption {
    /// No tickets are given: every data connection makes a full handshake.
    Off,
    /// Resumption is offered and recorded.
    Prefer,
    /// A data connection that does not resume gets 522.
    Require,
}

/// `client_certificates`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Not asked for.
    Off,
    /// Asked for; a client may have none, but a wrong one is refused.
    Request,
    /// No certificate, no session.
    Require,
}

/// `[[listener]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Unique among listeners.
    pub name: String,
    /// Addresses to listen on; port 0 lets the kernel choose.
    pub bind: Vec<SocketAddr>,
    /// Whether `bind` was written; a default bind whose address family is missing is only a warning.
    pub bind_written: bool,
    /// Explicit, implicit or plain.
    pub mode: Mode,
    /// What must be under TLS.
    pub require_tls: RequireTls,
    /// Name of the TLS profile.
    pub tls: String,
    /// Name of the backend where no route matches. `None`: there are routes, and who matches none is refused.
    pub backend: Option<String>,
    /// Who must begin each connection with a PROXY header, and nobody else may; empty: nobody.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Servers that `USER name@host` may ask for; empty: a user name with `@` is passed on as it is.
    pub user_at_host: Vec<AllowedHost>,
    /// Failed logins before 421; at least 1.
    pub login_attempts: u32,
    /// Transfers slower than this many bytes a second over 60 s end; 0: off.
    pub min_rate: u64,
    /// Silence on the control connection outside transfers before 421.
    pub idle_timeout: Duration,
    /// For every TLS handshake with a client.
    pub handshake_timeout: Duration,
    /// From connect to a completed login.
    pub login_timeout: Duration,
    /// For a client to open its data connection, from the 227 or 229; or to answer ours, after PORT or EPRT.
    pub data_connect_timeout: Duration,
    /// Whether PORT and EPRT are offered.
    pub active: bool,
    /// Source port of data connections to clients; 0: any.
    pub active_source_port: u16,
    /// Whether a TLS upload may end without close_notify.
    pub upload_end: UploadEnd,
    /// Longest command line, in bytes, with its CRLF.
    pub max_line: usize,
    /// Sessions at once; one more gets 421.
    pub max_sessions: usize,
    /// Passive data connections.
    pub passive: Passive,
}

/// How TLS begins on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// RFC 4217: AUTH TLS.
    Explicit,
    /// TLS from the first byte.
    Implicit,
    /// No TLS is offered.
    Plain,
}

/// What a listener demands to be under TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequireTls {
    /// Login and data connections (PROT P).
    Data,
    /// Login.
    Login,
    /// Nothing.
    No,
}

/// What the end of a TLS upload without close_notify means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadEnd {
    /// Truncation: 426, and the backend must not take it for complete.
    Strict,
    /// A complete file.
    Lenient,
}

/// `[listener.passive]`
#[derive(Debug, Clone, PartialEq)]
pub struct Passive {
    /// Which ports the gateway listens on for data connections.
    pub ports: PassivePorts,
    /// Who may open a session's data connection.
    pub peer: PassivePeer,
    /// The address in the 227.
    pub advertise: Advertise,
    /// Exceptions by client address; the longest prefix wins.
    pub advertise_for: Vec<AdvertiseFor>,
    /// Data connections begin with a PROXY header, too.
    pub proxy_protocol: bool,
}

/// `ports`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassivePorts {
    /// These.
    Range(RangeInclusive<u16>),
    /// This many, chosen by the kernel at start.
    Auto(u16),
}

/// `peer`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassivePeer {
    /// The control connection's address.
    Exact,
    /// An address with the same leading bits; families whose addresses are shorter than the prefix use
    /// all their bits.
    Prefix(u8),
}

/// `advertise`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advertise {
    /// The address that the client dialled.
    Auto,
    /// This address.
    Address(IpAddr),
    /// The address that this name resolves to when it is needed.
    Host(String),
}

/// One entry of `advertise_for`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvertiseFor {
    /// Clients from here…
    pub from: IpNet,
    /// …are told this address.
    pub address: IpAddr,
}

/// `[[backend]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Unique among backends.
    pub name: String,
    /// At least one.
    pub servers: Vec<Server>,
    /// TLS towards the servers; `None`: plain FTP.
    pub tls: Option<BackendTls>,
    /// How data connections to the servers are made.
    pub data: BackendData,
    /// Which server a session gets.
    pub balance: Balance,
    /// How a server's health is known.
    pub check: Check,
    /// What is said to a server before FTP.
    pub proxy_protocol: ProxyProtocol,
    /// Local address of connections to the servers; `None`: the kernel's choice.
    pub source: Option<IpAddr>,
    /// How its servers read paths.
    pub paths: PathProfile,
    /// Sessions at once, for each server; 0: no limit.
    pub max_sessions: usize,
    /// TCP connect, PROXY header, implicit TLS and the 220 together.
    pub connect_timeout: Duration,
    /// Each later reply.
    pub reply_timeout: Duration,
    /// A transfer in which no byte moves.
    pub stall_timeout: Duration,
}

/// One element of `servers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub address: ServerAddress,
    /// Its share of the sessions, 1 to 256.
    pub weight: u32,
    /// It serves only while no other can.
    pub backup: bool,
}

/// TLS towards a backend's servers.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendTls {
    /// How it begins.
    pub mode: BackendTlsMode,
    /// `data_tls`: whether data connections are under TLS, too (PROT P).
    pub protects_data: bool,
    /// Who must have signed the server's certificate.
    pub ca: BackendCa,
    /// SHA-256 of the servers' public keys (SPKI); empty: not pinned.
    pub pins: Vec<[u8; 32]>,
    /// The name that is asked for and must stand in the certificate; `None`: the host in the server's address.
    pub server_name: Option<String>,
    /// Lowest version offered.
    pub min_version: TlsVersion,
    /// Highest version offered.
    pub max_version: TlsVersion,
    /// Any certificate is taken whose key is one of the pins, if there are pins.
    pub danger_accept_invalid_certificates: bool,
    /// What is shown to servers that ask.
    pub client_certificate: Option<CertificatePair>,
    /// Whether TLS 1.2 needs the extended master secret.
    pub require_ems: bool,
}

/// `tls` of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendTlsMode {
    /// AUTH TLS.
    Explicit,
    /// With the first byte.
    Implicit,
}

/// `tls_ca`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendCa {
    /// The system's roots.
    System,
    /// Those of this PEM file; a server's own certificate in it is trusted as it is.
    File(PathBuf),
    /// Not written, and there are pins: they alone decide.
    PinsAlone,
}

/// `data` of a backend, with `active_ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendData {
    /// EPSV, PASV.
    Passive,
    /// EPRT, PORT, with these ports of ours.
    Active(PassivePorts),
}

/// `balance`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// One after the other, by weight.
    RoundRobin,
    /// Where the fewest sessions are, by weight.
    LeastSessions,
    /// By the client's address.
    SourceHash,
    /// By the user's name.
    UserHash,
    /// The first that is up.
    First,
}

/// `check`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is tried.
    pub kind: CheckKind,
    /// Between two tries, with some jitter.
    pub every: Duration,
    /// Failures in a row that make a server down.
    pub fall: u32,
    /// Successes in a row that make it up again.
    pub rise: u32,
}

/// `kind` of a check, with what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// Nothing; only sessions tell.
    Off,
    /// The port answers.
    Tcp,
    /// And a 220 comes.
    Greeting,
    /// And TLS stands.
    Tls,
    /// And a user can log in.
    Login(CheckLogin),
    /// And a listing comes over a data connection.
    Data(CheckLogin),
}

/// Who logs in for a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckLogin {
    /// User name.
    pub user: String,
    /// File with the password, one line; absolute, or a name under `$CREDENTIALS_DIRECTORY`.
    pub password_file: PathBuf,
    /// Directory that a data check lists; `None`: where the login leads.
    pub path: Option<String>,
}

/// `proxy_protocol` of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Nothing.
    Off,
    /// The text header, on control connections.
    V1,
    /// The binary header, on control connections.
    V2,
    /// On data connections, too.
    V2Data,
}

/// A server's host and port, resolved when it is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// IP address or host name, without brackets.
    pub host: String,
    /// Defaults to 21, or to 990 with implicit TLS.
    pub port: u16,
}

impl fmt::Display for ServerAddress {
    /// `HOST:PORT`, an IPv6 address in brackets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}
