//! Brings a backup into an empty database.

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::Until;
use super::super::client::Client;
use super::archive::Archive;
use super::manifest::{DocumentLine, Kind, LogLine, MANIFEST, Manifest, Moment};
use super::progress;
use super::source::{collections, count, mark};
use crate::domain::document::{CollectionName, Document};
use crate::domain::log::Change;
use crate::domain::message::Collection;

/// The most operations, and about the most bytes, of one request.
const OPERATIONS: usize = 500;
const BYTES: usize = 512 * 1024;

/// Writes everything that the backup says was there at a moment.
pub(in super::super) async fn restore(
    client: &Client,
    location: &str,
    until: Option<Until>,
) -> anyhow::Result<Value> {
    let archive = Archive::open(location, false)?;
    let manifest = archive.manifest().await?;
    let manifest =
        manifest.with_context(|| format!("{location} holds no backup: {MANIFEST} is missing"))?;
    let end = End::choose(&manifest, until)?;
    verify(&archive, &manifest).await?;
    check_empty(client).await?;
    let mut target = Target::new(client);
    for Collection { name, indexes } in &manifest.collections {
        for field in indexes {
            target.index(name, field).await?;
        }
    }
    let documents = write_documents(&archive, &manifest, &mut target).await?;
    let (records, reached) = replay(&archive, &manifest, &end, &mut target).await?;
    target.flush().await?;
    Ok(json!({ "documents": documents, "records": records, "as_of": reached.text() }))
}

/// An index alone is as good as nothing: the rides service makes one as soon as it starts.
async fn check_empty(client: &Client) -> anyhow::Result<()> {
    let now = mark(client).await?;
    for Collection { name, .. } in collections(client, now).await? {
        if count(client, &name, now).await? > 0 {
            bail!("the database is not empty: there is `{name}`; restore into a new one");
        }
    }
    Ok(())
}

/// Where to stop.
struct End(Until);

impl End {
    fn choose(manifest: &Manifest, until: Option<Until>) -> anyhow::Result<Self> {
        let until = until.unwrap_or(Until::Offset(manifest.reaches.offset));
        let (is_too_early, is_too_late) = match until {
            Until::Offset(offset) => {
                (offset < manifest.whole_from.offset, offset > manifest.reaches.offset)
            }
            Until::Time(at_ms) => (at_ms < manifest.whole_from.at_ms, false),
        };
        ensure!(
            !is_too_early && !is_too_late,
            "the backup goes from {} to {}",
            manifest.whole_from.text(),
            manifest.reaches.text()
        );
        Ok(Self(until))
    }

    fn includes(&self, moment: Moment, whole_from: Moment) -> bool {
        // The documents are whole only from there on.
        if moment.offset <= whole_from.offset {
            return true;
        }
        match self.0 {
            Until::Offset(offset) => moment.offset <= offset,
            Until::Time(at_ms) => moment.at_ms <= at_ms,
        }
    }
}

