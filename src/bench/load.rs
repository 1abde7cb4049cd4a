//! The connections, and when each sends.

use std::time::Duration;

use rand::RngExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::tally::Tally;
use super::target::Target;
use super::{Options, Work};

/// Connections that send until they are told to stop.
pub(super) struct Load {
    connections: JoinSet<Tally>,
    stop: CancellationToken,
    keep_times: bool,
}

impl Load {
    /// Requests are sent at once, and counted from `begin` on.
    pub(super) fn start(options: &Options, target: &Target, begin: Instant) -> Self {
        let mut connections = JoinSet::new();
        let stop = CancellationToken::new();
        let keep_times = matches!(options.work, Work::Failover { .. });
        let begun = Instant::now();
        for number in 0..options.connections {
            let sender = Sender {
                // One that cannot be made apart shares what there is.
                target: target.apart().unwrap_or_else(|_| target.clone()),
                schedule: Schedule::of(options, number, begun),
                reads: options.work.reads(),
                count_from: begin,
                count_until: begin + options.duration,
            };
            connections.spawn(sender.run(stop.clone(), Tally::new(keep_times)));
        }
        Self { connections, stop, keep_times }
    }

    /// Waits for the answers that are under way, and adds up.
    pub(super) async fn finish(mut self) -> Tally {
        self.stop.cancel();
        let mut all = Tally::new(self.keep_times);
        while let Some(one) = self.connections.join_next().await {
            all.add(one.expect("a connection's task neither panics nor is aborted"));
        }
        all
    }
}

/// When the requests of one connection are due.
struct Schedule {
    next: Instant,
    /// Nothing where the next one is due as soon as the last one is answered.
    pause: Option<Duration>,
}

impl Schedule {
    /// The connections of an open loop take turns.
    fn of(options: &Options, number: usize, begun: Instant) -> Self {
        let Some(rate) = options.rate else { return Self { next: begun, pause: None } };
        let pause = Duration::from_secs_f64(options.connections as f64 / rate);
        let turn = pause.mul_f64(number as f64 / options.connections as f64);
        Self { next: begun + turn, pause: Some(pause) }
    }

    /// Waits until the next one is due, and says when that was.
    async fn next(&mut self) -> Instant {
        let Some(pause) = self.pause else { return Instant::now() };
        let due = self.next;
        self.next += pause;
        sleep_until(due).await;
        due
    }
}

struct Sender {
    target: Target,
    schedule: Schedule,
    reads: u8,
    count_from: Instant,
    count_until: Instant,
}

impl Sender {
    async fn run(mut self, stop: CancellationToken, mut tally: Tally) -> Tally {
        while !stop.is_cancelled() {
            let due = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                due = self.schedule.next() => due,
            };
            let is_read = rand::rng().random_range(0..100) < self.reads;
            let outcome = if is_read {
                let id = rand::rng().random_range(0..self.target.documents());
                self.target.read(id).await
            } else {
                self.target.insert().await
            };
            if (self.count_from..self.count_until).contains(&due) {
                tally.note(is_read, due, outcome);
            }
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_of_an_open_loop_are_due_at_fixed_times_however_late_they_are() {
        let begun = Instant::now();
        let mut schedule = Schedule { next: begun, pause: Some(Duration::from_millis(10)) };
        assert_eq!(schedule.next().await - begun, Duration::ZERO);
        assert_eq!(schedule.next().await - begun, Duration::from_millis(10));
        tokio::time::advance(Duration::from_millis(25)).await;
        let (late, now) = (schedule.next().await, Instant::now());
        assert_eq!(
            (late - begun, now - begun),
            (Duration::from_millis(20), Duration::from_millis(35))
        );
        assert_eq!(schedule.next().await - begun, Duration::from_millis(30));
        assert_eq!(schedule.next().await - begun, Duration::from_millis(40));
        assert_eq!(Instant::now() - begun, Duration::from_millis(40));
    }
}
