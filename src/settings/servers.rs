//! Settings of the roles that run as processes on real servers.
//!
//! Invariant: nothing here shows a URL or a credential when it is printed for a log.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::SettingsError;

/// The longest name of a worker, so that its database's name fits too.
const LONGEST_NODE: usize = 40;
/// The longest name of a database.
const LONGEST_DATABASE: usize = 63;

/// A text that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself; empty when it was not set.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(redacted)")
    }
}

/// How the broker keeps the write queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueKind {
    /// On one node of the broker.
    Classic,
    /// Replicated.
    Quorum,
}

/// The broker; `config/base.toml` says what each key means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained where their defaults stand")]
pub struct Rabbitmq {
    pub url: Secret,
    pub url_file: PathBuf,
    pub ca_file: PathBuf,
    pub prefix: String,
    pub read_queue: String,
    pub write_queue: String,
    pub write_queue_kind: QueueKind,
    pub queue_max_length: u32,
    pub delivery_limit: u32,
    pub dead_letter_queue: String,
    pub dead_letter_max_length: u32,
    pub log_exchange: String,
    pub log_queue: String,
    pub log_segment_bytes: u64,
    pub log_prefetch: u16,
    pub progress_exchange: String,
    pub progress_buffer: usize,
    pub max_message_bytes: usize,
    pub heartbeat_seconds: u16,
    pub wait_ms: u64,
    pub confirm_timeout_ms: u64,
}

/// The coordination service; `config/base.toml` says what each key means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained where their defaults stand")]
pub struct Zookeeper {
    pub hosts: String,
    pub root: String,
    pub session_timeout_ms: u64,
    pub credentials: Secret,
    pub credentials_file: PathBuf,
}

/// The workers' database server; `config/base.toml` says what each key means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained where their defaults stand")]
pub struct Mongodb {
    pub url: Secret,
    pub url_file: PathBuf,
    pub database_prefix: String,
    pub advertised_host: String,
    pub query_timeout_ms: u64,
    pub write_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    pub max_connections: u32,
    pub journal: bool,
}

/// What starts and watches workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// Child processes of the orchestrator.
    Process,
    /// Containers of a Docker engine, each with a database of its own.
    Docker,
}

/// The runtime of the workers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Containers {
    /// Which.
    pub runtime: Runtime,
    /// Where the process runtime keeps its records and the workers' logs.
    pub state_dir: PathBuf,
    /// How long the workers may take to finish when the orchestrator stops.
    pub drain_limit_ms: u64,
    /// So many databases of removed workers are kept.
    pub keep_databases: usize,
}

/// What a worker is started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum WorkerType {
    /// May found a history where none was begun.
    Master,
    /// Waits to be chosen.
    Slave,
}

impl WorkerType {
    /// The name as it is written in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Slave => "slave",
        }
    }
}

/// One worker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// What it is started as.
    #[serde(rename = "type")]
    pub start_as: WorkerType,
    /// Its name; empty makes a new one.
    pub node: String,
    /// A container runtime started it and watches over it.
    pub managed: bool,
    /// It serves `/healthz` and `/metrics`.
    pub http: bool,
}

/// Checks what spans these sections.
pub(super) fn check(worker: &Worker, mongodb: &Mongodb) -> Result<(), SettingsError> {
    let is_plain = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    if worker.node.len() > LONGEST_NODE || !is_plain(&worker.node) {
        return Err(SettingsError(format!(
            "setting `worker.node` must be at most {LONGEST_NODE} letters, digits, `_` or `-`"
        )));
    }
    let prefix = &mongodb.database_prefix;
    if prefix.len() > LONGEST_DATABASE - LONGEST_NODE || !is_plain(prefix) {
        return Err(SettingsError(format!(
            "setting `mongodb.database_prefix` must be at most {} letters, digits, `_` or `-`",
            LONGEST_DATABASE - LONGEST_NODE
        )));
    }
    Ok(())
}
