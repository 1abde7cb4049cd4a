//! The workers of a state directory, and the processes that they are.
//!
//! Invariant: records change under the one lock, and nothing is awaited under it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{info, warn};

use super::identity::{self, Identity};
use super::records::{Record, Records};
use super::{Commander, ProcessSettings};
use crate::domain::ids::{NodeId, Pid};
use crate::ports::containers::{Container, ContainerState, ContainersError, StartAs};

/// The exit code of a process whose own one nobody saw, and of one that was killed.
const KILLED: i32 = 137;
/// A shell's way to tell of a signal.
const SIGNALLED: i32 = 128;
/// A start that was not finished within this was broken off.
const START_LIMIT_MS: u64 = 5_000;

/// How often a process is looked at that cannot be waited for: the kernel is out of something.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Why a worker was not started.
pub(super) enum StartError {
    /// There is no such worker.
    Unknown,
    /// It did not work; nothing is left of it.
    Failed(anyhow::Error),
}

impl<T: Into<anyhow::Error>> From<T> for StartError {
    fn from(cause: T) -> Self {
        Self::Failed(cause.into())
    }
}

pub(super) struct Shared {
    records: Records,
    command: Commander,
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    workers: Mutex<BTreeMap<NodeId, Worker>>,
    /// Whose databases are being deleted.
    deleting: Mutex<BTreeSet<NodeId>>,
    list: watch::Sender<Vec<Container>>,
}

struct Worker {
    record: Record,
    /// Present while it runs.
    process: Option<Process>,
    /// It is being removed, and not to be started again.
    is_leaving: bool,
}

/// A process that ran a moment ago; cheap to clone.
#[derive(Clone)]
pub(super) struct Process {
    identity: Identity,
    handle: Arc<OwnedFd>,
    ended: watch::Receiver<bool>,
    /// Of the task that waits for its end.
    waiting: AbortHandle,
}

impl Process {
    pub(super) fn pid(&self) -> Pid {
        Pid(self.identity.pid)
    }

    /// Sends a signal; one that has ended does not mind.
    pub(super) fn signal(&self, signal: Signal) {
        match pidfd_send_signal(&*self.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(cause) => warn!(pid = self.identity.pid, error = %cause, "signal not sent"),
        }
    }

