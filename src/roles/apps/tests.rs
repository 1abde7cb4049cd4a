use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::domain::document::Value;

/// A database whose slaves know no document and whose master knows all, and whose answers hold so
/// many documents at most.
struct Lagging {
    documents: Vec<Document>,
    most: usize,
    asked: Mutex<Vec<(Consistency, u32)>>,
}

impl Lagging {
    fn new(documents: i64, most: usize) -> Arc<Self> {
        let documents = (0..documents).map(|id| Document::from([(ID_FIELD, Value::from(id))]));
        Arc::new(Self { documents: documents.collect(), most, asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<(Consistency, u32)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[async_trait]
impl Database for Lagging {
    async fn write(&self, _: &str, _: &Write, _: Instant) -> Result<At<Outcome>, DatabaseError> {
        Ok(At { offset: Offset(7), answer: Outcome::Indexed })
    }

    async fn read(&self, read: &Read, _: Instant) -> Result<At<ReadResult>, DatabaseError> {
        self.asked.lock().unwrap().push((read.consistency, read.limit));
        let after = read.filter.get("after").and_then(Value::as_integer).unwrap_or(-1);
        let knows = read.collection == "everywhere" || read.consistency == Consistency::Strong;
        let known = self.documents.iter().filter(|it| id_of(it) > after);
        let known = known.filter(|_| knows).take(read.limit as usize).cloned();
        let found: Vec<_> = known.collect();
        if found.len() > self.most {
            return Err(DatabaseError::Invalid("too large".to_owned()));
        }
        Ok(At { offset: Offset(9), answer: ReadResult::Documents(found) })
    }

    async fn check(&self, _: Instant) -> Result<(), DatabaseError> {
        Ok(())
    }
}

fn id_of(document: &Document) -> i64 {
    document.get(ID_FIELD).and_then(Value::as_integer).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test]
async fn absence_is_confirmed_by_the_master_and_presence_is_not() {
    let database = Lagging::new(1, 10);
    let session = Session::new(database.clone(), Ambient::real());
    let read = |collection| Read { limit: 1, ..read_all(collection) };
    let found = session.find(read("everywhere"), None, soon()).await.unwrap();
    assert!(found.answer.is_some());
    assert_eq!(database.asked(), [(Consistency::Eventual, 1)]);
    let found = session.find(read("master"), None, soon()).await.unwrap();
    assert!(found.answer.is_some());
    let session_at_9 = Consistency::Session(Offset(9));
    assert_eq!(database.asked(), [(session_at_9, 1), (Consistency::Strong, 1)]);
}

#[tokio::test]
async fn session_asks_for_the_newest_state_it_or_its_client_saw() {
    let database = Lagging::new(1, 10);
    let session = Session::new(database.clone(), Ambient::real());
    assert_eq!(session.seen(), None);
    session.note(Offset(0));
    assert_eq!(session.seen(), Some(Offset(0)));
    session.clear(soon()).await.unwrap();
    assert_eq!(session.seen(), Some(Offset(7)));
    session.note(Offset(3));
    assert_eq!(session.seen(), Some(Offset(7)), "it does not go back");
    let read = || Read { limit: 1, ..read_all("everywhere") };
    session.find(read(), Some(Offset(1_000)), soon()).await.unwrap();
    assert_eq!(database.asked()[0].0, Consistency::Session(Offset(1_000)));
    assert_eq!(session.seen(), Some(Offset(9)), "a client's word is not remembered");
}

#[tokio::test]
async fn list_is_whole_though_large_pages_are_refused() {
    let after = |last: &Document| Document::from([("after", last.get(ID_FIELD).unwrap().clone())]);
    for most in [1, 3, 150, 10_000] {
        for count in [0, 1, 99, 100, 101, 700] {
            let database = Lagging::new(count, most);
            let session = Session::new(database.clone(), Ambient::real());
            let read = read_all("everywhere");
            let all = session.find_all(read, after, None, soon()).await.unwrap();
            assert_eq!(all.answer, database.documents, "{count} in answers of {most}");
            let asked = database.asked();
            assert!(asked.iter().all(|(_, limit)| (1..=LARGEST_PAGE).contains(limit)));
        }
    }
}
