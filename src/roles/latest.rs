//! One value that is always the newest, with those who wait for it to change.
//!
//! Like `tokio::sync::watch`, but whoever waits is woken in the order in which it began to: that
//! one draws by lot, and a simulation could not repeat a run from its seed.

use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;
use tokio::task::coop::consume_budget;

/// The sender is gone, and with it every further change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

#[derive(Debug)]
struct Shared<T> {
    current: RwLock<Current<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct Current<T> {
    value: T,
    /// Rises with every change.
    version: u64,
    closed: bool,
}

impl<T> Shared<T> {
    /// Every change leaves the value whole, so a panic elsewhere does not make it unusable.
    fn read(&self) -> RwLockReadGuard<'_, Current<T>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait when `change` says that something is new.
    fn change(&self, change: impl FnOnce(&mut Current<T>) -> bool) -> bool {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = change(&mut current);
        if is_new {
            current.version += 1;
        }
        drop(current);
        if is_new {
            self.changed.notify_waiters();
        }
        is_new
    }
}

/// Changes the value. Dropping it tells those who wait that nothing will follow.
#[derive(Debug)]
pub(super) struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Sees the value; a clone has seen what its original had.
#[derive(Debug)]
pub(super) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// The value at one moment; not to be kept, since it keeps the sender from changing it.
pub(super) struct Ref<'a, T>(RwLockReadGuard<'a, Current<T>>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

/// A value with its sender and a first receiver, which has seen it.
pub(super) fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    pub(super) fn new(value: T) -> Self {
        let current = RwLock::new(Current { value, version: 0, closed: false });
        Self { shared: Arc::new(Shared { current, changed: Notify::new() }) }
    }

    /// A receiver that has seen what stands there now.
    pub(super) fn subscribe(&self) -> Receiver<T> {
        let seen = self.shared.read().version;
        Receiver { shared: Arc::clone(&self.shared), seen }
    }

    pub(super) fn send(&self, value: T) {
        self.modify(|current| *current = value);
    }

    pub(super) fn modify(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// Wakes those who wait only if `change` says that something is new; returns what it said.
    pub(super) fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        self.shared.change(|current| change(&mut current.value))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.change(|current| {
            current.closed = true;
            // No new value, but news for those who wait.
            false
        });
        self.shared.changed.notify_waiters();
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Receiver<T> {
    /// The value as it is.
    pub(super) fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.read())
    }

    /// The value as it is, seen herewith.
    pub(super) fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let current = self.shared.read();
        self.seen = current.version;
        Ref(current)
    }

    /// Waits until there is something that this receiver has not seen, and counts it as seen.
    /// Cancel safe. A loop of nothing but this lets go of its thread now and then, so it can be
    /// aborted.
    pub(super) async fn changed(&mut self) -> Result<(), Closed> {
        consume_budget().await;
        loop {
            // Made before the look: a change between look and wait wakes it all the same.
            let notified = self.shared.changed.notified();
            let (version, closed) = {
                let current = self.shared.read();
                (current.version, current.closed)
            };
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if closed {
                return Err(Closed);
            }
            notified.await;
        }
    }

    /// Waits until `find` finds something in the value, which may be at once. Cancel safe.
    pub(super) async fn until<R>(
        &mut self,
        mut find: impl FnMut(&T) -> Option<R>,
    ) -> Result<R, Closed> {
        loop {
            if let Some(found) = find(&self.borrow_and_update()) {
                return Ok(found);
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn receiver_sees_each_change_once_and_then_the_end() {
        let (sender, mut receiver) = channel(1);
        sender.send(2);
        sender.send(3);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(*receiver.borrow(), 3);
        assert!(!sender.send_if_modified(|value| {
            *value = 4;
            false
        }));
        sender.modify(|value| *value += 1);
        assert_eq!(receiver.until(|value| (*value > 4).then_some(*value)).await, Ok(5));
        let mut late = receiver.clone();
        drop(sender);
        assert_eq!(receiver.changed().await, Err(Closed));
        assert_eq!(late.until(|value| (*value > 5).then_some(())).await, Err(Closed));
        assert_eq!(late.until(|value| (*value == 5).then_some(())).await, Ok(()));
    }

    #[tokio::test]
    async fn loop_that_takes_no_notice_of_the_end_can_be_aborted() {
        let (sender, mut receiver) = channel(());
        drop(sender);
        let forever = async {
            loop {
                assert_eq!(receiver.changed().await, Err(Closed));
            }
        };
        let ended: Result<(), _> = timeout(Duration::from_millis(10), forever).await;
        assert!(ended.is_err());
    }

    #[tokio::test]
    async fn those_who_wait_are_woken_in_the_order_in_which_they_began_to() {
        let (sender, receiver) = channel(false);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..100 {
            let (mut receiver, woken) = (receiver.clone(), Arc::clone(&woken));
            waiting.spawn(async move {
                receiver.changed().await.expect("a change");
                woken.lock().expect("not poisoned").push(number);
            });
            tokio::task::yield_now().await;
        }
        sender.send(true);
        waiting.join_all().await;
        assert_eq!(*woken.lock().expect("not poisoned"), (0..100).collect::<Vec<_>>());
    }
}
