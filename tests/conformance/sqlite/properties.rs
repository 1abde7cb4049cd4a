//! Random documents and queries: the store answers what the domain says, with whatever indexes;
//! and random changes: applying a suffix of them again changes nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rideshare::adapters::sqlite::SqliteStore;
use rideshare::domain::document::{CollectionName, Document, DocumentId, Value};
use rideshare::domain::filter::Filter;
use rideshare::domain::log::Change;
use rideshare::domain::query::{self, Query, SortOrder};
use rideshare::ports::store::Store;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::generators::{documents, filter, id, name, object, path, single, sort, wide_value};
use crate::store::{PLENTY, all, apply, contents, exactly, index, name as collection, puts};

/// A store that many cases use, each with a collection of its own.
struct Bench {
    runtime: Runtime,
    store: SqliteStore,
    cases: AtomicU64,
    _directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let runtime = Runtime::new().unwrap();
        let path = directory.path().join("store");
        let store = runtime.block_on(SqliteStore::open(path)).unwrap();
        Self { runtime, store, cases: AtomicU64::new(0), _directory: directory }
    }

    fn collection(&self) -> CollectionName {
        collection(&format!("case-{}", self.cases.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Filters on the fields of [`wide_documents`].
fn wide_filter() -> impl Strategy<Value = Filter> {
    let operator = select(["$eq", "$gt", "$gte", "$lt", "$lte", "$ne"].as_slice());
    let condition = vec((operator, wide_value()), 1..=2).prop_map(|operators| {
        object(operators.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    });
    (select(["a", "b", "a.b", "_id"].as_slice()), condition)
        .prop_map(|(path, condition)| Filter::parse(&single(path, condition)).unwrap())
}

/// Documents whose values and keys come from the whole range, long texts included.
fn wide_documents() -> impl Strategy<Value = Vec<Document>> {
    let long = (".{1,3}", 40_usize..=60).prop_map(|(text, times)| Value::from(text.repeat(times)));
    let value = prop_oneof![3 => wide_value(), 1 => long];
    let key =
        prop_oneof![any::<i64>().prop_map(DocumentId::from), ".{0,4}".prop_map(DocumentId::from),];
    let document =
        (key, vec((select(["a", "b"].as_slice()), value), 0..=2)).prop_map(|(id, fields)| {
            let named = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
            named.collect::<Document>().with_id(id)
        });
    vec(document, 0..=12).prop_map(|mut documents| {
        documents.sort_by_key(Document::id);
        documents.dedup_by_key(|document| document.id());
        documents
    })
}

/// A query of a collection that is named later.
fn question(filter: impl Strategy<Value = Filter>) -> impl Strategy<Value = Query> {
    let by_key = select([SortOrder::Ascending, SortOrder::Descending].as_slice())
        .prop_map(|order| vec![("_id".to_owned(), order)]);
    let sort = prop_oneof![4 => sort(), 1 => by_key];
    let cut = (0_u64..4, proptest::option::of(0_u64..6));
    let projection = proptest::option::of(vec(path(), 0..=2));
    (filter, sort, cut, projection).prop_map(|(filter, sort, (skip, limit), projection)| Query {
        filter,
        sort,
        projection,
        skip,
        limit,
        ..Query::all(collection("unnamed"))
    })
}

/// Stores the documents, half of them after the indexes, and asks.
fn check_answers(
    bench: &Bench,
    documents: &[Document],
    indexes: &[String],
    queries: &[Query],
) -> Result<(), TestCaseError> {
    let name = bench.collection();
    let (before, after) = documents.split_at(documents.len() / 2);
    let mut changes = puts(&name, before);
    changes.extend(indexes.iter().map(|field| index(&name, field)));
    changes.extend(puts(&name, after));
    bench.runtime.block_on(async {
        apply(&bench.store, &changes, 0).await;
        for asked in queries {
            let query = Query { collection: name.clone(), ..asked.clone() };
            let expected = query::evaluate(&query, documents);
            let found = bench.store.find(&query, PLENTY).await.unwrap();
            prop_assert_eq!(exactly(&found), exactly(&expected), "{:?}", query);
            let whole = Query { projection: None, sort: Vec::new(), ..query.clone() };
            let count = bench.store.count(&whole).await.unwrap();
            prop_assert_eq!(count, expected.len() as u64, "{:?}", query);
            let matching = documents.iter().filter(|document| query.filter.matches(document));
            let different = query::distinct(matching, "a.b");
            let found = bench.store.distinct(&name, &query.filter, "a.b", PLENTY).await.unwrap();
            prop_assert_eq!(format!("{:?}", found), format!("{:?}", different), "{:?}", query);
        }
        Ok(())
    })
}

#[test]
fn answers_agree_with_the_domain_with_any_indexes() {
    let bench = Bench::new();
    let queries = vec(question(filter()), 1..=6);
    let case = (documents(20), vec(path(), 0..=3), queries);
    proptest!(ProptestConfig::with_cases(300), |((documents, indexes, queries) in case)| {
        check_answers(&bench, &documents, &indexes, &queries)?;
    });
}

#[test]
fn answers_agree_with_the_domain_for_values_of_any_size() {
    let bench = Bench::new();
    let queries = vec(question(wide_filter()), 1..=6);
    let indexes = vec(select(["a", "b", "a.b"].as_slice()).prop_map(str::to_owned), 0..=2);
    let case = (wide_documents(), indexes, queries);
    proptest!(ProptestConfig::with_cases(300), |((documents, indexes, queries) in case)| {
        check_answers(&bench, &documents, &indexes, &queries)?;
    });
}

/// Comparisons with the very values, keys and beginnings of texts that documents have.
#[test]
fn comparisons_with_stored_values_agree_with_the_domain() {
    let bench = Bench::new();
    let operator = select(["$eq", "$gt", "$gte", "$lt", "$lte"].as_slice());
    let picks = vec((any::<prop::sample::Index>(), operator, 0_usize..=130), 1..=4);
    let case = (wide_documents(), picks);
    proptest!(ProptestConfig::with_cases(300), |((documents, picks) in case)| {
        prop_assume!(!documents.is_empty());
        let mut queries = Vec::new();
        for (pick, operator, length) in &picks {
            for (field, value) in pick.get(&documents).iter() {
                let operand = match value {
                    Value::String(text) => text.chars().take(*length).collect::<String>().into(),
                    other => other.clone(),
                };
                let filter = Filter::parse(&single(field, single(operator, operand))).unwrap();
                queries.push(Query { filter, ..Query::all(collection("unnamed")) });
            }
        }
        check_answers(&bench, &documents, &["a".to_owned()], &queries)?;
    });
}

fn change() -> impl Strategy<Value = Change> {
    let collection = || select(["one", "two"].as_slice()).prop_map(collection);
    let fields = vec((name(), crate::generators::value()), 0..=3);
    prop_oneof![
        8 => (collection(), id(), fields).prop_map(|(collection, id, fields)| {
            let document = fields.into_iter().collect::<Document>().with_id(id.clone());
            Change::Put { collection, id, document: document.into() }
        }),
        3 => (collection(), id()).prop_map(|(collection, id)| Change::Delete { collection, id }),
        1 => collection().prop_map(|collection| Change::Clear { collection }),
        1 => (collection(), path())
            .prop_map(|(collection, field)| Change::EnsureIndex { collection, field }),
    ]
}

type Model = BTreeMap<CollectionName, BTreeMap<DocumentId, Document>>;

fn carry_out(model: &mut Model, change: &Change) {
    match change {
        Change::Put { collection, id, document } => {
            let documents = model.entry(collection.clone()).or_default();
            documents.insert(id.clone(), (**document).clone());
        }
        Change::Delete { collection, id } => {
            model.entry(collection.clone()).or_default().remove(id);
        }
        Change::Clear { collection } => drop(model.remove(collection)),
        Change::EnsureIndex { .. } => {}
    }
}

#[test]
fn applying_a_suffix_again_changes_nothing() {
    let runtime = Runtime::new().unwrap();
    let case = (vec(change(), 0..=40), any::<prop::sample::Index>(), vec(filter(), 4));
    proptest!(ProptestConfig::with_cases(40), |((changes, cut, filters) in case)| {
        let directory = TempDir::new().unwrap();
        let mut model = Model::new();
        changes.iter().for_each(|change| carry_out(&mut model, change));
        model.retain(|_, documents| !documents.is_empty());
        runtime.block_on(async {
            let store = SqliteStore::open(directory.path().join("store")).await.unwrap();
            for (batch, applied) in changes.chunks(3).zip(0..) {
                apply(&store, batch, applied).await;
            }
            let once = contents(&store).await;
            let expected: Vec<_> = model
                .iter()
                .map(|(name, documents)| (name.clone(), documents.values().cloned().collect()))
                .collect();
            prop_assert_eq!(&once, &expected);
            apply(&store, &changes[cut.index(changes.len() + 1)..], 99).await;
            prop_assert_eq!(contents(&store).await, once);
            for (name, documents) in &model {
                let documents: Vec<_> = documents.values().cloned().collect();
                prop_assert_eq!(exactly(&all(&store, name).await), exactly(&documents));
                for filter in &filters {
                    let query = Query { filter: filter.clone(), ..Query::all(name.clone()) };
                    let found = store.find(&query, PLENTY).await.unwrap();
                    prop_assert_eq!(found, query::evaluate(&query, &documents));
                }
            }
            Ok(())
        })?;
    });
}
