//! Who works with a state directory: every process that does holds a lock on one file there, which
//! the kernel lets go of however the process ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tracing::info;

/// The file; it holds nothing.
const FILE: &str = "orchestrators.lock";
/// How long another process may take that has the directory for itself: it ends the workers.
const WAIT_LIMIT: Duration = Duration::from_secs(60);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// One process's share in a state directory.
pub(super) struct Share(File);

impl Share {
    /// Takes a share. Blocks while another process ends the workers of this directory.
    pub(super) fn take(directory: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(directory.join(FILE))?;
        let started = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::Error(cause)) => return Err(cause),
                Err(TryLockError::WouldBlock) if started.elapsed() >= WAIT_LIMIT => {
                    let why = "another process has had this directory for itself for too long";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if !std::mem::replace(&mut told, true) {
                info!("another orchestrator ends the workers, waiting for that");
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Gives it up. True if nobody else has one; then nobody gets one before this is dropped. Of
    /// those who give up at once, one is told so.
    pub(super) fn give_up(&self) -> io::Result<bool> {
        self.0.unlock()?;
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(cause)) => Err(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_one_to_give_up_its_share_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two] = [0, 1].map(|_| Share::take(directory.path()).unwrap());
        assert!(!one.give_up().unwrap());
        assert!(two.give_up().unwrap());
        drop(two);
        let three = Share::take(directory.path()).unwrap();
        assert!(three.give_up().unwrap());
    }

    #[test]
    fn share_of_the_dead_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        drop(Share::take(directory.path()).unwrap());
        assert!(Share::take(directory.path()).unwrap().give_up().unwrap());
    }
}
