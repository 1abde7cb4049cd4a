//! Runs as tables: medians of the repetitions, and ratios.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

pub(crate) const WORKS: [&str; 2] = ["write", "read"];

/// In the order of the tables: the name in the runs, and the one for people.
pub(crate) const SYSTEMS: [(&str, &str); 4] = [
    ("driver", "MongoDB's driver"),
    ("eve", "Eve"),
    ("process", "Rideshare, real servers"),
    ("embedded", "Rideshare, embedded"),
];

/// The systems that the others are compared with.
const MEASURES: [&str; 2] = ["driver", "eve"];

#[derive(Deserialize)]
struct Run {
    system: String,
    work: String,
    connections: u32,
    /// As `rideshare bench --json` prints it.
    report: Value,
}

/// The medians of all repetitions of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    repetitions: usize,
    failures: u64,
}

type Key = (String, String, u32);

/// All runs.
pub(crate) struct Runs(BTreeMap<Key, Point>);

impl Runs {
    pub(crate) fn parse(lines: &str) -> anyhow::Result<Self> {
        let mut runs: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
        for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let run: Run =
                serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
            runs.entry((run.work, run.system, run.connections)).or_default().push(run.report);
        }
        let points = runs.into_iter().map(|(key, reports)| (key, Point::of(&reports)));
        Ok(Self(points.collect()))
    }

    pub(crate) fn point(&self, work: &str, system: &str, connections: u32) -> Option<Point> {
        self.0.get(&(work.to_owned(), system.to_owned(), connections)).copied()
    }

    pub(crate) fn connections(&self) -> Vec<u32> {
        let mut all: Vec<_> = self.0.keys().map(|(_, _, connections)| *connections).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        for work in WORKS {
            text += &self.table(work);
        }
        text
    }

    fn table(&self, work: &str) -> String {
        let mut text = format!(
            "### {work}s\n\n| System | Connections | A second | p50 ms | p99 ms | Driver × | Eve × |\n\
             |---|--:|--:|--:|--:|--:|--:|\n"
        );
        for (system, name) in SYSTEMS {
            for connections in self.connections() {
                let Some(point) = self.point(work, system, connections) else { continue };
                let ratios = MEASURES.map(|measure| {
                    let measure = self.point(work, measure, connections);
                    measure.map_or_else(String::new, |measure| {
                        format!("{:.2}", point.per_second / measure.per_second)
                    })
                });
                let failed = match point.failures {
                    0 => String::new(),
                    failures => format!(" ({failures} failed)"),
                };
                let _ = writeln!(
                    text,
                    "| {name} | {connections} | {:.0}{failed} | {:.2} | {:.2} | {} | {} |",
                    point.per_second, point.p50_ms, point.p99_ms, ratios[0], ratios[1],
                );
            }
        }
        text.push('\n');
        text
    }
}

impl Point {
    fn of(reports: &[Value]) -> Self {
        let median = |name: &str| {
            let mut values: Vec<f64> = reports.iter().map(|report| number(report, name)).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let failures = reports.iter().flat_map(|report| report["failures"].as_object());
        Self {
            per_second: median("per_second"),
            p50_ms: median("p50_ms"),
            p99_ms: median("p99_ms"),
            repetitions: reports.len(),
            failures: failures.flat_map(|them| them.values()).filter_map(Value::as_u64).sum(),
        }
    }
}

/// Each run has one kind of request.
fn number(report: &Value, name: &str) -> f64 {
    let lines = report["requests"].as_object().into_iter().flat_map(|lines| lines.values());
    lines.filter_map(|line| line[name].as_f64()).next().unwrap_or_default()
}
