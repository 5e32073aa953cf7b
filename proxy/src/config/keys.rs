//! Every key of the configuration file: what it holds, its default, what it means; and every key that a later
//! version will have, so that it is refused as such and not as a spelling error.

use std::time::Duration;

use super::choice::Choice;
use super::model::{
    CertificateFallback, ClientCertificates, DataResumption, Mode, RequireTls, TlsVersion, UploadEnd,
};
use super::schema::Default::{Absent, Depends, Required, Toml};
use super::schema::{Default, Key, Kind, Section};

/// The file itself.
pub(super) static FILE: Section = Section {
    header: "the top level",
    summary: "A configuration of one listener and one backend is complete.",
    keys: &[
        key("version", Kind::Integer(1, 1), Toml("1"), "Version of the file's format."),
        key("gateway", Kind::Table(&GATEWAY), Absent, "The process as a whole."),
        key("tls", Kind::NamedTables(&TLS), Absent, "TLS towards clients, by profile name."),
        key("listener", Kind::Tables(&LISTENER), Required, "Where clients connect."),
        key("backend", Kind::Tables(&BACKEND), Required, "Where sessions go."),
        later("route", "every session goes to the `backend` of its listener"),
        later("policy", "every login that the backend accepts may do what the backend allows"),
        later("group", "groups come with rules"),
        later("rule", "every login that the backend accepts may do what the backend allows"),
        later("limit", "`max_sessions` and `login_attempts` of [[listener]] are the limits of this version"),
        later("test", "tests come with rules"),
        later("audit", "until the audit exists, denials are log events with the target `audit`"),
        later("admin", "SIGHUP reloads the configuration, SIGTERM drains and stops"),
    ],
};

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

/// `[[listener]]`
pub(super) static LISTENER: Section = Section {
    header: "[[listener]]",
    summary: "Addresses where clients connect, and what holds for their sessions.",
    keys: &[
        key(
            "name",
            Kind::Text,
            Toml("\"ftps\""),
            "Unique among listeners; also the name of an inherited socket.",
        ),
        key(
            "bind",
            Kind::List(&Kind::Syntax("an address and a port such as \"0.0.0.0:21\"", r"^.+:\d+$")),
            Depends("`[\"0.0.0.0:21\", \"[::]:21\"]`, with port 990 where `mode = \"implicit\"`"),
            "Addresses to listen on; port 0 lets the kernel choose. A missing address family is an error where \
             `bind` is written, else a warning.",
        ),
        key(
            "mode",
            Kind::OneOf(Mode::words),
            Toml("\"explicit\""),
            "`explicit`: AUTH TLS. `implicit`: TLS from the first byte. `plain`: no TLS.",
        ),
        key(
            "require_tls",
            Kind::OneOf(RequireTls::words),
            Depends("`\"data\"`; `\"no\"` where `mode = \"plain\"`"),
            "`data`: login and data connections (PROT P). `login`: login. `no`: nothing.",
        ),
        key("tls", Kind::Text, Toml("\"default\""), "The TLS profile."),
        key("backend", Kind::Text, Depends("the only backend there is"), "Where the sessions go."),
        later("intercept", "clients connect to the gateway's own address"),
        later("proxy_protocol_from", "no client may send a PROXY header"),
        later("user_at_host", "a user name with `@` is passed on as it is"),
        key("login_attempts", Kind::Integer(1, 1000), Toml("3"), "Failed logins before 421."),
        key(
            "min_rate",
            Kind::Rate,
            Toml("\"0B/s\""),
            "Transfers that are slower over 60 s end; `\"0B/s\"` lets them run.",
        ),
        key(
            "idle_timeout",
            NOT_ZERO,
            Toml("\"5m\""),
            "Silence on the control connection before 421; paused while data moves.",
        ),
        key("handshake_timeout", NOT_ZERO, Toml("\"10s\""), "For every TLS handshake with a client."),
        key("login_timeout", NOT_ZERO, Toml("\"30s\""), "From connect to a completed login."),
        key(
            "data_connect_timeout",
            NOT_ZERO,
            Toml("\"10s\""),
            "For the client to open its data connection after PASV or EPSV.",
        ),
        later("active", "PORT and EPRT are answered with 502"),
        later("active_source_port", "PORT and EPRT are answered with 502"),
        key(
            "upload_end",
            Kind::OneOf(UploadEnd::words),
            Toml("\"strict\""),
            "What a TLS upload that ends without close_notify is. `strict`: truncated. `lenient`: complete.",
        ),
        key("max_line", Kind::Size(512, 64 << 10), Toml("\"4KiB\""), "Longest command line, with its CRLF."),
        key(
            "max_sessions",
            Kind::Integer(1, 1_000_000),
            Toml("4000"),
            "Sessions at once; one more gets 421.",
        ),
        key("passive", Kind::Table(&PASSIVE), Absent, "Passive data connections."),
    ],
};

