//! Whether a document satisfies an expression.

use std::cmp::Ordering;

use super::expression::{ElementMatch, Expression, Predicate};
use super::traverse::{Leaf, Root, any_at, any_of_leaf};
use crate::domain::document::{Document, Value};

impl Expression {
    /// Whether the document satisfies the expression.
    pub fn matches(&self, document: &Document) -> bool {
        self.holds(Root::Document(document))
    }

    fn holds(&self, root: Root<'_>) -> bool {
        match self {
            Self::And(expressions) => expressions.iter().all(|each| each.holds(root)),
            Self::Or(expressions) => expressions.iter().any(|each| each.holds(root)),
            Self::Nor(expressions) => !expressions.iter().any(|each| each.holds(root)),
            Self::Field { path, predicate } => {
                predicate.holds(&|leaf, test| any_at(root, path.parts(), leaf, test))
            }
        }
    }
}

/// Asks whether a test holds for one of the values that a place offers.
type AnyFound<'a, 'f> = &'f dyn Fn(Leaf, &mut dyn FnMut(Option<&'a Value>) -> bool) -> bool;

impl Predicate {
    /// Whether the predicate holds for a value as if a path had led to it, so that an array also
    /// stands for its elements.
    pub(crate) fn matches_value(&self, value: &Value) -> bool {
        self.holds(&|leaf, test| any_of_leaf(value, leaf, test))
    }

    fn holds<'a>(&self, any_found: AnyFound<'a, '_>) -> bool {
        match self {
            Self::Ne(operand) => !any_found(Leaf::Expanded, &mut |found| is_equal(found, operand)),
            Self::Nin(list) => !any_found(Leaf::Expanded, &mut |found| is_in(found, list)),
            Self::Exists(false) => !any_found(Leaf::Expanded, &mut |found| found.is_some()),
            Self::Not(predicates) => !predicates.iter().all(|each| each.holds(any_found)),
            Self::All(required) => {
                !required.is_empty() && required.iter().all(|each| each.holds(any_found))
            }
            Self::Size(_) | Self::ElemMatch(_) => {
                any_found(Leaf::Whole, &mut |found| self.holds_for_one(found))
            }
            _ => any_found(Leaf::Expanded, &mut |found| self.holds_for_one(found)),
        }
    }

    /// Whether the predicate holds for exactly this value, without looking into an array.
    fn holds_for_one(&self, found: Option<&Value>) -> bool {
        match self {
            Self::Eq(operand) => is_equal(found, operand),
            Self::Ne(operand) => !is_equal(found, operand),
            Self::Gt(operand) => compares(found, operand, Ordering::is_gt),
            Self::Gte(operand) => compares(found, operand, Ordering::is_ge),
            Self::Lt(operand) => compares(found, operand, Ordering::is_lt),
            Self::Lte(operand) => compares(found, operand, Ordering::is_le),
            Self::In(list) => is_in(found, list),
            Self::Nin(list) => !is_in(found, list),
            Self::Exists(expected) => found.is_some() == *expected,
            Self::Not(predicates) => !predicates.iter().all(|each| each.holds_for_one(found)),
            Self::All(required) => {
                !required.is_empty() && required.iter().all(|each| each.holds_for_one(found))
            }
            Self::Size(size) => elements(found).is_some_and(|found| found.len() as u64 == *size),
            Self::ElemMatch(condition) => elements(found)
                .is_some_and(|found| found.iter().any(|element| condition.holds(element))),
        }
    }
}

impl ElementMatch {
    fn holds(&self, element: &Value) -> bool {
        match (self, element) {
            (Self::Value(predicates), _) => {
                predicates.iter().all(|each| each.holds_for_one(Some(element)))
            }
            (Self::Object(expression), Value::Object(document)) => expression.matches(document),
            (Self::Object(expression), Value::Array(inner)) => expression.holds(Root::Array(inner)),
            (Self::Object(_), _) => false,
        }
    }
}

fn elements(found: Option<&Value>) -> Option<&[Value]> {
    found.and_then(Value::as_array)
}

fn is_equal(found: Option<&Value>, operand: &Value) -> bool {
    match found {
        Some(value) => value.equals(operand),
        None => *operand == Value::Null,
    }
}

fn is_in(found: Option<&Value>, list: &[Value]) -> bool {
    let value = found.unwrap_or(&Value::Null);
    list.binary_search_by(|operand| operand.compare(value)).is_ok()
}

/// Compares within one type only; a missing field counts as null.
fn compares(found: Option<&Value>, operand: &Value, wanted: fn(Ordering) -> bool) -> bool {
    let value = found.unwrap_or(&Value::Null);
    value.is_comparable_with(operand) && wanted(value.compare(operand))
}
