//! Queues of both kinds as carriers of requests.

use std::sync::Arc;

use rideshare::adapters::rabbitmq::{QueueKind, RabbitmqSettings};
use rideshare::ports::requests::{RequestReceiver, RequestSender};

use super::{connect, remove, settings};
use crate::requests::{RequestsFactory, requests_suite};

/// A carrier with a write queue of one kind.
struct Queues<const QUORUM: bool> {
    settings: RabbitmqSettings,
}

impl<const QUORUM: bool> RequestsFactory for Queues<QUORUM> {
    const REQUEUES_IN_ORDER: bool = !QUORUM;

    async fn start(capacity: usize) -> Self {
        let kind = if QUORUM { QueueKind::Quorum } else { QueueKind::Classic };
        let queue_max_length = u32::try_from(capacity).unwrap();
        Self {
            settings: RabbitmqSettings { write_queue_kind: kind, queue_max_length, ..settings() },
        }
    }

    async fn sender(&self) -> Arc<dyn RequestSender> {
        let sender = Arc::new(connect(&self.settings).await.request_sender());
        // It is connected as soon as it has a queue for replies.
        while !sender.is_connected() {
            tokio::task::yield_now().await;
        }
        sender
    }

    async fn receiver(&self) -> Arc<dyn RequestReceiver> {
        Arc::new(connect(&self.settings).await.request_receiver())
    }

    async fn finish(self) {
        remove(&self.settings).await;
    }
}

mod classic {
    use super::*;

    requests_suite!(tokio::test, Queues<false>);
}

mod quorum {
    use super::*;

    requests_suite!(tokio::test, Queues<true>);
}
