//! Queues that can be lost while the log beside them stands still, and what their loss means.

use anyhow::anyhow;
use async_trait::async_trait;
use rideshare::adapters::memory::{MemoryRequests, RequestsSettings};
use rideshare::domain::ids::{NodeId, Offset, Sequence};
use rideshare::domain::log::RecordBody;
use rideshare::domain::message::{ReadResult, Reply};
use rideshare::domain::request::Consistency;
use rideshare::ports::requests::{
    Consumer, Correlation, Deliveries, Delivery, Queue, Rank, RequestReceiver, RequestsError,
};
use tokio::sync::broadcast;

use super::{World, count};

/// Loses whatever is consumed when the bell rings; it can be consumed again at once.
struct LosableRequests<R> {
    requests: R,
    bell: broadcast::Sender<()>,
}

#[async_trait]
impl<R: RequestReceiver> RequestReceiver for LosableRequests<R> {
    async fn consume_ranked(
        &self,
        queue: &Queue,
        unanswered: u16,
        rank: Rank,
    ) -> Result<Consumer, RequestsError> {
        let bell = self.bell.subscribe();
        let Consumer { deliveries, answers } =
            self.requests.consume_ranked(queue, unanswered, rank).await?;
        let deliveries = Box::new(LosableDeliveries { deliveries, bell });
        Ok(Consumer { deliveries, answers })
    }
}

struct LosableDeliveries {
    deliveries: Box<dyn Deliveries>,
    bell: broadcast::Receiver<()>,
}

#[async_trait]
impl Deliveries for LosableDeliveries {
    async fn receive(&mut self, most: usize) -> Result<Vec<Delivery>, RequestsError> {
        tokio::select! {
            biased;
            _ = self.bell.recv() => Err(RequestsError::Unavailable(anyhow!("lost"))),
            received = self.deliveries.receive(most) => received,
        }
    }

    async fn close(&mut self) {
        self.deliveries.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn reads_are_not_served_again_before_the_end_of_the_log_is_reached_anew() {
    let requests = MemoryRequests::new(RequestsSettings::default());
    let bell = broadcast::Sender::new(1);
    let losable = LosableRequests { requests: requests.receiver(), bell: bell.clone() };
    let mut world = World::start_with(requests.sender(), losable, false);
    world.append(RecordBody::Epoch { master: NodeId::new("another"), on_own_data: false }).await;
    world.send(Queue::Read, 1, count(Consistency::Session(Offset(0)))).await;
    assert!(world.reply().await.is_some());
    world.reading.send_replace(false);
    world.append(RecordBody::Batch { sequence: Sequence(0), entries: Vec::new() }).await;
    bell.send(()).unwrap();
    world.send(Queue::Read, 2, count(Consistency::Eventual)).await;
    assert_eq!(world.reply().await, None, "meanwhile the log may have become another one");
    world.reading.send_replace(true);
    let result = ReadResult::Count(0);
    assert_eq!(
        world.reply().await,
        Some((Correlation(2), Reply::Read { offset: Offset(1), result }))
    );
}
