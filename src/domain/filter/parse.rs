//! From a value to an expression, refusing everything that is not known for certain.

use super::expression::{ElementMatch, Expression, Predicate};
use crate::domain::document::{
    Document, FieldPath, InvalidDocument, InvalidPath, MAX_DEPTH, Value, validate_value,
};

/// How long a quoted operator may be in a message.
const MAX_QUOTED: usize = 80;

/// A filter that cannot be used, and where it goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFilter {
    /// The place within the filter, such as `a.$elemMatch.$or[1]`; empty for the whole.
    pub place: String,
    /// What is wrong there.
    pub problem: FilterProblem,
}

/// What can be wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterProblem {
    /// Something else than an object where a condition has to stand.
    #[error("must be an object, not {0}")]
    NotAnObject(&'static str),
    /// An operator that does not exist, is not offered, or cannot stand there.
    #[error("operator `{0}` is not known here")]
    UnknownOperator(String),
    /// An operator with an operand that it does not take.
    #[error("`{operator}` needs {needs}, not {holds}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// What it takes.
        needs: &'static str,
        /// What it was given.
        holds: &'static str,
    },
    /// Operators and plain names in one object.
    #[error("mixes operators and the plain name `{0}`")]
    Mixed(String),
    /// A value to compare with that no document can hold.
    #[error(transparent)]
    Literal(#[from] InvalidDocument),
    /// The path of a field is not one.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// More levels than [`MAX_DEPTH`].
    #[error("a filter may have {MAX_DEPTH} levels at most")]
    TooDeep,
}

impl std::fmt::Display for InvalidFilter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place.as_str() {
            "" => write!(formatter, "filter: {}", self.problem),
            place => write!(formatter, "filter at `{place}`: {}", self.problem),
        }
    }
}

impl std::error::Error for InvalidFilter {}

impl<P: Into<FilterProblem>> From<P> for InvalidFilter {
    fn from(problem: P) -> Self {
        Self { place: String::new(), problem: problem.into() }
    }
}

impl InvalidFilter {
    /// The same problem, seen from outside of a place.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        let is_apart = !self.place.is_empty() && !self.place.starts_with('[');
        self.place.insert_str(0, if is_apart { "." } else { "" });
        self.place.insert_str(0, place);
        self
    }
}

pub(super) fn parse(source: &Value) -> Result<Expression, InvalidFilter> {
    if source.is_deeper_than(MAX_DEPTH) {
        return Err(FilterProblem::TooDeep.into());
    }
    parse_expression(source)
}

/// Takes the operators of an object such as `{"$gt": 5, "$lt": 9}` that apply to one value.
pub(crate) fn parse_operators(operators: &Document) -> Result<Vec<Predicate>, InvalidFilter> {
    let mut predicates = Vec::with_capacity(operators.len());
    for (name, operand) in operators.iter() {
        if !name.starts_with('$') {
            return Err(FilterProblem::Mixed(quoted(name)).into());
        }
        predicates.push(parse_operator(name, operand).map_err(|error| error.within(name))?);
    }
    Ok(predicates)
}

/// Whether an object is a condition on one value, such as `{"$gt": 5}`, rather than one on the
/// fields of an object. `$and`, `$or` and `$nor` combine conditions of the latter kind.
pub(crate) fn applies_to_value(condition: &Document) -> bool {
    let is_logical = |name: &str| matches!(name, "$and" | "$or" | "$nor");
    is_operators(condition) && !condition.keys().next().is_some_and(is_logical)
}

fn is_operators(condition: &Document) -> bool {
    condition.keys().next().is_some_and(|name| name.starts_with('$'))
}

fn parse_expression(source: &Value) -> Result<Expression, InvalidFilter> {
    let Value::Object(conditions) = source else {
        return Err(FilterProblem::NotAnObject(source.type_name()).into());
    };
    let mut expressions = Vec::with_capacity(conditions.len());
    for (name, condition) in conditions.iter() {
        let parsed = match name {
            "$and" => parse_list("$and", condition).map(Expression::all_of),
            "$or" => parse_list("$or", condition).map(one_of),
            "$nor" => parse_list("$nor", condition).map(Expression::Nor),
            _ if name.starts_with('$') => {
                return Err(FilterProblem::UnknownOperator(quoted(name)).into());
            }
            _ => parse_field(name, condition),
        };
        expressions.push(parsed.map_err(|error| error.within(name))?);
    }
    Ok(Expression::all_of(expressions))
}

fn one_of(mut expressions: Vec<Expression>) -> Expression {
    match expressions.len() {
        1 => expressions.remove(0),
        _ => Expression::Or(expressions),
    }
}

fn parse_list(operator: &'static str, operand: &Value) -> Result<Vec<Expression>, InvalidFilter> {
    let conditions = match operand {
        Value::Array(conditions) if !conditions.is_empty() => conditions,
        Value::Array(_) => return Err(misuse(operator, "an array of conditions", "an empty one")),
        other => {
            return Err(misuse(operator, "an array of conditions", other.type_name()));
        }
    };
    let parse_one = |(index, condition): (usize, &Value)| {
        parse_expression(condition).map_err(|error| error.within(&format!("[{index}]")))
    };
    conditions.iter().enumerate().map(parse_one).collect()
}

