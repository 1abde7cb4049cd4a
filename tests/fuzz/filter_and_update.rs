//! A filter, an update and a document, a line each: whatever they come to, they come to it, and what
//! becomes of the document is one that may be stored.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rideshare::domain::document::{Document, Value, json};
use rideshare::domain::filter::Filter;
use rideshare::domain::update::Update;

fn document(line: &[u8]) -> Option<Document> {
    match json::parse(line).ok()? {
        Value::Object(document) => document.validate().is_ok().then_some(document),
        _ => None,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut value = || json::parse(lines.next()?).ok();
    let (filter, update) = (value(), value());
    let filter = filter.and_then(|source| Filter::parse(&source).ok());
    let update = update.and_then(|source| Update::parse(&source).ok());
    let document = lines.next().and_then(document);
    if let (Some(filter), Some(document)) = (&filter, &document) {
        assert_eq!(filter.matches(document), filter.matches(&document.clone()));
    }
    if let (Some(update), Some(document)) = (&update, &document)
        && let Ok(updated) = update.apply(document)
    {
        updated.validate().expect("what an update makes may be stored");
    }
    if let (Some(update), Some(filter)) = (&update, &filter) {
        let _ = update.upsert(filter, "fresh".to_owned().into());
    }
});
