//! Facts become audit records, one each.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::SystemTime;

use ftpsgate_ftp::codec::Verb;
use ftpsgate_ftp::session::{
    AccessRecord, AccessTarget, CommandRecord, DataTls, DecidedBy, Decision, Direction, Fact, RelayEnd,
    Session, TransferRecord,
};
use ftpsgate_policies::RuleRef;
use ftpsgate_policies::rule::Action;
use uuid::Uuid;

use crate::audit::record::{self, By, Event, Record};
use crate::audit::text::escape;
use crate::proxy_protocol::Endpoints;
use crate::service::Service;

/// What all records of a session have in common, and what it has moved.
#[derive(Debug)]
pub(super) struct Auditor {
    session: Uuid,
    uploaded_bytes: u64,
    downloaded_bytes: u64,
}

impl Auditor {
    pub(super) fn new(session: Uuid) -> Self {
        Self { session, uploaded_bytes: 0, downloaded_bytes: 0 }
    }

    /// Appends what a fact says to the journal, if that is kept.
    pub(super) fn append(&mut self, fact: &Fact, ends: Endpoints, session: &Session, service: &Service) {
        if let Fact::CommandFinished(command) = fact
            && let Some(transfer) = &command.transfer
        {
            match transfer.direction {
                Direction::Upload => self.uploaded_bytes += transfer.bytes,
                Direction::Download => self.downloaded_bytes += transfer.bytes,
            }
        }
        if !service.journal.is_kept() {
            return;
        }
        let mut id = Uuid::encode_buffer();
        let id: &str = self.session.simple().encode_lower(&mut id);
        if let Some(record) = self.record(fact, (id, ends), session, service) {
            service.journal.append(record);
        }
    }

    fn record<'a>(
        &self,
        fact: &'a Fact,
        whose: (&'a str, Endpoints),
        session: &'a Session,
        service: &'a Service,
    ) -> Option<Record<'a>> {
        let record = |event| begin(event, whose, session, service);
        Some(match fact {
            Fact::Connected(allowed) => {
                Record { decision: Some(decision(allowed)), ..record(Event::Connect) }
            }
            Fact::CommandFinished(command) => finished(command, record(Event::Command)),
            Fact::Revoked { verb, accesses: done, decision: denied, code } => Record {
                command: Some(record::Command {
                    verb: verb.name().into(),
                    subcommand: None,
                    argument: None,
                    accesses: accesses(done),
                    size_bytes: None,
                }),
                decision: Some(decision(denied)),
                code: Some(*code),
                ..record(Event::Revoked)
            },
            Fact::SymlinkFollowed { asked, found } => Record {
                command: Some(record::Command {
                    verb: Verb::Cwd.name().into(),
                    subcommand: None,
                    argument: None,
                    accesses: vec![record::Access {
                        operation: "traverse".into(),
                        path: Some(asked.as_str().into()),
                        unresolved: false,
                        below: false,
                    }],
                    size_bytes: None,
                }),
                found: Some(found.as_str().into()),
                ..record(Event::Symlink)
            },
            Fact::Violation(violation) => {
                Record { reason: Some(violation.name().into()), ..record(Event::Violation) }
            }
            Fact::LimitExceeded { limit } => {
                Record { decision: Some(LIMITED), reason: Some(limit.into()), ..record(Event::Limit) }
            }
            Fact::Closed(reason) => Record {
                reason: Some(reason.name().into()),
                uploaded_bytes: Some(self.uploaded_bytes),
                downloaded_bytes: Some(self.downloaded_bytes),
                ..record(Event::Disconnect)
            },
            // Parts of the commands that they belong to, or of no concern to anybody but the operator.
            Fact::TlsEstablished(_)
            | Fact::LoggedIn
            | Fact::Routed(_)
            | Fact::UpstreamFailed { .. }
            | Fact::Renewed { .. }
            | Fact::LoginFailed { .. }
            | Fact::LoginUndecided { .. }
            | Fact::LoginAbandoned
            | Fact::LockedOut { .. }
            | Fact::Observed { .. }
            | Fact::BackendFeatures(_)
            | Fact::EpsvRefused => return None,
        })
    }
}

/// Who, from where, to where.
fn begin<'a>(
    event: Event,
    (id, ends): (&'a str, Endpoints),
    session: &'a Session,
    service: &'a Service,
) -> Record<'a> {
    let backend = session.subject().backend.as_str();
    let tls = session.tls();
    Record {
        session: Some(id.into()),
        client: Some(canonical(ends.client)),
        dialled: Some(canonical(ends.dialled)),
        listener: Some(service.listener.name.as_str().into()),
        tls: tls.map(|tls| record::Tls {
            version: tls.version.into(),
            suite: tls.suite.as_str().into(),
            resumed: tls.resumed,
            sni: tls.server_name.as_ref().map(|name| escape(name.as_bytes())),
        }),
        certificate: tls.and_then(|tls| tls.client_certificate.as_deref()).map(|certificate| {
            record::Certificate {
                subject: escape(certificate.subject.as_bytes()),
                names: certificate.names.iter().map(|name| escape(name.as_bytes()).into_owned()).collect(),
                key: certificate.key.as_str().into(),
            }
        }),
        user: session.user().map(escape),
        backend: (!backend.is_empty()).then(|| backend.into()),
        server: session.server(),
        ..Record::new(event, &service.gateway, SystemTime::now())
    }
}

