//! One orchestrator process.

use std::ops::Deref;
use std::process::Child;
use std::time::Instant;

use crate::orchestrator::{LOOK_PAUSE, Orchestrator};
pub(crate) use crate::orchestrator::{SETTLE_LIMIT, eventually};

/// A running orchestrator; ended in order when dropped.
pub(crate) struct Front {
    orchestrator: Orchestrator,
    process: Option<Child>,
}

impl Front {
    pub(super) fn new(url: String, process: Child) -> Self {
        Self { orchestrator: Orchestrator::new(url), process: Some(process) }
    }

    /// SIGKILL, in the middle of whatever it does. Returns once it is gone.
    pub(crate) fn kill(mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        terminate(self.process.take().unwrap()).await
    }
}

impl Deref for Front {
    type Target = Orchestrator;

    fn deref(&self) -> &Orchestrator {
        &self.orchestrator
    }
}

impl Drop for Front {
    /// A test that failed: the workers are ended by their parent's orderly end.
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let _ = std::process::Command::new("kill").arg(process.id().to_string()).status();
        let started = Instant::now();
        while matches!(process.try_wait(), Ok(None)) {
            if started.elapsed() > SETTLE_LIMIT {
                let _ = process.kill();
            }
            std::thread::sleep(LOOK_PAUSE);
        }
    }
}

/// SIGTERM; returns the exit code.
pub(crate) async fn terminate(mut child: Child) -> Option<i32> {
    signal("TERM", u64::from(child.id()));
    eventually("the end of a process", SETTLE_LIMIT, async || child.try_wait().unwrap())
        .await
        .code()
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, pid: u64) {
    assert!(try_signal(name, pid), "no process {pid}");
}

/// The same to one that may have ended; whether it was there.
pub(crate) fn try_signal(name: &str, pid: u64) -> bool {
    let pid = pid.to_string();
    std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap().success()
}

/// Whether a process of this pid runs; one that has ended and was not waited for does not.
pub(crate) fn runs(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
