//! The state directory: one JSON file per worker, written as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::identity::Identity;
use crate::domain::ids::NodeId;

/// What a record's file name ends with.
const ENDING: &str = ".json";
/// Logs of workers that are gone, the newest of which are kept for people to look at.
const KEPT_LOGS: usize = 16;

/// What is written down of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) node: NodeId,
    /// Missing while it is being started.
    pub(super) process: Option<Identity>,
    /// Its exit code, where whoever was its parent saw it.
    pub(super) exit: Option<i32>,
    /// In milliseconds since 1970.
    pub(super) changed_at_ms: u64,
    /// Since when there is nothing of it but a database that was set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed_at_ms: Option<u64>,
}

/// The directory.
pub(super) struct Records {
    directory: PathBuf,
}

impl Records {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { directory: directory.canonicalize()? })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The workers' records.
    pub(super) fn load(&self) -> io::Result<Vec<Record>> {
        let mut records = self.load_all()?;
        records.retain(|record| record.removed_at_ms.is_none());
        Ok(records)
    }

    /// The records of workers whose databases are set aside, the last one first.
    pub(super) fn load_aside(&self) -> io::Result<Vec<Record>> {
        let mut records = self.load_all()?;
        records.retain(|record| record.removed_at_ms.is_some());
        records.sort_by(|a, b| (b.removed_at_ms, &b.node).cmp(&(a.removed_at_ms, &a.node)));
        Ok(records)
    }

    /// What cannot be read as a record is passed over.
    fn load_all(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if !path.as_os_str().to_string_lossy().ends_with(ENDING) {
                continue;
            }
            // Another orchestrator may have removed it by now.
            let Ok(bytes) = fs::read(&path) else { continue };
            match serde_json::from_slice::<Record>(&bytes) {
                Ok(record) if path == self.path(&record.node) => records.push(record),
                _ => warn!(path = %path.display(), "not a worker's record, passed over"),
            }
        }
        Ok(records)
    }

    /// Writes a record so that it is found whole or not at all. Not synced: a failover must not
    /// wait for a busy disk, and after a power cut no process is left to be found. A record that
    /// was lost then costs a database without a worker, never data.
    pub(super) fn save(&self, record: &Record) -> io::Result<()> {
        let path = self.path(&record.node);
        let mut temporary = path.clone().into_os_string();
        temporary.push(format!(".{}", std::process::id()));
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        fs::rename(&temporary, &path)
    }

    /// Forgets a worker. Its log stays for a while.
    pub(super) fn remove(&self, node: &NodeId) -> io::Result<()> {
        match fs::remove_file(self.path(node)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => {
                self.remove_old_logs();
                Ok(())
            }
        }
    }

    /// The file for what a worker says.
    pub(super) fn log(&self, node: &NodeId) -> io::Result<File> {
        let path = self.directory.join(format!("{node}.log"));
        File::options().create(true).append(true).open(path)
    }

    fn path(&self, node: &NodeId) -> PathBuf {
        self.directory.join(format!("{node}{ENDING}"))
    }

    fn remove_old_logs(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let mut logs: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
            .filter(|path| !path.with_extension(&ENDING[1..]).exists())
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        logs.sort();
        let old = logs.len().saturating_sub(KEPT_LOGS);
        for (_, path) in logs.drain(..old) {
            // A log too many does no harm.
            let _ = fs::remove_file(path);
        }
    }
}
