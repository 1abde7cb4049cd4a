//! What came of all faults, as a table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::faults::Fault;
use crate::verdict::{Outages, Verdict};

#[derive(Default)]
pub(super) struct Tally {
    /// How long it took to be whole again, by fault.
    converged: BTreeMap<String, Vec<Duration>>,
    outages: Vec<Duration>,
    systems: u32,
    operations: usize,
    writes: usize,
    errors: usize,
}

impl Tally {
    pub(super) fn note(&mut self, fault: Fault, converged_after: Duration) {
        self.converged.entry(fault.name()).or_default().push(converged_after);
    }

    /// Takes in what a sound verdict says.
    pub(super) fn judge(&mut self, verdict: &Verdict, outages: &Outages) {
        let (operations, writes) = verdict.known();
        self.systems += 1;
        self.operations += operations;
        self.writes += writes;
        self.errors += verdict.errors();
        self.outages.extend(outages.all());
    }

    pub(super) fn table(&self, seed: u64, took: Duration) -> String {
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
