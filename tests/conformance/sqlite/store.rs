//! `SqliteStore` under the suite of the store, and its files.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rideshare::adapters::sqlite::{SqliteStore, SqliteStoreOptions};
use rideshare::domain::ids::DatabaseAddress;
use rideshare::domain::log::History;
use rideshare::domain::query::Query;
use rideshare::ports::store::{Store, StoreError};
use tempfile::TempDir;

use crate::store::{
    PLENTY, StoreFactory, all, apply, contents, doc, docs, filter, history, index, put, puts,
    store_conformance, users,
};

struct SqliteStores {
    directory: TempDir,
}

#[async_trait]
impl StoreFactory for SqliteStores {
    async fn start() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    async fn open(&self, name: &str) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.directory.path().join(name)).await.unwrap())
    }

    fn missing_address(&self) -> DatabaseAddress {
        let path = self.directory.path().join("missing");
        DatabaseAddress::new(format!("sqlite:{}", path.display()))
    }

    async fn clean_up(self) {
        self.directory.close().unwrap();
    }
}

store_conformance!(SqliteStores);

#[tokio::test]
async fn second_writer_of_a_file_is_refused_until_the_first_has_gone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("store");
    let first = SqliteStore::open(&path).await.unwrap();
    let refused = SqliteStore::open(&path).await;
    assert!(matches!(refused, Err(StoreError::Internal(_))), "{refused:?}");
    drop(first);
    SqliteStore::open(&path).await.unwrap();
}

#[tokio::test]
async fn file_that_is_no_store_is_refused_with_a_reason() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("garbage");
    std::fs::write(&path, "this is no database at all, but long enough to look at".repeat(200))
        .unwrap();
    let Err(StoreError::Internal(error)) = SqliteStore::open(&path).await else {
        panic!("garbage was opened");
    };
    assert!(format!("{error:#}").contains("not a database"), "{error:#}");

    let path = directory.path().join("log");
    drop(rideshare::adapters::sqlite::SqliteLog::open(&path, 1000).await.unwrap());
    let Err(StoreError::Internal(error)) = SqliteStore::open(&path).await else {
        panic!("a log was opened as a store");
    };
    assert!(format!("{error:#}").contains("no store"), "{error:#}");
}

#[tokio::test]
async fn damaged_file_is_an_internal_error() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("store");
    let store = SqliteStore::open(&path).await.unwrap();
    let documents: Vec<_> = (0..2000).map(|n| doc(&format!(r#"{{"_id":{n},"n":{n}}}"#))).collect();
    apply(&store, &puts(&users(), &documents), 0).await;
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(8192) {
        *byte = 0x5a;
    }
    std::fs::write(&path, bytes).unwrap();
    let error = match SqliteStore::open(&path).await {
        Ok(store) => store.find(&Query::all(users()), PLENTY).await.unwrap_err(),
        Err(error) => error,
    };
    let StoreError::Internal(error) = error else { panic!("{error:?}") };
    assert!(format!("{error:#}").contains("damaged"), "{error:#}");
}

#[tokio::test]
async fn query_over_its_time_is_ended() {
    let directory = TempDir::new().unwrap();
    let options =
        SqliteStoreOptions { query_timeout: Duration::ZERO, ..SqliteStoreOptions::default() };
    let store = SqliteStore::open_with(directory.path().join("store"), options).await.unwrap();
    apply(&store, &puts(&users(), &docs(&[r#"{"_id":1}"#])), 0).await;
    let outcome = store.find(&Query::all(users()), PLENTY).await;
    assert!(matches!(outcome, Err(StoreError::TimedOut)), "{outcome:?}");
    assert_eq!(store.history().await.unwrap(), history(0));
}

/// A file as it is in the moment that its process is killed: copied while the store lives.
#[tokio::test]
async fn store_of_a_killed_process_opens_with_everything_that_was_applied() {
    let directory = TempDir::new().unwrap();
    let [path, killed] = ["store", "killed"].map(|name| directory.path().join(name));
    let store = SqliteStore::open(&path).await.unwrap();
    apply(&store, &[index(&users(), "n")], 0).await;
    for n in 1..50 {
        apply(&store, &[put(&users(), &doc(&format!(r#"{{"_id":{n},"n":1}}"#)))], n).await;
    }
    std::fs::copy(&path, &killed).unwrap();
    let wal = |path: &std::path::Path| {
        path.with_extension("-wal").display().to_string().replace(".-", "-")
    };
    std::fs::copy(wal(&path), wal(&killed)).unwrap();

    let reopened = SqliteStore::open(&killed).await.unwrap();
    assert_eq!(reopened.history().await.unwrap(), history(49));
    assert_eq!(contents(&reopened).await, contents(&store).await);
    let query = Query { filter: filter(r#"{"n":1}"#), ..Query::all(users()) };
    assert_eq!(reopened.count(&query).await.unwrap(), 49);
}

/// As it is found when the process was killed half way through a copy.
#[tokio::test]
async fn half_of_a_copy_is_removed_when_the_store_opens() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("store");
    let store = SqliteStore::open(&path).await.unwrap();
    apply(&store, &puts(&users(), &docs(&[r#"{"_id":1}"#])), 3).await;
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("DELETE FROM meta", []).unwrap();
    connection.execute("INSERT INTO meta (name, value) VALUES ('copying', x'')", []).unwrap();
    drop(connection);

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(all(&store, &users()).await, []);
    assert_eq!(store.history().await.unwrap(), History::default());
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let left: i64 =
        connection.query_row("SELECT count(*) FROM meta", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn copy_of_itself_is_refused_and_harms_nothing() {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(directory.path().join("store")).await.unwrap();
    let documents = docs(&[r#"{"_id":1}"#]);
    apply(&store, &puts(&users(), &documents), 0).await;
    store.copy_from(&store.address()).await.unwrap_err();
    assert_eq!(all(&store, &users()).await, documents);
}

/// The handle stays good after its copy was cut off, without being opened again.
#[tokio::test]
async fn store_can_be_used_on_after_its_copy_was_cut_off() {
    let directory = TempDir::new().unwrap();
    let [source, copy] = ["source", "copy"].map(|name| directory.path().join(name));
    let source = SqliteStore::open(source).await.unwrap();
    let text = "some text of some length ".repeat(8);
    let fill = |n| doc(&format!(r#"{{"_id":{n},"text":"{text}"}}"#));
    apply(&source, &puts(&users(), &(0..20_000).map(fill).collect::<Vec<_>>()), 1).await;
    let copy = SqliteStore::open(copy).await.unwrap();
    let address = source.address();
    let copying = copy.copy_from(&address);
    tokio::time::timeout(Duration::from_millis(5), copying).await.unwrap_err();
    // Nobody ever sees half of it.
    loop {
        match copy.collections().await {
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            seen => break assert_eq!(seen.unwrap(), []),
        }
    }
    let documents = docs(&[r#"{"_id":1}"#]);
    apply(&copy, &puts(&users(), &documents), 2).await;
    assert_eq!(all(&copy, &users()).await, documents);
    assert_eq!(copy.history().await.unwrap(), history(2));
}
