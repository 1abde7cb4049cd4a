//! Publishes with confirms, in order, over as many connections as it takes.
//!
//! Knows of every message whether it was sent at all: what was not sent is refused with
//! certainty, and only what was sent and never confirmed is in doubt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amqprs::BasicProperties;
use amqprs::channel::{BasicPublishArguments, ConfirmSelectArguments};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, info_span};

use super::Broker;
use super::backoff::Backoff;
use super::channel::OpenChannel;
use super::confirms::{Confirmation, Confirms};
use super::connection::Session;
use super::topology::Declares;

/// Messages that may wait to be sent.
const QUEUED: usize = 1_024;

/// Bound of declaring and of whatever else a channel needs before its use.
pub(super) const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// A message and where it goes.
pub(super) struct Message {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
    /// Whether it is an error that no queue takes it.
    pub(super) mandatory: bool,
}

/// Why a message is not certainly there.
#[derive(Debug)]
pub(super) enum PublishError {
    /// It is certainly not there: it was never sent, or had no queue to go to.
    NotSent(anyhow::Error),
    /// The broker said no.
    Refused,
    /// It was sent, and nobody knows.
    Unconfirmed(anyhow::Error),
}

struct Publication {
    message: Message,
    /// Set by whoever is first: the task that sends it, or the caller who gives up.
    claimed: Arc<AtomicBool>,
    waiter: oneshot::Sender<Confirmation>,
}

/// A channel for publishing, on the connection for it.
pub(super) struct Publisher {
    publications: mpsc::Sender<Publication>,
    confirm_timeout: Duration,
    broker: Arc<Broker>,
    _task: AbortOnDropHandle<()>,
}

impl Publisher {
    /// Starts the task that owns the channel.
    pub(super) fn start(broker: Arc<Broker>, declares: Declares, purpose: &'static str) -> Self {
        let (publications, publishing) = mpsc::channel(QUEUED);
        let confirm_timeout = broker.settings.confirm_timeout();
        let span = info_span!("rabbitmq publisher", purpose);
        let task = run(broker.clone(), declares, publishing).instrument(span);
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        Self { publications, confirm_timeout, broker, _task: task }
    }

    /// Publishes one message and waits for its confirmation. Messages of one caller are sent in
    /// the order of its calls. When dropped half way, the message may be sent or not.
    pub(super) async fn publish(
        &self,
        message: Message,
        wait: Duration,
    ) -> Result<(), PublishError> {
        let deadline = Instant::now() + wait;
        let claimed = Arc::new(AtomicBool::new(false));
        let (waiter, mut confirmed) = oneshot::channel();
        let publication = Publication { message, claimed: claimed.clone(), waiter };
        if timeout_at(deadline, self.publications.send(publication)).await.is_err() {
            return Err(self.not_sent());
        }
        let confirmation = match timeout_at(deadline, &mut confirmed).await {
            Ok(confirmation) => confirmation.ok(),
            Err(_) if !claimed.swap(true, Ordering::AcqRel) => return Err(self.not_sent()),
            Err(_) => match timeout(self.confirm_timeout, confirmed).await {
                Ok(confirmation) => confirmation.ok(),
                Err(_) => {
                    let error = anyhow::anyhow!("the broker did not confirm in time");
                    return Err(PublishError::Unconfirmed(error));
                }
            },
        };
        match confirmation {
            Some(Confirmation::Taken) => Ok(()),
            Some(Confirmation::Refused) => Err(PublishError::Refused),
            Some(Confirmation::Unroutable) => {
                Err(PublishError::NotSent(anyhow::anyhow!("the broker had no queue for it")))
            }
            None if !claimed.load(Ordering::Acquire) => Err(self.not_sent()),
            None => {
                let error = anyhow::anyhow!("the connection was lost before the confirmation");
                Err(PublishError::Unconfirmed(error))
            }
        }
    }

    fn not_sent(&self) -> PublishError {
        let error = if self.broker.publishing.is_connected() {
            anyhow::anyhow!("the broker takes no messages at the moment")
        } else {
            self.broker.publishing.missing()
        };
        PublishError::NotSent(error)
    }
}

/// Serves until the publisher is dropped, one connection after another.
async fn run(broker: Arc<Broker>, declares: Declares, mut publishing: mpsc::Receiver<Publication>) {
    let mut backoff = Backoff::new();
    loop {
        let session = broker.publishing.next_session().await;
        let started_at = Instant::now();
        let confirms = Arc::new(Confirms::default());
        match set_up(&broker, &session, declares, confirms.clone()).await {
            Ok(open) => {
                let duty = Duty { broker: &broker, open, session: &session, confirms: &confirms };
                let result = duty.serve(declares, &mut publishing).await;
                confirms.give_up();
                if let Err(error) = result {
                    debug!(%error, generation = session.generation, "publisher lost its channel");
                }
            }
            Err(error) => backoff.tell(&error),
        }
        backoff.wait(started_at.elapsed()).await;
    }
}

async fn set_up(
    broker: &Broker,
    session: &Session,
    declares: Declares,
    confirms: Arc<Confirms>,
) -> anyhow::Result<OpenChannel> {
    let open = session.open_channel(Some(confirms)).await?;
    session
        .within(SETUP_TIMEOUT, async {
            broker.topology.declare(session, &open, declares).await?;
            let selected = open.channel.confirm_select(ConfirmSelectArguments::new(false)).await;
            selected.map_err(|error| open.ending.explain(error))
        })
        .await?;
    Ok(open)
}

/// One channel's time.
struct Duty<'a> {
    broker: &'a Broker,
    session: &'a Session,
    open: OpenChannel,
    confirms: &'a Confirms,
}

impl Duty<'_> {
    async fn serve(
        &self,
        declares: Declares,
        publishing: &mut mpsc::Receiver<Publication>,
    ) -> anyhow::Result<()> {
        let mut blocked = self.session.blocked.clone();
        loop {
            let may_send = !*blocked.borrow_and_update() && self.confirms.keeps_up();
            tokio::select! {
                biased;
                () = self.open.ending.ended() => return Err(self.open.ending.error()),
                () = self.confirms.unroutable.notified() => {
                    let declare = self.broker.topology.declare(self.session, &self.open, declares);
                    self.session.within(SETUP_TIMEOUT, declare).await?;
                }
                Ok(()) = blocked.changed() => {}
                () = self.confirms.freed.notified(), if !may_send => {}
                publication = publishing.recv(), if may_send => match publication {
                    Some(publication) => self.send(publication).await?,
                    // Nobody is left to publish; the task is about to be aborted.
                    None => std::future::pending().await,
                },
            }
        }
    }

    async fn send(&self, publication: Publication) -> anyhow::Result<()> {
        let Publication { message, claimed, waiter } = publication;
        if waiter.is_closed() || claimed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let tag = self.confirms.expect(waiter);
        let mut properties = message.properties;
        if message.mandatory {
            // Names the message when the broker returns it.
            properties.with_message_id(&tag.to_string());
        }
        let arguments = BasicPublishArguments {
            exchange: message.exchange,
            routing_key: message.routing_key,
            mandatory: message.mandatory,
            immediate: false,
        };
        let sending = self.open.channel.basic_publish(properties, message.body, arguments);
        tokio::select! {
            biased;
            result = sending => result.map_err(|error| self.open.ending.explain(error)),
            () = self.open.ending.ended() => Err(self.open.ending.error()),
        }
    }
}
