//! Documents and values as BSON, both ways.
//!
//! Invariant: what was encoded is decoded to the same: an integer is an `Int64`, a double a
//! `Double`, and fields keep their order. A type that a document of ours cannot hold is refused
//! when it is read, as somebody else must have written it.

use mongodb::bson::raw::CStr;
use mongodb::bson::{Bson, RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf};

use super::error::broken;
use crate::domain::document::{Document, DocumentId, Value};
use crate::ports::store::StoreError;

/// A document as BSON.
///
/// # Errors
/// `Internal` for a name with a NUL character, which no valid document has.
pub(super) fn encode(document: &Document) -> Result<RawDocumentBuf, StoreError> {
    let mut encoded = RawDocumentBuf::new();
    for (name, value) in document.iter() {
        let name = <&CStr>::try_from(name).map_err(|_| broken("a name holds a NUL character"))?;
        match value {
            Value::Null => encoded.append(name, RawBsonRef::Null),
            Value::Bool(flag) => encoded.append(name, *flag),
            Value::Integer(number) => encoded.append(name, *number),
            Value::Double(number) => encoded.append(name, *number),
            Value::String(text) => encoded.append(name, text.as_str()),
            Value::Array(elements) => encoded.append(name, encode_array(elements)?),
            Value::Object(inner) => encoded.append(name, encode(inner)?),
        }
    }
    Ok(encoded)
}

fn encode_array(elements: &[Value]) -> Result<RawArrayBuf, StoreError> {
    let mut encoded = RawArrayBuf::new();
    for element in elements {
        match element {
            Value::Null => encoded.push(RawBsonRef::Null),
            Value::Bool(flag) => encoded.push(*flag),
            Value::Integer(number) => encoded.push(*number),
            Value::Double(number) => encoded.push(*number),
            Value::String(text) => encoded.push(text.as_str()),
            Value::Array(inner) => encoded.push(encode_array(inner)?),
            Value::Object(document) => encoded.push(encode(document)?),
        }
    }
    Ok(encoded)
}

/// A key as BSON.
pub(super) fn encode_id(id: &DocumentId) -> RawBsonRef<'_> {
    match id {
        DocumentId::Integer(number) => RawBsonRef::Int64(*number),
        DocumentId::String(text) => RawBsonRef::String(text),
    }
}

/// A value as the operand of a query.
pub(super) fn operand(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(*flag),
        Value::Integer(number) => Bson::Int64(*number),
        Value::Double(number) => Bson::Double(*number),
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(elements) => Bson::Array(elements.iter().map(operand).collect()),
        Value::Object(document) => Bson::Document(
            document.iter().map(|(name, value)| (name.to_owned(), operand(value))).collect(),
        ),
    }
}

/// A document from BSON.
///
/// # Errors
/// `Internal` for damaged BSON and for types that no document of ours holds.
pub(super) fn decode(encoded: &RawDocument) -> Result<Document, StoreError> {
    encoded
        .iter()
        .map(|field| {
            let (name, value) = field.map_err(|_| broken("a stored document is damaged"))?;
            Ok((name.as_str().to_owned(), decode_value(value)?))
        })
        .collect()
}

fn decode_value(value: RawBsonRef<'_>) -> Result<Value, StoreError> {
    Ok(match value {
        RawBsonRef::Null => Value::Null,
        RawBsonRef::Boolean(flag) => Value::Bool(flag),
        RawBsonRef::Int32(number) => Value::Integer(number.into()),
        RawBsonRef::Int64(number) => Value::Integer(number),
        RawBsonRef::Double(number) => Value::Double(number),
        RawBsonRef::String(text) => Value::String(text.to_owned()),
        RawBsonRef::Document(document) => Value::Object(decode(document)?),
        RawBsonRef::Array(elements) => {
            let decode_one = |element: Result<RawBsonRef<'_>, _>| {
                decode_value(element.map_err(|_| broken("a stored document is damaged"))?)
            };
            Value::Array(elements.into_iter().map(decode_one).collect::<Result<_, _>>()?)
        }
        other => {
            let kind = other.element_type();
            return Err(broken(format!("a stored document holds a {kind:?}")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{oid::ObjectId, rawdoc};

    #[test]
    fn every_kind_of_value_comes_back_as_it_was() {
        let object = Document::from_iter([
            ("z".to_owned(), Value::Integer(i64::MIN)),
            ("a".to_owned(), Value::Double(1.0)),
        ]);
        let document = Document::from_iter([
            ("_id".to_owned(), Value::from("k")),
            ("integer".to_owned(), Value::Integer(1)),
            ("double".to_owned(), Value::Double(-0.5)),
            ("flag".to_owned(), Value::Bool(true)),
            ("nothing".to_owned(), Value::Null),
            ("text".to_owned(), Value::from("a\0b")),
            ("object".to_owned(), Value::Object(object.clone())),
            (
                "array".to_owned(),
                Value::Array(vec![Value::Array(Vec::new()), Value::Object(object), Value::Null]),
            ),
        ]);
        let encoded = encode(&document).unwrap();
        assert_eq!(decode(&encoded).unwrap(), document);
    }

    #[test]
    fn small_integers_of_other_writers_are_integers() {
        let decoded = decode(&rawdoc! { "n": 7_i32 }).unwrap();
        assert_eq!(decoded.get("n"), Some(&Value::Integer(7)));
    }

    #[test]
    fn types_that_no_document_of_ours_holds_are_refused() {
        let error = decode(&rawdoc! { "_id": ObjectId::new() }).unwrap_err();
        assert!(matches!(error, StoreError::Internal(_)), "{error:?}");
    }
}
