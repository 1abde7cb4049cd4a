//! What a document must keep to be stored, and how a violation is told.

use super::{Document, DocumentId, ID_FIELD, InvalidId, Value};

/// The largest document, in bytes of JSON as [`Document::encoded_size`] counts them.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// How many levels of objects and arrays a document may have, its own included.
pub const MAX_DEPTH: usize = 64;

/// A document that breaks a rule, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDocument {
    /// The offending value, such as `a.b[2]`; empty for the document as a whole.
    pub path: String,
    /// The rule it breaks.
    pub reason: InvalidReason,
}

/// A rule of documents that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReason {
    /// A field without a name.
    #[error("the name of a field is empty")]
    EmptyName,
    /// A name with a dot, which could not be told from a path.
    #[error("the name `{0}` holds a dot")]
    DotInName(String),
    /// A name with a NUL character, which databases cut off there.
    #[error("the name of a field holds a NUL character")]
    NulInName,
    /// A name that could be taken for an operator.
    #[error("the name `{0}` starts with `$`")]
    DollarInName(String),
    /// An `_id` that cannot be a key.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// An infinite double or a NaN.
    #[error("is not a finite number")]
    NotFinite,
    /// More levels than [`MAX_DEPTH`].
    #[error("is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More bytes than [`MAX_DOCUMENT_BYTES`].
    #[error("takes {size} bytes, more than {MAX_DOCUMENT_BYTES}")]
    TooLarge {
        /// The size of the document.
        size: usize,
    },
}

impl InvalidDocument {
    /// The same violation, seen from outside: `a.b` within `documents[0]` is `documents[0].a.b`.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        let is_apart = !place.is_empty() && !self.path.is_empty() && !self.path.starts_with('[');
        self.path.insert_str(0, if is_apart { "." } else { "" });
        self.path.insert_str(0, place);
        self
    }
}

impl From<InvalidReason> for InvalidDocument {
    fn from(reason: InvalidReason) -> Self {
        Self { path: String::new(), reason }
    }
}

impl std::fmt::Display for InvalidDocument {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.as_str() {
            "" => write!(formatter, "document: {}", self.reason),
            path => write!(formatter, "{path}: {}", self.reason),
        }
    }
}

impl std::error::Error for InvalidDocument {}

pub(super) fn validate(document: &Document) -> Result<(), InvalidDocument> {
    validate_fields(document, MAX_DEPTH)?;
    if let Some(id) = document.get(ID_FIELD) {
        DocumentId::try_from(id)
            .map_err(|error| InvalidDocument::from(InvalidReason::from(error)).within(ID_FIELD))?;
    }
    match document_size(document) {
        0..=MAX_DOCUMENT_BYTES => Ok(()),
        size => Err(InvalidReason::TooLarge { size }.into()),
    }
}

/// Checks a value that is to become a part of a document: names, depth and finite numbers.
pub(crate) fn validate_value(value: &Value) -> Result<(), InvalidDocument> {
    // The document around it is a level too.
    check_value(value, MAX_DEPTH - 1)
}

fn validate_fields(document: &Document, levels_left: usize) -> Result<(), InvalidDocument> {
    let Some(levels_left) = levels_left.checked_sub(1) else {
        return Err(InvalidReason::TooDeep.into());
    };
    for (name, value) in document.iter() {
        check_name(name).map_err(InvalidDocument::from)?;
        check_value(value, levels_left).map_err(|error| error.within(name))?;
    }
    Ok(())
}

fn check_value(value: &Value, levels_left: usize) -> Result<(), InvalidDocument> {
    match value {
        Value::Double(number) if !number.is_finite() => Err(InvalidReason::NotFinite.into()),
        Value::Object(document) => validate_fields(document, levels_left),
        Value::Array(elements) => {
            let Some(levels_left) = levels_left.checked_sub(1) else {
                return Err(InvalidReason::TooDeep.into());
            };
            for (index, element) in elements.iter().enumerate() {
                check_value(element, levels_left)
                    .map_err(|error| error.within(&format!("[{index}]")))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), InvalidReason> {
    match name {
        "" => Err(InvalidReason::EmptyName),
        _ if name.starts_with('$') => Err(InvalidReason::DollarInName(name.to_owned())),
        _ if name.contains('\0') => Err(InvalidReason::NulInName),
        _ if name.contains('.') => Err(InvalidReason::DotInName(name.to_owned())),
        _ => Ok(()),
    }
}

pub(super) fn document_size(document: &Document) -> usize {
    // Braces, and for each field quotes, a colon and a comma.
    let fields = document.iter().map(|(name, value)| name.len() + 4 + value_size(value));
    2 + fields.sum::<usize>()
}

pub(super) fn value_size(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Bool(_) => 5,
        Value::Integer(number) => integer_size(*number),
        // The most digits that a double needs, a sign, a point and a short exponent.
        Value::Double(_) => 20,
        Value::String(text) => text.len() + 2,
        Value::Array(elements) => 2 + elements.iter().map(|e| value_size(e) + 1).sum::<usize>(),
        Value::Object(document) => document_size(document),
    }
}

fn integer_size(number: i64) -> usize {
    let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
    digits as usize + usize::from(number < 0)
}
