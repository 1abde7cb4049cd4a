//! Filters: which documents an operation is about.
//!
//! A filter is parsed once into an [`Expression`] and then matched against documents, with
//! MongoDB's semantics. It does not know how documents are stored; an adapter that can search by
//! itself translates the expression, and one that cannot matches each document.

mod expression;
mod matching;
mod parse;
mod pins;
mod traverse;

#[cfg(test)]
mod tests;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

use super::document::{Document, DocumentId, FieldPath, Value};

pub use expression::{ElementMatch, Expression, Predicate};
pub use parse::{FilterProblem, InvalidFilter};
pub(crate) use parse::{applies_to_value, parse_operators};
pub use pins::AmbiguousFields;

/// A valid filter. Serialises as the JSON that it was parsed from.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    source: Value,
    expression: Expression,
}

impl Filter {
    /// Takes a filter as a client wrote it.
    ///
    /// # Errors
    /// What is wrong and at which operator: an unknown or misused one, a value that no document
    /// can hold, or too many levels.
    pub fn parse(source: &Value) -> Result<Self, InvalidFilter> {
        let expression = parse::parse(source)?;
        Ok(Self { source: source.clone(), expression })
    }

    /// The filter that every document matches.
    pub fn all() -> Self {
        Self { source: Value::Object(Document::new()), expression: Expression::And(Vec::new()) }
    }

    /// The filter that only the document with that `_id` matches.
    pub fn by_id(id: DocumentId) -> Self {
        let value = Value::from(id);
        let source = Document::from_iter([("_id".to_owned(), value.clone())]);
        Self { source: source.into(), expression: Expression::id_equals(value) }
    }

    /// Whether a document is one of those that the filter is about.
    pub fn matches(&self, document: &Document) -> bool {
        self.expression.matches(document)
    }

    /// The only keys that a matching document can have, ascending and each once; `None` when the
    /// filter leaves the key open. There may be further conditions, so a document with such a key
    /// does not have to match.
    pub fn ids(&self) -> Option<Vec<DocumentId>> {
        pins::ids(&self.expression)
    }

    /// The fields that an upsert takes over from the filter: those it requires to equal one value,
    /// in the filter's order, with their dotted paths.
    ///
    /// # Errors
    /// Two equalities for the same field, or for a field and one inside of it.
    pub fn equality_fields(&self) -> Result<Vec<(FieldPath, Value)>, AmbiguousFields> {
        pins::equality_fields(&self.expression)
    }

    /// What the filter requires, for adapters that translate it.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The filter as it was written.
    pub fn source(&self) -> &Value {
        &self.source
    }
}

/// Everything that a comparison at this path compares with its operand: each value found, an array
/// after its elements, and `None` for a missing field, which counts as null. For adapters that keep
/// indexes: what none of these satisfies, no comparison at the path is satisfied by.
pub fn compared_values<'a>(
    document: &'a Document,
    path: &FieldPath,
    visit: &mut dyn FnMut(Option<&'a Value>),
) {
    traverse::any_at(
        traverse::Root::Document(document),
        path.parts(),
        traverse::Leaf::Expanded,
        &mut |found| {
            visit(found);
            false
        },
    );
}

impl Default for Filter {
    fn default() -> Self {
        Self::all()
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = Value::deserialize(deserializer)?;
        let expression = parse::parse(&source).map_err(D::Error::custom)?;
        Ok(Self { source, expression })
    }
}
