//! The words of transcripts: how actions and facts are written, and what the words of a line stand for.

use std::time::Duration;

use ftpsgate_policies::request::Certificate;

use crate::codec::{Command, LineError, Protection, Reply};
use crate::session::{
    Action, CommandRecord, ControlTls, DataTls, DecidedBy, Destination, Direction, Fact, RelayEnd,
    RequestedServer, UpstreamInfo,
};

pub(super) fn describe_action(action: &Action) -> String {
    match action {
        Action::Reply(reply) => format!("C< {}", describe_reply(reply)),
        Action::UpgradeDownstream(reply) => format!("C< {}\n* handshake", describe_reply(reply)),
        Action::AcceptTls => "* handshake".into(),
        Action::ConnectUpstream(_) => "* connect".into(),
        Action::SendUpstream(command) => format!("B> {}", describe_command(command)),
        Action::AbortUpstream(command) => format!("B>! {}", describe_command(command)),
        Action::LeasePort => "* lease".into(),
        Action::DialBackendData(port) => format!("* dial {port}"),
        Action::RenewUpstream => "* renew".into(),
        Action::SettleRenewal(true) => "* keep the new".into(),
        Action::SettleRenewal(false) => "* keep the old".into(),
        Action::SecureUpstream => "* secure upstream".into(),
        Action::SetClientAddress(address) => format!("* client at {address}"),
        Action::LeaseUpstreamPort => "* lease upstream".into(),
        Action::DiscardData => "* discard".into(),
        Action::WithdrawData => "* withdraw".into(),
        Action::StartRelay(order) => {
            let direction = match order.direction {
                Direction::Upload => "upload",
                Direction::Download => "download",
            };
            let protection = match order.protection {
                Protection::Clear => "clear",
                Protection::Private => "private",
            };
            let upstream = match order.upstream_protection {
                Protection::Clear => "",
                Protection::Private => ", upstream private",
            };
            let bound = order.bytes_max.map(|bytes| format!(", at most {bytes}"));
            format!("* relay {direction} {protection}{upstream}{}", bound.unwrap_or_default())
        }
        Action::BoundRelay(Some(bytes)) => format!("* bound {bytes}"),
        Action::BoundRelay(None) => "* bound nothing".into(),
        Action::CancelRelay => "* cancel".into(),
        Action::FinishDownload => "* finish download".into(),
        Action::ResetDownload => "* reset download".into(),
        Action::AdmitClient | Action::JudgeLogin | Action::AdmitUser | Action::AdmitTransfer => {
            unreachable!("answered where they are collected")
        }
        Action::Close => "* close".into(),
    }
}

/// Where a dial goes is given as a fact: `to 1 anna`, `to 1 anna at ftp.example.com:21`.
pub(super) fn describe_destination(destination: &Destination) -> String {
    let Destination { backend, server, user } = destination;
    let mut text = format!("to {backend} {}", user.escape_ascii());
    if let Some(RequestedServer { host, port }) = server {
        text.push_str(&format!(" at {host}"));
        text.extend(port.map(|port| format!(":{port}")));
    }
    text
}

/// The password of all transcripts, as text or as a list of bytes.
pub(super) fn shows_secret(value: &impl std::fmt::Debug) -> bool {
    let shown = format!("{value:?}");
    shown.contains("hunter2") || shown.contains("104, 117, 110, 116")
}

pub(super) fn describe_reply(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.encode()).trim_end().replace("\r\n", " | ")
}

pub(super) fn describe_command(command: &Command) -> String {
    let line = command.encode();
    line.strip_suffix(b"\r\n").expect("a whole line").escape_ascii().to_string().replace("\\'", "'")
}

/// A command's one fact, in short: its denial, else its transfer, else its end.
pub(super) fn describe_record(record: &CommandRecord) -> String {
    let verb = record.verb_name();
    let code = record.code.map_or("-".to_owned(), |code| code.to_string());
    let decision = record.decision.as_ref().filter(|decision| !decision.is_allowed);
    match (decision, &record.transfer) {
        (Some(decision), transfer) if transfer.is_none() || decision.by != DecidedBy::Limit => {
            let argument = record.argument.as_ref().map(|bytes| format!(" {}", bytes.escape_ascii()));
            let rule = decision.rule().map(|rule| format!(" by {rule}"));
            format!("denied {verb}{} {code}{}", argument.unwrap_or_default(), rule.unwrap_or_default())
        }
        (_, Some(transfer)) => {
            let seconds = transfer.duration.as_secs();
            let name = transfer.unique_name.as_ref().map(|name| format!(" as {}", name.escape_ascii()));
            let end = transfer.end.map_or("none".into(), |end| format!("{end:?}"));
            let bytes = transfer.bytes;
            let tls = match (&transfer.tls, &transfer.upstream_tls) {
                (None, None) => String::new(),
                (down, up) => format!(" tls {} {}", version(down), version(up)),
            };
            format!("transfer {verb} {code} {bytes}B {seconds}s {end}{}{tls}", name.unwrap_or_default())
        }
        (_, None) => format!("finished {verb} {code}"),
    }
}

