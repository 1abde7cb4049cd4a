//! The domain says what filters, orders and updates mean, and that it is what MongoDB means by
//! them. Here the real server is asked whether that is so, with random documents.

use mongodb::bson::{Bson, Document as BsonDocument, RawDocumentBuf, doc};
use mongodb::{Collection, Database};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rideshare::adapters::mongo::MongoStore;
use rideshare::domain::document::{Document, Value};
use rideshare::domain::log::Change;
use rideshare::domain::query::{self, Query};
use rideshare::domain::update::Update;
use rideshare::ports::store::Store;

use super::generators;
use super::{Place, history, put, puts, things};

/// More than any answer of these tests holds.
const PLENTY: usize = 64 * 1024 * 1024;

const CASES: u32 = 400;

fn runner() -> TestRunner {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    TestRunner::new(Config {
        cases: cases.unwrap_or(CASES),
        failure_persistence: None,
        ..Config::default()
    })
}

/// As text in which also 1 and 1.0, and 0.0 and -0.0, differ.
fn exactly(found: &impl std::fmt::Debug) -> String {
    format!("{found:?}")
}

fn same<T: std::fmt::Debug>(found: &T, expected: &T) -> Result<(), TestCaseError> {
    prop_assert_eq!(exactly(found), exactly(expected));
    Ok(())
}

fn queries() -> impl Strategy<Value = Query> {
    let projection = prop::option::of(prop::collection::vec(generators::path(), 0..=2));
    let limit = prop::option::of(0_u64..6);
    (generators::filter(), generators::sort(), projection, 0_u64..4, limit).prop_map(
        |(filter, sort, projection, skip, limit)| Query {
            filter,
            sort,
            projection,
            skip,
            limit,
            ..Query::all(things())
        },
    )
}

async fn check_reads(
    store: &MongoStore,
    documents: &[Document],
    query: &Query,
    field: &str,
) -> Result<(), TestCaseError> {
    let mut changes = vec![Change::Clear { collection: things() }];
    changes.extend(puts(documents));
    store.apply(&changes, &history(0)).await.unwrap();

    let expected = query::evaluate(query, documents);
    same(&store.find(query, PLENTY).await.unwrap(), &expected)?;
    prop_assert_eq!(store.count(query).await.unwrap(), expected.len() as u64);
    let matching = documents.iter().filter(|document| query.filter.matches(document));
    let values = store.distinct(&things(), &query.filter, field, PLENTY).await.unwrap();
    same(&values, &query::distinct(matching, field))
}

fn check_random_reads(changes: &[Change]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = Place::new();
    let store = runtime.block_on(place.store());
    runtime.block_on(store.apply(changes, &history(0))).unwrap();
    let cases = (generators::documents(10), queries(), generators::path());
    let tested = runner().run(&cases, |(documents, query, field)| {
        runtime.block_on(check_reads(&store, &documents, &query, &field))
    });
    tested.unwrap();
}

#[test]
fn reads_return_what_the_domain_says() {
    check_random_reads(&[]);
}

#[test]
fn reads_with_indexes_return_what_the_domain_says() {
    let index = |field: &str| Change::EnsureIndex { collection: things(), field: field.to_owned() };
    check_random_reads(&["a", "b", "a.b", "b.c", "c.a.b", "a.0"].map(index));
}

fn bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(*flag),
        Value::Integer(number) => Bson::Int64(*number),
        Value::Double(number) => Bson::Double(*number),
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(elements) => Bson::Array(elements.iter().map(bson).collect()),
        Value::Object(document) => Bson::Document(
            document.iter().map(|(name, value)| (name.to_owned(), bson(value))).collect(),
        ),
    }
}

/// The document as the server's own update leaves it; `None` when the server refuses.
async fn updated_by_server(database: &Database, update: &Update) -> Option<()> {
    let things: Collection<RawDocumentBuf> = database.collection("things");
    let Bson::Document(update) = bson(update.source()) else { return None };
    let update: BsonDocument = update;
    things.update_one(doc! {}, update).await.ok().map(drop)
}

async fn check_update(
    store: &MongoStore,
    database: &Database,
    document: &Document,
    update: &Update,
) -> Result<(), TestCaseError> {
    let changes = [Change::Clear { collection: things() }, put(document)];
    store.apply(&changes, &history(0)).await.unwrap();
    let expected = update.apply(document).ok();
    let is_updated = updated_by_server(database, update).await.is_some();
    let stored = store.find(&Query::all(things()), PLENTY).await.unwrap().pop();
    same(&is_updated.then_some(stored).flatten(), &expected)
}

#[test]
fn updates_leave_what_the_domain_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = Place::new();
    let (store, database) =
        runtime.block_on(async { (place.store().await, place.database().await) });
    let cases = (generators::document(), generators::update());
    let tested = runner().run(&cases, |(document, update)| {
        runtime.block_on(check_update(&store, &database, &document, &update))
    });
    tested.unwrap();
}
