//! The RabbitMQ adapters under the suites of their ports, on the broker of the environment.

mod log;
mod progress;
mod requests;

use std::time::Duration;

use amqprs::channel::{ExchangeDeleteArguments, QueueDeleteArguments};
use amqprs::connection::{Connection, OpenConnectionArguments};
use rideshare::adapters::rabbitmq::{Rabbitmq, RabbitmqSettings};
use uuid::Uuid;

use crate::cases::BOUND;

/// Settings with names that no other test uses.
fn settings() -> RabbitmqSettings {
    let url = std::env::var("RIDESHARE_RABBITMQ__URL")
        .expect("RIDESHARE_RABBITMQ__URL must name a broker");
    RabbitmqSettings { url, prefix: format!("test.{}.", Uuid::now_v7()), ..Default::default() }
}

/// One more process with access to the broker.
async fn connect(settings: &RabbitmqSettings) -> Rabbitmq {
    let rabbitmq = Rabbitmq::start(settings.clone()).unwrap();
    assert!(rabbitmq.connected(BOUND).await, "no connection to the broker");
    rabbitmq
}

/// Removes everything with the prefix that outlives its connection.
async fn remove(settings: &RabbitmqSettings) {
    let arguments = OpenConnectionArguments::try_from(settings.url.as_str()).unwrap();
    let connection = Connection::open(&arguments).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    let named = |name: &str| format!("{}{name}", settings.prefix);
    for queue in [
        &settings.read_queue,
        &settings.write_queue,
        &settings.dead_letter_queue,
        &settings.log_queue,
    ] {
        channel.queue_delete(QueueDeleteArguments::new(&named(queue))).await.unwrap();
    }
    for exchange in [&settings.log_exchange, &settings.progress_exchange] {
        channel.exchange_delete(ExchangeDeleteArguments::new(&named(exchange))).await.unwrap();
    }
    // The deletion of a stream goes on in the background.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let _ = connection.close().await;
}
