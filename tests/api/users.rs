//! The users service, row by row and code by code.

use serde_json::{Value, json};

use crate::support::{App, AppProcess, System};

pub(crate) const SHA1: &str = "3d725109c7e7c0bfb9d709836735b56d943d263f";

/// Makes a user and returns the status.
pub(crate) async fn put(users: &App, username: &str) -> u16 {
    let body = json!({ "username": username, "password": SHA1 });
    users.put("/api/v1/users", &body).await.status.as_u16()
}

/// A name as part of a path.
fn segment(username: &str) -> String {
    username.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn user_is_made_listed_found_and_removed() {
    let system = System::start(1).await;
    let users = &system.users;
    let none = users.get("/api/v1/users").await;
    assert_eq!((none.status.as_u16(), none.body), (204, json!("")));
    let made = users.put("/api/v1/users", &json!({ "username": "b", "password": SHA1 })).await;
    assert_eq!((made.status.as_u16(), made.body), (201, json!({})));
    assert!(made.offset.is_some(), "the answer says where the write stands");
    assert_eq!(put(users, "a").await, 201);
    let all = users.get("/api/v1/users").await;
    assert_eq!((all.status.as_u16(), all.body), (200, json!(["a", "b"])));
    let one = users.get("/api/v1/users/a").await;
    assert_eq!((one.status.as_u16(), one.body), (200, json!({ "username": "a" })));
    let unknown = users.get("/api/v1/users/c").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.content_type.starts_with("application/problem+json"));
    let gone = users.delete("/api/v1/users/a").await;
    assert_eq!((gone.status.as_u16(), gone.body), (200, json!({})));
    assert_eq!(users.delete("/api/v1/users/a").await.status, 400, "unknown by now");
    assert_eq!(users.get("/api/v1/users/a").await.status, 404);
    assert_eq!(put(users, "a").await, 201, "the name is free again");
}

