//! A worker's database in one SQLite file.
//!
//! One thread writes, a few read; in SQLite's WAL mode neither waits for the other. SQL and its
//! indexes narrow what a filter can match, `filter::matches` decides. Commits are not synced one by
//! one: SQLite keeps the file consistent, and what a power cut takes is read from the log again.

mod access;
mod catalog;
mod copy;
mod find;
mod keys;
mod rows;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use rusqlite::Connection;
use tokio::time::Instant;

use self::rows::{Patience, Reader};
use self::writer::Writer;
use super::connection::{WriteLock, open_reader, open_writer};
use super::error::store_not_opened;
use super::threads::{Pool, Stopped};
use crate::domain::document::{CollectionName, Document, DocumentId, Value};
use crate::domain::filter::Filter;
use crate::domain::ids::DatabaseAddress;
use crate::domain::log::{Change, History};
use crate::domain::message::Collection;
use crate::domain::query::Query;
use crate::ports::store::{Copied, Store, StoreError, Visible};

/// What an address of ours starts with; the rest is an absolute path.
const SCHEME: &str = "sqlite:";

/// How many calls may wait for a thread before further callers wait outside.
const QUEUE: usize = 256;

/// What can be chosen about a store.
#[derive(Clone, Debug)]
pub struct SqliteStoreOptions {
    /// How many queries run at once.
    pub readers: usize,
    /// How long a query may take, its wait for a reader included.
    pub query_timeout: Duration,
}

impl Default for SqliteStoreOptions {
    fn default() -> Self {
        Self { readers: 4, query_timeout: Duration::from_secs(10) }
    }
}

/// A [`Store`] in one file, for as long as this lives open to no other writer.
#[derive(Debug)]
pub struct SqliteStore {
    readers: Pool<Connection>,
    writer: Pool<Writer>,
    /// What is there is half of a copy; nobody may read it.
    is_copying: Arc<AtomicBool>,
    address: DatabaseAddress,
    options: SqliteStoreOptions,
    /// Declared last: released once the threads have ended.
    _lock: WriteLock,
}

impl SqliteStore {
    /// Opens the store at a path, and makes it if there is none.
    ///
    /// # Errors
    /// `Internal` when the file is damaged, not ours, of a later version or in use; `Unavailable`
    /// when the disk does not let us.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_with(path, SqliteStoreOptions::default()).await
    }

    /// [`SqliteStore::open`] with options.
    ///
    /// # Errors
    /// See [`SqliteStore::open`].
    pub async fn open_with(
        path: impl Into<PathBuf>,
        options: SqliteStoreOptions,
    ) -> Result<Self, StoreError> {
        let path = path.into();
        let open = move || open_files(&path, options).map_err(store_not_opened);
        match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened,
            Err(error) => Err(StoreError::Internal(error.into())),
        }
    }

    /// Runs a query on one of the readers.
    async fn read<R: Send + 'static>(
        &self,
        query: impl FnOnce(&Reader<'_>, &mut Patience<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let deadline = Instant::now() + self.options.query_timeout;
        let is_copying = Arc::clone(&self.is_copying);
        let job = move |connection: &mut Connection, is_cancelled: &dyn Fn() -> bool| {
            let mut patience = Patience::new(deadline, is_cancelled);
            patience.check()?;
            let transaction = connection.transaction()?;
            // Only after this the state that is read is fixed.
            let reader = Reader::begin(&transaction)?;
            if is_copying.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable(anyhow!("the store is being copied")));
            }
            query(&reader, &mut patience)
        };
        self.readers.run(job).await?
    }
}

