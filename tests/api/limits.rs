//! Bad input: each limit of the contract, from the outside.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{System, answer, until};

fn nested(levels: usize) -> String {
    format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))
}

/// The body of an insert of one document, as text.
fn insert(document: &str) -> String {
    format!(r#"{{"op":"insert","collection":"users","documents":[{document}]}}"#)
}

#[tokio::test]
async fn bad_documents_are_refused_with_the_place() {
    let system = System::start(1).await;
    let deep = nested(65);
    let table = [
        (r#"{"":1}"#, "documents[0]"),
        (r#"{"a.b":1}"#, "a.b"),
        (r#"{"$a":1}"#, "$a"),
        (r#"{"a":{"$b":1}}"#, "$b"),
        ("{\"a\\u0000b\":1}", "documents[0]"),
        (r#"{"_id":null}"#, "_id"),
        (r#"{"_id":1.5}"#, "_id"),
        (r#"{"_id":[1]}"#, "_id"),
        (r#"{"_id":{"a":1}}"#, "_id"),
        (r#"{"_id":true}"#, "_id"),
        (r#"{"n":9223372036854775808}"#, "9223372036854775808"),
        (r#"{"n":-9223372036854775809}"#, "9223372036854775809"),
        (r#"{"n":100000000000000000000000000000}"#, "100000000000000000000000000000"),
        (r#"{"n":1e999}"#, ""),
        (deep.as_str(), ""),
        ("[1]", "documents[0]"),
        ("7", "documents[0]"),
    ];
    for (document, named) in table {
        let answer = system.post_bytes("/api/v1/db/write", insert(document).into(), &[]).await;
        assert_eq!(answer.status, 400, "{document}: {answer:?}");
        assert!(answer.content_type.starts_with("application/problem+json"));
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(!detail.is_empty() && detail.contains(named), "{document}: {detail}");
    }
    let good = [r#"{"n":9223372036854775807}"#, r#"{"n":1e30}"#, &nested(60)];
    for document in good {
        let answer = system.post_bytes("/api/v1/db/write", insert(document).into(), &[]).await;
        assert_eq!(answer.status, 201, "{document}: {answer:?}");
    }
    assert_eq!(system.find("users", json!({})).await.len(), good.len());
}

#[tokio::test]
async fn bad_requests_are_refused_with_the_place() {
    let system = System::start(1).await;
    let table = [
        (json!({ "op": "drop" }), "op"),
        (json!({ "op": "insert", "collection": "1x", "documents": [{}] }), "collection"),
        (json!({ "op": "insert", "collection": "a b", "documents": [{}] }), "collection"),
        (json!({ "op": "insert", "collection": "a".repeat(65), "documents": [{}] }), "collection"),
        (json!({ "op": "insert", "collection": "users", "documents": [] }), "documents"),
        (json!({ "op": "insert", "collection": "users" }), "documents"),
        (json!({ "op": "insert", "collection": 7, "documents": [{}] }), "collection"),
        (json!({ "op": "delete", "collection": "users" }), "filter"),
        (json!({ "op": "delete", "collection": "users", "filtr": {} }), "filter"),
        (json!({ "op": "delete", "collection": "u", "filter": {}, "many": 1 }), "many"),
        (json!({ "op": "delete", "collection": "u", "filter": {}, "x": 1 }), "x"),
        (json!({ "op": "delete", "collection": "u", "filter": { "$where": "1" } }), "$where"),
        (json!({ "op": "update", "collection": "u", "filter": {}, "update": {} }), "update"),
        (
            json!({ "op": "update", "collection": "u", "filter": {}, "update": { "a": 1 } }),
            "update",
        ),
        (
            json!({ "op": "update", "collection": "u", "filter": {}, "update": { "$rename": {} } }),
            "$rename",
        ),
        (json!({ "op": "batch", "operations": [{ "op": "clear" }] }), "operations[0]"),
        (json!({ "op": "batch", "operations": [] }), "operations"),
        (json!({ "op": "index", "collection": "u", "field": "$a" }), "field"),
    ];
    for (body, named) in table {
        let answer = system.write(&body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{body}: {detail}");
    }
    let reads = [
        (json!({ "collection": "u", "limit": 10_001 }), "limit"),
        (json!({ "collection": "u", "limit": -1 }), "limit"),
        (json!({ "collection": "u", "skip": "1" }), "skip"),
        (json!({ "collection": "u", "sort": [["a", 2]] }), "sort[0]"),
        (json!({ "collection": "u", "projection": "a" }), "projection"),
        (json!({ "collection": "u", "consistency": "loose" }), "consistency"),
        (json!({ "collection": "u", "consistency": "session" }), "min_offset"),
        (json!({ "collection": "u", "filter": [] }), "filter"),
        (json!({ "collection": "u", "count": true, "distinct": "a" }), "distinct"),
    ];
    for (body, named) in reads {
        let answer = system.read(&body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains(named), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let system = System::start(1).await;
    let table: [&[u8]; 6] =
        [b"", b"{", b"nonsense", b"{}x", b"{\"a\":\"\xff\"}", b"\xef\xbb\xbf{}"];
    for body in table {
        for path in ["/api/v1/db/write", "/api/v1/db/read"] {
            let answer = system.post_bytes(path, body.to_vec(), &[]).await;
            assert_eq!(answer.status, 400, "{path} {body:?}: {answer:?}");
        }
    }
    let bomb = "[".repeat(500_000);
    let answer = system.post_bytes("/api/v1/db/write", bomb.into(), &[]).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn body_over_the_limit_is_413_and_one_below_is_taken() {
    let system = System::start(1).await;
    let of = |bytes: usize| insert(&format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes)));
    let taken = system.post_bytes("/api/v1/db/write", of(1_000_000).into(), &[]).await;
    assert_eq!(taken.status, 201);
    let refused = system.post_bytes("/api/v1/db/write", of(1_048_576).into(), &[]).await;
    assert_eq!(refused.status, 413);
    assert!(refused.content_type.starts_with("application/problem+json"));
    let id = taken.body["ids"][0].as_str().unwrap();
    let grow = json!({
        "op": "update", "collection": "users", "filter": { "_id": id },
        "update": { "$set": { "more": "x".repeat(900_000) } },
    });
    assert_eq!(system.write(&grow).await.status, 400);
}

#[tokio::test]
async fn wrong_method_is_405_with_allow_and_unknown_path_404() {
    let system = System::start(1).await;
    let table = [
        ("GET", "/api/v1/db/write", "POST"),
        ("PUT", "/api/v1/db/read", "POST"),
        ("DELETE", "/api/v1/db/clear", "POST"),
        ("GET", "/api/v1/crash/master", "POST"),
        ("GET", "/api/v1/crash/slave", "POST"),
        ("POST", "/api/v1/worker/list", "GET"),
        ("POST", "/api/v1/workers", "GET"),
        ("PATCH", "/api/v1/events", "GET"),
        ("POST", "/healthz", "GET"),
        ("POST", "/readyz", "GET"),
        ("POST", "/metrics", "GET"),
        ("POST", "/", "GET"),
        ("GET", "/dashboard/order", "POST"),
    ];
    for (method, path, allow) in table {
        let method: Method = method.parse().unwrap();
        let url = format!("{}{path}", system.url);
        let answer = answer(system.client.request(method.clone(), url).send().await.unwrap()).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.allow.as_deref(), Some(allow), "{method} {path}");
        assert!(answer.content_type.starts_with("application/problem+json"));
    }
    for path in
        ["/dashboard", "/api", "/api/v1/db/write/", "/api/v1/file/read", "/api/v1/file/write"]
    {
        let answer = system.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body["status"], 404);
    }
}

#[tokio::test]
async fn bad_headers_are_refused() {
    let system = System::start(1).await;
    let body = json!({ "op": "insert", "collection": "users", "documents": [{}] });
    let long = "k".repeat(129);
    let table = [
        ("Idempotency-Key", long.as_str()),
        ("X-Rideshare-Ack", "maybe"),
        ("X-Rideshare-Ack", "replicas:0"),
        ("X-Rideshare-Ack", "replicas:x"),
        ("X-Request-Timeout-Ms", "0"),
        ("X-Request-Timeout-Ms", "60001"),
        ("X-Request-Timeout-Ms", "soon"),
    ];
    for header in table {
        let answer = system.post_with("/api/v1/db/write", &body, &[header]).await;
        assert_eq!(answer.status, 400, "{header:?}: {answer:?}");
    }
    let fits = "k".repeat(128);
    let key = [("Idempotency-Key", fits.as_str())];
    assert_eq!(system.post_with("/api/v1/db/write", &body, &key).await.status, 201);
    assert_eq!(system.find("users", json!({})).await.len(), 1);
}

#[tokio::test]
async fn too_much_in_flight_is_503_with_retry_after() {
    let system = System::start_with(1, &[("RIDESHARE_LIMITS__IN_FLIGHT", "4")]).await;
    let slow = json!({
        "collection": "users", "consistency": "session", "min_offset": 1_000_000,
    });
    let timeout = [("X-Request-Timeout-Ms", "1500")];
    let calls = (0..12).map(|_| system.post_with("/api/v1/db/read", &slow, &timeout));
    let started = std::time::Instant::now();
    let answers = futures_util::future::join_all(calls).await;
    assert!(started.elapsed().as_secs() < 10);
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.body["detail"].as_str().unwrap().contains("too many"))
        .collect();
    assert!(refused.len() >= 8, "{} refused", refused.len());
    assert!(refused.iter().all(|it| it.status == 503 && it.retry_after.is_some()));
    let one = json!({ "op": "insert", "collection": "users", "documents": [{}] });
    assert_eq!(system.write(&one).await.status, 201);
}

#[tokio::test]
async fn health_readiness_and_metrics_answer() {
    let system = System::start(1).await;
    assert_eq!(system.get("/healthz").await.status, 200);
    assert_eq!(system.get("/readyz").await.status, 200);
    system.insert("users", json!([{}])).await;
    let metrics = system.get("/metrics").await;
    let Value::String(text) = metrics.body else { panic!("metrics are text") };
    let line = text.lines().find(|line| {
        line.starts_with("rideshare_http_requests_total") && line.contains("db/write")
    });
    assert!(line.is_some(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_sends_too_much_is_told_when_to_go_on() {
    let limit = [("RIDESHARE_LIMITS__REQUESTS_PER_SECOND", "5")];
    let system = System::start_with(1, &limit).await;
    let body = json!({ "collection": "c" });
    let mut answers = Vec::new();
    // More than its share even on a machine that is slow.
    for _ in 0..20 {
        answers.push(system.post("/api/v1/db/read", &body).await);
    }
    assert_eq!(answers[0].status, 200, "{:?}", answers[0]);
    let refused = answers.into_iter().find(|answer| answer.status != 200);
    let refused = refused.expect("nothing is refused");
    assert_eq!(
        (refused.status.as_u16(), refused.retry_after.as_deref()),
        (429, Some("1")),
        "{refused:?}"
    );
    assert!(refused.content_type.starts_with("application/problem+json"));
    // Those who watch are not refused, and no other service is.
    for url in [&system.url, &system.users.url] {
        let health = system.client.get(format!("{url}/healthz")).send().await.unwrap();
        assert_eq!(health.status(), 200);
    }
    until("served again", || async { system.post("/api/v1/db/read", &body).await.status == 200 })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_is_slow_does_not_hold_a_request_open() {
    let system = System::start_with(1, &[("RIDESHARE_LIMITS__BODY_SECS", "1")]).await;
    let address = system.url.trim_start_matches("http://").to_owned();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = "POST /api/v1/db/read HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let answered = connection.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), answered).await.expect("an answer").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}
