//! Client to backend: STOR, STOU, APPE.

use super::pump::{Pump, SinkClose};
use super::{Limits, Progress, RelayEnd, Relayed};
use crate::config::UploadEnd;
use crate::data::Side;
use crate::data::leg::{FinishError, Leg, StreamEnd};

/// Copies until the client's end, and ends the backend's leg the way the client ended its own.
///
/// A clean end is answered at once, because a client may wait for that (lftp: 5 s); it says nothing about storage.
/// The backend's leg is then shut down and read to its end before it is closed: servers take an early close for a
/// failure.
///
/// Anything else resets the backend's leg: what it has so far must not look like a file. A TLS client that ends
/// without close_notify is such a case under [`UploadEnd::Strict`]; under [`UploadEnd::Lenient`] the end counts as
/// clean, and [`Relayed::close_notify_seen`] is false.
///
/// Cancelling resets both legs.
pub async fn upload(
    mut downstream: Leg,
    mut upstream: Leg,
    limits: &Limits,
    end_rule: UploadEnd,
    progress: &Progress,
) -> Relayed {
    let mut pump = Pump::new(
        (Side::Downstream, &mut downstream),
        (Side::Upstream, &mut upstream),
        SinkClose::Fails,
        limits,
        progress,
    );
    let ended = Box::pin(pump.run()).await;
    let bytes = progress.bytes();
    let close_notify_seen = downstream.close_notify_seen();
    let end = match (ended, end_rule) {
        (Ok(StreamEnd::Clean), UploadEnd::Strict | UploadEnd::Lenient)
        | (Ok(StreamEnd::WithoutCloseNotify), UploadEnd::Lenient) => {
            progress.set_source_ended();
            Box::pin(finish_upload(downstream, upstream, limits)).await
        }
        (Ok(StreamEnd::WithoutCloseNotify), UploadEnd::Strict) => {
            upstream.reset();
            RelayEnd::Truncated { side: Side::Downstream }
        }
        (Err(end), UploadEnd::Strict | UploadEnd::Lenient) => {
            upstream.reset();
            end
        }
    };
    Relayed { bytes, end, close_notify_seen }
}

async fn finish_upload(downstream: Leg, upstream: Leg, limits: &Limits) -> RelayEnd {
    // The backend first: the answer to the client may have to wait for a client that has already gone.
    let lingering = match upstream.finish(limits.stall_timeout).await {
        Ok(lingering) => lingering,
        Err(error) => {
            return match error {
                FinishError::Stalled => RelayEnd::Stalled { side: Side::Upstream },
                FinishError::Leg(error) => RelayEnd::SinkFailed { side: Side::Upstream, error: Some(error) },
            };
        }
    };
    // A client that closed without waiting for our answer has said its end all the same.
    if let Ok(lingering) = downstream.finish(limits.stall_timeout).await {
        lingering.detach();
    }
    lingering.linger().await;
    RelayEnd::Complete
}