fn parse_field(name: &str, condition: &Value) -> Result<Expression, InvalidFilter> {
    let path = FieldPath::parse(name)?;
    let predicates = match condition {
        Value::Object(operators) if is_operators(operators) => parse_operators(operators)?,
        value => vec![Predicate::Eq(literal(value)?)],
    };
    let of_path = |predicate| Expression::field(path.clone(), predicate);
    Ok(Expression::all_of(predicates.into_iter().map(of_path).collect()))
}

fn parse_operator(name: &str, operand: &Value) -> Result<Predicate, InvalidFilter> {
    Ok(match name {
        "$eq" => Predicate::Eq(literal(operand)?),
        "$ne" => Predicate::Ne(literal(operand)?),
        "$gt" => Predicate::Gt(literal(operand)?),
        "$gte" => Predicate::Gte(literal(operand)?),
        "$lt" => Predicate::Lt(literal(operand)?),
        "$lte" => Predicate::Lte(literal(operand)?),
        "$in" => Predicate::In(sorted(literals("$in", operand)?)),
        "$nin" => Predicate::Nin(sorted(literals("$nin", operand)?)),
        "$exists" => Predicate::Exists(is_true(operand)),
        "$not" => parse_not(operand)?,
        "$all" => parse_all(operand)?,
        "$size" => parse_size(operand)?,
        "$elemMatch" => Predicate::ElemMatch(parse_element_match(operand)?),
        _ => return Err(FilterProblem::UnknownOperator(quoted(name)).into()),
    })
}

/// MongoDB's idea of truth: everything but false, zero and null.
fn is_true(operand: &Value) -> bool {
    match operand {
        Value::Bool(flag) => *flag,
        Value::Null => false,
        number => !number.equals(&Value::Integer(0)),
    }
}

fn parse_not(operand: &Value) -> Result<Predicate, InvalidFilter> {
    match operand {
        Value::Object(operators) if operators.is_empty() => {
            Err(misuse("$not", "an object of operators", "an empty one"))
        }
        Value::Object(operators) => parse_operators(operators).map(Predicate::Not),
        other => Err(misuse("$not", "an object of operators", other.type_name())),
    }
}

fn parse_all(operand: &Value) -> Result<Predicate, InvalidFilter> {
    let Value::Array(required) = operand else {
        return Err(misuse("$all", "an array", operand.type_name()));
    };
    let is_element_match =
        |value: &Value| value.as_document().is_some_and(|it| it.contains_key("$elemMatch"));
    if !required.iter().any(is_element_match) {
        return Ok(Predicate::All(
            literals("$all", operand)?.into_iter().map(Predicate::Eq).collect(),
        ));
    }
    let parse_one = |(index, value): (usize, &Value)| match value {
        Value::Object(operators) if operators.len() == 1 && is_element_match(value) => {
            parse_operator("$elemMatch", operators.get("$elemMatch").unwrap_or(&Value::Null))
                .map_err(|error| error.within(&format!("[{index}].$elemMatch")))
        }
        _ => Err(misuse("$all", "either values or only `$elemMatch` conditions", "both")),
    };
    required.iter().enumerate().map(parse_one).collect::<Result<_, _>>().map(Predicate::All)
}

fn parse_size(operand: &Value) -> Result<Predicate, InvalidFilter> {
    operand.as_integer().and_then(|size| u64::try_from(size).ok()).map(Predicate::Size).ok_or_else(
        || match operand {
            Value::Integer(_) => misuse("$size", "a whole number from 0", "a negative one"),
            other => misuse("$size", "a whole number from 0", other.type_name()),
        },
    )
}

fn parse_element_match(operand: &Value) -> Result<ElementMatch, InvalidFilter> {
    let Value::Object(condition) = operand else {
        return Err(misuse("$elemMatch", "an object", operand.type_name()));
    };
    if applies_to_value(condition) {
        return parse_operators(condition).map(ElementMatch::Value);
    }
    parse_expression(operand).map(|expression| ElementMatch::Object(Box::new(expression)))
}

fn literals(operator: &'static str, operand: &Value) -> Result<Vec<Value>, InvalidFilter> {
    let Value::Array(values) = operand else {
        return Err(misuse(operator, "an array", operand.type_name()));
    };
    let parse_one = |(index, value): (usize, &Value)| {
        literal(value).map_err(|error| error.within(&format!("[{index}]")))
    };
    values.iter().enumerate().map(parse_one).collect()
}

/// Long lists are searched by halves.
fn sorted(mut values: Vec<Value>) -> Vec<Value> {
    values.sort_by(Value::compare);
    values.dedup_by(|later, earlier| later.equals(earlier));
    values
}

/// A value to compare with. A `$name` in it is a misplaced operator more often than a name, and no
/// document holds such a name, so that the filter could match nothing.
fn literal(value: &Value) -> Result<Value, InvalidFilter> {
    validate_value(value)?;
    Ok(value.clone())
}

fn misuse(operator: &'static str, needs: &'static str, holds: &'static str) -> InvalidFilter {
    FilterProblem::Operand { operator, needs, holds }.into()
}

fn quoted(name: &str) -> String {
    name.chars().take(MAX_QUOTED).collect()
}
