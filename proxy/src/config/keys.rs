//! Every key of the configuration file: what it holds, its default, what it means; and every key that a later
//! version will have, so that it is refused as such and not as a spelling error.

mod audit;
mod backend;
mod limit;
mod listener;
mod policy;
mod route;

use std::time::Duration;

pub(super) use self::audit::AUDIT;
pub(super) use self::backend::BACKEND;
use self::limit::LIMIT;
pub(super) use self::listener::LISTENER;
pub(super) use self::policy::{GROUP, POLICY, RULE, TEST};
pub(super) use self::route::ROUTE;
use super::choice::Choice;
use super::model::{CertificateFallback, ClientCertificates, DataResumption, TlsVersion};
use super::schema::Default::{Absent, Depends, Required, Toml};
use super::schema::{Default, Key, Kind, Section};

/// The file itself.
pub(super) static FILE: Section = Section {
    header: "the top level of the configuration",
    summary: "A configuration of one listener and one backend is complete.",
    keys: &[
        key("version", Kind::Integer(1, 1), Toml("1"), "Version of the file's format."),
        key("gateway", Kind::Table(&GATEWAY), Absent, "The process as a whole."),
        key("tls", Kind::NamedTables(&TLS), Absent, "TLS towards clients, by profile name."),
        key("listener", Kind::Tables(&LISTENER), Required, "Where clients connect."),
        key("backend", Kind::Tables(&BACKEND), Required, "Where sessions go."),
        key(
            "route",
            Kind::Tables(&ROUTE),
            Absent,
            "Which sessions go elsewhere than to the `backend` of their listener.",
        ),
        key("policy", Kind::Table(&POLICY), Absent, "What holds for all rules."),
        GROUPS,
        RULES,
        LIMITS,
        TESTS,
        key("audit", Kind::Tables(&AUDIT), Absent, "Where the audit log is written."),
        key("admin", Kind::Table(&ADMIN), Absent, "How an operator reaches the running gateway."),
    ],
};

/// A file that `files` of [policy] names.
pub(super) static POLICY_FILE: Section = Section {
    header: "the top level of a policy file",
    summary: "[[rule]], [[group]], [[limit]] and [[test]].",
    keys: &[GROUPS, RULES, LIMITS, TESTS],
};

const GROUPS: Key = key("group", Kind::Tables(&GROUP), Absent, "Users under one name, for rules and limits.");
const RULES: Key = key(
    "rule",
    Kind::Tables(&RULE),
    Absent,
    "Who may do what. Without rules, what the backend allows is allowed.",
);
const LIMITS: Key = key("limit", Kind::Tables(&LIMIT), Absent, "How many, how often, how fast.");
const TESTS: Key = key("test", Kind::Tables(&TEST), Absent, "What policy must say of some commands.");

/// `[gateway]`
pub(super) static GATEWAY: Section = Section {
    header: "[gateway]",
    summary: "What concerns the process as a whole.",
    keys: &[
        key("name", Kind::Text, Toml("\"gw1\""), "How this gateway is called in logs."),
        key(
            "state_dir",
            Kind::Path,
            Depends("`\"/var/lib/ftpsgate\"` where it may be written, else the user's own state directory"),
            "Where the local CA is kept.",
        ),
        key(
            "drain_timeout",
            Kind::Duration(Duration::ZERO),
            Toml("\"10m\""),
            "How long running transfers may go on after SIGTERM.",
        ),
        key("banner", Kind::Text, Toml("\"ftpsgate ready\""), "Text of the 220 greeting, one line."),
    ],
};

/// `[admin]`
pub(super) static ADMIN: Section = Section {
    header: "[admin]",
    summary: "How an operator reaches the running gateway: `ftpsgate status`, `reload`, `unlock`.",
    keys: &[
        key(
            "socket",
            Kind::Path,
            Depends("`admin.sock` in the state directory"),
            "A Unix socket of mode 0660; root and the gateway's own user and group may use it. A default that cannot be had \
             is a warning, a written one an error.",
        ),
        later("http", "`ftpsgate status --json` says what a monitor may want to know"),
    ],
};

/// `[tls.NAME]`
pub(super) static TLS: Section = Section {
    header: "[tls.NAME]",
    summary: "TLS towards clients. The profile `default` always exists and serves listeners that name no other.",
    keys: &[
        key(
            "certificates",
            Kind::List(&Kind::Table(&CERTIFICATE)),
            Absent,
            "Chosen by SNI; the first where none matches. Read again when the files change.",
        ),
        key(
            "fallback",
            Kind::OneOf(CertificateFallback::words),
            Depends("`\"none\"` with certificates, `\"local-ca\"` without"),
            "`local-ca`: the local CA mints certificates. `none`: only those above are used.",
        ),
        key("min_version", Kind::OneOf(TlsVersion::words), Toml("\"1.2\""), "Lowest version offered."),
        key("max_version", Kind::OneOf(TlsVersion::words), Toml("\"1.3\""), "Highest version offered."),
        key(
            "require_ems",
            Kind::Boolean,
            Toml("false"),
            "Refuse TLS 1.2 clients without the extended master secret; old Java and Schannel lack it.",
        ),
        key(
            "data_resumption",
            Kind::OneOf(DataResumption::words),
            Toml("\"prefer\""),
            "Whether data connections must resume the control connection's TLS session. `require`: 522 if not.",
        ),
        key(
            "client_certificates",
            Kind::OneOf(ClientCertificates::words),
            Toml("\"off\""),
            "Whether clients are asked for a certificate, and refused without.",
        ),
        key("client_ca", Kind::Path, Absent, "PEM file of the authorities that sign client certificates."),
        key("client_crl", Kind::Path, Absent, "PEM or DER file of revoked client certificates."),
    ],
};

/// An element of `certificates`.
pub(super) static CERTIFICATE: Section = Section {
    header: "[tls.NAME] certificates",
    summary: "A certificate chain and its private key, `{ chain = \"…\", key = \"…\" }`.",
    keys: &[
        key("chain", Kind::Path, Required, "PEM file: the certificate, then those that signed it."),
        key("key", Kind::Path, Required, "PEM file: PKCS#8, PKCS#1 or SEC1; RSA, ECDSA or Ed25519."),
    ],
};

const NOT_ZERO: Kind = Kind::Duration(Duration::from_millis(1));

const NETWORK: Kind = Kind::Syntax("a network such as \"10.0.0.0/8\"", r"^[0-9a-fA-F.:]+(/\d+)?$");

const PATTERN: Kind = Kind::Syntax("a pattern such as \"acme-*\"", r"^.+$");

const PORTS: Kind =
    Kind::Syntax("a range such as \"61000-61009\", or \"auto:10\"", r"^\s*(\d+\s*-\s*\d+|auto:\d+)\s*$");

const fn key(name: &'static str, kind: Kind, default: Default, summary: &'static str) -> Key {
    Key { name, kind, default, summary }
}

/// A key of a later version; `instead` says what holds in this one.
const fn later(name: &'static str, instead: &'static str) -> Key {
    Key { name, kind: Kind::Later, default: Default::Absent, summary: instead }
}
