//! How a path finds values in a document: MongoDB's implicit traversal of arrays.
//!
//! Source: the server's `matcher/path.cpp`, whose rules these are. A path through an array looks
//! into each element that is an object, and a numeric part also names the element at that index.
//! A path that leads nowhere through objects finds "missing" once; one that leads nowhere through
//! an array finds nothing at all.

use crate::domain::document::{Document, Value, array_index};

/// What a path starts from.
#[derive(Clone, Copy)]
pub(super) enum Root<'a> {
    /// A document, or an object within one.
    Document(&'a Document),
    /// An array that is taken as an object, with its indexes as names.
    Array(&'a [Value]),
}

/// What to do with an array at the end of a path.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Leaf {
    /// Find its elements and then the array itself.
    Expanded,
    /// Find only the array itself.
    Whole,
}

impl<'a> Root<'a> {
    fn get(self, part: &str) -> Option<&'a Value> {
        match self {
            Self::Document(document) => document.get(part),
            Self::Array(elements) => elements.get(array_index(part)?),
        }
    }
}

/// Whether the test holds for one of the values that the path finds. `None` is a missing field.
pub(super) fn any_at<'a>(
    root: Root<'a>,
    path: &[String],
    leaf: Leaf,
    test: &mut dyn FnMut(Option<&'a Value>) -> bool,
) -> bool {
    let Some((first, mut rest)) = path.split_first() else {
        return false;
    };
    let mut current = root.get(first);
    loop {
        match (current, rest.split_first()) {
            (Some(array @ Value::Array(_)), None) => return any_of_leaf(array, leaf, test),
            (Some(Value::Array(elements)), Some(_)) => {
                return any_in_array(elements, rest, leaf, test);
            }
            (Some(Value::Object(document)), Some((next, after))) => {
                current = document.get(next);
                rest = after;
            }
            (_, Some(_)) => return test(None),
            (found, None) => return test(found),
        }
    }
}

/// Whether the test holds for a value at the end of a path, or for one of its elements.
pub(super) fn any_of_leaf<'a>(
    value: &'a Value,
    leaf: Leaf,
    test: &mut dyn FnMut(Option<&'a Value>) -> bool,
) -> bool {
    let elements = match (value, leaf) {
        (Value::Array(elements), Leaf::Expanded) => elements.as_slice(),
        _ => &[],
    };
    elements.iter().any(|element| test(Some(element))) || test(Some(value))
}

/// Follows a path that goes on behind an array.
fn any_in_array<'a>(
    elements: &'a [Value],
    path: &[String],
    leaf: Leaf,
    test: &mut dyn FnMut(Option<&'a Value>) -> bool,
) -> bool {
    let Some((next, after)) = path.split_first() else {
        return false;
    };
    let named = array_index(next);
    elements.iter().enumerate().any(|(index, element)| {
        let is_named = named == Some(index);
        match element {
            Value::Object(document) if any_at(Root::Document(document), path, leaf, test) => true,
            // An element that the path names is the end of the path, not an array to expand.
            element if is_named && after.is_empty() => test(Some(element)),
            Value::Object(document) if is_named => {
                any_at(Root::Document(document), after, leaf, test)
            }
            Value::Array(inner) if is_named => any_in_array(inner, after, leaf, test),
            _ => false,
        }
    })
}
