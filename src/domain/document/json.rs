//! Strict JSON text: what a client may send.
//!
//! Beyond the grammar it refuses what a lenient reader would silently change: an integer that does
//! not fit into 64 bits, a number too large for a double, a field that appears twice.

use serde::de::DeserializeOwned;

use super::Value;

/// The digits that every 64-bit integer has room for; only longer ones need a closer look.
const SAFE_DIGITS: usize = 18;

/// A text that is not the JSON asked for, and where it goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidJson {
    /// What is wrong.
    pub reason: String,
    /// The line of the place, from 1; 0 when it is not known.
    pub line: usize,
    /// The column of the place in bytes, from 1; 0 when it is not known.
    pub column: usize,
}

impl std::fmt::Display for InvalidJson {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.reason)?;
        match self.line {
            0 => Ok(()),
            line => write!(formatter, " at line {line} column {}", self.column),
        }
    }
}

impl std::error::Error for InvalidJson {}

impl From<serde_json::Error> for InvalidJson {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        let reason = text.strip_suffix(place.as_str()).unwrap_or(&text).to_owned();
        Self { reason, line, column }
    }
}

/// Reads a whole text as one value.
///
/// # Errors
/// See [`InvalidJson`]; nesting is bounded a little above the limit of documents, so that one at
/// the limit fits into the request around it.
pub fn parse(bytes: &[u8]) -> Result<Value, InvalidJson> {
    decode(bytes)
}

/// Reads a whole text as a type of its own, such as a request that holds values, with the same
/// strictness as [`parse`].
///
/// # Errors
/// See [`InvalidJson`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidJson> {
    let decoded = serde_json::from_slice(bytes)?;
    // serde_json reads a longer integer as a double without a word.
    match find_oversized_integer(bytes) {
        None => Ok(decoded),
        Some((start, literal)) => Err(oversized_integer(bytes, start, literal)),
    }
}

/// Finds the first number of a valid JSON text that is written as an integer and does not fit.
fn find_oversized_integer(bytes: &[u8]) -> Option<(usize, &str)> {
    let mut position = 0;
    while let Some(&byte) = bytes.get(position) {
        position = match byte {
            b'"' => end_of_string(bytes, position + 1),
            b'-' | b'0'..=b'9' => {
                let end = end_of_number(bytes, position);
                let literal = bytes.get(position..end).unwrap_or_default();
                if let Some(oversized) = as_oversized_integer(literal) {
                    return Some((position, oversized));
                }
                end
            }
            _ => position + 1,
        };
    }
    None
}

/// The position behind the closing quote of the string whose content starts here.
fn end_of_string(bytes: &[u8], mut position: usize) -> usize {
    while let Some(&byte) = bytes.get(position) {
        match byte {
            b'"' => return position + 1,
            b'\\' => position += 2,
            _ => position += 1,
        }
    }
    position
}

fn end_of_number(bytes: &[u8], start: usize) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let length = bytes.iter().skip(start).take_while(|byte| is_part(byte)).count();
    start + length
}

fn as_oversized_integer(literal: &[u8]) -> Option<&str> {
    if literal.len() <= SAFE_DIGITS || literal.iter().any(|byte| b".eE".contains(byte)) {
        return None;
    }
    let literal = std::str::from_utf8(literal).ok()?;
    literal.parse::<i64>().is_err().then_some(literal)
}

fn oversized_integer(bytes: &[u8], start: usize, literal: &str) -> InvalidJson {
    let before = bytes.get(..start).unwrap_or_default();
    let line_start =
        before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    // A literal may be as long as a request; the message quotes its beginning.
    let quoted = literal.get(..40).map_or(literal.to_owned(), |beginning| format!("{beginning}…"));
    InvalidJson {
        reason: format!("integer {quoted} is outside the 64-bit signed range"),
        line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
        column: start - line_start + 1,
    }
}
