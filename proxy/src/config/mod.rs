//! Configuration: TOML in, a checked [`Config`] or all errors out.

mod model;

pub use model::*;
