//! ZooKeeper with digest credentials: what becomes of a process that has others.

use rideshare::adapters::zookeeper::Credentials;
use rideshare::ports::coordination::Coordination;
use zookeeper_async::ZooKeeperExt;

use crate::system::System;
use crate::zookeeper::{connected, plain_client, register_all, settings, shared_hosts};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_of_the_coordination_are_told_by_their_setting_and_not_shown() {
    let mut right = settings(shared_hosts());
    right.credentials = Some(Credentials::new("rideshare:secret"));
    let owner = connected(&right).await;
    register_all(&owner).await;

    let system = System::prepare(1);
    for wrong in ["rideshare:guessed", ""] {
        let mut command = system.command(&["worker", "--type", "slave"]);
        command.env("RIDESHARE_ZOOKEEPER__ROOT", &right.root);
        command.env("RIDESHARE_ZOOKEEPER__CREDENTIALS", wrong);
        let worker = system.worker_of(command);
        worker.says("zookeeper.credentials").await;
        assert!(!worker.log().contains("guessed"), "{}", worker.log());
    }
    owner.close().await;
    let cleaner = plain_client(&right.hosts).await;
    cleaner.add_auth("digest", b"rideshare:secret".to_vec()).await.unwrap();
    cleaner.delete_recursive(&right.root).await.unwrap();
}
