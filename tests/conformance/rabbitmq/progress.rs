//! The fanout exchange as a progress feed.

use std::sync::Arc;

use rideshare::adapters::rabbitmq::RabbitmqSettings;
use rideshare::ports::progress::ProgressFeed;

use super::{connect, remove, settings};
use crate::progress::{ProgressFactory, progress_suite};

struct Fanout {
    settings: RabbitmqSettings,
}

impl ProgressFactory for Fanout {
    const CAPACITY: usize = 64;

    async fn start() -> Self {
        Self { settings: RabbitmqSettings { progress_buffer: Self::CAPACITY, ..settings() } }
    }

    async fn feed(&self) -> Arc<dyn ProgressFeed> {
        Arc::new(connect(&self.settings).await.progress_feed())
    }

    async fn finish(self) {
        remove(&self.settings).await;
    }
}

progress_suite!(tokio::test, Fanout);
