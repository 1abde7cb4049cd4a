//! What a filter requires, as a tree.

use crate::domain::document::{FieldPath, ID_FIELD, Value};

/// A condition on a whole document.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// All of these hold; of none, always.
    And(Vec<Expression>),
    /// At least one of these holds.
    Or(Vec<Expression>),
    /// None of these holds.
    Nor(Vec<Expression>),
    /// What is found at the path satisfies the predicate. The path runs through arrays: each of
    /// their elements is looked into, and an index names one of them.
    Field {
        /// Where to look.
        path: FieldPath,
        /// What must hold there.
        predicate: Predicate,
    },
}

/// A condition on what is found at a path: on at least one of the values there, where an array
/// stands for itself and for each of its elements. The negations hold when none satisfies the
/// condition that they negate.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// Equal; null equals a missing field.
    Eq(Value),
    /// Nothing there is equal.
    Ne(Value),
    /// Greater, and of a comparable type.
    Gt(Value),
    /// Greater or equal, and of a comparable type; null also holds for a missing field.
    Gte(Value),
    /// Less, and of a comparable type.
    Lt(Value),
    /// Less or equal, and of a comparable type; null also holds for a missing field.
    Lte(Value),
    /// Equal to one of these, which are in order and each once.
    In(Vec<Value>),
    /// Nothing there is equal to one of these, which are in order and each once.
    Nin(Vec<Value>),
    /// There is a value, or with `false` there is none.
    Exists(bool),
    /// Not all of these hold.
    Not(Vec<Predicate>),
    /// Each of these, which are `Eq` or `ElemMatch`, holds; of none, never.
    All(Vec<Predicate>),
    /// An array of that many elements.
    Size(u64),
    /// An array with an element that satisfies the whole condition.
    ElemMatch(ElementMatch),
}

/// The condition of an `$elemMatch` on one element.
#[derive(Clone, Debug, PartialEq)]
pub enum ElementMatch {
    /// The element is an object, or an array with its indexes as names, and satisfies this.
    Object(Box<Expression>),
    /// The element itself satisfies all of these.
    Value(Vec<Predicate>),
}

impl Expression {
    /// Requires one value at a path.
    pub(super) fn field(path: FieldPath, predicate: Predicate) -> Self {
        Self::Field { path, predicate }
    }

    /// Requires `_id` to be that value.
    pub(super) fn id_equals(value: Value) -> Self {
        Self::field(FieldPath::from_name(ID_FIELD), Predicate::Eq(value))
    }

    /// All of these; a single one stands for itself.
    pub(super) fn all_of(mut expressions: Vec<Expression>) -> Self {
        match expressions.len() {
            1 => expressions.remove(0),
            _ => Self::And(expressions),
        }
    }
}
