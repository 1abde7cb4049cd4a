//! Appends: takes what waits, commits it as one group, then tells everyone.

use std::sync::{Arc, PoisonError};

use anyhow::anyhow;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, warn};

use super::Shared;
use super::schema::{self, Extent, Place};
use crate::adapters::sqlite::error::is_passing;
use crate::domain::ids::Offset;
use crate::domain::log::Record;
use crate::ports::log::{Bounds, LogError};

/// Most that one commit takes.
const GROUP_RECORDS: usize = 1024;
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// What retention deletes in one commit: this, and twice what the commit brings, so that it catches
/// up. Few enough not to be felt.
const TRIM_RECORDS: u32 = 64;
const TRIM_BYTES: u64 = 1024 * 1024;

/// How far over its bound the log grows before retention begins, as a divisor of the bound.
const SLACK: u64 = 8;

/// One append on its way.
pub(super) struct Append {
    pub(super) record: Arc<Record>,
    pub(super) bytes: Vec<u8>,
    pub(super) reply: oneshot::Sender<Result<(), LogError>>,
}

/// Owns the one connection that writes.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) extent: Extent,
    pub(super) max_bytes: u64,
    /// Retention has begun, and goes on with the next commits.
    pub(super) is_trimming: bool,
    pub(super) shared: Arc<Shared>,
    pub(super) appends: mpsc::Receiver<Append>,
    /// Dropped with the writer, which ends the tails.
    pub(super) publish: watch::Sender<Bounds>,
}

/// Where a commit failed.
enum Failed {
    /// Nothing of it is in the file.
    Before(rusqlite::Error),
    /// It was on its way to the disk.
    During(rusqlite::Error),
}

impl Writer {
    /// Runs until nobody can append any more and everything handed over is written.
    pub(super) fn run(mut self) {
        while let Some(first) = self.appends.blocking_recv() {
            let group = self.gather(first);
            self.append(group);
        }
    }

    /// Everything that waits, within the bounds of a group; what nobody waits for is left out.
    fn gather(&mut self, first: Append) -> Vec<Append> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(append) = next {
            if !append.reply.is_closed() {
                bytes += append.bytes.len();
                group.push(append);
            }
            let has_room = group.len() < GROUP_RECORDS && bytes < GROUP_BYTES;
            next = if has_room { self.appends.try_recv().ok() } else { None };
        }
        group
    }

    fn append(&mut self, group: Vec<Append>) {
        if group.is_empty() {
            return;
        }
        let places = self.places(&group);
        match self.commit(&group, &places) {
            Ok(extent) => self.confirm(group, &places, extent),
            Err(failed) => self.fail(group, &places, failed),
        }
    }

    /// Where the records of a group will stand, and the end after them.
    fn places(&self, group: &[Append]) -> Vec<Place> {
        let mut place = self.extent.end;
        let mut places = vec![place];
        for append in group {
            let bytes = i64::try_from(append.bytes.len()).unwrap_or(i64::MAX);
            place = Place { offset: place.offset + 1, position: place.position + bytes };
            places.push(place);
        }
        places
    }

    /// Writes a group and syncs it; returns the extent of the log after it.
    fn commit(&mut self, group: &[Append], places: &[Place]) -> Result<Extent, Failed> {
        let behavior = TransactionBehavior::Immediate;
        let transaction =
            self.connection.transaction_with_behavior(behavior).map_err(Failed::Before)?;
        let end = places.last().copied().unwrap_or(self.extent.end);
        let mut extent = Extent { end, ..self.extent };
        let write = |extent: &mut Extent| {
            for (append, place) in group.iter().zip(places) {
                schema::insert(&transaction, *place, &append.bytes)?;
            }
            schema::set_end(&transaction, end)?;
            if self.is_trimming {
                let brought = extent.bytes() - self.extent.bytes();
                let kept = extent.bytes().saturating_sub(TRIM_BYTES + 2 * brought);
                let limit = TRIM_RECORDS + 2 * u32::try_from(group.len()).unwrap_or(u32::MAX / 4);
                extent.first = schema::trim(&transaction, extent, kept.max(self.max_bytes), limit)?;
            }
            Ok(())
        };
        write(&mut extent).map_err(Failed::Before)?;
        match transaction.commit() {
            Ok(()) => Ok(extent),
            // The mark that makes a commit count is the last thing written; the disk was full
            // before.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                Err(Failed::Before(error))
            }
            Err(error) => Err(Failed::During(error)),
        }
    }

    /// Shows a group to the tails, then answers.
    fn confirm(&mut self, group: Vec<Append>, places: &[Place], extent: Extent) {
        self.extent = extent;
        // Begun late and carried on for a while, retention does not touch every commit.
        let begins_at = self.max_bytes.saturating_add(self.max_bytes / SLACK);
        let bound = if self.is_trimming { self.max_bytes } else { begins_at };
        self.is_trimming = extent.bytes() > bound;
        let mut replies = Vec::with_capacity(group.len());
        {
            let mut recent = self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner);
            for (append, place) in group.into_iter().zip(places) {
                let offset = Offset(place.offset.unsigned_abs());
                recent.push(offset, append.record, append.bytes.len());
                replies.push(append.reply);
            }
        }
        self.publish.send_replace(extent.bounds());
        for reply in replies {
            // Nobody may wait any more; the record stands all the same.
            drop(reply.send(Ok(())));
        }
    }

    fn fail(&mut self, group: Vec<Append>, places: &[Place], failed: Failed) {
        let (error, is_unknown) = match failed {
            Failed::Before(error) => (error, false),
            Failed::During(error) => (error, true),
        };
        let found = schema::extent(&self.connection);
        if let (true, Ok(extent)) = (is_unknown, &found)
            && Some(&extent.end) == places.last()
        {
            warn!(%error, "commit reported as failed has reached the log");
            return self.confirm(group, places, *extent);
        }
        error!(%error, is_unknown, "append to the log failed");
        if let Ok(extent) = found {
            self.extent = extent;
            self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.publish.send_replace(extent.bounds());
        }
        let error = Arc::new(error);
        for append in group {
            let source = anyhow!(Arc::clone(&error));
            let told = match (is_unknown, is_passing(&error)) {
                (true, _) => LogError::Unknown(source),
                (false, true) => LogError::Unavailable(source),
                (false, false) => LogError::Internal(source),
            };
            drop(append.reply.send(Err(told)));
        }
    }
}
