//! Lookups by id that share questions: while some are under way, whatever else is asked waits, and is
//! asked together then. A lookup alone does not wait.
//!
//! Nobody's answer is older than its question: a question takes in only what waited before it was
//! put. Without tasks of its own: of those who wait one asks for all, and where it is given up, the
//! others ask anew.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use crate::domain::document::{CollectionName, Document, DocumentId};
use crate::ports::store::{Store, StoreError};

/// Questions under way at a time. With one, a slow one would hold up all others.
const AT_A_TIME: usize = 2;

/// A question is for about so many documents at most.
const MOST_IDS: usize = 64;

/// The documents there are, by their ids.
pub(super) type Found = HashMap<DocumentId, Arc<Document>>;
/// What came of one question, for all who had a part in it.
type Answer = Result<Arc<Found>, Failure>;

#[derive(Clone)]
struct Failure {
    error: Arc<StoreError>,
    /// Somebody else's documents may be the reason.
    is_shared: bool,
}

struct Lookup {
    number: u64,
    ids: Vec<DocumentId>,
    answer: oneshot::Sender<Answer>,
}

/// Who waits, and whose turn it is.
pub(super) struct Lookups {
    turns: Semaphore,
    waiting: Mutex<HashMap<CollectionName, VecDeque<Lookup>>>,
    /// The number of the next lookup. Those of a collection wait in the order of their numbers.
    next: AtomicU64,
}

impl Lookups {
    pub(super) fn new() -> Self {
        Self {
            turns: Semaphore::new(AT_A_TIME),
            waiting: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    /// Finds at least the documents with these ids, no older than the call. Cancel safe.
    pub(super) async fn find(
        &self,
        store: &dyn Store,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Arc<Found>, StoreError> {
        loop {
            let (number, mut answer) = self.enqueue(collection, ids);
            let answered = tokio::select! {
                biased;
                answered = &mut answer => answered,
                Ok(turn) = self.turns.acquire() => {
                    while self.waits(collection, number) {
                        self.ask(store, collection).await;
                    }
                    // Its answer is here, or somebody else is asking for it.
                    drop(turn);
                    answer.await
                }
            };
            match answered {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(failure)) if failure.may_be_of_others() => {
                    let _turn = self.turns.acquire().await;
                    return Ok(Arc::new(by_id(store.get(collection, ids).await?)));
                }
                Ok(Err(failure)) => return Err(told_again(&failure.error)),
                // Whoever asked was given up.
                Err(_) => {}
            }
        }
    }

    fn enqueue(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> (u64, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.lock();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let lookup = Lookup { number, ids: ids.to_vec(), answer };
        waiting.entry(collection.clone()).or_default().push_back(lookup);
        (number, answered)
    }

    /// Whether nobody has asked for this one yet.
    fn waits(&self, collection: &CollectionName, number: u64) -> bool {
        let waiting = self.lock();
        let first = waiting.get(collection).and_then(VecDeque::front);
        first.is_some_and(|first| first.number <= number)
    }

    /// Asks for whoever waits, those first who came first.
    async fn ask(&self, store: &dyn Store, collection: &CollectionName) {
        let lookups = self.take(collection);
        let answer = put(store, collection, &lookups).await;
        for lookup in lookups {
            let _ = lookup.answer.send(answer.clone());
        }
    }

    /// What is put into one question.
    fn take(&self, collection: &CollectionName) -> Vec<Lookup> {
        let mut waiting = self.lock();
        let Some(queue) = waiting.get_mut(collection) else { return Vec::new() };
        let (mut lookups, mut ids) = (Vec::new(), 0);
        while ids < MOST_IDS
            && let Some(lookup) = queue.pop_front()
        {
            if !lookup.answer.is_closed() {
                ids += lookup.ids.len();
                lookups.push(lookup);
            }
        }
        if queue.is_empty() {
            waiting.remove(collection);
        }
        lookups
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CollectionName, VecDeque<Lookup>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn put(store: &dyn Store, collection: &CollectionName, lookups: &[Lookup]) -> Answer {
    let mut ids: Vec<_> = lookups.iter().flat_map(|lookup| &lookup.ids).cloned().collect();
    ids.sort_unstable();
    ids.dedup();
    let is_shared = lookups.len() > 1;
    let failed = |error| Failure { error: Arc::new(error), is_shared };
    let documents = store.get(collection, &ids).await.map_err(failed)?;
    Ok(Arc::new(by_id(documents)))
}

fn by_id(documents: Vec<Document>) -> Found {
    let with_id = |document: Document| Some((document.id()?, Arc::new(document)));
    documents.into_iter().filter_map(with_id).collect()
}

impl Failure {
    /// One document that cannot be read, or many that take long, are no reason for the others.
    fn may_be_of_others(&self) -> bool {
        let is_theirs = matches!(*self.error, StoreError::Internal(_) | StoreError::TimedOut);
        self.is_shared && is_theirs
    }
}

/// The same error for one of several.
fn told_again(error: &Arc<StoreError>) -> StoreError {
    let source = anyhow::Error::new(Arc::clone(error));
    match **error {
        StoreError::Unavailable(_) => StoreError::Unavailable(source),
        StoreError::TooLarge { bytes } => StoreError::TooLarge { bytes },
        StoreError::TimedOut => StoreError::TimedOut,
        StoreError::FellBack => StoreError::FellBack,
        StoreError::Internal(_) => StoreError::Internal(source),
    }
}
