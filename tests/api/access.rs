//! Who is let in, and who is not.

use std::path::Path;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{System, command, until};

const APP: &str = "an-app-s-token";
const ADMIN: &str = "an-administrator-s-token";

async fn closed() -> System {
    let mode = ("RIDESHARE_AUTH__MODE", "token");
    let tokens = [("RIDESHARE_AUTH__APP_TOKEN", APP), ("RIDESHARE_AUTH__ADMIN_TOKEN", ADMIN)];
    System::start_with(1, &[mode, tokens[0], tokens[1]]).await
}

async fn send(system: &System, method: &str, path: &str, token: Option<&str>) -> Response {
    let url = format!("{}{path}", system.url);
    let request = system.client.request(method.parse().unwrap(), url);
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let body = if path.ends_with("read") { r#"{"collection":"c"}"# } else { "" };
    request.body(body).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_asks_for_its_token() {
    let system = closed().await;
    for (method, path, without, with_app, with_admin) in [
        ("POST", "/api/v1/db/read", 401, 200, 200),
        ("GET", "/api/v1/worker/list", 401, 200, 200),
        ("GET", "/api/v1/workers", 401, 200, 200),
        ("GET", "/api/v1/events", 401, 403, 200),
        ("POST", "/api/v1/db/clear", 401, 403, 200),
        ("DELETE", "/api/v1/db/clear", 401, 403, 405),
        ("GET", "/healthz", 200, 200, 200),
        ("GET", "/readyz", 200, 200, 200),
        ("GET", "/metrics", 200, 200, 200),
        ("GET", "/openapi.json", 200, 200, 200),
        ("GET", "/docs/", 200, 200, 200),
        ("GET", "/nowhere", 401, 404, 404),
        ("POST", "/api/v1/crash/slave", 401, 403, 200),
    ] {
        for (token, expected) in [(None, without), (Some(APP), with_app), (Some(ADMIN), with_admin)]
        {
            let status = send(&system, method, path, token).await.status();
            assert_eq!(status.as_u16(), expected, "{method} {path} with {token:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_browsers_to_be_careful() {
    let system = closed().await;
    for (method, path) in
        [("GET", "/docs/"), ("GET", "/nowhere"), ("PUT", "/healthz"), ("POST", "/api/v1/db/read")]
    {
        for token in [None, Some(APP)] {
            let answer = send(&system, method, path, token).await;
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
            ] {
                assert_eq!(answer.headers()[name], value, "{method} {path} with {token:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_is_a_problem_that_says_how_to_do_better() {
    let system = closed().await;
    for (token, status, challenge) in [
        (None, 401, "Bearer realm=\"rideshare\""),
        (Some("guessed"), 401, "invalid_token"),
        (Some(APP), 403, "insufficient_scope"),
    ] {
        let answer = send(&system, "POST", "/api/v1/crash/master", token).await;
        assert_eq!(answer.status().as_u16(), status);
        let said = answer.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert!(said.contains(challenge), "{said}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["status"], status);
        assert!(!body.to_string().contains("guessed"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_show_their_token_to_the_database() {
    let mut system = closed().await;
    let user = json!({ "username": "ann", "password": "a".repeat(40) });
    let url = format!("{}/api/v1/users", system.users.url);
    let put = system.client.put(url).json(&user).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
    for service in [&system.users.url, &system.rides.url] {
        let url = format!("{service}/api/v1/db/clear");
        let clear = |token: &'static str| system.client.post(&url).bearer_auth(token).send();
        assert_eq!(clear(APP).await.unwrap().status(), StatusCode::FORBIDDEN);
        assert_eq!(clear(ADMIN).await.unwrap().status(), StatusCode::OK);
        let open = system.client.post(&url).send().await.unwrap();
        assert_eq!(open.status(), StatusCode::UNAUTHORIZED);
    }
    let metrics = send(&system, "GET", "/metrics", None).await.text().await.unwrap();
    assert_eq!(system.terminate().await, Some(0));
    for text in [system.log(), metrics] {
        assert!(!text.contains(APP) && !text.contains(ADMIN), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_in_a_file_is_exchanged_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let put = |name: &str, text: &str| {
        std::fs::write(path("new"), text).unwrap();
        std::fs::rename(path("new"), path(name)).unwrap();
    };
    put("app", "first\n");
    put("admin", "administrator\n");
    let (app, admin) = (path("app"), path("admin"));
    let system = System::start_with(
        1,
        &[
            ("RIDESHARE_AUTH__MODE", "token"),
            ("RIDESHARE_AUTH__APP_TOKEN_FILE", &app),
            ("RIDESHARE_AUTH__ADMIN_TOKEN_FILE", &admin),
        ],
    )
    .await;
    let counts = async |token: &str| {
        send(&system, "GET", "/api/v1/workers", Some(token)).await.status().is_success()
    };
    assert!(counts("first").await && !counts("second").await);
    put("app", "first\nsecond\n");
    until("both count", async || counts("first").await && counts("second").await).await;
    put("app", "second\n");
    until("the first is gone", async || !counts("first").await && counts("second").await).await;
    let user = json!({ "username": "ann", "password": "a".repeat(40) });
    let url = format!("{}/api/v1/users", system.users.url);
    let put_user = system.client.put(url).json(&user).send().await.unwrap();
    assert_eq!(put_user.status(), StatusCode::CREATED, "the service shows the second");

    std::fs::remove_file(Path::new(&app)).unwrap();
    until("it is told", async || system.log().contains("tokens not read")).await;
    assert!(counts("second").await, "what counted last goes on to count");
}

#[test]
fn open_service_on_every_address_does_not_start() {
    for role in [&["up"][..], &["orchestrator"], &["app", "users"], &["app", "rides"]] {
        let (code, text) = command(&[role, &["--listen", "0.0.0.0"]].concat(), &[]);
        assert_eq!(code, Some(2), "{role:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        for word in ["http.listen", "auth.mode", "auth.allow_open"] {
            assert!(text.contains(word), "{text}");
        }
    }
}

#[test]
fn closed_service_without_its_tokens_does_not_start() {
    let mode = ("RIDESHARE_AUTH__MODE", "token");
    let (code, text) = command(&["up"], &[mode, ("RIDESHARE_AUTH__APP_TOKEN", APP)]);
    assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.contains("auth.admin_token") && !text.contains(APP), "{text}");
}
