//! The bodies of the database's interface. They are read by `domain::request` and written by
//! [`super::super::render`]; these types only describe them.
#![expect(dead_code, reason = "describes bodies that are read and written elsewhere")]

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::{IntoParams, ToSchema};

/// The name of a collection.
#[derive(Deserialize, ToSchema)]
#[schema(pattern = "^[A-Za-z][A-Za-z0-9_-]{0,63}$", max_length = 64, example = "users")]
pub(in crate::http) struct Collection(String);

/// A write. A body without `op` is read in the form of the first RideShare: `insert`, `delete`,
/// `update` or `clear`, with `table` and `columns`; then any success is 200 and any failure 400, both
/// without a body.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub(in crate::http) enum Write {
    /// All documents or none.
    #[schema(example = json!({
        "op": "insert", "collection": "users", "documents": [{ "_id": "ann", "age": 3 }],
    }))]
    Insert {
        collection: Collection,
        /// A missing `_id` is drawn. 1 MiB and 64 levels each.
        #[schema(value_type = Vec<Object>, min_items = 1)]
        documents: Vec<Json>,
    },
    #[schema(example = json!({
        "op": "update", "collection": "users", "filter": { "_id": "ann" },
        "update": { "$inc": { "age": 1 } }, "return": "after",
    }))]
    Update {
        collection: Collection,
        /// As MongoDB's, with the operators that the documentation names.
        #[schema(value_type = Object)]
        filter: Json,
        /// As MongoDB's: `$set`, `$unset`, `$inc`, `$mul`, `$min`, `$max`, `$push`, `$addToSet`,
        /// `$pull`, `$pop`.
        #[schema(value_type = Object)]
        update: Json,
        /// All that match, not the first alone.
        many: Option<bool>,
        /// Make one where none matches.
        upsert: Option<bool>,
        r#return: Option<Return>,
    },
    #[schema(example = json!({
        "op": "replace", "collection": "users", "document": { "_id": "ann", "age": 4 }, "upsert": true,
    }))]
    Replace {
        collection: Collection,
        /// With its `_id`.
        #[schema(value_type = Object)]
        document: Json,
        upsert: Option<bool>,
    },
    #[schema(example = json!({
        "op": "delete", "collection": "users", "filter": { "age": { "$lt": 2 } }, "many": true,
    }))]
    Delete {
        collection: Collection,
        #[schema(value_type = Object)]
        filter: Json,
        many: Option<bool>,
    },
    #[schema(example = json!({ "op": "clear", "collections": ["users", "rides"] }))]
    Clear {
        #[schema(min_items = 1)]
        collections: Vec<Collection>,
    },
    #[schema(example = json!({ "op": "index", "collection": "rides", "field": "source" }))]
    Index {
        collection: Collection,
        /// A dotted path.
        #[schema(min_length = 1)]
        field: String,
    },
    /// All of them or none; `insert`, `update`, `replace` and `delete` only.
    #[schema(example = json!({
        "op": "batch",
        "operations": [{ "op": "insert", "collection": "users", "documents": [{ "_id": "bob" }] }],
    }))]
    Batch {
        #[schema(value_type = Vec<Object>, min_items = 1)]
        operations: Vec<Json>,
    },
}

/// Which documents an update answers.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum Return {
    None,
    Before,
    After,
}

/// What was written; which fields there are depends on `op`.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "offset": 42, "inserted": 1, "ids": ["ann"] }))]
pub(in crate::http) struct Written {
    /// Where in the log it stands; a session read with it as `min_offset` sees it.
    offset: u64,
    inserted: Option<u64>,
    #[schema(value_type = Option<Vec<Value>>)]
    ids: Option<Vec<Json>>,
    matched: Option<u64>,
    modified: Option<u64>,
    #[schema(value_type = Option<Value>)]
    upserted_id: Option<Json>,
    #[schema(value_type = Option<Vec<Object>>)]
    documents: Option<Vec<Json>>,
    deleted: Option<u64>,
    cleared: Option<Vec<String>>,
    /// Of a batch, in its order.
    #[schema(value_type = Option<Vec<Object>>)]
    results: Option<Vec<Json>>,
}