/// `[listener.passive]`
pub(super) static PASSIVE: Section = Section {
    header: "[listener.passive]",
    summary: "The data connections that clients open after PASV and EPSV.",
    keys: &[
        key(
            "ports",
            Kind::Syntax(
                "a range such as \"61000-61009\", or \"auto:10\"",
                r"^\s*(\d+\s*-\s*\d+|auto:\d+)\s*$",
            ),
            Toml("\"61000-61009\""),
            "Ports shared by all sessions. `auto:10`: ten of the kernel's choice, at most 1000.",
        ),
        key(
            "peer",
            Kind::Syntax("\"exact\" or a prefix such as \"/24\"", r"^(exact|/\d+)$"),
            Toml("\"exact\""),
            "Who may open a session's data connection: the client's address, or any in its network.",
        ),
        later("proxy_protocol", "data connections come from clients directly"),
        key(
            "advertise",
            Kind::Syntax("\"auto\", an address or a host name", r"^\S+$"),
            Toml("\"auto\""),
            "The address in the 227. `auto`: the one that the client dialled.",
        ),
        key(
            "advertise_for",
            Kind::List(&Kind::Table(&ADVERTISE_FOR)),
            Absent,
            "Exceptions by client network; the longest prefix wins.",
        ),
    ],
};

/// An element of `advertise_for`.
pub(super) static ADVERTISE_FOR: Section = Section {
    header: "[listener.passive] advertise_for",
    summary: "An exception, `{ from = \"10.0.0.0/8\", address = \"10.1.1.1\" }`.",
    keys: &[
        key(
            "from",
            Kind::Syntax("a network such as \"10.0.0.0/8\"", r"^[0-9a-fA-F.:]+(/\d+)?$"),
            Required,
            "Clients from here…",
        ),
        key(
            "address",
            Kind::Syntax("an address such as \"10.1.1.1\"", r"^[0-9a-fA-F.:]+$"),
            Required,
            "…are told this address.",
        ),
    ],
};

/// `[[backend]]`
pub(super) static BACKEND: Section = Section {
    header: "[[backend]]",
    summary: "A destination of sessions.",
    keys: &[
        key("name", Kind::Text, Toml("\"legacy\""), "Unique among backends."),
        key(
            "servers",
            Kind::List(&Kind::TextOrTable("a server such as \"10.2.0.11:21\"", &SERVER)),
            Required,
            "Exactly one server in this version: `[\"HOST:PORT\"]`. The port may be left out: 21.",
        ),
        later("destinations", "name the server in `servers`"),
        key(
            "tls",
            Kind::OneOf(|| vec!["off"]),
            Toml("\"off\""),
            "Towards the server; plain FTP in this version.",
        ),
        later("data_tls", "the connections to the server are plain FTP"),
        later("tls_ca", "the connections to the server are plain FTP"),
        later("tls_pin", "the connections to the server are plain FTP"),
        later("tls_server_name", "the connections to the server are plain FTP"),
        later("tls_min_version", "the connections to the server are plain FTP"),
        later("tls_max_version", "the connections to the server are plain FTP"),
        later("danger_accept_invalid_certificates", "the connections to the server are plain FTP"),
        later("tls_client_certificate", "the connections to the server are plain FTP"),
        later("data", "data connections to the server are passive (EPSV, then PASV)"),
        later("active_ports", "data connections to the server are passive (EPSV, then PASV)"),
        later("require_ems", "the connections to the server are plain FTP"),
        later("balance", "a backend has one server"),
        later("check", "the server is dialled when a user logs in"),
        later("proxy_protocol", "the server sees the gateway's address"),
        later("source", "the server sees the gateway's address"),
        later("paths", "paths are passed on as they are"),
        later("max_sessions", "`max_sessions` of [[listener]] bounds the sessions"),
        key(
            "connect_timeout",
            NOT_ZERO,
            Toml("\"5s\""),
            "For the TCP connection and the server's 220 together.",
        ),
        key(
            "reply_timeout",
            NOT_ZERO,
            Toml("\"60s\""),
            "For each later reply of the server, then 421 and close.",
        ),
        key("stall_timeout", NOT_ZERO, Toml("\"60s\""), "A transfer in which no byte moves ends after this."),
    ],
};

/// An element of `servers` that is a table.
pub(super) static SERVER: Section = Section {
    header: "[[backend]] servers",
    summary: "A server, `{ address = \"10.2.0.11:21\" }`.",
    keys: &[
        key(
            "address",
            Kind::Syntax("a server such as \"10.2.0.11:21\"", r"^\S+$"),
            Required,
            "Host name or address, and port.",
        ),
        later("weight", "a backend has one server"),
        later("backup", "a backend has one server"),
    ],
};

const NOT_ZERO: Kind = Kind::Duration(Duration::from_millis(1));

const fn key(name: &'static str, kind: Kind, default: Default, summary: &'static str) -> Key {
    Key { name, kind, default, summary }
}

/// A key of a later version; `instead` says what holds in this one.
const fn later(name: &'static str, instead: &'static str) -> Key {
    Key { name, kind: Kind::Later, default: Default::Absent, summary: instead }
}
