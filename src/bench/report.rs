//! What came of it, as a table for people or as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::failover::outages;
use super::tally::{Latencies, Tally};
use super::{Options, Work};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    work: &'static str,
    connections: usize,
    /// Requests a second that were asked for; nothing in a closed loop.
    rate: Option<f64>,
    document_bytes: usize,
    seconds: f64,
    requests: BTreeMap<&'static str, Line>,
    /// How often each was seen.
    failures: BTreeMap<String, u64>,
    failover: Option<Failover>,
}

/// Of one kind of request.
#[derive(Debug, Serialize)]
struct Line {
    answered: u64,
    per_second: f64,
    mean_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
}

/// For how long no write was answered after each kill of a master.
#[derive(Debug, Serialize)]
struct Failover {
    kills: usize,
    /// Kills after which no write was answered any more.
    without_end: usize,
    p50_ms: Option<f64>,
    max_ms: Option<f64>,
    /// In the order of the kills.
    outages_ms: Vec<Option<f64>>,
}

impl Report {
    pub(super) fn new(options: &Options, tally: &Tally, took: Duration, kills: &[Instant]) -> Self {
        let kinds = [("reads", &tally.reads), ("writes", &tally.writes)];
        let asked = |name: &str| match name {
            "reads" => options.work.reads() > 0,
            _ => options.work.reads() < 100,
        };
        let kinds = kinds.into_iter().filter(|(name, _)| asked(name));
        let is_failover = matches!(options.work, Work::Failover { .. });
        let times = tally.written_at.as_deref().unwrap_or_default();
        Self {
            work: options.work.name(),
            connections: options.connections,
            rate: options.rate,
            document_bytes: options.document_bytes,
            seconds: took.as_secs_f64(),
            requests: kinds.map(|(name, of)| (name, Line::new(of, took))).collect(),
            failures: tally.failures.clone(),
            failover: is_failover.then(|| Failover::new(&outages(kills, times))),
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data is always expressible as JSON")
    }

    pub(super) fn table(&self) -> String {
        let loop_kind =
            self.rate.map_or("closed loop".to_owned(), |rate| format!("{rate}/s asked"));
        let mut text = format!(
            "{}: {} connections, {loop_kind}, {} bytes a document, {:.1} s\n\n",
            self.work, self.connections, self.document_bytes, self.seconds
        );
        let head = ["", "answered", "per second", "mean", "p50", "p90", "p99", "p99.9", "max"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.requests.iter().map(|(name, line)| line.cells(name)));
        for row in rows {
            let _ = write!(text, "{:<8}", row[0]);
            for cell in &row[1..] {
                let _ = write!(text, "{cell:>12}");
            }
            text.push('\n');
        }
        text.push_str("\nLatencies are in milliseconds.\n");
        let failed: u64 = self.failures.values().sum();
        let _ = write!(text, "Failed: {failed}");
        for (why, times) in &self.failures {
            let _ = write!(text, "; {why}: {times}");
        }
        if let Some(failover) = &self.failover {
            let _ = write!(text, "\n{}", failover.line());
        }
        text
    }
}

impl Line {
    fn new(of: &Latencies, took: Duration) -> Self {
        Self {
            answered: of.count(),
            per_second: of.count() as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE),
            mean_ms: of.mean_ms(),
            p50_ms: of.quantile_ms(0.5),
            p90_ms: of.quantile_ms(0.9),
            p99_ms: of.quantile_ms(0.99),
            p999_ms: of.quantile_ms(0.999),
            max_ms: of.max_ms(),
        }
    }

    fn cells(&self, name: &str) -> [String; 9] {
        let ms = |value: f64| format!("{value:.2}");
        [
            name.to_owned(),
            self.answered.to_string(),
            format!("{:.0}", self.per_second),
            ms(self.mean_ms),
            ms(self.p50_ms),
            ms(self.p90_ms),
            ms(self.p99_ms),
            ms(self.p999_ms),
            ms(self.max_ms),
        ]
    }
}

impl Failover {
    fn new(outages: &[Option<Duration>]) -> Self {
        let ms = |outage: Duration| outage.as_secs_f64() * 1_000.0;
        let mut ended: Vec<_> = outages.iter().flatten().copied().collect();
        ended.sort_unstable();
        Self {
            kills: outages.len(),
            without_end: outages.len() - ended.len(),
            p50_ms: ended.get(ended.len() / 2).copied().map(ms),
            max_ms: ended.last().copied().map(ms),
            outages_ms: outages.iter().map(|outage| outage.map(ms)).collect(),
        }
    }

    fn line(&self) -> String {
        let ms =
            |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{value:.0} ms"));
        format!(
            "Write outage after {} kills of the master: p50 {}, max {}; {} did not end.",
            self.kills,
            ms(self.p50_ms),
            ms(self.max_ms),
            self.without_end
        )
    }
}
