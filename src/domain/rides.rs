//! The rules of the users and rides services: what a request must hold, and which wards there are.
//!
//! Pure: what the time is and who exists is asked elsewhere.

use std::collections::BTreeMap;

use super::document::{Document, Value};
use super::request::InvalidRequest;
use super::timestamp;

/// Bangalore's wards.
const BANGALORE: &str = include_str!("../../config/areas.csv");
/// The digits of a SHA-1.
const SHA1_DIGITS: usize = 40;

/// The numbered areas that rides go from and to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Areas {
    names: BTreeMap<u32, String>,
}

/// A list of areas that cannot be read, and where it goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct InvalidAreas {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

impl Areas {
    /// The 198 wards of Bangalore.
    ///
    /// # Errors
    /// Never; a test reads them.
    pub fn bangalore() -> Result<Self, InvalidAreas> {
        Self::parse(BANGALORE)
    }

    /// Reads lines of `number,name` under a heading.
    ///
    /// # Errors
    /// For a number that is none or stands there twice, a missing name, or a list without areas.
    pub fn parse(text: &str) -> Result<Self, InvalidAreas> {
        let mut names = BTreeMap::new();
        for (index, line) in text.lines().enumerate().skip(1) {
            let invalid = |reason| InvalidAreas { line: index + 1, reason };
            if line.trim().is_empty() {
                continue;
            }
            let (number, name) = line.split_once(',').ok_or(invalid("expected number,name"))?;
            let number = number.trim().parse().map_err(|_| invalid("the number is none"))?;
            let name = name.trim().trim_matches('"');
            if name.is_empty() {
                return Err(invalid("the name is missing"));
            }
            if names.insert(number, name.to_owned()).is_some() {
                return Err(invalid("the number stands there twice"));
            }
        }
        if names.is_empty() {
            return Err(InvalidAreas { line: 1, reason: "there are no areas" });
        }
        Ok(Self { names })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none; never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of an area.
    #[must_use]
    pub fn name(&self, number: u32) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }

    /// Reads the number of an area that there is from text.
    ///
    /// # Errors
    /// Says what `place` must hold.
    pub fn find(&self, place: &str, digits: &str) -> Result<u32, InvalidRequest> {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|number| plain && self.name(*number).is_some());
        number.ok_or_else(|| invalid(place, "is not the number of an area"))
    }

    fn field(&self, body: &Document, place: &str) -> Result<u32, InvalidRequest> {
        match body.get(place) {
            Some(Value::String(digits)) => self.find(place, digits),
            Some(Value::Integer(number)) => self.find(place, &number.to_string()),
            Some(_) => Err(invalid(place, "expected an integer or a string of digits")),
            None => Err(invalid(place, "is missing")),
        }
    }
}

/// A new user as asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Not empty.
    pub username: String,
    /// The SHA-1 of the password as hexadecimal digits, in the case they were sent in.
    pub password: String,
}

impl NewUser {
    /// Checks a request's body. Fields that are not known are passed over.
    ///
    /// # Errors
    /// Names the first wrong field.
    pub fn parse(body: &Value) -> Result<Self, InvalidRequest> {
        let body = object(body)?;
        let username = name(body, "username")?;
        let password = text(body, "password")?;
        if !is_sha1(password) {
            return Err(invalid("password", "is not a SHA-1 of 40 hexadecimal digits"));
        }
        Ok(Self { username, password: password.to_owned() })
    }
}

/// A new ride as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRide {
    /// Who offers it.
    pub created_by: String,
    /// When, in the form that sorts by time.
    pub timestamp: String,
    /// From this area.
    pub source: u32,
    /// To this one.
    pub destination: u32,
}

impl NewRide {
    /// Checks a request's body. Fields that are not known are passed over.
    ///
    /// # Errors
    /// Names the first wrong field.
    pub fn parse(body: &Value, areas: &Areas) -> Result<Self, InvalidRequest> {
        let body = object(body)?;
        let created_by = name(body, "created_by")?;
        let timestamp = timestamp::to_stored(text(body, "timestamp")?)
            .ok_or_else(|| invalid("timestamp", "is not a real DD-MM-YYYY:SS-MM-HH"))?;
        let source = areas.field(body, "source")?;
        let destination = areas.field(body, "destination")?;
        if source == destination {
            return Err(invalid("destination", "is the same as source"));
        }
        Ok(Self { created_by, timestamp, source, destination })
    }
}

/// Reads `{"username": …}`.
///
/// # Errors
/// When the field is missing, no string or empty.
pub fn parse_username(body: &Value) -> Result<String, InvalidRequest> {
    name(object(body)?, "username")
}

/// Whether this is a SHA-1 in hexadecimal digits of any case.
#[must_use]
pub fn is_sha1(text: &str) -> bool {
    text.len() == SHA1_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads a ride's id from a path: `None` for an integer that is too large for any ride.
///
/// # Errors
/// When it is not an integer.
pub fn parse_ride_id(text: &str) -> Result<Option<i64>, InvalidRequest> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid("rideId", "is not a number"));
    }
    Ok(text.parse().ok())
}

fn object(body: &Value) -> Result<&Document, InvalidRequest> {
    body.as_document().ok_or_else(|| invalid("body", "expected an object"))
}

fn text<'a>(body: &'a Document, place: &str) -> Result<&'a str, InvalidRequest> {
    match body.get(place) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(invalid(place, "expected a string")),
        None => Err(invalid(place, "is missing")),
    }
}

fn name(body: &Document, place: &str) -> Result<String, InvalidRequest> {
    match text(body, place)? {
        "" => Err(invalid(place, "is empty")),
        name => Ok(name.to_owned()),
    }
}

fn invalid(place: &str, reason: &str) -> InvalidRequest {
    InvalidRequest::new(place, reason)
}

#[cfg(test)]
mod tests;
