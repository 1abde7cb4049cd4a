//! Carries out changes: one transaction for all changes of a call and the history after them.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use tracing::warn;

use super::catalog::{self, Catalog, Collection, Index};
use super::keys::{Key, SqlId, entry_keys};
use super::rows::{decode, encode};
use super::schema;
use crate::domain::document::{Document, DocumentId};
use crate::domain::log::{Change, History};
use crate::ports::store::StoreError;

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    catalog: Catalog,
    /// Half of a copy is there, and could not be removed yet.
    needs_wipe: bool,
    /// Commits since the size of the write-ahead log was looked at.
    commits: u32,
}

/// How many commits go by between two looks at the size of the write-ahead log.
const COMMITS_PER_LOOK: u32 = 256;

/// How large the write-ahead log may grow before the writer waits for a pause between reads.
const MAX_WAL_BYTES: u64 = 128 * 1024 * 1024;

impl Writer {
    /// Takes the connection, and removes what is left of a copy that was cut off.
    pub(super) fn open(connection: Connection) -> anyhow::Result<Self> {
        let needs_wipe = schema::is_copying(&connection)?;
        let mut writer = Self { connection, catalog: Catalog::default(), needs_wipe, commits: 0 };
        if needs_wipe {
            warn!("removing a copy that was cut off");
            writer.wipe()?;
        }
        Ok(writer)
    }

    /// Removes everything.
    pub(super) fn wipe(&mut self) -> Result<(), StoreError> {
        self.needs_wipe = true;
        self.transact(|connection, _| Ok(schema::delete_everything(connection)?))?;
        self.needs_wipe = false;
        Ok(())
    }

    /// Removes everything, and marks what comes from now on as half of a copy.
    pub(super) fn begin_copy(&mut self) -> Result<(), StoreError> {
        self.needs_wipe = true;
        self.transact(|connection, _| {
            schema::delete_everything(connection)?;
            Ok(schema::mark_copying(connection)?)
        })
    }

    /// Makes the copy a store that can be used.
    pub(super) fn end_copy(&mut self, history: &History) -> Result<(), StoreError> {
        self.transact(|connection, _| {
            // A source without a history has none to copy.
            if *history != History::default() {
                schema::set_history(connection, history)?;
            }
            Ok(schema::unmark_copying(connection)?)
        })?;
        self.needs_wipe = false;
        Ok(())
    }

    pub(super) fn apply(
        &mut self,
        changes: &[Change],
        history: &History,
    ) -> Result<(), StoreError> {
        if self.needs_wipe {
            self.wipe()?;
        }
        self.transact(|connection, catalog| {
            for change in changes {
                carry_out(connection, catalog, change)?;
            }
            Ok(schema::set_history(connection, history)?)
        })
    }

    /// Runs `work` in one transaction; if it fails, nothing of it is there.
    pub(super) fn transact<R>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Catalog) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        // Put back only after the commit: what a failed transaction made must not be remembered.
        let mut catalog = std::mem::take(&mut self.catalog);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction, &mut catalog)?;
        transaction.commit()?;
        if !self.needs_wipe {
            self.catalog = catalog;
        }
        self.commits += 1;
        if self.commits >= COMMITS_PER_LOOK {
            self.commits = 0;
            self.bound_wal();
        }
        Ok(result)
    }

    /// SQLite begins the write-ahead log anew only in a moment without readers, which may never
    /// come by itself. While the writer asks for it, new readers go to the file alone, and the
    /// moment comes once the queries that run have ended.
    fn bound_wal(&self) {
        let wal = self.connection.path().map(|path| format!("{path}-wal"));
        let size = wal.and_then(|wal| std::fs::metadata(wal).ok()).map(|wal| wal.len());
        if size.is_some_and(|size| size > MAX_WAL_BYTES) {
            let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
            if let Err(error) = self.connection.query_row(checkpoint, [], |_| Ok(())) {
                warn!(%error, "write-ahead log could not be cut");
            }
        }
    }
}

fn carry_out(
    connection: &Connection,
    catalog: &mut Catalog,
    change: &Change,
) -> Result<(), StoreError> {
    match change {
        Change::Put { collection, id, document } => {
            put(connection, catalog.collection(connection, collection)?, id, document)
        }
        Change::Delete { collection, id } => {
            delete(connection, catalog.collection(connection, collection)?, id)
        }
        Change::Clear { collection } => {
            Ok(clear(connection, catalog.collection(connection, collection)?)?)
        }
        Change::EnsureIndex { collection, field } => {
            ensure_index(connection, catalog.collection(connection, collection)?, field)
        }
    }
}

