//! What `status` answers: documented in `docs/operations.md`, field by field.

use serde_json::{Value, json};

use crate::config::Choice;
use crate::limits::{Overview, counted_key, key_text};
use crate::server::{Server, Snapshot};

/// How the gateway is.
pub(super) async fn status(server: &Server) -> Value {
    let Snapshot { name, uptime, listeners, backends } = server.snapshot().await;
    let Overview { sessions, transfers, lockouts, fullest } = server.limits().overview(SHOWN_MAX);
    let listeners = listeners.into_iter().map(|listener| {
        json!({
            "name": listener.name,
            "mode": listener.mode.word(),
            "addresses": listener.addresses,
            "sessions": listener.sessions,
        })
    });
    let backends = backends.iter().map(|backend| {
        let servers = backend.servers().iter().map(|server| {
            json!({
                "address": server.address().to_string(),
                "up": server.is_up(),
                "backup": server.is_backup(),
                "weight": server.weight(),
                "sessions": server.sessions(),
            })
        });
        json!({ "name": backend.config().name, "servers": servers.collect::<Vec<_>>() })
    });
    let lockouts = lockouts.into_iter().map(|(lockout, left)| {
        json!({
            "limit": lockout.limit.name(),
            "key": key_text(&lockout.key),
            "seconds_left": left.as_secs(),
        })
    });
    let fullest = fullest.into_iter().map(|fill| {
        json!({
            "limit": fill.limit.name(),
            "what": counted_key(fill.what),
            "key": key_text(&fill.key),
            "share": (fill.share * 1000.0).round() / 1000.0,
        })
    });
    json!({
        "ok": true,
        "name": name,
        "gateway_version": env!("CARGO_PKG_VERSION"),
        "process": std::process::id(),
        "uptime_seconds": uptime.as_secs(),
        "sessions": sessions,
        "transfers": transfers,
        "listeners": listeners.collect::<Vec<_>>(),
        "backends": backends.collect::<Vec<_>>(),
        "lockouts": lockouts.collect::<Vec<_>>(),
        "fullest": fullest.collect::<Vec<_>>(),
    })
}

/// Of lockouts, and of buckets.
const SHOWN_MAX: usize = 100;
