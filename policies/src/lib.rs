//! What an FTP session may do: a [`Request`] in, a [`Permit`] or a [`Denial`] out.
//!
//! This crate is pure: it knows no socket, no clock, no file, and no FTP. Command text becomes a
//! [`Request`] in `ftpsgate-ftp`; here are only operations, subjects and canonical paths.
//!
//! In reading order:
//!
//! - [`request`]: what policy is asked.
//! - [`path`]: paths in their one canonical form; `fold`: what else a server may take for the same.
//! - [`pattern`], [`glob`](Glob), [`hours`]: what matchers are written with.
//! - [`rule`]: rules and groups.
//! - [`compile`]: rules become sets, by `index` (names, networks) and `automaton` (paths).
//! - [`authorize`]: the decision.
//! - [`explain`]: why it is what it is.
//! - [`subtree`]: the same for whole directories.
//! - [`links`]: whether links on a server could lead out of what is allowed.
//! - [`size`]: how large an upload may grow.
//! - [`shadow`]: rules that can never decide.
//! - [`limit`]: how many, how fast, and who is locked out.
//! - [`route`]: which backend serves a session.

#![deny(clippy::wildcard_enum_match_arm)]

pub mod authorize;
mod automaton;
pub mod compile;
pub mod explain;
mod fold;
mod glob;
pub mod hours;
mod index;
pub mod limit;
pub mod links;
pub mod path;
pub mod pattern;
pub mod request;
pub mod route;
pub mod rule;
pub mod shadow;
pub mod size;
pub mod subtree;

pub use authorize::{Denial, Observation, Permit};
pub use compile::{CompileError, Definition, Policy, RuleRef};
pub use glob::{Glob, GlobError};
pub use links::Links;
pub use path::{CanonicalPath, PathError, PathProfile};
pub use request::{Access, Operation, Request, Subject, Target};
pub use subtree::Extent;

#[cfg(test)]
mod tests;
