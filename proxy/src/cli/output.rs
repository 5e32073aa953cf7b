//! Standard output and standard error of commands.

use std::io::{self, ErrorKind, Write};

use super::CliError;

/// Writes what was asked for to standard output. A reader that has seen enough (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes JSON as [`print`] does.
pub(super) fn print_json(value: &serde_json::Value) -> Result<(), CliError> {
    print(&format!("{value:#}\n"))
}

/// Says something on standard error; where it is gone, nobody is left to be told.
pub(super) fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
