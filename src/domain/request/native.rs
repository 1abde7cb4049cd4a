//! Reads the bodies of `POST /api/v1/db/write` and `/db/read` in our own form.
//!
//! Unknown fields are refused rather than ignored: a misspelt `filter` must not delete everything.

use super::{
    Acknowledgement, Consistency, InvalidRequest, MAX_OPERATIONS, ReadOperation, ReadShape,
    Returning, WriteOperation,
};
use crate::domain::document::{
    CollectionName, Document, DocumentId, FieldPath, InvalidReason, MAX_DOCUMENT_BYTES, Value,
};
use crate::domain::filter::Filter;
use crate::domain::ids::Offset;
use crate::domain::query::{Query, SortOrder};
use crate::domain::update::Update;

/// How many documents a read returns where it does not say.
pub const DEFAULT_LIMIT: u64 = 1_000;
/// How many documents a read may ask for.
pub const MAX_LIMIT: u64 = 10_000;
/// The longest dotted path for a sort, a projection, an index or `distinct`.
const MAX_PATH_BYTES: usize = 1_024;
/// MongoDB sorts by 32 fields at most, and `_id` is always one of them.
pub(super) const MAX_SORT_KEYS: usize = 31;

type Parsed<T> = Result<T, InvalidRequest>;

/// A body read field by field; what nobody asked for is an error at the end.
struct Fields {
    place: String,
    rest: Document,
}

impl Fields {
    fn of(value: Value, place: &str) -> Parsed<Self> {
        match value {
            Value::Object(rest) => Ok(Self { place: place.to_owned(), rest }),
            other => Err(InvalidRequest::new(
                if place.is_empty() { "body" } else { place },
                format!("expected an object, found {}", kind(&other)),
            )),
        }
    }

    fn place(&self, field: &str) -> String {
        if self.place.is_empty() { field.to_owned() } else { format!("{}.{field}", self.place) }
    }

    fn optional(&mut self, field: &str) -> Option<Value> {
        self.rest.remove(field).filter(|value| !matches!(value, Value::Null))
    }

    fn required(&mut self, field: &str) -> Parsed<Value> {
        self.optional(field).ok_or_else(|| InvalidRequest::new(self.place(field), "is missing"))
    }

    fn wrong(&self, field: &str, expected: &str, found: &Value) -> InvalidRequest {
        InvalidRequest::new(
            self.place(field),
            format!("expected {expected}, found {}", kind(found)),
        )
    }

    fn string(&mut self, field: &str) -> Parsed<String> {
        match self.required(field)? {
            Value::String(text) => Ok(text),
            other => Err(self.wrong(field, "a string", &other)),
        }
    }

    fn flag(&mut self, field: &str) -> Parsed<bool> {
        match self.optional(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.wrong(field, "true or false", &other)),
        }
    }

    fn number(&mut self, field: &str) -> Parsed<Option<u64>> {
        match self.optional(field) {
            None => Ok(None),
            Some(Value::Integer(number)) => u64::try_from(number).map(Some).map_err(|_| {
                InvalidRequest::new(self.place(field), format!("{number} is negative"))
            }),
            Some(other) => Err(self.wrong(field, "an integer", &other)),
        }
    }

    fn array(&mut self, field: &str) -> Parsed<Vec<Value>> {
        match self.required(field)? {
            Value::Array(values) => Ok(values),
            other => Err(self.wrong(field, "an array", &other)),
        }
    }

    fn operations(&mut self, field: &str) -> Parsed<Vec<Value>> {
        let values = self.array(field)?;
        match values.len() {
            0 => Err(InvalidRequest::new(self.place(field), "is empty")),
            len if len > MAX_OPERATIONS => Err(InvalidRequest::new(
                self.place(field),
                format!("has {len} elements, at most {MAX_OPERATIONS} are allowed"),
            )),
            _ => Ok(values),
        }
    }

    fn collection(&mut self, field: &str) -> Parsed<CollectionName> {
        let name = self.string(field)?;
        collection(&name, &self.place(field))
    }

    fn filter(&mut self, field: &str) -> Parsed<Option<Filter>> {
        let Some(value) = self.optional(field) else {
            return Ok(None);
        };
        Filter::parse(&value)
            .map(Some)
            .map_err(|error| InvalidRequest::new(self.place(field), error.to_string()))
    }

    fn required_filter(&mut self, field: &str) -> Parsed<Filter> {
        self.filter(field)?.ok_or_else(|| InvalidRequest::new(self.place(field), "is missing"))
    }

    fn path(&mut self, field: &str) -> Parsed<String> {
        let text = self.string(field)?;
        path(text, &self.place(field))
    }

    fn finish(self) -> Parsed<()> {
        match self.rest.iter().next() {
            None => Ok(()),
            Some((field, _)) => {
                Err(InvalidRequest::new(self.place(field), "is not a field of this request"))
            }
        }
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
    let mut fields = Fields::of(body, "")?;
    let op = fields.string("op")?;
    let operation = match op.as_str() {
        "clear" => clear(&mut fields)?,
        "index" => WriteOperation::EnsureIndex {
            collection: fields.collection("collection")?,
            field: fields.path("field")?,
        },
        "batch" => batch(&mut fields, fresh_id)?,
        _ => document_operation(&op, &mut fields, fresh_id)?,
    };
    fields.finish()?;
    Ok(operation)
}

