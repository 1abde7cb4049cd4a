//! The bodies of [`super::super::control`], for the description.
#![expect(dead_code, reason = "describes bodies that are read and written elsewhere")]

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How many slaves are wanted, and why.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "slaves": 2, "manual": false, "paused": false, "min_slaves": 1, "max_slaves": 16,
    "reads_per_slave": 20, "outlook": { "reads": 47, "slaves": 3, "ends_in_ms": 31_000 },
}))]
pub(in crate::http) struct Scale {
    slaves: u32,
    /// Said by hand: the reads change nothing.
    manual: bool,
    /// Nothing is done about anything.
    paused: bool,
    min_slaves: u32,
    max_slaves: u32,
    /// How many reads per window one slave is to carry.
    reads_per_slave: u64,
    /// Known to the orchestrator in control alone.
    outlook: Option<Outlook>,
}

/// What the window of reads under way would call for if it ended now.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Outlook {
    /// The reads so far.
    reads: u64,
    /// The slaves that they call for.
    slaves: u32,
    /// Nothing before the first read.
    ends_in_ms: Option<u64>,
}

/// How many slaves there are to be.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "slaves": 3 }))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SetScale {
    slaves: Slaves,
}

/// A number within the bounds of the settings, or `auto`: as many as the reads call for.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum Slaves {
    Number(u32),
    Word(Auto),
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum Auto {
    Auto,
}

/// Whether healing and scaling stand still.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "paused": true }))]
pub(in crate::http) struct Paused {
    paused: bool,
}

/// Who is to be master.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "to": "worker-1f0c3a77" }))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct To {
    /// A slave; the one with the lowest pid where none is named.
    to: Option<String>,
}

/// A master that handed over to another.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "from": "worker-1f0c3a77", "to": "worker-9b0c11d2", "from_epoch": 3, "to_epoch": 4, "took_ms": 41,
}))]
pub(in crate::http) struct Switchover {
    from: String,
    to: String,
    from_epoch: u64,
    to_epoch: u64,
    /// From the asking until the new one was in office.
    took_ms: u64,
}

/// Whose data to go on with.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "from": "worker-1f0c3a77" }))]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct From {
    /// A worker that has stopped because the log lacks what it holds.
    from: String,
}

/// A system that goes on from one worker's data.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "from": "worker-1f0c3a77", "epoch": 8, "took_ms": 1_240 }))]
pub(in crate::http) struct Recovery {
    from: String,
    /// The first epoch of the new log.
    epoch: u64,
    /// From the asking until that worker was master.
    took_ms: u64,
}

/// Whose place a new worker is still to take.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "remaining": ["worker-1f0c3a77"] }))]
pub(in crate::http) struct Restart {
    remaining: Vec<String>,
}
