//! What people ask of a running system.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::failover::{check_every_worker, load, outage};
use crate::support::{Answer, System, until};

const SWITCHOVERS: usize = 6;
/// The longest time without a successful write around a switchover.
const MAX_PAUSE: Duration = Duration::from_millis(200);

async fn put_scale(system: &System, slaves: Value) -> Answer {
    let url = format!("{}/api/v1/scale", system.url);
    let sent = system.client.put(url).json(&json!({ "slaves": slaves })).send();
    crate::support::answer(sent.await.unwrap()).await
}

fn pids(workers: &[Value], role: &str) -> Vec<u64> {
    let with_role = workers.iter().filter(|worker| worker["role"] == role);
    with_role.map(|worker| worker["pid"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn master_hands_over_without_a_failed_request() {
    let system = Arc::new(System::start(2).await);
    system.settle(2).await;
    let stop = CancellationToken::new();
    let loading = tokio::spawn(load(Arc::clone(&system), stop.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut asked = Vec::new();
    for round in 0..SWITCHOVERS {
        let before = system.workers().await;
        let slaves: Vec<_> = before.iter().filter(|worker| worker["role"] == "slave").collect();
        let master = before.iter().find(|worker| worker["role"] == "master").unwrap();
        // They come by pid.
        let named = round % 2 == 1;
        let expected = if named { slaves[1] } else { slaves[0] };
        let body = if named { json!({ "to": expected["node"] }) } else { Value::Null };
        asked.push(Instant::now());
        let answer = system.post("/api/v1/switchover", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.body;
        assert_eq!((&body["from"], &body["to"]), (&master["node"], &expected["node"]));
        let epoch = |name: &str| body[name].as_u64().unwrap();
        assert_eq!(epoch("to_epoch"), epoch("from_epoch") + 1);
        system.settle(2).await;
        let after = system.workers().await;
        assert_eq!(pids(&after, "master"), [expected["pid"].as_u64().unwrap()]);
        let all =
            |workers: &[Value]| workers.iter().map(|it| it["pid"].clone()).collect::<Vec<_>>();
        assert_eq!(all(&after), all(&before), "everybody goes on");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    stop.cancel();
    let (load, sent) = loading.await.unwrap();
    assert!(load.failures.is_empty(), "{} failed: {:?}", load.failures.len(), load.failures[0]);
    let longest = asked.iter().map(|at| outage(&load, *at)).max().unwrap();
    eprintln!("{sent} writes, {SWITCHOVERS} switchovers; longest pause {longest:?}");
    check_every_worker(&system, sent).await;
    assert!(longest <= MAX_PAUSE, "{longest:?}");
    let events = system.get("/api/v1/events").await.body;
    let is_asked = |it: &&Value| it["kind"] == "elected" && it["cause"] == "asked";
    assert_eq!(events.as_array().unwrap().iter().filter(is_asked).count(), SWITCHOVERS);
}

#[tokio::test]
async fn switchover_to_nobody_or_to_the_master_changes_nothing() {
    let system = System::start(1).await;
    system.settle(1).await;
    let before = system.workers().await;
    let master = before.iter().find(|worker| worker["role"] == "master").unwrap();
    for (body, status) in [
        (json!({ "to": "nobody" }), 404),
        (json!({ "to": master["node"] }), 404),
        (json!({ "too": "worker" }), 400),
        (json!({ "to": { "$ne": 1 } }), 400),
    ] {
        let answer = system.post("/api/v1/switchover", &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {answer:?}");
    }
    assert_eq!(pids(&system.workers().await, "master"), [master["pid"].as_u64().unwrap()]);
}

#[tokio::test]
async fn number_of_slaves_is_what_was_asked_for_until_it_is_left_to_the_reads() {
    let environment = [
        ("RIDESHARE_SCALING__WINDOW_SECS", "2"),
        ("RIDESHARE_SCALING__READS_PER_SLAVE", "20"),
        ("RIDESHARE_SCALING__MAX_SLAVES", "3"),
    ];
    let system = System::start_with(1, &environment).await;
    system.settle(1).await;
    for wrong in
        [json!(0), json!(4), json!(-1), json!(1.5), json!("many"), json!(null), json!(1e99)]
    {
        let answer = put_scale(&system, wrong.clone()).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
        assert_eq!(answer.body["place"], "slaves");
    }
    let answer = put_scale(&system, json!(3)).await;
    assert_eq!((answer.status.as_u16(), &answer.body["slaves"]), (200, &json!(3)));
    system.settle(3).await;
    // A window of reads that call for one slave ends, and changes nothing.
    let read = json!({ "collection": "c", "count": true });
    assert_eq!(system.read(&read).await.status, 200);
    let scale = system.get("/api/v1/scale").await.body;
    assert_eq!((&scale["manual"], &scale["slaves"]), (&json!(true), &json!(3)));
    assert_eq!((&scale["min_slaves"], &scale["max_slaves"]), (&json!(1), &json!(3)));
    until("a window begins and ends", async || {
        let outlook = system.get("/api/v1/scale").await.body["outlook"].clone();
        outlook["ends_in_ms"].is_u64() && outlook["reads"] == 0
    })
    .await;
    assert_eq!(system.workers().await.len(), 4);
    assert_eq!(put_scale(&system, json!("auto")).await.body["manual"], json!(false));
    system.settle(1).await;
}

#[tokio::test]
async fn nothing_is_healed_while_it_is_paused() {
    let system = System::start(1).await;
    system.settle(1).await;
    let paused = system.post("/api/v1/pause", &Value::Null).await;
    assert_eq!((paused.status.as_u16(), paused.body), (200, json!({ "paused": true })));
    let killed = system.post("/api/v1/crash/slave", &Value::Null).await;
    assert_eq!(killed.status, 200);
    let written = system.insert("c", json!([{ "_id": 1 }])).await;
    assert_eq!(written.status, 201, "the master goes on");
    // As long as a replacement takes, several times over.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let workers = system.workers().await;
    let running = workers.iter().filter(|worker| worker["state"] == "running").count();
    assert_eq!(running, 1, "{workers:?}");
    assert_eq!(system.get("/api/v1/scale").await.body["paused"], json!(true));
    assert_eq!(system.post("/api/v1/resume", &Value::Null).await.status, 200);
    system.settle(1).await;
    let events = system.get("/api/v1/events").await.body;
    let kinds: Vec<_> = events.as_array().unwrap().iter().map(|it| it["kind"].clone()).collect();
    for kind in ["paused", "crashed", "resumed"] {
        assert!(kinds.contains(&json!(kind)), "{kinds:?}");
    }
}

#[tokio::test]
async fn all_workers_are_renewed_without_a_failed_request() {
    let system = Arc::new(System::start(2).await);
    system.settle(2).await;
    let stop = CancellationToken::new();
    let loading = tokio::spawn(load(Arc::clone(&system), stop.clone()));
    let nodes = |workers: &[Value]| {
        workers.iter().map(|it| it["node"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = nodes(&system.workers().await);
    let began = Instant::now();
    let begun = system.post("/api/v1/restart", &Value::Null).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let mut remaining: Vec<String> =
        serde_json::from_value(begun.body["remaining"].clone()).unwrap();
    remaining.sort();
    assert_eq!(remaining, {
        let mut all = before.clone();
        all.sort();
        all
    });
    assert_eq!(system.post("/api/v1/restart", &Value::Null).await.status, 409);
    until("all are renewed", || async {
        let answer = system.get("/api/v1/restart").await;
        // Nobody leaves before somebody else serves in its place.
        let slaves = pids(&system.workers().await, "slave").len();
        assert!(slaves >= 2, "{slaves} slaves");
        answer.body["remaining"] == json!([])
    })
    .await;
    system.settle(2).await;
    let took = began.elapsed();
    let after = nodes(&system.workers().await);
    assert!(before.iter().all(|node| !after.contains(node)), "{before:?} became {after:?}");
    stop.cancel();
    let (load, sent) = loading.await.unwrap();
    assert!(load.failures.is_empty(), "{} failed: {:?}", load.failures.len(), load.failures[0]);
    eprintln!("{sent} writes while three workers were renewed within {took:?}");
    check_every_worker(&system, sent).await;
    let kinds = async || {
        let events = system.get("/api/v1/events").await.body;
        let kinds =
            events.as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap().to_owned());
        kinds.filter(|kind| kind.starts_with("renew")).collect::<Vec<_>>()
    };
    until("told of", || async { kinds().await == ["renewing", "renewed"] }).await;
}