fn batch(fields: &mut Fields, fresh_id: &mut dyn FnMut() -> DocumentId) -> Parsed<WriteOperation> {
    let operations = fields.operations("operations")?;
    let parsed = operations.into_iter().enumerate().map(|(index, value)| {
        let mut inner = Fields::of(value, &format!("operations[{index}]"))?;
        let op = inner.string("op")?;
        let operation = document_operation(&op, &mut inner, fresh_id)?;
        inner.finish()?;
        Ok(operation)
    });
    Ok(WriteOperation::Batch { operations: parsed.collect::<Parsed<_>>()? })
}

fn document_operation(
    op: &str,
    fields: &mut Fields,
    fresh_id: &mut dyn FnMut() -> DocumentId,
) -> Parsed<WriteOperation> {
    match op {
        "insert" => insert(fields, fresh_id),
        "update" => update(fields, fresh_id),
        "replace" => replace(fields),
        "delete" => Ok(WriteOperation::Delete {
            collection: fields.collection("collection")?,
            filter: fields.required_filter("filter")?,
            many: fields.flag("many")?,
        }),
        _ => Err(InvalidRequest::new(fields.place("op"), format!("{op:?} is not known here"))),
    }
}

fn insert(fields: &mut Fields, fresh_id: &mut dyn FnMut() -> DocumentId) -> Parsed<WriteOperation> {
    let collection = fields.collection("collection")?;
    let values = fields.operations("documents")?;
    let mut documents = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let place = fields.place(&format!("documents[{index}]"));
        let mut document = document(value, &place)?;
        identify(&mut document, &place, fresh_id)?;
        documents.push(document);
    }
    Ok(WriteOperation::Insert { collection, documents })
}

fn update(fields: &mut Fields, fresh_id: &mut dyn FnMut() -> DocumentId) -> Parsed<WriteOperation> {
    let collection = fields.collection("collection")?;
    let filter = fields.required_filter("filter")?;
    let update = fields.required("update")?;
    let update = Update::parse(&update)
        .map_err(|error| InvalidRequest::new(fields.place("update"), error.to_string()))?;
    let returning = match fields.optional("return") {
        None => Returning::None,
        Some(Value::String(text)) if text == "none" => Returning::None,
        Some(Value::String(text)) if text == "before" => Returning::Before,
        Some(Value::String(text)) if text == "after" => Returning::After,
        Some(_) => {
            let place = fields.place("return");
            return Err(InvalidRequest::new(place, "is none of \"none\", \"before\", \"after\""));
        }
    };
    Ok(WriteOperation::Update {
        collection,
        filter,
        update,
        many: fields.flag("many")?,
        upsert: fields.flag("upsert")?,
        returning,
        fresh_id: fresh_id(),
    })
}

fn replace(fields: &mut Fields) -> Parsed<WriteOperation> {
    let collection = fields.collection("collection")?;
    let value = fields.required("document")?;
    let place = fields.place("document");
    let mut document = document(value, &place)?;
    let id = document.id();
    document.set_id(id.ok_or_else(|| InvalidRequest::new(format!("{place}._id"), "is missing"))?);
    Ok(WriteOperation::Replace { collection, document, upsert: fields.flag("upsert")? })
}

