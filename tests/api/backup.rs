//! Backups that are taken while the system works, and what is restored from them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{System, command};

const WRITERS: i64 = 4;
const COLLECTION: &str = "accounts";

/// What became of one document at one offset: its content, or nothing.
type Step = (u64, Value, Option<Value>);

/// Inserts, changes and deletes documents of its own, one after another, until it is told to stop.
async fn write(system: Arc<System>, writer: i64, stop: CancellationToken) -> Vec<Step> {
    let mut steps = Vec::new();
    let send = async |body: Value| {
        let answer = system.post("/api/v1/db/write", &body).await;
        assert!(answer.status.is_success(), "{answer:?}");
        (answer.body["offset"].as_u64().unwrap(), answer.body)
    };
    for number in 0.. {
        if stop.is_cancelled() {
            break;
        }
        // Both kinds of ids; text and integers do not sort together.
        let id = |number: i64| match number % 2 {
            0 => json!(number * WRITERS + writer),
            _ => json!(format!("{writer}-{number}")),
        };
        let document = json!({ "_id": id(number), "z": 1, "a": { "y": [1.0, -7], "b": writer } });
        let insert = json!({ "op": "insert", "collection": COLLECTION, "documents": [document] });
        let (offset, _) = send(insert).await;
        steps.push((offset, id(number), Some(document)));
        let filter = json!({ "_id": id(number / 2) });
        let update = json!({
            "op": "update", "collection": COLLECTION, "filter": filter, "return": "after",
            "update": { "$inc": { "a.b": 10 } },
        });
        let (offset, body) = send(update).await;
        if let Some(after) = body["documents"].get(0) {
            steps.push((offset, id(number / 2), Some(after.clone())));
        }
        if number % 3 == 0 {
            let filter = json!({ "_id": id(number / 3) });
            let delete = json!({ "op": "delete", "collection": COLLECTION, "filter": filter });
            let (offset, _) = send(delete).await;
            steps.push((offset, id(number / 3), None));
        }
    }
    steps
}

/// What there must be at an offset, by id.
fn as_of(steps: &[Step], offset: u64) -> BTreeMap<String, Value> {
    let mut documents = BTreeMap::new();
    let mut steps: Vec<_> = steps.iter().filter(|(at, ..)| *at <= offset).collect();
    steps.sort_by_key(|(at, ..)| *at);
    for (_, id, document) in steps {
        match document {
            Some(document) => documents.insert(id.to_string(), document.clone()),
            None => documents.remove(&id.to_string()),
        };
    }
    documents
}

async fn contents(system: &System) -> BTreeMap<String, Value> {
    let read = json!({ "collection": COLLECTION, "limit": 10_000, "consistency": "strong" });
    let answer = system.post("/api/v1/db/read", &read).await;
    let documents = answer.body["documents"].as_array().unwrap().clone();
    documents.into_iter().map(|it| (it["_id"].to_string(), it)).collect()
}

/// Runs `ctl` and returns its answer; `Err` with what it complains of.
fn ctl(system: &System, arguments: &[&str]) -> Result<Value, String> {
    let all = [&["ctl", "--json", "--url", &system.url], arguments].concat();
    match command(&all, &[]) {
        (Some(0), text) => Ok(serde_json::from_str(&text).unwrap()),
        (_, text) => Err(text),
    }
}

