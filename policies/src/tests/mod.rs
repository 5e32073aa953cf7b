//! Policies as a whole: what is written, asked, and answered.

mod decisions;
pub(crate) mod model;

use std::net::IpAddr;

use crate::hours::{Hours, LocalTime};
use crate::pattern::PathPattern;
use crate::request::{Certificate, Tls, TlsVersion};
use crate::rule::{
    Action, CertificatePattern, CommandName, Group, Matchers, Mode, Origin, Rule, RuleReply, Schedule,
    TlsRequirement,
};
use crate::{
    Access, CanonicalPath, Definition, Glob, Operation, PathProfile, Policy, Request, Subject, Target,
};

pub(crate) fn origin(line: u32) -> Origin {
    Origin { file: "rules.toml".into(), line }
}

pub(crate) fn path(text: &str) -> CanonicalPath {
    CanonicalPath::resolve(PathProfile::Unix, None, text.as_bytes()).unwrap()
}

pub(crate) fn globs(texts: &[&str]) -> Vec<Glob> {
    texts.iter().map(|text| Glob::exact_case(text).unwrap()).collect()
}

pub(crate) fn patterns(texts: &[&str]) -> Vec<PathPattern> {
    texts.iter().map(|text| PathPattern::parse(text).unwrap()).collect()
}

pub(crate) fn anna() -> Subject {
    Subject {
        address: IpAddr::from([192, 0, 2, 1]),
        user: Some(b"anna".to_vec()),
        listener: "ftps".to_owned(),
        backend: "legacy".to_owned(),
        tls: Some(Tls { version: TlsVersion::V12, is_resumed: false }),
        certificate: Some(Certificate {
            subject: "O=Acme, CN=anna".to_owned(),
            names: vec!["anna.acme.example".to_owned()],
            key: "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".to_owned(),
        }),
    }
}

/// A rule that asks for nothing, named after its action.
pub(crate) fn rule(action: Action, matchers: Matchers) -> Rule {
    let name = match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    };
    Rule { name: name.to_owned(), origin: origin(1), matchers, action, mode: Mode::Enforce, reply: None }
}

pub(crate) fn compile(rules: Vec<Rule>, default: Action) -> Policy {
    let rules = (1..).zip(rules).map(|(line, rule)| Rule { origin: origin(line), ..rule }).collect();
    Policy::compile(Definition { rules, groups: groups(), default, mode: Mode::Enforce }).unwrap()
}

fn groups() -> Vec<Group> {
    let group = |name: &str, users: &[&str], from: &[&str]| Group {
        name: name.to_owned(),
        origin: origin(1),
        users: globs(users),
        from: from.iter().map(|text| text.parse().unwrap()).collect(),
    };
    vec![
        group("partners", &["a*"], &[]),
        group("office", &["anna"], &["192.0.2.0/24"]),
        group("lab", &[], &["10.0.0.0/8"]),
    ]
}
