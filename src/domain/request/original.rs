//! Reads the payloads of the first RideShare, so that its services work unchanged.
//!
//! They name columns and tables, and write timestamps as `DD-MM-YYYY:SS-MM-HH`. Those are stored
//! in a form that sorts by time and given back as they came.

use super::native::{self, kind};
use super::{
    Consistency, InvalidRequest, MAX_OPERATIONS, ReadOperation, ReadShape, Returning,
    WriteOperation,
};
use crate::domain::document::{Document, DocumentId, Value};
use crate::domain::filter::Filter;
use crate::domain::outcome::Outcome;
use crate::domain::query::Query;
use crate::domain::timestamp;
use crate::domain::update::Update;

/// The column whose values are moments.
const TIMESTAMP: &str = "timestamp";

type Parsed<T> = Result<T, InvalidRequest>;

/// A read in the original form.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginalRead {
    /// What to read.
    pub operation: ReadOperation,
    /// How its answer is shaped.
    pub answer: OriginalAnswer,
}

/// The shapes of the original's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginalAnswer {
    /// The first document; none is a failure.
    First,
    /// A list, possibly empty.
    List,
    /// `[n]`.
    Count,
}

/// Whether a body is in the original form: an object without `op`.
#[must_use]
pub fn is_original_write(body: &Value) -> bool {
    matches!(body, Value::Object(fields) if fields.get("op").is_none())
}

/// Whether a read's body is in the original form: it names a `table`, not a `collection`.
#[must_use]
pub fn is_original_read(body: &Value) -> bool {
    matches!(body, Value::Object(fields)
        if fields.get("collection").is_none() && fields.get("table").is_some())
}

/// Whether the original calls this outcome a success: it wants a delete and an update to meet
/// a document.
#[must_use]
pub const fn is_success(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Deleted { deleted } => *deleted > 0,
        Outcome::Updated { matched, .. } => *matched > 0,
        Outcome::Refused(_) => false,
        _ => true,
    }
}

/// Reads a write. `fresh_id` draws ids for documents that have none.
///
/// # Errors
/// Names the place in the body and what is wrong there.
pub fn parse_write(
    body: Value,
    fresh_id: &mut dyn FnMut() -> DocumentId,
) -> Parsed<WriteOperation> {
    let fields = object(body, "body")?;
    if let Some(clear) = fields.get("clear") {
        expect_one(clear, "clear")?;
        let names = array(&fields, "collections")?;
        if names.is_empty() {
            return Err(InvalidRequest::new("collections", "is empty"));
        }
        if names.len() > MAX_OPERATIONS {
            let reason =
                format!("has {} elements, at most {MAX_OPERATIONS} are allowed", names.len());
            return Err(InvalidRequest::new("collections", reason));
        }
        let collections = native::collections(names, "collections")?;
        return Ok(WriteOperation::Clear { collections });
    }
    let collection = native::collection(string(&fields, "table")?, "table")?;
    if fields.get("insert").is_some() {
        let document = inserted(&fields, fresh_id)?;
        Ok(WriteOperation::Insert { collection, documents: vec![document] })
    } else if let Some(value) = fields.get("delete") {
        let column = string(&fields, "column")?;
        let value = stored_column(column, value.clone(), "delete")?;
        // Equal to that very value: an object in it is no condition.
        let equal = Value::Object(single("$eq", value));
        let filter = filter(single(column, equal), "column")?;
        Ok(WriteOperation::Delete { collection, filter, many: false })
    } else if fields.get("update").is_some() {
        Ok(WriteOperation::Update {
            collection,
            filter: filter(where_clause(&fields)?, "where")?,
            update: update(&fields)?,
            many: false,
            upsert: false,
            returning: Returning::None,
            fresh_id: fresh_id(),
        })
    } else {
        Err(InvalidRequest::new("body", "has none of op, insert, delete, update, clear"))
    }
}

/// Reads a read.
///
/// # Errors
/// Names the place in the body and what is wrong there.
pub fn parse_read(body: Value) -> Parsed<OriginalRead> {
    let fields = object(body, "body")?;
    let collection = native::collection(string(&fields, "table")?, "table")?;
    let answer = if is_set(&fields, "count")? {
        OriginalAnswer::Count
    } else if is_set(&fields, "many")? {
        OriginalAnswer::List
    } else {
        OriginalAnswer::First
    };
    let projection = match fields.get("columns") {
        None => None,
        Some(_) => {
            let names = columns(&fields)?.into_iter().enumerate();
            let check = |(index, name): (usize, &str)| {
                native::path(name.to_owned(), &format!("columns[{index}]"))
            };
            Some(names.map(check).collect::<Parsed<_>>()?)
        }
    };
    let (shape, limit) = match answer {
        OriginalAnswer::First => (ReadShape::Documents, Some(1)),
        OriginalAnswer::List => (ReadShape::Documents, Some(native::MAX_LIMIT)),
        OriginalAnswer::Count => (ReadShape::Count, None),
    };
    let filter = match fields.get("where") {
        None => Filter::all(),
        Some(_) => filter(where_clause(&fields)?, "where")?,
    };
    let query = Query { collection, filter, sort: Vec::new(), projection, skip: 0, limit };
    let operation = ReadOperation { query, shape, consistency: Consistency::Eventual };
    Ok(OriginalRead { operation, answer })
}

/// A stored document as the original gives it: its timestamp in the form in which it came.
#[must_use]
pub fn spoken(mut document: Document) -> Document {
    if let Some(Value::String(stored)) = document.get(TIMESTAMP)
        && let Some(spoken) = timestamp::to_spoken(stored)
    {
        document.insert(TIMESTAMP.to_owned(), Value::String(spoken));
    }
    document
}

