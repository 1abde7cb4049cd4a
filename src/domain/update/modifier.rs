//! The operators of updates, each on one value.
//!
//! What they do with a missing value is [`Modifier::initial`], with a present one
//! [`Modifier::modify`]. How a path leads to the value is `apply`'s concern.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::domain::document::{Document, Ordered, Value};
use crate::domain::filter::{Filter, Predicate};

/// A change of one value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Modifier {
    Set(Value),
    Unset,
    /// The operand is a number.
    Inc(Value),
    /// The operand is a number.
    Mul(Value),
    Min(Value),
    Max(Value),
    Push(Vec<Value>),
    /// No two of these are equal.
    AddToSet(Vec<Value>),
    Pull(Condition),
    Pop(End),
}

/// Which elements `$pull` takes out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    /// Those equal to a value.
    Equals(Value),
    /// The objects that match a filter.
    Matches(Filter),
    /// Those that satisfy all of these.
    Satisfies(Vec<Predicate>),
}

/// An end of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stays, changed or not.
    Kept,
    /// It has to be taken out.
    Removed,
}

/// Why a value cannot be modified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The operator works on another type.
    WrongType { needs: &'static str },
    /// The result would not be a 64-bit integer or a finite double.
    OutOfRange,
}

impl Modifier {
    /// The operator's name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Set(_) => "$set",
            Self::Unset => "$unset",
            Self::Inc(_) => "$inc",
            Self::Mul(_) => "$mul",
            Self::Min(_) => "$min",
            Self::Max(_) => "$max",
            Self::Push(_) => "$push",
            Self::AddToSet(_) => "$addToSet",
            Self::Pull(_) => "$pull",
            Self::Pop(_) => "$pop",
        }
    }

    /// The value to create where there is none; `None` leaves it missing.
    pub(super) fn initial(&self) -> Option<Value> {
        match self {
            Self::Set(value) | Self::Inc(value) | Self::Min(value) | Self::Max(value) => {
                Some(value.clone())
            }
            Self::Mul(Value::Double(_)) => Some(Value::Double(0.0)),
            Self::Mul(_) => Some(Value::Integer(0)),
            Self::Push(values) | Self::AddToSet(values) => Some(Value::Array(values.clone())),
            Self::Unset | Self::Pull(_) | Self::Pop(_) => None,
        }
    }

    /// Whether a path that cannot exist is no concern: what cannot be there needs no removing.
    pub(super) fn ignores_blocked_path(&self) -> bool {
        *self == Self::Unset
    }

    /// Changes a value in its place.
    pub(super) fn modify(&self, current: &mut Value) -> Result<Outcome, Refusal> {
        match self {
            Self::Set(value) => current.clone_from(value),
            Self::Unset => return Ok(Outcome::Removed),
            Self::Inc(operand) => {
                *current = calculate(current, operand, i64::checked_add, |a, b| a + b)?
            }
            Self::Mul(operand) => {
                *current = calculate(current, operand, i64::checked_mul, |a, b| a * b)?
            }
            Self::Min(value) => replace_if(current, value, Ordering::Less),
            Self::Max(value) => replace_if(current, value, Ordering::Greater),
            Self::Push(values) => array(current)?.extend_from_slice(values),
            Self::AddToSet(values) => add_to_set(array(current)?, values),
            Self::Pull(condition) => array(current)?.retain(|element| !condition.holds(element)),
            Self::Pop(end) => pop(array(current)?, *end),
        }
        Ok(Outcome::Kept)
    }
}

impl Condition {
    fn holds(&self, element: &Value) -> bool {
        match self {
            Self::Equals(value) => element.equals(value),
            Self::Matches(filter) => {
                element.as_document().is_some_and(|document: &Document| filter.matches(document))
            }
            Self::Satisfies(predicates) => {
                predicates.iter().all(|each| each.matches_value(element))
            }
        }
    }
}

/// Integers stay integers; with a double on either side the result is a double.
fn calculate(
    current: &Value,
    operand: &Value,
    of_integers: fn(i64, i64) -> Option<i64>,
    of_doubles: fn(f64, f64) -> f64,
) -> Result<Value, Refusal> {
    if let (Value::Integer(a), Value::Integer(b)) = (current, operand) {
        return of_integers(*a, *b).map(Value::Integer).ok_or(Refusal::OutOfRange);
    }
    let needs_number = Refusal::WrongType { needs: "a number" };
    let a = as_double(current).ok_or(needs_number)?;
    let b = as_double(operand).ok_or(needs_number)?;
    let result = of_doubles(a, b);
    if result.is_finite() { Ok(Value::Double(result)) } else { Err(Refusal::OutOfRange) }
}

fn as_double(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Double(number) => Some(*number),
        _ => None,
    }
}

fn replace_if(current: &mut Value, value: &Value, wanted: Ordering) {
    if value.compare(current) == wanted {
        current.clone_from(value);
    }
}

fn array(value: &mut Value) -> Result<&mut Vec<Value>, Refusal> {
    match value {
        Value::Array(elements) => Ok(elements),
        _ => Err(Refusal::WrongType { needs: "an array" }),
    }
}

/// Adds what is not there yet; the values themselves are all different.
fn add_to_set(elements: &mut Vec<Value>, values: &[Value]) {
    let missing: Vec<Value> = match values {
        [value] if elements.iter().any(|element| element.equals(value)) => Vec::new(),
        [value] => vec![value.clone()],
        _ => {
            let present: BTreeSet<Ordered<'_>> = elements.iter().map(Ordered).collect();
            let is_missing = |value: &&Value| !present.contains(&Ordered(value));
            values.iter().filter(is_missing).cloned().collect()
        }
    };
    elements.extend(missing);
}

fn pop(elements: &mut Vec<Value>, end: End) {
    match end {
        End::Last => drop(elements.pop()),
        End::First if elements.is_empty() => {}
        End::First => drop(elements.remove(0)),
    }
}
