//! The tables of a store, and the facts that stand beside the documents.
//!
//! Keys of documents and of index entries are SQLite's own integers, reals and texts, which it
//! orders as the domain does: numbers by value, then texts by their bytes.

use anyhow::anyhow;
use rusqlite::{Connection, OptionalExtension};

use crate::adapters::sqlite::connection::Format;
use crate::domain::log::History;
use crate::domain::message;
use crate::ports::store::StoreError;

pub(super) const FORMAT: Format = Format {
    name: "store",
    application_id: 0x5253_5354,
    version: 1,
    schema: "
        CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE collections (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
        CREATE TABLE documents (
            number INTEGER PRIMARY KEY,
            collection INTEGER NOT NULL,
            id ANY NOT NULL,
            body BLOB NOT NULL,
            UNIQUE (collection, id)
        ) STRICT;
        CREATE TABLE indexes (
            number INTEGER PRIMARY KEY,
            collection INTEGER NOT NULL,
            field TEXT NOT NULL,
            multikey INTEGER NOT NULL,
            UNIQUE (collection, field)
        ) STRICT;
        CREATE TABLE entries (
            field_index INTEGER NOT NULL,
            key ANY NOT NULL,
            document INTEGER NOT NULL,
            PRIMARY KEY (field_index, key, document)
        ) STRICT, WITHOUT ROWID;
    ",
    // A commit that a power cut takes back is applied again from the log.
    synchronous: "NORMAL",
    checkpoint_pages: 4000,
};

/// Stands in `meta` as long as the documents are half of a copy.
const COPYING: &str = "copying";
const HISTORY: &str = "history";

fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0)).optional()
}

fn set_meta(connection: &Connection, name: &str, value: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute((name, value)).map(drop)
}

pub(super) fn history(connection: &Connection) -> Result<History, StoreError> {
    match meta(connection, HISTORY)? {
        None => Ok(History::default()),
        Some(bytes) => message::decode(&bytes)
            .map_err(|error| StoreError::Internal(anyhow!(error).context("unreadable history"))),
    }
}

pub(super) fn set_history(connection: &Connection, history: &History) -> rusqlite::Result<()> {
    set_meta(connection, HISTORY, &message::encode(history))
}

pub(super) fn is_copying(connection: &Connection) -> rusqlite::Result<bool> {
    meta(connection, COPYING).map(|mark| mark.is_some())
}

pub(super) fn mark_copying(connection: &Connection) -> rusqlite::Result<()> {
    set_meta(connection, COPYING, &[])
}

pub(super) fn unmark_copying(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM meta WHERE name = ?1", [COPYING]).map(drop)
}

/// Removes everything, marks included.
pub(super) fn delete_everything(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "DELETE FROM entries; DELETE FROM indexes; DELETE FROM documents; DELETE FROM collections;
         DELETE FROM meta;",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_stored_history_is_survived(noise: Vec<u8>, at in any::<prop::sample::Index>()) {
            let connection = Connection::open_in_memory().expect("memory");
            connection.execute_batch("CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB)")
                .expect("a table");
            let mut damaged = message::encode(&History::default());
            let place = at.index(damaged.len());
            damaged.splice(place..place, noise.iter().copied());
            for stored in [&noise, &damaged] {
                set_meta(&connection, HISTORY, stored).expect("stored");
                let read = history(&connection);
                prop_assert!(matches!(read, Ok(_) | Err(StoreError::Internal(_))), "{read:?}");
            }
        }
    }
}
