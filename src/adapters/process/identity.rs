//! Tells one process from another that has, or had, the same pid.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The variable that names a worker in its environment.
pub(super) const NODE: &str = "RIDESHARE_WORKER__NODE";
/// The variable that names the state directory in a worker's environment.
pub(super) const DIRECTORY: &str = "RIDESHARE_CONTAINERS__STATE_DIR";

/// Where in `/proc/<pid>/stat`, counted after the name, the state and the start time stand.
/// Source: proc_pid_stat(5), fields 3 and 22.
const STATE: usize = 0;
const START_TIME: usize = 19;

/// One process, for all times: the kernel gives a pid again, but not at the same tick of the same
/// boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// Ticks since boot.
    start_time: u64,
    boot: String,
}

impl Identity {
    /// The process that has this pid now, if one runs.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Self::read(pid, runs)
    }

    /// A child that was not waited for yet, even if it has ended already: its pid is still its own.
    pub(super) fn of_child(pid: u32) -> Option<Self> {
        Self::read(pid, |_| true)
    }

    fn read(pid: u32, is_wanted: impl Fn(&str) -> bool) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_time) = parse(&stat)?;
        if !is_wanted(state) {
            return None;
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self { pid, start_time, boot: boot.trim().to_owned() })
    }

    /// Whether it still runs. A process that has ended and was not waited for does not.
    pub(super) fn runs(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

/// Neither ended nor about to.
fn runs(state: &str) -> bool {
    !matches!(state, "Z" | "X" | "x")
}

/// The state and the start time of a process.
fn parse(stat: &str) -> Option<(&str, u64)> {
    // The name may hold blanks and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    Some((*fields.get(STATE)?, fields.get(START_TIME)?.parse().ok()?))
}

/// Finds a worker by what stands in its environment, where nobody wrote down its pid: whoever
/// started it crashed at that moment.
pub(super) fn find(node: &str, directory: &Path) -> Option<Identity> {
    let wanted = [entry(NODE, OsStr::new(node)), entry(DIRECTORY, directory.as_os_str())];
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // Processes of others cannot be read, and are no workers of ours.
        let Ok(environment) = std::fs::read(process.path().join("environ")) else { continue };
        let has = |wanted: &Vec<u8>| environment.split(|byte| *byte == 0).any(|it| it == wanted);
        if wanted.iter().all(has) {
            // Its own children have the same environment, but were not started by us: the worker
            // leads its group.
            if let Some(identity) = Identity::of(pid).filter(|_| leads_its_group(pid)) {
                return Some(identity);
            }
        }
    }
    None
}

fn entry(name: &str, value: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}

fn leads_its_group(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let group = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2));
    group.and_then(|group| group.parse().ok()) == Some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_process_is_recognised_and_no_other() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.runs());
        let earlier = Identity { start_time: own.start_time - 1, ..own.clone() };
        assert!(!earlier.runs(), "another process had this pid before");
        let before_reboot = Identity { boot: "another".to_owned(), ..own };
        assert!(!before_reboot.runs());
    }

    #[test]
    fn process_that_nobody_waited_for_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let started = std::time::Instant::now();
        assert!(Identity::of_child(child.id()).is_some());
        while Identity::of(child.id()).is_some() {
            assert!(started.elapsed().as_secs() < 10, "the process ends");
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }

    #[test]
    fn name_with_blanks_and_parentheses_is_no_obstacle() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(parse(&format!("12 (a) b (c) S {tail}")), Some(("S", 777)));
        assert_eq!(parse("nonsense"), None);
    }
}
