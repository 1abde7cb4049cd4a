//! Judges reads: each document must be as it was at some place of the log, late enough for what
//! the read was promised, and not later than the log is.
//!
//! Documents are judged one by one: a database applies the changes of a record one after the
//! other, and nobody is promised to see them all at once.

use std::sync::Arc;

use rideshare::domain::document::{CollectionName, Document, DocumentId};
use rideshare::domain::ids::Offset;

use super::contents::Version;
use super::{Oracle, Verdict};

/// What a client read.
#[derive(Debug)]
pub(crate) enum Read<'a> {
    /// One document by its `_id`.
    One(&'a DocumentId),
    /// A whole collection.
    All,
}

impl Oracle {
    /// What a strong read that begins now must see.
    pub(crate) const fn confirmed(&self) -> Option<Offset> {
        self.confirmed
    }

    /// Notes that a client knows of this offset: by an answer, or by a strong read.
    pub(crate) fn confirm(&mut self, offset: Offset) {
        self.confirmed = self.confirmed.max(Some(offset));
    }

    /// Judges documents that were read from a state that was to hold everything up to `least`.
    /// Returns the earliest place of the log that explains them all.
    pub(crate) fn check_read(
        &mut self,
        collection: &CollectionName,
        read: &Read<'_>,
        found: &[Document],
        least: Option<Offset>,
    ) -> Result<Option<Offset>, String> {
        self.figures.reads += 1;
        let ids = match read {
            Read::One(id) => [DocumentId::clone(id)].into(),
            Read::All => self.contents.ids(collection),
        };
        let mut earliest = least;
        for id in &ids {
            let seen = found.iter().find(|document| document.id().as_ref() == Some(id));
            let key = (collection.clone(), id.clone());
            let (base, versions) = (self.contents.base(&key), self.contents.versions(&key));
            let Some(place) = earliest_place(base, versions, seen, least) else {
                return Err(format!(
                    "a read that must be as new as {least:?} found {id} of {collection} as \
                     {seen:?}, which it was not since then: {:?}",
                    last_of(versions)
                ));
            };
            earliest = earliest.max(place);
        }
        self.check_nothing_else(found, &ids)?;
        Ok(earliest)
    }

    fn check_nothing_else(
        &self,
        found: &[Document],
        ids: &std::collections::BTreeSet<DocumentId>,
    ) -> Verdict {
        let stray = found.iter().find(|it| it.id().is_none_or(|id| !ids.contains(&id)));
        stray.map_or(Ok(()), |stray| Err(format!("a read found {stray:?}, which never was")))
    }
}

fn last_of(versions: &[Version]) -> &[Version] {
    &versions[versions.len().saturating_sub(4)..]
}

/// The first place, from `least` on, where the document was as it was seen. `Some(None)` is the
/// place before the first record.
fn earliest_place(
    base: Option<&Arc<Document>>,
    versions: &[Version],
    seen: Option<&Document>,
    least: Option<Offset>,
) -> Option<Option<Offset>> {
    let first = (None, base);
    let rest = versions.iter().map(|(offset, document)| (Some(*offset), document.as_ref()));
    let all: Vec<(Option<Offset>, Option<&Arc<Document>>)> =
        std::iter::once(first).chain(rest).collect();
    for (index, (from, document)) in all.iter().enumerate() {
        let next = all.get(index + 1).and_then(|(offset, _)| *offset);
        let is_over = next.is_some_and(|next| Some(next) <= least);
        if !is_over && document.map(|it| &**it) == seen {
            return Some((*from).max(least));
        }
    }
    None
}
