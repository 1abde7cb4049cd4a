//! Answers as people read them.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Wish;

/// What stands for a value that there is none of.
const NONE: &str = "-";

/// The answer to a wish.
pub(super) fn text(wish: &Wish, answer: &Value) -> String {
    match wish {
        Wish::Status | Wish::Watch => status(answer),
        Wish::Workers => workers(answer),
        Wish::Events => events(answer),
        Wish::Crash(_) => format!("killed {}", plain(&answer[0])),
        Wish::Switchover(_) => format!(
            "{} handed over to {}: epoch {} to {}, in {} ms",
            plain(&answer["from"]),
            plain(&answer["to"]),
            plain(&answer["from_epoch"]),
            plain(&answer["to_epoch"]),
            plain(&answer["took_ms"])
        ),
        Wish::Recover(_) => format!(
            "{} is master in epoch {}, in a new log, after {} ms",
            plain(&answer["from"]),
            plain(&answer["epoch"]),
            plain(&answer["took_ms"])
        ),
        Wish::Scale(_) => wanted(answer),
        Wish::Restart => format!("{} workers are new", plain(&answer["restarted"])),
        Wish::Pause => "paused: nobody is replaced, elected, started or removed".to_owned(),
        Wish::Resume => "resumed".to_owned(),
        Wish::Backup(_) => format!(
            "{} backup: {} documents and {} records of the log, {} bytes; restores to any offset \
             from {} to {}",
            plain(&answer["backup"]),
            plain(&answer["documents"]),
            plain(&answer["records"]),
            plain(&answer["bytes"]),
            plain(&answer["whole_from"]),
            plain(&answer["reaches"])
        ),
        Wish::Restore { .. } => format!(
            "{} documents and {} records restored, as of {}",
            plain(&answer["documents"]),
            plain(&answer["records"]),
            plain(&answer["as_of"])
        ),
    }
}

pub(super) fn status(answer: &Value) -> String {
    let reasons = answer["reasons"].as_array().into_iter().flatten().map(plain);
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    let ready =
        if reasons.is_empty() { "ready".to_owned() } else { format!("not ready: {reasons}") };
    let scale = &answer["scale"];
    let paused = if scale["paused"] == true { "\npaused: nothing is healed" } else { "" };
    format!("{ready}{paused}\n{}\n\n{}", wanted(scale), workers(&answer["workers"]))
}

fn wanted(scale: &Value) -> String {
    let by = if scale["manual"] == true { "by hand" } else { "by the reads" };
    let outlook = &scale["outlook"];
    let now = if outlook.is_object() {
        let (reads, slaves) = (plain(&outlook["reads"]), plain(&outlook["slaves"]));
        format!("; {reads} reads in this window would call for {slaves}")
    } else {
        String::new()
    };
    let bounds = (plain(&scale["min_slaves"]), plain(&scale["max_slaves"]));
    format!("{} slaves wanted, {by}, of {} to {}{now}", plain(&scale["slaves"]), bounds.0, bounds.1)
}

fn workers(answer: &Value) -> String {
    let heads = ["NODE", "ROLE", "PID", "EPOCH", "APPLIED", "LAG", "STATE", "UPTIME", "DATABASE"];
    let mut table = table(&heads);
    for worker in answer.as_array().into_iter().flatten() {
        let cell = |name: &str| plain(&worker[name]);
        table.add_row([
            cell("node"),
            cell("role"),
            cell("pid"),
            cell("epoch"),
            cell("applied"),
            cell("lag"),
            cell("state"),
            worker["uptime_ms"].as_u64().map_or_else(|| NONE.to_owned(), duration),
            cell("database"),
        ]);
    }
    align(&mut table, &[2, 3, 4, 5, 7]);
    table.to_string()
}

pub(super) fn events(answer: &Value) -> String {
    let mut table = table(&["ID", "WHEN", "WHAT", "NODE", "WHY", "TOOK", "EPOCH", "SLAVES"]);
    for event in answer.as_array().into_iter().flatten() {
        let cell = |name: &str| plain(&event[name]);
        let cause = match &event["cause"] {
            Value::Object(cause) => {
                let pairs = cause.iter().map(|(name, value)| format!("{} {name}", plain(value)));
                pairs.collect::<Vec<_>>().join(", ")
            }
            cause => plain(cause),
        };
        let took =
            event["took_ms"].as_u64().map_or_else(|| NONE.to_owned(), |ms| format!("{ms} ms"));
        let epoch = match (&event["from_epoch"], &event["to_epoch"]) {
            (Value::Null, to) => plain(to),
            (from, to) => format!("{} to {}", plain(from), plain(to)),
        };
        let when = event["at_ms"].as_u64().map_or_else(|| NONE.to_owned(), moment);
        let row =
            [cell("id"), when, cell("kind"), cell("node"), cause, took, epoch, cell("slaves")];
        table.add_row(row);
    }
    align(&mut table, &[0, 5, 7]);
    table.to_string()
}

fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(heads);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn align(table: &mut Table, right: &[usize]) {
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => NONE.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, h, ..) => format!("{d}d {h}h"),
    }
}

fn moment(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1_000).unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| at_ms.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_told_in_two_units() {
        for (ms, expected) in [
            (0, "0s"),
            (59_999, "59s"),
            (61_000, "1m 1s"),
            (3_600_000, "1h 0m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(duration(ms), expected, "{ms}");
        }
    }

    #[test]
    fn events_say_when_what_and_why() {
        let shown = events(&json!([
            {
                "id": 7, "at_ms": 1_795_697_742_634_u64, "kind": "elected", "node": "worker-1",
                "cause": "no_master", "took_ms": 12, "from_epoch": 2, "to_epoch": 3,
            },
            { "id": 8, "at_ms": 0, "kind": "scaled", "cause": { "reads": 41 }, "slaves": 3 },
        ]));
        let lines: Vec<Vec<_>> =
            shown.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
        let cells =
            |line: usize| -> Vec<_> { lines[line].iter().filter(|it| !it.is_empty()).collect() };
        let first = [
            "7",
            "2026-11-26T12:55:42Z",
            "elected",
            "worker-1",
            "no_master",
            "12 ms",
            "2 to 3",
            "-",
        ];
        assert_eq!(cells(1), first.iter().collect::<Vec<_>>(), "{shown}");
        let second = ["8", "1970-01-01T00:00:00Z", "scaled", "-", "41 reads", "-", "-", "3"];
        assert_eq!(cells(2), second.iter().collect::<Vec<_>>(), "{shown}");
    }
}
