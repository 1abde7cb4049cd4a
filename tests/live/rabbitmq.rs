//! Strangers, poison and mistakes on a healthy broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use amqprs::channel::{
    BasicGetArguments, BasicPublishArguments, QueueDeclareArguments, QueueDeleteArguments,
};
use amqprs::{BasicProperties, FieldTable};
use rideshare::adapters::rabbitmq::{QueueKind, RabbitmqSettings};
use rideshare::domain::document::{CollectionName, Document};
use rideshare::domain::ids::{Epoch, LogId, NodeId, Offset, RequestId};
use rideshare::domain::log::{Record, RecordBody};
use rideshare::domain::message::{Reply, Request, encode};
use rideshare::domain::request::{Acknowledgement, WriteOperation, WriteRequest};
use rideshare::ports::log::{Log, LogError, LogTail};
use rideshare::ports::requests::{
    Consumer, Correlation, Delivery, Queue, RequestReceiver, RequestSender, RequestsError,
};
use tokio::time::timeout;

use crate::broker::{BOUND, Stranger, connect, settings};

pub(crate) fn record(number: u64) -> Arc<Record> {
    Arc::new(Record {
        log_id: LogId::new("a history"),
        epoch: Epoch(number),
        appended_at_ms: number,
        body: RecordBody::Epoch { master: NodeId::new("n1"), on_own_data: false },
    })
}

/// The numbers of the next records; `None` for what is no record.
pub(crate) async fn numbers(tail: &mut dyn LogTail, count: usize) -> Vec<Option<u64>> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let items = timeout(BOUND, tail.next()).await.expect("no record came").unwrap();
        numbers.extend(
            items.iter().map(|item| item.record.as_ref().ok().map(|record| record.epoch.0)),
        );
    }
    numbers
}

pub(crate) async fn receive(consumer: &mut Consumer) -> Vec<Delivery> {
    timeout(BOUND, consumer.deliveries.receive(10)).await.expect("no request came").unwrap()
}

pub(crate) async fn ping(sender: &dyn RequestSender, queue: &Queue) -> Result<(), RequestsError> {
    sender.send(queue, Correlation(1), Arc::new(Request::Ping), BOUND).await
}

async fn publish(stranger: &Stranger, exchange: &str, key: &str, content: &[u8]) {
    let properties = BasicProperties::default()
        .with_reply_to("nowhere")
        .with_correlation_id("not a number")
        .with_expiration("60000")
        .finish();
    let arguments = BasicPublishArguments::new(exchange, key);
    stranger.channel.basic_publish(properties, content.to_vec(), arguments).await.unwrap();
}

