//! Filters in MongoDB's query language.
//!
//! Invariant: every operator in the result was written here. What a client gave stands only where
//! a path or a literal value stands, below an operator such as `$eq`, so that nothing of it can
//! become an operator.

use mongodb::bson::{Bson, Document, doc};

use super::codec::operand;
use crate::domain::document::Value;
use crate::domain::filter::{ElementMatch, Expression, Predicate};

/// The query that finds what the expression matches.
pub(super) fn query(expression: &Expression) -> Document {
    match expression {
        Expression::And(all) if all.is_empty() => doc! {},
        Expression::And(all) => doc! { "$and": queries(all) },
        Expression::Or(any) if any.is_empty() => nothing(),
        Expression::Or(any) => doc! { "$or": queries(any) },
        Expression::Nor(none) if none.is_empty() => doc! {},
        Expression::Nor(none) => doc! { "$nor": queries(none) },
        Expression::Field { path, predicate } => {
            let (operator, operand) = condition(predicate);
            doc! { path.as_str(): { operator: operand } }
        }
    }
}

fn queries(expressions: &[Expression]) -> Bson {
    Bson::Array(expressions.iter().map(|each| query(each).into()).collect())
}

/// Finds no document.
fn nothing() -> Document {
    doc! { "$nor": [{}] }
}

fn condition(predicate: &Predicate) -> (&'static str, Bson) {
    match predicate {
        Predicate::Eq(value) => ("$eq", operand(value)),
        Predicate::Ne(value) => ("$ne", operand(value)),
        Predicate::Gt(value) => ("$gt", operand(value)),
        Predicate::Gte(value) => ("$gte", operand(value)),
        Predicate::Lt(value) => ("$lt", operand(value)),
        Predicate::Lte(value) => ("$lte", operand(value)),
        Predicate::In(values) => ("$in", operands(values)),
        Predicate::Nin(values) => ("$nin", operands(values)),
        Predicate::Exists(expected) => ("$exists", (*expected).into()),
        Predicate::Not(all) => ("$not", conditions(all).into()),
        Predicate::All(required) => {
            ("$all", Bson::Array(required.iter().map(required_one).collect()))
        }
        // The server refuses sizes that no array can have.
        Predicate::Size(size) => match i32::try_from(*size) {
            Ok(size) => ("$size", size.into()),
            Err(_) => ("$in", Bson::Array(Vec::new())),
        },
        Predicate::ElemMatch(ElementMatch::Object(expression)) => {
            ("$elemMatch", query(expression).into())
        }
        Predicate::ElemMatch(ElementMatch::Value(all)) => ("$elemMatch", conditions(all).into()),
    }
}

/// All of these. A filter names each operator once, so none overwrites another.
fn conditions(predicates: &[Predicate]) -> Document {
    let named = predicates.iter().map(condition);
    named.map(|(operator, operand)| (operator.to_owned(), operand)).collect()
}

fn required_one(predicate: &Predicate) -> Bson {
    match predicate {
        Predicate::Eq(value) => operand(value),
        other => {
            let (operator, operand) = condition(other);
            doc! { operator: operand }.into()
        }
    }
}

fn operands(values: &[Value]) -> Bson {
    Bson::Array(values.iter().map(operand).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::document::json;
    use crate::domain::filter::Filter;

    fn translated(filter: &str) -> Document {
        let source = json::parse(filter.as_bytes()).unwrap();
        query(Filter::parse(&source).unwrap().expression())
    }

    #[test]
    fn every_operator_is_spelled_out_and_values_stay_values() {
        let table = [
            ("{}", doc! {}),
            (r#"{"a": 1}"#, doc! { "a": { "$eq": 1_i64 } }),
            (r#"{"a": {"b": "$where"}}"#, doc! { "a": { "$eq": { "b": "$where" } } }),
            (r#"{"a": {"$gt": 1.5}}"#, doc! { "a": { "$gt": 1.5 } }),
            (
                r#"{"a": {"$in": [null, "$a"]}, "$or": [{"b": true}, {"c": {"$exists": 0}}]}"#,
                doc! { "$and": [
                    { "a": { "$in": [null, "$a"] } },
                    { "$or": [{ "b": { "$eq": true } }, { "c": { "$exists": false } }] },
                ] },
            ),
            (r#"{"a": {"$not": {"$size": 2}}}"#, doc! { "a": { "$not": { "$size": 2 } } }),
            (
                r#"{"a": {"$elemMatch": {"b": 1}}}"#,
                doc! { "a": { "$elemMatch": { "b": { "$eq": 1_i64 } } } },
            ),
            (
                r#"{"a": {"$elemMatch": {"$gte": 1, "$lt": 5}}}"#,
                doc! { "a": { "$elemMatch": { "$gte": 1_i64, "$lt": 5_i64 } } },
            ),
            (
                r#"{"a": {"$all": [{"$elemMatch": {"$gt": 1}}]}}"#,
                doc! { "a": { "$all": [{ "$elemMatch": { "$gt": 1_i64 } }] } },
            ),
        ];
        for (filter, expected) in table {
            assert_eq!(translated(filter), expected, "{filter}");
        }
    }

    #[test]
    fn size_beyond_the_server_s_range_finds_nothing_instead_of_failing() {
        let filter = format!(r#"{{"a": {{"$size": {}}}}}"#, i64::MAX);
        assert_eq!(translated(&filter), doc! { "a": { "$in": [] } });
    }
}
