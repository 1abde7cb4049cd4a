//! Which fields of a document are returned.

use crate::domain::document::{Document, ID_FIELD, Value};

/// The part of a document at some paths, in its original order; `_id` always belongs to it.
///
/// A path runs through arrays: each of their elements is reduced to it, and elements that are
/// neither objects nor arrays fall away. Of a path and one within it, the wider one counts.
pub fn project<S: AsRef<str>>(document: &Document, paths: &[S]) -> Document {
    let mut wanted: Vec<&str> = paths.iter().map(AsRef::as_ref).collect();
    wanted.push(ID_FIELD);
    project_fields(document, &wanted)
}

fn project_fields(document: &Document, wanted: &[&str]) -> Document {
    let project_one = |(name, value): (&str, &Value)| {
        let projected = if wanted.contains(&name) {
            Some(value.clone())
        } else {
            let within: Vec<&str> = wanted
                .iter()
                .filter_map(|path| path.strip_prefix(name)?.strip_prefix('.'))
                .collect();
            if within.is_empty() { None } else { project_value(value, &within) }
        };
        projected.map(|value| (name.to_owned(), value))
    };
    document.iter().filter_map(project_one).collect()
}

fn project_value(value: &Value, wanted: &[&str]) -> Option<Value> {
    match value {
        Value::Object(document) => Some(Value::Object(project_fields(document, wanted))),
        Value::Array(elements) => {
            let projected = elements.iter().filter_map(|element| project_value(element, wanted));
            Some(Value::Array(projected.collect()))
        }
        _ => None,
    }
}