/// Waits for the next message that was set aside.
async fn set_aside(stranger: &Stranger, settings: &RabbitmqSettings) -> Vec<u8> {
    let queue = stranger.named(&settings.dead_letter_queue);
    let started = tokio::time::Instant::now();
    while started.elapsed() < BOUND {
        let arguments = BasicGetArguments::new(&queue).no_ack(true).finish();
        if let Some((_, _, content)) = stranger.channel.basic_get(arguments).await.unwrap() {
            return content;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was set aside");
}

/// No orchestrator makes such a request.
fn write_of_a_document_without_id() -> Request {
    let collection = CollectionName::parse("c").unwrap();
    Request::Write(WriteRequest {
        id: RequestId::new("r"),
        seen: Offset(0),
        acknowledgement: Acknowledgement::Applied,
        operation: WriteOperation::Insert { collection, documents: vec![Document::new()] },
    })
}

#[tokio::test]
async fn bytes_that_are_no_request_are_set_aside_and_hold_nothing_up() {
    let settings = settings();
    let rabbitmq = connect(&settings).await;
    let sender = rabbitmq.request_sender();
    let mut consumer = rabbitmq.request_receiver().consume(&Queue::Write, 10).await.unwrap();
    let stranger = Stranger::connect(&settings).await;
    let queue = stranger.named(&settings.write_queue);
    let mut truncated = encode(&Request::Ping);
    truncated.pop();
    // The reason why it is none quotes it, and must fit into a header.
    let long = encode(&BTreeMap::from([("x".repeat(300_000), 1)]));
    let unfit = encode(&write_of_a_document_without_id());
    let hostile: [&[u8]; 6] =
        [b"", b"\xff\xfe\xfd", &[b'R', b'S', 200, 1], &truncated, &long, &unfit];
    for content in hostile {
        publish(&stranger, "", &queue, content).await;
    }
    // What has no sender to answer is carried out all the same.
    publish(&stranger, "", &queue, &encode(&Request::Ping)).await;
    let received = receive(&mut consumer).await;
    assert_eq!(received.len(), 1);
    for content in hostile {
        assert_eq!(set_aside(&stranger, &settings).await, content);
    }
    ping(&sender, &Queue::Write).await.unwrap();
    assert_eq!(receive(&mut consumer).await.len(), 1);
    stranger.remove(&settings).await;
}

#[tokio::test]
async fn request_that_comes_back_too_often_is_set_aside() {
    let settings =
        RabbitmqSettings { write_queue_kind: QueueKind::Quorum, delivery_limit: 3, ..settings() };
    let rabbitmq = connect(&settings).await;
    let sender = rabbitmq.request_sender();
    ping(&sender, &Queue::Write).await.unwrap();
    for tried in 0..3 {
        // Each of these consumers dies with the request in its hands.
        let mut consumer = rabbitmq.request_receiver().consume(&Queue::Write, 10).await.unwrap();
        let received = receive(&mut consumer).await;
        assert_eq!(received.iter().map(|it| it.tried).collect::<Vec<_>>(), [tried]);
    }
    let mut consumer = rabbitmq.request_receiver().consume(&Queue::Write, 10).await.unwrap();
    let stranger = Stranger::connect(&settings).await;
    assert_eq!(set_aside(&stranger, &settings).await, encode(&Request::Ping));
    sender.send(&Queue::Write, Correlation(2), Arc::new(Request::Ping), BOUND).await.unwrap();
    assert_eq!(receive(&mut consumer).await.len(), 1, "the next request is delivered");

    // What its sender repeats counts as if it had come back each time.
    let again = async |times| {
        let (correlation, request) = (Correlation(3), Arc::new(Request::Ping));
        sender.send_again(&Queue::Write, correlation, request, BOUND, times).await.unwrap();
    };
    again(2).await;
    assert_eq!(receive(&mut consumer).await[0].tried, 2);
    again(3).await;
    assert_eq!(set_aside(&stranger, &settings).await, encode(&Request::Ping));
    stranger.remove(&settings).await;
}

/// Requests that are sent at the same time share messages, which nobody notices.
#[tokio::test]
async fn requests_that_are_sent_together_are_answered_each_for_itself() {
    const REQUESTS: u64 = 500;
    let settings = settings();
    let rabbitmq = connect(&settings).await;
    let sender = rabbitmq.request_sender();
    let mut replies = sender.take_replies().unwrap();
    let mut consumer = rabbitmq.request_receiver().consume(&Queue::Write, 1_000).await.unwrap();
    let requests = (0..REQUESTS).map(|number| {
        let at_least = Offset(number);
        let request = Arc::new(Request::Catalog { at_least });
        sender.send(&Queue::Write, Correlation(number), request, BOUND)
    });
    let sent = futures_util::future::join_all(requests).await;
    assert!(sent.iter().all(Result::is_ok));
    let mut answered = 0;
    while answered < REQUESTS {
        let received = receive(&mut consumer).await;
        answered += received.len() as u64;
        let answers = received.into_iter().map(|delivery| match *delivery.request {
            Request::Catalog { at_least: offset } => {
                (delivery.ticket, Reply::Catalog { offset, collections: Vec::new() })
            }
            ref other => panic!("{other:?}"),
        });
        consumer.answers.answer(answers.collect()).await.unwrap();
    }
    let mut numbers = Vec::new();
    for _ in 0..REQUESTS {
        let (correlation, reply) = timeout(BOUND, replies.recv()).await.unwrap().unwrap();
        assert_eq!(reply, Reply::Catalog { offset: Offset(correlation.0), collections: vec![] });
        numbers.push(correlation.0);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..REQUESTS).collect::<Vec<_>>());

    let stranger = Stranger::connect(&settings).await;
    stranger.remove(&settings).await;
}

/// One of them may be what its consumer dies of: it must not take the others with it.
#[tokio::test]
async fn requests_of_a_message_that_came_back_are_counted_apart() {
    let settings =
        RabbitmqSettings { write_queue_kind: QueueKind::Quorum, delivery_limit: 3, ..settings() };
    let rabbitmq = connect(&settings).await;
    let sender = rabbitmq.request_sender();
    let pings = (0..20).map(|number| {
        sender.send(&Queue::Write, Correlation(number), Arc::new(Request::Ping), BOUND)
    });
    futures_util::future::join_all(pings).await;
    let consume = async || {
        let mut consumer = rabbitmq.request_receiver().consume(&Queue::Write, 100).await.unwrap();
        let mut received = Vec::new();
        while received.len() < 20 {
            received.extend(receive(&mut consumer).await);
        }
        (consumer, received)
    };
    for tried in 0..2 {
        // Each of these consumers dies with all of them in its hands.
        let (_dies, received) = consume().await;
        assert!(received.iter().all(|it| it.tried == tried), "{received:?}");
    }
    let (consumer, received) = consume().await;
    let answers = received[1..].iter().map(|it| (it.ticket, Reply::Pong)).collect();
    consumer.answers.answer(answers).await.unwrap();
    drop(consumer);
    let _last = rabbitmq.request_receiver().consume(&Queue::Write, 100).await.unwrap();
    let stranger = Stranger::connect(&settings).await;
    assert_eq!(set_aside(&stranger, &settings).await, encode(&Request::Ping), "one of them alone");
    stranger.remove(&settings).await;
}

/// Of a bundle, or alone: what nobody can read is set aside.
#[tokio::test]
async fn bundles_that_are_none_are_set_aside_and_hold_nothing_up() {
    let settings = settings();
    let rabbitmq = connect(&settings).await;
    let sender = rabbitmq.request_sender();
    let mut consumer = rabbitmq.request_receiver().consume(&Queue::Read, 10).await.unwrap();
    let stranger = Stranger::connect(&settings).await;
    let nothing: &[u8] = b"RS\x01\x90";
    for content in [b"no bundle".as_slice(), nothing] {
        let properties = BasicProperties::default().with_message_type("bundle").finish();
        let arguments = BasicPublishArguments::new("", &stranger.named(&settings.read_queue));
        stranger.channel.basic_publish(properties, content.to_vec(), arguments).await.unwrap();
        assert_eq!(set_aside(&stranger, &settings).await, content);
    }
    ping(&sender, &Queue::Read).await.unwrap();
    assert_eq!(receive(&mut consumer).await.len(), 1);
    stranger.remove(&settings).await;
}

#[tokio::test]
async fn bytes_that_are_no_record_are_told_and_do_not_end_the_tail() {
    let settings = settings();
    let rabbitmq = connect(&settings).await;
    let log = rabbitmq.log();
    log.append(record(1)).await.unwrap();
    let stranger = Stranger::connect(&settings).await;
    let exchange = stranger.named(&settings.log_exchange);
    for content in [&b""[..], b"\xff", &[b'R', b'S', 200]] {
        publish(&stranger, &exchange, "any key", content).await;
    }
    let mut tail = log.tail(Offset(0)).await.unwrap();
    assert_eq!(numbers(&mut *tail, 4).await, [Some(1), None, None, None]);
    log.append(record(2)).await.unwrap();
    assert_eq!(numbers(&mut *tail, 1).await, [Some(2)]);
    assert_eq!(log.bounds().await.unwrap().next, Offset(5));
    stranger.remove(&settings).await;
}

#[tokio::test]
async fn append_without_a_stream_behind_the_exchange_is_an_error_and_makes_a_new_one() {
    let settings = settings();
    let rabbitmq = connect(&settings).await;
    let log = rabbitmq.log();
    log.append(record(1)).await.unwrap();
    let stranger = Stranger::connect(&settings).await;
    let queue = QueueDeleteArguments::new(&stranger.named(&settings.log_queue));
    stranger.channel.queue_delete(queue).await.unwrap();
    let lost = log.append(record(2)).await;
    assert!(matches!(lost, Err(LogError::Unavailable(_))), "{lost:?}");
    log.append(record(3)).await.unwrap();
    let mut tail = log.tail(Offset(0)).await.unwrap();
    assert_eq!(numbers(&mut *tail, 1).await, [Some(3)]);
    stranger.remove(&settings).await;
}

#[tokio::test]
async fn queue_that_exists_with_other_arguments_is_refused_with_a_reason() {
    let settings = settings();
    let stranger = Stranger::connect(&settings).await;
    let name = stranger.named(&settings.read_queue);
    let mut declaration = QueueDeclareArguments::durable_client_named(&name);
    let declaration = declaration.arguments(FieldTable::new()).finish();
    stranger.channel.queue_declare(declaration).await.unwrap();
    let rabbitmq = connect(&settings).await;
    let refused = rabbitmq.request_receiver().consume(&Queue::Read, 1).await;
    let Err(RequestsError::Unavailable(error)) = refused else { panic!("consumed") };
    assert!(error.to_string().contains("PRECONDITION_FAILED"), "{error}");
    assert!(error.to_string().contains(&name), "{error}");
    // The rest of the connection is not touched.
    let node = Queue::Node(NodeId::new("n1"));
    rabbitmq.request_receiver().consume(&node, 1).await.unwrap();
    stranger.remove(&settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_processes_that_make_the_log_together_are_all_there() {
    const PROCESSES: u64 = 8;
    let settings = settings();
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(connect(&settings).await);
    }
    let mut appending = tokio::task::JoinSet::new();
    for (rabbitmq, number) in processes.iter().zip(0..) {
        let log = rabbitmq.log();
        appending.spawn(async move { log.append(record(number)).await });
    }
    while let Some(appended) = appending.join_next().await {
        appended.unwrap().unwrap();
    }
    let mut tail = processes[0].log().tail(Offset(0)).await.unwrap();
    let mut found = numbers(&mut *tail, usize::try_from(PROCESSES).unwrap()).await;
    found.sort_unstable();
    assert!(found.into_iter().eq((0..PROCESSES).map(Some)));
    Stranger::connect(&settings).await.remove(&settings).await;
}
