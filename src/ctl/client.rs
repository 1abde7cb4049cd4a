//! The questions to an orchestrator.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::adapters::http_client;
use crate::domain::access::{Right, Tokens};
use crate::domain::document::json;

/// Longer than anything takes that is asked for.
pub(super) const LIMIT: Duration = Duration::from_secs(90);
/// For how long something is tried that may be tried again: longer than any failover.
const PATIENCE: Duration = Duration::from_secs(60);
const KEY_HEADER: &str = "Idempotency-Key";

/// One orchestrator.
pub(super) struct Client {
    client: reqwest::Client,
    url: String,
    tokens: Tokens,
}

impl Client {
    pub(super) fn new(url: &str, tokens: Tokens, ca_file: &Path) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { client: http_client::client(ca_file)?, url, tokens })
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.insist(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        self.insist(Method::POST, path, body).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.insist(Method::PUT, path, Some(body)).await
    }

    /// Why the system cannot take requests; nothing when it can.
    pub(super) async fn reasons_not_to_be_ready(&self) -> anyhow::Result<Vec<String>> {
        let (status, body) = self.send(Method::GET, "/readyz", None).await?;
        if status.is_success() {
            return Ok(Vec::new());
        }
        let reasons = body.get("reasons").cloned().context("no reasons in the answer")?;
        Ok(serde_json::from_value(reasons)?)
    }

    async fn insist(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let (status, body) = self.send(method, path, body).await?;
        if !status.is_success() {
            let detail = body.get("detail").and_then(Value::as_str).unwrap_or_default();
            bail!("{}{path} answers {}: {detail}", self.url, status.as_u16());
        }
        Ok(body)
    }

    /// Writes. An attempt that failed is repeated, and the key makes one write of all of them.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        body: &str,
        key: &str,
    ) -> anyhow::Result<T> {
        let (path, body) = ("/api/v1/db/write", body.to_owned());
        let request =
            || self.request(Method::POST, path).header(KEY_HEADER, key).body(body.clone());
        self.persist(path, request).await
    }

    /// Reads, again where that fails.
    pub(super) async fn read<T: DeserializeOwned>(&self, body: &Value) -> anyhow::Result<T> {
        let (path, body) = ("/api/v1/db/read", body.to_string());
        self.persist(path, || self.request(Method::POST, path).body(body.clone())).await
    }

    /// Gets something, again where that fails.
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.persist(path, || self.request(Method::GET, path)).await
    }

    async fn persist<T: DeserializeOwned>(
        &self,
        path: &str,
        request: impl Fn() -> RequestBuilder,
    ) -> anyhow::Result<T> {
        let url = format!("{}{path}", self.url);
        let answer = http_client::call(Instant::now() + PATIENCE, request).await;
        let answer = answer.map_err(|given_up| given_up.cause.context(format!("asking {url}")))?;
        if !answer.status.is_success() {
            bail!("{url} answers {}: {}", answer.status.as_u16(), answer.detail());
        }
        json::decode(&answer.body).with_context(|| format!("what {url} answers"))
    }

    /// An answer that is read as it comes.
    pub(super) async fn stream(&self, path: &str) -> anyhow::Result<Response> {
        let url = format!("{}{path}", self.url);
        let no_answer = || format!("{url} gives no answer");
        let begun = timeout(LIMIT, self.request(Method::GET, path).send()).await;
        let response = begun.with_context(no_answer)?.with_context(no_answer)?;
        let status = response.status();
        if !status.is_success() {
            let body: Value = response.json().await.unwrap_or_default();
            let detail = body.get("detail").and_then(Value::as_str).unwrap_or_default();
            bail!("{url} answers {}: {detail}", status.as_u16());
        }
        Ok(response)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        // What a lesser token may see, an administrator's may too.
        let right = match self.tokens.to_show(Right::Administer) {
            Some(_) => Right::Administer,
            None => Right::Use,
        };
        http_client::show_token(request, &self.tokens, right)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let url = format!("{}{path}", self.url);
        let request = self.request(method, path).timeout(LIMIT);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let no_answer = || format!("{url} gives no answer");
        let response = request.send().await.with_context(no_answer)?;
        let status = response.status();
        let text = response.text().await.with_context(no_answer)?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }
}
