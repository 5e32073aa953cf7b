//! Keys of `[policy]`, `[[group]]`, `[[rule]]` and `[[test]]`.

use ftpsgate_policies::Operation;
use ftpsgate_policies::request::TlsVersion;
use ftpsgate_policies::rule::{Action, Mode};

use super::super::choice::Choice;
use super::super::schema::Default::{Absent, Depends, Required, Toml};
use super::super::schema::{Key, Kind, Section};
use super::{NETWORK, key};

/// `[policy]`
pub(in super::super) static POLICY: Section = Section {
    header: "[policy]",
    summary: "What holds for all rules. How they are read, tried out and explained: [policy.md](policy.md).",
    keys: &[
        key(
            "files",
            Kind::List(&Kind::Path),
            Toml("[\"policies.d/*.toml\"]"),
            "Further files with [[rule]], [[group]], [[limit]] and [[test]]: paths or patterns (`*`, `?`, `[ab]`). Their \
             rules stand behind those of this file, file by file, in the order of their names.",
        ),
        key(
            "default",
            Kind::OneOf(Action::words),
            Depends("must be written as soon as there is a [[rule]]; without rules all is allowed"),
            "What holds where no rule matches. Not for `connect` and `login`, which are allowed then.",
        ),
        key(
            "mode",
            Kind::OneOf(Mode::words),
            Toml("\"enforce\""),
            "`observe`: nothing is denied; what would have been is recorded.",
        ),
    ],
};

/// `[[group]]`
pub(in super::super) static GROUP: Section = Section {
    header: "[[group]]",
    summary: "Users under one name. Where both keys are written, both must match.",
    keys: &[
        key("name", Kind::Text, Required, "How rules and limits call it."),
        key("users", Kind::List(&PATTERN), Absent, "User names that clients give."),
        key("from", Kind::List(&NETWORK), Absent, "Networks of clients."),
    ],
};

/// `[[rule]]`
pub(in super::super) static RULE: Section = Section {
    header: "[[rule]]",
    summary: "Who may, or may not, do what. The first rule that matches counts; every key that is written must match, \
              and of a list one element; `operations` and `commands` are one list.",
    keys: &[
        key("name", Kind::Text, Required, "How logs and explanations call it; unique."),
        key("users", Kind::List(&PATTERN), Absent, "User names that clients give; nobody before USER."),
        key("groups", Kind::List(&Kind::Text), Absent, "Names of groups."),
        key("from", Kind::List(&NETWORK), Absent, "Networks of clients."),
        CERTIFICATES,
        key("listeners", Kind::List(&Kind::Text), Absent, "Names of listeners."),
        key("backends", Kind::List(&Kind::Text), Absent, "Names of backends; none before USER."),
        key(
            "operations",
            Kind::List(&Kind::OneOf(Operation::words)),
            Depends("every operation but `connect` and `login`, where `commands` is absent, too"),
            "What commands do. Each command is one or several operations: [policy.md](policy.md).",
        ),
        key(
            "commands",
            Kind::List(&Kind::Syntax(
                "a command such as \"STOR\" or \"SITE CHMOD\"",
                r"^[A-Za-z0-9]+( \S+)?$",
            )),
            Absent,
            "Commands by name, with or without their first word: also those that are no operation, such as NOOP.",
        ),
        PATHS,
        TLS,
        LARGER_THAN,
        HOURS,
        TIMEZONE,
        key("action", Kind::OneOf(Action::words), Required, "What the rule decides."),
        key(
            "mode",
            Kind::OneOf(Mode::words),
            Toml("\"enforce\""),
            "`observe`: what the rule would decide is recorded, and the next rule is asked.",
        ),
        key(
            "reply",
            Kind::Syntax("a reply such as \"550 Reports only\"", r"^[45]\d\d [^\r\n]+$"),
            Depends("the gateway's own"),
            "What a denied client is told, with `action = \"deny\"`.",
        ),
    ],
};

