//! How long the usual operations take. Bounds are loose, as machines differ; the figures are
//! printed.

use std::time::{Duration, Instant};

use rideshare::adapters::mongo::{MongoSettings, MongoStore};
use rideshare::domain::document::DocumentId;
use rideshare::domain::log::Change;
use rideshare::domain::query::Query;
use rideshare::ports::store::Store;

use super::{Place, history, numbered, puts, things};

async fn time_applies(store: &MongoStore, size: i64, rounds: u64) -> Duration {
    let batch = puts(&numbered(size));
    let start = Instant::now();
    for round in 0..rounds {
        store.apply(&batch, &history(round)).await.unwrap();
    }
    start.elapsed() / u32::try_from(rounds).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_batches_take_milliseconds() {
    for journal in [false, true] {
        let place = Place::new();
        let settings = MongoSettings { journal, ..place.settings() };
        let store = MongoStore::connect(settings).await.unwrap();
        time_applies(&store, 1, 20).await;
        for size in [1, 64, 256] {
            let each = time_applies(&store, size, 50).await;
            println!("apply of {size}, journal {journal}: {each:?}");
            assert!(each < Duration::from_millis(500));
        }
        let ids: Vec<DocumentId> = (0..64).map(DocumentId::from).collect();
        let start = Instant::now();
        for _ in 0..100 {
            assert_eq!(store.get(&things(), &ids).await.unwrap().len(), 64);
        }
        println!("get of 64: {:?}", start.elapsed() / 100);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_thousand_documents_are_copied_in_seconds() {
    let (place, other) = (Place::new(), Place::new());
    let source = place.store().await;
    let start = Instant::now();
    let mut changes = puts(&numbered(100_000));
    changes.push(Change::EnsureIndex { collection: things(), field: "n".to_owned() });
    source.apply(&changes, &history(1)).await.unwrap();
    println!("apply of 100000: {:?}", start.elapsed());
    let start = Instant::now();
    source.apply(&changes, &history(1)).await.unwrap();
    println!("apply of 100000 again: {:?}", start.elapsed());

    let copy = other.store().await;
    let start = Instant::now();
    copy.copy_from(&source.address()).await.unwrap();
    println!("copy of 100000: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(copy.count(&Query::all(things())).await.unwrap(), 100_000);

    let start = Instant::now();
    copy.apply(&[Change::Clear { collection: things() }], &history(2)).await.unwrap();
    println!("clear of 100000: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(2), "it does not take longer for more of them");
    assert_eq!(copy.count(&Query::all(things())).await.unwrap(), 0);
    assert!(copy.catalog().await.unwrap()[0].indexes.contains(&"n".to_owned()), "indexes stay");
    copy.apply(&puts(&numbered(3)), &history(3)).await.unwrap();
    assert_eq!(copy.count(&Query::all(things())).await.unwrap(), 3);
}
