//! The rides service, row by row and code by code.

use serde_json::{Value, json};

use crate::support::{App, AppProcess, System};
use crate::users::put;

const LATER: &str = "21-03-2090:59-05-23";

pub(crate) fn ride(created_by: &str) -> Value {
    json!({ "created_by": created_by, "timestamp": LATER, "source": 1, "destination": "198" })
}

pub(crate) async fn post(rides: &App, body: &Value) -> u16 {
    rides.post("/api/v1/rides", body).await.status.as_u16()
}

async fn system_with_users(names: &[&str]) -> System {
    let system = System::start(1).await;
    for name in names {
        assert_eq!(put(&system.users, name).await, 201);
    }
    system
}

#[tokio::test]
async fn ride_is_made_found_joined_counted_and_removed() {
    let system = system_with_users(&["a", "b", "c"]).await;
    let rides = &system.rides;
    assert_eq!(rides.get("/api/v1/rides/count").await.body, json!([0]));
    let made = rides.post("/api/v1/rides", &ride("a")).await;
    assert_eq!((made.status.as_u16(), made.body), (201, json!({})));
    assert_eq!(post(rides, &ride("b")).await, 201);
    let count = rides.get("/api/v1/rides/count").await;
    assert_eq!((count.status.as_u16(), count.body), (200, json!([2])));
    for user in ["b", "c", "b"] {
        let joined = rides.post("/api/v1/rides/1", &json!({ "username": user })).await;
        assert_eq!((joined.status.as_u16(), joined.body), (200, json!({})));
    }
    let found = rides.get("/api/v1/rides/1").await;
    let expected = json!({
        "rideId": 1, "created_by": "a", "users": ["b", "c"], "timestamp": LATER,
        "source": 1, "destination": 198,
    });
    assert_eq!((found.status.as_u16(), found.body), (200, expected));
    let gone = rides.delete("/api/v1/rides/1").await;
    assert_eq!((gone.status.as_u16(), gone.body), (200, json!({})));
    assert_eq!(rides.delete("/api/v1/rides/1").await.status, 400);
    let unknown = rides.get("/api/v1/rides/1").await;
    assert_eq!((unknown.status.as_u16(), unknown.body), (204, json!("")));
    assert_eq!(rides.get("/api/v1/rides/count").await.body, json!([1]));
}

#[tokio::test]
async fn bad_rides_are_400() {
    let system = system_with_users(&["a"]).await;
    let rides = &system.rides;
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

#[tokio::test]
async fn list_holds_what_is_to_come_between_two_areas_by_time() {
    let system = system_with_users(&["a", "b"]).await;
    let rides = &system.rides;
    let table = [
        ("a", "01-01-2091:00-00-00", 21, 22),
        ("b", "31-12-2090:59-59-23", 21, 22),
        ("a", "01-01-2020:00-00-00", 21, 22),
        ("a", "02-01-2091:00-00-00", 22, 21),
        ("a", "01-01-2091:01-00-00", 21, 22),
        ("b", "01-01-2091:00-00-00", 21, 22),
    ];
    for (user, timestamp, source, destination) in table {
        let body = json!({
            "created_by": user, "timestamp": timestamp, "source": source, "destination": destination,
        });
        assert_eq!(post(rides, &body).await, 201, "{body}");
    }
    let listed = rides.get("/api/v1/rides?source=21&destination=22").await;
    let expected = json!([
        { "rideId": 2, "username": "b", "timestamp": "31-12-2090:59-59-23" },
        { "rideId": 1, "username": "a", "timestamp": "01-01-2091:00-00-00" },
        { "rideId": 6, "username": "b", "timestamp": "01-01-2091:00-00-00" },
        { "rideId": 5, "username": "a", "timestamp": "01-01-2091:01-00-00" },
    ]);
    assert_eq!((listed.status.as_u16(), listed.body), (200, expected));
    let past = rides.get("/api/v1/rides/3").await;
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

#[tokio::test]
async fn list_longer_than_a_page_is_whole_and_in_order() {
    let system = System::start(1).await;
    let documents: Vec<_> = (0..2_500)
        .map(|number| {
            json!({
                "_id": number, "created_by": "a", "users": [], "source": 1, "destination": 2,
                "timestamp": format!("2090-01-01T00:00:{:02}", (number * 7) % 3),
            })
        })
        .collect();
    for chunk in documents.chunks(500) {
        assert_eq!(system.insert("rides", json!(chunk)).await.status, 201);
    }
    // The service reads its own writes: this one makes it see the ones before.
    assert_eq!(put(&system.users, "a").await, 201);
    assert_eq!(post(&system.rides, &ride("a")).await, 201, "the counter moves past ids in use");
    let listed = system.rides.get("/api/v1/rides?source=1&destination=2").await.body;
    let keys: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["timestamp"].as_str().unwrap().to_owned(), it["rideId"].as_u64().unwrap()))
        .collect();
    assert_eq!(keys.len(), 2_500);
    assert!(keys.is_sorted(), "by time, then by id");
    assert_eq!(system.rides.get("/api/v1/rides/2500").await.body["created_by"], "a");
}