fn clear(fields: &mut Fields) -> Parsed<WriteOperation> {
    let names = fields.operations("collections")?;
    Ok(WriteOperation::Clear { collections: collections(&names, &fields.place("collections"))? })
}

/// Reads a list of collection names that stands at `place`.
///
/// # Errors
/// Names the first element that is no collection name.
pub fn collections(names: &[Value], place: &str) -> Parsed<Vec<CollectionName>> {
    names
        .iter()
        .enumerate()
        .map(|(index, name)| match name {
            Value::String(name) => collection(name, &format!("{place}[{index}]")),
            other => Err(InvalidRequest::new(
                format!("{place}[{index}]"),
                format!("expected a string, found {}", kind(other)),
            )),
        })
        .collect()
}

/// Reads a read.
///
/// # Errors
/// Names the place in the body and what is wrong there.
pub fn parse_read(body: Value) -> Parsed<ReadOperation> {
    let mut fields = Fields::of(body, "")?;
    let collection = fields.collection("collection")?;
    let filter = fields.filter("filter")?.unwrap_or_else(Filter::all);
    let projection = projection(&mut fields)?;
    let sort = sort(&mut fields)?;
    let limit = limit(&mut fields)?;
    let skip = fields.number("skip")?.unwrap_or(0);
    let shape = shape(&mut fields)?;
    let consistency = consistency(&mut fields)?;
    fields.finish()?;
    let limit = match shape {
        ReadShape::Documents => Some(limit.unwrap_or(DEFAULT_LIMIT)),
        ReadShape::Count | ReadShape::Distinct(_) => limit,
    };
    let query = Query { collection, filter, sort, projection, skip, limit };
    Ok(ReadOperation { query, shape, consistency })
}

fn limit(fields: &mut Fields) -> Parsed<Option<u64>> {
    let limit = fields.number("limit")?;
    if limit.is_some_and(|limit| limit > MAX_LIMIT) {
        let place = fields.place("limit");
        return Err(InvalidRequest::new(place, format!("is at most {MAX_LIMIT}")));
    }
    Ok(limit)
}

fn shape(fields: &mut Fields) -> Parsed<ReadShape> {
    let count = fields.flag("count")?;
    let distinct = match fields.optional("distinct") {
        None => None,
        Some(Value::String(text)) => Some(path(text, &fields.place("distinct"))?),
        Some(other) => return Err(fields.wrong("distinct", "a field name", &other)),
    };
    match (count, distinct) {
        (true, Some(_)) => {
            Err(InvalidRequest::new(fields.place("distinct"), "cannot go with count"))
        }
        (true, None) => Ok(ReadShape::Count),
        (false, Some(field)) => Ok(ReadShape::Distinct(field)),
        (false, None) => Ok(ReadShape::Documents),
    }
}

fn consistency(fields: &mut Fields) -> Parsed<Consistency> {
    let min_offset = fields.number("min_offset")?;
    let name = match fields.optional("consistency") {
        None => "eventual".to_owned(),
        Some(Value::String(name)) => name,
        Some(other) => return Err(fields.wrong("consistency", "a string", &other)),
    };
    match (name.as_str(), min_offset) {
        ("session", Some(offset)) => Ok(Consistency::Session(Offset(offset))),
        ("session", None) => {
            Err(InvalidRequest::new(fields.place("min_offset"), "is missing: session needs it"))
        }
        ("eventual" | "strong", Some(_)) => {
            Err(InvalidRequest::new(fields.place("min_offset"), "goes with session only"))
        }
        ("eventual", None) => Ok(Consistency::Eventual),
        ("strong", None) => Ok(Consistency::Strong),
        _ => Err(InvalidRequest::new(
            fields.place("consistency"),
            format!("{name:?} is none of \"eventual\", \"session\", \"strong\""),
        )),
    }
}

fn projection(fields: &mut Fields) -> Parsed<Option<Vec<String>>> {
    let place = fields.place("projection");
    let Some(value) = fields.optional("projection") else {
        return Ok(None);
    };
    let Value::Array(names) = value else {
        return Err(fields.wrong("projection", "an array of field names", &value));
    };
    let names = names.into_iter().enumerate().map(|(index, name)| {
        let place = format!("{place}[{index}]");
        match name {
            Value::String(name) => path(name, &place),
            other => Err(InvalidRequest::new(
                place,
                format!("expected a field name, found {}", kind(&other)),
            )),
        }
    });
    names.collect::<Parsed<_>>().map(Some)
}

