//! Copies another store, row by row, while its owner goes on writing.

use std::path::Path;

use anyhow::anyhow;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::rows::Reader;
use super::schema;
use super::writer::Writer;
use crate::adapters::sqlite::connection::open_reader;
use crate::adapters::sqlite::error::store_not_opened;
use crate::ports::store::{Copied, StoreError};

/// How much is copied in one transaction.
const BATCH_ROWS: usize = 2000;
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A table that is copied as it is.
struct Table {
    select: &'static str,
    insert: &'static str,
    columns: usize,
}

const TABLES: [Table; 4] = [
    Table {
        select: "SELECT number, name FROM collections",
        insert: "INSERT INTO collections (number, name) VALUES (?1, ?2)",
        columns: 2,
    },
    Table {
        select: "SELECT number, collection, field, multikey FROM indexes",
        insert: "INSERT INTO indexes (number, collection, field, multikey) VALUES (?1, ?2, ?3, ?4)",
        columns: 4,
    },
    Table {
        select: "SELECT number, collection, id, body FROM documents ORDER BY number",
        insert: "INSERT INTO documents (number, collection, id, body) VALUES (?1, ?2, ?3, ?4)",
        columns: 4,
    },
    Table {
        select: "SELECT field_index, key, document FROM entries ORDER BY field_index, key, document",
        insert: "INSERT INTO entries (field_index, key, document) VALUES (?1, ?2, ?3)",
        columns: 3,
    },
];

/// Replaces everything by a copy of the store at `path`. On an error the caller has to wipe.
pub(super) fn copy(
    writer: &mut Writer,
    path: &Path,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Copied, StoreError> {
    writer.begin_copy()?;
    let mut connection = open_reader(path, &schema::FORMAT).map_err(store_not_opened)?;
    let source = connection.transaction()?;
    // One state of the source from here on, whatever it goes on to do.
    Reader::begin(&source)?;
    if schema::is_copying(&source)? {
        return Err(StoreError::Unavailable(anyhow!("the source is a copy in the making itself")));
    }
    let history = schema::history(&source)?;
    for table in &TABLES {
        copy_table(writer, &source, table, is_cancelled)?;
    }
    writer.end_copy(&history)?;
    let consistent_at = history.applied;
    Ok(Copied { history, consistent_at })
}

fn copy_table(
    writer: &mut Writer,
    source: &Connection,
    table: &Table,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(), StoreError> {
    let mut statement = source.prepare(table.select)?;
    let mut rows = statement.query([])?;
    let mut has_more = true;
    while has_more {
        if is_cancelled() {
            return Err(StoreError::Unavailable(anyhow!("the copy was cut off")));
        }
        has_more = writer.transact(|connection, _| {
            let mut insert = connection.prepare_cached(table.insert)?;
            let (mut copied, mut bytes) = (0, 0);
            while copied < BATCH_ROWS && bytes < BATCH_BYTES {
                let Some(row) = rows.next()? else {
                    return Ok(false);
                };
                bytes += copy_row(row, table.columns, &mut insert)?;
                copied += 1;
            }
            Ok(true)
        })?;
    }
    Ok(())
}

/// Copies a row as it is and says about how large it is.
fn copy_row(
    row: &Row<'_>,
    columns: usize,
    insert: &mut rusqlite::Statement<'_>,
) -> rusqlite::Result<usize> {
    let mut bytes = 0;
    for column in 0..columns {
        let value = row.get_ref(column)?;
        bytes += match value {
            ValueRef::Text(long) | ValueRef::Blob(long) => long.len(),
            _ => 8,
        };
        insert.raw_bind_parameter(column + 1, rusqlite::types::ToSqlOutput::Borrowed(value))?;
    }
    insert.raw_execute()?;
    Ok(bytes)
}
