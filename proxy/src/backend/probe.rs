//! Everything that one visit can find out about a server, for a person: `check --probe`.
//!
//! It changes nothing at the server and nothing that is remembered of it. What fails comes with what to do about it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ftpsgate_certs::{CertificateFacts, Refusal};
use ftpsgate_ftp::client::{Cause, Client, Plan, Stage};
use ftpsgate_ftp::codec::{Command, Kind, Reply, Verb};

use super::check::{CheckError, listing, read_login, secured};
use super::runner::{DataSeen, Seen, VisitCause, VisitError, visit};
use super::{Backend, Server};
use crate::config::{BackendData, CheckKind, CheckLogin};
use crate::tls::{HandshakeError, UpstreamDataError, advice};

/// What a server has shown.
#[derive(Debug, Default)]
pub struct Findings {
    /// The address that answered, and how long it took to connect.
    pub reached: Option<(SocketAddr, Duration)>,
    /// The 220.
    pub greeting: Option<Reply>,
    /// TLS of the control connection.
    pub tls: Option<TlsFindings>,
    /// The words of its FEAT; `None`: it was not asked, or refused.
    pub features: Option<Vec<String>>,
    /// Whether the check's user was let in; `None`: no user is configured.
    pub logs_in: Option<bool>,
    /// EPSV: whether a listing came; `None`: not tried.
    pub epsv: Option<bool>,
    /// PASV, likewise.
    pub pasv: Option<bool>,
    /// Whether every data connection resumed the control connection's TLS; `None`: there was none under TLS.
    pub data_resumes: Option<bool>,
    /// What did not work, the first first.
    pub failures: Vec<Fault>,
}

/// TLS of a control connection.
#[derive(Debug)]
pub struct TlsFindings {
    /// "1.2" or "1.3".
    pub version: &'static str,
    /// The IANA name.
    pub suite: String,
    /// The server's certificate; `None`: it cannot be read.
    pub certificate: Option<CertificateFacts>,
}

/// Something that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub message: String,
    /// What to do about it; empty where the message says so.
    pub advice: String,
}

/// Finds out about one server. A few connections are made, one after the other; each step has the backend's timeouts.
pub async fn probe(backend: &Backend, server: &Server) -> Findings {
    let mut findings = Findings::default();
    let login = match &backend.config().check.kind {
        CheckKind::Off | CheckKind::Tcp | CheckKind::Greeting | CheckKind::Tls => None,
        CheckKind::Login(login) | CheckKind::Data(login) => Some(login),
    };
    if let Err(error) = look(backend, server, login, &mut findings).await {
        findings.failures.push(fault(backend, &error));
    }
    findings
}

/// One visit for all that can be seen in one, and another for PASV.
async fn look(
    backend: &Backend,
    server: &Server,
    login: Option<&CheckLogin>,
    findings: &mut Findings,
) -> Result<(), CheckError> {
    let mut seen = Seen::default();
    let greeted = secured(backend).ask(Command::bare(Verb::Feat));
    let Some(login) = login else {
        let result = visit(backend, server, Client::new(greeted.quit()), &mut seen).await;
        findings.take(&seen);
        return Ok(result?);
    };
    let lists = backend.config().data == BackendData::Passive;
    let plan = |start: Plan, credentials| -> Result<Plan, CheckError> {
        let plan = listing(start.login(credentials), backend, login.path.as_deref())?;
        // A server that demands a resumed session does so for each data connection.
        let again = if lists { plan.download(Command::bare(Verb::List)) } else { plan };
        Ok(again.quit())
    };
    findings.logs_in = Some(false);
    let visit_plan = plan(greeted, read_login(login).await?)?;
    let result = visit(backend, server, Client::new(visit_plan), &mut seen).await;
    findings.take(&seen);
    if seen.opened_by == Some(Verb::Pasv) {
        // EPSV is asked for first.
        findings.epsv = Some(false);
    }
    if let Err(error) = &result
        && is_of_data(error)
    {
        match seen.opened_by() {
            Verb::Pasv => findings.pasv = Some(false),
            _ => findings.epsv = Some(false),
        }
    }
    if lists && seen.is_logged_in && seen.opened_by() == Verb::Epsv {
        let mut seen = Seen::default();
        let client = Client::new(plan(secured(backend), read_login(login).await?)?).with_pasv();
        let other = visit(backend, server, client, &mut seen).await;
        findings.pasv = Some(other.is_ok());
        findings.note_data(&seen.data);
        result?;
        other?;
    } else {
        result?;
    }
    Ok(())
}

