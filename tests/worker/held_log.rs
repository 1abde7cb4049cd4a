//! A log that takes everything, and that can be read only while the test lets it.

use std::sync::Arc;

use async_trait::async_trait;
use rideshare::adapters::memory::MemoryLog;
use rideshare::domain::ids::Offset;
use rideshare::domain::log::Record;
use rideshare::ports::log::{Bounds, Log, LogError, LogItem, LogTail};
use tokio::sync::watch;

pub(crate) struct HeldLog {
    log: watch::Receiver<MemoryLog>,
    reading: watch::Receiver<bool>,
}

impl HeldLog {
    pub(crate) fn new(log: watch::Receiver<MemoryLog>, reading: watch::Receiver<bool>) -> Self {
        Self { log, reading }
    }

    fn log(&self) -> MemoryLog {
        self.log.borrow().clone()
    }
}

#[async_trait]
impl Log for HeldLog {
    async fn append(&self, record: Arc<Record>) -> Result<(), LogError> {
        self.log().append(record).await
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        self.log().bounds().await
    }

    async fn tail(&self, from: Offset) -> Result<Box<dyn LogTail>, LogError> {
        let (tail, reading) = (self.log().tail(from).await?, self.reading.clone());
        Ok(Box::new(HeldTail { tail, reading }))
    }
}

struct HeldTail {
    tail: Box<dyn LogTail>,
    reading: watch::Receiver<bool>,
}

#[async_trait]
impl LogTail for HeldTail {
    async fn next(&mut self) -> Result<Vec<LogItem>, LogError> {
        loop {
            // Whoever held the log up and is gone holds it up for good.
            if self.reading.wait_for(|may_read| *may_read).await.is_err() {
                std::future::pending().await
            }
            tokio::select! {
                biased;
                changed = self.reading.changed() => drop(changed),
                items = self.tail.next() => return items,
            }
        }
    }
}
