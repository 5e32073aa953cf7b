//! Whom a [[rule]] or a [[limit]] is about: the matchers that both have.

use ftpsgate_policies::Glob;
use ftpsgate_policies::rule::{CertificatePattern, Matchers, TlsRequirement};

use super::super::diagnostic::Span;
use super::super::document::Located;
use super::super::pattern;
use super::super::route::{list, values};
use super::super::syntax::{self, SyntaxError, quoted};
use super::super::table::{Read, Table};
use super::super::value::parsed;

/// The matchers, with the places that checks refer to.
pub(super) struct Who {
    pub(super) groups: Vec<Located<String>>,
    pub(super) listeners: Vec<Located<String>>,
    pub(super) backends: Vec<Located<String>>,
    pub(super) certificates: Span,
    pub(super) tls: Span,
    /// Whether all of them could be read.
    pub(super) is_sound: bool,
    /// What only rules ask for is left open.
    pub(super) matchers: Matchers,
}

pub(super) fn who(table: &Table<'_>) -> Who {
    let mut is_sound = true;
    let groups = list(table, "groups", NAME, &mut is_sound);
    let listeners = list(table, "listeners", NAME, &mut is_sound);
    let backends = list(table, "backends", NAME, &mut is_sound);
    let tls = table.optional("tls", |value, kind| parsed(value, kind, tls));
    let matchers = Matchers {
        users: values(list(table, "users", USER, &mut is_sound)),
        groups: values(groups.clone()),
        from: values(list(table, "from", |value, kind| parsed(value, kind, syntax::network), &mut is_sound)),
        certificates: values(list(
            table,
            "certificates",
            |value, kind| parsed(value, kind, certificate),
            &mut is_sound,
        )),
        listeners: values(listeners.clone()),
        backends: values(backends.clone()),
        tls: tls.value,
        ..Matchers::default()
    };
    is_sound &= tls.is_sound();
    let (certificates, tls) = (table.span_of("certificates"), table.span_of("tls"));
    Who { groups, listeners, backends, certificates, tls, is_sound, matchers }
}

/// Reads the name of a rule or a limit: a sentence, on one line.
pub(super) fn title(text: &str) -> Result<String, SyntaxError> {
    if text.trim().is_empty() {
        return Err(SyntaxError::new("a name cannot be empty", "logs and explanations call it so"));
    }
    syntax::line(text)
}

/// Reads a pattern for user names.
fn user(text: &str) -> Result<Glob, SyntaxError> {
    if text.contains("$user") {
        return Err(only_in_paths(text));
    }
    pattern::exact_case(text)
}

fn certificate(text: &str) -> Result<CertificatePattern, SyntaxError> {
    if text.contains("$user") {
        return Err(only_in_paths(text));
    }
    CertificatePattern::parse(text).map_err(|error| {
        SyntaxError::new(
            format!("{} is not understood: {error}", quoted(text)),
            "write \"CN=acme-*\", \"san:*.acme.example\", or \"sha256/\" and the 44 characters of a key's hash",
        )
    })
}

/// A user's name is known only when a path is matched.
fn only_in_paths(text: &str) -> SyntaxError {
    SyntaxError::new(
        format!("{}: `$user` has a meaning in `paths` alone", quoted(text)),
        "write a pattern such as \"acme-*\"; `paths = [\"/home/$user/**\"]` gives each user a directory of their own",
    )
}

fn tls(text: &str) -> Result<TlsRequirement, SyntaxError> {
    TlsRequirement::parse(text)
        .map_err(|error| SyntaxError::new(format!("{} is not understood", quoted(text)), error.to_string()))
}

pub(super) const NAME: Read<String> = |value, kind| parsed(value, kind, syntax::name);
pub(super) const USER: Read<Glob> = |value, kind| parsed(value, kind, user);
