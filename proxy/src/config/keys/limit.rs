//! Keys of `[[limit]]`.

use super::super::choice::Choice;
use super::super::policy::Per;
use super::super::schema::Default::{Absent, Required, Toml};
use super::super::schema::{Kind, Section};
use super::policy::{CERTIFICATES, TLS};
use super::{NETWORK, NOT_ZERO, PATTERN, key};

/// `[[limit]]`
pub(in super::super) static LIMIT: Section = Section {
    header: "[[limit]]",
    summary: "How many, how often, how fast. Every limit that matches a session counts; of several on the same thing \
              the tightest holds. The matchers are those of a rule: every one that is written must match, and of a \
              list one element.",
    keys: &[
        key("name", Kind::Text, Required, "Unique among limits; records name it."),
        key(
            "per",
            Kind::OneOf(Per::words),
            Required,
            "What is counted together. An IPv6 `address` is its /64.",
        ),
        key(
            "ipv4_prefix",
            Kind::Integer(0, 32),
            Toml("24"),
            "With `per = \"network\"`: the length of the prefix that IPv4 addresses of one network share.",
        ),
        key("ipv6_prefix", Kind::Integer(0, 128), Toml("48"), "The same for IPv6."),
        key(
            "users",
            Kind::List(&PATTERN),
            Absent,
            "User names; such a limit counts nothing before the login.",
        ),
        key("groups", Kind::List(&Kind::Text), Absent, "Names of groups."),
        key("from", Kind::List(&NETWORK), Absent, "Networks of clients."),
        CERTIFICATES,
        key("listeners", Kind::List(&Kind::Text), Absent, "Names of listeners."),
        key("backends", Kind::List(&Kind::Text), Absent, "Names of backends; none before the login."),
        TLS,
        key(
            "sessions",
            Kind::Integer(1, COUNT_MAX),
            Absent,
            "Sessions at once; one more gets 421 before its greeting, or once it is known that it counts: after its \
             handshake where TLS or certificates do, after its login where users or backends do.",
        ),
        key(
            "transfers",
            Kind::Integer(1, COUNT_MAX),
            Absent,
            "Transfers at once, listings included; the command that would begin one more gets 450, and the session goes \
             on.",
        ),
        key(
            "connections",
            EVENTS,
            Absent,
            "Control connections in a time, such as `\"60/min\"`; one more gets 421 before its greeting.",
        ),
        key(
            "logins",
            EVENTS,
            Absent,
            "Passwords that are tried in a time; one more ends its session with 421, and the server does not hear it.",
        ),
        key("commands", EVENTS, Absent, "Commands in a time; one more ends its session with 421."),
        key(
            "failed_logins",
            EVENTS,
            Absent,
            "So many failed logins within that time lock an address, network or user out: each PASS gets 530, and the server does not hear it.",
        ),
        key("lockout", NOT_ZERO, Toml("\"15min\""), "For how long."),
        key("upload", Kind::Rate, Absent, "Bytes a second from clients, all their transfers together."),
        key("download", Kind::Rate, Absent, "Bytes a second to clients, listings included."),
        key(
            "file_size",
            Kind::Size(1, u64::MAX),
            Absent,
            "The largest file. A longer upload gets 552 and is reset at the server; a longer download gets 550, or \
             426 once so much has gone where the server does not tell its size.",
        ),
    ],
};

const EVENTS: Kind =
    Kind::Syntax("a number in a time such as \"60/min\" or \"5/10min\"", r"^\d+/\d*(ms|s|m|min|h|d)$");

/// More sessions than ports.
const COUNT_MAX: u64 = 1_000_000;
