//! A service at an address, and its answers.

use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

/// A service of the system.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) url: String,
    client: Client,
}

/// A JSON answer with what matters of its head.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) offset: Option<u64>,
    pub(crate) allow: Option<String>,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) request_id: Option<String>,
}

impl Answer {
    /// The status as a number, and the body.
    pub(crate) fn parts(self) -> (u16, Value) {
        (self.status.as_u16(), self.body)
    }
}

impl Service {
    pub(crate) fn new(client: &Client, url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), client: client.clone() }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> Answer {
        self.send_with(method, path, body, &[]).await
    }

    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let method = method.parse().unwrap();
        let request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        // What is tested is what is answered, not how soon on a machine that does other things.
        let mut request = request.header("X-Request-Timeout-Ms", "60000");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Vec::new()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, body.to_string().into_bytes()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body.to_string().into_bytes()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, Vec::new()).await
    }

    /// The requests counted.
    pub(crate) async fn count(&self) -> u64 {
        let answer = self.get("/api/v1/_count").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body.as_array().unwrap().len(), 1);
        answer.body[0].as_u64().unwrap()
    }
}

pub(crate) async fn answer(response: Response) -> Answer {
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let offset = header("x-rideshare-offset").map(|offset| offset.parse().unwrap());
    let (allow, retry_after) = (header("allow"), header("retry-after"));
    let request_id = header("x-request-id");
    let content_type = header("content-type").unwrap_or_default();
    let status = response.status();
    let bytes = response.bytes().await.unwrap();
    // An answer to HEAD has the head of a body alone.
    let body = if content_type.contains("json") && !bytes.is_empty() {
        serde_json::from_slice(&bytes).unwrap()
    } else {
        Value::String(String::from_utf8_lossy(&bytes).into_owned())
    };
    Answer { status, body, offset, allow, content_type, retry_after, request_id }
}
