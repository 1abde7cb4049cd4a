//! MongoDB's order of documents by paths.
//!
//! A document is ordered by the smallest of the values that it has at a path, or descending by
//! the largest. An array stands for its elements; a missing value counts as null, and an empty
//! array comes before null.

use std::cmp::Ordering;

use super::SortOrder;
use crate::domain::document::{Document, ID_FIELD, Value, array_index};

/// What a document is ordered by at one path. The order of the variants matters.
#[derive(Clone, Copy)]
enum Key<'a> {
    EmptyArray,
    Value(&'a Value),
}

/// What a document is ordered by: one key for each path, and its `_id`.
pub(super) struct Keys<'a> {
    keys: Vec<Key<'a>>,
    id: &'a Value,
}

/// Orders two documents; equal only if their `_id`s are.
pub fn compare_by(sort: &[(String, SortOrder)], a: &Document, b: &Document) -> Ordering {
    Keys::of(sort, a).compare(&Keys::of(sort, b), sort)
}

/// What a document is ordered by, apart from the document: with it an adapter can order more
/// documents than it wants to hold.
#[derive(Clone, Debug)]
pub struct SortKey {
    /// `None` stands for an empty array.
    keys: Vec<Option<Value>>,
    id: Value,
}

impl SortKey {
    /// What a document is ordered by under this sort.
    pub fn of(sort: &[(String, SortOrder)], document: &Document) -> Self {
        let keys = Keys::of(sort, document);
        let owned = |key: &Key<'_>| match key {
            Key::EmptyArray => None,
            Key::Value(value) => Some((*value).clone()),
        };
        Self { keys: keys.keys.iter().map(owned).collect(), id: keys.id.clone() }
    }

    /// Orders two documents as [`compare_by`] does, given the sort that both keys were made for.
    pub fn compare(&self, other: &Self, sort: &[(String, SortOrder)]) -> Ordering {
        self.borrowed().compare(&other.borrowed(), sort)
    }

    /// About how many bytes the key takes.
    pub fn encoded_size(&self) -> usize {
        let values = self.keys.iter().flatten().chain([&self.id]);
        values.map(Value::encoded_size).sum()
    }

    fn borrowed(&self) -> Keys<'_> {
        let keys = self.keys.iter().map(|key| key.as_ref().map_or(Key::EmptyArray, Key::Value));
        Keys { keys: keys.collect(), id: &self.id }
    }
}

impl<'a> Keys<'a> {
    pub(super) fn of(sort: &[(String, SortOrder)], document: &'a Document) -> Self {
        let keys = sort.iter().map(|(path, order)| key(document, path, *order)).collect();
        Self { keys, id: document.get(ID_FIELD).unwrap_or(&Value::Null) }
    }

    pub(super) fn compare(&self, other: &Self, sort: &[(String, SortOrder)]) -> Ordering {
        let keys = self.keys.iter().zip(&other.keys).zip(sort);
        let mut by_path = keys.map(|((a, b), (_, order))| match order {
            SortOrder::Ascending => a.compare(*b),
            SortOrder::Descending => b.compare(*a),
        });
        let first_difference = by_path.find(|order| order.is_ne());
        first_difference.unwrap_or_else(|| self.id.compare(other.id))
    }
}

impl Key<'_> {
    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::EmptyArray, Self::EmptyArray) => Ordering::Equal,
            (Self::EmptyArray, Self::Value(_)) => Ordering::Less,
            (Self::Value(_), Self::EmptyArray) => Ordering::Greater,
            (Self::Value(a), Self::Value(b)) => a.compare(b),
        }
    }
}

fn key<'a>(document: &'a Document, path: &str, order: SortOrder) -> Key<'a> {
    let mut best = None;
    let (first, rest) = split(path);
    visit(document.get(first), rest, &mut |key: Key<'a>| {
        let is_better = best.is_none_or(|best| match order {
            SortOrder::Ascending => key.compare(best).is_lt(),
            SortOrder::Descending => key.compare(best).is_gt(),
        });
        if is_better {
            best = Some(key);
        }
    });
    best.unwrap_or(Key::Value(&Value::Null))
}

/// Finds every value that the document is known by at the path.
fn visit<'a>(current: Option<&'a Value>, path: Option<&str>, found: &mut dyn FnMut(Key<'a>)) {
    match (current, path) {
        (Some(Value::Array(elements)), None) if elements.is_empty() => found(Key::EmptyArray),
        (Some(Value::Array(elements)), None) => elements.iter().map(Key::Value).for_each(found),
        (Some(value), None) => found(Key::Value(value)),
        (Some(Value::Object(document)), Some(path)) => {
            let (next, rest) = split(path);
            visit(document.get(next), rest, found);
        }
        (Some(Value::Array(elements)), Some(path)) => visit_elements(elements, path, found),
        _ => found(Key::Value(&Value::Null)),
    }
}

fn visit_elements<'a>(elements: &'a [Value], path: &str, found: &mut dyn FnMut(Key<'a>)) {
    let (next, rest) = split(path);
    if let Some(index) = array_index(next) {
        return match (elements.get(index), rest) {
            (Some(Value::Array(inner)), None) if inner.is_empty() => found(Key::EmptyArray),
            // An element that the path names is the end of the path, not an array to expand.
            (Some(element), None) => found(Key::Value(element)),
            (element, _) => visit(element, rest, found),
        };
    }
    if elements.is_empty() {
        return found(Key::Value(&Value::Null));
    }
    for element in elements {
        // Arrays within arrays are not looked into.
        match element {
            Value::Object(_) => visit(Some(element), Some(path), found),
            _ => found(Key::Value(&Value::Null)),
        }
    }
}

fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::document::json;

    /// Found by asking MongoDB: `[0]` at the named place counts as an array, after any number.
    #[test]
    fn element_that_the_path_names_is_ordered_as_it_is() {
        let document = |text: &str| {
            let value = json::parse(text.as_bytes()).unwrap();
            value.as_document().unwrap().clone()
        };
        let nested = document(r#"{"_id":1,"a":[[0]]}"#);
        let number = document(r#"{"_id":2,"a":[7]}"#);
        let order =
            |path: &str| compare_by(&[(path.to_owned(), SortOrder::Ascending)], &nested, &number);
        assert_eq!(order("a.0"), Ordering::Greater);
        let empty = document(r#"{"_id":1,"a":[[]]}"#);
        let missing = document(r#"{"_id":0}"#);
        let by_path = [("a.0".to_owned(), SortOrder::Ascending)];
        assert_eq!(compare_by(&by_path, &empty, &missing), Ordering::Less);
    }
}
