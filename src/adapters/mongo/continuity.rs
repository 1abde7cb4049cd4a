//! Notices a server that came back with less than it had.
//!
//! A server that is killed may lose the last moments before it, as applies do not wait for its
//! disk. A connection belongs to one life of a server. So everything is still there as long as no
//! connection was made since it was last seen to be there; otherwise it is looked for again before
//! anything that was read counts, or anything is written on top. What was written while a connection
//! was made is written again, unless the server says that it is in the same life as before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mongodb::Database;
use mongodb::bson::doc;
use mongodb::bson::oid::ObjectId;
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::options::ClientOptions;

use super::error::within;
use super::state::Stored;
use crate::domain::ids::Offset;
use crate::ports::store::StoreError;

/// What is known of one database, over all connections to it.
#[derive(Default)]
pub(super) struct Continuity {
    connections: Arc<AtomicU64>,
    seen: Mutex<Option<Seen>>,
    life: Mutex<Option<Life>>,
}

/// What a server calls itself from one start to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(ObjectId);

impl Life {
    /// That of a server; servers before 4.4 do not tell.
    async fn of(database: &Database, limit: Duration) -> Result<Option<Self>, StoreError> {
        let hello = within(limit, database.run_command(doc! { "hello": 1 })).await?;
        let version = hello.get_document("topologyVersion");
        Ok(version.and_then(|it| it.get_object_id("processId")).ok().map(Self))
    }
}

/// The beginning of a look at the database.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// How many connections had been made.
    connections: u64,
    /// What must be there.
    at_least: Option<Offset>,
    /// The life that the server was in.
    life: Option<Life>,
}

/// What stood in the database, and when that was seen.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) stored: Stored,
    /// How many connections had been made before; none where it is in doubt.
    connections: Option<u64>,
}

impl Seen {
    pub(super) fn applied(&self) -> Option<Offset> {
        self.stored.history.applied
    }
}

impl Continuity {
    /// Counts the connections of clients with these options from now on.
    pub(super) fn watch(&self, options: &mut ClientOptions) {
        let connections = Arc::clone(&self.connections);
        options.cmap_event_handler = Some(EventHandler::callback(move |event| {
            if matches!(event, CmapEvent::ConnectionReady(_)) {
                connections.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }

    /// To be called before a look at the database.
    pub(super) fn look(&self) -> Look {
        let at_least = self.lock().as_ref().and_then(Seen::applied);
        let life = *self.life.lock().unwrap_or_else(PoisonError::into_inner);
        Look { connections: self.made(), at_least, life }
    }

    /// Makes sure of the life that the server is in, for looks from now on.
    pub(super) async fn learn_life(
        &self,
        database: &Database,
        limit: Duration,
    ) -> Result<Option<Life>, StoreError> {
        let life = Life::of(database, limit).await?;
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = life;
        Ok(life)
    }

    /// Whether the server may have started anew since then. If it may not have, what was seen last
    /// is as certain as if it were looked at now.
    pub(super) async fn is_interrupted(
        &self,
        since: Look,
        database: &Database,
        limit: Duration,
    ) -> Result<bool, StoreError> {
        let made = self.made();
        if made == since.connections {
            return Ok(false);
        }
        let life = self.learn_life(database, limit).await?;
        if life.is_none() || life != since.life {
            return Ok(true);
        }
        if let Some(seen) = self.lock().as_mut() {
            seen.connections = Some(made);
        }
        Ok(false)
    }

    fn made(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// What stands in the database, where that is beyond doubt.
    pub(super) fn certain(&self) -> Option<Seen> {
        let seen = self.lock().clone()?;
        (seen.connections == Some(self.made())).then_some(seen)
    }

    /// Takes in what a look has found.
    pub(super) fn found(&self, look: Look, stored: Stored) -> Result<Seen, StoreError> {
        if stored.history.applied < look.at_least {
            return Err(StoreError::FellBack);
        }
        let mut seen = self.lock();
        match &*seen {
            // An apply was faster.
            Some(newer) if newer.applied() > stored.history.applied => Ok(newer.clone()),
            _ => Ok(seen.insert(Seen { stored, connections: Some(look.connections) }).clone()),
        }
    }

    /// Takes in what a look has found, be it less than before: whoever uses the database knows.
    pub(super) fn begin_again(&self, look: Look, stored: Stored) {
        *self.lock() = Some(Seen { stored, connections: Some(look.connections) });
    }

    /// Something else was in the database than what was seen.
    pub(super) fn doubt(&self) {
        if let Some(seen) = self.lock().as_mut() {
            seen.connections = None;
        }
    }

    /// The database was replaced.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log::History;

    fn stored(applied: u64) -> Stored {
        let history = History { applied: Some(Offset(applied)), ..History::default() };
        Stored::new(history).unwrap()
    }

    #[test]
    fn what_was_seen_is_certain_until_a_connection_is_made() {
        let continuity = Continuity::default();
        assert!(continuity.certain().is_none());
        continuity.found(continuity.look(), stored(1)).unwrap();
        assert_eq!(continuity.certain().unwrap().applied(), Some(Offset(1)));
        continuity.connections.fetch_add(1, Ordering::SeqCst);
        assert!(continuity.certain().is_none());
        continuity.found(continuity.look(), stored(1)).unwrap();
        assert!(continuity.certain().is_some());
        continuity.doubt();
        assert!(continuity.certain().is_none());
    }

    #[test]
    fn less_than_was_seen_is_a_fall_back_until_somebody_begins_again() {
        let continuity = Continuity::default();
        let find = |applied| continuity.found(continuity.look(), stored(applied));
        find(5).unwrap();
        assert!(matches!(find(4), Err(StoreError::FellBack)));
        assert!(matches!(find(4), Err(StoreError::FellBack)));
        continuity.begin_again(continuity.look(), stored(4));
        assert_eq!(find(4).unwrap().applied(), Some(Offset(4)));
    }

    #[test]
    fn look_that_an_apply_overtook_is_no_fall_back() {
        let continuity = Continuity::default();
        let look = continuity.look();
        continuity.found(continuity.look(), stored(5)).unwrap();
        assert_eq!(continuity.found(look, stored(4)).unwrap().applied(), Some(Offset(5)));
    }
}
