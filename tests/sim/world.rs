//! What all parts of one simulated run share: chance, the plan of faults, the trace and the oracle.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::faults::FaultPlan;
use crate::host::{Host, Trigger};
use crate::oracle::Oracle;

/// Where the clock of every run begins, in milliseconds since 1970.
const FIRST_MOMENT_MS: u64 = 1_700_000_000_000;

/// One run.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) plan: FaultPlan,
    pub(crate) counts: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) triggers: Mutex<Vec<Trigger>>,
    oracle: Mutex<Oracle>,
    hosts: Mutex<Vec<Arc<Host>>>,
    trace: Mutex<DefaultHasher>,
    tells: bool,
    started: Instant,
    calm: AtomicBool,
    drawn: AtomicU64,
    violation: Mutex<Option<String>>,
    violated: Notify,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(seed: u64, tells: bool) -> Arc<Self> {
        let dice = Dice::new(seed);
        let plan = FaultPlan::draw(&dice);
        Arc::new(Self {
            dice,
            counts: Mutex::default(),
            triggers: Mutex::default(),
            oracle: Mutex::new(Oracle::new(plan.retention)),
            plan,
            hosts: Mutex::default(),
            trace: Mutex::new(DefaultHasher::new()),
            tells,
            started: Instant::now(),
            calm: AtomicBool::new(false),
            drawn: AtomicU64::new(0),
            violation: Mutex::default(),
            violated: Notify::new(),
        })
    }

    /// Microseconds since the start of the run.
    pub(crate) fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The time of day, in milliseconds since 1970, where nobody's clock is wrong.
    pub(crate) fn true_time_ms(&self) -> u64 {
        FIRST_MOMENT_MS + self.elapsed_us() / 1_000
    }

    /// A name that no other of this run is.
    pub(crate) fn unique(&self) -> String {
        format!("u{:08}", self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes a step into the trace, which must be the same whenever the seed is.
    pub(crate) fn note(&self, who: &str, what: &str, detail: impl FnOnce() -> String) {
        let now = self.elapsed_us();
        let detail = detail();
        let mut trace = lock(&self.trace);
        (now, who, what, &detail).hash(&mut *trace);
        drop(trace);
        if self.tells {
            eprintln!("{:>10.3} ms  {who:<14} {what} {detail}", now as f64 / 1_000.0);
        }
    }

    pub(crate) fn trace_hash(&self) -> u64 {
        lock(&self.trace).finish()
    }

    /// Counts a fault that happens now.
    pub(crate) fn count(&self, fault: &'static str) {
        *lock(&self.counts).entry(fault).or_default() += 1;
    }

    /// Whether a fault of this probability happens now; counted if it does.
    pub(crate) fn strikes(&self, fault: &'static str, per_mille: u64) -> bool {
        let strikes = !self.is_calm() && self.dice.chance(per_mille);
        if strikes {
            self.count(fault);
        }
        strikes
    }

    /// From now on nothing fails by itself any more.
    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
        lock(&self.triggers).clear();
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub(crate) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        lock(&self.oracle)
    }

    /// Ends the run with the first sentence that is not empty.
    pub(crate) fn require(&self, verdict: Result<(), String>) {
        let Err(what) = verdict else { return };
        let mut violation = lock(&self.violation);
        if violation.is_none() {
            *violation = Some(format!("at {} ms: {what}", self.elapsed_us() / 1_000));
            drop(violation);
            self.note("oracle", "violation", || what);
            self.violated.notify_waiters();
        }
    }

    pub(crate) fn violation(&self) -> Option<String> {
        lock(&self.violation).clone()
    }

    /// Waits for a violation.
    pub(crate) async fn violated(&self) -> String {
        loop {
            let violated = self.violated.notified();
            if let Some(what) = self.violation() {
                return what;
            }
            violated.await;
        }
    }

    pub(crate) fn add_host(&self, host: Arc<Host>) {
        lock(&self.hosts).push(host);
    }

    /// The processes that live, in the order in which they were started.
    pub(crate) fn living(&self) -> Vec<Arc<Host>> {
        let mut hosts = lock(&self.hosts);
        hosts.retain(|host| !host.is_dead());
        hosts.clone()
    }

    /// Lets go of everything that holds this world, so that it can be freed.
    pub(crate) fn dissolve(&self) {
        lock(&self.hosts).clear();
    }
}
