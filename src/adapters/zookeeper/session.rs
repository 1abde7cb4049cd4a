//! One established session: whose ephemeral znodes are ours, and how they are put in place.

use uuid::Uuid;
use zookeeper_async::{CreateMode, ZkError, ZkResult};

use super::client::Operations;
use super::znodes::Layout;

/// How often a znode may come and go between our looking and our doing before we give up.
const MAX_RACES: usize = 8;

/// Why a session could not be established, or is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// It did not work this time.
    #[error("{0}")]
    Failed(#[from] ZkError),
    /// The library hands out the answers of other requests; only a new instance helps.
    #[error("the client library confuses its answers")]
    Confused,
}

/// A session that is known by its id.
#[derive(Clone)]
pub(super) struct Session {
    operations: Operations,
    id: i64,
}

impl Session {
    /// Finds out which session these operations run in, and that they get their own answers.
    ///
    /// The library matches answers to requests by their order alone. When it gave up an attempt
    /// to connect just as that was answered, every later answer goes to the wrong request. Nor
    /// does it tell the session's id. A znode of our own, written and read back, shows both; and
    /// since a server answers a write only when it knows of every earlier one, whatever is read
    /// after this is not older than this call.
    ///
    /// # Errors
    /// `Confused` asks for a new client, `Failed` for another attempt.
    pub(super) async fn identify(operations: Operations, layout: &Layout) -> Result<Self, Trouble> {
        let nonce = Uuid::now_v7().simple().to_string();
        let path = layout.probe(&nonce);
        let (created, stat) = operations
            .create(&path, nonce.as_bytes(), CreateMode::Ephemeral)
            .await
            .map_err(sorted)?;
        let (data, again) = operations.data(&path).await.map_err(sorted)?;
        let id = stat.ephemeral_owner;
        if created != path || data != nonce.as_bytes() || id == 0 || again.ephemeral_owner != id {
            return Err(Trouble::Confused);
        }
        operations.delete(&path, again.version).await.map_err(sorted)?;
        Ok(Self { operations, id })
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    pub(super) fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Changes the data of an ephemeral znode that is probably ours; else as [`Session::put`].
    pub(super) async fn update(&self, path: &str, data: &[u8]) -> ZkResult<()> {
        match self.operations.set(path, data, None).await {
            Ok(stat) if stat.ephemeral_owner == self.id => Ok(()),
            Ok(_) | Err(ZkError::NoNode) => self.put(path, data).await,
            Err(error) => Err(error),
        }
    }

    /// Puts an ephemeral znode of this session in place. One of another session is replaced.
    pub(super) async fn put(&self, path: &str, data: &[u8]) -> ZkResult<()> {
        for _ in 0..MAX_RACES {
            let step = match self.operations.stat(path).await? {
                Some(stat) if stat.ephemeral_owner == self.id => {
                    self.operations.set(path, data, Some(stat.version)).await.map(|_| true)
                }
                Some(stat) => {
                    let owner = format!("{:#x}", stat.ephemeral_owner);
                    tracing::debug!(path, owner, "replacing the entry of an earlier session");
                    self.operations.delete(path, stat.version).await.map(|()| false)
                }
                None => {
                    self.operations.create(path, data, CreateMode::Ephemeral).await.map(|_| true)
                }
            };
            match step {
                Ok(true) => return Ok(()),
                // It came, went or changed since we looked: an old session may expire any time.
                Ok(false) | Err(ZkError::NoNode | ZkError::NodeExists | ZkError::BadVersion) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ZkError::NodeExists)
    }

    /// Takes an ephemeral znode if nobody has it. True when this session has it now.
    pub(super) async fn take(&self, path: &str, data: &[u8]) -> ZkResult<bool> {
        for _ in 0..MAX_RACES {
            match self.operations.create(path, data, CreateMode::Ephemeral).await {
                Ok(_) => return Ok(true),
                Err(ZkError::NodeExists) => {}
                Err(error) => return Err(error),
            }
            if let Some(stat) = self.operations.stat(path).await? {
                return Ok(stat.ephemeral_owner == self.id);
            }
        }
        Ok(false)
    }
}

/// Errors that no healthy client gets for what we ask.
fn sorted(error: ZkError) -> Trouble {
    match error {
        ZkError::MarshallingError | ZkError::Unimplemented => Trouble::Confused,
        other => Trouble::Failed(other),
    }
}

/// Makes sure that the persistent znodes are there.
///
/// # Errors
/// As for [`Session::identify`].
pub(super) async fn ensure_paths(operations: &Operations, paths: &[String]) -> Result<(), Trouble> {
    for path in paths {
        match operations.create(path, b"", CreateMode::Persistent).await {
            Ok(_) | Err(ZkError::NodeExists) => {}
            Err(error) => return Err(sorted(error)),
        }
    }
    Ok(())
}
