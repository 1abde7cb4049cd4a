//! The stream as a log.

use std::sync::Arc;

use async_trait::async_trait;
use rideshare::adapters::rabbitmq::{Rabbitmq, RabbitmqSettings};
use rideshare::ports::log::Log;

use super::{connect, remove, settings};
use crate::log::{LogFactory, log_conformance};

struct Streams {
    settings: RabbitmqSettings,
}

impl Streams {
    async fn open(&self, settings: &RabbitmqSettings) -> Arc<dyn Log> {
        let rabbitmq: Rabbitmq = connect(settings).await;
        Arc::new(rabbitmq.log())
    }
}

#[async_trait]
impl LogFactory for Streams {
    async fn start() -> Self {
        Self { settings: settings() }
    }

    async fn open(&self) -> Arc<dyn Log> {
        self.open(&self.settings).await
    }

    async fn open_bounded(&self, bytes: u64) -> Arc<dyn Log> {
        let settings = RabbitmqSettings {
            log_max_bytes: bytes,
            log_segment_bytes: bytes / 4,
            ..self.settings.clone()
        };
        self.open(&settings).await
    }

    fn oversized_bytes(&self) -> usize {
        self.settings.max_message_bytes
    }

    async fn clean_up(self) {
        remove(&self.settings).await;
    }
}

log_conformance!(Streams);
