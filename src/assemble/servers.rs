//! The real servers: RabbitMQ, ZooKeeper and MongoDB, from the settings.
//!
//! Nothing here waits for a server: each adapter connects in the background and tries again.

use std::time::Duration;

use anyhow::Context;

use crate::adapters::mongo::{self, MongoSettings};
use crate::adapters::rabbitmq::{self, RabbitmqSettings};
use crate::adapters::zookeeper::{Credentials, ZookeeperCoordination, ZookeeperSettings};
use crate::domain::ids::NodeId;
use crate::settings::{Mongodb, QueueKind, Settings};

/// Starts to connect to the broker.
pub(super) fn rabbitmq(settings: &Settings) -> anyhow::Result<rabbitmq::Rabbitmq> {
    let own = settings.rabbitmq.clone();
    rabbitmq::Rabbitmq::start(RabbitmqSettings {
        url: own.url.expose().to_owned(),
        ca_file: Some(own.ca_file).filter(|path| !path.as_os_str().is_empty()),
        prefix: own.prefix,
        read_queue: own.read_queue,
        write_queue: own.write_queue,
        write_queue_kind: match own.write_queue_kind {
            QueueKind::Classic => rabbitmq::QueueKind::Classic,
            QueueKind::Quorum => rabbitmq::QueueKind::Quorum,
        },
        queue_max_length: own.queue_max_length,
        delivery_limit: own.delivery_limit,
        dead_letter_queue: own.dead_letter_queue,
        dead_letter_max_length: own.dead_letter_max_length,
        log_exchange: own.log_exchange,
        log_queue: own.log_queue,
        log_max_bytes: settings.log.max_bytes,
        log_segment_bytes: own.log_segment_bytes,
        log_prefetch: own.log_prefetch,
        progress_exchange: own.progress_exchange,
        progress_buffer: own.progress_buffer,
        max_message_bytes: own.max_message_bytes,
        heartbeat_seconds: own.heartbeat_seconds,
        wait_ms: own.wait_ms,
        confirm_timeout_ms: own.confirm_timeout_ms,
    })
    .context("settings of RabbitMQ")
}

/// Starts a session with the coordination service.
pub(super) fn zookeeper(settings: &Settings) -> anyhow::Result<ZookeeperCoordination> {
    let own = &settings.zookeeper;
    let credentials = Some(own.credentials.expose()).filter(|text| !text.is_empty());
    ZookeeperCoordination::open(ZookeeperSettings {
        hosts: own.hosts.clone(),
        root: own.root.clone(),
        session_timeout_ms: own.session_timeout_ms,
        credentials: credentials.map(Credentials::new),
    })
    .context("settings of ZooKeeper")
}

/// Where a worker's database is.
pub(super) fn mongodb(settings: &Mongodb, node: &NodeId) -> MongoSettings {
    let advertised = Some(&settings.advertised_host).filter(|host| !host.is_empty());
    MongoSettings {
        uri: settings.url.expose().to_owned(),
        database: format!("{}{node}", settings.database_prefix),
        advertised_host: advertised.cloned(),
        query_timeout: Duration::from_millis(settings.query_timeout_ms),
        write_timeout: Duration::from_millis(settings.write_timeout_ms),
        connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
        max_connections: settings.max_connections,
        journal: settings.journal,
    }
}

/// Removes a worker's database for good. Idempotent.
pub(super) async fn remove_database(settings: &Mongodb, node: &NodeId) -> anyhow::Result<()> {
    mongo::remove_database(&mongodb(settings, node)).await?;
    Ok(())
}
