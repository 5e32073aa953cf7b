//! What an FTP session may do: a [`Request`] in, a [`Permit`] or a [`Denial`] out.
//!
//! This crate is pure: it knows no socket, no clock, no file, and no FTP. Command text becomes a
//! [`Request`] in `ftpsgate-ftp`; here are only operations, subjects and paths as bytes.
//!
//! In this version the one policy is [`Policy::allow_all`]; the session machine already asks it for every
//! command, so that rules find their place without a change to any verb.

mod fold;
mod glob;
pub mod path;
pub mod route;

use std::net::IpAddr;

pub use glob::{Glob, GlobError};

/// What a command does to the thing that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Give a user name and password.
    Login,
    /// See the names in a directory.
    List,
    /// Read a file.
    Download,
    /// Create a file.
    Upload,
    /// Replace a file, or a part of it.
    Overwrite,
    /// Add to the end of a file.
    Append,
    /// Remove a file.
    Delete,
    /// Give a file or directory another name; asked for both names.
    Rename,
    /// Create a directory.
    Mkdir,
    /// Remove a directory.
    Rmdir,
    /// Enter a directory.
    Traverse,
    /// Read, or with the writing verbs change, what is known about a file.
    Metadata,
    /// A server's own command.
    Site,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The client's address, IPv4-mapped ones as IPv4.
    pub address: IpAddr,
    /// The user name of the login, once it was given.
    pub user: Option<Vec<u8>>,
    /// Name of the listener.
    pub listener: String,
    /// Name of the backend.
    pub backend: String,
}

/// One thing that a command would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access<'a> {
    /// What.
    pub operation: Operation,
    /// To which path, as the client wrote it; `None`: the working directory.
    pub path: Option<&'a [u8]>,
}

/// A command, as policy sees it. All its accesses must be allowed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub subject: &'a Subject,
    /// The verb, in capitals.
    pub verb: &'a str,
    /// Empty for commands that carry no operation (NOOP, TYPE, PWD …).
    pub accesses: &'a [Access<'a>],
}

/// Proof that policy allowed a command: only [`Policy::authorize`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    rule: Option<String>,
}

impl Permit {
    /// Name of the rule that allowed, if a rule did.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Name of the rule that denied; `None`: the default.
    pub rule: Option<String>,
    /// The access that was refused.
    pub operation: Option<Operation>,
}

/// A compiled policy.
#[derive(Debug, Clone)]
pub struct Policy {
    _private: (),
}

impl Policy {
    /// The policy of a configuration without rules.
    pub fn allow_all() -> Self {
        Self { _private: () }
    }

    /// Decides one command.
    ///
    /// # Errors
    ///
    /// The denial of the first access that is not allowed.
    pub fn authorize(&self, request: &Request<'_>) -> Result<Permit, Denial> {
        let Request { subject: _, verb: _, accesses: _ } = request;
        Ok(Permit { rule: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_without_rules_allows() {
        let subject = Subject {
            address: IpAddr::from([192, 0, 2, 1]),
            user: Some(b"anna".to_vec()),
            listener: "ftps".into(),
            backend: "legacy".into(),
        };
        let accesses = [Access { operation: Operation::Delete, path: Some(b"/x") }];
        let request = Request { subject: &subject, verb: "DELE", accesses: &accesses };
        assert_eq!(Policy::allow_all().authorize(&request).unwrap().rule(), None);
    }
}
