//! The workers' databases as MongoDB holds them, past every part of the program.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use serde_json::Value;

use crate::orchestrator::eventually;

/// The collection of a worker's own notes, and the field of the history in it.
const NOTES: &str = "_rideshare";
/// How long workers may take to reach the same place once nobody writes any more.
const LEVEL_LIMIT: Duration = Duration::from_secs(30);

/// Everything in one database.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) name: String,
    /// The log that it was made from, its epochs, and how far it has applied it.
    pub(crate) history: String,
    /// Documents by collection, in the order of their ids, and the names of the indexes.
    pub(crate) collections: BTreeMap<String, (Vec<RawDocumentBuf>, Vec<String>)>,
}

impl Replica {
    /// How far it has applied the log.
    pub(crate) fn offset(&self) -> u64 {
        let history: Value = serde_json::from_str(&self.history).unwrap();
        history["applied"].as_u64().unwrap()
    }

    pub(crate) fn documents(&self, collection: &str) -> &[RawDocumentBuf] {
        self.collections.get(collection).map_or(&[], |(documents, _)| documents)
    }
}

/// A system whose workers' databases can be looked into.
pub(crate) trait Replicated {
    /// The databases of all workers, at the same place in the log. Nothing may be written meanwhile.
    async fn replicas(&self) -> Vec<Replica>;
}

/// Where a database is.
pub(crate) async fn open(uri: &str, name: &str) -> Database {
    mongodb::Client::with_uri_str(uri).await.unwrap().database(name)
}

/// Waits until these databases stand at the same place in the log.
pub(crate) async fn level(databases: &[Database]) {
    eventually("replicas at one offset", LEVEL_LIMIT, async || {
        let mut histories = Vec::new();
        for database in databases {
            histories.push(history(database).await?);
        }
        histories.iter().all(|it| *it == histories[0]).then_some(())
    })
    .await;
}

/// Reads all of these databases.
pub(crate) async fn read(databases: &[Database]) -> Vec<Replica> {
    let mut replicas = Vec::new();
    for database in databases {
        replicas.push(read_one(database).await);
    }
    replicas
}

/// Asserts invariant I5: at the same offset, all hold equal data.
pub(crate) fn assert_equal(replicas: &[Replica]) {
    let (first, others) = replicas.split_first().unwrap();
    assert!(!others.is_empty(), "there is something to compare");
    for other in others {
        let pair = (&first.name, &other.name);
        assert_eq!(first.history, other.history, "{pair:?} stand at one place");
        let names = |replica: &Replica| replica.collections.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(first), names(other), "{pair:?} have the same collections");
        for (name, (documents, indexes)) in &first.collections {
            let (others, other_indexes) = &other.collections[name];
            assert_eq!(indexes, other_indexes, "{pair:?} have the same indexes of {name}");
            let differ = documents.iter().zip(others).find(|(one, another)| one != another);
            assert_eq!(differ, None, "{pair:?} hold the same in {name}");
            assert_eq!(documents.len(), others.len(), "{pair:?} hold as much in {name}");
        }
    }
}

async fn history(database: &Database) -> Option<String> {
    let notes = database.collection::<Document>(NOTES).find_one(doc! {}).await.unwrap()?;
    Some(notes.get_str("history").ok()?.to_owned())
}

async fn read_one(database: &Database) -> Replica {
    let mut collections = BTreeMap::new();
    for name in database.list_collection_names().await.unwrap() {
        if name == NOTES {
            continue;
        }
        let collection = database.collection::<RawDocumentBuf>(&name);
        let found = collection.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
        let documents = found.try_collect().await.unwrap();
        let mut indexes = collection.list_index_names().await.unwrap();
        indexes.sort();
        collections.insert(name, (documents, indexes));
    }
    let history = history(database).await.expect("it has applied something");
    Replica { name: database.name().to_owned(), history, collections }
}
