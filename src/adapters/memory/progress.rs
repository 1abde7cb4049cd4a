//! The progress feed as one broadcast channel.

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::domain::message::Progress;
use crate::ports::progress::{ProgressFeed, ProgressUnavailable};

/// The feed of all workers in this process; a clone is the same feed.
#[derive(Clone, Debug)]
pub struct MemoryProgress {
    everyone: broadcast::Sender<Progress>,
}

impl MemoryProgress {
    /// A feed whose listeners may fall behind by `capacity` messages, rounded up to a power of two.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { everyone: broadcast::Sender::new(capacity.max(1)) }
    }
}

#[async_trait]
impl ProgressFeed for MemoryProgress {
    async fn publish(&self, progress: &Progress) -> Result<(), ProgressUnavailable> {
        // It fails only when nobody listens, which is no failure of the feed.
        let _ = self.everyone.send(progress.clone());
        Ok(())
    }

    fn subscribe(&self) -> broadcast::Receiver<Progress> {
        self.everyone.subscribe()
    }
}
