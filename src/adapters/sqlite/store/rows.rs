//! Reading rows: one state of the file, documents from their bytes, and a limit of patience.

use std::collections::BTreeMap;

use anyhow::anyhow;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use tokio::time::Instant;

use super::catalog;
use crate::domain::document::{CollectionName, Document};
use crate::domain::message::Collection;
use crate::ports::store::StoreError;

/// How many rows are read between two looks at the clock.
const ROWS_PER_LOOK: u32 = 64;

/// How long a query goes on: until its deadline, or until nobody waits for it any more.
pub(super) struct Patience<'a> {
    deadline: Instant,
    is_cancelled: &'a dyn Fn() -> bool,
    rows: u32,
}

impl<'a> Patience<'a> {
    pub(super) fn new(deadline: Instant, is_cancelled: &'a dyn Fn() -> bool) -> Self {
        Self { deadline, is_cancelled, rows: 0 }
    }

    /// To be called for every row.
    pub(super) fn row(&mut self) -> Result<(), StoreError> {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS_PER_LOOK) { self.check() } else { Ok(()) }
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        if Instant::now() >= self.deadline || (self.is_cancelled)() {
            return Err(StoreError::TimedOut);
        }
        Ok(())
    }
}

/// One state of the file: a read transaction that has begun.
pub(super) struct Reader<'a> {
    pub(super) connection: &'a Connection,
}

impl<'a> Reader<'a> {
    /// Fixes the state, which SQLite does with the first row that is read in the transaction.
    pub(super) fn begin(connection: &'a Connection) -> Result<Self, StoreError> {
        let mut statement = connection.prepare_cached("SELECT 1 FROM meta LIMIT 1")?;
        statement.exists([])?;
        Ok(Self { connection })
    }

    /// The number of a collection, if it was ever named in a change.
    pub(super) fn collection(&self, name: &CollectionName) -> Result<Option<i64>, StoreError> {
        Ok(catalog::number_of(self.connection, name)?)
    }

    /// All collections that hold documents or have an index, ascending, with their indexes.
    pub(super) fn catalog(&self) -> Result<Vec<Collection>, StoreError> {
        let filled = self.collections()?;
        let mut fields: BTreeMap<_, Vec<_>> =
            filled.into_iter().map(|name| (name, Vec::new())).collect();
        let sql = "SELECT name, field FROM indexes
                   JOIN collections ON collections.number = indexes.collection
                   ORDER BY field";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name = collection_name(row)?;
            fields.entry(name).or_default().push(row.get(1)?);
        }
        Ok(fields.into_iter().map(|(name, indexes)| Collection { name, indexes }).collect())
    }

    /// The names of all collections that hold documents, ascending.
    pub(super) fn collections(&self) -> Result<Vec<CollectionName>, StoreError> {
        let sql = "SELECT name FROM collections
                   WHERE EXISTS (SELECT 1 FROM documents WHERE collection = collections.number)
                   ORDER BY name";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut names = Vec::new();
        while let Some(row) = rows.next()? {
            names.push(collection_name(row)?);
        }
        Ok(names)
    }

    /// A document by the number of its row.
    pub(super) fn document(&self, number: i64) -> Result<Document, StoreError> {
        let sql = "SELECT body FROM documents WHERE number = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_row([number], |row| row.get_ref(0).map(decode))?
    }
}

/// A document as bytes: MessagePack with the names of its fields.
pub(super) fn encode(document: &Document) -> Vec<u8> {
    rmp_serde::to_vec(document).expect("writing plain data to memory cannot fail")
}

pub(super) fn decode(body: ValueRef<'_>) -> Result<Document, StoreError> {
    let bytes = body.as_blob().map_err(rusqlite::Error::from)?;
    rmp_serde::from_slice(bytes)
        .map_err(|error| StoreError::Internal(anyhow!(error).context("unreadable document")))
}

/// The name of a collection in the first column.
fn collection_name(row: &Row<'_>) -> Result<CollectionName, StoreError> {
    let text = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
    CollectionName::parse(text).map_err(|error| StoreError::Internal(error.into()))
}
