//! Facts become log events: one for each thing that happened, inside the session's span.

use std::sync::Arc;

use ftpsgate_ftp::session::{
    self, CloseReason, CommandRecord, DecidedBy, Direction, Fact, TransferRecord, UpstreamFault, Violation,
};
use ftpsgate_policies::RuleRef;
use tracing::{info, warn};

use super::upstream::UpstreamSide;
use crate::backend::Backend;
use crate::config::ProxyProtocol;
use crate::service::Service;

/// Writes one fact down, and remembers what it says of the backend.
pub(super) fn record(fact: Fact, user: Option<&[u8]>, service: &Service, upstream: &UpstreamSide) {
    let backend = upstream.backend().map(|backend| backend.config().name.as_str());
    let server = upstream.server();
    let user = user.map(|user| user.escape_ascii().to_string());
    match fact {
        Fact::TlsEstablished(tls) => info!(
            tls_version = tls.version,
            tls_suite = tls.suite,
            sni = tls.server_name,
            tls_resumed = tls.resumed,
            certificate =
                tls.client_certificate.map(|certificate| certificate.subject).filter(|text| !text.is_empty()),
            "tls established"
        ),
        Fact::Routed(index) => {
            tracing::debug!(user, backend = service.backends[index].config().name, "routed")
        }
        Fact::UpstreamFailed { fault, is_retried } => {
            let server = server.map(tracing::field::display);
            let (reason, why) = (fault.name(), tracing::field::display(&fault));
            warn!(user, backend, server, reason, why, is_retried, "the server cannot be used");
            if fault.concerns_all_users() {
                report_failure(upstream, &fault);
            }
        }
        Fact::Renewed { succeeded } => {
            info!(user, backend, succeeded, "logged in afresh for TLS tickets")
        }
        Fact::LoggedIn => {
            let server = server.inspect(|server| server.report_success()).map(tracing::field::display);
            info!(user, backend, server, "logged in");
        }
        Fact::LoginFailed { user, code } => {
            // It lives: it has said so.
            server.inspect(|server| server.report_success());
            let user = user.map(|user| user.escape_ascii().to_string());
            warn!(user, code, "login failed");
        }
        Fact::LoginUndecided { user, code } => {
            server.inspect(|server| server.report_success());
            let user = user.map(|user| user.escape_ascii().to_string());
            warn!(user, backend, code, "the server cannot decide a login now");
        }
        Fact::LoginAbandoned => tracing::debug!(backend, "another login was begun before the account"),
        // The limits have recorded it, within their bound.
        Fact::LockedOut { user, limit, code } => {
            let user = user.map(|user| user.escape_ascii().to_string());
            tracing::debug!(user, limit, code, "locked out: the password was not tried");
        }
        Fact::CommandFinished(record) => record_command(&record),
        Fact::Observed { verb, argument, path, rule, is_denial } => info!(
            target: "audit",
            user,
            verb = verb.name(),
            argument = argument.map(|argument| argument.escape_ascii().to_string()),
            path = path.map(|path| path.as_str().to_owned()),
            rule = rule.as_ref().map(RuleRef::name),
            rule_at = rule.as_ref().map(|rule| display(rule.origin())),
            would = if is_denial { "deny" } else { "allow" },
            "observed"
        ),
        Fact::Connected(decision) if decision.is_allowed => {}
        Fact::Connected(decision) => warn!(
            target: "audit",
            rule = decision.rule().map(RuleRef::name),
            rule_at = decision.rule().map(|rule| display(rule.origin())),
            "connection denied"
        ),
        // The limits have recorded it.
        Fact::LimitExceeded { .. } => {}
        Fact::Revoked { verb, accesses, decision, code } => warn!(
            target: "audit",
            user,
            verb = verb.name(),
            path = session::first_path(&accesses).map(|path| path.as_str().to_owned()),
            rule = decision.rule().map(RuleRef::name),
            rule_at = decision.rule().map(|rule| display(rule.origin())),
            code,
            "no longer allowed"
        ),
        Fact::SymlinkFollowed { asked, found } => info!(
            target: "audit",
            user,
            event = "path.symlink",
            path = asked.as_str(),
            found = found.as_str(),
            "the server's directory is another than its name says"
        ),
        Fact::BackendFeatures(features) => {
            if let Some(server) = server {
                server.remember_features(features);
            }
        }
        Fact::EpsvRefused => {
            if let Some(server) = server {
                server.remember_epsv_refused();
            }
            info!(
                backend,
                server = server.map(tracing::field::display),
                "the server does not speak EPSV; using PASV"
            );
        }
        Fact::Violation(violation) => warn!(user, event = violation.name(), "protocol violation"),
        Fact::Closed(reason) => record_close(reason, user),
    }
}

