//! The file in which the records of an embedded coordination service outlive the process.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::AsyncWriteExt;

use super::state::Records;

/// A file that holds one whole version of the records or another, never a mixture.
#[derive(Clone, Debug)]
pub(super) struct RecordsFile {
    path: PathBuf,
}

impl RecordsFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What was saved last; nothing when nothing ever was.
    pub(super) async fn load(&self) -> io::Result<Records> {
        match fs::read(&self.path).await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Records::default()),
            Err(error) => Err(error),
        }
    }

    /// Returns once the records are on the disk.
    pub(super) async fn save(&self, records: &Records) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(records)?;
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".new");
        let mut file = fs::File::create(&temporary).await?;
        file.write_all(&bytes).await?;
        file.sync_all().await?;
        fs::rename(&temporary, &self.path).await?;
        // The new name is durable once the directory is.
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::File::open(directory.unwrap_or(Path::new("."))).await?.sync_all().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::memory::coordination::state::Stored;
    use crate::ports::coordination::ScaleRecord;

    #[tokio::test]
    async fn records_come_back_as_they_were_saved_last() {
        let directory = tempfile::tempdir().unwrap();
        let file = RecordsFile::new(&directory.path().join("coordination.json"));
        assert_eq!(file.load().await.unwrap(), Records::default());
        for slaves in [1, 2] {
            let scale = Stored::replaced(
                None,
                None,
                ScaleRecord { slaves, manual: true, ..ScaleRecord::default() },
            );
            let records = Records { scale, ..Records::default() };
            file.save(&records).await.unwrap();
            assert_eq!(file.load().await.unwrap(), records);
        }
    }

    #[tokio::test]
    async fn file_that_is_no_such_file_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("coordination.json");
        std::fs::write(&path, "{\"leader\":").unwrap();
        assert!(RecordsFile::new(&path).load().await.is_err());
        assert!(RecordsFile::new(directory.path()).load().await.is_err());
    }
}
