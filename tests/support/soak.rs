//! What all soaks have in common: how long, which fault is next, and what came of all of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::orchestrator::{Orchestrator, eventually};
use crate::verdict::{Outages, Verdict};

/// How long to go on, and the seed of the faults.
pub(crate) fn wanted() -> (Duration, u64) {
    let minutes = setting("RIDESHARE_TEST_SOAK_MINUTES", 2.0);
    (Duration::from_secs_f64(60.0 * minutes), setting("RIDESHARE_TEST_SOAK_SEED", 1.0) as u64)
}

fn setting(name: &str, otherwise: f64) -> f64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Waits until everybody is there and the system is ready.
pub(crate) async fn converge(system: &Orchestrator, slaves: usize, within: Duration, after: &str) {
    let whole = async || {
        let ready = system.unready().await.is_none();
        let settled = ready && system.slaves().await.len() == slaves;
        (settled && system.workers().await.len() == slaves + 1).then_some(())
    };
    eventually(&format!("a whole system after {after}"), within, whole).await;
}

/// One of these, each as often as its weight says in comparison.
pub(crate) fn draw<T: Copy>(weighted: &[(T, u32)], dice: &mut StdRng) -> T {
    let all = weighted.iter().map(|(_, weight)| weight).sum();
    let mut drawn = dice.random_range(0..all);
    for (one, weight) in weighted {
        match drawn.checked_sub(*weight) {
            None => return *one,
            Some(left) => drawn = left,
        }
    }
    unreachable!("less than the sum of all weights was drawn")
}

#[derive(Default)]
pub(crate) struct Tally {
    /// How long it took to be whole again, by fault.
    converged: BTreeMap<String, Vec<Duration>>,
    outages: Vec<Duration>,
    systems: u32,
    operations: usize,
    writes: usize,
    errors: usize,
}

impl Tally {
    pub(crate) fn note(&mut self, fault: String, converged_after: Duration) {
        self.converged.entry(fault).or_default().push(converged_after);
    }

    /// Takes in what a sound verdict says.
    pub(crate) fn judge(&mut self, verdict: &Verdict, outages: &Outages) {
        let (operations, writes) = verdict.known();
        self.systems += 1;
        self.operations += operations;
        self.writes += writes;
        self.errors += verdict.errors();
        self.outages.extend(outages.all());
    }

    pub(crate) fn table(&self, seed: u64, took: Duration) -> String {
        let faults: usize = self.converged.values().map(Vec::len).sum();
        let mut text = format!(
            "Seed {seed}, {} minutes, {} systems one after the other, {faults} faults; \
             {} operations answered, {} of them acknowledged writes: 0 lost, 0 doubled, \
             0 violations of consistency; {} answers were errors or came after 10 s.\n\n",
            took.as_secs() / 60,
            self.systems,
            self.operations,
            self.writes,
            self.errors
        );
        let outages = quantiles(self.outages.clone());
        let _ = writeln!(text, "No write was answered, from fault to fault: {outages}.\n");
        let _ = writeln!(text, "| Fault | Times | Whole again after it was over |\n|---|---|---|");
        for (fault, converged) in &self.converged {
            let _ = writeln!(
                text,
                "| {fault} | {} | {} |",
                converged.len(),
                quantiles(converged.clone())
            );
        }
        text
    }
}

fn quantiles(mut all: Vec<Duration>) -> String {
    all.sort();
    let at = |percent: usize| all[(all.len() * percent / 100).min(all.len() - 1)].as_millis();
    format!("p50 {} ms, p90 {} ms, max {} ms", at(50), at(90), at(100))
}