fn inserted(fields: &Document, fresh_id: &mut dyn FnMut() -> DocumentId) -> Parsed<Document> {
    let values = array(fields, "insert")?;
    let columns = columns(fields)?;
    if values.len() != columns.len() {
        let reason = format!("has {} values for {} columns", values.len(), columns.len());
        return Err(InvalidRequest::new("insert", reason));
    }
    let mut document = Document::new();
    for (index, (column, value)) in columns.into_iter().zip(values).enumerate() {
        let place = format!("insert[{index}]");
        document.insert(column.to_owned(), stored_column(column, value.clone(), &place)?);
    }
    document.validate().map_err(|error| InvalidRequest::new("insert", error.to_string()))?;
    native::identify(&mut document, "insert", fresh_id)?;
    Ok(document)
}

fn update(fields: &Document) -> Parsed<Update> {
    let column = string(fields, "update")?;
    let operation = string(fields, "operation")?;
    let data = fields.get("data").ok_or_else(|| InvalidRequest::new("data", "is missing"))?;
    let data = stored_column(column, data.clone(), "data")?;
    let operator = format!("${}", operation.strip_prefix('$').unwrap_or(operation));
    let order = single(&operator, Value::Object(single(column, data)));
    Update::parse(&Value::Object(order))
        .map_err(|error| InvalidRequest::new("operation", error.to_string()))
}

fn where_clause(fields: &Document) -> Parsed<Document> {
    match fields.get("where") {
        Some(Value::Object(clause)) => stored_where(clause.clone()),
        Some(other) => Err(wrong("where", "an object", other)),
        None => Err(InvalidRequest::new("where", "is missing")),
    }
}

/// Converts the moments of a `where`: what is asked of the column `timestamp`, also below `$and`,
/// `$or` and `$nor`. A field of that name inside of another column is no such column.
fn stored_where(clause: Document) -> Parsed<Document> {
    let convert = |(key, value): (String, Value)| {
        let value = match value {
            value if key == TIMESTAMP => stored_deep(value)?,
            Value::Array(clauses) if key.starts_with('$') => {
                let clauses = clauses.into_iter().map(stored_clause);
                Value::Array(clauses.collect::<Parsed<_>>()?)
            }
            other => other,
        };
        Ok((key, value))
    };
    clause.into_iter().map(convert).collect()
}

fn stored_clause(clause: Value) -> Parsed<Value> {
    match clause {
        Value::Object(clause) => stored_where(clause).map(Value::Object),
        other => Ok(other),
    }
}

fn stored_deep(value: Value) -> Parsed<Value> {
    match value {
        Value::String(text) => moment(&text, "where.timestamp"),
        Value::Array(values) => {
            values.into_iter().map(stored_deep).collect::<Parsed<_>>().map(Value::Array)
        }
        Value::Object(inner) => inner
            .into_iter()
            .map(|(key, value)| Ok((key, stored_deep(value)?)))
            .collect::<Parsed<_>>()
            .map(Value::Object),
        other => Ok(other),
    }
}

fn stored_column(column: &str, value: Value, place: &str) -> Parsed<Value> {
    match value {
        Value::String(text) if column == TIMESTAMP => moment(&text, place),
        other if column == TIMESTAMP => Err(wrong(place, "a timestamp", &other)),
        other => Ok(other),
    }
}

fn moment(text: &str, place: &str) -> Parsed<Value> {
    timestamp::to_stored(text).map(Value::String).ok_or_else(|| {
        InvalidRequest::new(place, format!("{text:?} is not a real DD-MM-YYYY:SS-MM-HH"))
    })
}

fn filter(clause: Document, place: &str) -> Parsed<Filter> {
    Filter::parse(&Value::Object(clause))
        .map_err(|error| InvalidRequest::new(place, error.to_string()))
}

fn single(key: &str, value: Value) -> Document {
    [(key.to_owned(), value)].into_iter().collect()
}

fn object(value: Value, place: &str) -> Parsed<Document> {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(wrong(place, "an object", &other)),
    }
}

fn string<'a>(fields: &'a Document, field: &str) -> Parsed<&'a str> {
    match fields.get(field) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(wrong(field, "a string", other)),
        None => Err(InvalidRequest::new(field, "is missing")),
    }
}

fn array<'a>(fields: &'a Document, field: &str) -> Parsed<&'a [Value]> {
    match fields.get(field) {
        Some(Value::Array(values)) => Ok(values),
        Some(other) => Err(wrong(field, "an array", other)),
        None => Err(InvalidRequest::new(field, "is missing")),
    }
}

fn columns(fields: &Document) -> Parsed<Vec<&str>> {
    let names = array(fields, "columns")?.iter().enumerate();
    names
        .map(|(index, name)| match name {
            Value::String(name) => Ok(name.as_str()),
            other => Err(wrong(&format!("columns[{index}]"), "a string", other)),
        })
        .collect()
}

/// The original's flags are `1`; `true` is what JSON has for the same.
fn is_set(fields: &Document, field: &str) -> Parsed<bool> {
    match fields.get(field) {
        None | Some(Value::Null | Value::Bool(false) | Value::Integer(0)) => Ok(false),
        Some(Value::Bool(true) | Value::Integer(1)) => Ok(true),
        Some(other) => Err(wrong(field, "0 or 1", other)),
    }
}

fn expect_one(value: &Value, place: &str) -> Parsed<()> {
    match value {
        Value::Bool(true) | Value::Integer(1) => Ok(()),
        other => Err(wrong(place, "1", other)),
    }
}

fn wrong(place: &str, expected: &str, found: &Value) -> InvalidRequest {
    InvalidRequest::new(place, format!("expected {expected}, found {}", kind(found)))
}