/// Whether a visit got as far as its data connections.
fn is_of_data(error: &VisitError) -> bool {
    match &error.cause {
        VisitCause::DataPort { .. } | VisitCause::DataHandshake(_) | VisitCause::Data(_) => true,
        VisitCause::Refused(failure) => is_data_stage(failure.stage),
        VisitCause::TimedOut => error.stage.is_some_and(is_data_stage),
        VisitCause::Connect(_)
        | VisitCause::ProxyHeader(_)
        | VisitCause::Name(_)
        | VisitCause::Handshake(_) => false,
    }
}

fn is_data_stage(stage: Stage) -> bool {
    match stage {
        Stage::Command(verb) => matches!(verb, Verb::Epsv | Verb::Pasv | Verb::List),
        Stage::DataConnection { .. } => true,
        Stage::Greeting | Stage::Handshake | Stage::End => false,
    }
}

impl Findings {
    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    fn take(&mut self, seen: &Seen) {
        self.reached = seen.reached;
        self.greeting.clone_from(&seen.greeting);
        self.tls = seen.tls.as_ref().map(|tls| TlsFindings {
            version: if tls.version == rustls::ProtocolVersion::TLSv1_3 { "1.3" } else { "1.2" },
            suite: tls.suite.as_str().unwrap_or("unknown").to_owned(),
            certificate: CertificateFacts::of(&tls.certificate),
        });
        self.features = seen.features.as_ref().and_then(features);
        self.logs_in = self.logs_in.map(|_| seen.is_logged_in);
        self.note_data(&seen.data);
    }

    fn note_data(&mut self, data: &[DataSeen]) {
        for connection in data {
            match connection.opened_by {
                Verb::Pasv => self.pasv = Some(true),
                _ => self.epsv = Some(true),
            }
            if let Some(is_resumed) = connection.is_resumed {
                self.data_resumes = Some(self.data_resumes.unwrap_or(true) && is_resumed);
            }
        }
    }
}

/// The words of a FEAT reply, escaped and bounded; a refusal has none.
fn features(reply: &Reply) -> Option<Vec<String>> {
    if reply.kind() != Kind::Completion {
        return None;
    }
    let count = reply.lines().count();
    let lines = reply.lines().skip(1).take(count.saturating_sub(2).min(FEATURES_MAX));
    Some(
        lines
            .filter_map(|line| {
                let line = line.trim_ascii();
                let line = line.strip_prefix(b"211-").unwrap_or(line).trim_ascii();
                let word = line.split(|&byte| byte == b' ').next()?;
                let word = &word[..word.len().min(FEATURE_BYTES_MAX)];
                (!word.is_empty()).then(|| word.escape_ascii().to_string())
            })
            .collect(),
    )
}

fn fault(backend: &Backend, error: &CheckError) -> Fault {
    let advice = match error {
        CheckError::Visit(error) => visit_advice(backend, error),
        CheckError::Password { .. } => {
            "write the file, readable for the gateway's user, or pass it with LoadCredential= in the unit"
                .into()
        }
        CheckError::Unsendable(_) => "one line, without NUL".into(),
    };
    Fault { message: error.to_string(), advice }
}

