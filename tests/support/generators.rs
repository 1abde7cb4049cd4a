//! Random documents, values, filters and updates for property tests.
//!
//! Names and values come from small sets, so that filters often match and updates often meet what
//! they change. Bring it into a test with `#[path = "support/generators.rs"] mod generators;`.

#![allow(dead_code, reason = "each test uses its own part of this")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rideshare::domain::document::{Document, DocumentId, Value};
use rideshare::domain::filter::Filter;
use rideshare::domain::query::SortOrder;
use rideshare::domain::update::Update;

/// The names that fields have.
pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "0"];

/// A name of a field.
pub(crate) fn name() -> impl Strategy<Value = String> {
    select(&NAMES).prop_map(str::to_owned)
}

/// A dotted path of one to three parts.
pub(crate) fn path() -> impl Strategy<Value = String> {
    vec(select(["a", "b", "c", "0", "1"].as_slice()), 1..=3).prop_map(|parts| parts.join("."))
}

/// A value without others in it, from a small set.
pub(crate) fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        5 => (-2_i64..=3).prop_map(Value::Integer),
        2 => select([-1.0, -0.0, 0.5, 1.0, 2.0].as_slice()).prop_map(Value::Double),
        2 => select(["", "a", "b", "é"].as_slice()).prop_map(Value::from),
    ]
}

/// A value without others in it, from the whole range of its type.
pub(crate) fn wide_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        scalar(),
        any::<i64>().prop_map(Value::Integer),
        (any::<i64>(), -2_i64..=2).prop_map(|(n, d)| Value::Double((n as f64) + d as f64)),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::Double),
        ".*".prop_map(Value::String),
    ]
}

/// A value with up to three levels in it, of these scalars.
pub(crate) fn value_of(
    scalar: impl Strategy<Value = Value> + 'static,
) -> impl Strategy<Value = Value> {
    scalar.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..=3).prop_map(Value::Array),
            vec((name(), inner), 0..=3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A value from a small set.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    value_of(scalar())
}

/// A value whose scalars come from the whole range of their types.
pub(crate) fn wide_value() -> impl Strategy<Value = Value> {
    value_of(wide_scalar())
}

/// A key of a document, from a small set.
pub(crate) fn id() -> impl Strategy<Value = DocumentId> {
    prop_oneof![
        (0_i64..=5).prop_map(DocumentId::Integer),
        select(["x", "y"].as_slice()).prop_map(DocumentId::from),
    ]
}

/// A document with a key and up to four other fields.
pub(crate) fn document() -> impl Strategy<Value = Document> {
    (id(), vec((name(), value()), 0..=4))
        .prop_map(|(id, fields)| fields.into_iter().collect::<Document>().with_id(id))
}

/// Up to so many documents with different keys, in the order of their keys.
pub(crate) fn documents(count: usize) -> impl Strategy<Value = Vec<Document>> {
    vec(document(), 0..=count).prop_map(|mut documents| {
        documents.sort_by_key(Document::id);
        documents.dedup_by_key(|document| document.id());
        documents
    })
}

/// A valid filter.
pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    filter_source().prop_map(|source| {
        Filter::parse(&source).unwrap_or_else(|error| panic!("{source:?}: {error}"))
    })
}

/// A valid filter as it is written.
pub(crate) fn filter_source() -> impl Strategy<Value = Value> {
    let conditions = vec((path(), condition()), 0..=2).prop_map(object);
    let by_id = id().prop_map(|id| object(vec![("_id".to_owned(), id.into())]));
    prop_oneof![6 => conditions, 1 => by_id].prop_recursive(2, 8, 2, |inner| {
        (select(["$and", "$or", "$nor"].as_slice()), vec(inner, 1..=2))
            .prop_map(|(operator, filters)| single(operator, Value::Array(filters)))
    })
}

/// What a filter requires at a path: a value, or operators.
pub(crate) fn condition() -> impl Strategy<Value = Value> {
    prop_oneof![1 => value(), 3 => operators()]
}

/// An object of operators that apply to one value.
pub(crate) fn operators() -> impl Strategy<Value = Value> {
    let comparison = select(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"].as_slice());
    let list = select(["$in", "$nin", "$all"].as_slice());
    let leaf = prop_oneof![
        4 => (comparison, value()).prop_map(|(name, operand)| (name.to_owned(), operand)),
        2 => (list, vec(value(), 0..=3)).prop_map(|(name, list)| (name.to_owned(), Value::Array(list))),
        1 => any::<bool>().prop_map(|flag| ("$exists".to_owned(), Value::Bool(flag))),
        1 => (0_i64..=3).prop_map(|size| ("$size".to_owned(), Value::Integer(size))),
    ];
    vec(leaf, 1..=2).prop_map(object).prop_recursive(2, 6, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|operators| single("$not", operators)),
            inner.clone().prop_map(|operators| single("$elemMatch", operators)),
            (name(), inner).prop_map(|(name, operators)| {
                single("$elemMatch", object(vec![(name, operators)]))
            }),
        ]
    })
}

/// A valid update of one to three operators.
pub(crate) fn update() -> impl Strategy<Value = Update> {
    vec(operation(), 1..=3)
        .prop_filter_map("paths conflict", |operations| Update::parse(&object(operations)).ok())
}

/// A valid update with one operator on one path.
pub(crate) fn update_by(
    operator: &'static str,
    operand: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Update> {
    (path(), operand).prop_map(move |(path, operand)| {
        let source = single(operator, object(vec![(path, operand)]));
        Update::parse(&source).unwrap_or_else(|error| panic!("{source:?}: {error}"))
    })
}

fn operation() -> impl Strategy<Value = (String, Value)> {
    let fields = |operand: BoxedStrategy<Value>| vec((path(), operand), 1..=2).prop_map(object);
    let number = prop_oneof![
        (-2_i64..=3).prop_map(Value::Integer),
        Just(Value::Integer(i64::MAX)),
        Just(Value::Double(0.5)),
        Just(Value::Double(1e300)),
    ];
    let setting = select(["$set", "$unset", "$min", "$max"].as_slice());
    let arithmetic = select(["$inc", "$mul"].as_slice());
    let adding = select(["$push", "$addToSet"].as_slice());
    let each = vec(value(), 0..=3).prop_map(|values| single("$each", Value::Array(values)));
    let pulled = prop_oneof![value(), operators()];
    let end = select([1_i64, -1].as_slice()).prop_map(Value::Integer);
    prop_oneof![
        (setting, fields(value().boxed())),
        (arithmetic, fields(number.boxed())),
        (adding, fields(prop_oneof![value(), each].boxed())),
        (Just("$pull"), fields(pulled.boxed())),
        (Just("$pop"), fields(end.boxed())),
    ]
    .prop_map(|(operator, fields)| (operator.to_owned(), fields))
}

/// What to sort by.
pub(crate) fn sort() -> impl Strategy<Value = Vec<(String, SortOrder)>> {
    let order = prop_oneof![Just(SortOrder::Ascending), Just(SortOrder::Descending)];
    vec((path(), order), 0..=2)
}

/// An object of one field.
pub(crate) fn single(name: &str, value: Value) -> Value {
    object(vec![(name.to_owned(), value)])
}

/// An object of some fields; of those with one name the last counts.
pub(crate) fn object(fields: Vec<(String, Value)>) -> Value {
    Value::Object(fields.into_iter().collect())
}
