//! The audit log: what happened, one record each, for people and for `policy replay`.
//!
//! In reading order: [`record`] is one record, with names and paths of peers as [`text`]; [`journal`] is what sessions
//! hold: it numbers records and gives each to every sink; [`json`] is the sink that writes them as lines of a file, by
//! a thread of [`writer`].

#[cfg(test)]
mod documentation;
pub mod journal;
pub mod json;
pub mod record;
#[cfg(test)]
mod testing;
pub mod text;
mod writer;

pub use journal::{Journal, Opened};
pub use record::Record;

/// Why a sink cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the audit log {path} cannot be opened: {source}{hint}", path = .path.display(), hint = hint(.source))]
pub struct OpenError {
    /// Its file.
    pub path: std::path::PathBuf,
    /// Why.
    pub source: std::io::Error,
}

/// What to do about it.
fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "; its directory must be there",
        std::io::ErrorKind::PermissionDenied => {
            "; the gateway's user must be allowed to create and to write it"
        }
        _ => "",
    }
}
