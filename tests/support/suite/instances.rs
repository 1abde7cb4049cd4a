//! Several instances of each service: one state, whichever is asked.

use serde_json::json;

use super::Target;
use super::rides::{make, post, ride};
use super::users::put;

pub(crate) async fn of_equal_names_at_once_one_is_made(target: &Target) {
    let [one, other] = target.two_users();
    for round in 0..20 {
        let name = format!("user-{round}");
        let (one, other) = tokio::join!(put(one, &name), put(other, &name));
        let mut statuses = [one, other];
        statuses.sort();
        assert_eq!(statuses, [201, 400], "{name}");
    }
    assert_eq!(target.find("users", json!({})).await.len(), 20);
}

pub(crate) async fn user_made_through_another_instance_is_known_at_once(target: &Target) {
    for round in 0..50 {
        let [mut one, mut other] = target.two_users();
        if round % 2 == 1 {
            (one, other) = (other, one);
        }
        let name = format!("user-{round}");
        assert_eq!(put(one, &name).await, 201);
        assert_eq!(other.get(&format!("/api/v1/users/{name}")).await.status, 200);
    }
}

pub(crate) async fn ride_by_a_user_just_made_is_accepted_through_any_instance(target: &Target) {
    for round in 0..40 {
        let users = target.two_users()[round % 2];
        let (name, friend) = (format!("user-{round}"), format!("friend-{round}"));
        assert_eq!(put(users, &name).await, 201);
        for rides in target.two_rides() {
            assert_eq!(post(rides, &ride(&name)).await, 201, "{name}");
        }
        assert_eq!(put(users, &friend).await, 201);
        let path = format!("/api/v1/rides/{}", target.newest_ride().await);
        for rides in target.two_rides() {
            let joined = rides.post(&path, &json!({ "username": friend })).await;
            assert_eq!(joined.status, 200, "{friend} {joined:?}");
            assert_eq!(rides.get(&path).await.body["users"], json!([friend]));
        }
    }
    assert_eq!(target.find("rides", json!({})).await.len(), 80);
}

/// The offset of an answer, sent with the next request, is a session with all instances: also what
/// was removed stays away.
pub(crate) async fn client_that_tells_its_offset_is_never_shown_less(target: &Target) {
    let ([users, other_users], [rides, other_rides]) = (target.two_users(), target.two_rides());
    for round in 0..40 {
        let name = format!("user-{round}");
        assert_eq!(put(users, &name).await, 201);
        let gone = users.delete(&format!("/api/v1/users/{name}")).await;
        assert_eq!(gone.status, 200);
        let offset = gone.offset.unwrap().to_string();
        let told = [("X-Rideshare-Offset", offset.as_str())];
        let path = format!("/api/v1/users/{name}");
        let found = other_users.send_with("GET", &path, Vec::new(), &told).await;
        assert_eq!(found.status, 404, "{name}");
        for rides in [rides, other_rides] {
            let body = ride(&name).to_string().into_bytes();
            let made = rides.send_with("POST", "/api/v1/rides", body, &told).await;
            assert_eq!(made.status, 400, "{name} is gone");
        }
    }
    assert_eq!(put(users, "a").await, 201);
    for _ in 0..40 {
        let id = make(target, &ride("a")).await;
        let path = format!("/api/v1/rides/{id}");
        let gone = rides.delete(&path).await;
        let offset = gone.offset.unwrap().to_string();
        let told = [("X-Rideshare-Offset", offset.as_str())];
        let found = other_rides.send_with("GET", &path, Vec::new(), &told).await;
        assert_eq!(found.status, 204, "{id}");
        let list = "/api/v1/rides?source=1&destination=198";
        let listed = other_rides.send_with("GET", list, Vec::new(), &told).await;
        assert_eq!(listed.status, 204, "{id}");
    }
    let odd = other_rides
        .send_with("GET", "/api/v1/rides/count", Vec::new(), &[("X-Rideshare-Offset", "x")])
        .await;
    assert_eq!(odd.status, 400);
}

pub(crate) async fn ids_of_two_instances_never_meet(target: &Target) {
    const RIDES: usize = 60;
    assert_eq!(put(target.users(), "a").await, 201);
    let mut calls = tokio::task::JoinSet::new();
    for round in 0..RIDES {
        let rides = target.two_rides()[round % 2].clone();
        calls.spawn(async move { post(&rides, &ride("a")).await });
    }
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap(), 201);
    }
    let stored = target.find("rides", json!({})).await;
    assert_eq!(stored.len(), RIDES);
    for rides in target.two_rides() {
        let last = make(target, &ride("a")).await;
        let found = rides.get(&format!("/api/v1/rides/{last}")).await;
        assert_eq!(found.body["rideId"], last);
    }
}
