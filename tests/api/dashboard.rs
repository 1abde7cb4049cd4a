//! The dashboard as a browser asks for it: the page, its live picture, the orders, and who may give them.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use rideshare::adapters::http_client;
use serde_json::json;

use crate::support::{System, until};

const APP: &str = "an-app-s-token";
const ADMIN: &str = "an-administrator-s-token";

/// A browser that does not go on by itself.
struct Browser<'a> {
    client: Client,
    system: &'a System,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    fn new(system: &'a System) -> Self {
        let client = http_client::builder(std::path::Path::new("")).unwrap();
        let client = client.redirect(Policy::none()).build().unwrap();
        Self { client, system, cookie: None }
    }

    fn with_cookie(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.system.url));
        self.with_cookie(request).send().await.unwrap()
    }

    async fn page(&self) -> String {
        self.get("/").await.text().await.unwrap()
    }

    /// Sends a form from a page of this site.
    async fn submit(&self, path: &str, body: &str, site: &str) -> Response {
        let request = self.client.post(format!("{}{path}", self.system.url));
        let request = request.header("sec-fetch-site", site).body(body.to_owned());
        self.with_cookie(request).send().await.unwrap()
    }

    async fn order(&self, order: &str) -> Response {
        self.submit("/dashboard/order", &format!("order={order}"), "same-origin").await
    }

    async fn sign_in(&mut self, token: &str) -> u16 {
        let body = format!("token={token}");
        let answer = self.submit("/dashboard/session", &body, "same-origin").await;
        if let Some(cookie) = answer.headers().get("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        answer.status().as_u16()
    }
}

async fn closed() -> System {
    let mode = ("RIDESHARE_AUTH__MODE", "token");
    let tokens = [("RIDESHARE_AUTH__APP_TOKEN", APP), ("RIDESHARE_AUTH__ADMIN_TOKEN", ADMIN)];
    System::start_with(1, &[mode, tokens[0], tokens[1]]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn page_shows_the_workers_and_needs_nothing_from_elsewhere() {
    let system = System::start(2).await;
    system.settle(2).await;
    let browser = Browser::new(&system);
    let answer = browser.get("/").await;
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let page = answer.text().await.unwrap();
    for worker in system.workers().await {
        let node = worker["node"].as_str().unwrap();
        assert!(page.contains(node), "{node} is missing");
    }
    assert!(page.contains("Ready") && page.contains("Switch over") && page.contains("<svg"));
    for forbidden in ["http://", "https://", " style=", " onclick", "<style"] {
        let own = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains(forbidden), "{forbidden} in the page");
    }
    for (path, content_type) in
        [("/dashboard/style.css", "text/css"), ("/dashboard/live.js", "text/javascript")]
    {
        assert!(page.contains(path));
        let asset = browser.get(path).await;
        assert_eq!(asset.status(), 200, "{path}");
        assert!(asset.headers()["content-type"].to_str().unwrap().starts_with(content_type));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn picture_follows_what_happens() {
    let system = System::start(1).await;
    system.settle(1).await;
    let browser = Browser::new(&system);
    let mut live = browser.get("/dashboard/live").await;
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    system.insert("c", json!([{ "_id": 1 }])).await;
    let master = system.workers().await.into_iter().find(|it| it["role"] == "master").unwrap();
    assert_eq!(browser.order("switchover").await.status(), 303);
    let expected = format!("{}</th><td class=\"\">slave", master["node"].as_str().unwrap());
    let mut seen = String::new();
    let followed = async {
        while !(seen.contains(&expected) && seen.contains("asked for")) {
            let chunk = live.chunk().await.unwrap().expect("it goes on");
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), followed).await.expect("the new role");
    assert!(seen.starts_with("event: state\ndata: "), "{}", &seen[..60]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_carried_out_and_answered_on_the_page() {
    let system = System::start(1).await;
    system.settle(1).await;
    let browser = Browser::new(&system);
    let notice = async |order: &str| {
        let answer = browser.order(order).await;
        assert_eq!(answer.status(), 303, "{order}");
        let place = answer.headers()["location"].to_str().unwrap().to_owned();
        browser.get(&place).await.text().await.unwrap()
    };
    assert!(notice("scale&slaves=2").await.contains("2 slaves are wanted."));
    system.settle(2).await;
    assert!(notice("scale&slaves=0").await.contains("Not done: slaves is a number from 1"));
    assert!(notice("pause").await.contains("Paused."));
    until("shown", || async { browser.page().await.contains("Paused: nothing is healed") }).await;
    assert!(notice("resume").await.contains("Resumed."));
    let killed = notice("crash-slave").await;
    assert!(killed.contains("Killed "), "{killed}");
    system.settle(2).await;
    assert!(notice("restart").await.contains("3 workers are being renewed."));
    assert_eq!(browser.order("burn").await.status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_signs_in_sees_it_and_only_administrators_give_orders() {
    let system = closed().await;
    let mut browser = Browser::new(&system);
    let page = browser.page().await;
    assert!(page.contains("Sign in") && !page.contains("worker-"), "{page}");
    assert_eq!(browser.get("/dashboard/live").await.status(), 401);
    assert_eq!(browser.order("pause").await.status(), 403);
    assert_eq!(browser.sign_in("guessed").await, 401);
    assert!(browser.cookie.is_none());

    assert_eq!(browser.sign_in(APP).await, 303);
    let page = browser.page().await;
    assert!(page.contains("worker-") && !page.contains("Crash the master"), "{page}");
    assert!(!page.contains(APP));
    assert_eq!(browser.get("/dashboard/live").await.status(), 200);
    assert_eq!(browser.order("pause").await.status(), 403);

    assert_eq!(browser.sign_in(ADMIN).await, 303);
    assert!(browser.page().await.contains("Crash the master"));
    assert_eq!(browser.order("pause").await.status(), 303);
    assert_eq!(browser.order("resume").await.status(), 303);
    // The cookie opens nothing but the dashboard.
    assert_eq!(browser.get("/api/v1/workers").await.status(), 401);
    let end = browser.submit("/dashboard/session/end", "", "same-origin").await;
    assert!(end.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_cannot_give_orders() {
    let system = System::start(1).await;
    let browser = Browser::new(&system);
    for site in ["cross-site", "same-site", "none"] {
        let answer = browser.submit("/dashboard/order", "order=pause", site).await;
        assert_eq!(answer.status(), 403, "{site}");
    }
    let bare = browser.client.post(format!("{}/dashboard/order", system.url)).body("order=pause");
    assert_eq!(bare.send().await.unwrap().status(), 403);
    assert!(!browser.page().await.contains("Paused: nothing"));
}
