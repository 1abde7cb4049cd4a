//! What an orchestrator sees, as metrics: written down whenever somebody asks for them.

use std::time::Duration;

use metrics::{Unit, describe_gauge, gauge};

use tokio::time::timeout;

use super::Handle;
use super::status::Life;
use crate::domain::message::Role;
use crate::ports::requests::Queue;

const READY: &str = "rideshare_ready";
const IN_CONTROL: &str = "rideshare_in_control";
const EPOCH: &str = "rideshare_epoch";
const WORKERS: &str = "rideshare_workers";
const WANTED: &str = "rideshare_slaves_wanted";
const PAUSED: &str = "rideshare_paused";
const IN_FLIGHT: &str = "rideshare_requests_in_flight";
const WAITING: &str = "rideshare_queue_messages";
const LAG: &str = "rideshare_worker_lag_records";
const APPLIED: &str = "rideshare_worker_applied_offset";

/// How long a carrier may take to say how long a queue is.
const COUNT_LIMIT: Duration = Duration::from_secs(1);

const ROLES: [Role; 5] =
    [Role::Joining, Role::Slave, Role::Promoting, Role::Master, Role::Draining];

/// Says what each of them is, once a process.
pub(super) fn describe() {
    describe_gauge!(READY, "Whether reads and writes can be taken: 1 or 0.");
    describe_gauge!(IN_CONTROL, "Whether this orchestrator is the controller: 1 or 0.");
    describe_gauge!(EPOCH, "The newest epoch that any worker has told of.");
    describe_gauge!(WORKERS, Unit::Count, "Workers that run, by what they say they do.");
    describe_gauge!(WANTED, Unit::Count, "Slaves that there are to be.");
    describe_gauge!(PAUSED, "Whether healing and scaling stand still: 1 or 0.");
    describe_gauge!(IN_FLIGHT, Unit::Count, "Requests that wait for a worker's answer.");
    describe_gauge!(
        WAITING,
        Unit::Count,
        "Messages of one or more requests each that wait in a queue for a worker."
    );
    describe_gauge!(LAG, Unit::Count, "Records that a worker lacks of what the furthest has.");
    describe_gauge!(APPLIED, "How far a worker has applied the log.");
}

impl Handle {
    /// Writes down what is seen at the moment of the workers, and what is wanted.
    pub async fn record_metrics(&self) {
        for (queue, name) in [(Queue::Read, "read"), (Queue::Write, "write")] {
            let waiting = timeout(COUNT_LIMIT, self.parts.requests.waiting(&queue)).await;
            if let Ok(Ok(waiting)) = waiting {
                gauge!(WAITING, "queue" => name).set(waiting as f64);
            }
        }
        let flag = |is_so: bool| f64::from(u8::from(is_so));
        let running: Vec<_> =
            self.workers().into_iter().filter(|worker| worker.state == Life::Running).collect();
        for role in ROLES {
            let count = running.iter().filter(|worker| worker.role == Some(role)).count();
            gauge!(WORKERS, "role" => role.as_str()).set(count as f64);
        }
        for worker in &running {
            let node = worker.node.as_str().to_owned();
            if let Some(lag) = worker.lag {
                gauge!(LAG, "node" => node.clone()).set(lag as f64);
            }
            if let Some(applied) = worker.applied {
                gauge!(APPLIED, "node" => node).set(applied.0 as f64);
            }
        }
        let epoch = running.iter().map(|worker| worker.epoch.0).max().unwrap_or_default();
        gauge!(EPOCH).set(epoch as f64);
        gauge!(READY).set(flag(self.unready().is_empty()));
        let scale = self.scale();
        gauge!(WANTED).set(f64::from(scale.slaves));
        gauge!(IN_FLIGHT).set(self.gateway.in_flight() as f64);
        gauge!(PAUSED).set(flag(scale.paused));
        gauge!(IN_CONTROL).set(flag(scale.outlook.is_some()));
    }
}
