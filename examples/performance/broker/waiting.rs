use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

/// Wakes whoever waits for a number.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>);

impl Waiting {
    pub(super) fn expect(&self, number: u64) -> oneshot::Receiver<()> {
        let (waiter, woken) = oneshot::channel();
        self.0.lock().expect("nothing panics here").insert(number, waiter);
        woken
    }

    pub(super) fn wake(&self, number: u64) {
        if let Some(waiter) = self.0.lock().expect("nothing panics here").remove(&number) {
            let _ = waiter.send(());
        }
    }
}
