//! Backend to client: RETR, LIST, NLST, MLSD.

use super::pump::{Pump, SinkClose};
use super::{Limits, Progress, RelayEnd, Relayed};
use crate::data::Side;
use crate::data::leg::{FinishError, Leg, Lingering, StreamEnd};

/// Copies until the backend's end of file, then closes the backend's leg at once: some servers withhold their 226
/// until the peer has closed.
///
/// The client gets every byte, but no end yet: whether the file was whole is for the backend's reply to say. After a
/// 2yz call [`finish_download`]; otherwise drop `downstream`, which resets it.
///
/// Cancelling drops the backend's leg; `downstream` cannot be finished any more.
pub async fn download(
    mut upstream: Leg,
    downstream: &mut Leg,
    limits: &Limits,
    progress: &Progress,
) -> Relayed {
    downstream.expect_delivery();
    let mut pump = Pump::new(
        (Side::Upstream, &mut upstream),
        (Side::Downstream, downstream),
        SinkClose::Tolerated,
        limits,
        progress,
    );
    let ended = Box::pin(pump.run()).await;
    let bytes = progress.bytes();
    let close_notify_seen = upstream.close_notify_seen();
    let end = match ended {
        Ok(StreamEnd::Clean) => {
            upstream.close_after_end();
            downstream.set_delivered();
            RelayEnd::Complete
        }
        Ok(StreamEnd::WithoutCloseNotify) => RelayEnd::Truncated { side: Side::Upstream },
        Err(end) => end,
    };
    Relayed { bytes, end, close_notify_seen }
}

/// Ends a complete download: close_notify and FIN. Only then may the client be told 226.
///
/// # Errors
/// The client is gone or takes nothing, or the download before was not complete; the leg is reset then.
pub async fn finish_download(downstream: Leg, limits: &Limits) -> Result<Lingering, FinishDownloadError> {
    if !downstream.is_delivered() {
        return Err(FinishDownloadError::Undelivered);
    }
    Ok(downstream.finish(limits.stall_timeout).await?)
}

/// Why a download got no clean end.
#[derive(Debug, thiserror::Error)]
pub enum FinishDownloadError {
    /// The relay has not delivered everything to this leg, so its end would be a lie.
    #[error("not everything was delivered")]
    Undelivered,
    /// The client did not take the end.
    #[error(transparent)]
    Finish(#[from] FinishError),
}
