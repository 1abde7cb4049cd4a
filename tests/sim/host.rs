//! One simulated process: it may be slow, stand still, have a wrong clock, or die at any step.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rideshare::domain::ids::Offset;
use rideshare::domain::message::Role;
use rideshare::roles::ambient::Ambient;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::world::{World, lock};

/// What kind of process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Worker,
    Orchestrator,
}

/// A process.
pub(crate) struct Host {
    pub(crate) world: Arc<World>,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    dead: bool,
    paused: bool,
    /// How wrong its clock is.
    clock_error_ms: i64,
    /// Every access to its disk takes up to so much longer.
    disk_delay_ms: u64,
    role: Option<Role>,
    applied: Option<Offset>,
    main_task: Option<AbortHandle>,
}

/// Kills a process at the n-th step of some kind from now.
#[derive(Clone, Debug)]
pub(crate) struct Trigger {
    /// Only this process.
    pub(crate) host: Option<String>,
    /// Only a worker in this role.
    pub(crate) role: Option<Role>,
    /// Only steps of this name.
    pub(crate) step: Option<&'static str>,
    pub(crate) steps_left: u64,
}

impl Trigger {
    fn is_met(&self, host: &Host, step: &str) -> bool {
        host.kind == Kind::Worker
            && self.host.as_ref().is_none_or(|name| *name == host.name)
            && self.role.is_none_or(|role| host.role() == Some(role))
            && self.step.is_none_or(|name| name == step)
    }
}

impl Host {
    pub(crate) fn new(world: &Arc<World>, name: &str, kind: Kind) -> Arc<Self> {
        let host = Arc::new(Self {
            world: Arc::clone(world),
            name: name.to_owned(),
            kind,
            state: Mutex::default(),
            changed: Notify::new(),
        });
        world.add_host(Arc::clone(&host));
        host
    }

    /// Told once its main task runs; it is aborted when the process dies.
    pub(crate) fn runs(&self, main_task: AbortHandle) {
        lock(&self.state).main_task = Some(main_task);
    }

    pub(crate) fn is_dead(&self) -> bool {
        lock(&self.state).dead
    }

    /// Kills the process: not one more step of it has any effect.
    pub(crate) fn die(&self) {
        let main_task = {
            let mut state = lock(&self.state);
            state.dead = true;
            state.main_task.take()
        };
        self.world.note(&self.name, "dies", String::new);
        if let Some(main_task) = main_task {
            main_task.abort();
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        lock(&self.state).paused
    }

    /// Stands still, or goes on.
    pub(crate) fn pause(&self, paused: bool) {
        lock(&self.state).paused = paused;
        self.world.note(&self.name, if paused { "paused" } else { "resumed" }, String::new);
        self.changed.notify_waiters();
    }

    pub(crate) fn set_clock_error(&self, milliseconds: i64) {
        lock(&self.state).clock_error_ms = milliseconds;
    }

    pub(crate) fn set_disk_delay(&self, most_ms: u64) {
        lock(&self.state).disk_delay_ms = most_ms;
    }

    pub(crate) fn role(&self) -> Option<Role> {
        lock(&self.state).role
    }

    pub(crate) fn set_role(&self, role: Role) {
        lock(&self.state).role = Some(role);
    }

    /// How far its database is.
    pub(crate) fn applied(&self) -> Option<Offset> {
        lock(&self.state).applied
    }

    pub(crate) fn set_applied(&self, applied: Option<Offset>) {
        lock(&self.state).applied = applied;
    }

    /// Clock and names as this process has them.
    pub(crate) fn ambient(self: &Arc<Self>) -> Ambient {
        let (clock, names) = (Arc::clone(self), Arc::clone(self));
        Ambient {
            now_ms: Arc::new(move || {
                let error = lock(&clock.state).clock_error_ms;
                clock.world.true_time_ms().saturating_add_signed(error)
            }),
            unique: Arc::new(move || names.world.unique()),
        }
    }

    /// A step that reaches outside: may take a while, come late, or be the last one.
    pub(crate) async fn step(&self, step: &'static str) {
        self.gate(step).await;
        let plan = &self.world.plan;
        if self.world.strikes("step delayed", plan.step_delayed) {
            sleep(self.world.dice.up_to_ms(plan.step_delay_ms)).await;
            self.wait_here().await;
        }
    }

    /// A step on its disk.
    pub(crate) async fn disk_step(&self, step: &'static str) {
        self.step(step).await;
        let delay_ms = lock(&self.state).disk_delay_ms;
        if delay_ms > 0 {
            sleep(self.world.dice.up_to_ms(delay_ms)).await;
            self.wait_here().await;
        }
    }

    /// A step that draws no delay, for futures that are dropped and made again all the time.
    pub(crate) async fn gate(&self, step: &'static str) {
        self.world.note(&self.name, step, String::new);
        if self.is_struck(step) {
            self.world.count("crash at a step");
            self.die();
        }
        self.wait_here().await;
    }

    fn is_struck(&self, step: &str) -> bool {
        let mut triggers = lock(&self.world.triggers);
        let met = triggers.iter().position(|trigger| trigger.is_met(self, step));
        let Some(index) = met else { return false };
        if triggers[index].steps_left > 0 {
            triggers[index].steps_left -= 1;
            return false;
        }
        triggers.remove(index);
        true
    }

    /// Waits while the process stands still; forever when it is dead.
    pub(crate) async fn wait_here(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_dead() {
                std::future::pending::<()>().await;
            }
            if !self.is_paused() {
                return;
            }
            changed.await;
        }
    }

    /// Waits a random time, as what is on its way from here does.
    pub(crate) fn flight_time(&self, most_ms: u64) -> Duration {
        self.world.dice.up_to_ms(most_ms)
    }
}
