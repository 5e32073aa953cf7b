//! Keys whose value is one word of a few: the words, and the values that they stand for.

use ftpsgate_policies::rule::{self, Action};
use ftpsgate_policies::{Operation, PathProfile, request};

use super::model::{
    AuditKind, BackendTlsMode, Balance, CertificateFallback, ClientCertificates, DataResumption, Mode,
    ProxyProtocol, RequireTls, TlsVersion, UploadEnd,
};

/// A value that is written as one of a few words.
pub trait Choice: Copy + 'static {
    /// Every value, in the order in which the documentation lists them.
    const ALL: &'static [Self];

    /// How this value is written.
    fn word(self) -> &'static str;

    /// The value that `word` stands for.
    #[must_use]
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|choice| choice.word() == word)
    }

    /// All words.
    #[must_use]
    fn words() -> Vec<&'static str> {
        Self::ALL.iter().map(|choice| choice.word()).collect()
    }
}

impl Choice for AuditKind {
    const ALL: &'static [Self] = &[Self::Json];

    fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
        }
    }
}

impl Choice for CertificateFallback {
    const ALL: &'static [Self] = &[Self::None, Self::LocalCa];

    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::LocalCa => "local-ca",
        }
    }
}

impl Choice for TlsVersion {
    const ALL: &'static [Self] = &[Self::Tls12, Self::Tls13];

    fn word(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

impl Choice for DataResumption {
    const ALL: &'static [Self] = &[Self::Off, Self::Prefer, Self::Require];

    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Prefer => "prefer",
            Self::Require => "require",
        }
    }
}

impl Choice for ClientCertificates {
    const ALL: &'static [Self] = &[Self::Off, Self::Request, Self::Require];

    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Request => "request",
            Self::Require => "require",
        }
    }
}

impl Choice for Mode {
    const ALL: &'static [Self] = &[Self::Explicit, Self::Implicit, Self::Plain];

    fn word(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Implicit => "implicit",
            Self::Plain => "plain",
        }
    }
}

impl Choice for RequireTls {
    const ALL: &'static [Self] = &[Self::Data, Self::Login, Self::No];

    fn word(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Login => "login",
            Self::No => "no",
        }
    }
}

impl Choice for UploadEnd {
    const ALL: &'static [Self] = &[Self::Strict, Self::Lenient];

    fn word(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lenient => "lenient",
        }
    }
}

impl Choice for Option<BackendTlsMode> {
    const ALL: &'static [Self] = &[None, Some(BackendTlsMode::Explicit), Some(BackendTlsMode::Implicit)];

    fn word(self) -> &'static str {
        match self {
            None => "off",
            Some(BackendTlsMode::Explicit) => "explicit",
            Some(BackendTlsMode::Implicit) => "implicit",
        }
    }
}

impl Choice for Balance {
    const ALL: &'static [Self] =
        &[Self::RoundRobin, Self::LeastSessions, Self::SourceHash, Self::UserHash, Self::First];

    fn word(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastSessions => "least-sessions",
            Self::SourceHash => "source-hash",
            Self::UserHash => "user-hash",
            Self::First => "first",
        }
    }
}

impl Choice for ProxyProtocol {
    const ALL: &'static [Self] = &[Self::Off, Self::V1, Self::V2, Self::V2Data];

    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V2Data => "v2+data",
        }
    }
}

/// `active`, which the model keeps as a truth value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    On,
    Off,
}

impl Choice for Switch {
    const ALL: &'static [Self] = &[Self::On, Self::Off];

    fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// `data_tls`, which the model keeps as a truth value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataTls {
    Private,
    Clear,
}

impl Choice for DataTls {
    const ALL: &'static [Self] = &[Self::Private, Self::Clear];

    fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Clear => "clear",
        }
    }
}

/// `data`, which the model keeps together with `active_ports`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataWord {
    Passive,
    Active,
}

impl Choice for DataWord {
    const ALL: &'static [Self] = &[Self::Passive, Self::Active];

    fn word(self) -> &'static str {
        match self {
            Self::Passive => "passive",
            Self::Active => "active",
        }
    }
}

/// `kind` of a check, which the model keeps together with what the kind needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckWord {
    Off,
    Tcp,
    Greeting,
    Tls,
    Login,
    Data,
}

impl Choice for CheckWord {
    const ALL: &'static [Self] = &[Self::Off, Self::Tcp, Self::Greeting, Self::Tls, Self::Login, Self::Data];

    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Tcp => "tcp",
            Self::Greeting => "greeting",
            Self::Tls => "tls",
            Self::Login => "login",
            Self::Data => "data",
        }
    }
}

impl Choice for Action {
    const ALL: &'static [Self] = &[Self::Allow, Self::Deny];

    fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// `mode` of a rule, and of the whole policy.
impl Choice for rule::Mode {
    const ALL: &'static [Self] = &[Self::Enforce, Self::Observe];

    fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

impl Choice for Operation {
    const ALL: &'static [Self] = &Operation::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

/// `tls` of a test.
impl Choice for Option<request::TlsVersion> {
    const ALL: &'static [Self] = &[None, Some(request::TlsVersion::V12), Some(request::TlsVersion::V13)];

    fn word(self) -> &'static str {
        match self {
            None => "none",
            Some(request::TlsVersion::V12) => "1.2",
            Some(request::TlsVersion::V13) => "1.3",
        }
    }
}

impl Choice for PathProfile {
    const ALL: &'static [Self] = &[Self::Unix, Self::Windows, Self::Opaque];

    fn word(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Windows => "windows",
            Self::Opaque => "opaque",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_word_names_its_value<C: Choice + PartialEq + std::fmt::Debug>() {
        for &choice in C::ALL {
            assert_eq!(C::from_word(choice.word()), Some(choice));
        }
        assert_eq!(C::from_word(""), None);
    }

    #[test]
    fn words_and_values_are_one_to_one() {
        every_word_names_its_value::<CertificateFallback>();
        every_word_names_its_value::<TlsVersion>();
        every_word_names_its_value::<DataResumption>();
        every_word_names_its_value::<ClientCertificates>();
        every_word_names_its_value::<Mode>();
        every_word_names_its_value::<RequireTls>();
        every_word_names_its_value::<UploadEnd>();
        every_word_names_its_value::<Option<BackendTlsMode>>();
        every_word_names_its_value::<Balance>();
        every_word_names_its_value::<ProxyProtocol>();
        every_word_names_its_value::<Switch>();
        every_word_names_its_value::<DataTls>();
        every_word_names_its_value::<DataWord>();
        every_word_names_its_value::<CheckWord>();
        every_word_names_its_value::<Action>();
        every_word_names_its_value::<rule::Mode>();
        every_word_names_its_value::<Operation>();
        every_word_names_its_value::<Option<request::TlsVersion>>();
        every_word_names_its_value::<PathProfile>();
    }
}
