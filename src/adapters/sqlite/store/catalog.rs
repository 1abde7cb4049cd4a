//! Which collections and indexes there are, as the writer remembers them.

use std::collections::HashMap;

use rusqlite::Connection;
use tracing::warn;

use crate::domain::document::{CollectionName, FieldPath, ID_FIELD};

/// An index on a field of a collection.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) number: i64,
    pub(super) path: FieldPath,
    /// Some document has, or had, more than one key in it.
    pub(super) is_multikey: bool,
}

/// A collection that was named in a change.
#[derive(Debug)]
pub(super) struct Collection {
    pub(super) number: i64,
    pub(super) indexes: Vec<Index>,
}

/// All of them. Forgotten with every transaction that failed, and read again.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    collections: HashMap<CollectionName, Collection>,
}

impl Catalog {
    /// What the file holds of the collection, which is made if there is none.
    pub(super) fn collection(
        &mut self,
        connection: &Connection,
        name: &CollectionName,
    ) -> rusqlite::Result<&mut Collection> {
        // Looked up twice, since a borrow that is returned on one path lasts on the other too.
        if !self.collections.contains_key(name) {
            let number = match number_of(connection, name)? {
                Some(number) => number,
                None => insert(connection, name)?,
            };
            let collection = Collection { number, indexes: indexes(connection, number)? };
            self.collections.insert(name.clone(), collection);
        }
        self.collections.get_mut(name).ok_or(rusqlite::Error::QueryReturnedNoRows)
    }
}

/// The number of a collection that was named before.
pub(super) fn number_of(
    connection: &Connection,
    name: &CollectionName,
) -> rusqlite::Result<Option<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT number FROM collections WHERE name = ?1")?;
    let mut rows = statement.query([name.as_str()])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}

fn insert(connection: &Connection, name: &CollectionName) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("INSERT INTO collections (name) VALUES (?1)")?;
    statement.insert([name.as_str()])
}

/// The indexes of a collection.
pub(super) fn indexes(connection: &Connection, collection: i64) -> rusqlite::Result<Vec<Index>> {
    let sql = "SELECT number, field, multikey FROM indexes WHERE collection = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([collection])?;
    let mut indexes = Vec::new();
    while let Some(row) = rows.next()? {
        // Only fields that are paths are ever written.
        if let Ok(path) = FieldPath::parse(row.get_ref(1)?.as_str()?) {
            indexes.push(Index { number: row.get(0)?, path, is_multikey: row.get(2)? });
        }
    }
    Ok(indexes)
}

/// The path of an index that is worth having and not there yet.
pub(super) fn missing_index(collection: &Collection, field: &str) -> Option<FieldPath> {
    let is_there = collection.indexes.iter().any(|index| index.path.as_str() == field);
    if is_there || field == ID_FIELD {
        return None;
    }
    match FieldPath::parse(field) {
        Ok(path) => Some(path),
        Err(error) => {
            // Without it queries are slower, and answered all the same.
            warn!(%error, "index left out");
            None
        }
    }
}
