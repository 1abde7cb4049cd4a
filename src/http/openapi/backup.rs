//! The bodies of [`super::super::backup`], for the description.

use serde::Serialize;
use utoipa::ToSchema;

/// Which collections there are.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "collections": [{ "name": "rides", "indexes": ["source"] }], "offset": 47,
}))]
pub(in crate::http) struct Collections {
    collections: Vec<CollectionEntry>,
    /// The state that was looked at holds everything up to here.
    offset: u64,
}

/// A collection that holds documents, or has an index.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct CollectionEntry {
    name: String,
    /// The indexed fields.
    indexes: Vec<String>,
}

/// One record of the log.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "offset": 47,
    "record": {
        "log_id": "0198c4d2", "epoch": 3, "appended_at_ms": 1_790_000_000_000_u64,
        "body": { "Batch": { "sequence": 9, "entries": [] } },
    },
}))]
pub(in crate::http) struct Line {
    offset: u64,
    /// As the workers read it; nothing where the log holds what is no record.
    record: Option<serde_json::Value>,
}
