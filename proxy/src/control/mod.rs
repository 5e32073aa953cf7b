//! Line streams of the control channel: the client's, plain or under TLS, and a backend's.
//!
//! They hold no buffer while nothing is being said, and reading from them may be cancelled at any await.

mod downstream;
mod output;
mod upstream;

pub use downstream::{ClientLine, Downstream, Drained, NotDrained};
pub use upstream::{NotSilent, ServerReply, Silent, Unsolicited, Upstream};

/// One read takes this much at most: command lines and replies are short.
const READ_BYTES: usize = 2048;
