//! What is left when the server, or the worker, is cut off in the middle.

use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mongodb::bson::{Document as BsonDocument, doc};
use rideshare::adapters::mongo::{MongoSettings, MongoStore};
use rideshare::domain::document::{CollectionName, Document, DocumentId, Value};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::DatabaseAddress;
use rideshare::domain::log::{Change, History};
use rideshare::domain::query::Query;
use rideshare::ports::store::{Store, StoreError};

use super::server::Server;
use super::{Place, history, numbered, put, puts, things};
use crate::proxy::Proxy;

const PLENTY: usize = 64 * 1024 * 1024;

async fn everything(store: &MongoStore) -> Vec<Document> {
    store.find(&Query::all(things()), PLENTY).await.unwrap()
}

fn one(n: i64) -> Document {
    Document::from_iter([("n".to_owned(), Value::from(n))]).with_id(1.into())
}

#[tokio::test]
async fn server_that_is_not_there_is_unavailable_within_bounds() {
    let settings = MongoSettings::new("mongodb://me:hidden@127.0.0.1:1", "d");
    let store = MongoStore::connect(settings).await.unwrap();
    let start = Instant::now();
    let asked = [
        store.history().await.map(drop),
        store.apply(&[], &history(1)).await,
        store.find(&Query::all(things()), PLENTY).await.map(drop),
    ];
    for answer in asked {
        let error = answer.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_that_a_killed_server_cut_off_can_be_repeated() {
    let server = Server::start();
    let place = Place::at(&server.uri());
    let store = Arc::new(place.store().await);
    store.apply(&puts(&numbered(10)), &history(1)).await.unwrap();

    let batch = puts(&numbered(60_000));
    let applying = {
        let (store, batch) = (Arc::clone(&store), batch.clone());
        tokio::spawn(async move { store.apply(&batch, &history(2)).await })
    };
    let database = place.database().await;
    let started = async {
        let collection = database.collection::<BsonDocument>("things");
        while collection.count_documents(doc! {}).await.unwrap() <= 10 {}
    };
    tokio::time::timeout(Duration::from_secs(20), started).await.unwrap();
    server.kill();
    let cut_off = applying.await.unwrap();
    assert!(matches!(cut_off, Err(StoreError::Unavailable(_))), "{cut_off:?}");
    let unavailable = store.history().await;
    assert!(matches!(unavailable, Err(StoreError::Unavailable(_))), "{unavailable:?}");

    server.start_again();
    let stored = store.history().await.unwrap();
    assert!(stored == history(1) || stored == history(0) || stored == Default::default());
    store.apply(&batch, &history(2)).await.unwrap();
    assert_eq!(store.history().await.unwrap(), history(2));
    assert_eq!(everything(&store).await, numbered(60_000));
}

/// A pool that grows during an apply is no sign of a server that started anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_written_once_however_many_connections_are_made_meanwhile() {
    let server = Server::start();
    let place = Place::at(&server.uri());
    let store = place.store().await;
    store.history().await.unwrap();
    let mut changes = Vec::new();
    for n in 0..8 {
        let name = CollectionName::parse(&format!("c{n}")).unwrap();
        changes.extend(puts(&numbered(500)).into_iter().map(|change| match change {
            Change::Put { id, document, .. } => {
                Change::Put { collection: name.clone(), id, document }
            }
            other => other,
        }));
    }
    store.apply(&changes, &history(1)).await.unwrap();

    let admin = place.database().await;
    let status = admin.run_command(doc! { "serverStatus": 1 }).await.unwrap();
    let counted = status.get_document("opcounters").unwrap();
    let count = |of: &str| counted.get_i64(of).or_else(|_| counted.get_i32(of).map(i64::from));
    assert_eq!(count("insert").unwrap(), 8 * 500, "{counted:?}");
    assert!(count("update").unwrap() <= 5, "{counted:?}");
    let current = status.get_document("connections").unwrap();
    assert!(current.get_i32("totalCreated").unwrap() > 4, "several pools' worth: {current:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_history_never_precedes_the_data_after_a_crash() {
    let server = Server::start();
    let place = Place::at(&server.uri());
    for round in 0..3_u64 {
        let store = place.store().await;
        let begun = store.history().await.unwrap().applied.map_or(0, |applied| applied.0);
        let deadline = Instant::now() + Duration::from_millis(150 + 70 * round);
        let mut last = begun;
        while Instant::now() < deadline {
            last += 1;
            store.apply(&[put(&one(last as i64))], &history(last)).await.unwrap();
        }
        server.kill();
        server.start_again();
        let stored = store.history().await.unwrap().applied.map_or(0, |applied| applied.0);
        assert!(stored <= last);
        let n = everything(&store).await.first().and_then(|it| it.get("n")?.as_integer());
        assert!(n.unwrap_or(0) >= stored as i64, "history {stored}, data {n:?}");
    }
}

/// The server may lose what it has not synced; here that is brought about past the adapter.
#[tokio::test]
async fn server_that_comes_back_with_less_is_noticed_before_anything_counts() {
    let place = Place::new();
    let direct = MongoSettings::new(&place.uri, &place.name);
    let target = place.uri.strip_prefix("mongodb://").unwrap().parse().unwrap();
    let proxy = Proxy::start(target).await;
    let settings = MongoSettings { uri: format!("mongodb://{}", proxy.address()), ..direct };
    let store = MongoStore::connect(settings).await.unwrap();
    for applied in 1..=3 {
        store.apply(&[put(&one(applied))], &history(applied as u64)).await.unwrap();
    }
    set_back(&place, &history(2)).await;
    proxy.reset_once();

    let read = patiently(async || store.find(&Query::all(things()), PLENTY).await).await;
    assert!(matches!(read, Err(StoreError::FellBack)), "{read:?}");
    let applied = patiently(async || store.apply(&[put(&one(4))], &history(4)).await).await;
    assert!(matches!(applied, Err(StoreError::FellBack)), "{applied:?}");
    assert!(matches!(store.check().await, Err(StoreError::FellBack)));
    assert_eq!(store.history().await.unwrap(), history(2));
    store.check().await.unwrap();
    for applied in 3..=4 {
        let change = put(&one(applied));
        let next = history(applied as u64);
        patiently(async || store.apply(slice::from_ref(&change), &next).await).await.unwrap();
    }
    assert_eq!(everything(&store).await, [one(4)]);
}

/// Something else may have changed the history in the middle of a life of the server too.
#[tokio::test]
async fn history_is_only_written_over_the_one_that_was_seen() {
    let place = Place::new();
    let store = place.store().await;
    for applied in 1..=3 {
        store.apply(&[put(&one(applied))], &history(applied as u64)).await.unwrap();
    }
    set_back(&place, &history(2)).await;
    let applied = store.apply(&[put(&one(4))], &history(4)).await;
    assert!(matches!(applied, Err(StoreError::FellBack)), "{applied:?}");
    assert_eq!(store.history().await.unwrap(), history(2));
}

/// With the journal whoever waits for changes waits for the disk, which has them with their history.
#[tokio::test]
async fn changes_are_told_to_be_visible_before_their_history_unless_there_is_a_journal() {
    for journal in [false, true] {
        let place = Place::new();
        let settings = MongoSettings { journal, ..place.settings() };
        let store = MongoStore::connect(settings).await.unwrap();
        store.apply(&[put(&one(1))], &history(1)).await.unwrap();
        set_back(&place, &history(0)).await;
        let is_told = AtomicBool::new(false);
        let tell = || is_told.store(true, Ordering::SeqCst);
        let applied = store.apply_telling(&[put(&one(2))], &history(2), &tell).await;
        assert!(matches!(applied, Err(StoreError::FellBack)), "{applied:?}");
        assert_eq!(is_told.load(Ordering::SeqCst), !journal);
    }
}

/// Puts an older history in the place of the one that is stored, past the adapter.
async fn set_back(place: &Place, history: &History) {
    let notes = place.database().await.collection::<BsonDocument>("_rideshare");
    let text = serde_json::to_string(history).unwrap();
    notes.update_one(doc! {}, doc! { "$set": { "history": text } }).await.unwrap();
}

/// Again while the connections that were broken are still to be found so.
async fn patiently<T>(
    mut attempt: impl AsyncFnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match attempt().await {
            Err(StoreError::Unavailable(_)) if Instant::now() < deadline => {}
            other => return other,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_that_was_given_up_never_undoes_a_later_one() {
    let place = Place::new();
    let store = place.store().await;
    for round in 0..3_u64 {
        store.apply(&puts(&numbered(4_900)), &history(1)).await.unwrap();
        // The server goes on deleting, and would come to a document that is stored meanwhile.
        let delete = |id: DocumentId| Change::Delete { collection: things(), id };
        let mut deletes: Vec<_> = (0..4_900_i64).map(|id| delete(id.into())).collect();
        deletes.push(delete("late".into()));
        let unfinished = history(2);
        let applying = store.apply(&deletes, &unfinished);
        let given_up = tokio::time::timeout(Duration::from_millis(20 + 20 * round), applying).await;
        assert!(given_up.is_err(), "the server was too fast to be given up");
        let late = Document::new().with_id("late".into());
        store.apply(&[put(&late)], &history(3)).await.unwrap();
        let is_there =
            async || store.get(&things(), &["late".into()]).await.unwrap() == [late.clone()];
        assert!(is_there().await, "round {round}, at once");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(is_there().await, "round {round}, later");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspended_server_is_unavailable_within_bounds_and_comes_back() {
    let server = Server::start();
    let place = Place::at(&server.uri());
    let second = Duration::from_secs(1);
    let settings =
        MongoSettings { query_timeout: second, write_timeout: second, ..place.settings() };
    let store = MongoStore::connect(settings).await.unwrap();
    store.apply(&[put(&one(1))], &history(1)).await.unwrap();
    server.suspend();
    let start = Instant::now();
    let written = store.apply(&[put(&one(2))], &history(2)).await;
    let read = store.history().await;
    let elapsed = start.elapsed();
    server.resume();
    assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(elapsed < Duration::from_secs(7), "{elapsed:?}");
    let recovered = async { while store.apply(&[put(&one(3))], &history(3)).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(15), recovered).await.unwrap();
    assert_eq!(everything(&store).await, [one(3)]);
}

#[tokio::test]
async fn query_over_its_time_is_told_apart_from_a_server_that_is_away() {
    let place = Place::new();
    let store = place.store().await;
    store.apply(&puts(&numbered(50_000)), &history(1)).await.unwrap();
    let settings = MongoSettings { query_timeout: Duration::from_millis(1), ..place.settings() };
    let hasty = MongoStore::connect(settings).await.unwrap();
    let sort = vec![("text".to_owned(), rideshare::domain::query::SortOrder::Ascending)];
    let query = Query { sort, ..Query::all(things()) };
    let found = hasty.find(&query, PLENTY).await;
    assert!(matches!(found, Err(StoreError::TimedOut)), "{:?}", found.err());
    let counted = hasty.count(&query).await;
    assert!(matches!(counted, Err(StoreError::TimedOut)), "{counted:?}");
    let values = hasty.distinct(&things(), &Filter::all(), "text", PLENTY).await;
    assert!(matches!(values, Err(StoreError::TimedOut)), "{values:?}");
}

#[tokio::test]
async fn damaged_history_is_refused_and_not_taken_for_a_new_database() {
    let place = Place::new();
    let store = place.store().await;
    store.apply(&[put(&one(1))], &history(1)).await.unwrap();
    let state = place.database().await.collection::<BsonDocument>("_rideshare");
    for damaged in [
        doc! { "history": 7 },
        doc! { "history": { "applied": 1 } },
        doc! { "history": r#"{"log_id":"x","terms":[],"applied":-4}"# },
        doc! { "copying": ["x"] },
    ] {
        state.replace_one(doc! {}, damaged.clone()).await.unwrap();
        let store = place.store().await;
        let told = store.history().await;
        assert!(matches!(told, Err(StoreError::Internal(_))), "{damaged}: {told:?}");
        let applied = store.apply(&[put(&one(2))], &history(2)).await;
        assert!(matches!(applied, Err(StoreError::Internal(_))), "{damaged}: {applied:?}");
    }
    let kept = place.database().await.collection::<BsonDocument>("things");
    assert_eq!(kept.count_documents(doc! {}).await.unwrap(), 1);
}

#[tokio::test]
async fn copy_of_itself_is_refused_and_harms_nothing() {
    let place = Place::new();
    let store = place.store().await;
    store.apply(&[put(&one(1))], &history(1)).await.unwrap();
    for address in [
        store.address(),
        // By another name of the host.
        DatabaseAddress::new(store.address().as_str().replace("127.0.0.1", "localhost")),
    ] {
        let copied = store.copy_from(&address).await;
        assert!(matches!(copied, Err(StoreError::Internal(_))), "{copied:?}");
        assert_eq!(everything(&store).await, [one(1)]);
        assert_eq!(store.history().await.unwrap(), history(1));
    }
}
