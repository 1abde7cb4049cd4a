//! The rides service, row by row and code by code.

use serde_json::{Value, json};

use super::Target;
use super::client::Service;
use super::users::put;

const LATER: &str = "21-03-2090:59-05-23";

pub(crate) fn ride(created_by: &str) -> Value {
    json!({ "created_by": created_by, "timestamp": LATER, "source": 1, "destination": "198" })
}

pub(crate) async fn post(rides: &Service, body: &Value) -> u16 {
    rides.post("/api/v1/rides", body).await.status.as_u16()
}

async fn make_users(target: &Target, names: &[&str]) {
    for name in names {
        assert_eq!(put(target.users(), name).await, 201);
    }
}

/// Makes a ride and returns its id.
pub(crate) async fn make(target: &Target, body: &Value) -> u64 {
    assert_eq!(post(target.rides(), body).await, 201, "{body}");
    target.newest_ride().await
}

pub(crate) async fn ride_is_made_found_joined_counted_and_removed(target: &Target) {
    make_users(target, &["a", "b", "c"]).await;
    let rides = target.rides();
    assert_eq!(rides.get("/api/v1/rides/count").await.body, json!([0]));
    let made = rides.post("/api/v1/rides", &ride("a")).await;
    assert!(made.offset.is_some(), "the answer says where the write stands");
    assert_eq!(made.parts(), (201, json!({})));
    let id = target.newest_ride().await;
    assert_eq!(post(rides, &ride("b")).await, 201);
    assert_eq!(rides.get("/api/v1/rides/count").await.parts(), (200, json!([2])));
    let path = format!("/api/v1/rides/{id}");
    for user in ["b", "c", "b"] {
        let joined = rides.post(&path, &json!({ "username": user })).await;
        assert_eq!(joined.parts(), (200, json!({})));
    }
    let expected = json!({
        "rideId": id, "created_by": "a", "users": ["b", "c"], "timestamp": LATER,
        "source": 1, "destination": 198,
    });
    assert_eq!(rides.get(&path).await.parts(), (200, expected));
    assert_eq!(rides.delete(&path).await.parts(), (200, json!({})));
    assert_eq!(rides.delete(&path).await.status, 400);
    assert_eq!(rides.get(&path).await.parts(), (204, json!("")));
    assert_eq!(rides.get("/api/v1/rides/count").await.body, json!([1]));
}

pub(crate) async fn bad_rides_are_400(target: &Target) {
    make_users(target, &["a"]).await;
    let rides = target.rides();
    let mut table = Vec::new();
    for field in ["created_by", "timestamp", "source", "destination"] {
        let mut missing = ride("a");
        missing.as_object_mut().unwrap().remove(field);
        table.push(missing);
        for wrong in [json!(null), json!([]), json!({}), json!(true), json!(1.5), json!("")] {
            let mut body = ride("a");
            body[field] = wrong;
            table.push(body);
        }
    }
    let wrong = [
        ("created_by", json!("nobody")),
        ("created_by", json!("A")),
        ("created_by", json!("x".repeat(100_000))),
        ("created_by", json!("..")),
        ("source", json!(0)),
        ("source", json!(199)),
        ("source", json!(-1)),
        ("source", json!("199")),
        ("source", json!("one")),
        ("source", json!(198)),
        ("destination", json!(0)),
        ("destination", json!("0")),
        ("destination", json!(199)),
        ("destination", json!("1")),
        ("timestamp", json!("31-02-2090:00-00-00")),
        ("timestamp", json!("29-02-2090:00-00-00")),
        ("timestamp", json!("01-01-2090:60-00-00")),
        ("timestamp", json!("01-01-2090:00-60-00")),
        ("timestamp", json!("01-01-2090:00-00-24")),
        ("timestamp", json!("1-1-2090:0-0-0")),
        ("timestamp", json!("2090-01-01T00:00:00")),
        ("timestamp", json!("tomorrow")),
        ("timestamp", json!(1_700_000_000)),
    ];
    table.extend(wrong.into_iter().map(|(field, wrong)| {
        let mut body = ride("a");
        body[field] = wrong;
        body
    }));
    table.extend([json!([]), json!(null), json!("x"), json!(7)]);
    for body in table {
        let answer = rides.post("/api/v1/rides", &body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.content_type.starts_with("application/problem+json"));
    }
    let no_json: [&[u8]; 4] = [b"", b"{", b"created_by=a", b"\xff"];
    for body in no_json {
        assert_eq!(rides.send("POST", "/api/v1/rides", body.to_vec()).await.status, 400);
    }
    assert_eq!(rides.get("/api/v1/rides/count").await.body, json!([0]), "nothing was written");
}

