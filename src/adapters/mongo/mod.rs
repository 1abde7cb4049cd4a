//! A worker's database in a MongoDB server of its own.
//!
//! A standalone server has no transactions. What the store promises comes from order instead: the
//! history is written after the changes that it covers, and the server's journal keeps the order
//! of writes, so that after a crash the history may be older than the data but never newer. The
//! changes in between come again from the log, and repeating them is harmless. Where the server
//! crashed and this process did not, `continuity` notices.

mod clear;
mod codec;
mod continuity;
mod copy;
mod distinct;
mod error;
mod filter;
mod names;
mod read;
mod settings;
mod state;
mod write;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mongodb::Client;
use mongodb::options::ClientOptions;
use tokio::sync::OnceCell;

use self::continuity::{Continuity, Seen};
use self::error::{translate, unavailable};
use self::read::Reader;
use self::state::{State, Stored};
use self::writer::Writer;
use crate::domain::document::{CollectionName, Document, DocumentId, Value};
use crate::domain::filter::Filter;
use crate::domain::ids::DatabaseAddress;
use crate::domain::log::{Change, History};
use crate::domain::message::Collection;
use crate::domain::query::Query;
use crate::ports::store::{Copied, Store, StoreError, Visible};

pub use settings::MongoSettings;

/// Connections for reads that may be made while something is applied, before it counts as a
/// failure.
const READ_CONNECTIONS: u32 = 8;

/// Removes a worker's database for good. Idempotent. Nobody may write to it any more.
///
/// # Errors
/// `Unavailable` when the server does not answer; `Internal` when the settings make no sense.
pub async fn remove_database(settings: &MongoSettings) -> Result<(), StoreError> {
    let mut options = settings.client_options().await?;
    options.app_name = Some("rideshare-remover".to_owned());
    let client = Client::with_options(options).map_err(translate)?;
    let database = client.database(&settings.database);
    let removed = error::within(settings.write_timeout, database.drop()).await;
    client.shutdown().await;
    removed
}

/// A store in a database of a MongoDB server. It reconnects by itself.
///
/// One task at a time may write (`apply`, `copy_from`); reads are free. While a copy is made,
/// everything else is `Unavailable`.
pub struct MongoStore {
    settings: MongoSettings,
    options: ClientOptions,
    address: DatabaseAddress,
    client: Client,
    writer: Writer,
    continuity: Continuity,
    /// Filled once the database is known to hold no remains of a copy.
    checked: Mutex<Arc<OnceCell<()>>>,
    is_copying: AtomicBool,
}

impl MongoStore {
    /// Makes a store. The server is not asked yet, and need not be there.
    ///
    /// # Errors
    /// `Internal` when the URI, a host or the name of the database is not valid.
    pub async fn connect(settings: MongoSettings) -> Result<Self, StoreError> {
        let mut options = settings.client_options().await?;
        options.app_name = Some("rideshare-reader".to_owned());
        let continuity = Continuity::default();
        continuity.watch(&mut options);
        Ok(Self {
            address: settings.address(&options.hosts)?,
            client: Client::with_options(options.clone()).map_err(translate)?,
            writer: Writer::new(options.clone(), &settings.database, settings.write_timeout)?,
            options,
            settings,
            continuity,
            checked: Mutex::default(),
            is_copying: AtomicBool::new(false),
        })
    }

    /// Reads of a database that is known to be whole.
    async fn reader(&self) -> Result<Reader, StoreError> {
        if self.is_copying.load(Ordering::SeqCst) {
            return Err(unavailable("the database is being replaced by a copy"));
        }
        let database = self.client.database(&self.settings.database);
        let checked = Arc::clone(&self.checked.lock().unwrap_or_else(PoisonError::into_inner));
        checked.get_or_try_init(|| state::recover(&self.client, &database, &self.writer)).await?;
        Ok(Reader {
            database,
            query: self.settings.query_timeout,
            answer: self.settings.answer_timeout(),
        })
    }

    /// What the database holds, as it says now.
    async fn stored(&self, reader: &Reader) -> Result<Stored, StoreError> {
        match state::load(&reader.database, reader.answer).await? {
            State::Current(stored) => Ok(stored),
            State::Copying(_) => Err(unavailable("the database is being replaced by a copy")),
        }
    }

    /// Makes sure that whatever was read before this call was read from a database that held all
    /// that was applied.
    async fn certain(&self, reader: &Reader) -> Result<Seen, StoreError> {
        if let Some(seen) = self.continuity.certain() {
            return Ok(seen);
        }
        let look = self.continuity.look();
        let stored = self.stored(reader).await?;
        self.continuity.found(look, stored)
    }