    /// Waits until it has ended and is listed as exited.
    pub(super) async fn ended(&self) {
        // The sender is dropped only after it has said so, or with the runtime.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

/// A worker that is being removed.
pub(super) struct Removal {
    shared: Arc<Shared>,
    node: NodeId,
}

impl Removal {
    /// Sets its database aside: from now on that alone is known of it.
    pub(super) fn finish(self) -> io::Result<()> {
        let mut workers = self.shared.lock();
        if let Some(worker) = workers.get(&self.node) {
            let removed_at_ms = Some((self.shared.now_ms)());
            self.shared.records.save(&Record { removed_at_ms, ..worker.record.clone() })?;
        }
        workers.remove(&self.node);
        self.shared.publish(&workers);
        Ok(())
    }
}

/// A database that was set aside and is being deleted.
pub(super) struct Surplus {
    shared: Arc<Shared>,
    pub(super) node: NodeId,
}

impl Surplus {
    /// Forgets it. Last: what is not yet deleted is not forgotten.
    pub(super) fn forget(self) -> io::Result<()> {
        self.shared.records.remove(&self.node)
    }
}

impl Drop for Surplus {
    fn drop(&mut self) {
        self.shared.deleting().remove(&self.node);
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if let Some(worker) = self.shared.lock().get_mut(&self.node) {
            worker.is_leaving = false;
        }
    }
}

impl Shared {
    pub(super) fn open(settings: ProcessSettings) -> io::Result<Self> {
        Ok(Self {
            records: Records::open(&settings.directory)?,
            command: settings.command,
            now_ms: settings.now_ms,
            workers: Mutex::default(),
            deleting: Mutex::default(),
            list: watch::Sender::default(),
        })
    }

    pub(super) fn directory(&self) -> &Path {
        self.records.directory()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Vec<Container>> {
        self.list.subscribe()
    }

    /// The process of a worker, while it runs.
    pub(super) fn running(&self, node: &NodeId) -> Result<Option<Process>, ContainersError> {
        let workers = self.lock();
        let worker = workers.get(node).ok_or_else(|| ContainersError::NotFound(node.clone()))?;
        Ok(worker.process.clone())
    }

    pub(super) fn all_running(&self) -> Vec<(NodeId, Process)> {
        let workers = self.lock();
        let running = |(node, it): (&NodeId, &Worker)| Some((node.clone(), it.process.clone()?));
        workers.iter().filter_map(running).collect()
    }

    /// Ends the tasks that wait for processes; the processes go on.
    pub(super) fn forget(&self) {
        for (_, process) in self.all_running() {
            process.waiting.abort();
        }
    }

    pub(super) fn start(
        self: &Arc<Self>,
        node: &NodeId,
        start_as: StartAs,
    ) -> Result<(), StartError> {
        let mut workers = self.lock();
        if workers.contains_key(node) {
            return Err(StartError::Failed(anyhow!("there is a worker of this name")));
        }
        let worker = self.spawn(node, start_as);
        if worker.is_err() {
            // What was half made is removed; what is not is listed as exited by and by.
            let _ = self.records.remove(node);
        }
        workers.insert(node.clone(), worker?);
        self.publish(&workers);
        Ok(())
    }

    pub(super) fn restart(self: &Arc<Self>, node: &NodeId) -> Result<(), StartError> {
        let mut workers = self.lock();
        match workers.get(node) {
            None => return Err(StartError::Unknown),
            Some(worker) if worker.is_leaving => return Err(StartError::Unknown),
            Some(worker) if worker.process.is_some() => return Ok(()),
            Some(_) => {}
        }
        let worker = self.spawn(node, StartAs::Slave)?;
        workers.insert(node.clone(), worker);
        self.publish(&workers);
        Ok(())
    }

    /// Starts a process, with a record before and after: whoever crashes in between leaves one
    /// that says what to look for.
    fn spawn(self: &Arc<Self>, node: &NodeId, start_as: StartAs) -> Result<Worker, StartError> {
        let changed_at_ms = (self.now_ms)();
        let mut record = Record {
            node: node.clone(),
            process: None,
            exit: None,
            changed_at_ms,
            removed_at_ms: None,
        };
        self.records.save(&record).context("writing the worker's record")?;
        let log = self.records.log(node).context("opening the worker's log")?;
        let mut command = (self.command)(node, start_as);
        command
            .env(identity::NODE, node.as_str())
            .env(identity::DIRECTORY, self.records.directory())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let mut child = Command::from(command).spawn().context("starting the process")?;
        let started = child
            .id()
            .and_then(|pid| Some((open(pid).ok()?, Identity::of_child(pid)?)))
            .ok_or_else(|| anyhow!("the process cannot be watched"));
        let (handle, identity) = match started {
            Ok(started) => started,
            Err(cause) => {
                let _ = child.start_kill();
                return Err(cause.into());
            }
        };
        record.process = Some(identity.clone());
        if let Err(cause) = self.records.save(&record) {
            let _ = child.start_kill();
            return Err(cause.into());
        }
        info!(worker = %node, pid = identity.pid, "worker started");
        let process = self.attend(node.clone(), identity, handle, Some(child));
        Ok(Worker { record, process: Some(process), is_leaving: false })
    }

    /// Waits for the end of a process in the background.
    fn attend(
        self: &Arc<Self>,
        node: NodeId,
        identity: Identity,
        handle: OwnedFd,
        child: Option<Child>,
    ) -> Process {
        let handle = Arc::new(handle);
        let (ended_sender, ended) = watch::channel(false);
        let shared = Arc::clone(self);
        let (of, by) = (identity.clone(), Arc::clone(&handle));
        let waiting = tokio::spawn(async move {
            let code = match child {
                Some(mut child) => child.wait().await.ok().map(code_of),
                None => {
                    wait_for_stranger(by, &of).await;
                    None
                }
            };
            shared.note_end(&node, &of, code);
            ended_sender.send_replace(true);
        });
        Process { identity, handle, ended, waiting: waiting.abort_handle() }
    }

    fn note_end(&self, node: &NodeId, identity: &Identity, code: Option<i32>) {
        let mut workers = self.lock();
        let Some(worker) = workers.get_mut(node) else { return };
        if worker.record.process.as_ref() != Some(identity) {
            return;
        }
        worker.process = None;
        worker.record.exit = code;
        worker.record.changed_at_ms = (self.now_ms)();
        info!(worker = %node, pid = identity.pid, code, "worker exited");
        let record = worker.record.clone();
        // First the news: an election waits for it.
        self.publish(&workers);
        if code.is_some()
            && let Err(cause) = self.records.save(&record)
        {
            warn!(worker = %node, error = %cause, "exit code not written");
        }
    }

    /// Marks a worker that has ended as leaving. None when there is no such worker.
    pub(super) fn begin_removal(
        self: &Arc<Self>,
        node: &NodeId,
    ) -> Result<Option<Removal>, ContainersError> {
        let mut workers = self.lock();
        let Some(worker) = workers.get_mut(node) else { return Ok(None) };
        if worker.process.is_some() || worker.is_leaving {
            let why = anyhow!("worker {node} runs, or is being removed");
            return Err(ContainersError::Unavailable(why));
        }
        worker.is_leaving = true;
        Ok(Some(Removal { shared: Arc::clone(self), node: node.clone() }))
    }

    /// Whose databases are set aside, the last one first.
    pub(super) fn set_aside(&self) -> io::Result<Vec<NodeId>> {
        Ok(self.records.load_aside()?.into_iter().map(|record| record.node).collect())
    }

    /// The next database to delete where only so many are kept; nobody brings it back any more.
    pub(super) fn next_surplus(self: &Arc<Self>, keep: usize) -> io::Result<Option<Surplus>> {
        let mut deleting = self.deleting();
        let aside = self.records.load_aside()?.into_iter().skip(keep);
        let next = aside.map(|record| record.node).find(|node| !deleting.contains(node));
        deleting.extend(next.clone());
        Ok(next.map(|node| Surplus { shared: Arc::clone(self), node }))
    }

    fn deleting(&self) -> MutexGuard<'_, BTreeSet<NodeId>> {
        self.deleting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a worker whose database is set aside. False where there is none.
    pub(super) fn bring_back(self: &Arc<Self>, node: &NodeId) -> io::Result<bool> {
        let deleting = self.deleting();
        let aside = self.records.load_aside()?.into_iter();
        let mut aside = aside.filter(|record| !deleting.contains(&record.node));
        let Some(record) = aside.find(|record| record.node == *node) else { return Ok(false) };
        let changed_at_ms = (self.now_ms)();
        let exit = Some(KILLED);
        self.records.save(&Record { removed_at_ms: None, exit, changed_at_ms, ..record })?;
        self.look()?;
        Ok(true)
    }

    /// Takes in what the records say: workers of an earlier orchestrator, or of one beside this.
    pub(super) fn look(self: &Arc<Self>) -> io::Result<()> {
        let mut workers = self.lock();
        let records = self.records.load()?;
        let mut changed = false;
        workers.retain(|node, worker| {
            let stays = worker.process.is_some()
                || worker.is_leaving
                || records.iter().any(|record| record.node == *node);
            changed |= !stays;
            stays
        });
        for record in records {
            let known = workers.get(&record.node);
            let is_known = known.is_some_and(|worker| {
                worker.process.is_some() || worker.is_leaving || worker.record == record
            });
            if is_known || !self.is_whole(&record) {
                continue;
            }
            let worker = self.adopt(record);
            let same = known.is_some_and(|known| {
                known.record.process == worker.record.process
                    && worker.process.is_none()
                    && known.record.exit.is_some() >= worker.record.exit.is_some()
            });
            if !same {
                workers.insert(worker.record.node.clone(), worker);
                changed = true;
            }
        }
        if changed {
            self.publish(&workers);
        }
        Ok(())
    }

    /// Whether whoever writes this record has finished, or had its time.
    fn is_whole(&self, record: &Record) -> bool {
        record.process.is_some() || (self.now_ms)() > record.changed_at_ms + START_LIMIT_MS
    }

    /// A worker as its record tells, with its process if that still runs.
    fn adopt(self: &Arc<Self>, mut record: Record) -> Worker {
        if record.process.is_none() {
            record.process = identity::find(record.node.as_str(), self.records.directory());
            if let Err(cause) = self.records.save(&record) {
                warn!(worker = %record.node, error = %cause, "record not written");
            }
        }
        let identity = record.process.clone().filter(|_| record.exit.is_none());
        let process = identity.and_then(|identity| {
            let handle = open(identity.pid).ok()?;
            // Only now: the handle is of whoever has the pid, and keeps to it from here on.
            identity.runs().then(|| self.attend(record.node.clone(), identity, handle, None))
        });
        match &process {
            Some(it) => info!(worker = %record.node, pid = %it.pid(), "worker taken on"),
            None => info!(worker = %record.node, "worker found dead"),
        }
        Worker { record, process, is_leaving: false }
    }

    fn publish(&self, workers: &BTreeMap<NodeId, Worker>) {
        self.list.send_replace(workers.values().map(Worker::container).collect());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    fn container(&self) -> Container {
        let state = match &self.process {
            Some(process) => ContainerState::Running { pid: process.pid() },
            None => ContainerState::Exited { code: self.record.exit.unwrap_or(KILLED) },
        };
        let Record { node, changed_at_ms, .. } = &self.record;
        Container { node: node.clone(), state, changed_at_ms: *changed_at_ms }
    }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("no pid"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// A pidfd becomes readable when its process has ended.
async fn wait_for_stranger(handle: Arc<OwnedFd>, identity: &Identity) {
    #[expect(deprecated, reason = "unsafe only for what lies about its descriptor; ours owns it")]
    let watched = AsyncFd::with_interest(handle, Interest::READABLE);
    match watched {
        Ok(handle) => drop(handle.readable().await),
        Err(cause) => {
            warn!(error = %cause, "a process cannot be watched, looking now and then");
            while identity.runs() {
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        }
    }
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| SIGNALLED + signal)).unwrap_or(KILLED)
}
