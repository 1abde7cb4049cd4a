//! Lookups by id that share questions: while some are under way, whatever else is asked waits, and is
//! asked together then. A lookup alone does not wait.
//!
//! Nobody's answer is older than its question: a question takes in only what waited before it was
//! put. Without tasks of its own: of those who wait one asks for all, and where it is given up, the
//! others ask anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::domain::document::{CollectionName, Document, DocumentId};
use crate::ports::store::{Store, StoreError};

/// Questions under way at a time. With one, a slow one would hold up all others.
const AT_A_TIME: usize = 2;

/// A question is for about so many documents at most.
const MOST_IDS: usize = 512;

/// The documents there are, by their ids.
pub(super) type Found = HashMap<DocumentId, Arc<Document>>;
/// What came of one question, for all who had a part in it.
type Answer = Result<Arc<Found>, Arc<StoreError>>;

struct Lookup {
    ids: Vec<DocumentId>,
    answer: oneshot::Sender<Answer>,
}

/// Who waits, and whose turn it is.
pub(super) struct Lookups {
    turns: Semaphore,
    waiting: Mutex<HashMap<CollectionName, VecDeque<Lookup>>>,
}

impl Lookups {
    pub(super) fn new() -> Self {
        Self { turns: Semaphore::new(AT_A_TIME), waiting: Mutex::default() }
    }

    /// Finds at least the documents with these ids, no older than the call. Cancel safe.
    pub(super) async fn find(
        &self,
        store: &dyn Store,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Arc<Found>, StoreError> {
        loop {
            let mut answer = self.enqueue(collection, ids);
            let answered = tokio::select! {
                biased;
                answered = &mut answer => answered,
                Ok(turn) = self.turns.acquire() => self.ask(store, collection, answer, turn).await,
            };
            if let Ok(answer) = answered {
                return answer.map_err(|error| told_again(&error));
            }
            // Whoever asked was given up.
        }
    }

    fn enqueue(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let lookup = Lookup { ids: ids.to_vec(), answer };
        self.lock().entry(collection.clone()).or_default().push_back(lookup);
        answered
    }

    /// Asks for whoever waits, those first who came first, until this one has its answer.
    async fn ask(
        &self,
        store: &dyn Store,
        collection: &CollectionName,
        answer: oneshot::Receiver<Answer>,
        turn: SemaphorePermit<'_>,
    ) -> Result<Answer, oneshot::error::RecvError> {
        while answer.is_empty() {
            let lookups = self.take(collection);
            if lookups.is_empty() {
                // Somebody else is asking for it.
                break;
            }
            let answer = put(store, collection, &lookups).await;
            for lookup in lookups {
                let _ = lookup.answer.send(answer.clone());
            }
        }
        drop(turn);
        answer.await
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
    let documents = store.get(collection, &ids).await.map_err(Arc::new)?;
    let with_id = |document: Document| Some((document.id()?, Arc::new(document)));
    Ok(Arc::new(documents.into_iter().filter_map(with_id).collect()))
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
