//! The log in memory: it lives as long as a handle on it does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;

use super::{lock, size};
use crate::domain::ids::Offset;
use crate::domain::log::Record;
use crate::ports::log::{Bounds, Log, LogError, LogItem, LogTail};

/// How many records a tail hands out at once.
const PORTION_RECORDS: usize = 1_024;
/// About how many bytes a tail hands out at once; a single record may be larger.
const PORTION_BYTES: usize = 4 * 1024 * 1024;

/// What a log keeps and takes. Sizes are estimates of what the documents in a record take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How many records are kept before the oldest are taken away.
    pub max_records: usize,
    /// How many bytes of records are kept before the oldest are taken away.
    pub max_bytes: usize,
    /// How large a record may be.
    pub max_record_bytes: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { max_records: 1_000_000, max_bytes: 1 << 30, max_record_bytes: 64 << 20 }
    }
}

/// One log; a clone is another handle on it.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: LogSettings,
    kept: Mutex<Kept>,
    /// Wakes those who wait for a record, in the order in which they began to.
    appended: Notify,
}

/// Records `first..first + records.len()`, each with its size.
#[derive(Debug, Default)]
struct Kept {
    first: u64,
    bytes: usize,
    records: VecDeque<(Arc<Record>, usize)>,
}

impl Kept {
    fn bounds(&self) -> Bounds {
        let next = self.first + self.records.len() as u64;
        Bounds { first: Offset(self.first), next: Offset(next) }
    }

    fn push(&mut self, record: Arc<Record>, bytes: usize, settings: &LogSettings) {
        self.records.push_back((record, bytes));
        self.bytes += bytes;
        // The newest record stays, or its own tail would miss it.
        while self.records.len() > 1
            && (self.records.len() > settings.max_records || self.bytes > settings.max_bytes)
            && let Some((_, bytes)) = self.records.pop_front()
        {
            self.first += 1;
            self.bytes -= bytes;
        }
    }

    /// The next portion from an offset on; empty when there is none yet.
    fn portion(&self, from: Offset) -> Result<Vec<LogItem>, LogError> {
        let Bounds { first, next } = self.bounds();
        if from < first {
            return Err(LogError::Truncated { first });
        }
        if from >= next {
            return Ok(Vec::new());
        }
        // It is less than the number of records, which is a `usize`.
        let skipped = (from.0 - first.0) as usize;
        let mut bytes = 0;
        let within = |(_, size): &&(Arc<Record>, usize)| {
            let is_first = bytes == 0;
            bytes += size;
            is_first || bytes <= PORTION_BYTES
        };
        let records = self.records.range(skipped..).take(PORTION_RECORDS).take_while(within);
        Ok((from.0..)
            .zip(records)
            .map(|(offset, (record, _))| LogItem {
                offset: Offset(offset),
                record: Ok(Arc::clone(record)),
            })
            .collect())
    }
}

impl MemoryLog {
    /// A new, empty log.
    #[must_use]
    pub fn new(settings: LogSettings) -> Self {
        let (kept, appended) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { settings, kept, appended }) }
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, record: Arc<Record>) -> Result<(), LogError> {
        consume_budget().await;
        let bytes = size::of_record(&record);
        if bytes > self.shared.settings.max_record_bytes {
            return Err(LogError::TooLarge { bytes });
        }
        lock(&self.shared.kept).push(record, bytes, &self.shared.settings);
        self.shared.appended.notify_waiters();
        Ok(())
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        Ok(lock(&self.shared.kept).bounds())
    }

    async fn tail(&self, from: Offset) -> Result<Box<dyn LogTail>, LogError> {
        let first = lock(&self.shared.kept).bounds().first;
        if from < first {
            return Err(LogError::Truncated { first });
        }
        Ok(Box::new(MemoryTail { shared: Arc::clone(&self.shared), position: from }))
    }
}

struct MemoryTail {
    shared: Arc<Shared>,
    position: Offset,
}

#[async_trait]
impl LogTail for MemoryTail {
    async fn next(&mut self) -> Result<Vec<LogItem>, LogError> {
        consume_budget().await;
        loop {
            // Made before the look: an append between look and wait wakes it all the same.
            let appended = self.shared.appended.notified();
            let items = lock(&self.shared.kept).portion(self.position)?;
            if let Some(last) = items.last() {
                self.position = last.offset.next();
                return Ok(items);
            }
            appended.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{Epoch, LogId, NodeId};
    use crate::domain::log::RecordBody;

    fn record(number: u64) -> Arc<Record> {
        Arc::new(Record {
            log_id: LogId::new("history"),
            epoch: Epoch(1),
            appended_at_ms: number,
            body: RecordBody::Epoch { master: NodeId::new("n1"), on_own_data: false },
        })
    }

    #[tokio::test(start_paused = true)]
    async fn tail_that_retention_overtook_is_told_of_the_gap() {
        let log = MemoryLog::new(LogSettings { max_records: 3, ..LogSettings::default() });
        let mut tail = log.tail(Offset(0)).await.unwrap();
        log.append(record(0)).await.unwrap();
        assert_eq!(tail.next().await.unwrap().len(), 1);
        for number in 1..5 {
            log.append(record(number)).await.unwrap();
        }
        let bounds = log.bounds().await.unwrap();
        assert_eq!(bounds, Bounds { first: Offset(2), next: Offset(5) });
        let overtaken = tail.next().await;
        assert!(
            matches!(overtaken, Err(LogError::Truncated { first: Offset(2) })),
            "{overtaken:?}"
        );
        let left = log.tail(Offset(2)).await.unwrap().next().await.unwrap();
        let offsets: Vec<_> = left.iter().map(|item| item.offset).collect();
        assert_eq!(offsets, [Offset(2), Offset(3), Offset(4)]);
    }
}
