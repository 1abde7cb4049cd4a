//! A request that every master dies of.

use mongodb::bson::{Bson, doc};
use serde_json::{Value, json};

use super::verdict::Verdict;
use crate::front::signal;
use crate::load::{Load, STEADY};
use crate::system::System;

/// Masters that may die of one request.
const LIMIT: usize = 3;
const DOCUMENTS: u64 = 50_000;
/// Comparisons for each document: so many that whoever looks for it sees the query under way.
const COMPARISONS: usize = 400;

/// What every such comparison has in it.
const MARK: &str = "zzz poison";

/// An update of nothing that takes long to find out so.
fn poison() -> Value {
    let never = |number| json!({ "text": { "$gt": format!("{MARK} {number}") } });
    let filter = json!({ "$or": (0..COMPARISONS).map(never).collect::<Vec<_>>() });
    json!({ "op": "update", "collection": "many", "filter": filter, "update": { "$set": { "a": 1 } } })
}

/// The databases that look for the poison's documents at this moment.
async fn looking(admin: &mongodb::Database) -> Vec<String> {
    let of_many = doc! { "currentOp": 1, "ns": { "$regex": "\\.many$" } };
    let told = admin.run_command(of_many).await.unwrap();
    let operations = told.get_array("inprog").unwrap().iter().filter_map(Bson::as_document);
    let poisoned = operations.filter(|it| it.to_string().contains(MARK));
    poisoned.map(|it| it.get_str("ns").unwrap().split('.').next().unwrap().to_owned()).collect()
}

/// Sends the poison, and kills each master that has it in its hands. Returns the answer, and whom it
/// killed.
async fn hunt(system: &System, admin: &mongodb::Database) -> (u16, Value, Vec<String>) {
    let (poison, mut killed) = (poison(), Vec::new());
    let answer = system.write(&poison);
    tokio::pin!(answer);
    loop {
        tokio::select! {
            biased;
            (status, answer) = &mut answer => return (status, answer, killed),
            names = looking(admin) => {
                let Some(master) = system.master().await else { continue };
                let node = master["node"].as_str().unwrap().to_owned();
                // What the dead one asked its database goes on for a moment.
                if names.iter().any(|name| name.ends_with(&node)) && !killed.contains(&node) {
                    signal("KILL", master["pid"].as_u64().unwrap());
                    killed.push(node);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn request_that_masters_die_of_is_set_aside_and_the_others_are_answered() {
    let mut system = System::prepare(2);
    system.set("RIDESHARE_RABBITMQ__WRITE_QUEUE_KIND", "quorum");
    system.set("RIDESHARE_RABBITMQ__DELIVERY_LIMIT", &LIMIT.to_string());
    system.run().await;
    system.settle(2).await;
    let document = |id| json!({ "_id": id, "text": format!("document {id}") });
    for first in (0..DOCUMENTS).step_by(1_000) {
        let documents: Vec<_> = (first..first + 1_000).map(document).collect();
        let body = json!({ "op": "insert", "collection": "many", "documents": documents });
        assert_eq!(system.write(&body).await.0, 201);
    }
    let load = Load::start(&system.url, STEADY, &system.history_file("poison"));
    let client = mongodb::Client::with_uri_str(format!("mongodb://{}", system.database_host()));
    let admin = client.await.unwrap().database("admin");

    let (status, answer, killed) = hunt(&system, &admin).await;
    assert_eq!((status, &answer["outcome"]), (504, &json!("unknown")), "{answer}");
    assert_eq!(killed.len(), LIMIT, "{killed:?}");
    let set_aside = std::sync::atomic::AtomicUsize::new(0);
    system.each_log(|log| {
        let lines = log.matches("request set aside").count();
        set_aside.fetch_add(lines, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(set_aside.into_inner() > 0);
    system.settle(2).await;
    Verdict::reach(&system, load).await.assert_sound("one request that masters die of");
    system.finish().await;
}
