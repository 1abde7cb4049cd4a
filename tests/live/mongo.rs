//! The MongoDB adapter on a real server, whose URI stands in `RIDESHARE_MONGODB__URL`.

#[path = "../support/generators.rs"]
mod generators;

mod differential;
mod faults;
mod measures;
pub(crate) mod server;

use mongodb::{Client, Database};
use rideshare::adapters::mongo::{MongoSettings, MongoStore};
use rideshare::domain::document::{CollectionName, Document, Value};
use rideshare::domain::ids::Offset;
use rideshare::domain::log::{Change, History};
use std::sync::Arc;
use uuid::Uuid;

/// A database that no other test uses. Dropped at the end of the test, also of one that fails.
struct Place {
    uri: String,
    name: String,
}

impl Place {
    fn new() -> Self {
        let uri = std::env::var("RIDESHARE_MONGODB__URL")
            .expect("RIDESHARE_MONGODB__URL names the server to test on");
        Self::at(&uri)
    }

    fn at(uri: &str) -> Self {
        Self { uri: uri.to_owned(), name: format!("live-{}", Uuid::now_v7().simple()) }
    }

    fn settings(&self) -> MongoSettings {
        MongoSettings::new(&self.uri, &self.name)
    }

    async fn store(&self) -> MongoStore {
        MongoStore::connect(self.settings()).await.unwrap()
    }

    /// The database past the adapter.
    async fn database(&self) -> Database {
        Client::with_uri_str(&self.uri).await.unwrap().database(&self.name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (uri, name) = (self.uri.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                if let Ok(client) = Client::with_uri_str(uri).await {
                    let _ = client.database(&name).drop().await;
                }
            });
        });
        let _ = dropping.join();
    }
}

pub(crate) fn things() -> CollectionName {
    CollectionName::parse("things").unwrap()
}

fn put(document: &Document) -> Change {
    let id = document.id().expect("the document has a key");
    Change::Put { collection: things(), id, document: Arc::new(document.clone()) }
}

fn puts(documents: &[Document]) -> Vec<Change> {
    documents.iter().map(put).collect()
}

pub(crate) fn history(applied: u64) -> History {
    History { applied: Some(Offset(applied)), ..History::default() }
}

fn numbered(count: i64) -> Vec<Document> {
    let fill = |n: i64| {
        let fields = [("n", Value::from(n % 10)), ("text", "some text of some length".into())];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        Document::from_iter(fields).with_id(n.into())
    };
    (0..count).map(fill).collect()
}
