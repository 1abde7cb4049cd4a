//! Why an update cannot be used at all, and why it cannot be applied to a document.

use super::MAX_PADDING;
use super::parse::MAX_LEVELS;
use crate::domain::document::{InvalidDocument, InvalidPath};
use crate::domain::filter::{AmbiguousFields, InvalidFilter};

/// An update that cannot be used, and where it goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUpdate {
    /// The place within the update, such as `$push.a.$each[2]`; empty for the whole.
    pub place: String,
    /// What is wrong there.
    pub problem: UpdateProblem,
}

/// What can be wrong with an update.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateProblem {
    /// Something else than an object, such as a pipeline.
    #[error("must be an object of operators, not {0}")]
    NotAnObject(&'static str),
    /// More levels than any change of a document can need.
    #[error("an update may have {MAX_LEVELS} levels at most")]
    TooDeep,
    /// There is no operator.
    #[error("has no operator, such as `$set`")]
    Empty,
    /// Fields instead of operators.
    #[error(
        "`{0}` is not an operator: to store a whole new document use the operation `replace`, to \
         change fields use operators such as `$set`"
    )]
    PlainField(String),
    /// An operator that does not exist, is not offered, or cannot stand there.
    #[error("operator `{0}` is not known here")]
    UnknownOperator(String),
    /// An operator with an operand that it does not take.
    #[error("needs {needs}, not {holds}")]
    Operand {
        /// What it takes.
        needs: &'static str,
        /// What it was given.
        holds: &'static str,
    },
    /// The path of a field is not one.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// A value that no document can hold.
    #[error(transparent)]
    Literal(#[from] InvalidDocument),
    /// A condition of `$pull` that is no filter.
    #[error(transparent)]
    Condition(#[from] InvalidFilter),
    /// Two changes of one field, or of a field and one within it.
    #[error("changes `{first}` and `{second}`, which conflict")]
    Conflict {
        /// The path that sorts first.
        first: String,
        /// The same path, or one within it.
        second: String,
    },
}

impl std::fmt::Display for InvalidUpdate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place.as_str() {
            "" => write!(formatter, "update: {}", self.problem),
            place => write!(formatter, "update at `{place}`: {}", self.problem),
        }
    }
}

impl std::error::Error for InvalidUpdate {}

impl<P: Into<UpdateProblem>> From<P> for InvalidUpdate {
    fn from(problem: P) -> Self {
        Self { place: String::new(), problem: problem.into() }
    }
}

impl InvalidUpdate {
    /// The same problem, seen from outside of a place.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        let is_apart = !self.place.is_empty() && !self.place.starts_with('[');
        self.place.insert_str(0, if is_apart { "." } else { "" });
        self.place.insert_str(0, place);
        self
    }
}

/// A valid update that a document does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// An operator met a value of a type that it does not work on.
    #[error("`{operator}` needs {needs} in field `{path}`, which holds {holds}")]
    WrongType {
        /// The operator.
        operator: &'static str,
        /// What it works on.
        needs: &'static str,
        /// The field.
        path: String,
        /// What the field holds.
        holds: &'static str,
    },
    /// The path leads through a value that has no fields, or through an array by a name.
    #[error("path `{path}` cannot go to `{part}` in {holds}")]
    Blocked {
        /// The whole path.
        path: String,
        /// The part that does not exist there.
        part: String,
        /// What stands in the way.
        holds: &'static str,
    },
    /// The result does not fit into 64 bits, or is not a finite number.
    #[error("`{operator}` of field `{path}` exceeds the range of numbers")]
    OutOfRange {
        /// The operator.
        operator: &'static str,
        /// The field.
        path: String,
    },
    /// An index so far behind the end of an array that too many nulls would fill the gap.
    #[error("path `{path}` would fill gaps in arrays with more than {MAX_PADDING} nulls")]
    TooFarBehind {
        /// The whole path.
        path: String,
    },
    /// The update changes or removes `_id`.
    #[error("`_id` cannot be changed")]
    ImmutableId,
    /// The filter of an upsert fixes one field twice.
    #[error(transparent)]
    AmbiguousFilter(#[from] AmbiguousFields),
    /// The result breaks a rule of documents.
    #[error("after the update {0}")]
    Invalid(#[from] InvalidDocument),
}
