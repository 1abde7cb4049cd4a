//! The applications' client of the database, against a real one and against broken ones.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rideshare::adapters::http_client::{self, HttpDatabase};
use rideshare::domain::access::Tokens;
use rideshare::domain::document::{Document, DocumentId, Value};
use rideshare::domain::ids::Offset;
use rideshare::domain::message::ReadResult;
use rideshare::domain::outcome::Outcome;
use rideshare::domain::request::Consistency;
use rideshare::ports::database::{Database, DatabaseError, Order, Read, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::support::System;

fn client(url: &str) -> HttpDatabase {
    let tokens = watch::Sender::new(Arc::new(Tokens::default()));
    HttpDatabase::new(http_client::client(Path::new("")).unwrap(), url, tokens.subscribe())
}

fn within(seconds: f64) -> Instant {
    Instant::now() + Duration::from_secs_f64(seconds)
}

fn number(id: i64) -> Document {
    Document::from([("_id", Value::from(id))])
}

fn insert(ids: &[i64]) -> Write {
    Write::Insert { collection: "t", documents: ids.iter().map(|id| number(*id)).collect() }
}

fn all() -> Read {
    Read {
        collection: "t",
        filter: Document::new(),
        projection: &[],
        sort: &[("_id", Order::Descending)],
        limit: 10,
        count: false,
        consistency: Consistency::Strong,
    }
}

#[tokio::test]
async fn writes_and_reads_have_the_database_s_outcomes() {
    let system = System::start(1).await;
    let database = client(&system.url);
    database.check(within(10.0)).await.unwrap();
    let first = database.write("k1", &insert(&[1, 2]), within(10.0)).await.unwrap();
    let ids = vec![DocumentId::Integer(1), DocumentId::Integer(2)];
    assert_eq!(first.answer, Outcome::Inserted { ids });
    let again = database.write("k1", &insert(&[1, 2]), within(10.0)).await.unwrap();
    assert_eq!(again.answer, first.answer, "the same key is the same write");
    let conflict = database.write("k2", &insert(&[3, 2]), within(10.0)).await;
    let Err(DatabaseError::Conflict { ids }) = conflict else { panic!("{conflict:?}") };
    assert_eq!(ids, [DocumentId::Integer(2)]);
    let update = Write::Update {
        collection: "t",
        filter: number(5),
        update: Document::from([("$inc", Document::from([("n", Value::from(2))]).into())]),
        upsert: true,
        return_after: true,
    };
    let updated = database.write("k3", &update, within(10.0)).await.unwrap();
    let Outcome::Updated { upserted_id, documents, .. } = updated.answer else { panic!() };
    assert_eq!(upserted_id, Some(DocumentId::Integer(5)));
    let fifth = Document::from([("_id", Value::from(5)), ("n", Value::from(2))]);
    assert_eq!(documents, std::slice::from_ref(&fifth));
    let found = database.read(&all(), within(10.0)).await.unwrap();
    assert_eq!(found.answer, ReadResult::Documents(vec![fifth, number(2), number(1)]));
    let count = Read { count: true, consistency: Consistency::Session(updated.offset), ..all() };
    let counted = database.read(&count, within(10.0)).await.unwrap();
    assert_eq!(counted.answer, ReadResult::Count(3));
    let delete = Write::Delete { collection: "t", filter: number(1) };
    let deleted = database.write("k4", &delete, within(10.0)).await.unwrap();
    assert_eq!(deleted.answer, Outcome::Deleted { deleted: 1 });
    let index = Write::Index { collection: "t", field: "n" };
    assert_eq!(database.write("k5", &index, within(10.0)).await.unwrap().answer, Outcome::Indexed);
    let bad = Read { filter: Document::from([("$where", Value::from("1"))]), ..all() };
    let refused = database.read(&bad, within(10.0)).await;
    assert!(matches!(&refused, Err(DatabaseError::Invalid(why)) if why.contains("$where")));
    let large = Document::from([("_id", Value::from(9)), ("text", "x".repeat(2 << 20).into())]);
    let large = Write::Insert { collection: "t", documents: vec![large] };
    let refused = database.write("k6", &large, within(10.0)).await;
    assert!(matches!(refused, Err(DatabaseError::TooLarge)), "{refused:?}");
    let ahead = Read { consistency: Consistency::Session(Offset(1 << 40)), ..all() };
    let late = database.read(&ahead, within(0.5)).await;
    assert!(matches!(late, Err(DatabaseError::Unavailable(_))), "{late:?}");
}

#[tokio::test]
async fn nobody_there_means_nothing_was_done() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let database = client(&url);
    let started = Instant::now();
    let failed = database.write("k", &insert(&[1]), within(0.5)).await;
    assert!(matches!(failed, Err(DatabaseError::Unavailable(_))), "{failed:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(database.check(within(0.5)).await.is_err());
}

/// A server that treats its connections as told, one after the other, and keeps what it was sent.
async fn broken(script: &'static [&'static str]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&heard);
    tokio::spawn(async move {
        let mut held = Vec::new();
        for answer in script {
            let (mut connection, _) = listener.accept().await.unwrap();
            keep.lock().await.push(request(&mut connection).await);
            match *answer {
                "hold" => held.push(connection),
                answer => connection.write_all(answer.as_bytes()).await.unwrap(),
            }
        }
        std::future::pending::<()>().await;
    });
    (url, heard)
}

async fn request(connection: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("]}") {
        let mut bytes = [0; 4_096];
        let length = connection.read(&mut bytes).await.unwrap();
        assert!(length > 0, "ended after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    text
}

const BUSY: &str = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const LATE: &str = "HTTP/1.1 504 Late\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const CUT: &str = "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"offset\"";
const DONE: &str = "HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 37\r\n\r\n\
                    {\"offset\":7, \"inserted\":1,\"ids\":[ 1]}";

#[tokio::test]
async fn broken_attempts_are_repeated_with_the_same_key() {
    let (url, heard) = broken(&["", BUSY, LATE, CUT, DONE]).await;
    let written = client(&url).write("one-key", &insert(&[1]), within(20.0)).await.unwrap();
    assert_eq!(written.offset, Offset(7));
    let heard = heard.lock().await;
    assert_eq!(heard.len(), 5);
    for request in heard.iter() {
        assert!(request.to_lowercase().contains("idempotency-key: one-key\r\n"), "{request}");
    }
}

#[tokio::test]
async fn write_that_may_have_arrived_is_unknown_and_one_that_was_refused_is_not() {
    let (url, _) = broken(&["hold"]).await;
    let failed = client(&url).write("k", &insert(&[1]), within(0.3)).await;
    assert!(matches!(failed, Err(DatabaseError::Unknown(_))), "{failed:?}");
    let (url, _) = broken(&[LATE, BUSY, BUSY, BUSY, "hold"]).await;
    let failed = client(&url).write("k", &insert(&[1]), within(0.2)).await;
    assert!(matches!(failed, Err(DatabaseError::Unknown(_))), "{failed:?}");
    let (url, _) = broken(&[BUSY]).await;
    let failed = client(&url).write("k", &insert(&[1]), within(0.015)).await;
    assert!(matches!(failed, Err(DatabaseError::Unavailable(_))), "{failed:?}");
}
