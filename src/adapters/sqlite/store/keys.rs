//! Values as SQLite keys, and comparisons as ranges of keys.
//!
//! The order of keys follows the order of values but is coarser: long texts are cut, and all
//! objects share one key, as do all arrays. So a range holds at least what a comparison can match.

use std::cmp::Ordering;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::domain::document::{Document, DocumentId, FieldPath, Value};
use crate::domain::filter::{Predicate, compared_values};

/// How many characters of a text stand in an index. Cut by characters and not by bytes: only so
/// the order of texts stays the order of their beginnings.
const TEXT_CHARACTERS: usize = 128;

/// Greater than every text, less than the keys of all other kinds; itself the key of nothing.
const AFTER_TEXTS: &[u8] = &[];
const NULL: &[u8] = &[0];
const OBJECT: &[u8] = &[3];
const ARRAY: &[u8] = &[4];
const FALSE: &[u8] = &[5, 0];
const TRUE: &[u8] = &[5, 1];

/// What stands in a key column. The derived order is for sets; SQLite's differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// An integer, also one that was written as a double: equal numbers are one key.
    Integer(i64),
    /// The bits of a double that no integer equals.
    Real(u64),
    /// A text or its beginning.
    Text(String),
    /// Everything that is neither number nor text.
    Kind(&'static [u8]),
}

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(bits) => ValueRef::Real(f64::from_bits(*bits)),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Kind(kind) => ValueRef::Blob(kind),
        }))
    }
}

/// A document's `_id` as it is bound to a statement.
pub(super) struct SqlId<'a>(pub(super) &'a DocumentId);

impl ToSql for SqlId<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            DocumentId::Integer(number) => ValueRef::Integer(*number),
            DocumentId::String(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// Reads an `_id` back.
pub(super) fn id_from_sql(value: ValueRef<'_>) -> rusqlite::Result<DocumentId> {
    match value {
        ValueRef::Integer(number) => Ok(DocumentId::Integer(number)),
        other => Ok(DocumentId::String(other.as_str()?.to_owned())),
    }
}

/// Which column a key is compared with.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Column {
    /// The `_id`s, which are whole.
    Id,
    /// The entries of an index, whose texts are cut.
    Entry,
}

impl Key {
    fn of(value: &Value, column: Column) -> Self {
        match value {
            Value::Null => Self::Kind(NULL),
            Value::Bool(flag) => Self::Kind(if *flag { TRUE } else { FALSE }),
            Value::Integer(number) => Self::Integer(*number),
            Value::Double(number) => {
                value.as_integer().map_or(Self::Real(number.to_bits()), Self::Integer)
            }
            Value::String(text) if column == Column::Id || text.len() <= TEXT_CHARACTERS => {
                Self::Text(text.clone())
            }
            Value::String(text) => Self::Text(text.chars().take(TEXT_CHARACTERS).collect()),
            Value::Object(_) => Self::Kind(OBJECT),
            Value::Array(_) => Self::Kind(ARRAY),
        }
    }
}

impl Key {
    /// SQLite's order of keys.
    fn sql_order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Kind(a), Self::Kind(b)) => a.cmp(b),
            _ => match (self.as_number(), other.as_number()) {
                (Some(a), Some(b)) => a.compare(&b),
                _ => self.rank().cmp(&other.rank()),
            },
        }
    }

    fn as_number(&self) -> Option<Value> {
        match self {
            Self::Integer(number) => Some(Value::Integer(*number)),
            Self::Real(bits) => Some(Value::Double(f64::from_bits(*bits))),
            Self::Text(_) | Self::Kind(_) => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Integer(_) | Self::Real(_) => 0,
            Self::Text(_) => 1,
            Self::Kind(_) => 2,
        }
    }
}

/// The keys under which an index on the path knows the document, each once.
pub(super) fn entry_keys(document: &Document, path: &FieldPath) -> Vec<Key> {
    let mut keys = Vec::new();
    compared_values(document, path, &mut |found| {
        keys.push(Key::of(found.unwrap_or(&Value::Null), Column::Entry));
    });
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// All keys from `low` to `high`, both included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyRange {
    pub(super) low: Key,
    pub(super) high: Key,
}

impl KeyRange {
    /// Every `_id`.
    pub(super) fn all_ids() -> Self {
        Self { low: Key::Real(f64::NEG_INFINITY.to_bits()), high: Key::Kind(AFTER_TEXTS) }
    }

    /// What lies in both.
    pub(super) fn intersection(self, other: Self) -> Self {
        Self {
            low: if self.low.sql_order(&other.low).is_ge() { self.low } else { other.low },
            high: if self.high.sql_order(&other.high).is_le() { self.high } else { other.high },
        }
    }

    fn exactly(key: Key) -> Self {
        Self { low: key.clone(), high: key }
    }

    /// All keys of values that comparisons hold for one at all: those of the same type.
    fn of_type(value: &Value) -> Self {
        match value {
            Value::Integer(_) | Value::Double(_) => Self {
                low: Key::Real(f64::NEG_INFINITY.to_bits()),
                high: Key::Real(f64::INFINITY.to_bits()),
            },
            Value::String(_) => {
                Self { low: Key::Text(String::new()), high: Key::Kind(AFTER_TEXTS) }
            }
            Value::Bool(_) => Self { low: Key::Kind(FALSE), high: Key::Kind(TRUE) },
            Value::Null | Value::Object(_) | Value::Array(_) => {
                Self::exactly(Key::of(value, Column::Entry))
            }
        }
    }
}

/// The ranges that hold a key of every document that the predicate holds for; `None` if there is
/// no telling.
pub(super) fn ranges(predicate: &Predicate, column: Column) -> Option<Vec<KeyRange>> {
    let exactly = |value: &Value| KeyRange::exactly(Key::of(value, column));
    let ranges = match predicate {
        Predicate::Eq(value) => vec![exactly(value)],
        Predicate::In(values) => {
            let mut ranges: Vec<KeyRange> = values.iter().map(exactly).collect();
            ranges.sort_unstable();
            ranges.dedup();
            ranges
        }
        Predicate::Gt(value) | Predicate::Gte(value) => {
            vec![KeyRange { low: Key::of(value, column), ..KeyRange::of_type(value) }]
        }
        Predicate::Lt(value) | Predicate::Lte(value) => {
            vec![KeyRange { high: Key::of(value, column), ..KeyRange::of_type(value) }]
        }
        // Each of them must hold; the ranges of the first one hold all that matches.
        Predicate::All(required) => required.iter().find_map(|each| ranges(each, column))?,
        _ => return None,
    };
    Some(ranges)
}
