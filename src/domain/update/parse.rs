//! From a value to operations, refusing everything that is not known for certain.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::Operation;
use super::error::{InvalidUpdate, UpdateProblem};
use super::modifier::{Condition, End, Modifier};
use crate::domain::document::{FieldPath, MAX_DEPTH, Ordered, Value, validate_value};
use crate::domain::filter::{Filter, applies_to_value, parse_operators};

/// How long a quoted name may be in a message.
const MAX_QUOTED: usize = 80;

/// The deepest value, within `$each` of a field of an operator.
pub(super) const MAX_LEVELS: usize = MAX_DEPTH + 4;

pub(super) fn parse(source: &Value) -> Result<Vec<Operation>, InvalidUpdate> {
    if source.is_deeper_than(MAX_LEVELS) {
        return Err(UpdateProblem::TooDeep.into());
    }
    let Value::Object(operators) = source else {
        return Err(UpdateProblem::NotAnObject(source.type_name()).into());
    };
    if operators.is_empty() {
        return Err(UpdateProblem::Empty.into());
    }
    let mut operations = Vec::new();
    for (operator, fields) in operators.iter() {
        let parsed = parse_operator(operator, fields).map_err(|error| match error.problem {
            UpdateProblem::UnknownOperator(_) | UpdateProblem::PlainField(_)
                if error.place.is_empty() =>
            {
                error
            }
            _ => error.within(operator),
        });
        operations.extend(parsed?);
    }
    operations.sort_by(|a, b| compare_paths(&a.path, &b.path));
    refuse_conflicts(&operations)?;
    Ok(operations)
}

fn parse_operator(operator: &str, fields: &Value) -> Result<Vec<Operation>, InvalidUpdate> {
    let parse_operand = match operator {
        "$set" => |operand: &Value| literal(operand).map(Modifier::Set),
        "$unset" => |_: &Value| Ok(Modifier::Unset),
        "$inc" => |operand: &Value| number(operand).map(Modifier::Inc),
        "$mul" => |operand: &Value| number(operand).map(Modifier::Mul),
        "$min" => |operand: &Value| literal(operand).map(Modifier::Min),
        "$max" => |operand: &Value| literal(operand).map(Modifier::Max),
        "$push" => |operand: &Value| each(operand).map(Modifier::Push),
        "$addToSet" => |operand: &Value| each(operand).map(distinct).map(Modifier::AddToSet),
        "$pull" => |operand: &Value| condition(operand).map(Modifier::Pull),
        "$pop" => |operand: &Value| end(operand).map(Modifier::Pop),
        _ if operator.starts_with('$') => {
            return Err(UpdateProblem::UnknownOperator(quoted(operator)).into());
        }
        _ => return Err(UpdateProblem::PlainField(quoted(operator)).into()),
    };
    let Value::Object(fields) = fields else {
        return Err(misuse("an object of fields", fields.type_name()));
    };
    let parse_field = |(name, operand): (&str, &Value)| {
        let path = FieldPath::parse(name)?;
        let modifier = parse_operand(operand).map_err(|error| error.within(name))?;
        Ok(Operation { path, modifier })
    };
    fields.iter().map(parse_field).collect()
}

/// The order of changes, part by part: numbers by their value come before names by their bytes.
fn compare_paths(a: &FieldPath, b: &FieldPath) -> Ordering {
    let keys_of_a = a.parts().iter().map(|part| part_key(part));
    keys_of_a.cmp(b.parts().iter().map(|part| part_key(part)))
}

/// Sorts digits by their length before their text, which is by their value.
fn part_key(part: &str) -> (bool, usize, &str, &str) {
    let is_name = !part.bytes().all(|byte| byte.is_ascii_digit());
    let digits = part.trim_start_matches('0');
    if is_name { (true, 0, part, part) } else { (false, digits.len(), digits, part) }
}

/// In the order of paths a path stands right before those that it covers.
fn refuse_conflicts(operations: &[Operation]) -> Result<(), InvalidUpdate> {
    for pair in operations.windows(2) {
        if let [first, second] = pair
            && first.path.covers(&second.path)
        {
            let (first, second) = (first.path.to_string(), second.path.to_string());
            return Err(UpdateProblem::Conflict { first, second }.into());
        }
    }
    Ok(())
}

fn literal(operand: &Value) -> Result<Value, InvalidUpdate> {
    validate_value(operand)?;
    Ok(operand.clone())
}

fn number(operand: &Value) -> Result<Value, InvalidUpdate> {
    match operand {
        Value::Integer(_) | Value::Double(_) => literal(operand),
        other => Err(misuse("a number", other.type_name())),
    }
}

/// One value, or those of `{"$each": […]}`.
fn each(operand: &Value) -> Result<Vec<Value>, InvalidUpdate> {
    let Value::Object(modifiers) = operand else {
        return Ok(vec![literal(operand)?]);
    };
    if !modifiers.contains_key("$each") {
        return Ok(vec![literal(operand)?]);
    }
    if let Some(other) = modifiers.keys().find(|name| *name != "$each") {
        return Err(UpdateProblem::UnknownOperator(quoted(other)).into());
    }
    let Some(Value::Array(values)) = modifiers.get("$each") else {
        let holds = modifiers.get("$each").map_or("nothing", Value::type_name);
        return Err(misuse("an array", holds).within("$each"));
    };
    let parse_one = |(index, value): (usize, &Value)| {
        literal(value).map_err(|error| error.within(&format!("$each[{index}]")))
    };
    values.iter().enumerate().map(parse_one).collect()
}

fn distinct(values: Vec<Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let is_first: Vec<bool> = values.iter().map(|value| seen.insert(Ordered(value))).collect();
    let kept = values.iter().zip(is_first).filter(|(_, is_first)| *is_first);
    kept.map(|(value, _)| value.clone()).collect()
}

fn condition(operand: &Value) -> Result<Condition, InvalidUpdate> {
    match operand {
        // MongoDB takes a condition that starts with `$not` for one on whole objects, and refuses.
        Value::Object(operators) if operators.keys().next() == Some("$not") => {
            Err(UpdateProblem::UnknownOperator("$not".to_owned()).into())
        }
        Value::Object(operators) if applies_to_value(operators) => {
            Ok(Condition::Satisfies(parse_operators(operators)?))
        }
        Value::Object(_) => Ok(Condition::Matches(Filter::parse(operand)?)),
        value => literal(value).map(Condition::Equals),
    }
}

fn end(operand: &Value) -> Result<End, InvalidUpdate> {
    match operand.as_integer() {
        Some(1) => Ok(End::Last),
        Some(-1) => Ok(End::First),
        Some(_) => Err(misuse("1 or -1", "another number")),
        None => Err(misuse("1 or -1", operand.type_name())),
    }
}

fn misuse(needs: &'static str, holds: &'static str) -> InvalidUpdate {
    UpdateProblem::Operand { needs, holds }.into()
}

fn quoted(name: &str) -> String {
    name.chars().take(MAX_QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::document::json;

    #[test]
    fn pull_refuses_a_condition_that_starts_with_not_as_mongodb_does() {
        let update = |source: &str| parse(&json::parse(source.as_bytes()).unwrap());
        assert!(update(r#"{"$pull":{"a":{"$not":{"$gt":1}}}}"#).is_err());
        assert!(update(r#"{"$pull":{"a":{"$gt":1,"$not":{"$gt":5}}}}"#).is_ok());
    }
}