pub(super) fn describe_fact(fact: &Fact) -> String {
    match fact {
        Fact::TlsEstablished(_) => "tls".into(),
        Fact::LoggedIn => "logged in".into(),
        Fact::LockedOut { user, limit, code } => {
            let user = user.as_deref().unwrap_or_default().escape_ascii();
            format!("locked out {user} by {limit} {code}")
        }
        Fact::LoginFailed { user, code } => {
            let user = user.as_ref().map_or("nobody".into(), |user| user.escape_ascii().to_string());
            format!("login failed {user} {code}")
        }
        Fact::LoginUndecided { user, code } => {
            let user = user.as_ref().map_or("nobody".into(), |user| user.escape_ascii().to_string());
            format!("login undecided {user} {code}")
        }
        Fact::LoginAbandoned => "login abandoned".into(),
        Fact::CommandFinished(record) => describe_record(record),
        Fact::Observed { verb, rule, is_denial, .. } => {
            let action = if *is_denial { "denied" } else { "allowed" };
            let rule = rule.as_ref().map_or("the default", |rule| rule.name());
            format!("observed {} {action} by {rule}", verb.name())
        }
        Fact::Connected(decision) if decision.is_allowed => "connected".into(),
        Fact::Connected(decision) => {
            format!("connection denied by {}", decision.rule().map_or("the default", |rule| rule.name()))
        }
        Fact::LimitExceeded { limit } => format!("limit {limit}"),
        Fact::Revoked { verb, decision, code, .. } => {
            let rule = decision.rule().map_or("the default", |rule| rule.name());
            format!("revoked {} {code} by {rule}", verb.name())
        }
        Fact::SymlinkFollowed { asked, found } => format!("symlink {asked} {found}"),
        Fact::BackendFeatures(_) => "features".into(),
        Fact::Routed(backend) => format!("routed {backend}"),
        Fact::UpstreamFailed { fault, is_retried } => format!("upstream failed {is_retried}: {fault}"),
        Fact::Renewed { succeeded } => format!("renewed {succeeded}"),
        Fact::EpsvRefused => "epsv refused".into(),
        Fact::Violation(violation) => format!("violation {}", violation.name()),
        Fact::Closed(reason) => format!("closed {}", reason.name()),
    }
}

pub(super) fn tls(name: Option<&str>, subject: Option<&str>) -> ControlTls {
    ControlTls {
        server_name: name.map(str::to_owned),
        version: "1.3",
        suite: "TLS13_AES_256_GCM_SHA384".into(),
        resumed: false,
        client_certificate: subject
            .map(|subject| Box::new(Certificate { subject: subject.to_owned(), ..Certificate::default() })),
    }
}

/// `-`: none.
pub(super) fn data_tls(version: &str) -> Option<DataTls> {
    let version = match version {
        "-" => return None,
        "1.2" => "1.2",
        "1.3" => "1.3",
        _ => panic!("no version of TLS: {version}"),
    };
    Some(DataTls { version, suite: "AES".into(), resumed: true, close_notify: true })
}

pub(super) fn version(tls: &Option<DataTls>) -> &'static str {
    tls.as_ref().map_or("-", |tls| tls.version)
}

pub(super) fn upstream(address: &str, prefer_pasv: bool) -> UpstreamInfo {
    UpstreamInfo { server: address.parse().unwrap(), prefer_pasv }
}

pub(super) fn line_error(word: &str) -> LineError {
    match word {
        "too long" => LineError::TooLong,
        "bare LF" => LineError::BareLineFeed,
        "bare CR" => LineError::BareCarriageReturn,
        "NUL" => LineError::Nul,
        "telnet" => LineError::Telnet,
        "tls" => LineError::TlsRecord,
        "PROXY" => LineError::ProxyHeader,
        _ => panic!("no line error: {word}"),
    }
}

pub(super) fn relay_end(word: &str) -> RelayEnd {
    match word {
        "complete" => RelayEnd::Complete,
        "not-connected" => RelayEnd::NotConnected,
        "tls-failed" => RelayEnd::TlsFailed,
        "not-resumed" => RelayEnd::NotResumed,
        "truncated" => RelayEnd::Truncated,
        "client-failed" => RelayEnd::ClientFailed,
        "backend-failed" => RelayEnd::BackendFailed,
        "backend-tls-failed" => RelayEnd::BackendTlsFailed,
        "stalled" => RelayEnd::Stalled,
        "too-slow" => RelayEnd::TooSlow,
        "too-large" => RelayEnd::TooLarge(Direction::Upload),
        "too-large-download" => RelayEnd::TooLarge(Direction::Download),
        "violation" => RelayEnd::Violation,
        _ => panic!("no end of a relay: {word}"),
    }
}

pub(super) fn duration(text: &str) -> Duration {
    match text.strip_suffix("ms") {
        Some(number) => Duration::from_millis(number.parse().unwrap()),
        None => Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap()),
    }
}

/// `\n` and `\xhh`.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.extend_from_slice(b"\r\n"),
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            other => panic!("no escape: {other:?}"),
        }
    }
    bytes
}
