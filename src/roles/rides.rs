//! The rides service: who offers a ride, and who joins it.
//!
//! Ids come from one counter document that clearing the rides leaves alone, so none is used twice.
//! Who the users are is the users service's to say.

use std::sync::Arc;

use tokio::time::Instant;

use super::apps::{AppError, Session, no_such_answer, read_all};
use crate::domain::document::{Document, ID_FIELD, Value};
use crate::domain::ids::Offset;
use crate::domain::outcome::Outcome;
use crate::domain::rides::NewRide;
use crate::domain::timestamp;
use crate::ports::database::{At, DatabaseError, Order, Read, Write};
use crate::ports::users::UserDirectory;

const RIDES: &str = "rides";
const COUNTERS: &str = "counters";
/// The counter's `_id`, and its field.
const COUNTER: (&str, &str) = ("rideId", "last");
const BY_TIME: &[(&str, Order)] = &[("timestamp", Order::Ascending), (ID_FIELD, Order::Ascending)];
/// How often an id that turns out to be in use is replaced.
const ATTEMPTS: usize = 4;

/// One instance of the service; cheap to clone.
#[derive(Clone)]
pub struct Rides {
    session: Arc<Session>,
    directory: Arc<dyn UserDirectory>,
}

/// A ride as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ride {
    /// Unique, and higher than that of any earlier ride.
    pub id: i64,
    /// Who offers it.
    pub created_by: String,
    /// Who joined, in that order.
    pub users: Vec<String>,
    /// When, as `DD-MM-YYYY:SS-MM-HH`.
    pub timestamp: String,
    /// From this area.
    pub source: i64,
    /// To this one.
    pub destination: i64,
}

/// A ride in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The ride's.
    pub id: i64,
    /// Who offers it.
    pub created_by: String,
    /// When, as `DD-MM-YYYY:SS-MM-HH`.
    pub timestamp: String,
}

impl Rides {
    /// An instance on a session of its own.
    #[must_use]
    pub fn new(session: Arc<Session>, directory: Arc<dyn UserDirectory>) -> Self {
        Self { session, directory }
    }

    /// Prepares the database, once it is there. Everything works without.
    pub async fn prepare(&self) {
        self.session.ensure_index(RIDES, "source").await;
    }