    /// One try to apply. False if the server may have been replaced in the middle of it.
    async fn try_apply(
        &self,
        changes: &[Change],
        next: &Stored,
        visible: Visible<'_>,
    ) -> Result<bool, StoreError> {
        let reader = self.reader().await?;
        let look = self.continuity.look();
        let seen = self.certain(&reader).await?;
        let attempt = self.writer.begin(&self.client).await?;
        write::apply(&attempt, changes).await?;
        // What a history begins with no log could tell again.
        let journal = self.settings.journal || next.history.begins_on_own_data();
        // The journal has the changes for certain when it has the history behind them.
        if !journal {
            visible();
        }
        let replaced = state::replace(&attempt, &seen.stored, next, journal).await?;
        attempt.succeeded();
        if !replaced {
            self.continuity.doubt();
            return Ok(false);
        }
        self.continuity.begin_again(look, next.clone());
        if self.continuity.is_interrupted(look, &reader.database, reader.answer).await? {
            return Ok(false);
        }
        if journal {
            visible();
        }
        Ok(true)
    }

    fn check_again(&self) {
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }
}

#[async_trait]
impl Store for MongoStore {
    async fn history(&self) -> Result<History, StoreError> {
        let reader = self.reader().await?;
        let look = self.continuity.look();
        let stored = self.stored(&reader).await?;
        // Afterwards: unlike a query, a command is not sent again where its connection is a dead one.
        self.continuity.learn_life(&reader.database, reader.answer).await?;
        self.continuity.begin_again(look, stored.clone());
        Ok(stored.history)
    }

    async fn apply_telling(
        &self,
        changes: &[Change],
        history: &History,
        visible: Visible<'_>,
    ) -> Result<(), StoreError> {
        let next = Stored::new(history.clone())?;
        // On a server that does not tell its life each new connection may make it necessary once
        // more, and there are soon enough of them.
        for _ in 0..=writer::CONNECTIONS + READ_CONNECTIONS {
            if self.try_apply(changes, &next, visible).await? {
                return Ok(());
            }
        }
        Err(unavailable("the connections to the server keep changing"))
    }

    async fn get(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Vec<Document>, StoreError> {
        let reader = self.reader().await?;
        let found = reader.get(collection, ids).await?;
        self.certain(&reader).await?;
        Ok(found)
    }

    async fn find(&self, query: &Query, max_bytes: usize) -> Result<Vec<Document>, StoreError> {
        let reader = self.reader().await?;
        let found = reader.find(query, max_bytes).await?;
        self.certain(&reader).await?;
        Ok(found)
    }

    async fn count(&self, query: &Query) -> Result<u64, StoreError> {
        let reader = self.reader().await?;
        let count = reader.count(query).await?;
        self.certain(&reader).await?;
        Ok(count)
    }

    async fn distinct(
        &self,
        collection: &CollectionName,
        filter: &Filter,
        field: &str,
        max_bytes: usize,
    ) -> Result<Vec<Value>, StoreError> {
        let reader = self.reader().await?;
        let values = reader.distinct(collection, filter, field, max_bytes).await?;
        self.certain(&reader).await?;
        Ok(values)
    }

    async fn collections(&self) -> Result<Vec<CollectionName>, StoreError> {
        let reader = self.reader().await?;
        let names = names::with_documents(&reader.database, reader.answer).await?;
        self.certain(&reader).await?;
        Ok(names)
    }

    async fn catalog(&self) -> Result<Vec<Collection>, StoreError> {
        let reader = self.reader().await?;
        let collections = names::catalog(&reader.database, reader.answer).await?;
        self.certain(&reader).await?;
        Ok(collections)
    }

    async fn check(&self) -> Result<(), StoreError> {
        let reader = self.reader().await?;
        let look = self.continuity.look();
        let stored = self.stored(&reader).await?;
        self.continuity.found(look, stored).map(drop)
    }

    fn address(&self) -> DatabaseAddress {
        self.address.clone()
    }

    async fn copy_from(&self, source: &DatabaseAddress) -> Result<Copied, StoreError> {
        let limit = self.settings.write_timeout;
        let source = copy::Source::at(source, self.options.clone(), limit)?;
        self.reader().await?;
        let copied = {
            let _exclusive = Exclusive::claim(self)?;
            let attempt = self.writer.begin(&self.client).await?;
            let copied = copy::copy(&attempt, &source).await;
            if copied.is_ok() {
                attempt.succeeded();
            }
            copied
        };
        if copied.is_err() {
            // Empties the database now rather than at the next use, if the server lets it.
            let _ = self.reader().await;
        }
        copied
    }
}

/// Keeps everything else out while a copy is made; ends even if the copy is cut off.
struct Exclusive<'a>(&'a MongoStore);

impl<'a> Exclusive<'a> {
    fn claim(store: &'a MongoStore) -> Result<Self, StoreError> {
        if store.is_copying.swap(true, Ordering::SeqCst) {
            return Err(unavailable("the database is already being replaced by a copy"));
        }
        Ok(Self(store))
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        self.0.check_again();
        self.0.continuity.forget();
        self.0.is_copying.store(false, Ordering::SeqCst);
    }
}