fn sort(fields: &mut Fields) -> Parsed<Vec<(String, SortOrder)>> {
    let place = fields.place("sort");
    let Some(value) = fields.optional("sort") else {
        return Ok(Vec::new());
    };
    let Value::Array(keys) = value else {
        return Err(fields.wrong("sort", "an array of [field, 1 or -1]", &value));
    };
    if keys.len() > MAX_SORT_KEYS {
        let reason = format!("has {} fields, at most {MAX_SORT_KEYS} are allowed", keys.len());
        return Err(InvalidRequest::new(place, reason));
    }
    keys.into_iter()
        .enumerate()
        .map(|(index, key)| {
            let place = format!("{place}[{index}]");
            let Value::Array(pair) = key else {
                return Err(InvalidRequest::new(place, "expected [field, 1 or -1]"));
            };
            match <[Value; 2]>::try_from(pair) {
                Ok([Value::String(field), Value::Integer(1)]) => {
                    Ok((path(field, &place)?, SortOrder::Ascending))
                }
                Ok([Value::String(field), Value::Integer(-1)]) => {
                    Ok((path(field, &place)?, SortOrder::Descending))
                }
                _ => Err(InvalidRequest::new(place, "expected [field, 1 or -1]")),
            }
        })
        .collect()
}

/// Reads a document and checks its limits.
fn document(value: Value, place: &str) -> Parsed<Document> {
    let Value::Object(document) = value else {
        return Err(InvalidRequest::new(
            place,
            format!("expected an object, found {}", kind(&value)),
        ));
    };
    document.validate().map_err(|error| {
        let inner = if error.path.is_empty() { String::new() } else { format!(".{}", error.path) };
        InvalidRequest::new(format!("{place}{inner}"), error.reason.to_string())
    })?;
    Ok(document)
}

/// Puts `_id` first, as MongoDB stores it, so that the document equals itself in every store. A
/// drawn one counts for the size of the document too.
pub(super) fn identify(
    document: &mut Document,
    place: &str,
    fresh_id: &mut dyn FnMut() -> DocumentId,
) -> Parsed<()> {
    let own = document.id();
    let is_fresh = own.is_none();
    document.set_id(own.unwrap_or_else(fresh_id));
    match document.encoded_size() {
        size if is_fresh && size > MAX_DOCUMENT_BYTES => {
            Err(InvalidRequest::new(place, InvalidReason::TooLarge { size }.to_string()))
        }
        _ => Ok(()),
    }
}

/// Reads a collection name that stands at `place`.
///
/// # Errors
/// Says what a collection name looks like.
pub fn collection(name: &str, place: &str) -> Parsed<CollectionName> {
    CollectionName::parse(name).map_err(|error| InvalidRequest::new(place, error.to_string()))
}

/// Checks a dotted path that stands at `place`.
pub(super) fn path(text: String, place: &str) -> Parsed<String> {
    if text.len() > MAX_PATH_BYTES {
        let reason = format!("the path is longer than {MAX_PATH_BYTES} bytes");
        return Err(InvalidRequest::new(place, reason));
    }
    match FieldPath::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(InvalidRequest::new(place, error.to_string())),
    }
}

/// Reads the header `X-Rideshare-Ack`.
///
/// # Errors
/// Names the accepted values.
pub fn parse_acknowledgement(text: &str) -> Parsed<Acknowledgement> {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let replicas = |count: &str| {
        let count = count.parse().ok().filter(|_| is_number(count));
        count.filter(|count| (1..=1_000).contains(count))
    };
    match (text, text.strip_prefix("replicas:").and_then(replicas)) {
        ("logged", _) => Ok(Acknowledgement::Logged),
        ("applied", _) => Ok(Acknowledgement::Applied),
        (_, Some(count)) => Ok(Acknowledgement::Replicas(count)),
        _ => Err(InvalidRequest::new(
            "X-Rideshare-Ack",
            "is none of \"logged\", \"applied\", \"replicas:K\" with K from 1 to 1000",
        )),
    }
}

/// What a value is, for error messages.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Integer(_) => "an integer",
        Value::Double(_) => "a fractional number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
