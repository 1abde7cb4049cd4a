//! The system under test: where its services are.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Client;
use rideshare::adapters::http_client;
use serde_json::{Value, json};

use super::client::{Answer, Service};

/// Where a system that runs already is, for whoever tests it: JSON such as
/// `{"orchestrator":"http://127.0.0.1:8090","users":"http://127.0.0.1:8080","rides":"http://127.0.0.1:8000"}`.
/// `users` and `rides` may also be lists, of all instances.
pub(crate) const TARGET_VARIABLE: &str = "RIDESHARE_TEST_TARGET";

/// How long anything may take that the system does by itself. Reached in failures only.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

fn two(instances: &[Service]) -> [&Service; 2] {
    if instances.len() == 1 {
        eprintln!("ONE INSTANCE ONLY: {} stands for two", instances[0].url);
    }
    [&instances[0], instances.last().unwrap_or(&instances[0])]
}

/// The addresses of one system; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) database: Service,
    /// All instances; at least one.
    pub(crate) all_users: Vec<Service>,
    /// All instances; at least one.
    pub(crate) all_rides: Vec<Service>,
}

impl Target {
    /// A client with more patience than any request may take.
    pub(crate) fn client() -> Client {
        http_client::builder(Path::new(""))
            .unwrap()
            .timeout(Duration::from_secs(70))
            .build()
            .unwrap()
    }

    pub(crate) fn new(client: &Client, database: &str, users: &[String], rides: &[String]) -> Self {
        assert!(!users.is_empty() && !rides.is_empty(), "each service has an instance");
        let all = |urls: &[String]| urls.iter().map(|url| Service::new(client, url)).collect();
        let database = Service::new(client, database);
        Self { database, all_users: all(users), all_rides: all(rides) }
    }

    /// The system that [`TARGET_VARIABLE`] names, if it does.
    pub(crate) fn from_environment() -> Option<Self> {
        let text = std::env::var(TARGET_VARIABLE).ok()?;
        let target: Value = serde_json::from_str(&text).expect("RIDESHARE_TEST_TARGET is JSON");
        let urls = |name: &str| match &target[name] {
            Value::String(url) => vec![url.clone()],
            Value::Array(urls) => urls.iter().map(|url| url.as_str().unwrap().to_owned()).collect(),
            other => panic!("RIDESHARE_TEST_TARGET: {name} is {other}"),
        };
        let (database, users, rides) = (urls("orchestrator"), urls("users"), urls("rides"));
        Some(Self::new(&Self::client(), &database[0], &users, &rides))
    }

    /// The first instance.
    pub(crate) fn users(&self) -> &Service {
        &self.all_users[0]
    }

    /// The first instance.
    pub(crate) fn rides(&self) -> &Service {
        &self.all_rides[0]
    }

    /// Two instances. One that stands for both shows less, and it is said.
    pub(crate) fn two_users(&self) -> [&Service; 2] {
        two(&self.all_users)
    }

    /// Two instances. One that stands for both shows less, and it is said.
    pub(crate) fn two_rides(&self) -> [&Service; 2] {
        two(&self.all_rides)
    }

    /// Empties users and rides, and begins to count anew.
    pub(crate) async fn reset(&self) {
        let cleared = self.database.post("/api/v1/db/clear", &json!({})).await;
        assert_eq!(cleared.status, 200, "{cleared:?}");
        for service in self.all_users.iter().chain(&self.all_rides) {
            let reset = service.delete("/api/v1/_count").await;
            assert_eq!(reset.status, 200, "{reset:?}");
        }
    }

    pub(crate) async fn insert(&self, collection: &str, documents: Value) -> Answer {
        let body = json!({ "op": "insert", "collection": collection, "documents": documents });
        self.database.post("/api/v1/db/write", &body).await
    }

    /// A linearizable read of documents.
    pub(crate) async fn find(&self, collection: &str, filter: Value) -> Vec<Value> {
        let body = json!({
            "collection": collection, "filter": filter, "consistency": "strong", "limit": 10_000,
        });
        let answer = self.database.post("/api/v1/db/read", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["documents"].as_array().unwrap().clone()
    }

    /// The id of the ride that was made last.
    pub(crate) async fn newest_ride(&self) -> u64 {
        let rides = self.find("rides", json!({})).await;
        rides.iter().map(|ride| ride["_id"].as_u64().unwrap()).max().unwrap()
    }

    /// How many slaves serve.
    pub(crate) async fn slaves(&self) -> usize {
        let workers = self.database.get("/api/v1/workers").await.body;
        workers.as_array().unwrap().iter().filter(|it| it["role"] == "slave").count()
    }

    /// Waits until there are a master and at least so many slaves, nobody else, and no dead.
    pub(crate) async fn settle(&self, slaves: usize) {
        let started = Instant::now();
        loop {
            let workers = self.database.get("/api/v1/workers").await.body;
            let workers = workers.as_array().unwrap();
            let with = |role: &str| workers.iter().filter(|it| it["role"] == role).count();
            let serving = with("slave");
            if with("master") == 1 && serving >= slaves && workers.len() == serving + 1 {
                return;
            }
            assert!(started.elapsed() < SETTLE_LIMIT, "not settled: {workers:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
