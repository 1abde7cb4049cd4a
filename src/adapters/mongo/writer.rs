//! The connections that writes go through, and the fence between one attempt and the next.
//!
//! A write whose answer never came may still land: the command can lie in a socket of a server
//! that was suspended, and be executed after later writes, which it would undo. So after an
//! attempt without a good end, and once in the beginning, for a predecessor of this process,
//! nothing is written before the server has closed every connection that such a write could
//! still arrive on. The name of the application, by which the server lists its connections,
//! tells them apart.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use tracing::warn;
use uuid::Uuid;

use super::error::{is_unauthorized, translate, unavailable, within};
use super::write::Habit;
use crate::ports::store::StoreError;

const POLL: Duration = Duration::from_millis(20);

/// How many connections carry the writes of one store.
pub(super) const CONNECTIONS: u32 = 8;

/// Lets one attempt at writing follow another in order.
pub(super) struct Writer {
    options: ClientOptions,
    database: String,
    limit: Duration,
    habit: Habit,
    current: Mutex<Current>,
}

struct Current {
    client: Client,
    name: String,
    doubt: Doubt,
}

/// What may still land.
#[derive(Clone, Copy, PartialEq)]
enum Doubt {
    /// Nothing.
    None,
    /// Writes of the current connections.
    Current,
    /// Writes of earlier connections.
    Earlier,
}

/// One attempt. Dropped without [`Attempt::succeeded`], its writes are in doubt.
pub(super) struct Attempt<'a> {
    writer: &'a Writer,
    /// The database to write to.
    pub(super) database: Database,
    /// How long one command may take.
    pub(super) limit: Duration,
    /// What the last documents were like.
    pub(super) habit: &'a Habit,
}

impl Writer {
    /// Makes a writer; nothing is connected yet.
    pub(super) fn new(
        mut options: ClientOptions,
        database: &str,
        limit: Duration,
    ) -> Result<Self, StoreError> {
        options.max_pool_size = Some(CONNECTIONS);
        let (client, name) = fresh_client(&options, database)?;
        Ok(Self {
            options,
            database: database.to_owned(),
            limit,
            habit: Habit::default(),
            current: Mutex::new(Current { client, name, doubt: Doubt::Earlier }),
        })
    }

    /// How long one command may take.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Starts an attempt, when no earlier write can land any more. One at a time.
    pub(super) async fn begin(&self, reader: &Client) -> Result<Attempt<'_>, StoreError> {
        if let Some(doubtful) = self.replace_doubtful()? {
            doubtful.shutdown().immediate(true).await;
        }
        if let Some(name) = self.in_doubt() {
            self.await_the_end_of_others(reader, &name).await?;
        }
        let mut current = self.lock();
        current.doubt = Doubt::Current;
        Ok(Attempt {
            writer: self,
            database: current.client.database(&self.database),
            limit: self.limit,
            habit: &self.habit,
        })
    }

    /// Puts a new client in the place of one whose writes are in doubt.
    fn replace_doubtful(&self) -> Result<Option<Client>, StoreError> {
        let mut current = self.lock();
        if current.doubt != Doubt::Current {
            return Ok(None);
        }
        let (client, name) = fresh_client(&self.options, &self.database)?;
        current.name = name;
        current.doubt = Doubt::Earlier;
        Ok(Some(std::mem::replace(&mut current.client, client)))
    }

    /// The name of the current connections, when writes of others may still land.
    fn in_doubt(&self) -> Option<String> {
        let current = self.lock();
        (current.doubt != Doubt::None).then(|| current.name.clone())
    }

    async fn await_the_end_of_others(&self, reader: &Client, own: &str) -> Result<(), StoreError> {
        let ended = async {
            while others_are_connected(reader, &prefix(&self.database), own, self.limit).await? {
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        let failure = "another writer of this database stays connected";
        match tokio::time::timeout(self.limit, ended).await {
            Ok(result) => result,
            Err(_) => Err(unavailable(failure)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// Ends the attempt: every write was answered.
    pub(super) fn succeeded(self) {
        self.writer.lock().doubt = Doubt::None;
    }

    /// Runs one write command.
    pub(super) async fn run(
        &self,
        command: mongodb::bson::RawDocumentBuf,
    ) -> Result<Document, StoreError> {
        within(self.limit, self.database.run_raw_command(command)).await
    }
}

/// Every writer of one database has a name that starts like this.
fn prefix(database: &str) -> String {
    format!("rideshare-writer {database} ")
}

fn fresh_client(options: &ClientOptions, database: &str) -> Result<(Client, String), StoreError> {
    let name = format!("{}{}", prefix(database), Uuid::now_v7().simple());
    let mut options = options.clone();
    options.app_name = Some(name.clone());
    let client = Client::with_options(options).map_err(translate)?;
    Ok((client, name))
}

async fn others_are_connected(
    reader: &Client,
    prefix: &str,
    own: &str,
    limit: Duration,
) -> Result<bool, StoreError> {
    // '!' follows the blank that ends the prefix.
    let end = format!("{}!", prefix.trim_end());
    let stages = [
        doc! { "$currentOp": { "idleConnections": true } },
        doc! { "$match": { "appName": { "$gte": prefix, "$lt": end, "$ne": own } } },
        doc! { "$limit": 1 },
    ];
    let admin = reader.database("admin");
    let listed = async { admin.aggregate(stages).await?.try_next().await };
    let checked = async {
        match listed.await {
            Err(error) if is_unauthorized(&error) => {
                warn!("the user may not list its connections: late writes cannot be ruled out");
                Ok(None)
            }
            other => other,
        }
    };
    Ok(within(limit, Box::pin(checked)).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_an_application_fits_the_server_s_limit() {
        let longest = "x".repeat(63);
        assert!(prefix(&longest).len() + Uuid::nil().simple().to_string().len() <= 128);
    }
}
