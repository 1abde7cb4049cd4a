//! The tables of a log, and the statements on them.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use crate::adapters::sqlite::connection::Format;
use crate::domain::ids::Offset;
use crate::domain::message;
use crate::ports::log::{Bounds, LogItem};

pub(super) const FORMAT: Format = Format {
    name: "log",
    application_id: 0x5253_4C47,
    version: 1,
    // The end stands in a row of its own: offsets must not begin anew when no record is left. A
    // record's position is the number of bytes of all records that were ever before it.
    schema: "
        CREATE TABLE records (
            offset INTEGER PRIMARY KEY,
            position INTEGER NOT NULL,
            body BLOB NOT NULL
        ) STRICT;
        CREATE TABLE end (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            offset INTEGER NOT NULL,
            position INTEGER NOT NULL
        ) STRICT;
        INSERT INTO end (one, offset, position) VALUES (1, 0, 0);
    ",
    // What was confirmed has survived a power cut.
    synchronous: "FULL",
    checkpoint_pages: 4000,
};

/// Most that one portion for a tail holds.
const PORTION_RECORDS: u32 = 512;
const PORTION_BYTES: usize = 4 * 1024 * 1024;

/// A place between records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: i64,
    /// In bytes of all records ever appended.
    pub(super) position: i64,
}

/// Where the log begins and ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) first: Place,
    pub(super) end: Place,
}

impl Extent {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { first: offset(self.first.offset), next: offset(self.end.offset) }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.end.position.abs_diff(self.first.position)
    }
}

/// Offsets in the file are counted from 0 up.
fn offset(number: i64) -> Offset {
    Offset(number.unsigned_abs())
}

pub(super) fn extent(connection: &Connection) -> rusqlite::Result<Extent> {
    let place = |row: &rusqlite::Row<'_>| Ok(Place { offset: row.get(0)?, position: row.get(1)? });
    let end = connection.query_row("SELECT offset, position FROM end", [], place)?;
    let sql = "SELECT offset, position FROM records ORDER BY offset LIMIT 1";
    let first = connection.query_row(sql, [], place).optional()?;
    Ok(Extent { first: first.unwrap_or(end), end })
}

pub(super) fn insert(connection: &Connection, at: Place, body: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO records (offset, position, body) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute((at.offset, at.position, body)).map(drop)
}

pub(super) fn set_end(connection: &Connection, end: Place) -> rusqlite::Result<()> {
    let sql = "UPDATE end SET offset = ?1, position = ?2";
    connection.prepare_cached(sql)?.execute((end.offset, end.position)).map(drop)
}

/// Deletes the oldest records until at most `kept` bytes are left, but not more than `limit` of
/// them and never the newest; returns where the log begins then.
pub(super) fn trim(
    connection: &Connection,
    extent: &Extent,
    kept: u64,
    limit: u32,
) -> rusqlite::Result<Place> {
    let sql = "SELECT offset, position FROM records WHERE offset > ?1 ORDER BY offset LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((extent.first.offset, limit))?;
    let mut first = extent.first;
    while extent.end.position.abs_diff(first.position) > kept {
        let Some(row) = rows.next()? else { break };
        first = Place { offset: row.get(0)?, position: row.get(1)? };
    }
    drop(rows);
    let sql = "DELETE FROM records WHERE offset < ?1";
    connection.prepare_cached(sql)?.execute([first.offset])?;
    Ok(first)
}

/// A portion of the records with `from <= offset < until`, at least one if there is any.
pub(super) fn read(
    connection: &Connection,
    from: Offset,
    until: Offset,
) -> rusqlite::Result<Vec<LogItem>> {
    let number = |offset: Offset| i64::try_from(offset.0).unwrap_or(i64::MAX);
    let sql = "SELECT offset, body FROM records WHERE offset >= ?1 AND offset < ?2
               ORDER BY offset LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((number(from), number(until), PORTION_RECORDS))?;
    let (mut items, mut bytes) = (Vec::new(), 0);
    while bytes < PORTION_BYTES {
        let Some(row) = rows.next()? else { break };
        let body = row.get_ref(1)?.as_blob()?;
        bytes += body.len();
        let record = message::decode(body).map(Arc::new);
        items.push(LogItem { offset: offset(row.get(0)?), record });
    }
    Ok(items)
}
