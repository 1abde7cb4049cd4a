//! What belongs to a backup.

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::domain::document::{CollectionName, Document};
use crate::domain::ids::Offset;
use crate::domain::log::{Change, History};
use crate::domain::message::Collection;

pub(super) const MANIFEST: &str = "manifest.json";
/// What this program writes and reads.
pub(super) const FORMAT: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// When the documents were taken, for people.
    pub(super) taken_at: String,
    /// Before this offset the documents are of no one moment.
    pub(super) whole_from: Moment,
    /// How far the log goes that is kept.
    pub(super) reaches: Moment,
    /// How the log is judged from there on.
    pub(super) history: History,
    /// The collections and their indexes when the documents were taken.
    pub(super) collections: Vec<Collection>,
    pub(super) parts: Vec<Part>,
}

/// A place in the log, and when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moment {
    pub(super) offset: Offset,
    /// In milliseconds since 1970, by the clock of the master of that time.
    pub(super) at_ms: u64,
}

impl Moment {
    /// As people read it.
    pub(super) fn text(self) -> String {
        let nanos = i128::from(self.at_ms) * 1_000_000;
        let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
        let at = at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
        format!("offset {} of {at}", self.offset)
    }
}

/// One file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Lines.
    pub(super) lines: u64,
    /// Its length as it lies there, compressed.
    pub(super) bytes: u64,
    /// Of the same, in hexadecimal.
    pub(super) sha256: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Documents,
    Log,
}

/// A line of documents.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DocumentLine {
    pub(super) collection: CollectionName,
    pub(super) document: Document,
}

/// A line of the log.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LogLine {
    #[serde(flatten)]
    pub(super) moment: Moment,
    pub(super) changes: Vec<Change>,
}

impl Manifest {
    pub(super) fn parse(text: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable = || format!("{MANIFEST} is not the manifest of a backup");
        let Version { format } = serde_json::from_slice(text).with_context(unreadable)?;
        ensure!(
            format == FORMAT,
            "the backup is of format {format}, this program reads format {FORMAT}"
        );
        serde_json::from_slice(text).with_context(unreadable)
    }

    pub(super) fn parts(&self, kind: Kind) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::document::DocumentId;

    #[test]
    fn lines_come_back_as_they_were() {
        let document = r#"{"_id":"a","z":1,"a":[1.0,-0.0,9007199254740993,{"é":null}],"m":1e300}"#;
        let document: Document = serde_json::from_str(document).expect("a document");
        let collection = CollectionName::parse("c").expect("a name");
        let line = LogLine {
            moment: Moment { offset: Offset(7), at_ms: 1_790_000_000_000 },
            changes: vec![
                Change::Put {
                    collection: collection.clone(),
                    id: DocumentId::from("a"),
                    document: document.clone().into(),
                },
                Change::Delete { collection: collection.clone(), id: DocumentId::from(i64::MIN) },
                Change::Clear { collection: collection.clone() },
                Change::EnsureIndex { collection: collection.clone(), field: "a.b".to_owned() },
            ],
        };
        let text = serde_json::to_vec(&line).expect("written");
        assert_eq!(serde_json::from_slice::<LogLine>(&text).expect("read"), line);
        let line = DocumentLine { collection, document };
        let text = serde_json::to_vec(&line).expect("written");
        assert_eq!(serde_json::from_slice::<DocumentLine>(&text).expect("read"), line);
    }

    #[test]
    fn what_is_no_manifest_of_ours_is_refused() {
        for (text, named) in [
            ("{}", "not the manifest"),
            (r#"{"format":2}"#, "format 2"),
            (r#"{"format":1}"#, "not the manifest"),
        ] {
            let error = Manifest::parse(text.as_bytes()).expect_err("none");
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
