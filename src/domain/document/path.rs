//! Dotted paths: how filters, updates, sorts and projections name a field within a document.

use std::fmt;

use super::MAX_DEPTH;

/// How many parts of a path may be numbers. Each may name a field or an element, so that without a
/// bound a crafted path and document would take exponential time.
const MAX_INDEXES: usize = 16;

/// A path such as `a.b.0`: parts between dots, each the name of a field or an index of an array.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath {
    text: String,
    parts: Vec<String>,
}

/// A text that is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// The path is empty, or starts or ends with a dot, or has two in a row.
    #[error("path `{0}` has an empty part")]
    EmptyPart(String),
    /// A part starts with `$`, as positional operators do.
    #[error("path `{path}` has the part `{part}`: a name may not start with `$`")]
    Operator {
        /// The whole path.
        path: String,
        /// The part that starts with `$`.
        part: String,
    },
    /// A part holds a NUL character.
    #[error("a path holds a NUL character")]
    Nul,
    /// The path goes deeper than a document may.
    #[error("a path has more than {MAX_DEPTH} parts")]
    TooDeep,
    /// Too many parts of the path are numbers.
    #[error("a path has more than {MAX_INDEXES} numeric parts")]
    TooManyIndexes,
}

impl FieldPath {
    /// Splits a text at its dots.
    ///
    /// # Errors
    /// A part that no field may be named, or more parts than a document has levels.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        if text.split('.').take(MAX_DEPTH + 1).count() > MAX_DEPTH {
            return Err(InvalidPath::TooDeep);
        }
        if text.split('.').filter(|part| array_index(part).is_some()).count() > MAX_INDEXES {
            return Err(InvalidPath::TooManyIndexes);
        }
        if text.contains('\0') {
            return Err(InvalidPath::Nul);
        }
        for part in text.split('.') {
            if part.is_empty() {
                return Err(InvalidPath::EmptyPart(text.to_owned()));
            }
            if part.starts_with('$') {
                return Err(InvalidPath::Operator { path: text.to_owned(), part: part.to_owned() });
            }
        }
        Ok(Self { text: text.to_owned(), parts: text.split('.').map(str::to_owned).collect() })
    }

    /// The path of a field of the document itself, whose name is known to be valid.
    pub(crate) fn from_name(name: &str) -> Self {
        Self { text: name.to_owned(), parts: vec![name.to_owned()] }
    }

    /// The whole path as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parts in order; at least one.
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// Whether this path names the other's field, or a field or array that the other's lies in.
    pub fn covers(&self, other: &FieldPath) -> bool {
        other.parts.starts_with(&self.parts)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}

/// The index that a part stands for: digits without a leading zero, as MongoDB writes them.
pub(crate) fn array_index(part: &str) -> Option<usize> {
    let is_canonical = part == "0" || !part.starts_with('0');
    let is_number = is_canonical && part.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { part.parse().ok() } else { None }
}
