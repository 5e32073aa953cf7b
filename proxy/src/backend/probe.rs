//! Asking a server for its features before any client needs them.

use std::sync::Arc;
use std::time::Duration;

use ftpsgate_ftp::codec::{Command, FeatureSet, Kind, Reply, Verb};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{Backend, Server};
use crate::control::Upstream;

/// Asks until the server has answered once. Some clients ask only before their login, when there is no server of
/// theirs to ask, and would never learn of MLST.
pub async fn learn_features(backend: Arc<Backend>, server: Arc<Server>) {
    loop {
        let patience = backend.config().connect_timeout + backend.config().reply_timeout;
        match timeout(patience, ask(&backend, &server)).await {
            Ok(Some(features)) => return server.remember_features(features),
            Ok(None) | Err(_) => {
                debug!(backend = backend.config().name, "the server did not answer FEAT yet")
            }
        }
        sleep(PAUSE).await;
    }
}

async fn ask(backend: &Backend, server: &Server) -> Option<FeatureSet> {
    let mut upstream = Upstream::plain(backend.dial(server).await.ok()?);
    let greeting = final_reply(&mut upstream).await?;
    if greeting.kind() != Kind::Completion {
        return None;
    }
    upstream.send(&Command::bare(Verb::Feat)).ok()?;
    upstream.flush().await.ok()?;
    let reply = final_reply(&mut upstream).await?;
    if upstream.send(&Command::bare(Verb::Quit)).is_ok() {
        upstream.close(PAUSE).await;
    }
    Some(FeatureSet::parse(&reply))
}

async fn final_reply(upstream: &mut Upstream) -> Option<Reply> {
    loop {
        let reply = upstream.next_reply().await?.ok()?;
        if reply.kind() != Kind::Preliminary {
            return Some(reply);
        }
    }
}

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(10);
