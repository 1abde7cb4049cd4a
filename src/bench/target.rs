//! The system under load: the requests, and what is prepared and cleaned up for them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::Options;
use crate::adapters::http_client;
use crate::domain::access::{Right, Tokens};

/// Nobody else's; emptied before and after.
const COLLECTION: &str = "rideshare_bench";
/// Kills the master.
const KILL: &str = "/api/v1/crash/master";
/// Documents in one request while those to be read are written.
const PORTION: u64 = 1_000;
/// Bytes of text in one such request, at the most.
const PORTION_BYTES: u64 = 256 * 1024;
/// How long what is not measured may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where requests go; cheap to clone.
#[derive(Clone)]
pub(super) struct Target {
    client: Client,
    url: String,
    documents: u64,
    text: String,
    timeout: Duration,
    tokens: Tokens,
    ca_file: PathBuf,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    /// A status that is no success, or why there was no answer.
    Failed(String),
}

impl Target {
    pub(super) fn new(options: &Options) -> anyhow::Result<Self> {
        Ok(Self {
            client: http_client::client(&options.ca_file)?,
            ca_file: options.ca_file.clone(),
            url: options.url.trim_end_matches('/').to_owned(),
            documents: if options.work.reads() > 0 { options.documents } else { 0 },
            text: "x".repeat(options.document_bytes),
            timeout: options.timeout,
            tokens: options.tokens.clone(),
        })
    }

    /// The same with connections of its own.
    pub(super) fn apart(&self) -> anyhow::Result<Self> {
        Ok(Self { client: http_client::client(&self.ca_file)?, ..self.clone() })
    }

    pub(super) const fn documents(&self) -> u64 {
        self.documents
    }

    /// Empties the collection, and writes what is to be read.
    pub(super) async fn prepare(&self) -> anyhow::Result<()> {
        self.clean_up().await?;
        let portion = (PORTION_BYTES / (self.text.len() as u64 + 1)).clamp(1, PORTION);
        let mut first = 0;
        while first < self.documents {
            let ids = first..(first + portion).min(self.documents);
            first = ids.end;
            let documents: Vec<_> = ids.map(|id| json!({ "_id": id, "text": self.text })).collect();
            let body = json!({ "op": "insert", "collection": COLLECTION, "documents": documents });
            self.insist("/api/v1/db/write", &body).await?;
        }
        Ok(())
    }

    pub(super) async fn clean_up(&self) -> anyhow::Result<()> {
        let body = json!({ "op": "clear", "collections": [COLLECTION] });
        self.insist("/api/v1/db/write", &body).await
    }

    /// Kills the master, as a crash would.
    pub(super) async fn kill_master(&self) -> anyhow::Result<()> {
        self.insist(KILL, &Value::Null).await
    }

    /// Inserts a document that has no other's id.
    pub(super) async fn insert(&self) -> Outcome {
        let document = json!({ "_id": uuid::Uuid::now_v7().to_string(), "text": self.text });
        let body = json!({ "op": "insert", "collection": COLLECTION, "documents": [document] });
        self.send("/api/v1/db/write", &body).await
    }

    /// Reads one of the documents that were written before.
    pub(super) async fn read(&self, id: u64) -> Outcome {
        let body = json!({ "collection": COLLECTION, "filter": { "_id": id } });
        self.send("/api/v1/db/read", &body).await
    }

    async fn send(&self, path: &str, body: &Value) -> Outcome {
        match self.call(path, body, self.timeout).await {
            Ok((status, _)) if status.is_success() => Outcome::Answered,
            Ok((status, _)) => Outcome::Failed(status.as_u16().to_string()),
            Err(error) if error.is_timeout() => Outcome::Failed("timed out".to_owned()),
            Err(error) if error.is_connect() => Outcome::Failed("not connected".to_owned()),
            Err(_) => Outcome::Failed("no whole answer".to_owned()),
        }
    }

    async fn insist(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let answer = self.call(path, body, PATIENCE).await;
        let (status, said) =
            answer.with_context(|| format!("{}{path} gives no answer", self.url))?;
        if !status.is_success() {
            bail!("{}{path} answers {}: {said}", self.url, status.as_u16());
        }
        Ok(())
    }

    /// The system is told how long it may take; it is given a little more to say that it did.
    async fn call(
        &self,
        path: &str,
        body: &Value,
        within: Duration,
    ) -> reqwest::Result<(StatusCode, String)> {
        let request = self
            .client
            .post(format!("{}{path}", self.url))
            .header("Content-Type", "application/json")
            .header(http_client::TIMEOUT_HEADER, within.as_millis().to_string())
            .timeout(within + Duration::from_secs(1));
        let right = if path == KILL { Right::Administer } else { Right::Use };
        let request = http_client::show_token(request, &self.tokens, right);
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let response = request.send().await?;
        Ok((response.status(), response.text().await?))
    }
}
