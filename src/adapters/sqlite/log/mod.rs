//! The log in one SQLite file, shared by all workers of a process.
//!
//! One thread appends: it takes everything that waits, commits it with one sync to disk, and then
//! shows it to the tails. Tails near the end are served from memory, others from the file.

mod recent;
mod schema;
mod tail;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use anyhow::anyhow;
use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use self::recent::Recent;
use self::tail::SqliteTail;
use self::writer::{Append, Writer};
use super::connection::{WriteLock, open_reader, open_writer};
use super::error::log_not_opened;
use super::threads::Pool;
use crate::domain::ids::Offset;
use crate::domain::log::Record;
use crate::domain::message;
use crate::ports::log::{Bounds, Log, LogError, LogTail};

/// The largest record, as bytes in the file.
const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// How many appends may wait for the writer before further ones wait outside.
const QUEUE: usize = 1024;

/// How many tails read from the file at once.
const READERS: usize = 2;

/// A [`Log`] in one file. Clones are handles of the same log; when the last one is dropped, what
/// was handed over is still written.
#[derive(Clone, Debug)]
pub struct SqliteLog {
    appender: Arc<Appender>,
    shared: Arc<Shared>,
}

/// What tails and appenders have in common.
#[derive(Debug)]
struct Shared {
    recent: Mutex<Recent>,
    readers: Pool<Connection>,
    bounds: watch::Receiver<Bounds>,
}

#[derive(Debug)]
struct Appender {
    queue: Mutex<Option<mpsc::Sender<Append>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Released once the thread has ended.
    _lock: WriteLock,
}

impl SqliteLog {
    /// Retention for those who have no reason to choose another.
    pub const DEFAULT_MAX_BYTES: u64 = 256 * 1024 * 1024;

    /// Opens the log at a path, and makes it if there is none. About `max_bytes` of the newest
    /// records are kept.
    ///
    /// # Errors
    /// `Internal` when the file is damaged, not ours, of a later version or in use; `Unavailable`
    /// when the disk does not let us.
    pub async fn open(path: impl Into<PathBuf>, max_bytes: u64) -> Result<Self, LogError> {
        let path = path.into();
        let open = move || open_files(&path, max_bytes).map_err(log_not_opened);
        match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened,
            Err(error) => Err(LogError::Internal(error.into())),
        }
    }

    /// Writes what was handed over, and takes nothing more through any handle. Tails end once
    /// they are asked for more than there is.
    pub async fn close(&self) {
        self.appender.end_queue();
        let mut bounds = self.shared.bounds.clone();
        while bounds.changed().await.is_ok() {}
    }
}

fn open_files(path: &Path, max_bytes: u64) -> anyhow::Result<SqliteLog> {
    let path = std::path::absolute(path)?;
    let lock = WriteLock::take(&path)?;
    let connection = open_writer(&path, &schema::FORMAT)?;
    let open_one = |_| open_reader(&path, &schema::FORMAT);
    let readers = (0..READERS).map(open_one).collect::<Result<_, _>>()?;
    let (queue, appends) = mpsc::channel(QUEUE);
    let extent = schema::extent(&connection)?;
    let (publish, bounds) = watch::channel(extent.bounds());
    let shared = Arc::new(Shared {
        recent: Mutex::new(Recent::default()),
        readers: Pool::start("log-reader", readers, QUEUE)?,
        bounds,
    });
    let writer = Writer {
        connection,
        extent,
        max_bytes,
        is_trimming: false,
        shared: Arc::clone(&shared),
        appends,
        publish,
    };
    let thread = Builder::new().name("log-writer".to_owned()).spawn(move || writer.run())?;
    let appender =
        Appender { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), _lock: lock };
    Ok(SqliteLog { appender: Arc::new(appender), shared })
}

impl Appender {
    fn queue(&self) -> Option<mpsc::Sender<Append>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end_queue(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.end_queue();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It ends once the queue is empty: one commit, unless a tail holds the disk up.
        if let Some(thread) = thread {
            drop(thread.join());
        }
    }
}

fn closed() -> LogError {
    LogError::Unavailable(anyhow!("the log was closed"))
}

#[async_trait]
impl Log for SqliteLog {
    /// An append whose future is dropped before its turn is left out.
    async fn append(&self, record: Arc<Record>) -> Result<(), LogError> {
        let bytes = message::encode(&*record);
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(LogError::TooLarge { bytes: bytes.len() });
        }
        let queue = self.appender.queue().ok_or_else(closed)?;
        let (reply, outcome) = oneshot::channel();
        let append = Append { record, bytes, reply };
        queue.send(append).await.map_err(|_| closed())?;
        // Held no longer: the writer ends when nobody can send.
        drop(queue);
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => Err(LogError::Unknown(anyhow!("the log's writer has stopped"))),
        }
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        Ok(*self.shared.bounds.borrow())
    }

    async fn tail(&self, from: Offset) -> Result<Box<dyn LogTail>, LogError> {
        let first = self.shared.bounds.borrow().first;
        if from < first {
            return Err(LogError::Truncated { first });
        }
        Ok(Box::new(SqliteTail::new(Arc::clone(&self.shared), from)))
    }
}
