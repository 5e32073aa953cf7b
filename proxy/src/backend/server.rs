//! One server of a backend, and what is remembered of it.
//!
//! A reload makes new values of [`Server`]; what is remembered goes on with the address.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use ftpsgate_ftp::codec::FeatureSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::balance::{Candidate, FULL_SHARE};
use super::health::{Health, Observer, Rules};
use super::pool::Queue;
use crate::config::{self, CheckKind, ServerAddress};

/// One server, as one configuration has it.
#[derive(Debug)]
pub struct Server {
    config: config::Server,
    /// `HOST:PORT`, for records and hashes.
    name: String,
    /// Name of the backend, for records.
    backend: String,
    rules: Rules,
    /// The kind of its checks, for records.
    check: &'static str,
    memory: Arc<Memory>,
    /// Sessions that wait for room at the backend's servers.
    pub(super) queue: Arc<Queue>,
}

/// What outlives a reload.
#[derive(Debug, Default)]
struct Memory {
    health: Mutex<Health>,
    /// Its last answer to FEAT.
    features: ArcSwapOption<FeatureSet>,
    /// It refused EPSV before.
    prefers_pasv: AtomicBool,
    /// Changed only under the queue's lock.
    sessions: AtomicUsize,
    /// What the rotation owes it; changed only under the queue's lock.
    credit: AtomicI64,
}

impl Server {
    /// A server of `backend`; what `old` remembers goes on, if it is the same address.
    pub(super) fn new(
        config: config::Server,
        backend: &config::Backend,
        queue: Arc<Queue>,
        old: Option<&Self>,
    ) -> Self {
        Self {
            name: config.address.to_string(),
            backend: backend.name.clone(),
            rules: Rules::new(&backend.check),
            check: kind_name(&backend.check.kind),
            memory: old.map(|old| Arc::clone(&old.memory)).unwrap_or_default(),
            queue,
            config,
        }
    }

    /// Where it is.
    pub fn address(&self) -> &ServerAddress {
        &self.config.address
    }

    /// Its share of the sessions.
    pub fn weight(&self) -> u32 {
        self.config.weight
    }

    /// It serves only where no other can.
    pub fn is_backup(&self) -> bool {
        self.config.backup
    }

    /// Name of its backend.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// Sessions that it has.
    pub fn sessions(&self) -> usize {
        self.memory.sessions.load(Ordering::Relaxed)
    }

    /// What it last said to FEAT; `None`: it was not asked yet.
    pub fn features(&self) -> Option<Arc<FeatureSet>> {
        self.memory.features.load_full()
    }

    /// The server answered FEAT.
    pub fn remember_features(&self, features: FeatureSet) {
        self.memory.features.store(Some(Arc::new(features)));
    }

    /// Whether to send PASV at once.
    pub fn prefers_pasv(&self) -> bool {
        self.memory.prefers_pasv.load(Ordering::Relaxed)
    }

    /// The server refused EPSV.
    pub fn remember_epsv_refused(&self) {
        self.memory.prefers_pasv.store(true, Ordering::Relaxed);
    }

    /// Whether it is up; a server of which nothing is known is.
    pub fn is_up(&self) -> bool {
        self.health().is_up()
    }

    /// A session could not be brought to its USER by the server's fault: no connection, no greeting, no TLS. Not to be
    /// called where the client gave up, nor where the server was told the client's address (`proxy_protocol`) and
    /// refused in its greeting: that may be meant for this client, who could otherwise bring the server down for all.
    pub fn report_failure(&self, reason: impl fmt::Display) {
        self.failed(Observer::Session, reason);
    }

    /// A session came to its USER.
    pub fn report_success(&self) {
        self.passed(Observer::Session);
    }

    /// A session's failure is always logged: somebody may ask about it. Of checks only what they change is.
    pub(super) fn failed(&self, observer: Observer, reason: impl fmt::Display) {
        let Self { backend, name, .. } = self;
        let change = self.health().fail(observer, Instant::now(), &self.rules);
        match observer {
            Observer::Session => warn!(backend, server = name, %reason, "the server failed"),
            Observer::Check => debug!(backend, server = name, %reason, "the check failed"),
        }
        if change.is_some() {
            warn!(backend, server = name, tried = self.tried(observer), %reason, "the server is down");
            self.queue.reconsider();
        }
    }

    pub(super) fn passed(&self, observer: Observer) {
        let change = self.health().pass(observer, Instant::now(), &self.rules);
        if change.is_some() {
            let Self { backend, name, .. } = self;
            info!(backend, server = name, tried = self.tried(observer), "the server is up");
            self.queue.reconsider();
        }
    }

    /// What was tried, in the words of the configuration.
    fn tried(&self, observer: Observer) -> &'static str {
        match observer {
            Observer::Check => self.check,
            Observer::Session => "session",
        }
    }

    /// Whether both are one server, perhaps under two configurations.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory)
    }

    /// A snapshot for the balancer.
    pub(super) fn candidate(&self, now: Instant, sessions_max: usize, is_tried: bool) -> Candidate<'_> {
        let health = *self.health();
        let sessions = self.sessions();
        Candidate {
            name: &self.name,
            share: (u64::from(self.config.weight) * health.share(now, &self.rules)).max(1),
            sessions,
            is_up: health.is_usable(now, &self.rules),
            is_unchecked: self.rules.rest.is_some(),
            is_full: sessions >= sessions_max,
            is_backup: self.config.backup,
            is_tried,
            failed_at: health.failed_at(),
            credit: self.memory.credit.load(Ordering::Relaxed),
        }
    }

    /// Under the queue's lock.
    pub(super) fn set_credit(&self, credit: i64) {
        self.memory.credit.store(credit, Ordering::Relaxed);
    }

    /// Under the queue's lock.
    pub(super) fn add_session(&self) {
        self.memory.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// Under the queue's lock.
    pub(super) fn remove_session(&self) {
        self.memory.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.memory.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// As the configuration writes it.
fn kind_name(kind: &CheckKind) -> &'static str {
    match kind {
        CheckKind::Off => "off",
        CheckKind::Tcp => "tcp",
        CheckKind::Greeting => "greeting",
        CheckKind::Tls => "tls",
        CheckKind::Login(_) => "login",
        CheckKind::Data(_) => "data",
    }
}

const _: () = assert!(FULL_SHARE.checked_mul(u32::MAX as u64).is_some(), "a weight times a share fits");