/// A client that was turned away before it had a session; `limit` names why.
pub(crate) fn turned_away(service: &Service, ends: Endpoints, limit: &str) {
    if service.journal.is_kept() {
        service.journal.append(Record {
            client: Some(canonical(ends.client)),
            dialled: Some(canonical(ends.dialled)),
            listener: Some(service.listener.name.as_str().into()),
            decision: Some(LIMITED),
            reason: Some(limit.into()),
            ..Record::new(Event::Connect, &service.gateway, SystemTime::now())
        });
    }
}

/// A peer that broke the protocol before it had a session.
pub(crate) fn violated(service: &Service, ends: Endpoints, violation: &str) {
    if service.journal.is_kept() {
        service.journal.append(Record {
            client: Some(canonical(ends.client)),
            dialled: Some(canonical(ends.dialled)),
            listener: Some(service.listener.name.as_str().into()),
            reason: Some(violation.into()),
            ..Record::new(Event::Violation, &service.gateway, SystemTime::now())
        });
    }
}

/// An IPv4-mapped address as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn finished<'a>(command: &'a CommandRecord, record: Record<'a>) -> Record<'a> {
    let moved = command.transfer.as_ref().filter(|transfer| transfer.direction == Direction::Upload);
    let moved = moved.map(|transfer| transfer.bytes);
    Record {
        user: command.user.as_deref().map(escape),
        backend: (!command.backend.is_empty()).then(|| command.backend.as_str().into()),
        command: Some(record::Command {
            verb: command.verb_name().into(),
            subcommand: command.subcommand.as_deref().map(Cow::Borrowed),
            argument: command.argument.as_deref().map(escape),
            accesses: accesses(&command.accesses),
            size_bytes: command.announced_bytes.max(moved),
        }),
        decision: command.decision.as_ref().map(decision),
        code: command.code,
        transfer: command.transfer.as_ref().map(transfer),
        reason: match &command.limit {
            Some(limit) => Some(limit.into()),
            None => command.has_failed_login.then(|| "login_failed".into()),
        },
        ..record
    }
}

fn accesses(accesses: &[AccessRecord]) -> Vec<record::Access<'_>> {
    let access = |access: &AccessRecord| {
        let (path, unresolved) = match &access.target {
            AccessTarget::Nothing => (None, false),
            AccessTarget::Unresolved => (None, true),
            AccessTarget::Path(path) | AccessTarget::Reckoned(path) => {
                (Some(Cow::Owned(escape(path.as_bytes()).into_owned())), false)
            }
        };
        record::Access { operation: access.operation.name().into(), path, unresolved, below: access.is_below }
    };
    accesses.iter().map(access).collect()
}

fn decision(decision: &Decision) -> record::Decision<'_> {
    record::Decision {
        allowed: decision.is_allowed,
        by: match decision.by {
            DecidedBy::Rule(_) => By::Rule,
            DecidedBy::Default => By::Default,
            DecidedBy::Gateway => By::Gateway,
            DecidedBy::Limit => By::Limit,
        },
        rule: decision.rule().map(rule),
        observed: decision
            .observed
            .iter()
            .map(|observation| record::Observed {
                allowed: match observation.action {
                    Action::Allow => true,
                    Action::Deny => false,
                },
                rule: observation.rule.as_ref().map(rule),
            })
            .collect(),
    }
}

fn rule(rule: &RuleRef) -> record::Rule<'_> {
    record::Rule { name: rule.name().into(), file: (*rule.origin().file).into(), line: rule.origin().line }
}

fn transfer(transfer: &TransferRecord) -> record::Transfer<'_> {
    record::Transfer {
        direction: match transfer.direction {
            Direction::Upload => "upload",
            Direction::Download => "download",
        }
        .into(),
        bytes: transfer.bytes,
        duration_ms: u64::try_from(transfer.duration.as_millis()).unwrap_or(u64::MAX),
        end: transfer.end.map(|end| end_name(end).into()),
        downstream: transfer.tls.as_ref().map(data_tls),
        upstream: transfer.upstream_tls.as_ref().map(data_tls),
        unique_name: transfer.unique_name.as_deref().map(escape),
    }
}

fn data_tls(tls: &DataTls) -> record::DataTls<'_> {
    record::DataTls {
        version: tls.version.into(),
        suite: tls.suite.as_str().into(),
        resumed: tls.resumed,
        close_notify: tls.close_notify,
    }
}

fn end_name(end: RelayEnd) -> &'static str {
    match end {
        RelayEnd::Complete => "complete",
        RelayEnd::NotConnected => "not_connected",
        RelayEnd::TlsFailed => "tls_failed",
        RelayEnd::NotResumed => "not_resumed",
        RelayEnd::Truncated => "truncated",
        RelayEnd::ClientFailed => "client_failed",
        RelayEnd::BackendFailed => "backend_failed",
        RelayEnd::BackendTlsFailed => "backend_tls_failed",
        RelayEnd::Stalled => "stalled",
        RelayEnd::TooSlow => "too_slow",
        RelayEnd::TooLarge(_) => "too_large",
        RelayEnd::Violation => "violation",
    }
}

const LIMITED: record::Decision<'static> =
    record::Decision { allowed: false, by: By::Limit, rule: None, observed: Vec::new() };
