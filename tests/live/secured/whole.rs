//! A whole system on three servers that want to know who is there, two of them over TLS.

use serde_json::json;
use zookeeper_async::ZooKeeperExt;

use super::broker::SecuredBroker;
use super::databases::SecuredDatabases;
use crate::front::signal;
use crate::servers::Servers;
use crate::system::System;
use crate::zookeeper::{plain_client, shared_hosts};

const CREDENTIALS: &str = "rideshare:s3cret-of-the-nodes";

/// What everybody may see of a process: its arguments.
fn arguments(pid: u64) -> String {
    let text = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_system_on_secured_servers_writes_reads_and_fails_over() {
    let (broker, databases) = (SecuredBroker::start().await, SecuredDatabases::start().await);
    let servers =
        Servers { rabbitmq: broker.url(), zookeeper: shared_hosts(), mongodb: databases.url() };
    let mut system = System::prepare_on(servers, 2);
    let authority = broker.authority().certificate();
    system.set("RIDESHARE_RABBITMQ__CA_FILE", authority.to_str().unwrap());
    system.set("RIDESHARE_ZOOKEEPER__CREDENTIALS", CREDENTIALS);
    system.run().await;
    system.settle(2).await;
    let insert =
        |id: u64| json!({ "op": "insert", "collection": "users", "documents": [{ "_id": id }] });
    let strong = json!({ "collection": "users", "consistency": "strong" });
    assert_eq!(system.write(&insert(1)).await.0, 201);
    assert_eq!(system.read(&strong).await["documents"], json!([{ "_id": 1 }]));

    let master = system.master().await.unwrap()["pid"].as_u64().unwrap();
    signal("KILL", master);
    assert_eq!(system.write(&insert(2)).await.0, 201);
    assert_eq!(system.read(&strong).await["documents"], json!([{ "_id": 1 }, { "_id": 2 }]));
    system.replaced(master, 2).await;
    system.level().await;

    for worker in system.workers().await {
        let shown = worker.to_string() + &arguments(worker["pid"].as_u64().unwrap());
        assert_secrets_are_not_in(&shown);
    }
    system.each_log(assert_secrets_are_not_in);
    assert_eq!(system.terminate_orchestrator().await, Some(0));
    let cleaner = plain_client(&shared_hosts()).await;
    cleaner.add_auth("digest", CREDENTIALS.into()).await.unwrap();
    cleaner.delete_recursive(system.root()).await.unwrap();
}

fn assert_secrets_are_not_in(text: &str) {
    let secrets = [SecuredBroker::SECRETS, SecuredDatabases::SECRETS].concat();
    for secret in secrets.iter().chain([&CREDENTIALS.split_once(':').unwrap().1]) {
        assert!(!text.contains(secret), "{text}");
    }
}
