//! Checks requests that did not come from a body but from a queue: whoever can write there can
//! write anything. A document that no database takes must not get into the log, where it would stop
//! every worker.

use super::native::{MAX_SORT_KEYS, path};
use super::{
    InvalidRequest, MAX_OPERATIONS, ReadOperation, ReadShape, WriteOperation, WriteRequest,
};
use crate::domain::document::Document;
use crate::domain::query::InvalidQuery;

/// More than any client can name a request with: every worker remembers many of them.
const MAX_ID_BYTES: usize = 1_024;

type Checked = Result<(), InvalidRequest>;

impl WriteRequest {
    /// Whether an orchestrator could have made this of a body.
    ///
    /// # Errors
    /// Names the place and what is wrong there.
    pub fn check(&self) -> Checked {
        match self.id.as_str().len() {
            0..=MAX_ID_BYTES => self.operation.check(),
            bytes => Err(InvalidRequest::new("id", format!("takes {bytes} bytes"))),
        }
    }
}

impl WriteOperation {
    fn check(&self) -> Checked {
        match self {
            Self::Batch { operations } => {
                check_count("operations", operations.len())?;
                for (index, operation) in operations.iter().enumerate() {
                    let place = format!("operations[{index}]");
                    operation.check_in_batch().map_err(|error| error.within(&place))?;
                }
                Ok(())
            }
            Self::Clear { .. } => Ok(()),
            Self::EnsureIndex { field, .. } => check_path("field", field),
            _ => self.check_in_batch(),
        }
    }

    fn check_in_batch(&self) -> Checked {
        match self {
            Self::Insert { documents, .. } => {
                check_count("documents", documents.len())?;
                for (index, document) in documents.iter().enumerate() {
                    check_document(&format!("documents[{index}]"), document)?;
                }
                Ok(())
            }
            Self::Replace { document, .. } => check_document("document", document),
            // Filters and updates are read again with their own rules.
            Self::Update { .. } | Self::Delete { .. } => Ok(()),
            Self::Clear { .. } | Self::EnsureIndex { .. } | Self::Batch { .. } => {
                Err(InvalidRequest::new("op", "cannot stand in a batch"))
            }
        }
    }
}

impl ReadOperation {
    /// Whether a body could have asked for this.
    ///
    /// # Errors
    /// Names the place and what is wrong there.
    pub fn check(&self) -> Checked {
        let sort = &self.query.sort;
        if sort.len() > MAX_SORT_KEYS {
            return Err(InvalidRequest::new("sort", format!("has {} fields", sort.len())));
        }
        let wrong =
            |error: InvalidQuery| InvalidRequest::new(error.place, error.problem.to_string());
        self.query.validate().map_err(wrong)?;
        match &self.shape {
            ReadShape::Distinct(field) => check_path("distinct", field),
            ReadShape::Documents | ReadShape::Count => Ok(()),
        }
    }
}

fn check_count(place: &str, count: usize) -> Checked {
    match count {
        0..=MAX_OPERATIONS => Ok(()),
        _ => Err(InvalidRequest::new(place, format!("has {count} elements"))),
    }
}

fn check_document(place: &str, document: &Document) -> Checked {
    let wrong = |reason: String| InvalidRequest::new(place, reason);
    document.validate().map_err(|error| wrong(error.to_string()))?;
    document.id().map(drop).ok_or_else(|| wrong("has no _id".to_owned()))
}

fn check_path(place: &str, field: &str) -> Checked {
    path(field.to_owned(), place).map(drop)
}