fn visit_advice(backend: &Backend, error: &VisitError) -> String {
    match &error.cause {
        VisitCause::Connect(error) => connect_advice(error).into(),
        VisitCause::ProxyHeader(_) => "the server closes at once: does it know this gateway?".into(),
        // These say themselves what to write.
        VisitCause::Name(_) | VisitCause::DataHandshake(UpstreamDataError::OtherServer) => String::new(),
        VisitCause::Handshake(error) | VisitCause::DataHandshake(UpstreamDataError::Handshake(error)) => {
            handshake_advice(error)
        }
        VisitCause::DataPort { .. } => DATA_PORTS.into(),
        VisitCause::Data(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server, or something in between, cuts data connections off; sessions would get 426".into()
        }
        VisitCause::Data(_) => {
            "see the server's log; a directory with fewer files can be named with `check.path`".into()
        }
        VisitCause::Refused(failure) => refusal_advice(backend, failure.stage, &failure.cause),
        VisitCause::TimedOut => match error.stage {
            None | Some(Stage::Greeting) => GREETING.into(),
            Some(Stage::DataConnection { .. }) => DATA_PORTS.into(),
            Some(Stage::Command(_) | Stage::Handshake | Stage::End) => {
                "the server is slow or stuck: see its log, or raise `reply_timeout`".into()
            }
        },
    }
}

fn connect_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there: is the server running, and is this its port?"
        }
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the server is off, or a firewall or the routing keeps this machine away from it"
        }
        io::ErrorKind::AddrNotAvailable => "`source` must be an address of this machine",
        _ => "is the name right, and does it have an address of a family that this machine has?",
    }
}

fn handshake_advice(error: &HandshakeError) -> String {
    let is_told = matches!(error, HandshakeError::Tls(error) if Refusal::within(error).is_some());
    match advice(error) {
        Some(advice) => advice.into(),
        None if is_told => String::new(),
        None => "see the server's log, and the keys `tls_…` of this backend".into(),
    }
}

fn refusal_advice(backend: &Backend, stage: Stage, cause: &Cause) -> String {
    let is_refused = matches!(cause, Cause::Refused(_));
    match stage {
        Stage::Greeting => GREETING.into(),
        Stage::Command(Verb::Auth) if is_refused => {
            "the server refuses AUTH TLS: set tls = \"off\" if the way to it is safe, or give the server a certificate"
                .into()
        }
        Stage::Command(Verb::User | Verb::Pass | Verb::Acct) if is_refused => {
            "see `user` and `password_file` of this backend's `check`, and the server's log".into()
        }
        Stage::Command(Verb::Prot | Verb::Pbsz) if is_refused => {
            let other = match &backend.config().tls {
                Some(tls) if tls.protects_data => "clear",
                Some(_) | None => "private",
            };
            format!("the server wants another protection of data connections: set data_tls = \"{other}\"")
        }
        Stage::Command(Verb::Cwd) if is_refused => "see `path` of this backend's `check`".into(),
        Stage::Command(Verb::Epsv | Verb::Pasv) => {
            "the server offers no passive data connections: see its log, or set data = \"active\"".into()
        }
        Stage::Command(Verb::List) if is_refused => {
            "the server took the data connection and gave no listing: see its log; 425 and 522 often mean that it \
             demands TLS resumption, or another source address"
                .into()
        }
        Stage::Command(_) | Stage::Handshake | Stage::DataConnection { .. } | Stage::End => {
            "the server broke off or does not keep to the protocol: see its log".into()
        }
    }
}

const GREETING: &str = "the port is open and nothing greets: a server that begins with TLS needs tls = \"implicit\"; \
    one that expects a PROXY header needs `proxy_protocol`; or it is stuck, or lets this address not in";
const DATA_PORTS: &str = "a firewall lets the control port through and not the data ports: open the server's passive \
    ports for this machine, or set data = \"active\"";
/// Of a FEAT reply.
const FEATURES_MAX: usize = 64;
/// Of one feature's word.
const FEATURE_BYTES_MAX: usize = 32;