fn put(
    connection: &Connection,
    collection: &mut Collection,
    id: &DocumentId,
    document: &Document,
) -> Result<(), StoreError> {
    let body = encode(document);
    if collection.indexes.is_empty() {
        let sql = "INSERT INTO documents (collection, id, body) VALUES (?1, ?2, ?3)
                   ON CONFLICT (collection, id) DO UPDATE SET body = excluded.body";
        connection.prepare_cached(sql)?.execute((collection.number, SqlId(id), body))?;
        return Ok(());
    }
    let old = stored(connection, collection, id)?;
    let number = match &old {
        Some((number, _)) => {
            let sql = "UPDATE documents SET body = ?2 WHERE number = ?1";
            connection.prepare_cached(sql)?.execute((number, body))?;
            *number
        }
        None => {
            let sql = "INSERT INTO documents (collection, id, body) VALUES (?1, ?2, ?3)";
            connection.prepare_cached(sql)?.insert((collection.number, SqlId(id), body))?
        }
    };
    for index in &mut collection.indexes {
        let before = old.as_ref().map(|(_, old)| entry_keys(old, &index.path)).unwrap_or_default();
        let after = entry_keys(document, &index.path);
        replace_entries(connection, index, number, &before, &after)?;
    }
    Ok(())
}

fn delete(
    connection: &Connection,
    collection: &mut Collection,
    id: &DocumentId,
) -> Result<(), StoreError> {
    if !collection.indexes.is_empty() {
        let Some((number, old)) = stored(connection, collection, id)? else {
            return Ok(());
        };
        for index in &mut collection.indexes {
            let before = entry_keys(&old, &index.path);
            replace_entries(connection, index, number, &before, &[])?;
        }
    }
    let sql = "DELETE FROM documents WHERE collection = ?1 AND id = ?2";
    connection.prepare_cached(sql)?.execute((collection.number, SqlId(id)))?;
    Ok(())
}

fn clear(connection: &Connection, collection: &Collection) -> rusqlite::Result<()> {
    for index in &collection.indexes {
        let sql = "DELETE FROM entries WHERE field_index = ?1";
        connection.prepare_cached(sql)?.execute([index.number])?;
    }
    let sql = "DELETE FROM documents WHERE collection = ?1";
    connection.prepare_cached(sql)?.execute([collection.number]).map(drop)
}

fn ensure_index(
    connection: &Connection,
    collection: &mut Collection,
    field: &str,
) -> Result<(), StoreError> {
    let Some(path) = catalog::missing_index(collection, field) else {
        return Ok(());
    };
    let sql = "INSERT INTO indexes (collection, field, multikey) VALUES (?1, ?2, 0)";
    let number = connection.prepare_cached(sql)?.insert((collection.number, field))?;
    let mut index = Index { number, path, is_multikey: false };
    let sql = "SELECT number, body FROM documents WHERE collection = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([collection.number])?;
    while let Some(row) = rows.next()? {
        let document = decode(row.get_ref(1)?)?;
        let keys = entry_keys(&document, &index.path);
        replace_entries(connection, &mut index, row.get(0)?, &[], &keys)?;
    }
    collection.indexes.push(index);
    Ok(())
}

/// The document as it was before, with its number.
fn stored(
    connection: &Connection,
    collection: &Collection,
    id: &DocumentId,
) -> Result<Option<(i64, Document)>, StoreError> {
    let sql = "SELECT number, body FROM documents WHERE collection = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((collection.number, SqlId(id)), |row| {
        Ok((row.get(0)?, row.get_ref(1).map(decode)?))
    });
    match found.optional()? {
        None => Ok(None),
        Some((number, document)) => Ok(Some((number, document?))),
    }
}

/// Brings the entries of one document from its old keys to its new ones; both are sorted.
fn replace_entries(
    connection: &Connection,
    index: &mut Index,
    document: i64,
    before: &[Key],
    after: &[Key],
) -> Result<(), StoreError> {
    let is_new = |key: &&Key| before.binary_search(key).is_err();
    let is_gone = |key: &&Key| after.binary_search(key).is_err();
    let sql = "DELETE FROM entries WHERE field_index = ?1 AND key = ?2 AND document = ?3";
    for key in before.iter().filter(is_gone) {
        connection.prepare_cached(sql)?.execute((index.number, key, document))?;
    }
    let sql = "INSERT INTO entries (field_index, key, document) VALUES (?1, ?2, ?3)";
    for key in after.iter().filter(is_new) {
        connection.prepare_cached(sql)?.execute((index.number, key, document))?;
    }
    if after.len() > 1 && !index.is_multikey {
        let sql = "UPDATE indexes SET multikey = 1 WHERE number = ?1";
        connection.prepare_cached(sql)?.execute([index.number])?;
        index.is_multikey = true;
    }
    Ok(())
}
