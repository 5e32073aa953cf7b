//! The audit log: what happened, one record each, for people and for `policy replay`.
//!
//! In reading order: [`record`] is one record, with names and paths of peers as [`text`]; [`journal`] is what sessions
//! hold: it numbers records and gives each to every sink; [`json`] is the sink that writes them as lines of a file, by
//! a thread of `writer`.

#[cfg(test)]
mod documentation;
pub mod journal;
pub mod json;
pub mod record;
#[cfg(test)]
mod testing;
pub mod text;
mod writer;

use std::io;
use std::path::PathBuf;

pub use journal::{Journal, Opened};
pub use record::Record;

/// Why a sink cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its file cannot be opened.
    #[error("the audit log {path} cannot be opened: {source}{hint}", path = .path.display(), hint = hint(.source))]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its file is that of another sink.
    #[error(
        "the audit logs {first} and {path} are the same file: give each a file of its own, or remove one of them",
        first = .first.display(), path = .path.display()
    )]
    Same {
        /// Which.
        path: PathBuf,
        /// The other sink's.
        first: PathBuf,
    },
    /// There is nobody to write it.
    #[error("the audit log {path} cannot be written: a thread cannot be started: {source}", path = .path.display())]
    Thread {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What to do about it.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; its directory must be there",
        io::ErrorKind::PermissionDenied => "; the gateway's user must be allowed to create and to write it",
        _ => "",
    }
}
