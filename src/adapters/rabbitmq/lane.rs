//! Puts requests that wait for the same queue into one message.
//!
//! A request is sent at once as long as few messages are on their way. Otherwise it waits until the
//! broker has taken one of those, and in some lanes until it is answered (see `turns`), and goes with
//! whatever else waits by then.

use std::sync::Arc;
use std::time::Duration;

use amqprs::{BasicProperties, FieldValue};
use futures_util::future::OptionFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::bundle::{self, Part};
use super::channel::table;
use super::consumption::SENT_BEFORE_HEADER;
use super::publisher::{Message, PublishError, Publisher};
use super::turns::{Crowd, Place, Turn, Turns};
use crate::ports::requests::RequestsError;

/// Messages on their way to the broker at a time. With more of them each would hold less.
const ON_THEIR_WAY: usize = 2;

/// Requests that may wait to be taken into a message.
const WAITING: usize = 1_024;

/// The way of many requests into one queue.
pub(super) struct Lane {
    waiting: mpsc::Sender<Waiting>,
    crowd: Arc<Crowd>,
    _task: AbortOnDropHandle<()>,
}

struct Waiting {
    part: Part,
    sent: oneshot::Sender<Result<(), Failure>>,
    _place: Place,
}

/// What a whole message failed of, told to each of its requests.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Full,
    Unavailable(String),
}

/// What every message of a lane has in common.
pub(super) struct Route {
    pub(super) publisher: Arc<Publisher>,
    pub(super) queue: String,
    pub(super) reply_to: watch::Receiver<Option<Arc<str>>>,
    /// For how long at the most a message may wait to be sent.
    pub(super) wait: Duration,
}

/// What takes the messages of a lane.
pub(super) trait Carrier: Send + Sync + 'static {
    /// Sends these requests as one message.
    fn publish(&self, parts: Vec<Part>) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl Lane {
    /// With turns, messages go one after another.
    pub(super) fn start(carrier: impl Carrier, turns: Option<Turns>) -> Self {
        let (waiting, next) = mpsc::channel(WAITING);
        let crowd = Arc::new(Crowd::default());
        let task = tokio::spawn(run(Arc::new(carrier), turns, next, Arc::clone(&crowd)));
        Self { waiting, crowd, _task: AbortOnDropHandle::new(task) }
    }

    /// Sends a request, alone or with others. When dropped half way, it may be sent or not.
    pub(super) async fn send(&self, part: Part, deadline: Instant) -> Result<(), RequestsError> {
        let (sent, outcome) = oneshot::channel();
        let sending = async {
            let _place = self.crowd.enter(part.body.len());
            self.waiting.send(Waiting { part, sent, _place }).await.ok()?;
            outcome.await.ok()
        };
        match timeout_at(deadline, sending).await {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(Failure::Full))) => Err(RequestsError::Full),
            Ok(Some(Err(Failure::Unavailable(why)))) => Err(unavailable(why)),
            Ok(None) => Err(unavailable("the sender is closed".to_owned())),
            Err(_) => Err(unavailable("the broker did not take the request in time".to_owned())),
        }
    }
}

fn unavailable(why: String) -> RequestsError {
    RequestsError::Unavailable(anyhow::Error::msg(why))
}

