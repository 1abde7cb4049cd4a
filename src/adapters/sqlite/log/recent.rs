//! The newest records, kept in memory so that tails that keep up never touch the file.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::ids::Offset;
use crate::domain::log::Record;
use crate::ports::log::LogItem;

/// Most that is kept; the newest record is kept whatever its size.
const MAX_RECORDS: usize = 4096;
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Most that one portion for a tail holds.
const PORTION_RECORDS: usize = 512;
const PORTION_BYTES: usize = 4 * 1024 * 1024;

/// A window on the end of the log, without gaps.
#[derive(Debug, Default)]
pub(super) struct Recent {
    records: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    offset: Offset,
    record: Arc<Record>,
    /// Its encoded size.
    bytes: usize,
}

impl Recent {
    pub(super) fn push(&mut self, offset: Offset, record: Arc<Record>, bytes: usize) {
        self.records.push_back(Kept { offset, record, bytes });
        self.bytes += bytes;
        while self.records.len() > MAX_RECORDS || (self.bytes > MAX_BYTES && self.records.len() > 1)
        {
            if let Some(oldest) = self.records.pop_front() {
                self.bytes -= oldest.bytes;
            }
        }
    }

    /// Forgets everything: what was pushed may not be what the file holds.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A portion of the records from an offset on; empty unless that one is kept.
    pub(super) fn read(&self, from: Offset) -> Vec<LogItem> {
        let begins_before = self.records.front().is_some_and(|oldest| oldest.offset <= from);
        if !begins_before {
            return Vec::new();
        }
        let start = self.records.partition_point(|kept| kept.offset < from);
        let mut bytes = 0;
        let fits = |kept: &&Kept| {
            let is_begun_in_time = bytes < PORTION_BYTES;
            bytes += kept.bytes;
            is_begun_in_time
        };
        let portion = self.records.range(start..).take(PORTION_RECORDS).take_while(fits);
        portion
            .map(|kept| LogItem { offset: kept.offset, record: Ok(Arc::clone(&kept.record)) })
            .collect()
    }
}
