//! Keys of `[[listener]]` and `[listener.passive]`.

use super::super::choice::{Choice, Switch};
use super::super::model::{Mode, RequireTls, UploadEnd};
use super::super::schema::Default::{Absent, Depends, Required, Toml};
use super::super::schema::{Kind, Section};
use super::{NETWORK, NOT_ZERO, PORTS, key, later};

/// `[[listener]]`
pub(in super::super) static LISTENER: Section = Section {
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
        key(
            "backend",
            Kind::Text,
            Depends("the only backend there is; where there are several, none"),
            "Where sessions go that no `[[route]]` takes. With none they get 530.",
        ),
        later("intercept", "clients connect to the gateway's own address"),
        key(
            "proxy_protocol_from",
            Kind::List(&NETWORK),
            Absent,
            "Load balancers in front of this listener: they must begin each connection with a PROXY header (v1 or \
             v2), and nobody else may.",
        ),
        key(
            "user_at_host",
            Kind::ListOr("off", &Kind::Syntax("a host such as \"ftp.example.com\"", r"^\S+$")),
            Toml("[]"),
            "For clients that log in as `user@host`: the servers that they may ask for, \"*.example.com\" or \
             \"host:2121\". Others get 530. Empty or `\"off\"`: a name with `@` is passed on as it is.",
        ),
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
            "For the client to open its data connection after PASV or EPSV, or to answer ours after PORT or EPRT.",
        ),
        key(
            "active",
            Kind::OneOf(Switch::words),
            Toml("\"on\""),
            "Whether clients may use PORT and EPRT. `off` where the gateway may not connect to clients: they get 502.",
        ),
        key(
            "active_source_port",
            Kind::Integer(0, 65535),
            Toml("0"),
            "Source port of data connections to clients. 0: any. 20 only for clients' firewalls that insist on it; \
             the service then needs CAP_NET_BIND_SERVICE.",
        ),
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
static PASSIVE: Section = Section {
    header: "[listener.passive]",
    summary: "The data connections that clients open after PASV and EPSV.",
    keys: &[
        key(
            "ports",
            PORTS,
            Toml("\"61000-61009\""),
            "Ports shared by all sessions. `auto:10`: ten of the kernel's choice, at most 1000.",
        ),
        key(
            "peer",
            Kind::Syntax("\"exact\" or a prefix such as \"/24\"", r"^(exact|/\d+)$"),
            Toml("\"exact\""),
            "Who may open a session's data connection: the client's address, or any in its network.",
        ),
        key(
            "proxy_protocol",
            Kind::Boolean,
            Toml("false"),
            "Data connections come through a balancer of `proxy_protocol_from`, too, and begin with a PROXY header.",
        ),
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
static ADVERTISE_FOR: Section = Section {
    header: "[listener.passive] advertise_for",
    summary: "An exception, `{ from = \"10.0.0.0/8\", address = \"10.1.1.1\" }`.",
    keys: &[
        key("from", NETWORK, Required, "Clients from here…"),
        key(
            "address",
            Kind::Syntax("an address such as \"10.1.1.1\"", r"^[0-9a-fA-F.:]+$"),
            Required,
            "…are told this address.",
        ),
    ],
};
