//! Policies against real servers: whatever a client says through the gateway, what policy denies is neither shown nor
//! changed, on the wire and on the disk of vsftpd, ProFTPD and Pure-FTPd.
//!
//! What a policy denies is said a second time here, in a few lines of Rust ([`rules`]), so that no mistake of the
//! gateway's engine hides itself. Everything in the tree is marked ([`tree`], [`marks`]): every byte that a client
//! receives is searched for marks of what it may not see, and the tree is compared with what it was.
//!
//! - [`rules`] are the policies, each with its reference;
//! - [`tree`] makes the files, sees what was changed, and puts it back;
//! - [`marks`] finds what should not have been shown;
//! - [`visitor`] is one session that says lines, moves their data, and keeps all that it receives;
//! - [`stage`] is a server, a gateway with one of the policies, and the judge of what happened between them;
//! - [`strings`] counts through all short strings of an alphabet.

pub mod marks;
pub mod rules;
pub mod stage;
pub mod strings;
pub mod tree;
pub mod visitor;

/// Whether `tests/run --deep` asked for many more cases.
pub fn is_deep() -> bool {
    std::env::var_os("FTPSGATE_DEEP").is_some()
}