#[tokio::test]
async fn taken_empty_or_missing_name_and_bad_password_are_400() {
    let system = System::start(1).await;
    let users = &system.users;
    assert_eq!(put(users, "a").await, 201);
    let table = [
        json!({ "username": "a", "password": SHA1 }),
        json!({ "username": "", "password": SHA1 }),
        json!({ "password": SHA1 }),
        json!({ "username": null, "password": SHA1 }),
        json!({ "username": 7, "password": SHA1 }),
        json!({ "username": ["x"], "password": SHA1 }),
        json!({ "username": { "$gt": "" }, "password": SHA1 }),
        json!({ "username": "x" }),
        json!({ "username": "x", "password": "" }),
        json!({ "username": "x", "password": "secret" }),
        json!({ "username": "x", "password": &SHA1[1..] }),
        json!({ "username": "x", "password": format!("{SHA1}0") }),
        json!({ "username": "x", "password": "g".repeat(40) }),
        json!({ "username": "x", "password": 7 }),
        json!({ "username": "x", "password": null }),
        json!([]),
        json!(null),
        json!("x"),
        json!(1),
    ];
    for body in table {
        let answer = users.put("/api/v1/users", &body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(!answer.body["detail"].as_str().unwrap().is_empty());
    }
    let no_json: [&[u8]; 6] = [b"", b"{", b"username=x", b"\xff\xfe", b"{}{}", b"[1,]"];
    for body in no_json {
        assert_eq!(users.send("PUT", "/api/v1/users", body.to_vec()).await.status, 400);
    }
    let twice = format!(r#"{{"username":"x","username":"y","password":"{SHA1}"}}"#);
    assert_eq!(users.send("PUT", "/api/v1/users", twice.into_bytes()).await.status, 400);
    assert_eq!(users.get("/api/v1/users").await.body, json!(["a"]), "nothing was written");
}

#[tokio::test]
async fn any_text_can_be_a_name_and_none_is_cut() {
    let system = System::start(1).await;
    let users = &system.users;
    let names = [
        " ",
        ".",
        "..",
        "a/b",
        "a%2Fb",
        "%",
        "a b",
        "a+b",
        "?x=1",
        "#",
        "\\",
        "\"",
        "'",
        "$where",
        "_id",
        "\u{0}",
        "\n",
        "count",
        "Ünal Ωmega",
        "数据库",
        "👩‍👩‍👧‍👦",
        "e\u{301}",
        "é",
        "a.b",
        "A",
        "a",
    ];
    for name in names {
        assert_eq!(put(users, name).await, 201, "{name:?}");
        assert_eq!(put(users, name).await, 400, "{name:?} is taken");
    }
    let listed = users.get("/api/v1/users").await.body;
    let mut listed: Vec<_> =
        listed.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let mut expected = names.to_vec();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    // A client takes dots as steps in the tree.
    for name in names.into_iter().filter(|name| !matches!(*name, "." | "..")) {
        let path = format!("/api/v1/users/{}", segment(name));
        let found = users.get(&path).await;
        assert_eq!((found.status.as_u16(), &found.body["username"]), (200, &json!(name)));
        assert_eq!(users.delete(&path).await.status, 200, "{name:?}");
        assert_eq!(users.delete(&path).await.status, 400, "{name:?}");
    }
}

#[tokio::test]
async fn name_of_a_hundred_kilobytes_is_kept_whole() {
    let system = System::start(1).await;
    let users = &system.users;
    let long = "ü1234567".repeat(12_500);
    assert_eq!(put(users, &long).await, 201);
    assert_eq!(put(users, &long).await, 400);
    assert_eq!(put(users, &long[..long.len() - 1]).await, 201, "another name");
    let listed = users.get("/api/v1/users").await.body;
    assert_eq!(listed, json!([&long[..long.len() - 1], long]));
    let ride = json!({
        "created_by": long, "timestamp": "01-01-2099:00-00-00", "source": 1, "destination": 2,
    });
    assert_eq!(system.rides.post("/api/v1/rides", &ride).await.status, 201);
    let ride = system.rides.get("/api/v1/rides/1").await.body;
    assert_eq!(ride["created_by"], json!(long));
    let too_large = "x".repeat(1 << 20);
    assert_eq!(put(users, &too_large).await, 413);
}

#[tokio::test]
async fn password_is_stored_as_an_argon2id_hash_alone() {
    let system = System::start(1).await;
    let upper = SHA1.to_uppercase();
    for (name, password) in [("a", SHA1), ("b", SHA1), ("c", upper.as_str())] {
        let body = json!({ "username": name, "password": password });
        assert_eq!(system.users.put("/api/v1/users", &body).await.status, 201);
    }
    let stored = system.find("users", json!({})).await;
    let hashes: Vec<_> = stored.iter().map(|user| user["password"].as_str().unwrap()).collect();
    assert!(hashes.iter().all(|hash| hash.starts_with("$argon2id$v=19$")), "{hashes:?}");
    assert!(hashes[0] != hashes[1], "each has a salt of its own");
    let text = json!(stored).to_string().to_lowercase();
    assert!(!text.contains(SHA1));
    assert!(!system.log().to_lowercase().contains(SHA1), "nor is it logged");
}

#[tokio::test]
async fn wrong_methods_are_405_and_unknown_paths_404() {
    let system = System::start(1).await;
    let table = [
        ("/api/v1/users", "GET, PUT", vec!["POST", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
        ("/api/v1/users/a", "GET, DELETE", vec!["POST", "PUT", "PATCH"]),
        ("/api/v1/_count", "GET, DELETE", vec!["POST", "PUT"]),
        ("/api/v1/db/clear", "POST", vec!["GET", "DELETE", "PUT"]),
    ];
    for (path, allow, methods) in table {
        for method in methods {
            let answer = system.users.send(method, path, Vec::new()).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.allow.as_deref(), Some(allow), "{method} {path}");
        }
    }
    for path in ["/", "/api/v1/user", "/api/v1/users/", "/api/v1/users/a/b", "/api/v1/rides"] {
        assert_eq!(system.users.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn every_request_is_counted_whatever_became_of_it() {
    let system = System::start(1).await;
    let users = &system.users;
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

#[tokio::test]
async fn count_is_exact_when_many_ask_at_once() {
    let system = System::start(1).await;
    let mut calls = tokio::task::JoinSet::new();
    for client in 0..32 {
        let users = system.users.clone();
        calls.spawn(async move {
            for round in 0..25 {
                match (client + round) % 4 {
                    0 => assert_eq!(users.get("/api/v1/users/nobody").await.status, 404),
                    1 => assert_eq!(users.get("/nowhere").await.status, 404),
                    2 => assert_eq!(users.post("/api/v1/users", &Value::Null).await.status, 405),
                    _ => assert_eq!(users.put("/api/v1/users", &Value::Null).await.status, 400),
                }
            }
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    assert_eq!(system.users.count().await, 32 * 25);
    assert_eq!(system.rides.count().await, 0, "each service counts its own");
}

#[tokio::test]
async fn clear_removes_users_and_rides() {
    let system = System::start(1).await;
    for (app, name) in [(&system.users, "a"), (&system.rides, "b")] {
        assert_eq!(put(&system.users, name).await, 201);
        system.insert("rides", json!([{}])).await;
        let answer = app.post("/api/v1/db/clear", &json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.body), (200, json!({})));
        assert!(system.find("users", json!({})).await.is_empty());
        assert!(system.find("rides", json!({})).await.is_empty());
    }
    assert_eq!(system.users.get("/api/v1/users/a").await.status, 404);
}

#[tokio::test]
async fn of_equal_names_at_once_one_is_made() {
    let system = System::start(1).await;
    let second = AppProcess::start("users", &system, &[]).await;
    for round in 0..20 {
        let name = format!("user-{round}");
        let (one, other) = tokio::join!(put(&system.users, &name), put(&second.app, &name));
        let mut statuses = [one, other];
        statuses.sort();
        assert_eq!(statuses, [201, 400], "{name}");
    }
    assert_eq!(system.find("users", json!({})).await.len(), 20);
    assert_eq!(second.terminate().await, Some(0));
}

#[tokio::test]
async fn user_made_through_another_instance_is_known_at_once() {
    let system = System::start_with(3, &[]).await;
    let second = AppProcess::start("users", &system, &[]).await;
    for round in 0..50 {
        let name = format!("user-{round}");
        assert_eq!(put(&system.users, &name).await, 201);
        assert_eq!(second.app.get(&format!("/api/v1/users/{name}")).await.status, 200);
    }
}

#[tokio::test]
async fn health_and_readiness_are_told_and_not_counted() {
    let system = System::start(1).await;
    for app in [&system.users, &system.rides] {
        assert_eq!(app.get("/healthz").await.status, 200);
        assert_eq!(app.get("/readyz").await.status, 200);
        assert_eq!(app.count().await, 0);
    }
}
