//! The users service, row by row and code by code.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Target;
use super::client::Service;

pub(crate) const SHA1: &str = "3d725109c7e7c0bfb9d709836735b56d943d263f";

/// Makes a user and returns the status.
pub(crate) async fn put(users: &Service, username: &str) -> u16 {
    let body = json!({ "username": username, "password": SHA1 });
    users.put("/api/v1/users", &body).await.status.as_u16()
}

/// A name as part of a path.
pub(crate) fn segment(username: &str) -> String {
    username.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

pub(crate) async fn user_is_made_listed_found_and_removed(target: &Target) {
    let users = target.users();
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

pub(crate) async fn taken_empty_or_missing_name_and_bad_password_are_400(target: &Target) {
    let users = target.users();
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

pub(crate) async fn any_text_can_be_a_name_and_none_is_cut(target: &Target) {
    let users = target.users();
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

/// Longer than any address may be: such names are found and removed by their body.
pub(crate) async fn name_of_a_hundred_kilobytes_is_kept_found_and_removed_whole(target: &Target) {
    let users = target.users();
    let long = "ü1234567".repeat(12_500);
    let shorter = &long[..long.len() - 1];
    assert_eq!(put(users, &long).await, 201);
    assert_eq!(put(users, &long).await, 400);
    assert_eq!(put(users, shorter).await, 201, "another name");
    let listed = users.get("/api/v1/users").await.body;
    assert_eq!(listed, json!([shorter, long]));
    let ride = json!({
        "created_by": long, "timestamp": "01-01-2099:00-00-00", "source": 1, "destination": 2,
    });
    assert_eq!(target.rides().post("/api/v1/rides", &ride).await.status, 201);
    let path = format!("/api/v1/rides/{}", target.newest_ride().await);
    let joined = target.rides().post(&path, &json!({ "username": shorter })).await;
    assert_eq!(joined.status, 200);
    let ride = target.rides().get(&path).await.body;
    assert_eq!((&ride["created_by"], &ride["users"]), (&json!(long), &json!([shorter])));
    let named = json!({ "username": long });
    let found = users.post("/api/v1/users:lookup", &named).await;
    assert_eq!(found.parts(), (200, named.clone()));
    let gone = users.post("/api/v1/users:delete", &named).await;
    assert_eq!(gone.parts(), (200, json!({})));
    assert_eq!(users.post("/api/v1/users:delete", &named).await.status, 400);
    assert_eq!(users.post("/api/v1/users:lookup", &named).await.status, 404);
    assert_eq!(users.get("/api/v1/users").await.body, json!([shorter]));
    let too_large = "x".repeat(1 << 20);
    assert_eq!(put(users, &too_large).await, 413);
}

pub(crate) async fn name_in_a_body_is_checked(target: &Target) {
    let users = target.users();
    for path in ["/api/v1/users:lookup", "/api/v1/users:delete"] {
        let wrong = [
            json!({}),
            json!({ "username": "" }),
            json!({ "username": 7 }),
            json!({ "username": null }),
            json!({ "username": { "$gt": "" } }),
            json!(["a"]),
        ];
        for body in wrong {
            assert_eq!(users.post(path, &body).await.status, 400, "{path} {body}");
        }
        assert_eq!(users.send("POST", path, b"{".to_vec()).await.status, 400, "{path}");
        let answer = users.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.allow.as_deref()), (405, Some("POST")));
    }
    for dots in [".", ".."] {
        let named = json!({ "username": dots });
        assert_eq!(put(users, dots).await, 201);
        assert_eq!(users.post("/api/v1/users:lookup", &named).await.parts(), (200, named.clone()));
        assert_eq!(users.post("/api/v1/users:delete", &named).await.status, 200, "{dots}");
        assert_eq!(users.post("/api/v1/users:lookup", &named).await.status, 404, "{dots}");
    }
}

/// HTTP says what is wrong, and the service goes on.
pub(crate) async fn address_that_is_too_long_has_a_clear_status(target: &Target) {
    let users = target.users();
    let fits = "a".repeat(60_000);
    assert_eq!(put(users, &fits).await, 201);
    let path = |name: &str| format!("/api/v1/users/{name}");
    assert_eq!(users.get(&path(&fits)).await.status, 200);
    assert_eq!(users.delete(&path(&fits)).await.status, 200);
    // No client library sends such an address.
    let address = users.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n", path(&"a".repeat(66_000)));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1);
    assert!(matches!(status, Some("400" | "414" | "431")), "{answer}");
    assert_eq!(users.get(&path("a")).await.status, 404);
}

pub(crate) async fn password_is_stored_as_an_argon2id_hash_alone(target: &Target) {
    let upper = SHA1.to_uppercase();
    for (name, password) in [("a", SHA1), ("b", SHA1), ("c", upper.as_str())] {
        let body = json!({ "username": name, "password": password });
        assert_eq!(target.users().put("/api/v1/users", &body).await.status, 201);
    }
    let stored = target.find("users", json!({})).await;
    let hashes: Vec<_> = stored.iter().map(|user| user["password"].as_str().unwrap()).collect();
    assert!(hashes.iter().all(|hash| hash.starts_with("$argon2id$v=19$")), "{hashes:?}");
    assert!(hashes[0] != hashes[1], "each has a salt of its own");
    let text = json!(stored).to_string().to_lowercase();
    assert!(!text.contains(SHA1));
}

pub(crate) async fn wrong_methods_of_users_are_405_and_unknown_paths_404(target: &Target) {
    let table = [
        ("/api/v1/users", "GET, PUT", vec!["POST", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
        ("/api/v1/users/a", "GET, DELETE", vec!["POST", "PUT", "PATCH"]),
        ("/api/v1/_count", "GET, DELETE", vec!["POST", "PUT"]),
        ("/api/v1/db/clear", "POST", vec!["GET", "DELETE", "PUT"]),
    ];
    for (path, allow, methods) in table {
        for method in methods {
            let answer = target.users().send(method, path, Vec::new()).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.allow.as_deref(), Some(allow), "{method} {path}");
        }
    }
    for path in ["/", "/api/v1/user", "/api/v1/users/", "/api/v1/users/a/b", "/api/v1/rides"] {
        assert_eq!(target.users().get(path).await.status, 404, "{path}");
    }
}

pub(crate) async fn clear_removes_users_and_rides(target: &Target) {
    for (app, name) in [(target.users(), "a"), (target.rides(), "b")] {
        assert_eq!(put(target.users(), name).await, 201);
        target.insert("rides", json!([{}])).await;
        let answer = app.post("/api/v1/db/clear", &json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.body), (200, json!({})));
        assert!(target.find("users", json!({})).await.is_empty());
        assert!(target.find("rides", json!({})).await.is_empty());
    }
    assert_eq!(target.users().get("/api/v1/users/a").await.status, 404);
}

pub(crate) async fn health_and_readiness_are_told_and_not_counted(target: &Target) {
    for app in target.all_users.iter().chain(&target.all_rides) {
        assert_eq!(app.get("/healthz").await.status, 200);
        assert_eq!(app.get("/readyz").await.status, 200);
        assert_eq!(app.count().await, 0);
    }
}
