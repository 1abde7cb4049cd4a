//! The questions to an orchestrator.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::adapters::http_client;
use crate::domain::access::{Right, Tokens};

/// Longer than anything takes that is asked for.
const LIMIT: Duration = Duration::from_secs(30);

/// One orchestrator.
pub(super) struct Client {
    client: reqwest::Client,
    url: String,
    tokens: Tokens,
}

impl Client {
    pub(super) fn new(url: &str, tokens: Tokens) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { client: http_client::client()?, url, tokens })
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

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let url = format!("{}{path}", self.url);
        let request = self.client.request(method, &url).timeout(LIMIT);
        // What a lesser token may see, an administrator's may too.
        let right = match self.tokens.to_show(Right::Administer) {
            Some(_) => Right::Administer,
            None => Right::Use,
        };
        let request = http_client::show_token(request, &self.tokens, right);
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
