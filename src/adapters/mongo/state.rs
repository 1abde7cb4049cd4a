//! The one document that says what the database holds: a history, or a copy that is not done.
//!
//! It is replaced as a whole, so that a history and the end of a copy appear together. No user
//! collection can have its name, as they start with a letter.

use std::time::Duration;

use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::{Client, Database};
use tracing::warn;

use super::error::{broken, check_writes, within};
use super::names;
use super::writer::{Attempt, Writer};
use crate::domain::log::History;
use crate::ports::store::StoreError;

/// The collection of that document.
const COLLECTION: &str = "_rideshare";

/// The key of that document.
const KEY: &str = "state";

/// A history as it stands in the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stored {
    pub(super) history: History,
    /// Word for word; nothing where nothing was stored yet.
    text: Option<String>,
}

impl Stored {
    /// A history that is to be stored, as JSON, since BSON has no unsigned numbers of 64 bits.
    pub(super) fn new(history: History) -> Result<Self, StoreError> {
        let text = serde_json::to_string(&history)
            .map_err(|_| broken("the history cannot be written down"))?;
        Ok(Self { history, text: Some(text) })
    }
}

/// What a database holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// Everything up to this history.
    Current(Stored),
    /// Parts of a copy, which this token tells from others.
    Copying(String),
}

/// Reads what the database holds.
pub(super) async fn load(database: &Database, limit: Duration) -> Result<State, StoreError> {
    let collection = database.collection::<Document>(COLLECTION);
    let stored = within(limit, collection.find_one(doc! { "_id": KEY })).await?;
    stored.map_or_else(|| Ok(State::Current(Stored::default())), |stored| decode(&stored))
}

/// Writes down what the database holds from now on.
pub(super) async fn save(
    attempt: &Attempt<'_>,
    state: &State,
    journal: bool,
) -> Result<(), StoreError> {
    check_writes(&write(attempt, doc! { "_id": KEY }, encode(state), true, journal).await?)
}

/// Writes down another history in the place of this one. False if something else stands there.
pub(super) async fn replace(
    attempt: &Attempt<'_>,
    current: &Stored,
    next: &Stored,
    journal: bool,
) -> Result<bool, StoreError> {
    let is_first = current.text.is_none();
    let place = match &current.text {
        Some(text) => doc! { "_id": KEY, "history": text },
        // Matches nothing, so that a document that is there after all stands in the way.
        None => {
            doc! { "_id": KEY, "history": { "$exists": false }, "copying": { "$exists": false } }
        }
    };
    let next = encode(&State::Current(next.clone()));
    let reply = write(attempt, place, next, is_first, journal).await?;
    if is_first && reply.get_array("writeErrors").is_ok() {
        return Ok(false);
    }
    check_writes(&reply)?;
    Ok(reply.get_i32("n").unwrap_or_default() == 1)
}

async fn write(
    attempt: &Attempt<'_>,
    place: Document,
    stored: Document,
    upsert: bool,
    journal: bool,
) -> Result<Document, StoreError> {
    let command = doc! {
        "update": COLLECTION,
        "updates": [{ "q": place, "u": stored, "upsert": upsert }],
        "writeConcern": { "w": 1, "j": journal },
    };
    let command =
        RawDocumentBuf::try_from(&command).map_err(|_| broken("the history is no BSON"))?;
    attempt.run(command).await
}

/// Empties the database if it holds the remains of a copy.
pub(super) async fn recover(
    reader: &Client,
    database: &Database,
    writer: &Writer,
) -> Result<(), StoreError> {
    if matches!(load(database, writer.limit()).await?, State::Current(_)) {
        return Ok(());
    }
    warn!("emptying a database that holds parts of a copy");
    let attempt = writer.begin(reader).await?;
    wipe(&attempt).await?;
    save(&attempt, &State::Current(Stored::new(History::default())?), true).await?;
    attempt.succeeded();
    Ok(())
}

/// Drops every user collection.
pub(super) async fn wipe(attempt: &Attempt<'_>) -> Result<(), StoreError> {
    for name in names::all(&attempt.database, attempt.limit).await? {
        let collection = attempt.database.collection::<Document>(name.as_str());
        within(attempt.limit, collection.drop()).await?;
    }
    Ok(())
}

fn encode(state: &State) -> Document {
    match state {
        State::Copying(token) => doc! { "_id": KEY, "copying": token },
        State::Current(stored) => doc! { "_id": KEY, "history": &stored.text },
    }
}

fn decode(stored: &Document) -> Result<State, StoreError> {
    let damaged = || broken(format!("the stored history is damaged: see `{COLLECTION}`"));
    if let Some(token) = stored.get("copying") {
        let token = token.as_str().ok_or_else(damaged)?;
        return Ok(State::Copying(token.to_owned()));
    }
    let text = stored.get_str("history").map_err(|_| damaged())?;
    let history = serde_json::from_str(text).map_err(|_| damaged())?;
    Ok(State::Current(Stored { history, text: Some(text.to_owned()) }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ids::{Epoch, LogId, Offset, Sequence};
    use crate::domain::log::Term;

    fn some_history() -> History {
        let term = |epoch, begun| Term {
            epoch: Epoch(epoch),
            begun: Offset(begun),
            batches: Sequence(u64::MAX),
        };
        History {
            log_id: Some(LogId::new("one")),
            terms: vec![term(3, 0), term(4, 1 << 40)],
            applied: Some(Offset(1 << 41)),
        }
    }

    #[test]
    fn states_come_back_as_they_were() {
        let copying = State::Copying("token".to_owned());
        let states = [some_history(), History::default()];
        let states = states.map(|history| State::Current(Stored::new(history).unwrap()));
        for state in states.into_iter().chain([copying]) {
            assert_eq!(decode(&encode(&state)).unwrap(), state);
        }
    }

    #[test]
    fn damaged_state_is_refused() {
        for stored in [
            doc! {},
            doc! { "history": 1 },
            doc! { "history": "" },
            doc! { "history": r#"{"log_id":null,"terms":[],"applied":-1}"# },
            doc! { "history": r#"{"log_id":null,"terms":{},"applied":1}"# },
            doc! { "copying": 1 },
        ] {
            assert!(matches!(decode(&stored), Err(StoreError::Internal(_))), "{stored}");
        }
    }

    proptest! {
        #[test]
        fn any_stored_text_is_survived(
            noise in ".{0,40}",
            at in any::<prop::sample::Index>(),
            key in prop_oneof![Just("history"), Just("copying"), Just("other")],
        ) {
            let mut text = Stored::new(some_history()).unwrap().text.unwrap();
            let place = text.floor_char_boundary(at.index(text.len()));
            text.insert_str(place, &noise);
            for stored in [doc! { key: &text }, doc! { key: &noise }, doc! { key: [&noise] }] {
                let decoded = decode(&stored);
                prop_assert!(matches!(decoded, Ok(_) | Err(StoreError::Internal(_))), "{stored}");
            }
        }
    }
}
