//! Cases on `get`, `find`, `count`, `distinct` and `collections`.

use rideshare::domain::document::{Document, DocumentId, Value};
use rideshare::domain::filter::Filter;
use rideshare::domain::query::{self, Query};
use rideshare::ports::store::{Store, StoreError};

use super::{
    PLENTY, StoreFactory, all, apply, clear, delete, doc, docs, exactly, filter, index, name, puts,
    users, value,
};

/// Documents in which a path can lead anywhere.
fn zoo() -> Vec<Document> {
    docs(&[
        r#"{"_id":-3,"a":null}"#,
        r#"{"_id":0}"#,
        r#"{"_id":1,"a":1}"#,
        r#"{"_id":2,"a":1.0}"#,
        r#"{"_id":3,"a":2.5}"#,
        r#"{"_id":4,"a":9007199254740993}"#,
        r#"{"_id":5,"a":9007199254740992.0}"#,
        r#"{"_id":6,"a":"1"}"#,
        r#"{"_id":7,"a":""}"#,
        r#"{"_id":8,"a":true}"#,
        r#"{"_id":9,"a":false}"#,
        r#"{"_id":10,"a":[]}"#,
        r#"{"_id":11,"a":[1,10]}"#,
        r#"{"_id":12,"a":[[1]]}"#,
        r#"{"_id":13,"a":[null]}"#,
        r#"{"_id":14,"a":{"b":1}}"#,
        r#"{"_id":15,"a":{"b":null}}"#,
        r#"{"_id":16,"a":{"c":1}}"#,
        r#"{"_id":17,"a":[{"b":1},{"b":5}]}"#,
        r#"{"_id":18,"a":[{"b":[1,2]},3]}"#,
        r#"{"_id":19,"a":{"b":{"c":"deep"}}}"#,
        r#"{"_id":20,"a":{}}"#,
        r#"{"_id":21,"a":-0.0}"#,
        r#"{"_id":22,"a":"zebra","b":7}"#,
        r#"{"_id":"str","a":"Zebra","b":7}"#,
        r#"{"_id":"str2","a":"zebra\u0000","b":[7,8]}"#,
        r#"{"_id":"str3","a":"żebra","b":"7"}"#,
    ])
}

const FILTERS: &[&str] = &[
    "{}",
    r#"{"a":1}"#,
    r#"{"a":1.0}"#,
    r#"{"a":null}"#,
    r#"{"a":0}"#,
    r#"{"a":true}"#,
    r#"{"a":""}"#,
    r#"{"a":"zebra"}"#,
    r#"{"a":[]}"#,
    r#"{"a":[1]}"#,
    r#"{"a":[1,10]}"#,
    r#"{"a":{}}"#,
    r#"{"a":{"b":1}}"#,
    r#"{"a":{"b":1.0}}"#,
    r#"{"a":9007199254740993}"#,
    r#"{"a":9007199254740992}"#,
    r#"{"a":{"$in":[1,"zebra",null]}}"#,
    r#"{"a":{"$in":[]}}"#,
    r#"{"a":{"$in":[[1],{"b":null}]}}"#,
    r#"{"a":{"$nin":[1,null]}}"#,
    r#"{"a":{"$ne":1}}"#,
    r#"{"a":{"$ne":null}}"#,
    r#"{"a":{"$gt":1}}"#,
    r#"{"a":{"$gt":1,"$lt":10}}"#,
    r#"{"a":{"$gte":4,"$lte":6}}"#,
    r#"{"a":{"$lt":"b"}}"#,
    r#"{"a":{"$gte":"Z","$lt":"zebrb"}}"#,
    r#"{"a":{"$lte":null}}"#,
    r#"{"a":{"$gt":null}}"#,
    r#"{"a":{"$gte":false}}"#,
    r#"{"a":{"$gt":{}}}"#,
    r#"{"a":{"$gt":[]}}"#,
    r#"{"a":{"$lt":9007199254740993}}"#,
    r#"{"a":{"$exists":true}}"#,
    r#"{"a":{"$exists":false}}"#,
    r#"{"a":{"$not":{"$gt":1}}}"#,
    r#"{"a":{"$size":2}}"#,
    r#"{"a":{"$all":[1,10]}}"#,
    r#"{"a":{"$all":[]}}"#,
    r#"{"a":{"$elemMatch":{"$gt":5}}}"#,
    r#"{"a":{"$elemMatch":{"b":5}}}"#,
    r#"{"a.b":1}"#,
    r#"{"a.b":null}"#,
    r#"{"a.b":{"$gt":1}}"#,
    r#"{"a.b":{"$exists":true}}"#,
    r#"{"a.0":1}"#,
    r#"{"a.0.b":1}"#,
    r#"{"a.1":3}"#,
    r#"{"a.b.c":"deep"}"#,
    r#"{"a.b.c":null}"#,
    r#"{"b":7}"#,
    r#"{"b":7,"a":"zebra"}"#,
    r#"{"$or":[{"a":1},{"b":7}]}"#,
    r#"{"$and":[{"a":{"$gt":0}},{"a":{"$lt":3}}]}"#,
    r#"{"$nor":[{"a":1},{"b":7}]}"#,
    r#"{"_id":1}"#,
    r#"{"_id":1,"a":2}"#,
    r#"{"_id":{"$in":[1,"str",99,1.0]},"b":{"$exists":true}}"#,
    r#"{"b":{"$lt":8},"_id":{"$gt":"str"}}"#,
];

