//! The MongoDB adapter under the suite of its port. The server's URI stands in
//! `RIDESHARE_MONGODB__URL`.

#![allow(clippy::unwrap_used, reason = "a test says with it what it takes for granted")]

use std::sync::Arc;

use async_trait::async_trait;
use mongodb::Client;
use rideshare::adapters::mongo::{MongoSettings, MongoStore};
use rideshare::domain::ids::DatabaseAddress;
use rideshare::ports::store::Store;
use uuid::Uuid;

use crate::store::{StoreFactory, store_conformance};

/// Databases of one server whose names begin alike.
struct MongoFactory {
    uri: String,
    prefix: String,
}

#[async_trait]
impl StoreFactory for MongoFactory {
    async fn start() -> Self {
        let uri = std::env::var("RIDESHARE_MONGODB__URL")
            .expect("RIDESHARE_MONGODB__URL names the server to test on");
        Self { uri, prefix: format!("t{}", Uuid::now_v7().simple()) }
    }

    async fn open(&self, name: &str) -> Arc<dyn Store> {
        let settings = MongoSettings::new(&self.uri, format!("{}-{name}", self.prefix));
        Arc::new(MongoStore::connect(settings).await.unwrap())
    }

    fn missing_address(&self) -> DatabaseAddress {
        DatabaseAddress::new("mongodb://127.0.0.1:1/nothing")
    }

    async fn clean_up(self) {
        let client = Client::with_uri_str(&self.uri).await.unwrap();
        for name in client.list_database_names().await.unwrap() {
            if name.starts_with(&self.prefix) {
                client.database(&name).drop().await.unwrap();
            }
        }
    }
}

store_conformance!(MongoFactory);
