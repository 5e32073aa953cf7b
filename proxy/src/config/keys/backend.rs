//! Keys of `[[backend]]`, and of the tables that stand in its lines.

use super::super::choice::{CheckWord, Choice, DataTls, DataWord};
use super::super::model::{BackendTlsMode, Balance, ProxyProtocol, TlsVersion};
use super::super::schema::Default::{Absent, Depends, Required, Toml};
use super::super::schema::{Kind, Section};
use super::{NOT_ZERO, PORTS, key, later};

/// `[[backend]]`
pub(in super::super) static BACKEND: Section = Section {
    header: "[[backend]]",
    summary: "A destination of sessions: one server, or several that are alike.",
    keys: &[
        key("name", Kind::Text, Toml("\"legacy\""), "Unique among backends."),
        key(
            "servers",
            Kind::List(&Kind::TextOrTable("a server such as \"10.2.0.11:21\"", &SERVER)),
            Required,
            "The servers, as `\"HOST:PORT\"` or as tables that say more. The port may be left out: 21, or 990 with \
             `tls = \"implicit\"`.",
        ),
        later("destinations", "name the servers in `servers`"),
        key(
            "tls",
            Kind::OneOf(Option::<BackendTlsMode>::words),
            Toml("\"off\""),
            "TLS towards the servers. `explicit`: AUTH TLS; a server that refuses gets no user name. `implicit`: from \
             the first byte. `off`: plain FTP.",
        ),
        key(
            "data_tls",
            Kind::OneOf(DataTls::words),
            Toml("\"private\""),
            "`clear` only for servers that cannot encrypt data connections: file contents then travel in the clear.",
        ),
        key(
            "tls_ca",
            Kind::Syntax("\"system\" or the path of a PEM file", r"^.+$"),
            Depends("`\"system\"`; none where `tls_pin` is written"),
            "Who must have signed the servers' certificates: the system's authorities, or those of a PEM file. A \
             server's own certificate in the file is trusted as it is.",
        ),
        key(
            "tls_pin",
            Kind::List(&Kind::Syntax(
                "a pin such as \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"",
                r"^sha256/[A-Za-z0-9+/]{43}=$",
            )),
            Absent,
            "Public keys that the servers may have, for certificates that no authority signed. Pins alone replace \
             authority and name; with `tls_ca` written, both must hold.",
        ),
        key(
            "tls_server_name",
            Kind::Syntax("a host name or address such as \"ftp.example.com\"", r"^\S+$"),
            Depends("the host in `servers`"),
            "The name that is asked for and must stand in the certificate; write it where `servers` has addresses.",
        ),
        key("tls_min_version", Kind::OneOf(TlsVersion::words), Toml("\"1.2\""), "Lowest version offered."),
        key(
            "tls_max_version",
            Kind::OneOf(TlsVersion::words),
            Toml("\"1.2\""),
            "Highest version offered. `1.3` only where a server insists: servers that demand TLS session reuse hand \
             out few 1.3 tickets, and the gateway then logs in anew now and again.",
        ),
        key(
            "danger_accept_invalid_certificates",
            Kind::Boolean,
            Toml("false"),
            "Take any certificate, so that whoever sits in between can read and change everything. For a first try; \
             then pin the key with `tls_pin`.",
        ),
        key(
            "tls_client_certificate",
            Kind::Table(&CLIENT_CERTIFICATE),
            Absent,
            "Shown to servers that ask for a certificate.",
        ),
        key(
            "require_ems",
            Kind::Boolean,
            Toml("false"),
            "Refuse TLS 1.2 servers without the extended master secret (RFC 7627).",
        ),
        key(
            "data",
            Kind::OneOf(DataWord::words),
            Toml("\"passive\""),
            "How data connections are made. `active` where a firewall lets no connection through to the server's data \
             ports: the server then dials the gateway (EPRT, PORT).",
        ),
        key(
            "active_ports",
            PORTS,
            Toml("\"62000-62009\""),
            "The gateway's ports for `data = \"active\"`; the servers must reach them.",
        ),
        key(
            "balance",
            Kind::OneOf(Balance::words),
            Toml("\"least-sessions\""),
            "Which server a session gets. `source-hash` and `user-hash` keep a client address or a user with one \
             server, where servers share no storage; `first` fills them in their order.",
        ),
        key(
            "check",
            Kind::WordOrTable(CheckWord::words, &CHECK),
            Toml("\"greeting\""),
            "How the gateway knows that a server is up. A word is short for a table with this `kind`.",
        ),
        key(
            "proxy_protocol",
            Kind::OneOf(ProxyProtocol::words),
            Toml("\"off\""),
            "Tell the servers the client's address in a PROXY header; for servers that expect one, others break. \
             `v2+data`: on data connections, too.",
        ),
        key(
            "source",
            Kind::Syntax("\"auto\" or an address such as \"10.2.0.1\"", r"^(auto|[0-9a-fA-F.:]+)$"),
            Toml("\"auto\""),
            "Local address of connections to the servers, where their firewall knows one of several.",
        ),
        later("paths", "paths are passed on as they are"),
        key(
            "max_sessions",
            Kind::Integer(0, 1_000_000),
            Toml("0"),
            "Sessions at once on each server; further ones wait briefly, then get 421. 0: no limit.",
        ),
        key(
            "connect_timeout",
            NOT_ZERO,
            Toml("\"5s\""),
            "For TCP connection, PROXY header, implicit TLS and the server's 220 together.",
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
static SERVER: Section = Section {
    header: "[[backend]] servers",
    summary: "A server, `{ address = \"10.2.0.11:21\", weight = 2 }`.",
    keys: &[
        key(
            "address",
            Kind::Syntax("a server such as \"10.2.0.11:21\"", r"^\S+$"),
            Required,
            "Host name or address, and port.",
        ),
        key(
            "weight",
            Kind::Integer(1, 256),
            Toml("1"),
            "Its share of the sessions: 2 gets twice as many as 1. For servers of different size.",
        ),
        key(
            "backup",
            Kind::Boolean,
            Toml("false"),
            "Gets sessions only while all servers that are no backups are down.",
        ),
    ],
};

/// `tls_client_certificate`
static CLIENT_CERTIFICATE: Section = Section {
    header: "[[backend]] tls_client_certificate",
    summary: "A certificate chain and its private key, `{ chain = \"…\", key = \"…\" }`.",
    keys: &[
        key("chain", Kind::Path, Required, "PEM file: the certificate, then those that signed it."),
        key("key", Kind::Path, Required, "PEM file: PKCS#8, PKCS#1 or SEC1; RSA, ECDSA or Ed25519."),
    ],
};

/// `check`
static CHECK: Section = Section {
    header: "[[backend]] check",
    summary: "How a server's health is known, `{ kind = \"data\", user = \"monitor\", password_file = \"monitor.pw\" }`.",
    keys: &[
        key(
            "kind",
            Kind::OneOf(CheckWord::words),
            Toml("\"greeting\""),
            "`off`: only sessions tell. `tcp`: the port answers. `greeting`: and a 220 comes. `tls`: and TLS stands. \
             `login`: and a user can log in. `data`: and a listing comes over a data connection; it alone notices a \
             firewall that lets the control port through and the data ports not.",
        ),
        key("every", NOT_ZERO, Toml("\"10s\""), "Between two tries, with some jitter."),
        key("fall", Kind::Integer(1, 1000), Toml("3"), "Failures in a row that make a server down."),
        key("rise", Kind::Integer(1, 1000), Toml("2"), "Successes in a row that make it up again."),
        key(
            "user",
            Kind::Text,
            Absent,
            "Who logs in, for `login` and `data`; a user that may do nothing else.",
        ),
        key(
            "password_file",
            Kind::Path,
            Absent,
            "File with that user's password, one line; `\"$CREDENTIALS_DIRECTORY/NAME\"` is a credential of the \
             systemd service.",
        ),
        key("path", Kind::Text, Absent, "Directory that `data` lists; else the one where the login leads."),
    ],
};