async fn check_filters(store: &dyn Store) {
    let documents = zoo();
    for text in FILTERS {
        let query = Query { filter: filter(text), ..Query::all(users()) };
        let expected = query::evaluate(&query, &documents);
        let found = store.find(&query, PLENTY).await.unwrap();
        assert_eq!(exactly(&found), exactly(&expected), "{text}");
        assert_eq!(store.count(&query).await.unwrap(), expected.len() as u64, "{text}");
    }
}

pub(crate) async fn filters_select_as_the_domain_says<F: StoreFactory>(factory: &F) {
    let store = factory.open("filters").await;
    apply(&*store, &puts(&users(), &zoo()), 0).await;
    check_filters(&*store).await;
}

pub(crate) async fn filters_select_the_same_with_indexes<F: StoreFactory>(factory: &F) {
    let store = factory.open("filters-indexed").await;
    // Half of the documents are there before the indexes, half come after.
    let documents = zoo();
    let (before, after) = documents.split_at(documents.len() / 2);
    apply(&*store, &puts(&users(), before), 0).await;
    let indexes = ["a", "b", "a.b", "a.0", "a.b.c"].map(|field| index(&users(), field));
    apply(&*store, &indexes, 1).await;
    apply(&*store, &puts(&users(), after), 2).await;
    check_filters(&*store).await;
}

pub(crate) async fn get_returns_what_there_is_and_leaves_out_the_rest<F: StoreFactory>(
    factory: &F,
) {
    let store = factory.open("get").await;
    apply(&*store, &puts(&users(), &zoo()), 0).await;
    let ids = [DocumentId::from(22), "str".into(), 77.into(), "none".into(), "1".into()];
    let mut found = store.get(&users(), &ids).await.unwrap();
    found.sort_by_key(Document::id);
    let wanted = |document: &Document| ids.contains(&document.id().unwrap());
    let expected: Vec<_> = zoo().into_iter().filter(wanted).collect();
    assert_eq!(exactly(&found), exactly(&expected));
    assert_eq!(store.get(&users(), &[]).await.unwrap(), []);
    assert_eq!(store.get(&name("nowhere"), &ids).await.unwrap(), []);
}

