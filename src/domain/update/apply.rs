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

/// Carries out operations in turn on one document. On an error it is left half changed.
pub(super) fn apply(document: &mut Document, operations: &[Operation]) -> Result<(), UpdateError> {
    let mut padding_left = MAX_PADDING;
    operations.iter().try_for_each(|operation| apply_one(document, operation, &mut padding_left))
}

fn apply_one(
    document: &mut Document,
    operation: &Operation,
    padding_left: &mut usize,
) -> Result<(), UpdateError> {
    let Operation { path, modifier } = operation;
    let mut change = Change { modifier, padding_left };
    change.in_document(document, path.parts()).map_err(|stop| {
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

/// One operation under way.
struct Change<'a> {
    modifier: &'a Modifier,
    /// How many more nulls may fill gaps in arrays.
    padding_left: &'a mut usize,
}

impl Change<'_> {
    fn in_document(&mut self, document: &mut Document, path: &[String]) -> Result<(), Stop> {
        let Some((name, rest)) = path.split_first() else {
            return Ok(());
        };
        match document.get_mut(name) {
            Some(child) if !rest.is_empty() => self.in_value(child, rest)?,
            Some(child) => {
                if self.modify(child)? == Outcome::Removed {
                    document.remove(name);
                }
            }
            None => {
                if let Some(value) = self.modifier.initial() {
                    document.insert(name.as_str(), wrap(rest, value));
                }
            }
        }
        Ok(())
    }

    fn in_value(&mut self, value: &mut Value, path: &[String]) -> Result<(), Stop> {
        match value {
            Value::Object(document) => self.in_document(document, path),
            Value::Array(elements) => self.in_array(elements, path),
            other => self.blocked(other.type_name(), path),
        }
    }

    fn in_array(&mut self, elements: &mut Vec<Value>, path: &[String]) -> Result<(), Stop> {
        let Some((part, rest)) = path.split_first() else {
            return Ok(());
        };
        let Some(index) = array_index(part) else {
            return self.blocked("an array", path);
        };
        match elements.get_mut(index) {
            Some(element) if !rest.is_empty() => self.in_value(element, rest)?,
            Some(element) => {
                // The other elements keep their indexes, so a removed one leaves a null.
                if self.modify(element)? == Outcome::Removed {
                    *element = Value::Null;
                }
            }
            None => {
                if let Some(value) = self.modifier.initial() {
                    self.pad(elements, index)?;
                    elements.push(wrap(rest, value));
                }
            }
        }
        Ok(())
    }

    fn modify(&self, value: &mut Value) -> Result<Outcome, Stop> {
        // A refused value is left as it was, so its type may be asked for afterwards.
        self.modifier
            .modify(value)
            .map_err(|refusal| Stop::Refused { refusal, holds: value.type_name() })
    }

    fn pad(&mut self, elements: &mut Vec<Value>, length: usize) -> Result<(), Stop> {
        let gap = length.saturating_sub(elements.len());
        *self.padding_left = self.padding_left.checked_sub(gap).ok_or(Stop::TooFarBehind)?;
        elements.resize(length, Value::Null);
        Ok(())
    }

    fn blocked(&self, holds: &'static str, path: &[String]) -> Result<(), Stop> {
        if self.modifier.ignores_blocked_path() {
            return Ok(());
        }
        let part = path.first().cloned().unwrap_or_default();
        Err(Stop::Blocked { part, holds })
    }
}

/// The value within an object for each part of the path: `b.c` makes `{b: {c: value}}`.
fn wrap(path: &[String], value: Value) -> Value {
    path.iter()
        .rev()
        .fold(value, |inner, name| Value::Object(Document::from_iter([(name.clone(), inner)])))
}