fn open_files(path: &Path, options: SqliteStoreOptions) -> anyhow::Result<SqliteStore> {
    let path = std::path::absolute(path)?;
    let text = path.to_str().context("the path of a store must be Unicode text")?;
    let address = DatabaseAddress::new(format!("{SCHEME}{text}"));
    let lock = WriteLock::take(&path)?;
    let writer = Writer::open(open_writer(&path, &schema::FORMAT)?)?;
    let open_one = |_| open_reader(&path, &schema::FORMAT);
    let readers = (0..options.readers.max(1)).map(open_one).collect::<Result<_, _>>()?;
    Ok(SqliteStore {
        readers: Pool::start("store-reader", readers, QUEUE)?,
        writer: Pool::start("store-writer", vec![writer], QUEUE)?,
        is_copying: Arc::new(AtomicBool::new(false)),
        address,
        options,
        _lock: lock,
    })
}

impl From<Stopped> for StoreError {
    fn from(stopped: Stopped) -> Self {
        Self::Internal(stopped.into())
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn history(&self) -> Result<History, StoreError> {
        // Also while a copy is made: there is no history then.
        let job = |connection: &mut Connection, _: &dyn Fn() -> bool| schema::history(connection);
        self.readers.run(job).await?
    }

    async fn apply_telling(
        &self,
        changes: &[Change],
        history: &History,
        visible: Visible<'_>,
    ) -> Result<(), StoreError> {
        let (changes, history) = (changes.to_vec(), history.clone());
        self.writer.run(move |writer, _| writer.apply(&changes, &history)).await??;
        visible();
        Ok(())
    }

    async fn get(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Vec<Document>, StoreError> {
        let (collection, ids) = (collection.clone(), ids.to_vec());
        self.read(move |reader, patience| find::get(reader, &collection, ids, patience)).await
    }

    async fn find(&self, query: &Query, max_bytes: usize) -> Result<Vec<Document>, StoreError> {
        let query = query.clone();
        self.read(move |reader, patience| find::find(reader, &query, max_bytes, patience)).await
    }

    async fn count(&self, query: &Query) -> Result<u64, StoreError> {
        let query = query.clone();
        self.read(move |reader, patience| find::count(reader, &query, patience)).await
    }

    async fn distinct(
        &self,
        collection: &CollectionName,
        filter: &Filter,
        field: &str,
        max_bytes: usize,
    ) -> Result<Vec<Value>, StoreError> {
        let (collection, filter, field) = (collection.clone(), filter.clone(), field.to_owned());
        self.read(move |reader, patience| {
            find::distinct(reader, &collection, &filter, &field, max_bytes, patience)
        })
        .await
    }

    async fn collections(&self) -> Result<Vec<CollectionName>, StoreError> {
        self.read(|reader, _| reader.collections()).await
    }

    async fn catalog(&self) -> Result<Vec<Collection>, StoreError> {
        self.read(|reader, _| reader.catalog()).await
    }

    /// A part of this process: it is there, and it does not forget.
    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn address(&self) -> DatabaseAddress {
        self.address.clone()
    }

    /// The copy is of one moment, so it is consistent from the start: a read transaction on the
    /// source pins its state while it goes on working, and keeps its write-ahead log from being
    /// recycled as long as the copy takes.
    async fn copy_from(&self, source: &DatabaseAddress) -> Result<Copied, StoreError> {
        let path = source.as_str().strip_prefix(SCHEME).map(PathBuf::from).ok_or_else(|| {
            StoreError::Internal(anyhow!("`{source}` is no address of a SQLite store"))
        });
        let is_own = *source == self.address;
        let is_copying = Arc::clone(&self.is_copying);
        let job = move |writer: &mut Writer, is_cancelled: &dyn Fn() -> bool| {
            if is_own {
                return Err(StoreError::Internal(anyhow!("a store cannot be a copy of itself")));
            }
            is_copying.store(true, Ordering::SeqCst);
            let copied = path.and_then(|path| copy::copy(writer, &path, is_cancelled));
            let settled = match &copied {
                Ok(_) => Ok(()),
                Err(_) => writer.wipe(),
            };
            // If even that failed, the mark in the file keeps the half copy from being used.
            is_copying.store(settled.is_err(), Ordering::SeqCst);
            copied
        };
        self.writer.run(job).await?
    }
}