pub(crate) async fn get_of_many_keys_returns_each_document_once<F: StoreFactory>(factory: &F) {
    let store = factory.open("get-many").await;
    let documents: Vec<Document> = (0..2000).map(|n| doc(&format!(r#"{{"_id":{n}}}"#))).collect();
    apply(&*store, &puts(&users(), &documents), 0).await;
    let mut ids: Vec<DocumentId> = (0..4000).map(DocumentId::from).collect();
    ids.extend([DocumentId::from(5), 5.into(), 6.into()]);
    let mut found = store.get(&users(), &ids).await.unwrap();
    found.sort_by_key(Document::id);
    assert_eq!(found, documents);
}

pub(crate) async fn find_in_a_missing_collection_is_empty<F: StoreFactory>(factory: &F) {
    let store = factory.open("nothing").await;
    let nowhere = name("nowhere");
    assert_eq!(all(&*store, &nowhere).await, []);
    let query =
        Query { filter: filter(r#"{"a":{"$exists":false}}"#), ..Query::all(nowhere.clone()) };
    assert_eq!(store.find(&query, PLENTY).await.unwrap(), []);
    assert_eq!(store.count(&query).await.unwrap(), 0);
    let values = store.distinct(&nowhere, &Filter::all(), "a", PLENTY).await.unwrap();
    assert_eq!(values, []);
}

pub(crate) async fn filter_by_keys_returns_each_document_once<F: StoreFactory>(factory: &F) {
    let store = factory.open("pinned").await;
    apply(&*store, &puts(&users(), &zoo()), 0).await;
    let table = [
        (r#"{"_id":"str"}"#, 1),
        (r#"{"_id":1.0}"#, 1),
        (r#"{"_id":1.5}"#, 0),
        (r#"{"_id":null}"#, 0),
        (r#"{"_id":{"$in":[1,1,1.0,"str","1",true,null]}}"#, 2),
        (r#"{"_id":{"$in":[1,2,3]},"$and":[{"_id":{"$in":[2,3,4]}},{"_id":{"$ne":3}}]}"#, 1),
        (r#"{"_id":1,"$or":[{"_id":2},{"a":1}]}"#, 1),
        (r#"{"_id":{"$in":[]}}"#, 0),
    ];
    for (text, expected) in table {
        let query = Query { filter: filter(text), ..Query::all(users()) };
        assert_eq!(store.find(&query, PLENTY).await.unwrap().len(), expected, "{text}");
        assert_eq!(store.count(&query).await.unwrap(), expected as u64, "{text}");
    }
}

pub(crate) async fn ranges_of_keys_select_as_the_domain_says<F: StoreFactory>(factory: &F) {
    let store = factory.open("key-ranges").await;
    let mut documents = zoo();
    documents.push(Document::new().with_id("z".repeat(2000).into()));
    apply(&*store, &puts(&users(), &documents), 0).await;
    let long = format!(r#"{{"_id":{{"$lte":"{}"}}}}"#, "z".repeat(1999));
    let texts = [
        r#"{"_id":{"$gt":5}}"#,
        r#"{"_id":{"$gte":5,"$lt":9}}"#,
        r#"{"_id":{"$gt":5.5,"$lte":7.5}}"#,
        r#"{"_id":{"$lt":0}}"#,
        r#"{"_id":{"$lt":"str2"}}"#,
        r#"{"_id":{"$gte":"str2"}}"#,
        r#"{"_id":{"$gt":""}}"#,
        r#"{"_id":{"$gt":9,"$lt":5}}"#,
        r#"{"_id":{"$gt":1,"$lt":"x"}}"#,
        r#"{"_id":{"$gt":null}}"#,
        r#"{"_id":{"$lte":null}}"#,
        r#"{"_id":{"$gt":false}}"#,
        r#"{"_id":{"$gt":-1e300}}"#,
        r#"{"_id":{"$not":{"$gt":5}}}"#,
        r#"{"_id":{"$ne":5}}"#,
        r#"{"_id":{"$exists":true}}"#,
        r#"{"_id":{"$exists":false}}"#,
        r#"{"_id.a":{"$gt":1}}"#,
        &long,
    ];
    for text in texts {
        let query = Query { filter: filter(text), ..Query::all(users()) };
        let expected = query::evaluate(&query, &documents);
        let found = store.find(&query, PLENTY).await.unwrap();
        assert_eq!(exactly(&found), exactly(&expected), "{text}");
    }
}

pub(crate) async fn count_counts_matches_within_skip_and_limit<F: StoreFactory>(factory: &F) {
    let store = factory.open("count").await;
    apply(&*store, &puts(&users(), &zoo()), 0).await;
    let total = zoo().len() as u64;
    let table = [
        ("{}", 0, None, total),
        ("{}", 5, None, total - 5),
        ("{}", 5, Some(3), 3),
        ("{}", total - 1, Some(3), 1),
        ("{}", total + 9, Some(3), 0),
        ("{}", u64::from(u32::MAX), None, 0),
        (r#"{"b":7}"#, 0, None, 3),
        (r#"{"b":7}"#, 1, Some(9), 2),
        (r#"{"b":7}"#, 1, Some(1), 1),
    ];
    for (text, skip, limit, expected) in table {
        let query = Query { filter: filter(text), skip, limit, ..Query::all(users()) };
        assert_eq!(store.count(&query).await.unwrap(), expected, "{text} {skip} {limit:?}");
    }
}

pub(crate) async fn distinct_values_come_once_and_ascending<F: StoreFactory>(factory: &F) {
    let store = factory.open("distinct").await;
    let documents = zoo();
    apply(&*store, &puts(&users(), &documents), 0).await;
    for (field, text) in [
        ("a", "{}"),
        ("b", "{}"),
        ("a.b", "{}"),
        ("a.0", "{}"),
        ("a.b.c", "{}"),
        ("nowhere", "{}"),
        ("_id", r#"{"a":1}"#),
        ("a", r#"{"_id":{"$gte":6}}"#),
    ] {
        let filter = filter(text);
        let matching = documents.iter().filter(|document| filter.matches(document));
        let expected = query::distinct(matching, field);
        let found = store.distinct(&users(), &filter, field, PLENTY).await.unwrap();
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{field} {text}");
    }
}

pub(crate) async fn collections_are_those_that_hold_documents<F: StoreFactory>(factory: &F) {
    let store = factory.open("collections").await;
    let names = ["b", "B", "a-1", "a_1", "aa", "collections", "documents", "meta", "system"];
    for collection in names {
        apply(&*store, &puts(&name(collection), &docs(&[r#"{"_id":1}"#])), 0).await;
    }
    apply(&*store, &[index(&name("indexed-only"), "a"), delete(&name("deleted"), 1)], 1).await;
    let mut expected: Vec<_> = names.map(name).to_vec();
    expected.sort();
    assert_eq!(store.collections().await.unwrap(), expected);
    // With those that have an index, and no documents.
    apply(&*store, &[index(&name("aa"), "x.y"), index(&name("aa"), "a")], 2).await;
    let listed = store.catalog().await.unwrap();
    let mut all = expected.clone();
    all.push(name("indexed-only"));
    all.sort();
    let names: Vec<_> = listed.iter().map(|collection| collection.name.clone()).collect();
    assert_eq!(names, all);
    let indexes_of = |wanted: &str| {
        let found = listed.iter().find(|collection| collection.name == name(wanted));
        found.map(|collection| collection.indexes.clone()).unwrap_or_default()
    };
    assert_eq!(indexes_of("aa"), ["a", "x.y"]);
    assert_eq!(indexes_of("indexed-only"), ["a"]);
    assert_eq!(indexes_of("b"), [""; 0]);
    apply(&*store, &[delete(&name("aa"), 1), clear(&name("b"))], 3).await;
    expected.retain(|collection| !["aa", "b"].contains(&collection.as_str()));
    assert_eq!(store.collections().await.unwrap(), expected);
}

fn kilobytes(count: i64) -> Vec<Document> {
    let text = "k".repeat(1000);
    (0..count)
        .map(|n| {
            let mut document = doc(&format!(r#"{{"_id":{n},"n":{}}}"#, count - n));
            document.insert("text", format!("{n}{text}"));
            document
        })
        .collect()
}

pub(crate) async fn answer_larger_than_allowed_is_refused<F: StoreFactory>(factory: &F) {
    let store = factory.open("bounded").await;
    apply(&*store, &puts(&users(), &kilobytes(100)), 0).await;
    let bytes = 20_000;
    let sorted = vec![("n".to_owned(), query::SortOrder::Ascending)];
    for sort in [Vec::new(), sorted] {
        let query = Query { sort, ..Query::all(users()) };
        let refused = store.find(&query, bytes).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { bytes: 20_000 })), "{refused:?}");
        let narrow = Query { limit: Some(10), ..query.clone() };
        assert_eq!(store.find(&narrow, bytes).await.unwrap().len(), 10);
        assert_eq!(store.find(&query, 300_000).await.unwrap().len(), 100);
    }
    let refused = store.distinct(&users(), &Filter::all(), "text", bytes).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { bytes: 20_000 })), "{refused:?}");
    let fits = store.distinct(&users(), &Filter::all(), "text", 300_000).await.unwrap();
    assert_eq!(fits.len(), 100);
}

pub(crate) async fn bound_is_on_the_answer_and_not_on_what_was_looked_at<F: StoreFactory>(
    factory: &F,
) {
    let store = factory.open("bounded-answer").await;
    apply(&*store, &puts(&users(), &kilobytes(100)), 0).await;
    let bytes = 20_000;
    let sorted = vec![("n".to_owned(), query::SortOrder::Ascending)];
    for sort in [Vec::new(), sorted] {
        let all = Query { sort, ..Query::all(users()) };
        let skipped = Query { skip: 95, ..all.clone() };
        assert_eq!(store.find(&skipped, bytes).await.unwrap().len(), 5);
        let projected = Query { projection: Some(vec!["n".to_owned()]), ..all.clone() };
        assert_eq!(store.find(&projected, bytes).await.unwrap().len(), 100);
        let filtered = Query { filter: filter(r#"{"n":{"$lte":3}}"#), ..all };
        assert_eq!(store.find(&filtered, bytes).await.unwrap().len(), 3);
    }
    let values = store.distinct(&users(), &Filter::all(), "n", bytes).await.unwrap();
    assert_eq!(values.first(), Some(&value("1")));
    assert_eq!(values.last(), Some(&Value::Integer(100)));
}