/// Nothing is written before all of it is known to be good.
async fn verify(archive: &Archive, manifest: &Manifest) -> anyhow::Result<()> {
    let progress = progress("{bar:30} {human_pos} of {human_len} parts are good")?;
    progress.set_length(manifest.parts.len() as u64);
    for part in &manifest.parts {
        archive.part(part).await?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

async fn write_documents(
    archive: &Archive,
    manifest: &Manifest,
    target: &mut Target<'_>,
) -> anyhow::Result<u64> {
    let progress =
        progress("{bar:30} {human_pos} of {human_len} documents, {elapsed}, {eta} left")?;
    progress.set_length(manifest.parts(Kind::Documents).map(|part| part.lines).sum());
    for part in manifest.parts(Kind::Documents) {
        let mut lines = archive.part(part).await?;
        while let Some(DocumentLine { collection, document }) = lines.next()? {
            target.put(&collection, &document).await?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(progress.position())
}

async fn replay(
    archive: &Archive,
    manifest: &Manifest,
    end: &End,
    target: &mut Target<'_>,
) -> anyhow::Result<(u64, Moment)> {
    let progress = progress("{bar:30} {human_pos} of {human_len} records, {elapsed}, {eta} left")?;
    progress.set_length(manifest.parts(Kind::Log).map(|part| part.lines).sum());
    let mut reached = manifest.whole_from;
    for part in manifest.parts(Kind::Log) {
        let mut lines = archive.part(part).await?;
        while let Some(LogLine { moment, changes }) = lines.next()? {
            if !end.includes(moment, manifest.whole_from) {
                return Ok((progress.position(), reached));
            }
            for change in &changes {
                target.apply(change).await?;
            }
            reached = if moment.offset > reached.offset { moment } else { reached };
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    // Behind the last change there may be more of the log that changed nothing.
    let is_all = end.includes(manifest.reaches, manifest.whole_from);
    Ok((progress.position(), if is_all { manifest.reaches } else { reached }))
}

/// The database that is written to, many changes at a time.
struct Target<'a> {
    client: &'a Client,
    operations: Vec<String>,
    bytes: usize,
    /// What all requests of this restore are told apart by.
    id: String,
    requests: u64,
}

impl<'a> Target<'a> {
    fn new(client: &'a Client) -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        Self { client, operations: Vec::new(), bytes: 0, id, requests: 0 }
    }

    async fn apply(&mut self, change: &Change) -> anyhow::Result<()> {
        match change {
            Change::Put { collection, document, .. } => self.put(collection, document).await,
            Change::Delete { collection, id } => {
                let operation =
                    json!({ "op": "delete", "collection": collection, "filter": { "_id": id } });
                self.add(operation.to_string()).await
            }
            Change::Clear { collection } => {
                self.alone(&json!({ "op": "clear", "collections": [collection] })).await
            }
            Change::EnsureIndex { collection, field } => self.index(collection, field).await,
        }
    }

    async fn put(
        &mut self,
        collection: &CollectionName,
        document: &Document,
    ) -> anyhow::Result<()> {
        // Not through a JSON value, which would lose the order of the fields.
        let (name, document) =
            (serde_json::to_string(collection)?, serde_json::to_string(document)?);
        let operation = format!(
            r#"{{"op":"replace","collection":{name},"document":{document},"upsert":true}}"#
        );
        self.add(operation).await
    }

    async fn index(&mut self, collection: &CollectionName, field: &str) -> anyhow::Result<()> {
        self.alone(&json!({ "op": "index", "collection": collection, "field": field })).await
    }

    async fn add(&mut self, operation: String) -> anyhow::Result<()> {
        let is_full = self.operations.len() >= OPERATIONS || self.bytes + operation.len() > BYTES;
        if is_full {
            self.flush().await?;
        }
        self.bytes += operation.len();
        self.operations.push(operation);
        Ok(())
    }

    /// One that cannot be in a batch.
    async fn alone(&mut self, operation: &Value) -> anyhow::Result<()> {
        self.flush().await?;
        self.send(operation.to_string()).await
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        self.bytes = 0;
        let body = match std::mem::take(&mut self.operations).as_slice() {
            [] => return Ok(()),
            // Large ones are alone, and are to be no larger than they have to be.
            [operation] => operation.clone(),
            operations => format!(r#"{{"op":"batch","operations":[{}]}}"#, operations.join(",")),
        };
        self.send(body).await
    }

    async fn send(&mut self, body: String) -> anyhow::Result<()> {
        let key = format!("restore-{}-{}", self.id, self.requests);
        self.requests += 1;
        let written = self.client.write::<Value>(&body, &key).await;
        written.map(drop).context("the database is only partly restored: empty it and begin again")
    }
}

/// A moment from the command line: RFC 3339.
pub(in super::super) fn parse_time(text: &str) -> Result<u64, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "a time such as 2026-11-27T06:00:00Z is wanted".to_owned())?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).map_err(|error| error.to_string())
}
