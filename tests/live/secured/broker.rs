//! RabbitMQ over TLS, with a user of its own and without the guest.

use std::sync::Arc;

use rideshare::adapters::rabbitmq::{Rabbitmq, RabbitmqSettings};
use rideshare::domain::ids::Offset;
use rideshare::domain::message::{Reply, Request};
use rideshare::ports::log::{Log, LogError};
use rideshare::ports::requests::{Correlation, Queue, RequestReceiver, RequestSender};
use tokio::time::timeout;

use super::certificates::{Authority, broken};
use crate::broker::{BOUND, OwnBroker, connect};
use crate::rabbitmq::{numbers, ping, receive, record};

const USER: &str = "rideshare";
/// As it is, and as it stands in a URL.
const PASSWORD: [&str; 2] = ["p@ss:w/rd", "p%40ss%3Aw%2Frd"];

pub(super) struct SecuredBroker {
    _broker: OwnBroker,
    authority: Authority,
    port: u16,
}

impl SecuredBroker {
    /// What is never to be shown.
    pub(super) const SECRETS: &[&str] = &PASSWORD;

    pub(super) fn url(&self) -> String {
        self.settings(PASSWORD[1], None).url
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) async fn start() -> Self {
        let authority = Authority::new();
        let broker = OwnBroker::prepare().await;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        broker.configure(&format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n",
            authority.certificate().display(),
            authority.server_certificate().display(),
            authority.server_key().display(),
        ));
        broker.start().await;
        broker.control(&["add_user", USER, PASSWORD[0]]).await;
        broker.control(&["set_permissions", USER, ".*", ".*", ".*"]).await;
        broker.control(&["delete_user", "guest"]).await;
        Self { _broker: broker, authority, port }
    }

    fn settings(&self, password: &str, trusted: Option<&Authority>) -> RabbitmqSettings {
        RabbitmqSettings {
            url: format!("amqps://{USER}:{password}@127.0.0.1:{}", self.port),
            ca_file: trusted.map(Authority::certificate),
            ..Default::default()
        }
    }
}

/// Why nothing can be appended with these settings.
async fn refusal(settings: RabbitmqSettings) -> String {
    let rabbitmq = Rabbitmq::start(settings).unwrap();
    let log = rabbitmq.log();
    let refused = async {
        loop {
            match log.append(record(1)).await {
                Err(LogError::Unavailable(error)) => {
                    let reason = format!("{error:#}");
                    // The first attempt may not have come to its end yet.
                    if !reason.contains("not tried yet") {
                        return reason;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    };
    timeout(BOUND, refused).await.expect("a refusal")
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_over_tls_carries_log_and_requests() {
    let broker = SecuredBroker::start().await;
    let rabbitmq = connect(&broker.settings(PASSWORD[1], Some(&broker.authority))).await;
    let log = rabbitmq.log();
    log.append(record(7)).await.unwrap();
    let mut tail = log.tail(Offset(0)).await.unwrap();
    assert_eq!(numbers(&mut *tail, 1).await, [Some(7)]);

    let sender = rabbitmq.request_sender();
    let mut replies = sender.take_replies().unwrap();
    let mut consumer = rabbitmq.request_receiver().consume(&Queue::Write, 10).await.unwrap();
    ping(&sender, &Queue::Write).await.unwrap();
    let delivery = receive(&mut consumer).await.remove(0);
    assert_eq!(delivery.request, Arc::new(Request::Ping));
    consumer.answers.answer(vec![(delivery.ticket, Reply::Pong)]).await.unwrap();
    let reply = timeout(BOUND, replies.recv()).await.unwrap();
    assert_eq!(reply, Some((Correlation(1), Reply::Pong)));
    rabbitmq.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_that_no_trusted_authority_vouches_for_is_refused_and_the_setting_named() {
    let (broker, other) = (SecuredBroker::start().await, Authority::new());
    for trusted in [Some(&other), None] {
        let reason = refusal(broker.settings(PASSWORD[1], trusted)).await;
        assert!(reason.contains("certificate"), "{reason}");
        assert!(reason.contains("rabbitmq.ca_file"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_of_the_broker_is_told_by_its_setting_and_not_shown() {
    let broker = SecuredBroker::start().await;
    let reason = refusal(broker.settings("guessed", Some(&broker.authority))).await;
    assert!(reason.contains("user or password of rabbitmq.url"), "{reason}");
    assert!(!reason.contains("guessed"), "{reason}");
}

#[tokio::test]
async fn file_without_a_certificate_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.pem");
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let files = [missing, broken(directory.path(), "")];
    let url = "amqps://127.0.0.1:1".to_owned();
    let start = |ca_file| {
        let settings = RabbitmqSettings { url: url.clone(), ca_file, ..Default::default() };
        Rabbitmq::start(settings).err().map(|error| format!("{error:#}"))
    };
    for file in files {
        let error = start(Some(file.clone())).expect("no certificate");
        assert!(error.contains("rabbitmq.ca_file"), "{error}");
        assert!(error.contains(&file.display().to_string()), "{error}");
    }
    let error = start(Some(broken(directory.path(), nonsense))).expect("no certificate");
    assert!(error.contains("rabbitmq.ca_file"), "{error}");
}
