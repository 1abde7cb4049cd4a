//! Updates: how an operation changes a document.
//!
//! An update is parsed once and then applied to documents, with MongoDB's semantics. Applying is
//! pure: it takes the old document and gives the new one, or says why there is none. Which
//! documents are updated, and where they are kept, is not decided here.

mod apply;
mod error;
mod modifier;
mod parse;

#[cfg(test)]
mod tests;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

use self::modifier::Modifier;
use super::document::{Document, DocumentId, FieldPath, ID_FIELD, Value};
use super::filter::Filter;

pub use error::{InvalidUpdate, UpdateError, UpdateProblem};

/// How many nulls an update may put into the arrays of a document to reach the indexes it sets.
pub const MAX_PADDING: usize = 10_000;

/// A valid update. Serialises as the JSON that it was parsed from.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    source: Value,
    /// In the order of their paths, in which MongoDB adds new fields; none covers another.
    operations: Vec<Operation>,
}

/// One change at one path.
#[derive(Clone, Debug, PartialEq)]
struct Operation {
    path: FieldPath,
    modifier: Modifier,
}

impl Update {
    /// Takes an update as a client wrote it.
    ///
    /// # Errors
    /// What is wrong and at which operator: none at all, an unknown or misused one, a value that
    /// no document can hold, or two changes of one field.
    pub fn parse(source: &Value) -> Result<Self, InvalidUpdate> {
        let operations = parse::parse(source)?;
        Ok(Self { source: source.clone(), operations })
    }

    /// The document after the update. It equals the old one when there was nothing to change.
    ///
    /// # Errors
    /// The document does not allow the change, or the result would break a rule of documents.
    pub fn apply(&self, document: &Document) -> Result<Document, UpdateError> {
        let mut updated = document.clone();
        apply::apply(&mut updated, &self.operations)?;
        keep_id(document, &mut updated)?;
        updated.validate()?;
        Ok(updated)
    }

    /// The document that an upsert inserts when nothing matches: the fields that the filter
    /// requires to equal a value, changed by the update. Its `_id` is the filter's, else the one
    /// that the update sets, else the fresh one.
    ///
    /// # Errors
    /// As for [`Update::apply`], and a filter that fixes one field twice.
    pub fn upsert(&self, filter: &Filter, fresh_id: DocumentId) -> Result<Document, UpdateError> {
        let mut document = Document::new();
        let fields = filter.equality_fields()?.into_iter();
        let set = |(path, value)| Operation { path, modifier: Modifier::Set(value) };
        apply::apply(&mut document, &fields.map(set).collect::<Vec<_>>())?;
        // The fresh key comes afterwards, as the update may set one itself.
        let mut document = self.apply(&document)?;
        match document.remove(ID_FIELD) {
            Some(id) => document.set_id(DocumentId::try_from(&id).unwrap_or(fresh_id)),
            None => document.set_id(fresh_id),
        }
        document.validate()?;
        Ok(document)
    }

    /// The update as it was written.
    pub fn source(&self) -> &Value {
        &self.source
    }
}

/// A key never changes. One that was set to an equal value, such as 1 to 1.0, stays as it was.
fn keep_id(before: &Document, after: &mut Document) -> Result<(), UpdateError> {
    let Some(old) = before.get(ID_FIELD) else {
        return Ok(());
    };
    match after.get_mut(ID_FIELD) {
        Some(new) if new.equals(old) => {
            new.clone_from(old);
            Ok(())
        }
        _ => Err(UpdateError::ImmutableId),
    }
}

impl Serialize for Update {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Update {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = Value::deserialize(deserializer)?;
        let operations = parse::parse(&source).map_err(D::Error::custom)?;
        Ok(Self { source, operations })
    }
}
