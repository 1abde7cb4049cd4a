//! What can be set about the broker, and the names of everything on it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use serde::Deserialize;

use super::address::Address;
use crate::domain::ids::NodeId;

/// How the broker keeps a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueKind {
    /// On one node of the broker; the fastest.
    Classic,
    /// Replicated and synced to disk; survives the loss of a broker node.
    Quorum,
}

/// Where the broker is and how it is used. Sizes and kinds of queues are fixed when they are
/// first declared: a later change is refused by the broker and told in the log.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RabbitmqSettings {
    /// `amqp://` or `amqps://user:password@host:port/vhost`; its password is never shown.
    pub url: String,
    /// Certificates (PEM) to trust for `amqps://` in place of the well-known ones.
    pub ca_file: Option<PathBuf>,
    /// Stands before every name below, so that several clusters can share a broker.
    pub prefix: String,
    /// The durable classic queue that all slaves consume.
    pub read_queue: String,
    /// The durable queue that the master consumes.
    pub write_queue: String,
    /// How the write queue is kept.
    pub write_queue_kind: QueueKind,
    /// Requests that a queue holds before it refuses more.
    pub queue_max_length: u32,
    /// Deliveries of one request without an answer before it is set aside (quorum queues only;
    /// a classic queue does not count, there a request lives until it expires).
    pub delivery_limit: u32,
    /// Where requests that nobody could carry out are set aside, for people to look at.
    pub dead_letter_queue: String,
    /// Messages that are kept there; the oldest go first.
    pub dead_letter_max_length: u32,
    /// The fanout exchange that records are appended through.
    pub log_exchange: String,
    /// The stream that keeps the records.
    pub log_queue: String,
    /// Bytes of records that are kept at least, in whole segments; the oldest go first.
    pub log_max_bytes: u64,
    /// Bytes of one segment, the unit of retention. At most half of what is kept: the broker never
    /// takes the last segment away, but one that was just begun holds no record yet.
    pub log_segment_bytes: u64,
    /// Records on their way to one tail at most; bounds its memory.
    pub log_prefetch: u16,
    /// The fanout exchange of the workers' signs of life.
    pub progress_exchange: String,
    /// Signs of life that a slow listener may fall behind.
    pub progress_buffer: usize,
    /// Bytes of the largest message; the broker's own `max_message_size` must not be smaller.
    pub max_message_bytes: usize,
    /// Silence after which the other side is taken for dead, at most two of these.
    pub heartbeat_seconds: u16,
    /// How long an operation waits for a connection before it gives up.
    pub wait_ms: u64,
    /// How long a message that was sent may stay unconfirmed.
    pub confirm_timeout_ms: u64,
}

impl Default for RabbitmqSettings {
    fn default() -> Self {
        Self {
            url: "amqp://guest:guest@127.0.0.1:5672".to_owned(),
            ca_file: None,
            prefix: String::new(),
            read_queue: "readQ".to_owned(),
            write_queue: "writeQ".to_owned(),
            write_queue_kind: QueueKind::Classic,
            queue_max_length: 50_000,
            delivery_limit: 20,
            dead_letter_queue: "rideshare.dead".to_owned(),
            dead_letter_max_length: 10_000,
            log_exchange: "syncQ".to_owned(),
            log_queue: "rideshare.log".to_owned(),
            log_max_bytes: 10 << 30,
            log_segment_bytes: 64 << 20,
            log_prefetch: 512,
            progress_exchange: "progress".to_owned(),
            progress_buffer: 1_024,
            max_message_bytes: 16 << 20,
            heartbeat_seconds: 5,
            wait_ms: 2_000,
            confirm_timeout_ms: 10_000,
        }
    }
}

impl fmt::Debug for RabbitmqSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = Address::parse(&self.url)
            .map_or_else(|_| "unreadable".to_owned(), |address| address.to_string());
        formatter
            .debug_struct("RabbitmqSettings")
            .field("url", &url)
            .field("prefix", &self.prefix)
            .field("write_queue_kind", &self.write_queue_kind)
            .field("log_queue", &self.log_queue)
            .field("log_max_bytes", &self.log_max_bytes)
            .finish_non_exhaustive()
    }
}

/// The protocol's names are at most 255 bytes long; this leaves room for ids.
const LONGEST_NAME: usize = 120;

impl RabbitmqSettings {
    /// Checks what the broker or the client would choke on.
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        for name in [
            &self.read_queue,
            &self.write_queue,
            &self.dead_letter_queue,
            &self.log_exchange,
            &self.log_queue,
            &self.progress_exchange,
        ] {
            let length = self.prefix.len() + name.len();
            ensure!(!name.is_empty(), "rabbitmq: a name is empty");
            ensure!(length <= LONGEST_NAME, "rabbitmq: the name {name} is too long");
        }
        // The client truncates half a heartbeat to seconds and would spin at 0.
        ensure!(self.heartbeat_seconds >= 2, "rabbitmq.heartbeat_seconds must be at least 2");
        ensure!(self.log_prefetch > 0, "rabbitmq.log_prefetch must not be 0");
        ensure!(self.progress_buffer > 0, "rabbitmq.progress_buffer must not be 0");
        ensure!(
            self.log_segment_bytes <= self.log_max_bytes / 2,
            "rabbitmq.log_segment_bytes must not be larger than half of log.max_bytes"
        );
        Ok(())
    }

    /// A name as it stands on the broker.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The queue of one worker; `None` for an id that makes no name.
    pub(super) fn node_queue(&self, node: &NodeId) -> Option<String> {
        let name = self.name(&format!("node.{node}"));
        (name.len() <= 2 * LONGEST_NAME).then_some(name)
    }

    pub(super) fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }

    pub(super) fn confirm_timeout(&self) -> Duration {
        Duration::from_millis(self.confirm_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_name_what_the_design_names() {
        let settings = RabbitmqSettings::default();
        settings.validate().unwrap();
        assert_eq!(settings.name(&settings.read_queue), "readQ");
        assert_eq!(settings.name(&settings.log_exchange), "syncQ");
    }

    #[test]
    fn debug_output_shows_no_password() {
        let settings = RabbitmqSettings {
            url: "amqp://user:hidden@broker/vhost".to_owned(),
            ..RabbitmqSettings::default()
        };
        let shown = format!("{settings:?}");
        assert!(shown.contains("user@broker") && !shown.contains("hidden"), "{shown}");
        let broken = RabbitmqSettings { url: "amqp//u:hidden".to_owned(), ..settings };
        assert!(!format!("{broken:?}").contains("hidden"));
    }

    #[test]
    fn settings_that_the_client_would_choke_on_are_refused() {
        let valid = RabbitmqSettings::default;
        let table = [
            RabbitmqSettings { heartbeat_seconds: 1, ..valid() },
            RabbitmqSettings { prefix: "p".repeat(300), ..valid() },
            RabbitmqSettings { log_queue: String::new(), ..valid() },
            RabbitmqSettings { log_prefetch: 0, ..valid() },
            RabbitmqSettings { log_segment_bytes: 2, log_max_bytes: 1, ..valid() },
        ];
        for settings in table {
            assert!(settings.validate().is_err(), "{settings:?}");
        }
        assert_eq!(valid().node_queue(&NodeId::new("n".repeat(300))), None);
    }
}