pub(crate) async fn list_holds_what_is_to_come_between_two_areas_by_time(target: &Target) {
    make_users(target, &["a", "b"]).await;
    let rides = target.rides();
    let table = [
        ("a", "01-01-2091:00-00-00", 21, 22),
        ("b", "31-12-2090:59-59-23", 21, 22),
        ("a", "01-01-2020:00-00-00", 21, 22),
        ("a", "02-01-2091:00-00-00", 22, 21),
        ("a", "01-01-2091:01-00-00", 21, 22),
        ("b", "01-01-2091:00-00-00", 21, 22),
    ];
    let mut ids = Vec::new();
    for (user, timestamp, source, destination) in table {
        let body = json!({
            "created_by": user, "timestamp": timestamp, "source": source, "destination": destination,
        });
        ids.push(make(target, &body).await);
    }
    let listed = rides.get("/api/v1/rides?source=21&destination=22").await;
    let expected = json!([
        { "rideId": ids[1], "username": "b", "timestamp": "31-12-2090:59-59-23" },
        { "rideId": ids[0], "username": "a", "timestamp": "01-01-2091:00-00-00" },
        { "rideId": ids[5], "username": "b", "timestamp": "01-01-2091:00-00-00" },
        { "rideId": ids[4], "username": "a", "timestamp": "01-01-2091:01-00-00" },
    ]);
    assert_eq!(listed.parts(), (200, expected));
    let past = rides.get(&format!("/api/v1/rides/{}", ids[2])).await;
    assert_eq!(past.body["timestamp"], "01-01-2020:00-00-00", "past rides are there all the same");
    let none = rides.get("/api/v1/rides?source=1&destination=2").await;
    assert_eq!((none.status.as_u16(), none.body), (204, json!("")));
    let same = rides.get("/api/v1/rides?source=1&destination=1").await;
    assert_eq!(same.status, 204);
    let wrong = [
        "",
        "?",
        "?source=1",
        "?destination=1",
        "?source=&destination=1",
        "?source=0&destination=1",
        "?source=1&destination=199",
        "?source=a&destination=1",
        "?source=1.5&destination=1",
        "?source=-1&destination=2",
        "?source=+1&destination=2",
        "?source=%31&destination=%ff",
        "?Source=1&destination=2",
        "?source=99999999999999999999&destination=2",
    ];
    for query in wrong {
        assert_eq!(rides.get(&format!("/api/v1/rides{query}")).await.status, 400, "{query}");
    }
}

pub(crate) async fn list_longer_than_a_page_is_whole_and_in_order(target: &Target) {
    let documents: Vec<_> = (0..2_500)
        .map(|number| {
            json!({
                "_id": number, "created_by": "a", "users": [], "source": 1, "destination": 2,
                "timestamp": format!("2090-01-01T00:00:{:02}", (number * 7) % 3),
            })
        })
        .collect();
    for chunk in documents.chunks(500) {
        assert_eq!(target.insert("rides", json!(chunk)).await.status, 201);
    }
    // The service reads its own writes: this one makes it see the ones before.
    assert_eq!(put(target.users(), "a").await, 201);
    let id = make(target, &ride("a")).await;
    assert!(id >= 2_500, "the counter moves past ids in use");
    let listed = target.rides().get("/api/v1/rides?source=1&destination=2").await.body;
    let keys: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["timestamp"].as_str().unwrap().to_owned(), it["rideId"].as_u64().unwrap()))
        .collect();
    assert_eq!(keys.len(), 2_500);
    assert!(keys.is_sorted(), "by time, then by id");
    let made = target.rides().get(&format!("/api/v1/rides/{id}")).await;
    assert_eq!(made.body["created_by"], "a");
}

pub(crate) async fn odd_ride_ids_have_their_codes(target: &Target) {
    make_users(target, &["a"]).await;
    let rides = target.rides();
    let huge = format!("1{}", "0".repeat(30));
    let join = json!({ "username": "a" });
    for id in ["0", "-1", "007", "9223372036854775807", "9223372036854775808", &huge] {
        let path = format!("/api/v1/rides/{id}");
        assert_eq!(rides.get(&path).await.status, 204, "{id}");
        assert_eq!(rides.post(&path, &join).await.status, 400, "{id}");
        assert_eq!(rides.delete(&path).await.status, 400, "{id}");
    }
    for id in ["1.5", "x", "1e3", "%20", "0x1", "1%2F2", "%00", "%ff", "10%5E30", "+1", "null"] {
        let path = format!("/api/v1/rides/{id}");
        assert_eq!(rides.get(&path).await.status, 400, "{id}");
        assert_eq!(rides.post(&path, &join).await.status, 400, "{id}");
        assert_eq!(rides.delete(&path).await.status, 400, "{id}");
    }
}

