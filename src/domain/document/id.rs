//! The unique key of a document within its collection.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use super::Value;

/// The value of a document's `_id`. Integers come before strings, as in the order of all values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentId {
    /// A number that the client chose.
    Integer(i64),
    /// A name that the client chose, or a generated one.
    String(String),
}

/// A value that cannot be the key of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a string or an integer, not {holds}")]
pub struct InvalidId {
    holds: &'static str,
}

impl fmt::Display for DocumentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(formatter),
            Self::String(text) => text.fmt(formatter),
        }
    }
}

impl From<i64> for DocumentId {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for DocumentId {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for DocumentId {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<DocumentId> for Value {
    fn from(id: DocumentId) -> Self {
        match id {
            DocumentId::Integer(number) => Self::Integer(number),
            DocumentId::String(text) => Self::String(text),
        }
    }
}

impl TryFrom<&Value> for DocumentId {
    type Error = InvalidId;

    fn try_from(value: &Value) -> Result<Self, InvalidId> {
        match value {
            Value::Integer(number) => Ok(Self::Integer(*number)),
            Value::String(text) => Ok(Self::String(text.clone())),
            other => Err(InvalidId { holds: other.type_name() }),
        }
    }
}

impl Serialize for DocumentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::String(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for DocumentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdReader)
    }
}

struct IdReader;

impl Visitor<'_> for IdReader {
    type Value = DocumentId;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or a 64-bit signed integer")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<DocumentId, E> {
        Ok(DocumentId::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<DocumentId, E> {
        let unexpected = serde::de::Unexpected::Unsigned(number);
        i64::try_from(number)
            .map(DocumentId::Integer)
            .map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<DocumentId, E> {
        Ok(DocumentId::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<DocumentId, E> {
        Ok(DocumentId::String(text))
    }
}
