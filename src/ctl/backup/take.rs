//! Makes a backup, or carries one on.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::client::Client;
use super::archive::{Archive, Writer};
use super::manifest::{DocumentLine, FORMAT, Kind, LogLine, Manifest, Moment, Part};
use super::progress;
use super::source::{LogReader, OTHER_HISTORY, Pages, collections, count, first_ids, mark};
use crate::domain::ids::Offset;
use crate::domain::log::History;
use crate::domain::message::Collection;

/// Takes all documents, or, where there is a backup already, what was written since.
pub(in super::super) async fn take(client: &Client, location: &str) -> anyhow::Result<Value> {
    let archive = Archive::open(location, true)?;
    let (manifest, kind) = match archive.manifest().await? {
        None => (whole(client, &archive).await?, "whole"),
        Some(before) => (more(client, &archive, before).await?, "continued"),
    };
    archive.put_manifest(&manifest).await?;
    let total = |kind| manifest.parts(kind).map(|part| part.lines).sum::<u64>();
    Ok(json!({
        "backup": kind,
        "documents": total(Kind::Documents),
        "records": total(Kind::Log),
        "bytes": manifest.parts.iter().map(|part| part.bytes).sum::<u64>(),
        "whole_from": manifest.whole_from.offset,
        "reaches": manifest.reaches.offset,
    }))
}

async fn whole(client: &Client, archive: &Archive) -> anyhow::Result<Manifest> {
    let first = mark(client).await?;
    let collections = collections(client, first).await?;
    let mut parts = documents(client, archive, &collections, first).await?;
    let last = mark(client).await?;
    let log = LogReader::from_mark(client, first, last).await?;
    let (history, reaches) = keep_log(log, archive, &mut parts).await?;
    let reaches = reaches.context("the log has no record where it was marked")?;
    Ok(Manifest {
        format: FORMAT,
        taken_at: OffsetDateTime::now_utc().format(&Rfc3339)?,
        whole_from: reaches,
        reaches,
        history,
        collections,
        parts,
    })
}

async fn more(client: &Client, archive: &Archive, before: Manifest) -> anyhow::Result<Manifest> {
    let last = mark(client).await?;
    ensure!(last > before.reaches.offset, OTHER_HISTORY);
    let mut parts = before.parts;
    let log = LogReader::after(client, before.history, last)
        .await
        .context("the backup cannot be carried on; make a new one in another place")?;
    let (history, reaches) = keep_log(log, archive, &mut parts).await?;
    let reaches = reaches.unwrap_or(before.reaches);
    Ok(Manifest { reaches, history, parts, ..before })
}

async fn documents(
    client: &Client,
    archive: &Archive,
    collections: &[Collection],
    at_least: Offset,
) -> anyhow::Result<Vec<Part>> {
    let progress =
        progress("{bar:30} {human_pos} of {human_len} documents, {elapsed}, {eta} left")?;
    let mut expected = 0;
    for collection in collections {
        expected += count(client, &collection.name, at_least).await?;
    }
    progress.set_length(expected);
    let name = |number: usize| format!("documents-{number:06}.ndjson.gz");
    let mut writer = Writer::new(archive, Kind::Documents);
    for Collection { name: collection, .. } in collections {
        for first in first_ids() {
            let mut pages = Pages::new(client, collection, &first, at_least);
            loop {
                let page =
                    pages.next().await.with_context(|| format!("collection {collection}"))?;
                if page.is_empty() {
                    break;
                }
                for document in page {
                    let line = DocumentLine { collection: collection.clone(), document };
                    writer.add(&line, name).await?;
                    progress.inc(1);
                }
            }
        }
    }
    progress.finish_and_clear();
    writer.finish(name).await
}

/// Keeps what a stretch of the log changed. Returns where it ended.
async fn keep_log(
    mut log: LogReader,
    archive: &Archive,
    parts: &mut Vec<Part>,
) -> anyhow::Result<(History, Option<Moment>)> {
    let progress = progress("{spinner} {human_pos} records of the log, {elapsed}")?;
    let mut writer = Writer::new(archive, Kind::Log);
    let (mut reached, mut part_from) = (None, None);
    while let Some((moment, changes)) = log.next().await? {
        reached = Some(moment);
        progress.inc(1);
        if changes.is_empty() {
            continue;
        }
        let from: Offset = *part_from.get_or_insert(moment.offset);
        let line = LogLine { moment, changes };
        let mut ended = false;
        let name = |_| {
            ended = true;
            log_name(from, moment.offset)
        };
        writer.add(&line, name).await?;
        if ended {
            part_from = None;
        }
    }
    progress.finish_and_clear();
    if let (Some(from), Some(reached)) = (part_from, reached) {
        parts.extend(writer.finish(|_| log_name(from, reached.offset)).await?);
    } else {
        parts.extend(writer.finish(|_| String::new()).await?);
    }
    Ok((log.into_history()?, reached))
}

fn log_name(first: Offset, last: Offset) -> String {
    format!("log-{:020}-{:020}.ndjson.gz", first.0, last.0)
}
