//! The port `Database` over the orchestrator's HTTP interface.

use std::sync::Arc;

use anyhow::anyhow;
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Answer, GivenUp, attempt, call, detail, show_token, unexpected};
use crate::domain::access::{Right, Tokens};
use crate::domain::document::{CollectionName, Document, DocumentId, Value, json};
use crate::domain::ids::Offset;
use crate::domain::message::ReadResult;
use crate::domain::outcome::Outcome;
use crate::domain::request::Consistency;
use crate::ports::database::{At, Database, DatabaseError, Order, Read, Write};

const KEY_HEADER: &str = "Idempotency-Key";

/// The database behind one address, which may be that of many orchestrators.
pub struct HttpDatabase {
    client: Client,
    url: String,
    tokens: watch::Receiver<Arc<Tokens>>,
}

impl HttpDatabase {
    /// The database at `url`, such as `http://127.0.0.1:8080`, which is shown the token that
    /// counts at the moment, if there is one.
    #[must_use]
    pub fn new(client: Client, url: &str, tokens: watch::Receiver<Arc<Tokens>>) -> Self {
        Self { client, url: url.trim_end_matches('/').to_owned(), tokens }
    }

    fn post(&self, path: &str, body: &Bytes) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        let request = self.client.post(url).header("Content-Type", "application/json");
        show_token(request, &self.tokens.borrow(), Right::Use).body(body.clone())
    }
}

#[async_trait]
impl Database for HttpDatabase {
    async fn write(
        &self,
        key: &str,
        write: &Write,
        deadline: Instant,
    ) -> Result<At<Outcome>, DatabaseError> {
        let body = encode(&write_body(write))?;
        let request = || self.post("/api/v1/db/write", &body).header(KEY_HEADER, key);
        let answer = call(deadline, request).await.map_err(|given_up| match given_up {
            GivenUp { maybe_done: true, cause } => DatabaseError::Unknown(cause),
            GivenUp { maybe_done: false, cause } => DatabaseError::Unavailable(cause),
        })?;
        let body: WriteAnswer = accepted(&answer)?;
        let offset = body.offset;
        Ok(At { offset, answer: outcome(write, body)? })
    }

    async fn read(&self, read: &Read, deadline: Instant) -> Result<At<ReadResult>, DatabaseError> {
        let body = encode(&read_body(read))?;
        let answer = call(deadline, || self.post("/api/v1/db/read", &body)).await;
        let answer = answer.map_err(|given_up| DatabaseError::Unavailable(given_up.cause))?;
        let body: ReadAnswer = accepted(&answer)?;
        let result = match body {
            ReadAnswer { count: Some(count), .. } => ReadResult::Count(count),
            ReadAnswer { documents, .. } => ReadResult::Documents(documents),
        };
        Ok(At { offset: body.offset, answer: result })
    }

    async fn check(&self, deadline: Instant) -> Result<(), DatabaseError> {
        let request = self.client.get(format!("{}/readyz", self.url));
        let left = deadline.saturating_duration_since(Instant::now());
        match attempt(request, left).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(DatabaseError::Unexpected(unexpected(&answer))),
            Err(failed) => Err(DatabaseError::Unavailable(failed.cause)),
        }
    }
}

#[derive(Deserialize)]
struct WriteAnswer {
    offset: Offset,
    #[serde(default)]
    ids: Vec<DocumentId>,
    #[serde(default)]
    matched: u64,
    #[serde(default)]
    modified: u64,
    upserted_id: Option<DocumentId>,
    #[serde(default)]
    documents: Vec<Document>,
    deleted: Option<u64>,
}

#[derive(Deserialize)]
struct ReadAnswer {
    offset: Offset,
    count: Option<u64>,
    #[serde(default)]
    documents: Vec<Document>,
}

#[derive(Deserialize)]
struct Conflict {
    ids: Vec<DocumentId>,
}

