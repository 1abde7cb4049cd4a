//! Clients: they write and read, each one thing after the other, and judge what they are told.

use std::sync::Arc;
use std::time::Duration;

use rideshare::domain::document::{CollectionName, Document, DocumentId, Value};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::{Offset, RequestId};
use rideshare::domain::message::ReadResult;
use rideshare::domain::outcome::Outcome;
use rideshare::domain::query::Query;
use rideshare::domain::request::native::parse_write;
use rideshare::domain::request::{
    Acknowledgement, Consistency, ReadOperation, ReadShape, WriteOperation,
};
use rideshare::roles::orchestrator::gateway::{Gateway, GatewayError, WriteOptions, Written};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;
use crate::oracle::reads::Read;
use crate::world::World;

/// Documents that the clients share, in each collection.
const IDS: u64 = 6;
const COLLECTIONS: [&str; 2] = ["users", "rides"];
/// A client gives up this much later than the database should have.
const EXTRA: Duration = Duration::from_secs(5);

pub(crate) struct Client {
    cluster: Arc<Cluster>,
    world: Arc<World>,
    number: u64,
    operations: u64,
    /// How many histories were given up when it began what it does.
    given_up: u64,
    /// The newest state that it knows of.
    token: Option<Offset>,
    /// The last value that it saw of any document, for compare-and-set.
    seen: Option<(&'static str, i64, i64)>,
}

impl Client {
    pub(crate) fn new(cluster: &Arc<Cluster>, number: u64) -> Self {
        let (cluster, world) = (Arc::clone(cluster), Arc::clone(&cluster.world));
        Self { cluster, world, number, operations: 0, given_up: 0, token: None, seen: None }
    }

    /// Works until the faults are over. Returns how many operations it carried out.
    pub(crate) async fn run(mut self) -> u64 {
        while !self.world.is_calm() {
            sleep(self.world.dice.up_to_ms(self.world.plan.think_ms)).await;
            self.operate().await;
        }
        self.operations
    }

    async fn operate(&mut self) {
        self.operations += 1;
        // What it knew of a history that was given up means nothing in the next one.
        let given_up = self.world.oracle().histories_given_up();
        if given_up != self.given_up {
            (self.given_up, self.token) = (given_up, None);
        }
        if self.world.dice.chance(550) { self.write().await } else { self.read().await }
    }

    fn note(&self, what: &str, detail: impl FnOnce() -> String) {
        self.world.note(&format!("client-{}", self.number), what, detail);
    }

    fn gateway(&self) -> Option<Gateway> {
        let fronts = self.cluster.fronts();
        self.world.dice.pick(&fronts).map(|front| front.handle.gateway.clone())
    }

    fn collection(&self) -> &'static str {
        self.world.dice.pick(&COLLECTIONS).copied().unwrap_or(COLLECTIONS[0])
    }

    fn id(&self) -> i64 {
        self.world.dice.below(IDS) as i64
    }

    fn single(&self, collection: &str) -> serde_json::Value {
        let (dice, id) = (&self.world.dice, self.id());
        let value = format!("{}.{}", self.number, self.operations);
        match dice.below(6) {
            0 | 1 => json!({"op": "insert", "collection": collection,
                "documents": [{"_id": id, "n": 0, "value": value}]}),
            2 => json!({"op": "replace", "collection": collection,
                "document": {"_id": id, "n": 0, "value": value}, "upsert": dice.chance(500)}),
            3 => json!({"op": "delete", "collection": collection, "filter": {"_id": id}}),
            _ => json!({"op": "update", "collection": collection, "filter": {"_id": id},
                "update": {"$inc": {"n": 1}}, "upsert": dice.chance(300), "return": "after"}),
        }
    }

    fn draw_write(&self) -> serde_json::Value {
        let (dice, collection) = (&self.world.dice, self.collection());
        match dice.below(20) {
            0 => json!({"op": "clear", "collections": [collection]}),
            1 => json!({"op": "index", "collection": collection, "field": "n"}),
            2 => json!({"op": "update", "collection": collection, "filter": {"n": {"$lt": 3}},
                "update": {"$inc": {"n": 1}}, "many": true}),
            3 => json!({"op": "delete", "collection": collection, "filter": {"n": {"$gt": 5}},
                "many": dice.chance(500)}),
            4 | 5 => {
                let many = dice.between(2, 4);
                let operations: Vec<_> = (0..many).map(|_| self.single(collection)).collect();
                json!({"op": "batch", "operations": operations})
            }
            6..=9 => match self.seen {
                Some((collection, id, n)) => json!({"op": "update", "collection": collection,
                    "filter": {"_id": id, "n": n}, "update": {"$set": {"n": n + 1}}}),
                None => self.single(collection),
            },
            _ => self.single(collection),
        }
    }

