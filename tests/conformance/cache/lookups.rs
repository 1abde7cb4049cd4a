//! Reads of documents that are not remembered, at the same time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rideshare::adapters::cache::CachedStore;
use rideshare::domain::log::History;
use rideshare::ports::store::{Store, StoreError};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, yield_now};

use super::{PLENTY, ROOM, Slow, put, query};

/// A database that answers one question at a time, when it is told to.
struct World {
    database: Arc<Slow>,
    store: Arc<CachedStore>,
    hold: Arc<Notify>,
}

type Reading = JoinHandle<Result<usize, StoreError>>;

impl World {
    async fn with(cannot_read: bool) -> Self {
        let hold = Arc::new(Notify::new());
        let slow = Slow { hold: Some(hold.clone()), cannot_read, ..Slow::new() };
        let documents: Vec<_> = (1..=20).map(|id| put(id, id)).collect();
        slow.store.apply(&documents, &History::default()).await.unwrap();
        let database = Arc::new(slow);
        let store = Arc::new(CachedStore::new(database.clone(), ROOM));
        Self { database, store, hold }
    }

    /// How many documents were found, each by a read of its own.
    async fn begin(&self, ids: std::ops::RangeInclusive<i64>) -> Vec<Reading> {
        let read = |id| {
            let store = self.store.clone();
            tokio::spawn(async move { Ok(store.find(&query(id), PLENTY).await?.len()) })
        };
        let readings = ids.map(read).collect();
        yield_now().await;
        readings
    }

    /// Lets the database answer the question that was put first.
    async fn answer(&self) {
        self.hold.notify_one();
        for _ in 0..10 {
            yield_now().await;
        }
    }

    fn asked(&self) -> usize {
        self.database.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn reads_that_wait_for_the_database_are_put_to_it_together() {
    let world = World::with(false).await;
    let readings = world.begin(1..=20).await;
    assert_eq!(world.asked(), 2, "the first ones do not wait");
    for _ in 0..3 {
        world.answer().await;
    }
    for reading in readings {
        assert_eq!(reading.await.unwrap().unwrap(), 1);
    }
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn read_that_is_given_up_takes_no_other_along() {
    let world = World::with(false).await;
    let mut readings = world.begin(1..=6).await;
    world.answer().await;
    assert_eq!(world.asked(), 3, "the third asks for the last four");
    readings.remove(2).abort();
    for _ in 0..3 {
        world.answer().await;
    }
    for reading in readings {
        assert_eq!(reading.await.unwrap().unwrap(), 1);
    }
    assert_eq!(world.asked(), 4);
}

#[tokio::test]
async fn failure_is_told_to_all_who_had_a_part_in_the_question() {
    let world = World::with(true).await;
    let readings = world.begin(1..=6).await;
    for _ in 0..3 {
        world.answer().await;
    }
    for reading in readings {
        assert!(matches!(reading.await.unwrap(), Err(StoreError::Unavailable(_))));
    }
    assert_eq!(world.asked(), 3);
}
