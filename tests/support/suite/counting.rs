//! The count of requests: exact, whatever becomes of them and however many come at once.

use serde_json::{Value, json};

use super::Target;
use super::rides::ride;
use super::users::{SHA1, put};

pub(crate) async fn every_request_is_counted_whatever_became_of_it(target: &Target) {
    let users = target.users();
    assert_eq!(users.count().await, 0);
    put(users, "a").await;
    put(users, "a").await;
    users.send("PUT", "/api/v1/users", b"{".to_vec()).await;
    users.send("POST", "/api/v1/users", Vec::new()).await;
    users.get("/nowhere").await;
    users.get("/api/v1/users").await;
    users.post("/api/v1/db/clear", &Value::Null).await;
    users.send("PUT", "/api/v1/_count", Vec::new()).await;
    assert_eq!(users.count().await, 7);
    assert_eq!(users.count().await, 7, "counting is not counted");
    let reset = users.delete("/api/v1/_count").await;
    assert_eq!((reset.status.as_u16(), reset.body), (200, json!({})));
    assert_eq!(users.count().await, 0);
}

/// Every kind of end that a request can have: success, refusals, a body that is too large, unknown
/// paths, wrong methods. 64 at once for each service.
pub(crate) async fn count_is_exact_when_many_ask_at_once(target: &Target) {
    const CLIENTS: usize = 64;
    const ROUNDS: usize = 16;
    assert_eq!(put(target.users(), "a").await, 201);
    target.users().delete("/api/v1/_count").await;
    let mut calls = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let target = target.clone();
        calls.spawn(async move {
            for round in 0..ROUNDS {
                one_request_each(&target, client + round).await;
            }
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    let sent = (CLIENTS * ROUNDS) as u64;
    assert_eq!(target.rides().count().await, sent, "each service counts its own");
    // A ride asks for its user: those requests come from the rides service.
    let asked = target.find("rides", json!({})).await.len() as u64;
    assert_eq!(target.users().count().await, sent + asked);
}

async fn one_request_each(target: &Target, kind: usize) {
    let (users, rides) = (target.users(), target.rides());
    let large = || vec![b' '; (1 << 20) + 1];
    let user = match kind % 8 {
        0 => (users.get("/api/v1/users/nobody").await, 404),
        1 => (users.get("/nowhere").await, 404),
        2 => (users.post("/api/v1/users", &Value::Null).await, 405),
        3 => (users.put("/api/v1/users", &Value::Null).await, 400),
        4 => (users.put("/api/v1/users", &json!({ "username": "a", "password": SHA1 })).await, 400),
        5 => (users.send("PUT", "/api/v1/users", large()).await, 413),
        6 => (users.send("BREW", "/api/v1/users", Vec::new()).await, 405),
        _ => (users.get("/api/v1/users").await, 200),
    };
    assert_eq!(user.0.status, user.1, "{:?}", user.0);
    let ride = match kind % 8 {
        0 => (rides.get("/api/v1/rides/1.5").await, 400),
        1 => (rides.get("/nowhere").await, 404),
        2 => (rides.send("PATCH", "/api/v1/rides/1", Vec::new()).await, 405),
        3 => (rides.post("/api/v1/rides", &Value::Null).await, 400),
        4 => (rides.get("/api/v1/rides/1000000000").await, 204),
        5 => (rides.send("POST", "/api/v1/rides", large()).await, 413),
        6 => (rides.post("/api/v1/rides", &ride("a")).await, 201),
        _ => (rides.get("/api/v1/rides/count").await, 200),
    };
    assert_eq!(ride.0.status, ride.1, "{:?}", ride.0);
}
