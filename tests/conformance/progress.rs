//! The conformance suite of the port `ProgressFeed`.

use std::sync::Arc;
use std::time::Duration;

use rideshare::domain::ids::{Epoch, NodeId, Offset};
use rideshare::domain::message::{Progress, Role};
use rideshare::ports::progress::ProgressFeed;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, timeout};

use crate::cases::{BOUND, QUIET};

/// Makes feeds to test. A factory is one broadcast that nobody else sends to.
pub(crate) trait ProgressFactory: Sized {
    /// How many messages a listener may fall behind, as the feeds are configured here.
    const CAPACITY: usize;

    /// A new broadcast.
    async fn start() -> Self;

    /// The feed of one more process, ready to send and to listen.
    async fn feed(&self) -> Arc<dyn ProgressFeed>;

    /// Removes what the broadcast left behind. Not called when a case fails.
    async fn finish(self);
}

/// Makes a test of every case: `progress_suite!(tokio::test, Factory)`.
macro_rules! progress_suite {
    ($attribute:meta, $factory:ty) => {
        cases!(
            $attribute,
            progress,
            $factory,
            [
                message_reaches_every_listener_of_every_process_whole,
                messages_of_one_sender_arrive_in_order,
                listener_hears_nothing_from_before_it_listened,
                slow_listener_misses_the_oldest_and_goes_on,
                sending_works_when_nobody_listens,
                listener_that_left_disturbs_nobody,
            ]
        );
    };
}
pub(crate) use progress_suite;

/// A message that can be told from others by its number.
fn progress(node: &str, number: u64) -> Progress {
    Progress {
        node: NodeId::new(node),
        role: Role::Slave,
        epoch: Epoch(3),
        applied: Some(Offset(number)),
        stalled: number % 2 == 1,
    }
}

fn number_of(progress: &Progress) -> u64 {
    progress.applied.expect("these tests always set it").0
}

async fn hear(listener: &mut Receiver<Progress>) -> Progress {
    timeout(BOUND, listener.recv()).await.expect("no message came").expect("the feed ended")
}

/// Sends until everyone hears: the feed is lossy, so the first messages may reach nobody.
async fn publish_until_heard(
    feed: &Arc<dyn ProgressFeed>,
    message: &Progress,
    listeners: &mut [Receiver<Progress>],
) {
    let deadline = Instant::now() + BOUND;
    for listener in listeners {
        loop {
            assert!(Instant::now() < deadline, "a listener hears nothing");
            feed.publish(message).await.unwrap();
            if let Ok(heard) = timeout(QUIET, listener.recv()).await {
                assert_eq!(heard.unwrap(), *message);
                break;
            }
        }
    }
}

/// Sends one message and waits until the listener hears it. Skips messages from before.
async fn publish_and_hear(
    feed: &Arc<dyn ProgressFeed>,
    message: &Progress,
    listener: &mut Receiver<Progress>,
) {
    feed.publish(message).await.unwrap();
    while hear(listener).await != *message {}
}

pub(crate) async fn message_reaches_every_listener_of_every_process_whole<F: ProgressFactory>() {
    let factory = F::start().await;
    let (first, second) = (factory.feed().await, factory.feed().await);
    let mut listeners = [first.subscribe(), first.subscribe(), second.subscribe()];
    let masters = Progress { role: Role::Master, epoch: Epoch(9), ..progress("n1", u64::MAX) };
    publish_until_heard(&first, &masters, &mut listeners).await;

    let mut listeners = [first.subscribe(), second.subscribe()];
    let nothing_yet = Progress { applied: None, role: Role::Joining, ..progress("n2", 0) };
    let deadline = Instant::now() + BOUND;
    for listener in &mut listeners {
        loop {
            assert!(Instant::now() < deadline, "the second sender is not heard");
            second.publish(&nothing_yet).await.unwrap();
            if hear(listener).await == nothing_yet {
                break;
            }
        }
    }
    factory.finish().await;
}

pub(crate) async fn messages_of_one_sender_arrive_in_order<F: ProgressFactory>() {
    let factory = F::start().await;
    let (sender, other) = (factory.feed().await, factory.feed().await);
    let mut listeners = [other.subscribe()];
    publish_until_heard(&sender, &progress("n1", 0), &mut listeners).await;
    let [mut listener] = listeners;
    let last = u64::try_from(F::CAPACITY.min(200)).unwrap() / 2;
    for number in 1..=last {
        sender.publish(&progress("n1", number)).await.unwrap();
    }
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        heard.push(number_of(&hear(&mut listener).await));
    }
    heard.retain(|number| *number != 0);
    assert_eq!(heard, (1..=last).collect::<Vec<_>>());
    factory.finish().await;
}

pub(crate) async fn listener_hears_nothing_from_before_it_listened<F: ProgressFactory>() {
    let factory = F::start().await;
    let feed = factory.feed().await;
    let mut listeners = [feed.subscribe()];
    publish_until_heard(&feed, &progress("n1", 0), &mut listeners).await;
    let [mut early] = listeners;
    publish_and_hear(&feed, &progress("n1", 1), &mut early).await;

    let mut late = feed.subscribe();
    publish_and_hear(&feed, &progress("n1", 2), &mut early).await;
    assert_eq!(hear(&mut late).await, progress("n1", 2));
    factory.finish().await;
}

pub(crate) async fn slow_listener_misses_the_oldest_and_goes_on<F: ProgressFactory>() {
    let factory = F::start().await;
    let feed = factory.feed().await;
    let mut listeners = [feed.subscribe()];
    publish_until_heard(&feed, &progress("n1", 0), &mut listeners).await;
    let [mut quick] = listeners;
    let mut slow = feed.subscribe();
    let last = u64::try_from(2 * F::CAPACITY + 10).unwrap();
    for number in 1..=last {
        publish_and_hear(&feed, &progress("n1", number), &mut quick).await;
    }

    let missed = timeout(BOUND, slow.recv()).await.unwrap();
    assert!(matches!(missed, Err(RecvError::Lagged(_))), "{missed:?}");
    let mut heard = Vec::new();
    loop {
        match slow.try_recv() {
            Ok(message) => heard.push(number_of(&message)),
            Err(TryRecvError::Empty) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(heard.last(), Some(&last), "the newest are kept");
    assert!(heard.is_sorted() && heard.len() > 1, "{heard:?}");
    publish_and_hear(&feed, &progress("n1", last + 1), &mut slow).await;
    factory.finish().await;
}

pub(crate) async fn sending_works_when_nobody_listens<F: ProgressFactory>() {
    let factory = F::start().await;
    let feed = factory.feed().await;
    let published = timeout(Duration::from_secs(10), feed.publish(&progress("n1", 1))).await;
    published.expect("publish is bounded in time").unwrap();
    factory.finish().await;
}

pub(crate) async fn listener_that_left_disturbs_nobody<F: ProgressFactory>() {
    let factory = F::start().await;
    let (first, second) = (factory.feed().await, factory.feed().await);
    drop(first.subscribe());
    let mut listeners = [second.subscribe()];
    publish_until_heard(&first, &progress("n1", 0), &mut listeners).await;
    drop(first);
    publish_until_heard(&second, &progress("n2", 1), &mut [second.subscribe()]).await;
    factory.finish().await;
}
