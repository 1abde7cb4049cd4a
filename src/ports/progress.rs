//! The workers' signs of life, sent to everyone who listens.

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::domain::message::Progress;

/// The feed could not take a message. It will be superseded soon: nobody need retry.
#[derive(Debug, thiserror::Error)]
#[error("the progress feed is unavailable")]
pub struct ProgressUnavailable(#[source] pub anyhow::Error);

/// A lossy broadcast: whoever listens gets what is sent while it listens, most likely.
///
/// Contract: messages of one sender arrive in order. A listener that is too slow misses the
/// oldest (`RecvError::Lagged`) and goes on. The adapter re-subscribes by itself after an outage.
#[async_trait]
pub trait ProgressFeed: Send + Sync {
    /// Sends to everyone; bounded in time, not retried.
    async fn publish(&self, progress: &Progress) -> Result<(), ProgressUnavailable>;

    /// Listens from now on.
    fn subscribe(&self) -> broadcast::Receiver<Progress>;
}
