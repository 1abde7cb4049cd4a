//! `rideshare bench` against a running system.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::System;

/// Runs it to its end, and returns what it prints for programs.
fn bench(url: &str, arguments: &[&str]) -> Value {
    let output = run(url, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn run(url: &str, arguments: &[&str]) -> std::process::Output {
    let common = ["--url", url, "--warm-up", "0", "--connections", "8"];
    let mut bench = Command::new(env!("CARGO_BIN_EXE_rideshare"));
    bench.arg("bench").args(arguments).args(common).output().unwrap()
}

fn assert_line(line: &Value, least: u64) {
    assert!(line["answered"].as_u64().unwrap() >= least, "{line}");
    let at = |name: &str| line[name].as_f64().unwrap();
    let rising = ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"].map(at);
    assert!(rising[0] > 0.0 && rising.is_sorted(), "{line}");
    let per_second = line["answered"].as_f64().unwrap() / 2.0;
    assert!((at("per_second") - per_second).abs() < 0.1 * per_second, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn load_is_measured_and_leaves_nothing_behind() {
    let system = System::start(1).await;
    let reads = bench(&system.url, &["read", "--documents", "2500", "--duration", "2"]);
    assert_line(&reads["requests"]["reads"], 100);
    assert_eq!((&reads["failures"], &reads["requests"]["writes"]), (&json!({}), &Value::Null));

    let both = bench(&system.url, &["mixed", "--reads", "50", "--rate", "200", "--duration", "2"]);
    let (reads, writes) = (&both["requests"]["reads"], &both["requests"]["writes"]);
    assert_line(reads, 100);
    assert_line(writes, 100);
    let all = reads["answered"].as_u64().unwrap() + writes["answered"].as_u64().unwrap();
    assert!((380..=401).contains(&all), "200 a second for two seconds, not {all}");

    let table = run(&system.url, &["write", "--duration", "1"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("writes") && table.contains("Failed: 0"), "{table}");

    let body = json!({ "collection": "rideshare_bench", "count": true, "consistency": "strong" });
    assert_eq!(system.read(&body).await.body["count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_are_measured_for_each_kill() {
    let system = System::start(2).await;
    let told = bench(&system.url, &["failover", "--every", "1", "--duration", "5"]);
    let failover = &told["failover"];
    assert_eq!((&failover["kills"], &failover["without_end"]), (&json!(3), &json!(0)), "{told}");
    assert!(failover["max_ms"].as_f64().unwrap() > 0.0, "{told}");
    assert_eq!(told["failures"], json!({}));
}

#[test]
fn system_that_is_not_there_is_named() {
    let output = run("http://127.0.0.1:9", &["write"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("http://127.0.0.1:9/api/v1/db/write gives no answer"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}
