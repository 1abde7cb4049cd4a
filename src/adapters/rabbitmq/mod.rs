//! RabbitMQ as the log, as the carrier of requests, and as the progress feed.
//!
//! A process has two supervised connections: one publishes, the other only consumes. A broker
//! that runs out of memory or disk stops reading from connections that publish, and a worker must
//! be able to go on acknowledging what it tails.
//!
//! Everything here lives by generations: whoever holds a channel loses it with its connection,
//! waits for the next one, and declares and subscribes again. Invariant: a future of the client
//! crate that talks to the broker is never dropped half way, as that panics the client's own
//! tasks; such futures run in tasks of this module.

mod address;
mod backoff;
mod bundle;
mod channel;
mod confirms;
mod connection;
mod consumption;
mod lane;
mod ledger;
mod log;
mod progress;
mod publisher;
mod receiver;
mod replies;
mod sender;
mod settings;
mod settlement;
mod tail;
mod tls;
mod topology;
mod turns;

use std::sync::Arc;
use std::time::Duration;

pub use self::log::RabbitmqLog;
pub use self::progress::RabbitmqProgressFeed;
pub use self::receiver::RabbitmqRequestReceiver;
pub use self::sender::RabbitmqRequestSender;
pub use self::settings::{QueueKind, RabbitmqSettings};

use self::address::Address;
use self::connection::SupervisedConnection;
use self::topology::Topology;
use crate::ports::requests::Queue;

/// What all adapters of a process share.
struct Broker {
    settings: RabbitmqSettings,
    topology: Topology,
    /// Carries appends, requests, replies and progress.
    publishing: SupervisedConnection,
    /// Carries deliveries and their acknowledgements alone, so that nothing ever blocks it.
    consuming: SupervisedConnection,
}

impl Broker {
    /// What the broker calls a queue; nothing where the id of a node is too long for one.
    fn queue_name(&self, queue: &Queue) -> Option<String> {
        match queue {
            Queue::Read => Some(self.topology.read_queue.clone()),
            Queue::Write => Some(self.topology.write_queue.clone()),
            Queue::Node(node) => self.settings.node_queue(node),
        }
    }
}

/// A process's access to the broker; makes the adapters. The connections live as long as any
/// adapter, tail or consumption does.
pub struct Rabbitmq {
    broker: Arc<Broker>,
}

impl Rabbitmq {
    /// Starts to connect in the background; the broker need not be there yet. Needs a runtime.
    ///
    /// # Errors
    /// When the settings make no sense; never for want of a broker.
    pub fn start(settings: RabbitmqSettings) -> anyhow::Result<Self> {
        settings.validate()?;
        let address = Address::parse(&settings.url)?;
        let publishing = SupervisedConnection::start("publishing", &address, &settings)?;
        let consuming = SupervisedConnection::start("consuming", &address, &settings)?;
        let topology = Topology::new(&settings);
        Ok(Self { broker: Arc::new(Broker { settings, topology, publishing, consuming }) })
    }

    /// Waits until both connections stand. False if that takes longer than allowed.
    pub async fn connected(&self, within: Duration) -> bool {
        let both = async {
            tokio::join!(
                self.broker.publishing.session(within),
                self.broker.consuming.session(within)
            )
        };
        matches!(both.await, (Ok(_), Ok(_)))
    }

    /// Sends what is still to be sent and closes both connections; everything made here is of no
    /// use afterwards. A process that just ends loses what it said last.
    pub async fn close(&self) {
        tokio::join!(self.broker.publishing.close(), self.broker.consuming.close());
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> RabbitmqLog {
        RabbitmqLog::new(self.broker.clone())
    }

    /// An orchestrator's end of the requests.
    #[must_use]
    pub fn request_sender(&self) -> RabbitmqRequestSender {
        RabbitmqRequestSender::new(self.broker.clone())
    }

    /// A worker's end of the requests.
    #[must_use]
    pub fn request_receiver(&self) -> RabbitmqRequestReceiver {
        RabbitmqRequestReceiver::new(self.broker.clone())
    }

    /// The progress feed; listens from its first subscription on.
    #[must_use]
    pub fn progress_feed(&self) -> RabbitmqProgressFeed {
        RabbitmqProgressFeed::new(self.broker.clone())
    }
}
