//! The audit log: what happened, one record each, for people and for `policy replay`.

pub mod record;
pub mod text;

pub use record::Record;
