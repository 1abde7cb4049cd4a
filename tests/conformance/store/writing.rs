//! Cases on `apply`, `history` and what lasts.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rideshare::domain::document::{Document, MAX_DEPTH, Value};
use rideshare::domain::log::History;
use rideshare::domain::query::Query;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{
    PLENTY, StoreFactory, all, apply, clear, contents, delete, doc, docs, exactly, filter, history,
    index, name, put, puts, users,
};

/// Longer than any apply of these cases takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn new_store_is_empty_and_has_no_history<F: StoreFactory>(factory: &F) {
    let store = factory.open("new").await;
    assert_eq!(store.history().await.unwrap(), History::default());
    assert_eq!(store.collections().await.unwrap(), []);
}

pub(crate) async fn changes_and_history_survive_a_restart<F: StoreFactory>(factory: &F) {
    let documents = docs(&[r#"{"_id":1,"a":[1,2]}"#, r#"{"_id":"x","b":{"c":null}}"#]);
    let store = factory.open("lasting").await;
    apply(&*store, &puts(&users(), &documents), 4).await;
    apply(&*store, &[delete(&users(), "x")], 5).await;
    let address = store.address();
    drop(store);

    let store = factory.open("lasting").await;
    assert_eq!(store.history().await.unwrap(), history(5));
    assert_eq!(all(&*store, &users()).await, documents[..1]);
    assert_eq!(store.address(), address);
}

pub(crate) async fn history_without_changes_is_stored<F: StoreFactory>(factory: &F) {
    let store = factory.open("barrier").await;
    apply(&*store, &[], 0).await;
    assert_eq!(store.history().await.unwrap(), history(0));
    let unnamed = History { log_id: None, ..history(u64::from(u32::MAX) * 1000) };
    store.apply(&[], &unnamed).await.unwrap();
    drop(store);
    let store = factory.open("barrier").await;
    assert_eq!(store.history().await.unwrap(), unnamed);
    assert_eq!(store.collections().await.unwrap(), []);
}

pub(crate) async fn changes_of_a_batch_count_in_their_order<F: StoreFactory>(factory: &F) {
    let store = factory.open("ordered").await;
    let [first, second, other] =
        [r#"{"_id":1,"n":1}"#, r#"{"_id":1,"n":2}"#, r#"{"_id":2}"#].map(doc);
    let changes = [
        put(&users(), &first),
        put(&users(), &other),
        put(&users(), &second),
        delete(&users(), 2),
        put(&name("rides"), &first),
        clear(&name("rides")),
        put(&name("rides"), &other),
        index(&name("rides"), "n"),
        delete(&users(), 3),
        put(&users(), &doc(r#"{"_id":3}"#)),
    ];
    apply(&*store, &changes, 1).await;
    assert_eq!(all(&*store, &users()).await, [second, doc(r#"{"_id":3}"#)]);
    assert_eq!(all(&*store, &name("rides")).await, [other]);
}

pub(crate) async fn applying_a_batch_again_changes_nothing<F: StoreFactory>(factory: &F) {
    let store = factory.open("repeated").await;
    apply(&*store, &puts(&users(), &docs(&[r#"{"_id":1}"#, r#"{"_id":2}"#])), 0).await;
    let changes = [
        index(&users(), "n"),
        put(&users(), &doc(r#"{"_id":1,"n":1}"#)),
        delete(&users(), 2),
        clear(&name("rides")),
        put(&name("rides"), &doc(r#"{"_id":"a"}"#)),
    ];
    apply(&*store, &changes, 1).await;
    let once = contents(&*store).await;
    apply(&*store, &changes, 1).await;
    apply(&*store, &changes, 1).await;
    assert_eq!(contents(&*store).await, once);
    assert_eq!(store.history().await.unwrap(), history(1));
    let mut query = Query::all(users());
    query.filter = filter(r#"{"n":1}"#);
    assert_eq!(store.find(&query, PLENTY).await.unwrap().len(), 1);
}

pub(crate) async fn put_replaces_the_whole_document<F: StoreFactory>(factory: &F) {
    let store = factory.open("replacing").await;
    apply(&*store, &[put(&users(), &doc(r#"{"_id":1,"a":1,"b":{"c":2}}"#))], 0).await;
    let replacement = doc(r#"{"_id":1,"b":{"d":3}}"#);
    apply(&*store, &[put(&users(), &replacement)], 1).await;
    assert_eq!(all(&*store, &users()).await, [replacement]);
}

pub(crate) async fn delete_and_clear_of_what_is_not_there_are_harmless<F: StoreFactory>(
    factory: &F,
) {
    let store = factory.open("missing").await;
    apply(&*store, &[delete(&users(), 1), clear(&users()), delete(&users(), "a")], 0).await;
    assert_eq!(store.collections().await.unwrap(), []);
    assert_eq!(store.history().await.unwrap(), history(0));
}

pub(crate) async fn clear_empties_one_collection_only<F: StoreFactory>(factory: &F) {
    let store = factory.open("clearing").await;
    let documents = docs(&[r#"{"_id":1}"#, r#"{"_id":2}"#]);
    // Names that a careless adapter could take for each other.
    for collection in ["users", "Users", "users-1", "users_1"] {
        apply(&*store, &puts(&name(collection), &documents), 0).await;
    }
    apply(&*store, &[clear(&users())], 1).await;
    let left = ["Users", "users-1", "users_1"].map(name);
    assert_eq!(store.collections().await.unwrap(), left);
    for collection in &left {
        assert_eq!(all(&*store, collection).await, documents);
    }
}

pub(crate) async fn clear_keeps_indexes_working<F: StoreFactory>(factory: &F) {
    let store = factory.open("cleared-index").await;
    let document = doc(r#"{"_id":1,"n":7}"#);
    apply(&*store, &[index(&users(), "n"), put(&users(), &document)], 0).await;
    apply(&*store, &[clear(&users())], 1).await;
    let mut query = Query::all(users());
    query.filter = filter(r#"{"n":7}"#);
    assert_eq!(store.find(&query, PLENTY).await.unwrap(), []);
    apply(&*store, &[put(&users(), &document)], 2).await;
    assert_eq!(store.find(&query, PLENTY).await.unwrap(), [document]);
}

pub(crate) async fn index_changes_no_answer<F: StoreFactory>(factory: &F) {
    let store = factory.open("indexed").await;
    let documents: Vec<Document> = (0..50)
        .map(|n| doc(&format!(r#"{{"_id":{n},"n":{},"a":{{"b":[{n},{}]}}}}"#, n % 7, n % 3)))
        .collect();
    apply(&*store, &puts(&users(), &documents), 0).await;
    let mut query = Query::all(users());
    query.filter = filter(r#"{"n":{"$gte":5},"a.b":{"$in":[0,1]}}"#);
    let before = store.find(&query, PLENTY).await.unwrap();
    assert!(!before.is_empty());
    apply(&*store, &[index(&users(), "n"), index(&users(), "a.b")], 1).await;
    assert_eq!(store.find(&query, PLENTY).await.unwrap(), before);
    // Documents that move within the index.
    let moved = doc(r#"{"_id":3,"n":6,"a":{"b":[0]}}"#);
    apply(&*store, &[put(&users(), &moved), delete(&users(), 5)], 2).await;
    let found = store.find(&query, PLENTY).await.unwrap();
    assert!(found.contains(&moved));
    let gone = |document: &Document| document.id() == Some(5.into());
    assert!(!found.iter().any(gone));
}

pub(crate) async fn index_is_idempotent_and_may_come_before_its_collection<F: StoreFactory>(
    factory: &F,
) {
    let store = factory.open("early-index").await;
    apply(&*store, &[index(&users(), "a.b"), index(&users(), "a.b"), index(&users(), "_id")], 0)
        .await;
    apply(&*store, &[index(&users(), "a.b")], 1).await;
    assert_eq!(store.collections().await.unwrap(), []);
    let documents =
        docs(&[r#"{"_id":1,"a":{"b":1}}"#, r#"{"_id":2,"a":[{"b":1},{"b":2}]}"#, r#"{"_id":3}"#]);
    apply(&*store, &puts(&users(), &documents), 2).await;
    let mut query = Query::all(users());
    query.filter = filter(r#"{"a.b":1}"#);
    assert_eq!(store.find(&query, PLENTY).await.unwrap(), documents[..2]);
}

pub(crate) async fn values_come_back_exactly_as_they_were_put<F: StoreFactory>(factory: &F) {
    let store = factory.open("values").await;
    let mut document =
        doc(r#"{"_id":1,"z":null,"a":true,"m":false,"int":0,"one":1,"one_double":1.0,"neg":-1,
            "min":-9223372036854775808,"max":9223372036854775807,"big":9007199254740993,
            "small":5e-324,"huge":1.7976931348623157e308,"minus_zero":-0.0,"tenth":0.1,
            "empty":"","text":"grüße \u0001 \ud83d\ude95 \u0000 end","quote":"\"'\\`;--",
            "e\u0301\u4e2d":"names too","array":[],"object":{},
            "mixed":[1,1.0,"1",null,[[],[{}]],{"b":1,"a":2}],"":0}"#);
    document.remove("");
    document.insert("_", Value::String("\u{10ffff}\u{fffe}\u{feff}".to_owned()));
    let deep = (3..MAX_DEPTH).fold(Value::from("bottom"), |inner, level| match level % 2 {
        0 => Value::Array(vec![inner]),
        _ => Document::from_iter([("d".to_owned(), inner)]).into(),
    });
    document.insert("deep", deep);
    document.validate().unwrap();
    apply(&*store, &[put(&users(), &document)], 0).await;
    let found = store.get(&users(), &[1.into()]).await.unwrap();
    assert_eq!(exactly(&found), exactly(&[document]));
}

pub(crate) async fn keys_of_both_kinds_are_told_apart<F: StoreFactory>(factory: &F) {
    let store = factory.open("keys").await;
    // In the order of keys: numbers by value, then strings by their bytes.
    let documents: Vec<Document> = [
        "-9223372036854775808",
        "-1",
        "0",
        "1",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
        r#""""#,
        r#""\u0000""#,
        r#""\u0000a""#,
        r#"" ""#,
        r#""-1""#,
        r#""1""#,
        r#""1.0""#,
        r#""A""#,
        r#""a""#,
        r#""a\u0000""#,
        r#""a ""#,
        r#""aa""#,
        r#""b""#,
        r#""null""#,
        r#""\u00e9""#,
        r#""e\u0301 later""#,
        r#""\uffee""#,
        r#""\ud83d\ude95""#,
    ]
    .iter()
    .map(|key| doc(&format!(r#"{{"_id":{key}}}"#)))
    .collect();
    let mut ordered = documents.clone();
    ordered.sort_by_key(Document::id);
    let mut shuffled = documents;
    shuffled.reverse();
    apply(&*store, &puts(&users(), &shuffled), 0).await;
    assert_eq!(exactly(&all(&*store, &users()).await), exactly(&ordered));
    for document in &ordered {
        let id = document.id().unwrap();
        let found = store.get(&users(), std::slice::from_ref(&id)).await.unwrap();
        assert_eq!(exactly(&found), exactly(std::slice::from_ref(document)));
    }
    apply(&*store, &[delete(&users(), "1"), delete(&users(), 0), delete(&users(), "\0")], 1).await;
    let gone = ["\"1\"", "0", "\"\\u0000\""].map(|key| doc(&format!(r#"{{"_id":{key}}}"#)));
    ordered.retain(|document| !gone.contains(document));
    assert_eq!(exactly(&all(&*store, &users()).await), exactly(&ordered));
}

pub(crate) async fn large_document_and_large_batch_are_stored<F: StoreFactory>(factory: &F) {
    let store = factory.open("large").await;
    let mut large = doc(r#"{"_id":"large"}"#);
    large.insert("text", "x€".repeat(250_000));
    large.validate().unwrap();
    let many: Vec<Document> =
        (0..3000).map(|n| doc(&format!(r#"{{"_id":{n},"n":{n}}}"#))).collect();
    let mut changes = puts(&users(), &many);
    changes.extend((0..8).map(|n| put(&name("large"), &large.clone().with_id(n.into()))));
    apply(&*store, &changes, 0).await;
    assert_eq!(all(&*store, &users()).await, many);
    let found = store.get(&name("large"), &[7.into()]).await.unwrap();
    assert_eq!(found, [large.with_id(7.into())]);
}

pub(crate) async fn reads_see_each_document_whole_while_it_is_replaced<F: StoreFactory>(
    factory: &F,
) {
    let store = factory.open("whole").await;
    let version = |n: u64| {
        let mut document = doc(r#"{"_id":1}"#);
        for field in 0..50 {
            document.insert(format!("f{field}"), Value::Integer(n as i64));
        }
        document
    };
    apply(&*store, &[put(&users(), &version(0))], 0).await;
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 1..=200 {
                apply(&*store, &[put(&users(), &version(n))], n).await;
            }
        })
    };
    let mut newest = 0;
    while newest < 200 {
        let found = store.get(&users(), &[1.into()]).await.unwrap();
        let [document] = found.as_slice() else { panic!("{found:?}") };
        let seen = document.get("f0").and_then(Value::as_integer).unwrap() as u64;
        assert_eq!(*document, version(seen));
        assert!(seen >= newest, "{seen} after {newest}");
        newest = seen;
        if writer.is_finished() {
            assert!(newest == 200 || store.history().await.unwrap() == history(200));
        }
    }
    writer.await.unwrap();
}

pub(crate) async fn read_after_apply_sees_what_was_applied<F: StoreFactory>(factory: &F) {
    let store = factory.open("fresh").await;
    for n in 0..100_i64 {
        let document = doc(&format!(r#"{{"_id":{},"n":{n}}}"#, n % 3));
        apply(&*store, &[put(&users(), &document)], n as u64).await;
        let (users, ids) = (users(), [(n % 3).into()]);
        let by_key = store.get(&users, &ids);
        let query =
            Query { filter: filter(&format!(r#"{{"n":{n}}}"#)), ..Query::all(users.clone()) };
        let by_field = store.find(&query, PLENTY);
        let (by_key, by_field, stored) = tokio::join!(by_key, by_field, store.history());
        assert_eq!(by_key.unwrap(), std::slice::from_ref(&document));
        assert_eq!(by_field.unwrap(), [document]);
        assert_eq!(stored.unwrap(), history(n as u64));
    }
}

pub(crate) async fn changes_can_be_read_once_they_are_told_to_be_visible<F: StoreFactory>(
    factory: &F,
) {
    let store = factory.open("visible").await;
    for round in 1..=20 {
        let document = doc(&format!(r#"{{"_id":1,"n":{round}}}"#));
        let changes = [put(&users(), &document), put(&name("rides"), &document)];
        let (visible, history) = (Notify::new(), history(round));
        let tell = || visible.notify_one();
        let applying = store.apply_telling(&changes, &history, &tell);
        let reading = async {
            visible.notified().await;
            (all(&*store, &users()).await, all(&*store, &name("rides")).await)
        };
        let both = async { tokio::try_join!(applying, reading.map(Ok)) };
        let ((), read) = timeout(PATIENCE, both).await.expect("it is told").unwrap();
        assert_eq!(read, (vec![document.clone()], vec![document]));
    }
    drop(store);
    let store = factory.open("visible").await;
    assert_eq!(store.history().await.unwrap(), history(20));
}
