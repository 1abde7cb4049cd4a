//! What waits for which part of an apply.

use rideshare::adapters::memory::{MemoryRequests, RequestsSettings};
use rideshare::domain::message::{ReadResult, Reply};
use rideshare::domain::request::Consistency;
use rideshare::ports::requests::{Correlation, Queue};
use tokio::sync::watch;

use super::{World, count, insert};
use crate::slow_store::{Leave, Slow};

#[tokio::test(start_paused = true)]
async fn write_waits_for_its_changes_and_what_is_read_or_written_next_for_the_history_too() {
    let requests = MemoryRequests::new(RequestsSettings::default());
    let leave = watch::Sender::new(Leave::History);
    let store = Slow { leave: leave.subscribe(), ..Slow::new() };
    let mut world = World::start_over(requests.sender(), requests.receiver(), store, true);
    world.send(Queue::Write, 1, insert(1)).await;
    world.reply().await.unwrap();

    leave.send_replace(Leave::Nothing);
    world.send(Queue::Write, 2, insert(2)).await;
    assert_eq!(world.reply().await, None, "the document cannot be read yet");
    leave.send_replace(Leave::Changes);
    assert!(matches!(world.reply().await, Some((Correlation(2), Reply::Written { .. }))));

    world.send(Queue::Write, 3, count(Consistency::Strong)).await;
    world.send(Queue::Write, 4, insert(4)).await;
    assert_eq!(world.reply().await, None, "a database that is set back now would not be noticed");
    leave.send_replace(Leave::History);
    let mut replies = [world.reply().await.unwrap(), world.reply().await.unwrap()];
    replies.sort_by_key(|(correlation, _)| correlation.0);
    let [(Correlation(3), Reply::Read { result, .. }), (Correlation(4), Reply::Written { .. })] =
        replies
    else {
        panic!("{replies:?}");
    };
    assert!([2, 3].map(ReadResult::Count).contains(&result), "{result:?}");
}
