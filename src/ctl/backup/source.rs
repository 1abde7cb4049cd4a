//! The database, as backups read and write it.

use anyhow::{Context, anyhow, bail};
use reqwest::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::client::{Client, LIMIT};
use super::manifest::Moment;
use crate::domain::document::{CollectionName, Document, DocumentId};
use crate::domain::ids::Offset;
use crate::domain::log::{Admission, Change, History, Record, RecordBody, Term};
use crate::domain::message::Collection;

/// No document of it is ever written.
const MARKS: &str = "rideshare_backup";
pub(super) const OTHER_HISTORY: &str =
    "the database has another history than this backup; choose another place";
/// Documents asked for at once; fewer where they are large.
const PAGE: u64 = 1_000;

/// Every kind of id there is, and where it begins.
pub(super) fn first_ids() -> [DocumentId; 2] {
    [DocumentId::from(i64::MIN), DocumentId::from("")]
}

/// Writes a request that changes nothing, and returns where it stands in the log.
pub(super) async fn mark(client: &Client) -> anyhow::Result<Offset> {
    #[derive(Deserialize)]
    struct Answer {
        offset: Offset,
    }
    let body = json!({ "op": "delete", "collection": MARKS, "filter": { "_id": "mark" } });
    let key = uuid::Uuid::now_v7().to_string();
    let answer: Answer = client.write(&body.to_string(), &key).await?;
    Ok(answer.offset)
}

pub(super) async fn collections(
    client: &Client,
    at_least: Offset,
) -> anyhow::Result<Vec<Collection>> {
    #[derive(Deserialize)]
    struct Answer {
        collections: Vec<Collection>,
    }
    let path = format!("/api/v1/collections?min_offset={at_least}");
    let answer: Answer = client.find(&path).await?;
    Ok(answer.collections)
}

/// How many documents a collection has.
pub(super) async fn count(
    client: &Client,
    collection: &CollectionName,
    at_least: Offset,
) -> anyhow::Result<u64> {
    #[derive(Deserialize)]
    struct Answer {
        count: u64,
    }
    let body = json!({
        "collection": collection, "count": true, "consistency": "session", "min_offset": at_least,
    });
    let answer: Answer = client.read(&body).await?;
    Ok(answer.count)
}

/// The documents of a collection from one id on, ascending, of the same kind of id.
pub(super) struct Pages<'a> {
    client: &'a Client,
    collection: &'a CollectionName,
    at_least: Offset,
    from: Option<Value>,
    limit: u64,
}

impl<'a> Pages<'a> {
    pub(super) fn new(
        client: &'a Client,
        collection: &'a CollectionName,
        first: &DocumentId,
        at_least: Offset,
    ) -> Self {
        let from = Some(json!({ "$gte": first }));
        Self { client, collection, at_least, from, limit: PAGE }
    }

    /// The next of them; none when there are no more.
    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<Document>> {
        #[derive(Deserialize)]
        struct Page {
            documents: Vec<Document>,
        }
        let Some(from) = &self.from else { return Ok(Vec::new()) };
        loop {
            let body = json!({
                "collection": self.collection, "filter": { "_id": from }, "sort": [["_id", 1]],
                "limit": self.limit, "consistency": "session", "min_offset": self.at_least,
            });
            match self.client.read::<Page>(&body).await {
                Ok(page) => {
                    let last = page.documents.last().and_then(Document::id);
                    let is_last = (page.documents.len() as u64) < self.limit;
                    self.from = last.filter(|_| !is_last).map(|id| json!({ "$gt": id }));
                    return Ok(page.documents);
                }
                // So many are more than one answer may hold.
                Err(error) if self.limit > 1 && error.to_string().contains("larger than") => {
                    self.limit = self.limit.div_ceil(4);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What the log says from one offset to another, and which of it counts.
pub(super) struct LogReader {
    response: Response,
    buffer: Vec<u8>,
    last: Offset,
    history: Option<History>,
    is_over: bool,
}

#[derive(Deserialize)]
struct Line {
    offset: Offset,
    record: Option<Record>,
}

impl LogReader {
    /// Goes on from a history.
    pub(super) async fn after(
        client: &Client,
        history: History,
        last: Offset,
    ) -> anyhow::Result<Self> {
        Self::open(client, history.next_offset(), last, Some(history)).await
    }

    /// Begins with a record that counts.
    pub(super) async fn from_mark(
        client: &Client,
        mark: Offset,
        last: Offset,
    ) -> anyhow::Result<Self> {
        Self::open(client, mark, last, None).await
    }

    async fn open(
        client: &Client,
        first: Offset,
        last: Offset,
        history: Option<History>,
    ) -> anyhow::Result<Self> {
        let response = client.stream(&format!("/api/v1/log?first={first}&last={last}")).await?;
        let is_over = first > last;
        Ok(Self { response, buffer: Vec::new(), last, history, is_over })
    }

    /// The next record that counts, with its changes; nothing after the last.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<(Moment, Vec<Change>)>> {
        while !self.is_over {
            let line = self.line().await?;
            self.is_over = line.offset == self.last;
            if let Some(found) = self.judge(line)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// How the log is judged after all that was read.
    pub(super) fn into_history(self) -> anyhow::Result<History> {
        self.history.context("the log has no record where it was marked")
    }

    async fn line(&mut self) -> anyhow::Result<Line> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).context("a line of the log");
            }
            let chunk = timeout(LIMIT, self.response.chunk()).await;
            let chunk = chunk.context("the log does not go on")?.context("the log broke off")?;
            let chunk = chunk.ok_or_else(|| anyhow!("the log ends before offset {}", self.last))?;
            self.buffer.extend_from_slice(&chunk);
        }
    }

    fn judge(&mut self, line: Line) -> anyhow::Result<Option<(Moment, Vec<Change>)>> {
        let offset = line.offset;
        let Some(record) = line.record else {
            if let Some(history) = &mut self.history {
                history.pass_over(offset);
            }
            return Ok(None);
        };
        let moment = Moment { offset, at_ms: record.appended_at_ms };
        let admission = match &mut self.history {
            Some(history) => history.admit(offset, &record),
            None => {
                self.history = Some(begun_at(offset, &record)?);
                Admission::Admitted
            }
        };
        match (admission, record.body) {
            (Admission::Foreign, _) => {
                bail!(OTHER_HISTORY)
            }
            (Admission::Admitted, RecordBody::Batch { entries, .. }) => {
                let changes = entries.into_iter().flat_map(|entry| entry.changes).collect();
                Ok(Some((moment, changes)))
            }
            _ => Ok(None),
        }
    }
}

/// The history that a batch belongs to which is known to count.
fn begun_at(offset: Offset, record: &Record) -> anyhow::Result<History> {
    let RecordBody::Batch { sequence, .. } = &record.body else {
        bail!("the log has no batch at offset {offset}, where it was marked");
    };
    let term = Term { epoch: record.epoch, begun: offset, batches: sequence.next() };
    Ok(History { log_id: Some(record.log_id.clone()), terms: vec![term], applied: Some(offset) })
}
