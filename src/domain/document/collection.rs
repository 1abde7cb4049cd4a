//! The name of a collection.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How many characters a name may have.
const MAX_LENGTH: usize = 64;

/// A valid name of a collection: a letter, then up to 63 letters, digits, `_` or `-`. Cheap to
/// clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CollectionName(Arc<str>);

/// A text that cannot name a collection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is no name of a collection: it takes a letter and then up to 63 letters, digits, \
     `_` or `-`"
)]
pub struct InvalidName {
    name: String,
}

impl CollectionName {
    /// Takes a text as a name.
    ///
    /// # Errors
    /// The text does not match `[A-Za-z][A-Za-z0-9_-]{0,63}`.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic());
        let goes_on_well =
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if starts_well && goes_on_well && name.len() <= MAX_LENGTH {
            return Ok(Self(name.into()));
        }
        // A name may be as long as a request; the message quotes its beginning.
        Err(InvalidName { name: name.chars().take(MAX_LENGTH).collect() })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl AsRef<str> for CollectionName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for CollectionName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::parse(name)
    }
}

impl TryFrom<String> for CollectionName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::parse(&name)
    }
}

impl From<CollectionName> for String {
    fn from(name: CollectionName) -> Self {
        name.0.as_ref().to_owned()
    }
}