#[tokio::test]
async fn odd_ride_ids_have_their_codes() {
    let system = system_with_users(&["a"]).await;
    let rides = &system.rides;
    let huge = format!("1{}", "0".repeat(30));
    let join = json!({ "username": "a" });
    for id in ["0", "-1", "7", "9223372036854775807", "9223372036854775808", &huge] {
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

#[tokio::test]
async fn join_of_unknown_rides_and_users_and_bad_bodies_are_400() {
    let system = system_with_users(&["a"]).await;
    let rides = &system.rides;
    assert_eq!(post(rides, &ride("a")).await, 201);
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
        assert_eq!(rides.post("/api/v1/rides/1", &body).await.status, 400, "{body}");
    }
    assert_eq!(rides.send("POST", "/api/v1/rides/1", b"{".to_vec()).await.status, 400);
    assert_eq!(rides.post("/api/v1/rides/2", &json!({ "username": "a" })).await.status, 400);
    assert_eq!(rides.get("/api/v1/rides/1").await.body["users"], json!([]));
}

#[tokio::test]
async fn wrong_methods_are_405_and_unknown_paths_404_and_all_are_counted() {
    let system = System::start(1).await;
    let rides = &system.rides;
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

#[tokio::test]
async fn ids_rise_and_are_never_used_again() {
    let system = system_with_users(&["a"]).await;
    let rides = &system.rides;
    assert_eq!(post(rides, &ride("a")).await, 201);
    assert_eq!(post(rides, &ride("a")).await, 201);
    assert_eq!(rides.delete("/api/v1/rides/2").await.status, 200);
    assert_eq!(rides.post("/api/v1/db/clear", &Value::Null).await.status, 200);
    assert_eq!(put(&system.users, "a").await, 201);
    assert_eq!(post(rides, &ride("a")).await, 201);
    let ids: Vec<_> =
        system.find("rides", json!({})).await.iter().map(|it| it["_id"].clone()).collect();
    assert_eq!(ids, [json!(3)]);
}

#[tokio::test]
async fn areas_can_be_replaced() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "number,name\n500,Here\n501,There\n").unwrap();
    let path = file.path().to_str().unwrap();
    let system = System::start_with(1, &[("RIDESHARE_APPS__AREAS_FILE", path)]).await;
    assert_eq!(put(&system.users, "a").await, 201);
    assert_eq!(post(&system.rides, &ride("a")).await, 400);
    let mut body = ride("a");
    (body["source"], body["destination"]) = (json!(500), json!(501));
    assert_eq!(post(&system.rides, &body).await, 201);
}

#[tokio::test]
async fn ride_by_a_user_just_made_is_accepted_through_any_instance() {
    let system = System::start(3).await;
    let other_users = AppProcess::start("users", &system, &[]).await;
    let arguments = ["--users-url", &other_users.app.url];
    let other_rides = AppProcess::start("rides", &system, &arguments).await;
    for round in 0..40 {
        let name = format!("user-{round}");
        let users = if round % 2 == 0 { &system.users } else { &other_users.app };
        assert_eq!(put(users, &name).await, 201);
        for rides in [&system.rides, &other_rides.app] {
            assert_eq!(post(rides, &ride(&name)).await, 201, "{name}");
        }
    }
    let made = system.find("rides", json!({})).await;
    assert_eq!(made.len(), 80);
    assert_eq!(other_rides.terminate().await, Some(0));
}