/// A read. A body without `collection` is read in the form of the first RideShare: `table`, with
/// `columns` and `where`, `many` or `count`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "collection": "rides", "filter": { "source": 21 }, "sort": [["timestamp", 1]], "limit": 100,
}))]
pub(in crate::http) struct Read {
    collection: Collection,
    #[schema(value_type = Option<Object>)]
    filter: Option<Json>,
    /// Dotted paths; `_id` always comes along.
    projection: Option<Vec<String>>,
    /// Pairs of a dotted path and 1 or -1.
    #[schema(value_type = Option<Vec<Vec<Value>>>, max_items = 31)]
    sort: Option<Vec<Vec<Json>>>,
    /// 1000 where it is missing.
    #[schema(maximum = 10_000)]
    limit: Option<u64>,
    skip: Option<u64>,
    /// Answer how many there are.
    count: Option<bool>,
    /// Answer the values that this path has.
    distinct: Option<String>,
    consistency: Option<Consistency>,
    /// With `session`: answer no state older than this.
    min_offset: Option<u64>,
}

/// How new the state must be.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum Consistency {
    /// Any worker's.
    Eventual,
    /// Not older than `min_offset`.
    Session,
    /// Everything that was answered before the read was sent.
    Strong,
}

/// What was found: `documents`, `count` or `values`.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "documents": [{ "_id": "ann", "age": 3 }], "offset": 47 }))]
pub(in crate::http) struct Found {
    #[schema(value_type = Option<Vec<Object>>)]
    documents: Option<Vec<Json>>,
    count: Option<u64>,
    #[schema(value_type = Option<Vec<Value>>)]
    values: Option<Vec<Json>>,
    /// How far the state behind it had come.
    offset: u64,
}

/// What to clear besides `rides` and `users`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "collections": ["places"] }))]
pub(in crate::http) struct Clear {
    collections: Option<Vec<Collection>>,
}

/// One worker.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "node": "worker-1f0c3a77", "role": "master", "pid": 4711, "epoch": 3, "applied": 47, "lag": 0,
    "state": "running", "database": "sqlite:./data/workers/worker-1f0c3a77/documents.sqlite",
    "uptime_ms": 61_000,
}))]
pub(in crate::http) struct Worker {
    node: String,
    /// `joining`, `slave`, `promoting`, `master` or `draining`.
    role: Option<String>,
    pid: Option<u32>,
    epoch: u64,
    /// How far it has applied the log.
    applied: Option<u64>,
    /// How many records it lacks of what the furthest worker has.
    lag: Option<u64>,
    /// `running` or `exited`.
    state: String,
    /// Where its database is.
    database: Option<String>,
    uptime_ms: Option<u64>,
}

/// An election, a replacement, a change of scale.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": 4, "at_ms": 1_795_697_742_634_u64, "kind": "elected", "node": "worker-1f0c3a77",
    "cause": "no_master", "from_epoch": 2, "to_epoch": 3,
}))]
pub(in crate::http) struct Event {
    /// Ascending.
    id: u64,
    /// In milliseconds since 1970.
    at_ms: u64,
    /// `elected`, `in_office`, `started`, `restarted`, `drained`, `removed`, `fenced`, `crashed` or
    /// `scaled`, or `paused` and `resumed`.
    kind: String,
    node: Option<String>,
    /// `asked`, `wanted`, `no_master`, `exited`, `suspected`, or `{"reads": N}`.
    #[schema(value_type = Value)]
    cause: Json,
    took_ms: Option<u64>,
    from_epoch: Option<u64>,
    to_epoch: Option<u64>,
    slaves: Option<u32>,
}

/// An end of the list of pids.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum PickSlave {
    Lowest,
    Highest,
}

/// Which slave to kill.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct PickQuery {
    /// By pid; the lowest where it is missing.
    #[param(value_type = PickSlave, required = false)]
    pick: Option<PickSlave>,
}

/// How a write is to be carried out.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct WriteHeaders {
    /// The same key again returns the first outcome and writes nothing.
    #[param(
        rename = "Idempotency-Key", min_length = 1, max_length = 128, pattern = "^[!-~]+$",
        value_type = String, required = false,
    )]
    key: Option<String>,
    /// When it is answered: `logged`, `applied` (default) or `replicas:K`.
    #[param(
        rename = "X-Rideshare-Ack", pattern = "^(logged|applied|replicas:[1-9][0-9]?)$",
        value_type = String, required = false,
    )]
    acknowledgement: Option<String>,
}

/// How long a request may take.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct TimeoutHeader {
    /// How long it may take.
    #[param(
        rename = "X-Request-Timeout-Ms", minimum = 1, maximum = 60_000, default = 10_000,
        value_type = u64, required = false,
    )]
    timeout: Option<u64>,
}

/// How new the state has to be that an answer is of.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct OffsetHeader {
    /// How far the client has seen: the answer is of no older state.
    #[param(rename = "X-Rideshare-Offset", value_type = u64, required = false)]
    offset: Option<u64>,
}
