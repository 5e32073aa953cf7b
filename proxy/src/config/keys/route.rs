//! Keys of `[[route]]`.

use super::super::schema::Default::{Absent, Depends};
use super::super::schema::{Kind, Section};
use super::{NETWORK, PATTERN, key};

/// `[[route]]`
pub(in super::super) static ROUTE: Section = Section {
    header: "[[route]]",
    summary: "Sessions that go to a backend of their own, or log in there under another name. The first route that \
              matches counts; every key that is written must match, and of a list one element. Patterns: `*` any \
              text, `?` one character, `[ab]` one of these, `{a,b}` either.",
    keys: &[
        key("users", Kind::List(&PATTERN), Absent, "User names that clients give."),
        key(
            "sni",
            Kind::List(&PATTERN),
            Absent,
            "Names that clients ask for in their TLS handshake, in any case.",
        ),
        key(
            "hosts",
            Kind::List(&PATTERN),
            Absent,
            "Names that clients give with HOST, or behind the `@` of `user@host`, in any case.",
        ),
        key("from", Kind::List(&NETWORK), Absent, "Networks of clients."),
        key(
            "certificates",
            Kind::List(&PATTERN),
            Absent,
            "Subjects of client certificates, or one attribute of them such as `\"CN=acme-*\"`.",
        ),
        key("listeners", Kind::List(&Kind::Text), Absent, "Names of listeners."),
        key(
            "rewrite_user",
            Kind::Text,
            Absent,
            "The user name for the server, where it knows these clients under another.",
        ),
        key("backend", Kind::Text, Depends("the only backend there is"), "Where these sessions go."),
    ],
};
