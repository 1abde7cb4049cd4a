//! How long the master thinks, and how long a record takes to and from bytes.
//!
//! `cargo bench --bench planner`; criterion compares with the run before.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rideshare::domain::document::{CollectionName, Document, DocumentId, Value};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::{Epoch, LogId, Offset, RequestId, Sequence};
use rideshare::domain::log::{Record, RecordBody};
use rideshare::domain::message::{decode, encode};
use rideshare::domain::planner::{DuplicateWindow, View, needs, plan};
use rideshare::domain::request::{Acknowledgement, Returning, WriteOperation, WriteRequest};
use rideshare::domain::update::Update;

/// As many requests as a busy master takes at a time.
const REQUESTS: i64 = 64;

fn rides() -> CollectionName {
    CollectionName::parse("rides").expect("a valid name")
}

fn ride(id: i64) -> Document {
    let fields = [
        ("created_by", Value::from("ann")),
        ("timestamp", Value::from("2020-03-21T23:05:59")),
        ("source", Value::from(21)),
        ("destination", Value::from(42)),
        ("users", Value::from(vec!["bob", "cid"])),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    Document::from_iter(fields).with_id(DocumentId::from(id))
}

fn request(id: i64, operation: WriteOperation) -> WriteRequest {
    WriteRequest {
        id: RequestId::new(format!("request-{id}")),
        seen: Offset(0),
        acknowledgement: Acknowledgement::Applied,
        operation,
    }
}

fn inserts() -> Vec<WriteRequest> {
    let insert = |id| WriteOperation::Insert { collection: rides(), documents: vec![ride(id)] };
    (0..REQUESTS).map(|id| request(id, insert(id))).collect()
}

fn updates() -> Vec<WriteRequest> {
    let joins = Document::from_iter([("users".to_owned(), Value::from("dan"))]);
    let order = Document::from_iter([("$addToSet".to_owned(), Value::from(joins))]);
    let join = Update::parse(&order.into()).expect("a valid update");
    let update = |id| WriteOperation::Update {
        collection: rides(),
        filter: Filter::by_id(DocumentId::from(id)),
        update: join.clone(),
        many: false,
        upsert: false,
        returning: Returning::None,
        fresh_id: DocumentId::from("fresh"),
    };
    (0..REQUESTS).map(|id| request(id, update(id))).collect()
}

fn view(stored: &[Document]) -> View {
    let mut view = View::default();
    view.fetched(&rides(), (0..REQUESTS).map(DocumentId::from), stored.to_vec());
    view
}

fn planning(criterion: &mut Criterion) {
    let stored: Vec<Document> = (0..REQUESTS).map(ride).collect();
    let window = DuplicateWindow::starting_at(Offset(0));
    let cases = [
        ("plan/64 inserts", inserts(), [].as_slice()),
        ("plan/64 updates by id", updates(), &stored),
    ];
    for (name, requests, stored) in cases {
        let requests: Vec<&WriteRequest> = requests.iter().collect();
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched(
                || view(stored),
                |view| {
                    black_box(needs(&requests));
                    plan(&requests, view, &window)
                },
                BatchSize::SmallInput,
            );
        });
    }
}

fn encoding(criterion: &mut Criterion) {
    let requests = inserts();
    let requests: Vec<&WriteRequest> = requests.iter().collect();
    let planned = plan(&requests, view(&[]), &DuplicateWindow::starting_at(Offset(0)));
    let body = RecordBody::Batch { sequence: Sequence(0), entries: planned.entries };
    let record =
        Record { log_id: LogId::from("history"), epoch: Epoch(1), appended_at_ms: 0, body };
    let bytes = encode(&record);
    criterion.bench_function("encode/64 entries", |bencher| {
        bencher.iter(|| encode(black_box(&record)));
    });
    criterion.bench_function("decode/64 entries", |bencher| {
        bencher.iter(|| decode::<Record>(black_box(&bytes)));
    });
}

criterion_group!(benches, planning, encoding);
criterion_main!(benches);
