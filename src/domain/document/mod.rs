//! Documents and the values in them: the one data model that every part of the system shares.
//!
//! A document is an ordered map of fields. Values compare by MongoDB's total order, are read from
//! and written to JSON and MessagePack as plain data, and are checked against the limits here.
//! It deliberately knows nothing of filters, updates or storage.

mod codec;
mod collection;
mod compare;
mod id;
pub mod json;
mod limits;
mod path;
mod value;

#[cfg(test)]
mod tests;

use indexmap::IndexMap;

pub use collection::{CollectionName, InvalidName};
pub use id::{DocumentId, InvalidId};
pub use limits::{InvalidDocument, InvalidReason, MAX_DEPTH, MAX_DOCUMENT_BYTES};
pub use path::{FieldPath, InvalidPath};
pub use value::Value;

pub(crate) use compare::Ordered;
pub(crate) use limits::validate_value;
pub(crate) use path::array_index;

/// The field that holds a document's unique key.
pub const ID_FIELD: &str = "_id";

/// A map of field names to values that keeps the order of its fields.
///
/// Two documents are equal when they hold equal fields in the same order.
#[derive(Clone, Debug, Default)]
pub struct Document {
    fields: IndexMap<String, Value>,
}

impl Document {
    /// A document without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a field. The name is taken as it is: a dot does not make it a path.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// The value of a field, to change it in place.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.fields.get_mut(name)
    }

    /// Whether there is a field of that name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Sets a field and returns its old value. A field that exists keeps its place, a new one
    /// comes last.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        self.fields.insert(name.into(), value.into())
    }

    /// Takes a field out. The others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.fields.shift_remove(name)
    }

    /// The fields in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + DoubleEndedIterator {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The names of the fields in their order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The document's key, or `None` when it has no `_id` or one that cannot be a key.
    pub fn id(&self) -> Option<DocumentId> {
        DocumentId::try_from(self.get(ID_FIELD)?).ok()
    }

    /// Sets `_id` and makes it the first field.
    pub fn set_id(&mut self, id: DocumentId) {
        self.fields.shift_insert(0, ID_FIELD.to_owned(), id.into());
    }

    /// This document with that `_id` as its first field.
    #[must_use]
    pub fn with_id(mut self, id: DocumentId) -> Self {
        self.set_id(id);
        self
    }

    /// About how many bytes this document takes as JSON: exact but for escapes in strings and the
    /// digits of doubles.
    pub fn encoded_size(&self) -> usize {
        limits::document_size(self)
    }

    /// Checks what every stored document must keep: names of fields, `_id`, depth, size and finite
    /// numbers.
    ///
    /// # Errors
    /// The first violation, with the path of the value that breaks the rule.
    pub fn validate(&self) -> Result<(), InvalidDocument> {
        limits::validate(self)
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.fields.len() == other.fields.len() && self.fields.iter().eq(&other.fields)
    }
}

impl FromIterator<(String, Value)> for Document {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        Self { fields: fields.into_iter().collect() }
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Document {
    fn from(fields: [(&str, Value); N]) -> Self {
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Extend<(String, Value)> for Document {
    fn extend<I: IntoIterator<Item = (String, Value)>>(&mut self, fields: I) {
        self.fields.extend(fields);
    }
}

impl IntoIterator for Document {
    type Item = (String, Value);
    type IntoIter = indexmap::map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}
