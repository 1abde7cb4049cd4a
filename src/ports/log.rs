//! The durable, totally ordered sequence of records that the whole database hangs on.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::ids::Offset;
use crate::domain::log::Record;
use crate::domain::message::Undecodable;

/// Why the log did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log cannot be reached, and nothing was appended; retrying later may help.
    #[error("the log is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// The append was sent but not confirmed: the record may be in the log, or land there later.
    #[error("it is unknown whether the record was appended")]
    Unknown(#[source] anyhow::Error),
    /// Records from the asked offset on are gone by retention: take a snapshot instead.
    #[error("the log starts at offset {first} only")]
    Truncated {
        /// The oldest record that is still there.
        first: Offset,
    },
    /// The record is larger than the log takes; nothing was appended.
    #[error("a record of {bytes} bytes is larger than the log takes")]
    TooLarge {
        /// Its encoded size.
        bytes: usize,
    },
    /// The log is broken in a way that retrying does not mend.
    #[error("the log failed")]
    Internal(#[source] anyhow::Error),
}

/// What the log holds at the moment: records with `first <= offset < next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest record still there; equal to `next` when there is none.
    pub first: Offset,
    /// The offset that the next record will get.
    pub next: Offset,
}

/// One record as it is read back.
#[derive(Clone, Debug)]
pub struct LogItem {
    /// Its place; ascending, though not without gaps: some logs count what is no record too.
    pub offset: Offset,
    /// The record, or why these bytes are none.
    pub record: Result<Arc<Record>, Undecodable>,
}

/// An append-only log.
///
/// Contract:
/// - `append` returns once the record is durable and ordered; it then reaches every tail.
/// - All tails see the same records at the same offsets, forever.
/// - A record whose append returned `Unavailable` or `TooLarge` is never seen; one that returned
///   `Unknown` may be seen, at once or later, at most once.
/// - Appends that overlap are ordered arbitrarily; an append that was confirmed stands before
///   every append that was begun after it.
#[async_trait]
pub trait Log: Send + Sync {
    /// Appends one record. Not idempotent.
    async fn append(&self, record: Arc<Record>) -> Result<(), LogError>;

    /// What the log holds now. `next` counts every append confirmed before the call.
    async fn bounds(&self) -> Result<Bounds, LogError>;

    /// Reads from `from` on, and then follows. An offset that does not exist yet is waited for.
    ///
    /// # Errors
    /// `Truncated` here or at the tail's first `next` when retention has taken `from` away.
    async fn tail(&self, from: Offset) -> Result<Box<dyn LogTail>, LogError>;
}

/// A reader's place in the log.
#[async_trait]
pub trait LogTail: Send + Sync {
    /// Waits for the next records: at least one, bounded in number and bytes, offsets ascending.
    ///
    /// Cancel safe: nothing is skipped when the future is dropped. After `Unavailable` the tail
    /// is of no further use; open a new one.
    async fn next(&mut self) -> Result<Vec<LogItem>, LogError>;
}
