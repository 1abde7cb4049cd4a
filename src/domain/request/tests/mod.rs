//! What the bodies of requests mean, and how the invalid ones are told apart.

mod check;
mod native;
mod original;

use super::InvalidRequest;
use crate::domain::document::{CollectionName, Document, DocumentId, Value, json};
use crate::domain::filter::Filter;
use crate::domain::update::Update;

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).expect("the test's JSON is valid")
}

fn document(text: &str) -> Document {
    match value(text) {
        Value::Object(document) => document,
        other => panic!("{other:?} is no document"),
    }
}

fn filter(text: &str) -> Filter {
    Filter::parse(&value(text)).expect("the test's filter is valid")
}

fn update(text: &str) -> Update {
    Update::parse(&value(text)).expect("the test's update is valid")
}

fn collection(name: &str) -> CollectionName {
    CollectionName::parse(name).expect("the test's name is valid")
}

/// Draws `fresh1`, `fresh2` and so on.
fn fresh_ids() -> impl FnMut() -> DocumentId {
    let mut drawn = 0;
    move || {
        drawn += 1;
        DocumentId::String(format!("fresh{drawn}"))
    }
}

#[track_caller]
fn assert_invalid<T: std::fmt::Debug>(
    parsed: Result<T, InvalidRequest>,
    body: &str,
    place: &str,
    reason: &str,
) {
    let error = parsed.expect_err(body);
    assert_eq!(error.place, place, "{body}: {error}");
    assert!(error.reason.contains(reason), "{body}: {error}");
}
