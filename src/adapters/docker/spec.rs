//! What the two containers of a worker are to be, in the words of the engine's API.

use serde_json::{Value, json};

use super::DockerSettings;
use super::names::Part;
use crate::domain::ids::NodeId;
use crate::ports::containers::StartAs;

/// Where the database keeps its files in its container.
const DATA: &str = "/data/db";
const MEBIBYTE: u64 = 1024 * 1024;
/// Of one container. They serve a known number of connections; this only ends a fork bomb.
const PROCESSES: u32 = 4096;

/// The worker's own container.
pub(super) fn worker(settings: &DockerSettings, node: &NodeId, start_as: StartAs) -> Value {
    let database = settings.names().database(node);
    let environment: Vec<_> = (settings.environment)(node, start_as, &database)
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut host = host_config(settings, settings.worker_memory_mb);
    host["Binds"] = json!(settings.worker_binds);
    host["Tmpfs"] = json!({ "/tmp": tmpfs() });
    let mut body = body(settings, node, Part::Worker, host);
    body["Image"] = json!(settings.worker_image);
    body["User"] = json!(settings.worker_user);
    body["Cmd"] = json!(["worker"]);
    body["Env"] = json!(environment);
    body
}

/// Its database's container, on the volume of the same name. It has no health check: the worker
/// tells of a database that does not answer, and ends with one that is gone for long. The worker's
/// check is that of its image.
pub(super) fn database(settings: &DockerSettings, node: &NodeId) -> Value {
    let name = settings.names().database(node);
    let cache = format!("{:.2}", settings.database_cache_mb.max(256) as f64 / 1024.0);
    let mut host = host_config(settings, settings.database_memory_mb);
    host["Mounts"] = json!([{ "Type": "volume", "Source": name, "Target": DATA }]);
    // The image declares a volume for /data/configdb, which would be a nameless one.
    host["Tmpfs"] = json!({ "/tmp": tmpfs(), "/data/configdb": tmpfs() });
    let mut body = body(settings, node, Part::Database, host);
    body["Image"] = json!(settings.database_image);
    body["User"] = json!(settings.database_user);
    body["Hostname"] = json!(name);
    body["Cmd"] = json!([
        "mongod",
        "--dbpath",
        DATA,
        // Of a network that only the project's containers are in.
        "--bind_ip_all",
        "--nounixsocket",
        "--quiet",
        "--wiredTigerCacheSizeGB",
        cache,
        "--setParameter",
        "diagnosticDataCollectionEnabled=false",
    ]);
    body
}

fn body(settings: &DockerSettings, node: &NodeId, part: Part, host: Value) -> Value {
    let labels: serde_json::Map<_, _> = settings
        .names()
        .labels(node, part)
        .into_iter()
        .map(|(label, value)| (label.to_owned(), json!(value)))
        .collect();
    json!({ "Labels": labels, "HostConfig": host })
}

fn host_config(settings: &DockerSettings, memory_mb: u64) -> Value {
    json!({
        "NetworkMode": settings.network,
        // Who died stays until it is removed, and is started again by the controller alone.
        "AutoRemove": false,
        "RestartPolicy": { "Name": "no" },
        "ReadonlyRootfs": true,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "Memory": memory_mb * MEBIBYTE,
        // The sum of memory and swap: none of the latter.
        "MemorySwap": memory_mb * MEBIBYTE,
        "PidsLimit": PROCESSES,
        "LogConfig": {
            "Type": "json-file",
            "Config": {
                "max-size": format!("{}m", settings.log_max_mb),
                "max-file": settings.log_max_files.to_string(),
            },
        },
    })
}

const fn tmpfs() -> &'static str {
    "rw,noexec,nosuid,nodev,size=16m,mode=1777"
}