async fn run(
    carrier: Arc<impl Carrier>,
    turns: Option<Turns>,
    mut next: mpsc::Receiver<Waiting>,
    crowd: Arc<Crowd>,
) {
    let on_their_way = Arc::new(Semaphore::new(ON_THEIR_WAY));
    let mut left_over = None;
    // Never closed.
    while let Ok(permit) = Arc::clone(&on_their_way).acquire_owned().await {
        let first = match left_over.take() {
            Some(first) => first,
            None => match next.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let turn = match &turns {
            Some(turns) => turns.next(&crowd).await,
            None => None,
        };
        let mut load = Load::default();
        left_over = load.fill(first, &mut next);
        if !load.parts.is_empty() {
            tokio::spawn(load.send(Arc::clone(&carrier), permit, turn));
        }
    }
}

/// The requests of one message.
#[derive(Default)]
struct Load {
    parts: Vec<Part>,
    askers: Vec<oneshot::Sender<Result<(), Failure>>>,
    bytes: usize,
}

impl Load {
    /// Takes in what waits, and gives back the one that does not fit any more.
    fn fill(&mut self, first: Waiting, next: &mut mpsc::Receiver<Waiting>) -> Option<Waiting> {
        let mut waiting = Some(first);
        while let Some(one) = waiting {
            let size = one.part.body.len();
            if !bundle::has_room(self.parts.len(), self.bytes, size) {
                return Some(one);
            }
            // Whoever asked may have left.
            if !one.sent.is_closed() {
                self.bytes += size;
                self.parts.push(one.part);
                self.askers.push(one.sent);
            }
            waiting = next.try_recv().ok();
        }
        None
    }

    async fn send(
        self,
        carrier: Arc<impl Carrier>,
        permit: OwnedSemaphorePermit,
        turn: Option<Turn>,
    ) {
        let Self { parts, askers, .. } = self;
        let (first, requests) = (parts[0].correlation, parts.len());
        // The broker may take longer to confirm a message than a worker to answer it.
        let answered = OptionFuture::from(turn.map(|turn| turn.end(first, requests)));
        let sent = async {
            let outcome = carrier.publish(parts).await;
            drop(permit);
            for asker in askers {
                let _ = asker.send(outcome.clone());
            }
        };
        tokio::join!(sent, answered);
    }
}

impl Carrier for Route {
    async fn publish(&self, mut parts: Vec<Part>) -> Result<(), Failure> {
        let Some(reply_to) = self.reply_to.borrow().clone() else {
            return Err(Failure::Unavailable("replies have no connection".to_owned()));
        };
        // What expires earlier than the rest is dropped by whoever receives it.
        let longest = parts.iter().map(|part| part.expires_in_ms).max().unwrap_or_default();
        let mut properties = properties(&reply_to, longest, 0);
        let body = match parts.as_mut_slice() {
            [part] => {
                properties.with_correlation_id(&part.correlation.to_string());
                std::mem::take(&mut part.body).into()
            }
            _ => {
                bundle::mark(&mut properties);
                bundle::pack(&parts)
            }
        };
        let (exchange, routing_key) = (String::new(), self.queue.clone());
        let message = Message { exchange, routing_key, properties, body, mandatory: true };
        let wait = self.wait.min(Duration::from_millis(longest.into()));
        self.publisher.publish(message, wait).await.map_err(|error| match error {
            PublishError::Refused => Failure::Full,
            PublishError::NotSent(error) | PublishError::Unconfirmed(error) => {
                Failure::Unavailable(format!("{error:#}"))
            }
        })
    }
}

/// What every message with a request says of itself, but for whose it is.
pub(super) fn properties(reply_to: &str, expires_in_ms: u32, sent_before: u32) -> BasicProperties {
    let mut properties = BasicProperties::default();
    properties
        .with_persistence(false)
        .with_reply_to(reply_to)
        .with_expiration(&expires_in_ms.to_string())
        .with_headers(table([(SENT_BEFORE_HEADER, FieldValue::l(sent_before.into()))]));
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::rabbitmq::bundle::{MOST_BYTES, MOST_PARTS};
    use crate::adapters::rabbitmq::turns::Answers;

    type Outcome = oneshot::Receiver<Result<(), Failure>>;

    fn waiting(correlation: u64, bytes: usize) -> (Waiting, Outcome) {
        let part = Part { correlation, expires_in_ms: 1, body: vec![0; bytes].into() };
        let (sent, outcome) = oneshot::channel();
        let _place = Arc::<Crowd>::default().enter(bytes);
        (Waiting { part, sent, _place }, outcome)
    }

    fn queue(sizes: &[usize]) -> (mpsc::Receiver<Waiting>, Vec<Outcome>) {
        let (sender, receiver) = mpsc::channel(1_000);
        let mut outcomes = Vec::new();
        for (correlation, size) in (1..).zip(sizes) {
            let (waiting, outcome) = waiting(correlation, *size);
            sender.try_send(waiting).unwrap_or_else(|_| panic!("room for all"));
            outcomes.push(outcome);
        }
        (receiver, outcomes)
    }

    fn correlations(load: &Load) -> Vec<u64> {
        load.parts.iter().map(|part| part.correlation).collect()
    }

    #[test]
    fn what_waits_goes_together_in_its_order() {
        let (mut next, _outcomes) = queue(&[10, 10]);
        let (first, _outcome) = waiting(0, 10);
        let mut load = Load::default();
        assert!(load.fill(first, &mut next).is_none());
        assert_eq!(correlations(&load), [0, 1, 2]);
    }

    #[test]
    fn message_is_bounded_in_number_and_bytes_and_the_rest_is_next() {
        for sizes in [vec![1; MOST_PARTS], vec![MOST_BYTES / 2, MOST_BYTES / 2, 1]] {
            let fitting = sizes.len() as u64 - 1;
            let (mut next, _outcomes) = queue(&sizes);
            let (first, _outcome) = waiting(0, 0);
            let mut load = Load::default();
            let left_over = load.fill(first, &mut next).expect("one too many");
            assert_eq!(left_over.part.correlation, fitting + 1);
            assert_eq!(load.parts.len() as u64, fitting + 1);
        }
    }

    #[test]
    fn request_that_nobody_waits_for_any_more_is_left_out() {
        let (mut next, outcomes) = queue(&[1]);
        drop(outcomes);
        let (first, _outcome) = waiting(0, 1);
        let mut load = Load::default();
        assert!(load.fill(first, &mut next).is_none());
        assert_eq!(correlations(&load), [0]);
    }

    /// Hands over the messages that it is given.
    struct Told(mpsc::UnboundedSender<Vec<u64>>);

    impl Carrier for Told {
        async fn publish(&self, parts: Vec<Part>) -> Result<(), Failure> {
            let correlations = parts.iter().map(|part| part.correlation).collect();
            let _ = self.0.send(correlations);
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn message_goes_when_the_one_before_it_is_answered() {
        let answers = Arc::new(Answers::default());
        for (turns, expected) in [
            (Some(Turns::new(Arc::clone(&answers))), vec![vec![1], vec![2, 3, 4]]),
            (None, vec![vec![1], vec![2], vec![3], vec![4]]),
        ] {
            let (told, mut messages) = mpsc::unbounded_channel();
            let lane = Arc::new(Lane::start(Told(told), turns));
            let mut sent = Vec::new();
            for correlation in 1..=4 {
                let lane = Arc::clone(&lane);
                let part = Part { correlation, expires_in_ms: 1, body: vec![0].into() };
                let deadline = Instant::now() + Duration::from_secs(60);
                tokio::spawn(async move { lane.send(part, deadline).await });
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            answers.came(1);
            while let Ok(Some(message)) =
                tokio::time::timeout(Duration::from_millis(5), messages.recv()).await
            {
                sent.push(message);
            }
            assert_eq!(sent, expected);
        }
    }
}