/// A server that was reached and is of no use. One that was told whom we come for may refuse that client alone: no
/// client is to take it away from all others.
fn report_failure(upstream: &UpstreamSide, fault: &UpstreamFault) {
    let tells_clients = |backend: &Arc<Backend>| backend.config().proxy_protocol != ProxyProtocol::Off;
    if let Some(server) = upstream.server()
        && !upstream.backend().is_some_and(tells_clients)
    {
        server.report_failure(fault);
    }
}

fn record_command(record: &CommandRecord) {
    let user = record.user.as_ref().map(|user| user.escape_ascii().to_string());
    let argument = record.argument.as_ref().map(|argument| argument.escape_ascii().to_string());
    let (verb, code) = (record.verb_name(), record.code);
    let denial = record.decision.as_ref().filter(|decision| !decision.is_allowed);
    // What limits refuse they have recorded, within their bound.
    if let Some(denial) = denial.filter(|denial| denial.by != DecidedBy::Limit) {
        let path = match denial.by {
            DecidedBy::Rule(_) | DecidedBy::Default => record.path(),
            DecidedBy::Gateway | DecidedBy::Limit => None,
        };
        warn!(
            target: "audit",
            user,
            verb,
            argument,
            path = path.map(|path| path.as_str().to_owned()),
            rule = denial.rule().map(RuleRef::name),
            rule_at = denial.rule().map(|rule| display(rule.origin())),
            code,
            "denied"
        );
    }
    if let Some(transfer) = &record.transfer {
        return record_transfer(record, transfer);
    }
    if denial.is_none() {
        tracing::debug!(user, verb, code, "command");
    }
}

fn record_transfer(record: &CommandRecord, transfer: &TransferRecord) {
    let tls = transfer.tls.as_ref();
    let upstream_tls = transfer.upstream_tls.as_ref();
    info!(
        user = record.user.as_ref().map(|user| user.escape_ascii().to_string()),
        verb = record.verb_name(),
        path = record.argument.as_ref().map(|path| path.escape_ascii().to_string()),
        unique_name = transfer.unique_name.as_ref().map(|name| name.escape_ascii().to_string()),
        direction = match transfer.direction {
            Direction::Upload => "upload",
            Direction::Download => "download",
        },
        bytes = transfer.bytes,
        duration_ms = u64::try_from(transfer.duration.as_millis()).unwrap_or(u64::MAX),
        code = record.code,
        end = transfer.end.map(|end| format!("{end:?}")),
        tls_version = tls.map(|tls| tls.version),
        tls_suite = tls.map(|tls| tls.suite.as_str()),
        tls_resumed = tls.map(|tls| tls.resumed),
        close_notify = tls.map(|tls| tls.close_notify),
        upstream_tls_version = upstream_tls.map(|tls| tls.version),
        upstream_tls_suite = upstream_tls.map(|tls| tls.suite.as_str()),
        upstream_tls_resumed = upstream_tls.map(|tls| tls.resumed),
        upstream_close_notify = upstream_tls.map(|tls| tls.close_notify),
        "transfer finished"
    );
}

fn record_close(reason: CloseReason, user: Option<String>) {
    let event = match reason {
        CloseReason::ClientViolation(violation) | CloseReason::BackendViolation(violation) => {
            Some(Violation::name(violation))
        }
        CloseReason::Quit
        | CloseReason::ClientGone
        | CloseReason::TlsFailed
        | CloseReason::LoginAttempts
        | CloseReason::LoginTimeout
        | CloseReason::IdleTimeout
        | CloseReason::LineTimeout
        | CloseReason::BackendUnavailable
        | CloseReason::BackendGone
        | CloseReason::BackendTimeout
        | CloseReason::NotResynchronised
        | CloseReason::Denied
        | CloseReason::Limit
        | CloseReason::Draining => None,
    };
    info!(user, reason = reason.name(), event, "session closed");
}
