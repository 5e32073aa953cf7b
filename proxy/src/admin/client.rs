//! The operator's end of the admin socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Request, VERSION, Verb};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody is there, or nobody whom this user may speak to.
    #[error("no gateway answers at {path}: {source}", path = .path.display())]
    Unreachable {
        /// Where.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The gateway would not.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
        /// All that it said.
        answer: Value,
    },
}

/// Asks the gateway whose socket that is.
///
/// # Errors
///
/// It is not there, does not answer in time or in form, or refuses.
pub fn ask(path: &Path, verb: Verb) -> Result<Value, AskError> {
    let answer =
        exchange(path, verb).map_err(|source| AskError::Unreachable { path: path.to_owned(), source })?;
    if answer["ok"] == true {
        return Ok(answer);
    }
    let reason = answer["error"].as_str().unwrap_or("the gateway's answer is not understood").to_owned();
    Err(AskError::Refused { reason, answer })
}

fn exchange(path: &Path, verb: Verb) -> io::Result<Value> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&Request { version: VERSION, verb })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    if answer.is_empty() {
        // It closes without a word on whom it does not trust.
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// For the slowest reload.
const PATIENCE: Duration = Duration::from_secs(90);
/// Far more than the longest status.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
