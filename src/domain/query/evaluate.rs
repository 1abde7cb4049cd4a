//! The meaning of a query, written down as code.

use super::order::Keys;
use super::{Query, project};
use crate::domain::document::Document;

/// What a query returns from these documents of its collection: those that match, in order,
/// without the skipped ones, up to the limit, reduced to the projection.
pub fn evaluate<'a>(
    query: &Query,
    documents: impl IntoIterator<Item = &'a Document>,
) -> Vec<Document> {
    let matching = documents.into_iter().filter(|document| query.filter.matches(document));
    let mut ordered: Vec<(Keys<'a>, &Document)> =
        matching.map(|document| (Keys::of(&query.sort, document), document)).collect();
    ordered.sort_by(|(a, _), (b, _)| a.compare(b, &query.sort));

    let skip = usize::try_from(query.skip).unwrap_or(usize::MAX);
    let limit =
        query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let returned = ordered.into_iter().skip(skip).take(limit);
    returned
        .map(|(_, document)| match &query.projection {
            Some(paths) => project(document, paths),
            None => document.clone(),
        })
        .collect()
}
