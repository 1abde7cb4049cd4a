//! Threads that own connections and run jobs on them, so that no job blocks the runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use tokio::sync::{mpsc, oneshot};
use tracing::error;

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A job was not carried out, or not to its end: its thread has ended, or the job panicked.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the database thread has stopped")]
pub(super) struct Stopped;

/// Some threads, each with something of its own to work on, and one bounded queue of jobs.
///
/// Dropping the pool waits for the jobs that run; those whose caller has gone are not begun.
#[derive(Debug)]
pub(super) struct Pool<T> {
    jobs: Option<mpsc::Sender<Job<T>>>,
    threads: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static> Pool<T> {
    /// Starts one thread for each of `owned`.
    pub(super) fn start(name: &str, owned: Vec<T>, queue: usize) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job<T>>(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        let spawn = |mut owned: T| {
            let receiver = Arc::clone(&receiver);
            Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(job) = next_job(&receiver) {
                    // A panic ends its job alone; what it had begun on the connection is undone
                    // while the stack unwinds.
                    if catch_unwind(AssertUnwindSafe(|| job(&mut owned))).is_err() {
                        error!("database job panicked");
                    }
                }
            })
        };
        let threads = owned.into_iter().map(spawn).collect::<Result<_, _>>()?;
        Ok(Self { jobs: Some(sender), threads })
    }

    /// Runs a job on one of the threads. The job may ask whether its caller has gone.
    ///
    /// A job that was begun goes on when the future is dropped, unless it asks.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut T, &dyn Fn() -> bool) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (reply, answer) = oneshot::channel();
        let job: Job<T> = Box::new(move |owned| {
            if reply.is_closed() {
                return;
            }
            let result = job(owned, &|| reply.is_closed());
            // The caller may have gone by now; then nobody wants the result.
            drop(reply.send(result));
        });
        let jobs = self.jobs.as_ref().ok_or(Stopped)?;
        jobs.send(job).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}

fn next_job<T>(receiver: &Mutex<mpsc::Receiver<Job<T>>>) -> Option<Job<T>> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // Its panics were caught and told.
            drop(thread.join());
        }
    }
}