/// `[[test]]`
pub(in super::super) static TEST: Section = Section {
    header: "[[test]]",
    summary: "A command, and what policy must say of it. `ftpsgate policy test` and `ftpsgate check` try them all.",
    keys: &[
        key("user", Kind::Text, Absent, "The user name; absent: before USER."),
        key(
            "from",
            Kind::Syntax("an address such as \"198.51.100.9\"", r"^[0-9a-fA-F.:]+$"),
            Required,
            "The client's address.",
        ),
        key("listener", Kind::Text, Depends("the first one"), "The listener's name."),
        key("backend", Kind::Text, Depends("where the routes lead"), "The backend's name."),
        key("sni", Kind::Text, Absent, "The name that the client asks for in its TLS handshake."),
        key("host", Kind::Text, Absent, "The name that the client gives with HOST."),
        key(
            "tls",
            Kind::OneOf(Option::<TlsVersion>::words),
            Depends("`\"1.3\"`, on plain listeners `\"none\"`"),
            "TLS on the control connection.",
        ),
        key(
            "certificates",
            Kind::List(&Kind::Syntax(
                "a subject such as \"CN=acme-7\", a name such as \"san:ftp.acme.example\" or a key \"sha256/…\"",
                r"^.+$",
            )),
            Absent,
            "What the client's certificate holds.",
        ),
        key(
            "at",
            Kind::Syntax(
                "a time with its offset such as \"2026-11-22T15:00:00+01:00\"",
                r"^\d{4}-\d\d-\d\d.*$",
            ),
            Depends("now"),
            "When.",
        ),
        key("directory", Kind::Text, Toml("\"/\""), "The session's working directory."),
        key(
            "size",
            Kind::Size(0, 1 << 50),
            Absent,
            "How much is uploaded. What ALLO announces stands in `before`.",
        ),
        key("exists", Kind::Boolean, Toml("false"), "Whether the file that is uploaded is there already."),
        key(
            "is_directory",
            Kind::Boolean,
            Toml("false"),
            "Whether what is renamed or copied is a directory; else it is a file.",
        ),
        key(
            "before",
            Kind::List(&Kind::Syntax("a command such as \"CWD /in\"", r"^[A-Za-z0-9]+( .*)?$")),
            Absent,
            "Commands that the client sends before it, such as CWD, REST, ALLO, RNFR, SITE CPFR.",
        ),
        key(
            "command",
            Kind::Syntax("a command such as \"STOR /in/a.csv\", or CONNECT", r"^[A-Za-z0-9]+( .*)?$"),
            Required,
            "What the client sends; `CONNECT` for the connection itself.",
        ),
        key("expect", Kind::OneOf(Action::words), Required, "What policy must say."),
        key("rule", Kind::Text, Absent, "The rule that must say so; `default` for none."),
    ],
};

pub(super) const CERTIFICATES: Key = key(
    "certificates",
    Kind::List(&Kind::Syntax(
        "a subject such as \"CN=acme-*\", a name such as \"san:*.acme.example\" or a key \"sha256/…\"",
        r"^.+$",
    )),
    Absent,
    "Certificates of clients: by subject or one attribute of it, by alternative name, by the hash of their key.",
);

const PATHS: Key = key(
    "paths",
    Kind::List(&Kind::Syntax("a pattern such as \"/reports/**\"", r"^(/|\*\*/).*$")),
    Absent,
    "Paths from the root of what the user sees. `/x/**` is `/x` and all below it; `$user` is the user's name.",
);

pub(super) const TLS: Key = key(
    "tls",
    Kind::Syntax("a requirement such as \">=1.2\", \"resumed\" or \"none\"", r"^[<>=0-9a-z., ]+$"),
    Absent,
    "TLS on the control connection; several requirements behind commas must all hold.",
);

const LARGER_THAN: Key = key(
    "larger_than",
    Kind::Size(0, 1 << 50),
    Absent,
    "Uploads of more than this, as ALLO announces it and as it is counted while they run.",
);

const HOURS: Key = key(
    "hours",
    Kind::Syntax("hours such as \"Mon-Fri 07:00-19:00\"", r"^.+$"),
    Absent,
    "When; several stretches behind `;`. One that ends before it begins runs past midnight.",
);

const TIMEZONE: Key = key(
    "timezone",
    Kind::Syntax("a time zone such as \"Europe/Berlin\", or \"system\"", r"^\S+$"),
    Depends("`\"system\"`: the machine's own"),
    "Where `hours` are read from the clock, by its name in the IANA database.",
);

const PATTERN: Kind = Kind::Syntax("a pattern such as \"acme-*\"", r"^.+$");
