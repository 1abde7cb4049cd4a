//! What the users and rides services have in common: one session with the database, and errors.
//!
//! An instance reads its own writes, and those of the peers that it heard from, from any slave: it
//! remembers the highest offset that it saw and asks for a state at least as new. Only what such a
//! read does not find is asked of the master.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::ambient::Ambient;
use crate::domain::document::{Document, ID_FIELD};
use crate::domain::ids::Offset;
use crate::domain::message::ReadResult;
use crate::domain::outcome::Outcome;
use crate::domain::request::{Consistency, InvalidRequest};
use crate::ports::database::{At, Database, DatabaseError, Order, Read, Write};
use crate::ports::users::UsersError;
use crate::roles::chain;

/// What `db/clear` of an application clears.
const COLLECTIONS: &[&str] = &["rides", "users"];
/// The documents asked for at first; then twice as many, and so on.
const FIRST_PAGE: u32 = 100;
/// The most documents asked for at a time.
const LARGEST_PAGE: u32 = 1_600;
/// How long one attempt to prepare the database may take.
const PREPARE_LIMIT: Duration = Duration::from_secs(10);

/// Why a request of an application failed.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The request is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The request is valid but does not fit what there is; nothing was written.
    #[error("{0}")]
    Refused(&'static str),
    /// Too much is under way; nothing was written.
    #[error("too many requests are under way")]
    Overloaded,
    /// The database did not do it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The users service had no answer; nothing was written.
    #[error(transparent)]
    Users(#[from] UsersError),
}

/// One instance's session with the database.
pub struct Session {
    database: Arc<dyn Database>,
    ambient: Ambient,
    /// The highest offset seen and one more; 0 where none was.
    seen: AtomicU64,
}

/// A result with the documents of a read.
pub(super) type Documents = At<Vec<Document>>;

impl Session {
    /// A session that has seen nothing yet.
    #[must_use]
    pub fn new(database: Arc<dyn Database>, ambient: Ambient) -> Self {
        Self { database, ambient, seen: AtomicU64::new(0) }
    }

    /// Everything up to here is in what is read from now on.
    #[must_use]
    pub fn seen(&self) -> Option<Offset> {
        self.seen.load(Ordering::Acquire).checked_sub(1).map(Offset)
    }

    /// Takes over what a peer has seen.
    pub(super) fn note(&self, offset: Offset) {
        self.seen.fetch_max(offset.0.saturating_add(1), Ordering::AcqRel);
    }

    /// Whether the database is ready.
    ///
    /// # Errors
    /// When it is not.
    pub async fn check(&self, deadline: Instant) -> Result<(), AppError> {
        Ok(self.database.check(deadline).await?)
    }

    /// Clears users and rides.
    ///
    /// # Errors
    /// When the database did not do it.
    pub async fn clear(&self, deadline: Instant) -> Result<Offset, AppError> {
        let write = Write::Clear { collections: COLLECTIONS };
        Ok(self.write(&write, deadline).await?.offset)
    }

    /// Makes an index, however long it takes until the database is there. Cancel safe.
    pub(super) async fn ensure_index(&self, collection: &'static str, field: &'static str) {
        let write = Write::Index { collection, field };
        let mut pause = Duration::from_millis(100);
        while let Err(error) = self.write(&write, Instant::now() + PREPARE_LIMIT).await {
            let error = chain(error);
            tracing::warn!(error, collection, field, "index not made yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PREPARE_LIMIT);
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.ambient.now_ms()
    }

    pub(super) async fn write(
        &self,
        write: &Write,
        deadline: Instant,
    ) -> Result<At<Outcome>, DatabaseError> {
        let written = self.database.write(&self.ambient.unique(), write, deadline).await?;
        self.note(written.offset);
        Ok(written)
    }

    async fn read(&self, read: &Read, deadline: Instant) -> Result<At<ReadResult>, DatabaseError> {
        let found = self.database.read(read, deadline).await?;
        self.note(found.offset);
        Ok(found)
    }

    /// The newest state that this session, and its client, must see.
    fn consistency(&self, at_least: Option<Offset>) -> Consistency {
        self.seen().max(at_least).map_or(Consistency::Eventual, Consistency::Session)
    }

    /// The document with this `_id`. That there is none is the master's word; that there is one,
    /// any slave's.
    pub(super) async fn find(
        &self,
        mut read: Read,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<At<Option<Document>>, DatabaseError> {
        read.consistency = self.consistency(at_least);
        let found = self.documents(&read, deadline).await?;
        if let Some(document) = found.answer.into_iter().next() {
            return Ok(At { offset: found.offset, answer: Some(document) });
        }
        read.consistency = Consistency::Strong;
        let found = self.documents(&read, deadline).await?;
        Ok(At { offset: found.offset, answer: found.answer.into_iter().next() })
    }

    /// The first document in the master's own state.
    pub(super) async fn find_strong(
        &self,
        mut read: Read,
        deadline: Instant,
    ) -> Result<At<Option<Document>>, DatabaseError> {
        read.consistency = Consistency::Strong;
        let found = self.documents(&read, deadline).await?;
        Ok(At { offset: found.offset, answer: found.answer.into_iter().next() })
    }

    /// How many documents there are.
    pub(super) async fn count(
        &self,
        collection: &'static str,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<At<u64>, DatabaseError> {
        let consistency = self.consistency(at_least);
        let read = Read { count: true, consistency, ..read_all(collection) };
        let At { offset, answer } = self.read(&read, deadline).await?;
        match answer {
            ReadResult::Count(count) => Ok(At { offset, answer: count }),
            _ => Err(no_such_answer()),
        }
    }

    /// All documents that the read meets, page by page. `after` gives the filter of what follows a
    /// document in the order of the read.
    pub(super) async fn find_all(
        &self,
        mut read: Read,
        after: impl Fn(&Document) -> Document,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<Documents, DatabaseError> {
        let mut all = Vec::new();
        read.limit = FIRST_PAGE;
        loop {
            read.consistency = self.consistency(at_least);
            let mut page = match self.documents(&read, deadline).await {
                // A page of very long names is more than one answer may hold.
                Err(DatabaseError::Invalid(_)) if read.limit > 1 => {
                    read.limit /= 2;
                    continue;
                }
                page => page?,
            };
            let is_last = page.answer.len() < read.limit as usize;
            if let Some(last) = page.answer.last() {
                read.filter = after(last);
            }
            all.append(&mut page.answer);
            if is_last {
                return Ok(At { offset: page.offset, answer: all });
            }
            read.limit = (read.limit * 2).min(LARGEST_PAGE);
        }
    }

    async fn documents(&self, read: &Read, deadline: Instant) -> Result<Documents, DatabaseError> {
        let At { offset, answer } = self.read(read, deadline).await?;
        match answer {
            ReadResult::Documents(documents) => Ok(At { offset, answer: documents }),
            _ => Err(no_such_answer()),
        }
    }
}

/// All documents of a collection in the order of `_id`.
pub(super) fn read_all(collection: &'static str) -> Read {
    Read {
        collection,
        filter: Document::new(),
        projection: &[],
        sort: &[(ID_FIELD, Order::Ascending)],
        limit: FIRST_PAGE,
        count: false,
        consistency: Consistency::Eventual,
    }
}

pub(super) fn no_such_answer() -> DatabaseError {
    DatabaseError::Unexpected(anyhow::anyhow!("the answer is not of the kind that was asked for"))
}

#[cfg(test)]
mod tests;
