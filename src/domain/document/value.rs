//! One value of a document, and the ways to make one.

use super::Document;
use super::json::InvalidJson;

/// What a field or an array element can hold.
///
/// `==` tells 1 from 1.0; [`Value::equals`] is the equality that queries use.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing, but present.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A 64-bit signed integer.
    Integer(i64),
    /// A number that was written with a fraction or an exponent. Finite in every stored document.
    Double(f64),
    /// Unicode text.
    String(String),
    /// Values in order.
    Array(Vec<Value>),
    /// A document in a document.
    Object(Document),
}

impl Value {
    /// The name of the value's type, with its article, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Double(_) => "a double",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number as an integer, also when it is a double without a fraction that fits.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Double(number) => whole(*number),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The document in the value.
    pub fn as_document(&self) -> Option<&Document> {
        match self {
            Self::Object(document) => Some(document),
            _ => None,
        }
    }

    /// Whether there are more than so many levels of objects and arrays in each other.
    pub fn is_deeper_than(&self, levels: usize) -> bool {
        let exceeds = |value: &Value| levels == 0 || value.is_deeper_than(levels - 1);
        match self {
            Self::Array(elements) => levels == 0 || elements.iter().any(exceeds),
            Self::Object(document) => levels == 0 || document.iter().any(|(_, v)| exceeds(v)),
            _ => false,
        }
    }

    /// About how many bytes this value takes as JSON; see [`Document::encoded_size`].
    pub fn encoded_size(&self) -> usize {
        super::limits::value_size(self)
    }

    /// Takes over a JSON tree. `serde_json` sorts the fields of its objects by name; where their
    /// order matters, read the text with [`super::json::parse`].
    ///
    /// # Errors
    /// An integer outside the 64-bit signed range, or nesting that is too deep.
    pub fn from_json(tree: serde_json::Value) -> Result<Self, InvalidJson> {
        serde_json::from_value(tree).map_err(InvalidJson::from)
    }
}

/// The integer that a double stands for exactly.
fn whole(number: f64) -> Option<i64> {
    // 2^63 itself is out of range, -2^63 is not.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let fits = number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number);
    fits.then_some(number as i64)
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<Document> for Value {
    fn from(document: Document) -> Self {
        Self::Object(document)
    }
}

/// A double that is not finite becomes null, as JSON has no word for it.
impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Integer(number) => (*number).into(),
            Value::Double(number) => (*number).into(),
            Value::String(text) => text.as_str().into(),
            Value::Array(elements) => elements.iter().map(Self::from).collect(),
            Value::Object(document) => document.into(),
        }
    }
}

impl From<&Document> for serde_json::Value {
    fn from(document: &Document) -> Self {
        Self::Object(document.iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}
