//! A reader's place in the log.

use std::sync::{Arc, PoisonError};

use anyhow::anyhow;
use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::watch;

use super::{Shared, schema};
use crate::domain::ids::Offset;
use crate::ports::log::{Bounds, LogError, LogItem, LogTail};

pub(super) struct SqliteTail {
    shared: Arc<Shared>,
    bounds: watch::Receiver<Bounds>,
    /// What is handed out next. Moves only after the last await of a `next`.
    position: Offset,
}

impl SqliteTail {
    pub(super) fn new(shared: Arc<Shared>, from: Offset) -> Self {
        let bounds = shared.bounds.clone();
        Self { shared, bounds, position: from }
    }

    fn read_recent(&self) -> Vec<LogItem> {
        self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner).read(self.position)
    }

    async fn read_file(&self, until: Offset) -> Result<Vec<LogItem>, LogError> {
        let from = self.position;
        let read = move |connection: &mut Connection, _: &dyn Fn() -> bool| {
            schema::read(connection, from, until)
        };
        let stopped = |stopped| LogError::Internal(anyhow!("{stopped}"));
        let items = self.shared.readers.run(read).await.map_err(stopped)??;
        match items.first() {
            // Offsets have no gaps here: what is missing was taken away in between.
            Some(item) if item.offset == from => Ok(items),
            Some(item) => Err(LogError::Truncated { first: item.offset }),
            None => Err(LogError::Truncated { first: until }),
        }
    }
}

#[async_trait]
impl LogTail for SqliteTail {
    async fn next(&mut self) -> Result<Vec<LogItem>, LogError> {
        loop {
            let bounds = *self.bounds.borrow_and_update();
            if self.position < bounds.next {
                let mut items = self.read_recent();
                if items.is_empty() {
                    items = self.read_file(bounds.next).await?;
                }
                if let Some(last) = items.last() {
                    self.position = last.offset.next();
                    return Ok(items);
                }
            }
            if self.bounds.changed().await.is_err() {
                return Err(super::closed());
            }
        }
    }
}
