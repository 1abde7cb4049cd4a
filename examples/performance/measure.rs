//! Does something over and over, and prints what it took as a row of a table.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

const TIME: Duration = Duration::from_secs(3);

/// How a part is loaded.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// So many go on side by side, each one round after another.
    lanes: u64,
    /// So many writes stand in a round.
    writes: u64,
}

impl Load {
    pub(crate) fn side_by_side(count: u64) -> Self {
        Self { lanes: count, writes: 1 }
    }

    pub(crate) fn batch_by_batch(count: u64) -> Self {
        Self { lanes: 1, writes: count }
    }

    /// `one` gets the number of its round, which no other has.
    pub(crate) async fn measure<F: Future<Output = ()>>(self, part: &str, one: impl Fn(u64) -> F) {
        let started = Instant::now();
        let lane = async |lane: u64| {
            let mut rounds = Vec::new();
            while started.elapsed() < TIME {
                let begun = Instant::now();
                one(lane + rounds.len() as u64 * self.lanes).await;
                rounds.push(begun.elapsed());
            }
            rounds
        };
        let rounds = join_all((0..self.lanes).map(lane)).await.concat();
        self.print(part, rounds, started.elapsed());
    }

    fn print(self, part: &str, mut rounds: Vec<Duration>, took: Duration) {
        rounds.sort_unstable();
        let at = |hundredth: usize| rounds.get(rounds.len() * hundredth / 100);
        let ms = |hundredth| at(hundredth).copied().unwrap_or_default().as_secs_f64() * 1_000.0;
        let rate = (rounds.len() as u64 * self.writes) as f64 / took.as_secs_f64();
        let at_a_time = self.lanes * self.writes;
        println!("| {part} | {at_a_time} | {rate:.0} | {:.3} | {:.3} |", ms(50), ms(99));
    }
}

/// Begins the table that the rows belong to.
pub(crate) fn print_head() {
    println!("| Part | At a time | A second | p50 of one round, ms | p99, ms |");
    println!("|---|--:|--:|--:|--:|");
}
