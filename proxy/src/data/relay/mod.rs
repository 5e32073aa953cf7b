//! The relay: moves a transfer's bytes from one leg to the other and says how that ended.
//!
//! - [`download`] carries backend to client, and [`finish_download`] ends the client's leg once the backend has said
//!   that the file was whole.
//! - [`upload`] carries client to backend, and ends the backend's leg cleanly only if the client's was.
//!
//! Back-pressure is structural: nothing is read from the source while the sink has bytes unsent, so a transfer holds
//! one chunk at most. Chunks come from a bounded pool and are held only while bytes flow. Between two legs without TLS
//! the kernel moves the bytes (splice(2)).
//!
//! Dropping any of these futures resets every leg that it owns, and sends no close_notify anywhere.
//!
//! RFC 959 §5 (data connections), RFC 4217 §12 (closure).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{LegError, Side};
use crate::limits::Bounds;

mod buffers;
mod download;
mod pump;
mod splice;
mod upload;
mod watch;

pub use download::{FinishDownloadError, download, finish_download};
pub use upload::upload;

#[cfg(test)]
mod tests;

/// What a transfer may not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long no byte may move.
    pub stall_timeout: Duration,
    /// Bytes a second, over any 60 s; 0: no minimum.
    pub min_rate: u64,
}

/// What a running transfer has come to so far, for whoever watches it from the same task.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    source_ended: AtomicBool,
    /// Until the relay takes them.
    bounds: Mutex<Bounds>,
}

impl Progress {
    /// Of a transfer that has bounds.
    pub fn bounded(bounds: Bounds) -> Self {
        Self { bounds: Mutex::new(bounds), ..Self::default() }
    }

    pub(super) fn take_bounds(&self) -> Bounds {
        std::mem::take(&mut *self.bounds.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Payload that the sink's socket took.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the source has ended cleanly. The sink is told only afterwards.
    pub fn source_ended(&self) -> bool {
        self.source_ended.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// To be called before the sink learns of the end.
    pub(crate) fn set_source_ended(&self) {
        self.source_ended.store(true, Ordering::Relaxed);
    }
}

/// What a transfer came to.
#[derive(Debug)]
pub struct Relayed {
    /// Payload that the sink's socket took.
    pub bytes: u64,
    /// How it ended.
    pub end: RelayEnd,
    /// Whether the source said close_notify; false on legs without TLS.
    pub close_notify_seen: bool,
}

/// How a transfer ended. Sides say whose connection it was, not whose fault.
#[derive(Debug)]
pub enum RelayEnd {
    /// The source ended cleanly, and everything was written to the sink's socket.
    Complete,
    /// The source ended before its end: by reset, or on TLS without close_notify.
    Truncated {
        /// The source.
        side: Side,
    },
    /// The source cannot be read any more.
    SourceFailed {
        /// The source.
        side: Side,
        /// Why.
        error: LegError,
    },
    /// The sink left, or takes nothing any more.
    SinkFailed {
        /// The sink.
        side: Side,
        /// Why; None if it closed its connection in good order.
        error: Option<LegError>,
    },
    /// No byte moved for [`Limits::stall_timeout`].
    Stalled {
        /// Who was waited for.
        side: Side,
    },
    /// Fewer bytes than [`Limits::min_rate`] asks for.
    TooSlow {
        /// Who was waited for when the minute was over.
        side: Side,
    },
    /// The file is larger than [`Bounds`] allow.
    TooLarge,
    /// Payload came from the direction that has none.
    Violation {
        /// Who sent it.
        side: Side,
    },
}

impl RelayEnd {
    /// Whether the file arrived whole, as far as the data connections can tell.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Complete => true,
            Self::Truncated { .. }
            | Self::SourceFailed { .. }
            | Self::SinkFailed { .. }
            | Self::Stalled { .. }
            | Self::TooSlow { .. }
            | Self::TooLarge
            | Self::Violation { .. } => false,
        }
    }
}
