//! Configuration: TOML in, a checked [`Config`] or all errors out.
//!
//! In reading order: [`model`](Config) is what the rest of the gateway sees; `load` goes from a file to it;
//! `keys` is the table of every key, in the words of `schema`; `table` walks a file by it, reporting to
//! `document`; one
//! module per table of the file (`gateway`, `tls`, `listener`, `backend` with `backend_tls` and `health`, `route`, `policy`, `audit`, `admin`)
//! reads values with `value`, `syntax`, `pattern`, `units` and `choice`; `check` compares the tables with each other; `diagnostic` shows what is wrong; `show`
//! writes a [`Config`] back, and `reference` writes the keys for the documentation.

mod admin;
mod audit;
mod backend;
mod backend_tls;
mod check;
mod choice;
mod diagnostic;
mod document;
mod gateway;
mod health;
mod keys;
mod listener;
mod load;
mod model;
mod pattern;
mod policy;
mod quick;
mod reference;
mod route;
mod schema;
mod show;
mod spelling;
mod syntax;
mod table;
mod tls;
mod units;
mod value;

pub use admin::admin_socket;
pub use check::MINIMAL;
pub use choice::Choice;
pub use diagnostic::{Diagnostic, Diagnostics, Severity, Source, Span};
pub use gateway::default_state_dir;
pub use load::{FILE_BYTES_MAX, Loaded, load, load_with, parse};
pub use model::*;
pub use policy::{
    AskedCommand, AskedTime, CertificatePart, PolicyTest, Question, Rules, local_times, parse_certificate,
    parse_command, parse_local_time,
};
pub use quick::{QUICK_FALLBACK_PORTS, quick};
pub use reference::markdown;
pub use schema::json_schema;
pub use show::{to_json, to_toml};
pub use syntax::{SyntaxError, parse_bind};
pub use units::{
    DURATION_MAX, Quantity, UnitError, format_duration, format_rate, format_size, parse_duration, parse_rate,
    parse_size,
};

#[cfg(test)]
mod tests;
