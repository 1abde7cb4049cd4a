//! The users service: who there is.
//!
//! A race for a name is decided by the database, whose `_id` is the name. A password is kept as a
//! salted hash alone.

use std::sync::Arc;

use tokio::time::Instant;

use super::apps::{AppError, Session, no_such_answer, read_all};
use super::passwords::Passwords;
use crate::domain::document::{Document, ID_FIELD, Value};
use crate::domain::ids::Offset;
use crate::domain::outcome::Outcome;
use crate::domain::rides::NewUser;
use crate::ports::database::{At, DatabaseError, Read, Write};

const USERS: &str = "users";

/// One instance of the service; cheap to clone.
#[derive(Clone)]
pub struct Users {
    session: Arc<Session>,
    passwords: Arc<Passwords>,
}

impl Users {
    /// An instance on a session of its own.
    #[must_use]
    pub fn new(session: Arc<Session>, passwords: Arc<Passwords>) -> Self {
        Self { session, passwords }
    }

    /// Makes a user.
    ///
    /// # Errors
    /// `Refused` when the name is taken.
    pub async fn create(&self, user: NewUser, deadline: Instant) -> Result<Offset, AppError> {
        let password = self.passwords.hash(user.password, deadline).await?;
        let document =
            Document::from([(ID_FIELD, user.username.into()), ("password", password.into())]);
        let write = Write::Insert { collection: USERS, documents: vec![document] };
        match self.session.write(&write, deadline).await {
            Ok(written) => Ok(written.offset),
            Err(DatabaseError::Conflict { .. }) => Err(AppError::Refused("the username is taken")),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of all users, in their order.
    ///
    /// # Errors
    /// When the database did not answer.
    pub async fn list(
        &self,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<At<Vec<String>>, AppError> {
        let read = Read { projection: &[ID_FIELD], ..read_all(USERS) };
        let after = |last: &Document| {
            let id = last.get(ID_FIELD).cloned().unwrap_or_default();
            Document::from([(ID_FIELD, Document::from([("$gt", id)]).into())])
        };
        let found = self.session.find_all(read, after, at_least, deadline).await?;
        let names = found.answer.iter().filter_map(|user| user.get(ID_FIELD)?.as_str());
        Ok(At { offset: found.offset, answer: names.map(str::to_owned).collect() })
    }

    /// Whether there is this user. Never `false` for one whose creation was answered before,
    /// by whichever instance.
    ///
    /// # Errors
    /// When the database did not answer.
    pub async fn exists(
        &self,
        username: &str,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<At<bool>, AppError> {
        let read = Read {
            filter: by_name(username),
            projection: &[ID_FIELD],
            limit: 1,
            ..read_all(USERS)
        };
        let found = self.session.find(read, at_least, deadline).await?;
        Ok(At { offset: found.offset, answer: found.answer.is_some() })
    }

    /// Removes a user.
    ///
    /// # Errors
    /// `Refused` when there is none of that name.
    pub async fn delete(&self, username: &str, deadline: Instant) -> Result<Offset, AppError> {
        let write = Write::Delete { collection: USERS, filter: by_name(username) };
        let At { offset, answer } = self.session.write(&write, deadline).await?;
        match answer {
            Outcome::Deleted { deleted: 0 } => Err(AppError::Refused("there is no such user")),
            Outcome::Deleted { .. } => Ok(offset),
            _ => Err(no_such_answer().into()),
        }
    }
}

fn by_name(username: &str) -> Document {
    Document::from([(ID_FIELD, Value::from(username))])
}
