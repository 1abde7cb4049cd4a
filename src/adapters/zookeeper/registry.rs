//! The ephemeral entries that this process wants to stand, and whether they do.
//!
//! Invariant: no I/O here. For each path only the newest data is kept, so calling often queues
//! nothing. The driver writes what is pending; callers wait for their write or a newer one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

/// What is to stand at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) path: String,
    pub(super) data: Vec<u8>,
    /// The number of the newest request to write it.
    pub(super) number: u64,
    pub(super) manner: Manner,
}

/// How an entry is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manner {
    /// Put it in place, whoever has it.
    #[default]
    Enter,
    /// Change what stands, most likely ours.
    Update,
    /// Put it back if its place is still empty: who replaced it is there to stay.
    Restore,
}

#[derive(Debug, Default)]
struct Entry {
    data: Vec<u8>,
    wanted: u64,
    written: Option<u64>,
    refused: Option<u64>,
    manner: Manner,
}

impl Entry {
    fn is_pending(&self) -> bool {
        self.written != Some(self.wanted)
    }
}

/// The wanted entries by path.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: Mutex<BTreeMap<String, Entry>>,
    wake: Notify,
    changed: watch::Sender<()>,
}

impl Registry {
    /// Asks for data at a path and says which number the write has. Data that stands already
    /// is not written again.
    pub(super) fn want(&self, path: &str, data: Vec<u8>) -> u64 {
        let mut entries = self.lock();
        let entry = entries.entry(path.to_owned()).or_default();
        if entry.wanted == 0 || entry.data != data {
            entry.data = data;
            entry.wanted += 1;
            if entry.manner == Manner::Restore {
                entry.manner = Manner::Enter;
            }
        }
        if entry.is_pending() {
            self.wake.notify_one();
        }
        entry.wanted
    }

    /// Waits until the write with this number, or a newer one, stands in the current session.
    pub(super) async fn written(&self, path: &str, number: u64) {
        let mut changed = self.changed.subscribe();
        while !self.stands(path, number) {
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until something may be pending.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Everything that does not stand yet.
    pub(super) fn pending(&self) -> Vec<Pending> {
        let entries = self.lock();
        let pending = entries.iter().filter(|(_, entry)| entry.is_pending());
        pending
            .map(|(path, entry)| Pending {
                path: path.clone(),
                data: entry.data.clone(),
                number: entry.wanted,
                manner: entry.manner,
            })
            .collect()
    }

    /// Notes that a pending entry stands now.
    pub(super) fn record(&self, done: &Pending) {
        if let Some(entry) = self.lock().get_mut(&done.path) {
            entry.written = Some(done.number);
            entry.manner = Manner::Update;
        }
        self.changed.send_replace(());
    }

    /// Notes that the server refused a pending entry, which stays pending. True when that is news.
    pub(super) fn refuse(&self, pending: &Pending) -> bool {
        let mut entries = self.lock();
        let entry = entries.get_mut(&pending.path);
        entry.is_some_and(|entry| entry.refused.replace(pending.number) != Some(pending.number))
    }

    /// Notes that a path has no znode. If one is wanted there, it is pending again. What was asked
    /// for since the last write is news, and is to stand whoever came into its place meanwhile.
    pub(super) fn vanished(&self, path: &str) {
        if let Some(entry) = self.lock().get_mut(path) {
            let is_news = entry.is_pending();
            if entry.written.take().is_some() {
                entry.manner = if is_news { Manner::Enter } else { Manner::Restore };
                self.wake.notify_one();
            }
        }
    }

    /// Notes that the session is in doubt: nothing is known to stand any more.
    pub(super) fn forget(&self) {
        for entry in self.lock().values_mut() {
            entry.written = None;
            entry.manner = Manner::Enter;
        }
    }

    fn stands(&self, path: &str, number: u64) -> bool {
        let entries = self.lock();
        let written = entries.get(path).and_then(|entry| entry.written);
        written.is_some_and(|written| written >= number)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn only(registry: &Registry) -> Pending {
        let [pending] = registry.pending().try_into().unwrap();
        pending
    }

    #[tokio::test]
    async fn many_requests_leave_one_write_that_serves_them_all() {
        let registry = Registry::default();
        let numbers: Vec<u64> = (0..100_u8).map(|byte| registry.want("/n", vec![byte])).collect();
        let pending = only(&registry);
        assert_eq!(pending.data, [99]);
        assert_eq!(registry.written("/n", numbers[0]).now_or_never(), None);
        registry.record(&pending);
        for number in numbers {
            assert_eq!(registry.written("/n", number).now_or_never(), Some(()));
        }
    }

    #[tokio::test]
    async fn request_during_a_write_is_written_after_it() {
        let registry = Registry::default();
        registry.want("/n", vec![1]);
        let first = only(&registry);
        let second = registry.want("/n", vec![2]);
        registry.record(&first);
        assert_eq!(registry.written("/n", second).now_or_never(), None);
        assert_eq!(
            only(&registry),
            Pending { path: "/n".to_owned(), data: vec![2], number: 2, manner: Manner::Update }
        );
    }

    #[tokio::test]
    async fn request_is_entered_though_what_it_replaces_vanishes_first() {
        let registry = Registry::default();
        registry.want("/n", vec![1]);
        registry.record(&only(&registry));
        registry.want("/n", vec![2]);
        registry.vanished("/n");
        assert_eq!(only(&registry).manner, Manner::Enter);
        registry.record(&only(&registry));
        registry.vanished("/n");
        assert_eq!(only(&registry).manner, Manner::Restore, "nothing was asked for since");
    }

    #[tokio::test]
    async fn data_that_stands_is_not_written_again() {
        let registry = Registry::default();
        registry.want("/n", vec![1]);
        registry.record(&only(&registry));
        let number = registry.want("/n", vec![1]);
        assert_eq!(registry.pending(), []);
        assert_eq!(registry.written("/n", number).now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn refused_entry_stays_pending_and_is_news_once() {
        let registry = Registry::default();
        registry.want("/n", vec![1]);
        let first = only(&registry);
        assert!(registry.refuse(&first));
        assert!(!registry.refuse(&first));
        registry.want("/n", vec![2]);
        assert!(registry.refuse(&only(&registry)));
    }

    #[tokio::test]
    async fn doubted_session_makes_everything_pending() {
        let registry = Registry::default();
        registry.want("/m", vec![1]);
        let number = registry.want("/n", vec![1]);
        for pending in registry.pending() {
            registry.record(&pending);
        }
        registry.forget();
        assert_eq!(registry.pending().len(), 2);
        assert_eq!(registry.written("/n", number).now_or_never(), None);
    }

    #[tokio::test]
    async fn vanished_entry_is_pending_and_wakes_the_driver() {
        let registry = Registry::default();
        registry.want("/n", vec![1]);
        registry.woken().await;
        registry.record(&only(&registry));
        registry.vanished("/stranger");
        assert_eq!(registry.woken().now_or_never(), None);
        registry.vanished("/n");
        assert_eq!(registry.woken().now_or_never(), Some(()));
        assert_eq!(only(&registry).manner, Manner::Restore);
    }
}
