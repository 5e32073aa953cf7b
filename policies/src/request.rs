//! What policy is asked: who would do what, to which path, and when.

use std::net::IpAddr;

use crate::hours::LocalTime;
use crate::path::CanonicalPath;

/// What a command does to the thing that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Open a control connection; asked before TLS, and before there is a user.
    Connect,
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

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 14] = [
        Operation::Connect,
        Operation::Login,
        Operation::List,
        Operation::Download,
        Operation::Upload,
        Operation::Overwrite,
        Operation::Append,
        Operation::Delete,
        Operation::Rename,
        Operation::Mkdir,
        Operation::Rmdir,
        Operation::Traverse,
        Operation::Metadata,
        Operation::Site,
    ];

    /// The word in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Connect => "connect",
            Operation::Login => "login",
            Operation::List => "list",
            Operation::Download => "download",
            Operation::Upload => "upload",
            Operation::Overwrite => "overwrite",
            Operation::Append => "append",
            Operation::Delete => "delete",
            Operation::Rename => "rename",
            Operation::Mkdir => "mkdir",
            Operation::Rmdir => "rmdir",
            Operation::Traverse => "traverse",
            Operation::Metadata => "metadata",
            Operation::Site => "site",
        }
    }

    /// The operation of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Whether it is about the session and no file: such are allowed unless a rule that names them decides.
    pub fn is_admission(self) -> bool {
        match self {
            Operation::Connect | Operation::Login => true,
            Operation::List
            | Operation::Download
            | Operation::Upload
            | Operation::Overwrite
            | Operation::Append
            | Operation::Delete
            | Operation::Rename
            | Operation::Mkdir
            | Operation::Rmdir
            | Operation::Traverse
            | Operation::Metadata
            | Operation::Site => false,
        }
    }
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
    /// Name of the backend; empty while none is chosen.
    pub backend: String,
    /// TLS on the control connection, once it is up.
    pub tls: Option<Tls>,
    /// The certificate that the client proved to hold.
    pub certificate: Option<Certificate>,
}

/// TLS of a control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Which.
    pub version: TlsVersion,
    /// Whether the handshake resumed an earlier session.
    pub is_resumed: bool,
}

/// A version of TLS that the gateway speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    V12,
    /// RFC 8446.
    V13,
}

/// What rules may ask of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// The subject as text (RFC 4514).
    pub subject: String,
    /// The subject's alternative names: DNS names, mail addresses, URIs, addresses.
    pub names: Vec<String>,
    /// `sha256/` and the base64 of the hash of the public key (SubjectPublicKeyInfo).
    pub key: String,
}

/// What an operation is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// Nothing that has a path.
    Nothing,
    /// A path that nobody resolved. No rule with paths allows it, each one that denies does.
    Unresolved,
    /// This path.
    Path(&'a CanonicalPath),
}

/// One thing that a command would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access<'a> {
    /// What.
    pub operation: Operation,
    /// To what.
    pub target: Target<'a>,
}

/// A command, as policy sees it. All its accesses must be allowed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub subject: &'a Subject,
    /// The verb's canonical name, in capitals.
    pub verb: &'a str,
    /// The first word of the argument where it is a command of its own (SITE, OPTS), in any case.
    pub subcommand: Option<&'a str>,
    /// Empty for commands that carry no operation (NOOP, TYPE, PWD …).
    pub accesses: &'a [Access<'a>],
    /// Bytes that the client announced, or has already sent; asked again while they rise.
    pub size_bytes: Option<u64>,
    /// The time in each of the policy's zones, in the order of [`crate::Policy::zones`].
    pub times: &'a [LocalTime],
}

impl<'a> Request<'a> {
    /// A command without sub-command and size, for a policy without hours.
    pub fn new(subject: &'a Subject, verb: &'a str, accesses: &'a [Access<'a>]) -> Self {
        Self { subject, verb, subcommand: None, accesses, size_bytes: None, times: &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_found_by_name() {
        for operation in Operation::ALL {
            assert_eq!(Operation::find(operation.name()), Some(operation));
        }
        assert_eq!(Operation::find("Login"), None);
    }
}
