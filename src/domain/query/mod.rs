//! Queries: which documents to return, in which order, and which of their fields.
//!
//! Storage adapters may evaluate a query by their own means; what they return must equal what
//! [`evaluate`] returns. Every order ends with `_id`, so that it is the same on every replica.

mod distinct;
mod evaluate;
mod order;
mod projection;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::document::{CollectionName, FieldPath, InvalidPath};
use super::filter::Filter;

pub use distinct::distinct;
pub use evaluate::evaluate;
pub use order::{SortKey, compare_by};
pub use projection::project;

/// A question for the documents of one collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Where to look.
    pub collection: CollectionName,
    /// Which documents.
    #[serde(default)]
    pub filter: Filter,
    /// The paths to order by, the first one first; `_id` ascending decides what they leave open.
    #[serde(default)]
    pub sort: Vec<(String, SortOrder)>,
    /// The paths to return besides `_id`; all when absent.
    #[serde(default)]
    pub projection: Option<Vec<String>>,
    /// How many of the first documents to leave out.
    #[serde(default)]
    pub skip: u64,
    /// How many documents to return at most; all when absent.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// A direction of an order. Serialises as 1 or -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum SortOrder {
    /// The smallest first.
    Ascending,
    /// The largest first.
    Descending,
}

/// A direction that is neither 1 nor -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the order of a sort is 1 or -1, not {0}")]
pub struct InvalidOrder(i64);

/// A query with a path that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct InvalidQuery {
    /// Where it stands, such as `sort[0]`.
    pub place: String,
    /// What is wrong with it.
    pub problem: InvalidPath,
}

impl Query {
    /// All documents of a collection.
    pub fn all(collection: CollectionName) -> Self {
        Self {
            collection,
            filter: Filter::all(),
            sort: Vec::new(),
            projection: None,
            skip: 0,
            limit: None,
        }
    }

    /// Checks the paths to sort by and to return.
    ///
    /// # Errors
    /// The first one that is no path.
    pub fn validate(&self) -> Result<(), InvalidQuery> {
        let sorted = self.sort.iter().map(|(path, _)| path);
        let projected = self.projection.iter().flatten();
        check_paths("sort", sorted)?;
        check_paths("projection", projected)
    }
}

fn check_paths<'a>(
    what: &str,
    paths: impl Iterator<Item = &'a String>,
) -> Result<(), InvalidQuery> {
    for (index, path) in paths.enumerate() {
        FieldPath::parse(path)
            .map_err(|problem| InvalidQuery { place: format!("{what}[{index}]"), problem })?;
    }
    Ok(())
}

impl TryFrom<i64> for SortOrder {
    type Error = InvalidOrder;

    fn try_from(direction: i64) -> Result<Self, InvalidOrder> {
        match direction {
            1 => Ok(Self::Ascending),
            -1 => Ok(Self::Descending),
            other => Err(InvalidOrder(other)),
        }
    }
}

impl From<SortOrder> for i64 {
    fn from(order: SortOrder) -> Self {
        match order {
            SortOrder::Ascending => 1,
            SortOrder::Descending => -1,
        }
    }
}
