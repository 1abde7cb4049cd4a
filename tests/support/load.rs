//! A steady mixed load of many clients, each with a connection of its own, recorded as a history.
//!
//! Every write shows what it found or left, so that the history can be checked exactly; see
//! `consistency`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Client;
use rideshare::adapters::http_client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::history::{Kind, Operation, Outcome, Recorder};

/// Where it writes.
pub(crate) const COLLECTIONS: [&str; 3] = ["inserts", "counters", "registers"];
/// Counters, and registers, that all clients share.
const SHARED: u64 = 16;
/// What a client waits for at the most. The database gives up before that, at its own deadline.
const PATIENCE: Duration = Duration::from_secs(15);
/// The deadline that the database is given, in milliseconds.
const DEADLINE_MS: &str = "10000";
/// A client whose last outcome is unknown goes on under a number this much higher.
const NEXT_LIFE: u64 = 1_000_000;

/// How much load there is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strength {
    pub(crate) connections: u64,
    /// Between an answer and the client's next request.
    pub(crate) think: Duration,
}

/// 64 connections: about 160 requests a second, as this is about faults, not about throughput.
pub(crate) const STEADY: Strength = Strength { connections: 64, think: Duration::from_millis(400) };

/// Clients at work.
pub(crate) struct Load {
    pub(crate) recorder: Arc<Recorder>,
    stop: CancellationToken,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts the clients, all on the orchestrator at this address.
    pub(crate) fn start(url: &str, strength: Strength, file: &Path) -> Self {
        let recorder = Arc::new(Recorder::create(file));
        let (stop, numbers) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for number in 0..strength.connections {
            let client = LoadClient {
                http: http_client::builder(Path::new(""))
                    .unwrap()
                    .timeout(PATIENCE)
                    .build()
                    .unwrap(),
                url: url.to_owned(),
                number,
                round: number,
                numbers: Arc::clone(&numbers),
                recorder: Arc::clone(&recorder),
                written: None,
            };
            clients.spawn(client.run(strength.think, stop.clone()));
        }
        Self { recorder, stop, clients }
    }

    /// Lets every client finish what it waits for.
    pub(crate) async fn finish(self) {
        self.stop.cancel();
        self.clients.join_all().await;
    }
}

struct LoadClient {
    http: Client,
    url: String,
    number: u64,
    round: u64,
    /// Where the ids and values come from that nobody else uses.
    numbers: Arc<AtomicU64>,
    recorder: Arc<Recorder>,
    /// The document of the last known write, and its offset.
    written: Option<(String, u64)>,
}

/// A request and how its answer is to be read.
struct Asked {
    kind: Kind,
    key: String,
    argument: Value,
    path: &'static str,
    body: Value,
    min_offset: Option<u64>,
}

impl LoadClient {
    async fn run(mut self, think: Duration, stop: CancellationToken) {
        // Not all at once.
        let first = think * u32::try_from(self.number % 16).unwrap() / 16;
        tokio::time::sleep(first).await;
        while !stop.is_cancelled() {
            self.round += 1;
            let asked = self.choose();
            self.ask(asked).await;
            tokio::time::sleep(think).await;
        }
    }

    /// Six writes, two strong reads and two session reads, in turn.
    fn choose(&self) -> Asked {
        let shared = (self.number + self.round / 3) % SHARED;
        match self.round % 10 {
            0 | 4 | 7 => self.insert(),
            1 | 5 => increment(shared),
            2 => self.swap(shared),
            3 => read(format!("counters/{shared}"), None),
            6 => read(format!("registers/{shared}"), None),
            _ => match &self.written {
                Some((key, offset)) => read(key.clone(), Some(*offset)),
                None => self.insert(),
            },
        }
    }

    fn unique(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn insert(&self) -> Asked {
        let id = self.unique();
        let document = json!({ "_id": id, "v": id });
        let body = json!({ "op": "insert", "collection": "inserts", "documents": [document] });
        write(Kind::Insert, format!("inserts/{id}"), json!(id), body)
    }

    fn swap(&self, id: u64) -> Asked {
        let value = self.unique();
        let body = update("registers", id, json!({ "$set": { "v": value } }), "before");
        write(Kind::Swap, format!("registers/{id}"), json!(value), body)
    }

    async fn ask(&mut self, asked: Asked) {
        let sent_us = self.recorder.now_us();
        let request = self
            .http
            .post(format!("{}{}", self.url, asked.path))
            .header("X-Request-Timeout-Ms", DEADLINE_MS)
            .body(asked.body.to_string());
        let (status, body) = match request.send().await {
            Err(error) => (0, json!(format!("{error:?}"))),
            Ok(response) => {
                let status = response.status().as_u16();
                (status, response.json().await.unwrap_or_default())
            }
        };
        let answered_us = self.recorder.now_us();
        let result = result(asked.kind, status, &body);
        let outcome = match (&result, status) {
            (Some(_), _) => Outcome::Known,
            // What is no answer of the database at all, or says so itself.
            (None, 0 | 504) if asked.kind.writes() => Outcome::Unknown,
            (None, _) => Outcome::Refused,
        };
        let offset = body["offset"].as_u64();
        if let (Outcome::Known, Some(offset), true) = (outcome, offset, asked.kind.writes()) {
            self.written = Some((asked.key.clone(), offset));
        }
        self.recorder.record(Operation {
            client: self.number,
            kind: asked.kind,
            key: asked.key,
            argument: asked.argument,
            outcome,
            error: result.is_none().then(|| format!("{status} {body}")),
            result: result.unwrap_or_default(),
            sent_us,
            answered_us,
            offset,
            min_offset: asked.min_offset,
        });
        if outcome == Outcome::Unknown {
            self.number += NEXT_LIFE;
        }
    }
}

fn write(kind: Kind, key: String, argument: Value, body: Value) -> Asked {
    Asked { kind, key, argument, path: "/api/v1/db/write", body, min_offset: None }
}

fn increment(id: u64) -> Asked {
    let body = update("counters", id, json!({ "$inc": { "v": 1 } }), "after");
    write(Kind::Increment, format!("counters/{id}"), json!(1), body)
}

fn update(collection: &str, id: u64, change: Value, returned: &str) -> Value {
    json!({
        "op": "update", "collection": collection, "filter": { "_id": id }, "update": change,
        "upsert": true, "return": returned,
    })
}

/// A strong read, or one in the session of this offset.
fn read(key: String, min_offset: Option<u64>) -> Asked {
    let (collection, id) = key.split_once('/').unwrap();
    let id: u64 = id.parse().unwrap();
    let kind = if min_offset.is_some() { Kind::SessionRead } else { Kind::Read };
    let consistency = if min_offset.is_some() { "session" } else { "strong" };
    let body = json!({
        "collection": collection, "filter": { "_id": id }, "consistency": consistency,
        "min_offset": min_offset,
    });
    Asked { kind, key, argument: Value::Null, path: "/api/v1/db/read", body, min_offset }
}

/// What an answer says, if it is one.
fn result(kind: Kind, status: u16, body: &Value) -> Option<Value> {
    let value = || body["documents"][0]["v"].clone();
    match (kind, status) {
        (Kind::Insert, 201) => Some(json!(true)),
        (Kind::Insert, 409) => Some(json!(false)),
        (Kind::Increment | Kind::Swap | Kind::Read | Kind::SessionRead, 200) => Some(value()),
        _ => None,
    }
}