fn encode(body: &Document) -> Result<Bytes, DatabaseError> {
    let bytes =
        serde_json::to_vec(body).map_err(|error| DatabaseError::Unexpected(error.into()))?;
    Ok(bytes.into())
}

fn decode<T: DeserializeOwned>(answer: &Answer) -> Result<T, DatabaseError> {
    json::decode(&answer.body).map_err(|error| DatabaseError::Unexpected(error.into()))
}

fn accepted<T: DeserializeOwned>(answer: &Answer) -> Result<T, DatabaseError> {
    match answer.status {
        StatusCode::OK | StatusCode::CREATED => decode(answer),
        StatusCode::CONFLICT => {
            let Conflict { ids } = decode(answer)?;
            Err(DatabaseError::Conflict { ids })
        }
        StatusCode::BAD_REQUEST => Err(DatabaseError::Invalid(detail(&answer.body))),
        StatusCode::PAYLOAD_TOO_LARGE => Err(DatabaseError::TooLarge),
        _ => Err(DatabaseError::Unexpected(unexpected(answer))),
    }
}

fn write_body(write: &Write) -> Document {
    let text = |text: &str| Value::from(text);
    match write {
        Write::Insert { collection, documents } => Document::from([
            ("op", text("insert")),
            ("collection", text(collection)),
            ("documents", documents.clone().into()),
        ]),
        Write::Update { collection, filter, update, upsert, return_after } => Document::from([
            ("op", text("update")),
            ("collection", text(collection)),
            ("filter", filter.clone().into()),
            ("update", update.clone().into()),
            ("upsert", (*upsert).into()),
            ("return", text(if *return_after { "after" } else { "none" })),
        ]),
        Write::Delete { collection, filter } => Document::from([
            ("op", text("delete")),
            ("collection", text(collection)),
            ("filter", filter.clone().into()),
        ]),
        Write::Clear { collections } => {
            Document::from([("op", text("clear")), ("collections", collections.to_vec().into())])
        }
        Write::Index { collection, field } => Document::from([
            ("op", text("index")),
            ("collection", text(collection)),
            ("field", text(field)),
        ]),
    }
}

fn outcome(write: &Write, body: WriteAnswer) -> Result<Outcome, DatabaseError> {
    let missing = |name| DatabaseError::Unexpected(anyhow!("the answer has no {name}"));
    Ok(match write {
        Write::Insert { .. } => Outcome::Inserted { ids: body.ids },
        Write::Update { .. } => Outcome::Updated {
            matched: body.matched,
            modified: body.modified,
            upserted_id: body.upserted_id,
            documents: body.documents,
        },
        Write::Delete { .. } => {
            Outcome::Deleted { deleted: body.deleted.ok_or_else(|| missing("deleted"))? }
        }
        Write::Clear { collections } => {
            let names = collections.iter().map(|name| CollectionName::parse(name));
            let collections = names.collect::<Result<_, _>>();
            Outcome::Cleared { collections: collections.map_err(|_| missing("collections"))? }
        }
        Write::Index { .. } => Outcome::Indexed,
    })
}

fn read_body(read: &Read) -> Document {
    let mut body = Document::from([
        ("collection", read.collection.into()),
        ("filter", read.filter.clone().into()),
    ]);
    if read.count {
        body.insert("count", true);
    } else {
        if !read.projection.is_empty() {
            body.insert("projection", read.projection.to_vec());
        }
        let sort = read.sort.iter().map(|(field, order)| {
            let direction = if *order == Order::Ascending { 1 } else { -1 };
            Value::Array(vec![Value::from(*field), Value::from(direction)])
        });
        body.insert("sort", sort.collect::<Vec<_>>());
        body.insert("limit", read.limit);
    }
    match read.consistency {
        Consistency::Eventual => body.insert("consistency", "eventual"),
        Consistency::Strong => body.insert("consistency", "strong"),
        Consistency::Session(offset) => {
            body.insert("min_offset", i64::try_from(offset.0).unwrap_or(i64::MAX));
            body.insert("consistency", "session")
        }
    };
    body
}
