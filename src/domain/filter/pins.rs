//! What a filter fixes beforehand: the keys of the documents that it can match, and the fields of
//! the document that an upsert creates from it.

use std::collections::BTreeSet;

use super::expression::{Expression, Predicate};
use crate::domain::document::{DocumentId, FieldPath, ID_FIELD, Value};

/// A filter that requires two values for one field, so that an upsert cannot choose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the filter fixes `{first}` and `{second}`: an upsert cannot set both")]
pub struct AmbiguousFields {
    /// The path that sorts first.
    pub first: String,
    /// The same path, or one within it.
    pub second: String,
}

pub(super) fn ids(expression: &Expression) -> Option<Vec<DocumentId>> {
    pinned(expression).map(|ids| ids.into_iter().collect())
}

fn pinned(expression: &Expression) -> Option<BTreeSet<DocumentId>> {
    match expression {
        Expression::And(expressions) => expressions
            .iter()
            .filter_map(pinned)
            .reduce(|all, more| all.intersection(&more).cloned().collect()),
        Expression::Field { path, predicate } if path.as_str() == ID_FIELD => match predicate {
            Predicate::Eq(value) => Some(as_id(value).into_iter().collect()),
            Predicate::In(values) => Some(values.iter().filter_map(as_id).collect()),
            _ => None,
        },
        _ => None,
    }
}

/// The key that equals a value: 1.0 is the key 1, and null is none.
fn as_id(value: &Value) -> Option<DocumentId> {
    match value {
        Value::Double(_) => value.as_integer().map(DocumentId::Integer),
        _ => DocumentId::try_from(value).ok(),
    }
}

pub(super) fn equality_fields(
    expression: &Expression,
) -> Result<Vec<(FieldPath, Value)>, AmbiguousFields> {
    let mut fields = Vec::new();
    collect_equalities(expression, &mut fields);
    let mut paths: Vec<&FieldPath> = fields.iter().map(|(path, _)| *path).collect();
    // Sorted part by part, a path stands right before those that it covers.
    paths.sort_by(|a, b| a.parts().cmp(b.parts()));
    for pair in paths.windows(2) {
        if let [first, second] = pair
            && first.covers(second)
        {
            let (first, second) = (first.to_string(), second.to_string());
            return Err(AmbiguousFields { first, second });
        }
    }
    Ok(fields.into_iter().map(|(path, value)| (path.clone(), as_stored(path, value))).collect())
}

/// The server's rule: equalities, also below `$and`, and what is one after simplification, namely
/// `$in` and `$all` of one value. (`$or` of one condition is that condition since parsing.)
fn collect_equalities<'a>(
    expression: &'a Expression,
    fields: &mut Vec<(&'a FieldPath, &'a Value)>,
) {
    match expression {
        Expression::And(expressions) => {
            for each in expressions {
                collect_equalities(each, fields);
            }
        }
        Expression::Field { path, predicate: Predicate::Eq(value) } => fields.push((path, value)),
        Expression::Field { path, predicate: Predicate::In(values) } => {
            if let [value] = values.as_slice() {
                fields.push((path, value));
            }
        }
        Expression::Field { path, predicate: Predicate::All(required) } => {
            let equalities = required.iter().filter_map(|each| match each {
                Predicate::Eq(value) => Some((path, value)),
                _ => None,
            });
            fields.extend(equalities);
        }
        _ => {}
    }
}

/// A filter may write the key 1 as 1.0; stored it is an integer.
fn as_stored(path: &FieldPath, value: &Value) -> Value {
    let id = if path.as_str() == ID_FIELD { as_id(value) } else { None };
    id.map_or_else(|| value.clone(), Value::from)
}
