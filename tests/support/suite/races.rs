//! Many at once, and the master killed meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Target;
use super::rides::{make, ride};
use super::users::put;

const CLIENTS: usize = 32;
const KILLS: usize = 6;

pub(crate) async fn two_joins_at_once_keep_both(target: &Target) {
    for name in ["a", "b", "c"] {
        assert_eq!(put(target.users(), name).await, 201);
    }
    for _ in 0..20 {
        let path = format!("/api/v1/rides/{}", make(target, &ride("a")).await);
        let (b, c) = (json!({ "username": "b" }), json!({ "username": "c" }));
        let (one, other) =
            tokio::join!(target.rides().post(&path, &b), target.rides().post(&path, &c));
        assert_eq!((one.status.as_u16(), other.status.as_u16()), (200, 200));
        let users = target.rides().get(&path).await.body["users"].clone();
        assert!(users == json!(["b", "c"]) || users == json!(["c", "b"]), "{users}");
    }
}

pub(crate) async fn of_two_removals_at_once_one_succeeds(target: &Target) {
    assert_eq!(put(target.users(), "a").await, 201);
    for _ in 0..20 {
        let path = format!("/api/v1/rides/{}", make(target, &ride("a")).await);
        let (one, other) = tokio::join!(target.rides().delete(&path), target.rides().delete(&path));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort();
        assert_eq!(statuses, [200, 400]);
    }
}

/// What one client did and was told: its rides that must be there, each with who joined.
type Expected = BTreeMap<u64, Vec<String>>;

/// Makes, joins and removes rides of its own until told to stop. A ride's source and destination
/// say whose it is.
async fn client(target: Target, number: usize, stop: CancellationToken) -> (Expected, usize) {
    let (name, friend) = (format!("user-{number}"), format!("user-{}", (number + 1) % CLIENTS));
    let mut body = ride(&name);
    (body["source"], body["destination"]) = (json!(number + 1), json!(number + 2));
    let list = format!("/api/v1/rides?source={}&destination={}", number + 1, number + 2);
    let (mut expected, mut made) = (Expected::new(), 0);
    // Each client has its own instances, so that all take part.
    let rides = &target.all_rides[number % target.all_rides.len()];
    while !stop.is_cancelled() {
        let answer = rides.post("/api/v1/rides", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        made += 1;
        let listed = rides.get(&list).await;
        assert_eq!(listed.status, 200, "a ride just made is listed");
        let listed = listed.body.as_array().unwrap().clone();
        let id = listed.iter().map(|it| it["rideId"].as_u64().unwrap()).max().unwrap();
        assert!(expected.insert(id, Vec::new()).is_none(), "{id} is new");
        assert_eq!(listed.len(), expected.len(), "made once, removed for good");
        let path = format!("/api/v1/rides/{id}");
        let joined = rides.post(&path, &json!({ "username": friend })).await;
        assert_eq!(joined.status, 200, "{joined:?}");
        expected.get_mut(&id).unwrap().push(friend.clone());
        if made % 3 == 0 {
            let removed = rides.delete(&path).await;
            assert_eq!(removed.status, 200, "{removed:?}");
            expected.remove(&id);
        }
    }
    (expected, made)
}

pub(crate) async fn what_was_answered_is_what_is_there_after_kills_of_the_master(target: &Target) {
    let slaves = target.slaves().await;
    let mut makers = JoinSet::new();
    for number in 0..CLIENTS {
        let users = target.all_users[number % target.all_users.len()].clone();
        makers.spawn(async move { put(&users, &format!("user-{number}")).await });
    }
    while let Some(made) = makers.join_next().await {
        assert_eq!(made.unwrap(), 201);
    }
    let (stop, mut clients) = (CancellationToken::new(), JoinSet::new());
    for number in 0..CLIENTS {
        clients.spawn(client(target.clone(), number, stop.clone()));
    }
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let killed = target.database.post("/api/v1/crash/master", &Value::Null).await;
        assert_eq!(killed.status, 200, "{killed:?}");
        target.settle(slaves).await;
    }
    stop.cancel();
    let (mut expected, mut made) = (Expected::new(), 0);
    while let Some(told) = clients.join_next().await {
        let (rides, count) = told.unwrap();
        expected.extend(rides);
        made += count;
    }
    let stored: Expected = target
        .find("rides", json!({}))
        .await
        .iter()
        .map(|ride| {
            let users = ride["users"].as_array().unwrap();
            let users = users.iter().map(|user| user.as_str().unwrap().to_owned()).collect();
            (ride["_id"].as_u64().unwrap(), users)
        })
        .collect();
    assert_eq!(stored, expected);
    assert_eq!(target.rides().get("/api/v1/rides/count").await.body, json!([expected.len()]));
    eprintln!("{made} rides made by {CLIENTS} clients over {KILLS} kills, {} left", stored.len());
    assert!(made > 100, "{made} rides are no load");
}
