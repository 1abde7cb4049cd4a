//! How a path leads to the value that an operation changes, and what it creates on the way.

use super::modifier::{Modifier, Outcome, Refusal};
use super::{MAX_PADDING, Operation, UpdateError};
use crate::domain::document::{Document, Value, array_index};

/// Why an operation cannot be carried out, before the path is known to the error.
enum Stop {
    Refused { refusal: Refusal, holds: &'static str },
    Blocked { part: String, holds: &'static str },
    TooFarBehind,
}

/// Carries out one operation. On an error the document may be half changed.
pub(super) fn apply(document: &mut Document, operation: &Operation) -> Result<(), UpdateError> {
    let Operation { path, modifier } = operation;
    in_document(document, path.parts(), modifier).map_err(|stop| {
        let (path, operator) = (path.to_string(), modifier.name());
        match stop {
            Stop::Refused { refusal: Refusal::WrongType { needs }, holds } => {
                UpdateError::WrongType { operator, needs, path, holds }
            }
            Stop::Refused { refusal: Refusal::OutOfRange, .. } => {
                UpdateError::OutOfRange { operator, path }
            }
            Stop::Blocked { part, holds } => UpdateError::Blocked { path, part, holds },
            Stop::TooFarBehind => UpdateError::TooFarBehind { path },
        }
    })
}

fn in_document(document: &mut Document, path: &[String], modifier: &Modifier) -> Result<(), Stop> {
    let Some((name, rest)) = path.split_first() else {
        return Ok(());
    };
    match document.get_mut(name) {
        Some(child) if !rest.is_empty() => in_value(child, rest, modifier),
        Some(child) => {
            if modify(child, modifier)? == Outcome::Removed {
                document.remove(name);
            }
            Ok(())
        }
        None => {
            if let Some(value) = modifier.initial() {
                document.insert(name.as_str(), wrap(rest, value));
            }
            Ok(())
        }
    }
}

fn in_value(value: &mut Value, path: &[String], modifier: &Modifier) -> Result<(), Stop> {
    match value {
        Value::Object(document) => in_document(document, path, modifier),
        Value::Array(elements) => in_array(elements, path, modifier),
        other => blocked(other.type_name(), path, modifier),
    }
}

fn in_array(elements: &mut Vec<Value>, path: &[String], modifier: &Modifier) -> Result<(), Stop> {
    let Some((part, rest)) = path.split_first() else {
        return Ok(());
    };
    let Some(index) = array_index(part) else {
        return blocked("an array", path, modifier);
    };
    match elements.get_mut(index) {
        Some(element) if !rest.is_empty() => in_value(element, rest, modifier),
        Some(element) => {
            // The other elements keep their indexes, so a removed one leaves a null.
            if modify(element, modifier)? == Outcome::Removed {
                *element = Value::Null;
            }
            Ok(())
        }
        None => {
            let Some(value) = modifier.initial() else {
                return Ok(());
            };
            if index - elements.len() > MAX_PADDING {
                return Err(Stop::TooFarBehind);
            }
            elements.resize(index, Value::Null);
            elements.push(wrap(rest, value));
            Ok(())
        }
    }
}

fn modify(value: &mut Value, modifier: &Modifier) -> Result<Outcome, Stop> {
    // A refused value is left as it was, so its type may be asked for afterwards.
    modifier.modify(value).map_err(|refusal| Stop::Refused { refusal, holds: value.type_name() })
}

fn blocked(holds: &'static str, path: &[String], modifier: &Modifier) -> Result<(), Stop> {
    if modifier.ignores_blocked_path() {
        return Ok(());
    }
    let part = path.first().cloned().unwrap_or_default();
    Err(Stop::Blocked { part, holds })
}

/// The value within an object for each part of the path: `b.c` makes `{b: {c: value}}`.
fn wrap(path: &[String], value: Value) -> Value {
    path.iter()
        .rev()
        .fold(value, |inner, name| Value::Object(Document::from_iter([(name.clone(), inner)])))
}