    async fn write(&mut self) {
        let body = self.draw_write();
        let fresh = self.world.unique();
        let operation =
            Value::from_json(body.clone()).map_err(|it| it.to_string()).and_then(|it| {
                parse_write(it, &mut || DocumentId::from(fresh.as_str()))
                    .map_err(|it| it.to_string())
            });
        let operation = match operation {
            Ok(operation) => operation,
            Err(error) => return self.world.require(Err(format!("{body}: {error}"))),
        };
        let dice = &self.world.dice;
        let key = dice.chance(600).then(|| format!("{}-{}", self.number, self.operations));
        let acknowledgement = match dice.below(10) {
            0 | 1 => Acknowledgement::Logged,
            2 => Acknowledgement::Replicas(1),
            _ => Acknowledgement::Applied,
        };
        self.note("writes", || format!("{key:?} {body}"));
        // Without a key nobody may try again what may have happened.
        let tries = if key.is_some() { dice.between(1, 4) } else { 1 };
        for _ in 0..tries {
            let answer = self.write_once(&operation, key.clone(), acknowledgement).await;
            self.note("is told", || format!("{answer:?}"));
            if self.is_overtaken() {
                return;
            }
            match answer {
                Some(Ok(written)) => {
                    self.judge_write(key.as_deref(), &written);
                    break;
                }
                Some(Err(GatewayError::ReplicasMissing { offset, .. })) => {
                    self.learn(offset);
                    break;
                }
                Some(Err(_)) | None => {}
            }
            // Sometimes at once, so that both are under way.
            sleep(self.world.dice.up_to_ms(200)).await;
        }
    }

    async fn write_once(
        &self,
        operation: &WriteOperation,
        idempotency_key: Option<String>,
        acknowledgement: Acknowledgement,
    ) -> Option<Result<Written, GatewayError>> {
        let limit = Duration::from_millis(self.world.dice.between(200, 8_000));
        let options = WriteOptions { idempotency_key, acknowledgement, timeout: limit };
        let gateway = self.gateway()?;
        let writing = gateway.write(operation.clone(), options);
        // An orchestrator that died does not even say that time is up.
        timeout(limit + EXTRA, writing).await.ok()
    }

    fn learn(&mut self, offset: Offset) {
        self.token = self.token.max(Some(offset));
        self.world.oracle().confirm(offset);
    }

    /// Whether answers that come now may be of a history that was given up meanwhile.
    fn is_overtaken(&self) -> bool {
        self.given_up != self.world.oracle().histories_given_up()
    }

    fn judge_write(&mut self, key: Option<&str>, written: &Written) {
        if matches!(&written.outcome, Outcome::Refused(it) if !it.is_for_the_record()) {
            return;
        }
        self.learn(written.offset);
        let Some(key) = key else { return };
        let id = RequestId::new(format!("key:{key}"));
        let recorded = self.world.oracle().outcomes(&id).to_vec();
        if !recorded.contains(&(written.offset, written.outcome.clone())) {
            let what = format!("I2: key {key} is answered {written:?}, recorded is {recorded:?}");
            self.world.require(Err(what));
        }
    }

    async fn read(&mut self) {
        let dice = &self.world.dice;
        let (name, id) = (self.collection(), self.id());
        let Ok(collection) = CollectionName::parse(name) else { return };
        let one = dice.chance(800);
        let id = DocumentId::Integer(id);
        let filter = if one { Filter::by_id(id.clone()) } else { Filter::all() };
        let query = Query { filter, ..Query::all(collection.clone()) };
        let (consistency, least) = match (dice.below(3), self.token) {
            (0, Some(token)) => (Consistency::Session(token), Some(token)),
            (1, _) => (Consistency::Strong, self.world.oracle().confirmed()),
            _ => (Consistency::Eventual, None),
        };
        let operation = ReadOperation { query, shape: ReadShape::Documents, consistency };
        self.note("reads", || format!("{name} {:?} {consistency:?}", one.then_some(&id)));
        let limit = Duration::from_millis(dice.between(200, 8_000));
        let Some(gateway) = self.gateway() else { return };
        let answer = timeout(limit + EXTRA, gateway.read(operation, limit)).await;
        self.note("reads it", || format!("{answer:?}"));
        if self.is_overtaken() {
            return;
        }
        let Ok(Ok(answer)) = answer else { return };
        let ReadResult::Documents(found) = answer.result else { return };
        let least = least.max(Some(answer.offset));
        let read = if one { Read::One(&id) } else { Read::All };
        let verdict = self.world.oracle().check_read(&collection, &read, &found, least);
        match verdict {
            Ok(place) => {
                if let (Consistency::Strong, Some(place)) = (consistency, place) {
                    self.world.oracle().confirm(place);
                }
            }
            Err(what) => self.world.require(Err(format!("I6: {consistency:?}: {what}"))),
        }
        if let Consistency::Session(token) = consistency
            && answer.offset < token
        {
            self.world.require(Err(format!("I6: {token} was asked, {} is given", answer.offset)));
        }
        self.token = self.token.max(Some(answer.offset));
        self.remember(name, found.first());
    }

    fn remember(&mut self, collection: &'static str, document: Option<&Document>) {
        let Some(document) = document else { return };
        let number = document.get("n").and_then(Value::as_integer);
        if let (Some(DocumentId::Integer(id)), Some(number)) = (document.id(), number) {
            self.seen = Some((collection, id, number));
        }
    }
}
