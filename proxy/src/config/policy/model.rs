//! What a configuration says of policy, checked: rules, groups, tests, and the clocks that rules with hours ask.

use std::net::IpAddr;
use std::time::SystemTime;

use ftpsgate_ftp::codec::Command;
use ftpsgate_policies::request::{Certificate, TlsVersion};
use ftpsgate_policies::rule::{Action, Group, Mode, Origin, Rule};

/// `[policy]`, and the `[[group]]`, `[[rule]]` and `[[test]]` of all files.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What holds where no rule matches; [`Action::Allow`] without rules.
    pub default: Action,
    /// Whether rules count at all.
    pub mode: Mode,
    /// Who the rules' groups are.
    pub groups: Vec<Group>,
    /// In order: those of the configuration file, then those of each policy file. Groups, listeners and backends that
    /// they name exist.
    pub rules: Vec<Rule>,
    /// What policy must say of some commands.
    pub tests: Vec<PolicyTest>,
}

/// Equal are rules that mean the same; where they stand does not count.
impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        let nowhere = || Origin { file: "".into(), line: 0 };
        let groups = |rules: &Self| -> Vec<Group> {
            rules.groups.iter().map(|group| Group { origin: nowhere(), ..group.clone() }).collect()
        };
        let bare = |rules: &Self| -> Vec<Rule> {
            rules.rules.iter().map(|rule| Rule { origin: nowhere(), ..rule.clone() }).collect()
        };
        let tests = |rules: &Self| -> Vec<PolicyTest> {
            rules.tests.iter().map(|test| PolicyTest { origin: nowhere(), ..test.clone() }).collect()
        };
        (self.default, self.mode) == (other.default, other.mode)
            && groups(self) == groups(other)
            && bare(self) == bare(other)
            && tests(self) == tests(other)
    }
}

/// One `[[test]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTest {
    /// Where it stands.
    pub origin: Origin,
    /// What is asked.
    pub question: Question,
    /// What policy must answer.
    pub expect: Action,
    /// The rule that must decide; `default` for none.
    pub rule: Option<String>,
}

/// A command of some client, put to policy without any session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name that the client gives; `None`: it has given none.
    pub user: Option<String>,
    /// The client's address.
    pub from: IpAddr,
    /// Name of the listener; `None`: the first.
    pub listener: Option<String>,
    /// Name of the backend; `None`: where the routes lead.
    pub backend: Option<String>,
    /// The name in the TLS handshake.
    pub sni: Option<String>,
    /// The name that the client gives with HOST.
    pub host: Option<String>,
    /// TLS on the control connection, `Some(None)` for none; `None`: what the listener usually has.
    pub tls: Option<Option<TlsVersion>>,
    /// Parts of the client's certificate.
    pub certificates: Vec<CertificatePart>,
    /// When; `None`: now.
    pub at: Option<AskedTime>,
    /// The session's working directory.
    pub directory: String,
    /// Bytes that ALLO announced, or that were uploaded.
    pub size_bytes: Option<u64>,
    /// Whether the file that is uploaded is there already.
    pub exists: bool,
    /// Whether what is renamed or copied is a directory.
    pub is_directory: bool,
    /// Commands that the client sends before it.
    pub before: Vec<Command>,
    /// What is to be judged.
    pub command: AskedCommand,
}

/// A part of a certificate that a [`Question`] is asked with: `CN=acme-7`, `san:ftp.acme.example`, `sha256/…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificatePart(pub String);

impl CertificatePart {
    /// The certificate of which these are the parts; `None` of no parts.
    #[must_use]
    pub fn join(parts: &[Self]) -> Option<Certificate> {
        let mut certificate = Certificate::default();
        let mut subject = Vec::new();
        for Self(part) in parts {
            match part.strip_prefix("san:") {
                Some(name) => certificate.names.push(name.to_owned()),
                None if part.starts_with("sha256/") => certificate.key.clone_from(part),
                None => subject.push(part.as_str()),
            }
        }
        certificate.subject = subject.join(",");
        (!parts.is_empty()).then_some(certificate)
    }
}

/// A time as it was written, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedTime {
    /// As it was written.
    pub text: String,
    /// What it means.
    pub time: SystemTime,
}

/// What a [`Question`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedCommand {
    /// The connection itself, before TLS and before any command.
    Connect,
    /// A command.
    Command(Command),
}