    /// Makes a ride.
    ///
    /// # Errors
    /// `Refused` when the user is unknown.
    pub async fn create(
        &self,
        ride: NewRide,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<Offset, AppError> {
        self.expect_user(&ride.created_by, at_least, deadline).await?;
        for _ in 0..ATTEMPTS {
            let id = self.next_id(deadline).await.map_err(nothing_done)?;
            let write = Write::Insert { collection: RIDES, documents: vec![stored(&ride, id)] };
            match self.session.write(&write, deadline).await {
                Ok(written) => return Ok(written.offset),
                // The counter was lost or others write rides too.
                Err(DatabaseError::Conflict { .. }) => {
                    self.mend_counter(deadline).await.map_err(nothing_done)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(AppError::Overloaded)
    }

    /// The rides between two areas that are still to come, by time.
    ///
    /// # Errors
    /// When the database did not answer.
    pub async fn upcoming(
        &self,
        source: u32,
        destination: u32,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<At<Vec<Offer>>, AppError> {
        let now = timestamp::from_unix_ms(self.session.now_ms()).unwrap_or_default();
        let between = Document::from([
            ("source", source.into()),
            ("destination", destination.into()),
            ("timestamp", greater(now)),
        ]);
        let read = Read {
            filter: between.clone(),
            projection: &["created_by", "timestamp"],
            sort: BY_TIME,
            ..read_all(RIDES)
        };
        let after = |last: &Document| {
            let field = |name| last.get(name).cloned().unwrap_or_default();
            let later = Document::from([("timestamp", greater(field("timestamp")))]);
            let same_time = Document::from([
                ("timestamp", field("timestamp")),
                (ID_FIELD, greater(field(ID_FIELD))),
            ]);
            let mut following = between.clone();
            following.insert("$or", vec![later, same_time]);
            following
        };
        let found = self.session.find_all(read, after, at_least, deadline).await?;
        Ok(At { offset: found.offset, answer: found.answer.iter().filter_map(offer).collect() })
    }

    /// One ride. Never `None` for one whose creation was answered before.
    ///
    /// # Errors
    /// When the database did not answer.
    pub async fn find(
        &self,
        id: i64,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<At<Option<Ride>>, AppError> {
        let read = Read { filter: by_id(id), limit: 1, ..read_all(RIDES) };
        let found = self.session.find(read, at_least, deadline).await?;
        Ok(At { offset: found.offset, answer: found.answer.as_ref().and_then(spoken) })
    }

    /// Adds a user to a ride; one that is there already stays once.
    ///
    /// # Errors
    /// `Refused` when the ride or the user is unknown.
    pub async fn join(
        &self,
        id: i64,
        username: &str,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<Offset, AppError> {
        self.expect_user(username, at_least, deadline).await?;
        let users = Document::from([("users", Value::from(username))]);
        let write = Write::Update {
            collection: RIDES,
            filter: by_id(id),
            update: Document::from([("$addToSet", users.into())]),
            upsert: false,
            return_after: false,
        };
        let At { offset, answer } = self.session.write(&write, deadline).await?;
        match answer {
            Outcome::Updated { matched: 0, .. } => Err(AppError::Refused("there is no such ride")),
            Outcome::Updated { .. } => Ok(offset),
            _ => Err(no_such_answer().into()),
        }
    }

    /// Removes a ride.
    ///
    /// # Errors
    /// `Refused` when there is none.
    pub async fn delete(&self, id: i64, deadline: Instant) -> Result<Offset, AppError> {
        let write = Write::Delete { collection: RIDES, filter: by_id(id) };
        let At { offset, answer } = self.session.write(&write, deadline).await?;
        match answer {
            Outcome::Deleted { deleted: 0 } => Err(AppError::Refused("there is no such ride")),
            Outcome::Deleted { .. } => Ok(offset),
            _ => Err(no_such_answer().into()),
        }
    }

    /// How many rides there are.
    ///
    /// # Errors
    /// When the database did not answer.
    pub async fn count(
        &self,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<At<u64>, AppError> {
        Ok(self.session.count(RIDES, at_least, deadline).await?)
    }

    /// Asks in a state that holds everything that this instance, and its client, saw.
    async fn expect_user(
        &self,
        username: &str,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<(), AppError> {
        let at_least = self.session.seen().max(at_least);
        let known = self.directory.look_up(username, at_least, deadline).await?;
        if let Some(offset) = known.offset {
            self.session.note(offset);
        }
        if known.exists { Ok(()) } else { Err(AppError::Refused("there is no such user")) }
    }

    async fn next_id(&self, deadline: Instant) -> Result<i64, DatabaseError> {
        let written = self.count_up("$inc", 1, deadline).await?;
        let Outcome::Updated { documents, .. } = &written.answer else {
            return Err(no_such_answer());
        };
        let last = documents.first().and_then(|counter| counter.get(COUNTER.1)?.as_integer());
        last.ok_or_else(no_such_answer)
    }

    /// Moves the counter to the highest id in use.
    async fn mend_counter(&self, deadline: Instant) -> Result<(), DatabaseError> {
        let numbers = Document::from([("$gte", Value::from(0))]);
        let read = Read {
            filter: Document::from([(ID_FIELD, numbers.into())]),
            projection: &[ID_FIELD],
            sort: &[(ID_FIELD, Order::Descending)],
            limit: 1,
            ..read_all(RIDES)
        };
        let highest = self.session.find_strong(read, deadline).await?.answer;
        let highest = highest.and_then(|ride| ride.get(ID_FIELD)?.as_integer());
        if let Some(highest) = highest {
            tracing::warn!(highest, "an id was in use; moving the counter");
            self.count_up("$max", highest, deadline).await?;
        }
        Ok(())
    }

    async fn count_up(
        &self,
        operator: &str,
        number: i64,
        deadline: Instant,
    ) -> Result<At<Outcome>, DatabaseError> {
        let (id, field) = COUNTER;
        let change = Document::from([(field, Value::from(number))]);
        let write = Write::Update {
            collection: COUNTERS,
            filter: Document::from([(ID_FIELD, Value::from(id))]),
            update: Document::from([(operator, change.into())]),
            upsert: true,
            return_after: true,
        };
        self.session.write(&write, deadline).await
    }
}

/// A step before the ride itself may have happened; the ride did not.
fn nothing_done(error: DatabaseError) -> DatabaseError {
    match error {
        DatabaseError::Unknown(cause) => DatabaseError::Unavailable(cause),
        error => error,
    }
}

fn greater(value: impl Into<Value>) -> Value {
    Document::from([("$gt", value.into())]).into()
}

fn by_id(id: i64) -> Document {
    Document::from([(ID_FIELD, Value::from(id))])
}

fn stored(ride: &NewRide, id: i64) -> Document {
    Document::from([
        (ID_FIELD, id.into()),
        ("created_by", ride.created_by.as_str().into()),
        ("users", Value::Array(Vec::new())),
        ("timestamp", ride.timestamp.as_str().into()),
        ("source", ride.source.into()),
        ("destination", ride.destination.into()),
    ])
}

fn offer(document: &Document) -> Option<Offer> {
    let text = |name| document.get(name)?.as_str();
    Some(Offer {
        id: document.get(ID_FIELD)?.as_integer()?,
        created_by: text("created_by")?.to_owned(),
        timestamp: timestamp::to_spoken(text("timestamp")?)?,
    })
}

/// `None` for a document that this service did not write.
fn spoken(document: &Document) -> Option<Ride> {
    let text = |name| document.get(name)?.as_str();
    let number = |name| document.get(name)?.as_integer();
    let users = document.get("users")?.as_array()?;
    Some(Ride {
        id: number(ID_FIELD)?,
        created_by: text("created_by")?.to_owned(),
        users: users.iter().filter_map(|user| user.as_str().map(str::to_owned)).collect(),
        timestamp: timestamp::to_spoken(text("timestamp")?)?,
        source: number("source")?,
        destination: number("destination")?,
    })
}
