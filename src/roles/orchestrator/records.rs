//! The log as it is read out: what a backup keeps of it.

use std::time::Duration;

use tokio::time::timeout;

use super::Handle;
use crate::domain::ids::Offset;
use crate::ports::log::{Bounds, LogError, LogItem, LogTail};

/// How long the next records may take to come.
const NEXT_LIMIT: Duration = Duration::from_secs(10);

/// Why the log could not be read out.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The log does not go that far.
    #[error("the log ends before offset {next}")]
    NotYet {
        /// The offset that the next record will get.
        next: Offset,
    },
    /// The log did not do as asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It said nothing for too long.
    #[error("the log gives no record")]
    Silent,
}

/// A stretch of the log, from its first record to its last.
pub struct Records {
    tail: Box<dyn LogTail>,
    last: Offset,
    is_over: bool,
}

impl Handle {
    /// Begins to read the records from `first` to `last`.
    ///
    /// # Errors
    /// When they are not all there, or the log cannot be read.
    pub async fn records(&self, first: Offset, last: Offset) -> Result<Records, RecordsError> {
        let Bounds { next, .. } = self.parts.log.bounds().await?;
        if last >= next {
            return Err(RecordsError::NotYet { next });
        }
        let tail = self.parts.log.tail(first).await?;
        Ok(Records { tail, last, is_over: first > last })
    }
}

impl Records {
    /// The next of them, at least one; nothing when all were given.
    ///
    /// # Errors
    /// When the log cannot be read any further.
    pub async fn next(&mut self) -> Result<Option<Vec<LogItem>>, RecordsError> {
        if self.is_over {
            return Ok(None);
        }
        let next = timeout(NEXT_LIMIT, self.tail.next()).await;
        let mut items = next.map_err(|_| RecordsError::Silent)??;
        self.is_over = items.last().is_none_or(|item| item.offset >= self.last);
        items.retain(|item| item.offset <= self.last);
        Ok(Some(items).filter(|items| !items.is_empty()))
    }
}
