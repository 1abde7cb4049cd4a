//! How database files are opened: which pragmas, whose files, and who may write.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

/// How long a connection waits for another one's lock. Only checkpoints and recovery ever hold one
/// that matters, since each file has a single writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a kind of database file looks like.
pub(super) struct Format {
    /// What people call it.
    pub(super) name: &'static str,
    /// Stands in the file's header.
    pub(super) application_id: i32,
    /// Raised with every change of the schema.
    pub(super) version: i32,
    /// Makes the tables of a new file.
    pub(super) schema: &'static str,
    /// What a commit waits for, SQLite's `synchronous`.
    pub(super) synchronous: &'static str,
    /// How large the write-ahead log grows before it is carried into the file, in pages of 4 KiB.
    pub(super) checkpoint_pages: i32,
}

/// The right to write a database; gone with the process at the latest.
#[derive(Debug)]
pub(super) struct WriteLock {
    _file: File,
}

impl WriteLock {
    /// Takes the right to write the database at `path`.
    ///
    /// SQLite itself would let several processes write in turns, but each of our files has a
    /// writer that remembers what it wrote.
    pub(super) fn take(path: &Path) -> anyhow::Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let name = PathBuf::from(name);
        let file =
            File::create(&name).with_context(|| format!("cannot create {}", name.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => bail!("{} is in use already", path.display()),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// Opens a database for its one writer, and makes it if there is none.
pub(super) fn open_writer(path: &Path, format: &Format) -> anyhow::Result<Connection> {
    let open = || -> anyhow::Result<Connection> {
        let mut connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        prepare(&connection, 64)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", format.synchronous)?;
        // Where a sync of its own kind is needed to get past the disk's cache, as on macOS.
        connection.pragma_update(None, "fullfsync", format.synchronous == "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", format.checkpoint_pages)?;
        // A write-ahead log that a long read made grow shrinks again.
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        create_or_check(&transaction, format)?;
        transaction.commit()?;
        Ok(connection)
    };
    open().with_context(|| format!("cannot open the {} {}", format.name, path.display()))
}

/// Opens a database that exists, to read only.
pub(super) fn open_reader(path: &Path, format: &Format) -> anyhow::Result<Connection> {
    let open = || -> anyhow::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        prepare(&connection, 16)?;
        ensure!(is_of_format(&connection, format)?, "the file is empty");
        Ok(connection)
    };
    open().with_context(|| format!("cannot read the {} {}", format.name, path.display()))
}

fn prepare(connection: &Connection, cache_mib: i32) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Negative means KiB.
    connection.pragma_update(None, "cache_size", -cache_mib * 1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

fn create_or_check(transaction: &Transaction<'_>, format: &Format) -> anyhow::Result<()> {
    if is_of_format(transaction, format)? {
        return Ok(());
    }
    transaction.execute_batch(format.schema)?;
    transaction.pragma_update(None, "application_id", format.application_id)?;
    transaction.pragma_update(None, "user_version", format.version)?;
    Ok(())
}

/// True for one of our files, false for an empty one; everything else is an error.
fn is_of_format(connection: &Connection, format: &Format) -> anyhow::Result<bool> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let application_id = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if (application_id, version, tables) == (0, 0, 0) {
        return Ok(false);
    }
    ensure!(
        application_id == format.application_id,
        "the file is no {} of this program",
        format.name
    );
    ensure!(
        version == format.version,
        "the file has version {version}, this build reads {}",
        format.version
    );
    Ok(true)
}