pub(crate) async fn join_of_unknown_rides_and_users_and_bad_bodies_are_400(target: &Target) {
    make_users(target, &["a"]).await;
    let rides = target.rides();
    let id = make(target, &ride("a")).await;
    let (path, unknown) = (format!("/api/v1/rides/{id}"), format!("/api/v1/rides/{}", id + 1));
    let table = [
        json!({ "username": "nobody" }),
        json!({ "username": "" }),
        json!({ "username": null }),
        json!({ "username": 1 }),
        json!({ "username": ["a"] }),
        json!({}),
        json!([]),
        json!("a"),
    ];
    for body in table {
        assert_eq!(rides.post(&path, &body).await.status, 400, "{body}");
    }
    assert_eq!(rides.send("POST", &path, b"{".to_vec()).await.status, 400);
    assert_eq!(rides.post(&unknown, &json!({ "username": "a" })).await.status, 400);
    assert_eq!(rides.get(&path).await.body["users"], json!([]));
}

pub(crate) async fn wrong_methods_of_rides_are_405_and_unknown_paths_404_and_all_are_counted(
    target: &Target,
) {
    let rides = target.rides();
    let table = [
        ("/api/v1/rides", "GET, POST", vec!["PUT", "DELETE", "PATCH", "HEAD"]),
        ("/api/v1/rides/1", "GET, POST, DELETE", vec!["PUT", "PATCH"]),
        ("/api/v1/rides/count", "GET", vec!["POST", "DELETE", "PUT"]),
        ("/api/v1/db/clear", "POST", vec!["GET"]),
    ];
    let mut sent = 0;
    for (path, allow, methods) in table {
        for method in methods {
            let answer = rides.send(method, path, Vec::new()).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.allow.as_deref(), Some(allow), "{method} {path}");
            sent += 1;
        }
    }
    for path in ["/", "/api/v1/ride", "/api/v1/rides/", "/api/v1/rides/1/2", "/api/v1/users"] {
        assert_eq!(rides.get(path).await.status, 404, "{path}");
        sent += 1;
    }
    assert_eq!(rides.send("POST", "/api/v1/_count", Vec::new()).await.status, 405);
    assert_eq!(rides.count().await, sent);
    assert_eq!(rides.delete("/api/v1/_count").await.body, json!({}));
    assert_eq!(rides.count().await, 0);
}

pub(crate) async fn ids_rise_and_are_never_used_again(target: &Target) {
    make_users(target, &["a"]).await;
    let rides = target.rides();
    let first = make(target, &ride("a")).await;
    let second = make(target, &ride("a")).await;
    assert!(first < second);
    assert_eq!(rides.delete(&format!("/api/v1/rides/{second}")).await.status, 200);
    assert_eq!(rides.post("/api/v1/db/clear", &Value::Null).await.status, 200);
    assert_eq!(put(target.users(), "a").await, 201);
    assert!(make(target, &ride("a")).await > second);
    assert_eq!(target.find("rides", json!({})).await.len(), 1);
}

pub(crate) async fn any_text_goes_through_rides_unchanged(target: &Target) {
    let names = ["..", "a/b", "%2F", "\u{0}", "\n", "$where", "数据库", "👩‍👩‍👧‍👦", "e\u{301}", "é", " "];
    make_users(target, &names).await;
    for (name, friend) in names.iter().zip(names.iter().cycle().skip(1)) {
        let id = make(target, &ride(name)).await;
        let path = format!("/api/v1/rides/{id}");
        let joined = target.rides().post(&path, &json!({ "username": friend })).await;
        assert_eq!(joined.status, 200, "{friend:?}");
        let found = target.rides().get(&path).await.body;
        assert_eq!((&found["created_by"], &found["users"]), (&json!(name), &json!([friend])));
    }
    let listed = target.rides().get("/api/v1/rides?source=1&destination=198").await.body;
    let listed = listed.as_array().unwrap();
    let listed: Vec<_> = listed.iter().map(|ride| ride["username"].as_str().unwrap()).collect();
    assert_eq!(listed, names);
}