async fn ctl_beside(system: &Arc<System>, arguments: &[&str]) -> Result<Value, String> {
    let system = Arc::clone(system);
    let arguments: Vec<_> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let run = move || ctl(&system, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_under_load_is_of_one_moment_and_goes_on_to_any_later_one() {
    let system = Arc::new(System::start(2).await);
    system.settle(2).await;
    let index = json!({ "op": "index", "collection": COLLECTION, "field": "a.b" });
    system.post("/api/v1/db/write", &index).await;
    // As text: the JSON values of this test do not keep the order of fields.
    let ordered = r#"{"op":"insert","collection":"ordered","documents":[{"z":1,"_id":1,"a":2}]}"#;
    system.post_bytes("/api/v1/db/write", ordered.into(), &[]).await;
    let stop = CancellationToken::new();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(Arc::clone(&system), writer, stop.clone()));
    }
    let folder = TempDir::new().unwrap();
    let place = text(folder.path());
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let whole = ctl_beside(&system, &["backup", place]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let between = time_now();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let more = ctl_beside(&system, &["backup", place]).await.unwrap();
    stop.cancel();
    let steps: Vec<Step> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!((&whole["backup"], &more["backup"]), (&json!("whole"), &json!("continued")));
    assert_eq!(whole["whole_from"], more["whole_from"]);
    let number = |answer: &Value, name: &str| answer[name].as_u64().unwrap();
    let (first, last) = (number(&more, "whole_from"), number(&more, "reaches"));
    assert!(number(&whole, "reaches") == first && first + 10 < last, "{whole} {more}");
    let after = steps.iter().filter(|(at, ..)| *at > last).count();
    eprintln!("{} changes, {after} of them after the backup; {more}", steps.len());

    // The end, an offset in between, the first that there is, and a time.
    let middle = (first + last) / 2;
    let texts = [middle, first].map(|offset| offset.to_string());
    let [middle_text, first_text] = &texts;
    for (options, offset) in [
        (vec![], Some(last)),
        (vec!["--to-offset", middle_text], Some(middle)),
        (vec!["--to-offset", first_text], Some(first)),
        (vec!["--to-time", &between], None),
    ] {
        let other = System::start(1).await;
        let restored = ctl(&other, &[&["restore", place], options.as_slice()].concat()).unwrap();
        let reached = restored["as_of"].as_str().unwrap();
        let reached: u64 = reached.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(offset.is_none_or(|offset| reached <= offset), "{restored}");
        assert!((first..=last).contains(&reached), "{restored}");
        let (found, expected) = (contents(&other).await, as_of(&steps, reached));
        assert_eq!(found.len(), expected.len(), "{options:?} {restored}");
        assert_eq!(found, expected, "{options:?}");
        if let Some(offset) = offset {
            assert_eq!(found, as_of(&steps, offset), "{options:?}");
        }
        let read = json!({ "collection": "ordered", "consistency": "strong" });
        let read = other.client.post(format!("{}/api/v1/db/read", other.url)).json(&read);
        let document = read.send().await.unwrap().text().await.unwrap();
        assert!(document.contains(r#"{"_id":1,"z":1,"a":2}"#), "{document}");
        let collections = other.get("/api/v1/collections").await.body;
        let all = collections["collections"].as_array().unwrap();
        let own = all.iter().find(|it| it["name"] == COLLECTION).unwrap();
        assert_eq!(own["indexes"], json!(["a.b"]), "{collections}");
    }
}

fn time_now() -> String {
    let now = time::OffsetDateTime::now_utc();
    now.format(&time::format_description::well_known::Rfc3339).unwrap()
}

/// A server of the S3 protocol, of the Python package moto.
#[cfg(feature = "s3")]
struct S3 {
    process: std::process::Child,
    endpoint: String,
}

#[cfg(feature = "s3")]
impl S3 {
    async fn start(client: &reqwest::Client) -> Self {
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port().to_string()
        };
        let program = std::env::var("RIDESHARE_TEST_MOTO").expect("the path of moto_server");
        let process = std::process::Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let endpoint = format!("http://127.0.0.1:{port}");
        let bucket = format!("{endpoint}/backups");
        crate::support::until("a bucket", async || {
            client.put(&bucket).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        Self { process, endpoint }
    }

    fn variables(&self) -> [(&str, &str); 5] {
        [
            ("AWS_ACCESS_KEY_ID", "a-key"),
            ("AWS_SECRET_ACCESS_KEY", "a-secret"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT", &self.endpoint),
            ("AWS_ALLOW_HTTP", "true"),
        ]
    }
}

#[cfg(feature = "s3")]
impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(feature = "s3")]
#[tokio::test(flavor = "multi_thread")]
async fn backup_may_lie_in_an_object_store() {
    let system = System::start(1).await;
    let s3 = S3::start(&system.client).await;
    let place = "s3://backups/rideshare/today";
    let run = |system: &System, arguments: &[&str]| {
        let all = [&["ctl", "--json", "--url", &system.url], arguments].concat();
        let (code, text) = command(&all, &s3.variables());
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let insert = |number: i64| {
        json!({
            "op": "insert", "collection": COLLECTION, "documents": [{ "_id": number }],
        })
    };
    assert_eq!(system.post("/api/v1/db/write", &insert(1)).await.status, 201);
    assert_eq!(run(&system, &["backup", place])["backup"], "whole");
    assert_eq!(system.post("/api/v1/db/write", &insert(2)).await.status, 201);
    assert_eq!(run(&system, &["backup", place])["backup"], "continued");
    let other = System::start(1).await;
    run(&other, &["restore", place]);
    assert_eq!(contents(&other).await, contents(&system).await);
    let secret =
        command(&["ctl", "backup", "s3://no-such-bucket/x", "--url", &system.url], &s3.variables());
    assert!(secret.0 == Some(1) && !secret.1.contains("a-secret"), "{secret:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_too_many_for_one_answer_are_all_kept() {
    let system = System::start(1).await;
    let text_of = |number: i64| format!("{number}").repeat(450_000);
    for number in 10..50 {
        let document = json!({ "_id": number, "text": text_of(number) });
        let insert = json!({ "op": "insert", "collection": COLLECTION, "documents": [document] });
        assert_eq!(system.post("/api/v1/db/write", &insert).await.status, 201);
    }
    let folder = TempDir::new().unwrap();
    let backup = ctl(&system, &["backup", text(folder.path())]).unwrap();
    assert_eq!(backup["documents"], 40);
    let other = System::start(1).await;
    ctl(&other, &["restore", text(folder.path())]).unwrap();
    for number in 10..50 {
        let found = other.find(COLLECTION, json!({ "_id": number })).await;
        assert_eq!(found[0]["text"], text_of(number), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_is_named_and_nothing_is_written() {
    let system = System::start(1).await;
    let insert = json!({ "op": "insert", "collection": COLLECTION, "documents": [{ "_id": 1 }] });
    assert_eq!(system.post("/api/v1/db/write", &insert).await.status, 201);
    let folder = TempDir::new().unwrap();
    let place = text(folder.path());
    let refused = |system: &System, arguments: &[&str], named: &str| {
        let complaint = ctl(system, arguments).unwrap_err();
        assert!(complaint.contains(named), "{arguments:?}: {complaint}");
    };
    let other = System::start(1).await;
    refused(&other, &["restore", place], "holds no backup");
    refused(&other, &["restore", "nowhere"], "no directory nowhere");
    ctl(&system, &["backup", place]).unwrap();
    refused(&system, &["restore", place], "not empty");
    refused(&other, &["backup", place], "another history");
    refused(&other, &["restore", place, "--to-offset", "0"], "the backup goes from offset");
    refused(&other, &["restore", place, "--to-offset", "99999"], "the backup goes from offset");
    refused(
        &other,
        &["restore", place, "--to-time", "2020-01-01T00:00:00Z"],
        "the backup goes from",
    );
    refused(&other, &["restore", place, "--to-time", "yesterday"], "a time such as");
    let part = folder.path().join("documents-000000.ndjson.gz");
    let good = std::fs::read(&part).unwrap();
    std::fs::write(&part, [&good[..good.len() - 1], b"x"].concat()).unwrap();
    refused(&other, &["restore", place], "documents-000000.ndjson.gz is damaged");
    std::fs::remove_file(&part).unwrap();
    refused(&other, &["restore", place], "documents-000000.ndjson.gz is missing");
    assert_eq!(contents(&other).await, BTreeMap::new());
    std::fs::write(&part, good).unwrap();
    ctl(&other, &["restore", place]).unwrap();
    assert_eq!(contents(&other).await.len(), 1);
}
