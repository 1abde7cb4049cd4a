//! Queues that can be lost while the log beside them stands still, and what their loss means.

use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use rideshare::adapters::memory::{MemoryRequests, RequestsSettings};
use rideshare::domain::ids::{Epoch, LogId, NodeId, Offset, Sequence};
use rideshare::domain::joining::Misfit;
use rideshare::domain::log::RecordBody;
use rideshare::domain::message::{Progress, ReadResult, Reply, Role};
use rideshare::domain::request::Consistency;
use rideshare::ports::containers::LOG_LOST;
use rideshare::ports::coordination::{Coordination, LeaderRecord};
use rideshare::ports::progress::ProgressFeed;
use rideshare::ports::requests::{
    Consumer, Correlation, Deliveries, Delivery, Queue, Rank, RequestReceiver, RequestsError,
};
use rideshare::roles::worker::WorkerError;
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};

use super::{LONG, World, count};

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

/// A slave that has answered a read, at the beginning of its log.
async fn slave(bell: &broadcast::Sender<()>) -> World {
    let requests = MemoryRequests::new(RequestsSettings::default());
    let losable = LosableRequests { requests: requests.receiver(), bell: bell.clone() };
    let mut world = World::start_with(requests.sender(), losable, false);
    world.append(RecordBody::Epoch { master: NodeId::new("another"), on_own_data: false }).await;
    world.send(Queue::Read, 1, count(Consistency::Session(Offset(0)))).await;
    assert!(world.reply().await.is_some());
    world
}

/// Puts something into the log that the slave cannot read yet.
async fn append_unread(world: &World) {
    world.reading.send_replace(false);
    world.append(RecordBody::Batch { sequence: Sequence(0), entries: Vec::new() }).await;
}

/// The slave answers reads once it has read that.
async fn check_that_reads_wait(mut world: World) {
    world.send(Queue::Read, 2, count(Consistency::Eventual)).await;
    assert_eq!(world.reply().await, None, "meanwhile the log may have become another one");
    world.reading.send_replace(true);
    let result = ReadResult::Count(0);
    assert_eq!(
        world.reply().await,
        Some((Correlation(2), Reply::Read { offset: Offset(1), result }))
    );
}

#[tokio::test(start_paused = true)]
async fn reads_are_not_served_again_before_the_end_of_the_log_is_reached_anew() {
    let bell = broadcast::Sender::new(1);
    let world = slave(&bell).await;
    append_unread(&world).await;
    bell.send(()).unwrap();
    check_that_reads_wait(world).await;
}

/// While it served none it would not have seen that the queue was lost, and the log with it.
#[tokio::test(start_paused = true)]
async fn slave_that_was_too_far_behind_reaches_the_end_of_the_log_anew_before_it_serves() {
    let world = slave(&broadcast::Sender::new(1)).await;
    let tell = async |applied| {
        let (node, role, epoch) = (NodeId::new("another"), Role::Master, Epoch(1));
        let progress = Progress { node, role, epoch, applied: Some(applied), stalled: false };
        world.progress.publish(&progress).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    };
    tell(Offset(5_000)).await;
    append_unread(&world).await;
    tell(Offset(1)).await;
    check_that_reads_wait(world).await;
}

/// The length of the log does not show that it was lost where late appends stand in it by now.
#[tokio::test(start_paused = true)]
async fn worker_that_joins_anew_looks_at_the_last_record_again() {
    let bell = broadcast::Sender::new(1);
    let world = slave(&bell).await;
    let (another, log_id) = (NodeId::new("another"), LogId::new("history"));
    let led = LeaderRecord { admitted: Epoch(1), ..LeaderRecord::new(Epoch(1), another, log_id) };
    world.coordination.session().set_leader(&led, None).await.unwrap();
    world.lose_log();
    world.append(RecordBody::Batch { sequence: Sequence(0), entries: Vec::new() }).await;
    bell.send(()).unwrap();
    let ended = timeout(LONG, world.worker).await.expect("it ends").unwrap().unwrap_err();
    let misfit = Misfit::Changed { offset: Offset(0) };
    assert!(matches!(&ended, WorkerError::LogLost(found) if *found == misfit), "{ended:?}");
    assert_eq!(ended.exit_code(), LOG_LOST, "nobody is to lead with less than it holds");
}
