//! How long the pure work on one document takes.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rideshare::domain::document::{Document, Value, json};
use rideshare::domain::filter::Filter;
use rideshare::domain::update::Update;

/// A ride as the services store it.
const RIDE: &str = r#"{"_id":4711,"created_by":"ann","timestamp":"2026-01-31T10:20:30","source":21,
    "destination":42,"users":["bob","cid","dan"],"price":{"amount":12.5,"currency":"INR"},
    "stops":[{"area":7,"minutes":12},{"area":9,"minutes":21}]}"#;

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).expect("written here")
}

fn ride() -> Document {
    value(RIDE).as_document().cloned().expect("an object")
}

fn match_filters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter_matches");
    let filters = [
        ("key", r#"{"_id":4711}"#),
        ("two_fields", r#"{"source":21,"timestamp":{"$gte":"2026-01-01"}}"#),
        ("path_through_array", r#"{"stops.minutes":{"$gt":20}}"#),
        ("element", r#"{"stops":{"$elemMatch":{"area":9,"minutes":{"$lt":30}}}}"#),
        ("logic", r#"{"$or":[{"users":"zoe"},{"price.currency":{"$in":["EUR","INR"]}}]}"#),
    ];
    for (name, text) in filters {
        let filter = Filter::parse(&value(text)).expect("written here");
        let ride = ride();
        assert!(filter.matches(&ride), "{name} measures a match");
        group.bench_function(name, |b| b.iter(|| filter.matches(black_box(&ride))));
    }
    group.finish();
}

fn apply_updates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("update_apply");
    let updates = [
        ("increment", r#"{"$inc":{"price.amount":1}}"#),
        ("join_ride", r#"{"$addToSet":{"users":"eve"}}"#),
        (
            "several",
            r#"{"$set":{"source":1,"stops.0.area":3},"$push":{"log":1},"$unset":{"price":1}}"#,
        ),
    ];
    for (name, text) in updates {
        let update = Update::parse(&value(text)).expect("written here");
        let ride = ride();
        group.bench_function(name, |b| b.iter(|| update.apply(black_box(&ride))));
    }
    group.finish();
}

fn parse_json(criterion: &mut Criterion) {
    let many = format!("[{}]", vec![RIDE; 1_000].join(","));
    let mut group = criterion.benchmark_group("json_parse");
    group.bench_function("ride", |b| b.iter(|| json::parse(black_box(RIDE.as_bytes()))));
    group.bench_function("thousand_rides", |b| b.iter(|| json::parse(black_box(many.as_bytes()))));
    group.finish();
}

criterion_group!(benches, match_filters, apply_updates, parse_json);
criterion_main!(benches);
